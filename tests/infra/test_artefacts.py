"""The real package: what is in it, and that every function runs from it, cold and warm, as Lambda runs it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import CodeType

import pytest

from chalicelib.adapters.ledger import DynamoLedger
from chalicelib.core.cronworkflows import Run
from chalicelib.core.errors import Misconfigured
from chalicelib.flow.crons import submission_for_run
from chalicelib.settings import Settings
from lynceus.packaging import artefacts
from lynceus.packaging.artefacts import HERE, RULES, wanted
from lynceus.packaging.projects import Package
from lynceus.packaging.runtimes import Runtime, unpack
from tests.infra.test_rights import CRON
from tests.infra.worlds import FUNCTIONS, STAGE, World, minute, push, records

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
    assert services == set(artefacts.SERVICES)


def test_every_service_that_the_code_asks_is_packed_with_all_its_partitions(package: zipfile.ZipFile) -> None:
    code = "\n".join(path.read_text() for path in sorted((ROOT / "chalicelib").rglob("*.py")))
    assert set(re.findall(r"client\(\s*\"([a-z]+)\"", code)) == set(artefacts.SERVICES)
    partitions = json.loads(package.read(artefacts.ENDPOINTS))["partitions"]
    assert {partition["partition"] for partition in partitions} >= {"aws", "aws-cn", "aws-us-gov"}
    assert all(set(partition["services"]) <= set(artefacts.SERVICES) for partition in partitions)
    assert set(partitions[0]["services"]) == set(artefacts.SERVICES)


def test_what_stands_in_for_a_file_is_in_the_package(package: zipfile.ZipFile) -> None:
    for name in artefacts.REPLACED:
        assert package.read(name).startswith(b'"""Stands in'), name


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


@pytest.mark.parametrize(
    ("environment", "loaded"),
    [({}, "False False False"), ({"AWS_LAMBDA_RUNTIME_API": "here"}, "True True True")],
)
def test_only_in_lambda_the_libraries_are_loaded_while_the_function_starts(
    environment: dict[str, str], loaded: str
) -> None:
    asked = ("boto3", "kubernetes.client", "chalicelib.core.expressions.metadata")
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, app; print(*(name in sys.modules for name in {asked}))"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == loaded


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


def test_a_time_becomes_a_workflow_through_the_packaged_function(
    run: Callable[[str], Runtime], here: World
) -> None:
    here.cluster.apply([CRON])
    [cron] = [
        one
        for one in here.cluster.objects("cronworkflows.argoproj.io")
        if one["metadata"]["name"] == CRON["metadata"]["name"]
    ]
    ledger = DynamoLedger(lambda: here.client("dynamodb"), Settings(stage=STAGE).table)
    minute_now = datetime.now(UTC).replace(second=0, microsecond=0)
    with run("submit_cron") as container:
        for earlier in (1, 0):  # cold, warm
            at = minute_now - timedelta(minutes=earlier)
            wanted = Run("argo", "again", cron["metadata"]["uid"], at, at, at + timedelta(minutes=10))
            submission = submission_for_run(wanted)
            assert ledger.begin_run(submission)
            body = json.dumps(submission.pointer.to_message())
            message = {"MessageId": "m", "ReceiptHandle": "r", "Body": body}
            assert container.invoke(records([message], "cron")).value is None
            made = {one["metadata"]["name"] for one in here.cluster.objects("workflows.argoproj.io", "argo")}
            assert submission.workflow in made


# Imports everything that the code imports anywhere, those inside functions too, and makes what it makes.
IMPORTS = """
import ast, importlib, pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1], "chalicelib").rglob("*.py")):
    tree = ast.parse(path.read_text())
    hidden = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        wanted = []
        if isinstance(node, ast.Import):
            wanted = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            wanted = [(node.module, alias.name) for alias in node.names]
        for module, name in wanted if node not in hidden else ():
            try:
                found = importlib.import_module(module)
                name and (hasattr(found, name) or importlib.import_module(f"{module}.{name}"))
            except ImportError as error:
                print(path.name, module, name)
import boto3
from kubernetes import client
for region in ("us-east-1", "cn-north-1", "us-gov-west-1"):
    for service in sys.argv[2:]:
        print(boto3.client(service, region_name=region).meta.endpoint_url)
client.ApiClient(client.Configuration(host="https://cluster"))
"""


def test_the_packaged_functions_import_nothing_that_was_left_out(task: Path) -> None:
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    words = [str(python), "-S", "-s", "-c", IMPORTS, str(task), *artefacts.SERVICES]
    environment = {"PYTHONPATH": str(task), "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    missing = [line for line in done.stdout.splitlines() if not line.startswith("https://")]
    # The first belongs to a kubeconfig, which the local system has and Lambda has not.
    assert sorted(set(missing)) == [
        "cluster.py kubernetes config",
        "cluster.py kubernetes.config ConfigException",
    ]
    assert "https://sqs.cn-north-1.amazonaws.com.cn" in done.stdout
    assert "https://secretsmanager.us-gov-west-1.amazonaws.com" in done.stdout
