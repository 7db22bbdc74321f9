"""The zip that Lambda runs: what is never imported left out, bytecode put in, the same bytes for the same sources.

Chalice packs every file of every requirement. Most of it no function ever opens: the asynchronous twin of the
Kubernetes client, the models of four hundred AWS services, stubs for editors. And it packs no bytecode, though
/var/task is read-only, so that every cold start compiles what it imports again. `build` makes the same package
without the one and with the other, and puts it where Chalice looks for a finished one: `chalice package` and
`chalice deploy` take it as it is.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import chalice
from chalice.deploy.packager import DependencyBuilder, LambdaDeploymentPackager
from chalice.utils import UI, OSUtils

from chalicelib.core.errors import Misconfigured


@dataclass(frozen=True)
class Rule:
    """Files that are left out, and why nobody misses them."""

    why: str
    folders: tuple[str, ...] = ()  # paths below the root of the package
    keep: tuple[str, ...] = ()  # names directly below those folders that stay
    suffixes: tuple[str, ...] = ()

    def leaves_out(self, path: PurePosixPath) -> bool:
        """True for a file that this rule is about."""
        if path.name.endswith(self.suffixes):
            return True
        return any(
            path.is_relative_to(folder) and path.relative_to(folder).parts[0] not in self.keep
            for folder in self.folders
        )


# The AWS services that functions call; signing in to EKS is a computation and needs none.
SERVICES = ("dynamodb", "secretsmanager", "sns", "sqs")

RULES = (
    Rule(
        "the asynchronous half of the Kubernetes client and what it stands on",
        folders=(
            "kubernetes/aio",
            "aiohttp",
            "aiohappyeyeballs",
            "aiosignal",
            "attr",
            "attrs",
            "frozenlist",
            "multidict",
            "propcache",
            "yarl",
        ),
    ),
    Rule(
        "the typed kinds of Kubernetes: the functions send and read plain JSON through ApiClient",
        folders=("kubernetes/client/models", "kubernetes/client/api"),
        keep=("__init__.py",),
    ),
    Rule(
        "kubeconfigs, watches, exec streams and the like, with what only they import",
        folders=(
            "kubernetes/config",
            "kubernetes/dynamic",
            "kubernetes/informer",
            "kubernetes/leaderelection",
            "kubernetes/stream",
            "kubernetes/watch",
            "charset_normalizer",
            "oauthlib",
            "requests",
            "requests_oauthlib",
            "websocket",
        ),
    ),
    Rule(
        "what checks the typed kinds: a stand-in for the one name that ApiClient asks of it is in REPLACED",
        folders=("pydantic",),
        keep=("__init__.py",),
    ),
    Rule("what it stands on", folders=("pydantic_core", "annotated_types", "typing_inspection")),
    Rule(
        "S3: a stand-in for the one name that boto3 asks of it is in REPLACED",
        folders=("s3transfer",),
        keep=("manager.py",),
    ),
    Rule(
        "the AWS services that no function calls",
        folders=("botocore/data",),
        keep=(
            *SERVICES,
            "endpoints.json",
            "partitions.json",
            "_retry.json",
            "sdk-default-configuration.json",
        ),
    ),
    Rule("boto3's object layer", folders=("boto3/data", "boto3/examples")),
    Rule("examples in botocore's documentation", suffixes=("examples-1.json",)),
    Rule("for editors and type checkers", suffixes=(".pyi", "py.typed")),
    Rule("sources of extension modules", suffixes=(".pyx", ".pxd", ".c", ".h", ".cc")),
    Rule("bytecode made elsewhere", suffixes=(".pyc",)),
)

# Files that say less in the package than where they come from: importing one name of theirs would drag in the rest.
REPLACED = {
    # The parts of the client are imported by name; here they would all be.
    "kubernetes/__init__.py": "",
    "kubernetes/utils/__init__.py": "",
    # What ApiClient makes of an answer for the typed kinds, and a type it looks for in what it sends.
    "kubernetes/client/api_response.py": """
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class ApiResponse(Generic[T]):
    status_code: int
    data: T
    headers: Any = None
    raw_data: bytes = b""
""",
    "pydantic/__init__.py": """
class SecretStr:
    pass
""",
    # boto3 looks whether this class has a certain attribute.
    "s3transfer/manager.py": """
class TransferConfig:
    pass
