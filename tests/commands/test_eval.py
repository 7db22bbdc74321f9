"""`lynceus eval`: one expression against one event, in each of the forms that an event is written down in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lynceus.__main__ import main

FIXTURE = {
    "client": "github.com",
    "provider": "github",
    "discriminator": "github",
    "headers": {"x-github-event": ["push"], "content-type": ["application/json"]},
    "payload": {"ref": "refs/heads/main"},
}


def evaluated(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """The JSON that is printed, whatever the exit code."""
    capsys.readouterr()
    main(["eval", "-o", "json", *words])
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "document",
    [FIXTURE, {"payload": FIXTURE["payload"], "discriminator": "github"}, FIXTURE["payload"]],
    ids=["fixture", "environment", "payload"],
)
def test_an_event_is_a_fixture_an_environment_or_a_payload(
    document: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(document))

    told = evaluated(capsys, "payload.ref", "--event", str(path))

    assert told == {"value": "refs/heads/main", "type": "string", "parameter": "refs/heads/main"}


def test_a_fixture_has_the_headers_that_a_binding_sees(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(FIXTURE))

    assert evaluated(capsys, "metadata", "--event", str(path))["value"] == {"x-github-event": ["push"]}


def test_a_selector_that_is_false_exits_one_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["eval", "--selector", 'discriminator == "x"'])

    assert (code, "is false" in capsys.readouterr().out) == (1, True)


def test_an_error_has_its_place_and_without_an_event_the_next_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["eval", "payload.a"])

    said = capsys.readouterr().err
    assert (code, "(1:9)" in said, "--event FILE" in said) == (1, True, True)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", None])
def test_a_file_that_is_no_event_is_a_usage_error(
    content: bytes | None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    if content is not None:
        path.write_bytes(content)

    assert main(["eval", "payload", "--event", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
