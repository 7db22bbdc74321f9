"""Linters that cannot share our environment; `make lint-infra` makes theirs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lynceus.packaging.projects import Package

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv-lint" / "bin"

needs_linters = pytest.mark.skipif(
    not (ROOT / ".venv-lint/.ready").exists(), reason="checkov and check-jsonschema absent: make lint-infra"
)


def said(*words: str) -> str:
    """What a linter says; "" where it finds nothing."""
    done = subprocess.run([*words], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@needs_linters
@pytest.mark.slow
def test_checkov_finds_nothing_but_what_is_skipped_with_a_reason(packaged: Callable[[str], Package]) -> None:
    template = packaged("dev").template
    files = ["--file", str(template), "--file", str(ROOT / "infra/resources.yaml")]
    assert said(str(BIN / "checkov"), "--config-file", "infra/checkov.yaml", *files) == ""


def test_every_skipped_check_has_its_reason() -> None:
    lines = (ROOT / "infra/checkov.yaml").read_text().splitlines()
    skipped = [line for line in lines if line.strip().startswith("- CKV")]
    assert skipped
    assert all(len(line.partition(" # ")[2]) > 20 for line in skipped)


@needs_linters
@pytest.mark.parametrize(
    ("schema", "path"),
    [("vendor.github-workflows", "github-actions.yml"), ("vendor.gitlab-ci", "gitlab-ci.yml")],
)
def test_the_pipelines_are_what_their_schemas_say(schema: str, path: str) -> None:
    transform = ["--data-transform", "gitlab-ci"] if "gitlab" in path else []
    words = [str(BIN / "check-jsonschema"), "--builtin-schema", schema, *transform, f"docs/ci/{path}"]
    assert said(*words) == ""


def test_the_pipelines_call_targets_that_exist_and_hold_no_key() -> None:
    targets = (ROOT / "Makefile").read_text() + (ROOT / "infra/deploy.mk").read_text()
    for path in sorted((ROOT / "docs/ci").glob("*.yml")):
        text = path.read_text()
        assert yaml.safe_load(text)
        assert "AWS_ACCESS_KEY_ID" not in text
        assert "id-token: write" in text or "id_tokens:" in text
        for target in ("test", "package", "deploy"):
            assert f"make {target}" in text
            assert f"\n{target}:" in targets
