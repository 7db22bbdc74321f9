"""What the documents say of deployment is true of the files they speak of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from chalicelib.adapters import cluster, queue
from chalicelib.core import (
    bindings,
    cronworkflows,
    payloads,
    providers,
    records,
    schedules,
    submissions,
    webhooks,
)
from chalicelib.core.expressions import limits
from chalicelib.flow import submit
from chalicelib.settings import VARIABLES, Settings
from lynceus.packaging.projects import configuration
from lynceus.packaging.templates import load

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    "infra/README.md",
    *(f"docs/{name}.md" for name in ("deploy", "operate", "cost", "security", "limits")),
]


def text(name: str) -> str:
    return (ROOT / name).read_text()


def test_the_threat_model_names_tests_that_exist() -> None:
    known = set(
        re.findall(r"def (test_\w+)", "\n".join(path.read_text() for path in ROOT.glob("tests/**/*.py")))
    )
    named = set(re.findall(r"`(test_\w+)`", text("docs/security.md")))
    assert len(named) > 15
    assert named - known == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", text(name)):
        assert ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_variables_parameters_and_targets_exist(name: str) -> None:
    document = text(name)
    variables = set(re.findall(r"LYNCEUS_[A-Z_]+[A-Z]", document))
    assert variables - set(VARIABLES.values()) - {"LYNCEUS_DEPLOY_ROLE", "LYNCEUS_WEBHOOK_URL"} == set()
    parameters = {
        *load(ROOT / "infra/resources.yaml")["Parameters"],
        *load(ROOT / "infra/overlay.yaml")["Parameters"],
    }
    assert set(re.findall(r"--set (\w+)=", document)) - parameters == set()
    makefiles = text("Makefile") + text("infra/deploy.mk")
    for target in re.findall(r"^(?:\$ )?make ([a-z-]+)", document, re.MULTILINE):
        assert f"\n{target}:" in makefiles, target


def test_alarms_and_operate_have_the_same_names() -> None:
    sections = set(re.findall(r"^### `([a-z-]+)`$", text("docs/operate.md"), re.MULTILINE))
    alarms = set(re.findall(r"AlarmName: !Sub lynceus-\$\{Stage\}-([a-z-]+)", text("infra/resources.yaml")))
    assert sections == alarms


def test_the_limits_are_those_of_the_code() -> None:
    document = text("docs/limits.md")
    settings = Settings()
    assert webhooks.BODY_LIMIT == settings.body_limit == 4 * 1024 * 1024
    assert "body over 4 MiB" in document
    assert f"{bindings.MATCH_LIMIT} matches of one event" in document
    assert bindings.SUBMISSION_LIMIT == 1024 * 1024
    assert bindings.EVENT_LIMIT == 8 * 1024 * 1024
    assert "1 MiB of rendered text in a submission, 8 MiB in an event" in document
    assert f"{settings.door_seconds} s for all bindings" in document
    assert f"within {settings.worker_seconds:.0f} s more" in document
    assert f"{limits.MAX_NODES:,} nodes" in document
    assert f"{limits.STEPS // 1_000_000} M steps" in document
    assert f"CronWorkflow over {cronworkflows.NAME_LIMIT} characters" in document
    assert f"{cronworkflows.RUNS_LIMIT:,} runs in a plan" in document
    assert f"delivery id or hook id over {webhooks.MAX_NAME} characters" in document
    assert f"over {providers.BATCH_LIMIT} events in one batch" in document
    assert f"nesting of a body over {payloads.MAX_DEPTH:,}" in document
    assert f"token over {cluster.TOKEN_LIMIT // 1024} KiB" in document
    assert schedules.HORIZON_YEARS == 5
    assert "fires never within five years" in document
    assert submit.SHORT.total_seconds() == 120
    assert "at most every 15 minutes" in document
    assert submissions.backoff(timedelta(days=9)) == timedelta(minutes=15)
    # The queue takes an envelope that the records call small enough.
    assert records.MESSAGE_LIMIT <= queue.LIMIT
    receives = load(ROOT / "infra/resources.yaml")["Resources"]["CronQueue"]["Properties"]["RedrivePolicy"]
    assert f"received {receives['maxReceiveCount']} times" in document


def test_a_stage_is_copied_by_the_commands_of_the_page(tmp_path: Path) -> None:
    left_out = shutil.ignore_patterns("deployments", "deployed")
    shutil.copytree(ROOT / ".chalice", tmp_path / ".chalice", ignore=left_out)
    commands = text("docs/operate.md").partition("## Copying a stage")[2].split("```")[1].removeprefix("sh\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, env={"PATH": path}, check=True)
    copied = configuration("test", tmp_path)
    assert "dev" not in re.findall(r"[a-z]+", json.dumps(copied))
    assert copied["environment_variables"]["LYNCEUS_STAGE"] == "test"
    for function, settings in copied["lambda_functions"].items():
        policy = (tmp_path / ".chalice" / settings["iam_policy_file"]).read_text()
        original = (ROOT / f".chalice/policy-dev-{function}.json").read_text()
        assert policy == original.replace("lynceus-dev", "lynceus-test")
