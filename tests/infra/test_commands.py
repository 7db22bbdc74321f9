"""`lynceus package`, `deploy` and `undeploy` as people call them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from lynceus.__main__ import main
from lynceus.packaging import projects
from lynceus.packaging.projects import Package

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account of moto's, and nothing of the shell's."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with mock_aws():
        yield


def test_deploying_without_a_region_says_how_to_name_one(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deploy"]) == 2
    assert "AWS_DEFAULT_REGION" in capsys.readouterr().err


def test_a_parameter_without_a_value_is_a_mistake_of_the_caller(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "--set", "AlarmEmail"]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_a_profile_that_is_not_there_is_named(account: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "--profile", "nobody", "--region", "eu-west-1"]) == 3
    assert "nobody" in capsys.readouterr().err


def test_a_stage_without_a_cluster_is_refused_before_anything_is_made(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    if projects.configuration("dev")["environment_variables"]["LYNCEUS_CLUSTER_NAME"]:
        pytest.skip("stage dev of this checkout has a cluster")
    assert main(["deploy", "--region", "eu-west-1"]) == 1
    assert "CLUSTER=" in capsys.readouterr().err
    assert boto3.client("cloudformation", region_name="eu-west-1").list_stacks()["StackSummaries"] == []


def test_taking_away_what_is_not_there_is_no_failure(
    account: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["undeploy", "--region", "eu-west-1", "--yes"]) == 0
    assert "nothing of stage dev is left" in capsys.readouterr().out


def test_taking_away_needs_a_yes(
    account: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["undeploy", "--region", "eu-west-1"]) == 1
    assert "--yes" in capsys.readouterr().err


def test_a_stage_that_is_not_configured_is_named(account: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["package", "--stage", "staging"]) == 1
    assert '"staging"' in capsys.readouterr().err


def test_a_finished_package_is_offered_where_chalice_looks_for_it(
    packaged: Callable[[str], Package], tmp_path: Path
) -> None:
    project = packaged("dev").template.parent / "project"
    for name in ("app.py", "requirements.txt"):
        (tmp_path / name).write_bytes((project / name).read_bytes())
    (tmp_path / "chalicelib").mkdir()
    (tmp_path / "chalicelib/__init__.py").write_text("")
    (tmp_path / ".chalice/deployments").mkdir(parents=True)
    (tmp_path / ".chalice/deployments/old.zip").write_text("")
    (tmp_path / ".chalice/config.json").write_text('{"lambda_architecture": "arm64"}')
    offered = projects.offer(packaged("dev"), tmp_path)
    assert offered.name.endswith("-arm64.zip")
    assert [path.name for path in offered.parent.iterdir()] == [offered.name]


# The commands write into their checkout, so they get one of their own; moto's account lives as long as the process.
SESSION = """
import boto3
from moto import mock_aws
from lynceus.__main__ import main
from tests.infra.clouds import stacks_with_sam

with mock_aws(), stacks_with_sam():
    eks = boto3.client("eks")
    eks.create_cluster(name="observatory", roleArn="arn:aws:iam::123456789012:role/eks", resourcesVpcConfig={})
    for words in (
        ["deploy", "--cluster", "observatory", "--dry-run"],
        ["deploy", "--set", "AlarmMail=ops@example.org"],
        ["deploy"],
        ["undeploy", "--yes"],
    ):
        print("$", *words, flush=True)
        print("->", main(words), flush=True)
"""


@pytest.mark.slow
def test_a_stage_is_planned_deployed_and_taken_away_by_words(tmp_path: Path) -> None:
    for name in ("app.py", "requirements.txt"):
        shutil.copy2(ROOT / name, tmp_path)
    for name in ("chalicelib", "infra", "lynceus", "tests/infra", ".chalice"):
        left_out = shutil.ignore_patterns("__pycache__", "deployments", "deployed")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=left_out)
    (tmp_path / "build").mkdir()
    (ROOT / "build/requirements").mkdir(parents=True, exist_ok=True)
    (tmp_path / "build/requirements").symlink_to(ROOT / "build/requirements")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, dry, mistaken, first, gone = done.stdout.split("$ ")
    assert "account 123456789012, region eu-west-1, stage dev" in dry
    assert "Ledger" in dry
    assert "uploading" not in dry
    assert mistaken.endswith("-> 1\n")
    assert "there is no parameter AlarmMail" in done.stderr
    assert "uploading" in first
    url = first.partition("webhook URL: ")[2].partition("\n")[0]
    assert url.endswith(".amazonaws.com/lynceus/api/v1/events/argo/")
    following = first.partition("next:\n")[2].splitlines()
    assert [line.split()[0] for line in following] == ["kubectl", "python", "python", "->"]
    assert f"--to {url}" in following[2]
    assert "table lynceus-dev-ledger" in gone
    assert all(part.endswith("-> 0\n") for part in (dry, first, gone))
