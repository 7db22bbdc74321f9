"""`lynceus test`: golden verdicts and rendered Workflows, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lynceus.__main__ import main
from tests.world import PUSH, binding, template


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "fixtures").mkdir()
    fixture = {
        "client": "github.com",
        "provider": "github",
        "headers": {"X-GitHub-Event": ["push"]},
        "payload": PUSH,
    }
    (tmp_path / "fixtures" / "push.json").write_text(json.dumps(fixture))
    write(tmp_path, binding("on-push"), binding("never", "false"), template())
    return tmp_path


def write(place: Path, *objects: dict[str, Any]) -> None:
    (place / "bindings.yaml").write_text("---\n".join(yaml.safe_dump(raw) for raw in objects))


def run(place: Path, *more: str) -> int:
    return main(["test", str(place / "fixtures"), str(place / "bindings.yaml"), *more])


def test_what_was_written_is_what_is_found_again(place: Path) -> None:
    assert run(place) == 1  # nothing is recorded yet
    assert run(place, "--update") == 0
    assert run(place) == 0


def test_the_golden_file_holds_verdicts_and_rendered_workflows(place: Path) -> None:
    run(place, "--update")

    golden = yaml.safe_load((place / "fixtures" / "push.golden.yaml").read_text())

    assert golden["verdicts"]["never"] == {"outcome": "not-matched", "reason": "selector-false"}
    [workflow] = golden["workflows"]
    assert workflow["spec"]["arguments"]["parameters"] == [{"name": "revision", "value": PUSH["after"]}]
    assert (
        workflow["metadata"]["labels"]["workflows.argoproj.io/creator"]
        == "system-serviceaccount-argo-github.com"
    )


def test_a_changed_answer_is_shown_as_a_diff(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(place, "--update")
    write(place, binding("on-push", 'payload.ref == "refs/heads/other"'), binding("never", "false"))
    capsys.readouterr()

    assert run(place) == 1
    out = capsys.readouterr().out
    assert "-    outcome: matched" in out
    assert "+    outcome: not-matched" in out


def test_bindings_without_a_namespace_are_asked_in_that_of_the_fixture(place: Path) -> None:
    raw = binding("on-push")
    del raw["metadata"]["namespace"]
    write(place, raw)
    run(place, "--update")

    golden = yaml.safe_load((place / "fixtures" / "push.golden.yaml").read_text())

    assert golden["workflows"][0]["metadata"]["namespace"] == "argo"


@pytest.mark.parametrize(
    "fixture",
    ["[]", '{"headrs": {}}', '{"receivedAt": "never"}', '{"provider": "nobody"}', "a: b\n---\nc: d", "{"],
)
def test_a_fixture_that_is_none_says_so(
    place: Path, fixture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "fixtures" / "push.json").write_text(fixture)

    assert run(place, "--update") == 1
    assert "push.json" in capsys.readouterr().err


def test_nothing_to_compare_is_a_usage_error(place: Path) -> None:
    write(place, template())

    assert run(place) == 2
    assert main(["test", str(place / "missing"), str(place / "bindings.yaml")]) == 2
