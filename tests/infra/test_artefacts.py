"""The real package: what is in it, and that every function runs from it, cold and warm, as Lambda runs it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import pytest

from chalicelib.core.errors import Misconfigured
from lynceus.packaging import artefacts
from lynceus.packaging.artefacts import HERE, RULES, wanted
from lynceus.packaging.projects import Package
from lynceus.packaging.runtimes import FunctionFailed, Runtime, unpack
from tests.infra.worlds import FUNCTIONS, World, minute, push, records

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 25 * 1024 * 1024  # bytes of the zip


@pytest.fixture(scope="module")
def package(packaged: Callable[[str], Package]) -> zipfile.ZipFile:
    return zipfile.ZipFile(packaged("dev").artefact.path)


@pytest.fixture(scope="module")
def task(packaged: Callable[[str], Package], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as Lambda lays it out in /var/task."""
    return unpack(packaged("dev").artefact.path, tmp_path_factory.mktemp("task"))


def test_the_package_is_small(packaged: Callable[[str], Package]) -> None:
    assert packaged("dev").artefact.bytes_zipped <= LIMIT


def test_only_what_runs_is_packed(package: zipfile.ZipFile) -> None:
    names = package.namelist()
    roots = {name.partition("/")[0] for name in names}
    assert {
        "app.py",
        "chalicelib",
        "chalice",
        "boto3",
        "kubernetes",
        "croniter",
        "simpleeval.py",
        "yaml",
    } <= roots
    assert not roots & {"lynceus", "tests", "moto", "pytest", "infra", "aiohttp", "requests"}
    assert {name for name in names if not wanted(name) and not name.endswith(".pyc")} == set()
    services = {
        name.split("/")[2] for name in names if name.startswith("botocore/data/") and name.count("/") > 2
    }
    assert services == {"dynamodb", "secretsmanager", "sqs"}


def test_every_rule_leaves_something_out_and_says_why() -> None:
    cache = next((ROOT / "build/requirements").glob("*-here"))
    names = [path.relative_to(cache) for path in cache.rglob("*") if path.is_file()]
    for rule in RULES:
        assert len(rule.why) > 10
        if rule.suffixes != (".pyc",):  # pip was told to compile nothing
            assert any(rule.leaves_out(name) for name in map(artefacts.PurePosixPath, names)), rule.why


def test_every_module_has_its_bytecode_for_this_python(package: zipfile.ZipFile) -> None:
    names = set(package.namelist())
    for name in names:
        if name.startswith(("chalicelib/", "chalice/", "kubernetes/client/", "botocore/")) and name.endswith(
            ".py"
        ):
            compiled = package.read(importlib.util.cache_from_source(name))
            assert compiled[:4] == importlib.util.MAGIC_NUMBER
            assert compiled[4:8] == b"\x01\0\0\0"  # never checked against the source
            code = marshal.loads(compiled[16:])
            assert isinstance(code, CodeType)
            assert code.co_filename == f"/var/task/{name}"


def test_the_same_sources_make_the_same_bytes(packaged: Callable[[str], Package]) -> None:
    first = packaged("dev").artefact
    project = packaged("dev").template.parent / "project"
    for kept in (ROOT / "build/requirements/packages").glob("*.zip"):
        if hashlib.sha256(kept.read_bytes()).hexdigest() == first.digest:
            kept.unlink()
    again = artefacts.build(project, ROOT / "build/requirements", HERE)
    assert again.digest == first.digest


def test_chalice_takes_the_finished_package(packaged: Callable[[str], Package]) -> None:
    made = packaged("dev")
    taken = made.template.parent / "deployment.zip"
    assert taken.read_bytes() == made.artefact.path.read_bytes()


def test_a_requirement_without_a_wheel_is_named(tmp_path: Path) -> None:
    for name in ("app.py", "chalicelib/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "requirements.txt").write_text("./no-such-folder\n")
    with pytest.raises(Misconfigured, match=r"requirements\.txt cannot be packed"):
        artefacts.build(tmp_path, tmp_path / "cache", HERE)


def test_the_architecture_of_the_configuration_is_the_one_whose_wheels_exist() -> None:
    document = json.loads((ROOT / ".chalice/config.json").read_text())
    assert document["lambda_architecture"] == "arm64"


# The functions, run from the package


@pytest.fixture(scope="module")
def run(task: Path, here: World) -> Callable[[str], Runtime]:
    """A container of a function, cold until it is invoked."""
    return lambda function: Runtime(task, FUNCTIONS[function][0], here.environment(function))


def test_a_webhook_becomes_a_workflow_through_the_packaged_functions(
    run: Callable[[str], Runtime], here: World
) -> None:
    with run("tick") as tick:
        assert tick.invoke(minute()).value is None
        assert tick.invoke(minute()).value is None
        assert any('"heartbeat_snapshot"' in line for line in tick.written())

    with run("api_handler") as api:
        for delivery in ("cold", "warm"):
            answer = api.invoke(push(delivery)).value
            assert (answer["statusCode"], answer["body"]) == (200, "{}")
        refused = api.invoke(push("forged", secret="another")).value
        assert refused["statusCode"] in (401, 403)

    messages = here.messages("submissions")
    assert len(messages) == 2
    with run("submit") as submit:
        for message in messages:
            assert submit.invoke(records([message], "submissions")).value is None
    made = here.cluster.objects("workflows.argoproj.io", "argo")
    assert len([one for one in made if one["metadata"]["name"].startswith("build-")]) == 2

    with run("submit_cron") as cron:
        for body in ("{", '{"v":1,"kind":"submission","namespace":"argo","workflow":"w","submission":"s"}'):
            message = {"MessageId": "m", "ReceiptHandle": "r", "Body": body}
            assert cron.invoke(records([message], "cron")).value is None
        assert any("message.unreadable" in line for line in cron.written())


def test_the_packaged_functions_import_nothing_that_was_left_out(task: Path, here: World) -> None:
    with Runtime(task, "app.no_such_function", here.environment("submit")) as runtime:
        with pytest.raises(FunctionFailed, match="no_such_function"):
            runtime.invoke({})
        # The handler's name was looked up in app.py, so all that app.py imports is there.
        assert not any("ImportModuleError" in line or "No module named" in line for line in runtime.written())