""",
}
ENDPOINTS = "botocore/data/endpoints.json"

# Chalice deploys to the version of Python that it runs on.
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
# Amazon Linux 2 (Python 3.11) has glibc 2.26, Amazon Linux 2023 (3.12 and later) 2.34.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
GLIBC_MINOR = 26 if sys.version_info < (3, 12) else 34
HERE = "here"  # for this machine, whatever it is: tests and benchmarks run the package

KEPT = 4  # finished packages in the cache

EPOCH = (1980, 1, 1, 0, 0, 0)  # every file's time in the zip


@dataclass(frozen=True)
class Artefact:
    """A finished package."""

    path: Path
    bytes_zipped: int
    bytes_unzipped: int
    files: int
    digest: str  # sha256 of the zip: the same for the same sources

    @staticmethod
    def of(path: Path) -> Artefact:
        """What a zip on disk weighs."""
        with zipfile.ZipFile(path) as package:
            members = package.infolist()
        return Artefact(
            path,
            path.stat().st_size,
            sum(member.file_size for member in members),
            len(members),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )


def wanted(name: str) -> bool:
    """False for a file of the dependencies that no function opens."""
    path = PurePosixPath(name)
    return not any(rule.leaves_out(path) for rule in RULES)


def build(project: Path, cache: Path, architecture: str = "arm64", *, slim: bool = True) -> Artefact:
    """Put the package of the project where Chalice looks for it, and return it.

    `project` has app.py, chalicelib and requirements.txt; `cache` keeps downloaded requirements from one build to
    the next. `architecture` is Lambda's name, "arm64" or "x86_64", or HERE for a package that runs on this machine.
    Not `slim`: what Chalice itself would make. Raises Misconfigured with pip's words where a requirement has no
    wheel for Lambda.
    """
    dependencies = _dependencies(project / "requirements.txt", cache, architecture)
    target = finished(project, architecture)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The name that Chalice gives has the sources in it; requirements, rules and their application make the rest.
    parts = (target.name, dependencies.name, str(slim), Path(__file__).read_text())
    kept = cache / "packages" / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.zip"
    if not kept.exists():
        members = dict(_sources(project))
        for path in _files(dependencies):
            name = path.relative_to(dependencies).as_posix()
            if name.startswith(("chalice/", "bin/")) or "__pycache__" in path.parts:
                continue
            if wanted(name) or not slim:
                members[name] = path
        kept.parent.mkdir(parents=True, exist_ok=True)
        for older in sorted(kept.parent.glob("*.zip"), key=_age)[KEPT:]:
            older.unlink(missing_ok=True)
        draft = kept.with_suffix(f".draft-{os.getpid()}")
        _write(draft, members, slim=slim)
        draft.replace(kept)
    shutil.copy2(kept, target)
    return Artefact.of(target)


def _age(path: Path) -> float:
    """Seconds before the newest file that could be."""
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:  # another build took it away
        return 0.0


def this_machine() -> str:
    """Lambda's name for this machine's architecture."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def finished(project: Path, architecture: str) -> Path:
    """Where Chalice looks for a package of these very sources before it makes one."""
    architecture = this_machine() if architecture == HERE else architecture
    osutils = OSUtils()
    builder = DependencyBuilder(osutils, architecture=architecture)
    packager = LambdaDeploymentPackager(osutils, builder, UI(), architecture=architecture)
    return Path(packager.deployment_package_filename(str(project), RUNTIME))


def _sources(project: Path) -> Iterator[tuple[str, Path]]:
    """The code of the project, and Chalice's own runtime, which is two files."""
    yield "app.py", project / "app.py"
    for path in _files(project / "chalicelib"):
        if "__pycache__" not in path.parts:
            yield path.relative_to(project).as_posix(), path
    runtime = Path(chalice.__file__).parent
    yield "chalice/__init__.py", runtime / "__init__.py"
    yield "chalice/app.py", runtime / "app.py"


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _dependencies(requirements: Path, cache: Path, architecture: str) -> Path:
    """The folder of installed requirements for the architecture, downloaded unless the cache has it."""
    name = f"{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}-{RUNTIME}-{architecture}"
    folder = cache / name
    if folder.exists():
        return folder
    draft = cache / f"{name}.draft-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile",
               "--target", str(draft), "--requirement", str(requirements), "--only-binary=:all:"]  # fmt: skip
    if architecture != HERE:
        # pip asks for the very tags, so all that an older system could run are listed too.
        machine = {"arm64": "aarch64", "x86_64": "x86_64"}[architecture]
        tags = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR, 16, -1)]
        command += ["--implementation=cp", f"--python-version={RUNTIME.removeprefix('python')}"]
        command += [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{machine}")]
    pip = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    if pip.returncode:
        said = pip.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise Misconfigured(f"requirements.txt cannot be packed for {RUNTIME} on {architecture}: {said[0]}")
    try:
        return draft.rename(folder)
    except OSError:  # another build was faster
        shutil.rmtree(draft)
        return folder


def _write(target: Path, members: dict[str, Path], *, slim: bool) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as package:
        for name, path in sorted(members.items()):
            content = _slimmed(name, path.read_bytes()) if slim else path.read_bytes()
            # Readable by the user that Lambda runs as, executable where it is a library.
            package.writestr(_entry(name, 0o755 if ".so" in path.suffixes else 0o644), content)
            if slim and name.endswith(".py"):
                compiled = _bytecode(content, name)
                if compiled is not None:
                    package.writestr(_entry(importlib.util.cache_from_source(name), 0o644), compiled)


def _slimmed(name: str, content: bytes) -> bytes:
    """What the slim package holds of a file."""
    if name in REPLACED:
        return f'"""Stands in for more than the functions need."""\n{REPLACED[name]}'.encode()
    if name == ENDPOINTS:
        # A megabyte about four hundred services, read with the first client of every cold start.
        document = json.loads(content)
        for partition in document["partitions"]:
            services = partition["services"]
            partition["services"] = {one: services[one] for one in SERVICES if one in services}
        return json.dumps(document, separators=(",", ":")).encode()
    return content


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o100000 | mode) << 16
    return entry


def _bytecode(source: bytes, name: str) -> bytes | None:
    """The source compiled, in the form that is never checked against it: times in a zip mean nothing.

    Source: https://peps.python.org/pep-0552/, flags 0b01.

    None for a file that this Python cannot compile: templates and code for other versions.
    """
    try:
        code = compile(source, f"/var/task/{name}", "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        return None
    flags = (1).to_bytes(4, "little")
    # Later formats say which objects somebody else in this process holds as well: other bytes at other times.
    plain = marshal.dumps(code, 2)
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + plain
