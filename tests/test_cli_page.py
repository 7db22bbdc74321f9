"""docs/cli.md names every verb, every verb below a verb, and no option that does not exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lynceus.__main__ import main, verbs

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "cli.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("lynceus ")]


def test_every_verb_has_its_section() -> None:
    named = {
        word for heading in re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE) for word in heading.split(", ")
    }

    assert set(verbs()) <= named


@pytest.mark.parametrize("verb", ["events", "dlq", "clients"])
def test_every_verb_below_a_verb_is_shown(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    below = re.findall(r"^    ([a-z]+) ", capsys.readouterr().out, flags=re.MULTILINE)

    assert below
    assert {word for word in below if f"lynceus {verb} {word}" not in PAGE} == set()


@pytest.mark.parametrize("command", sorted({re.split(r" {3,}", line)[0] for line in COMMANDS}))
def test_every_option_that_is_shown_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command.replace("[", "").replace("]", ""))[1:]
    shown = [word for word in words if word.startswith("--")]
    below = words[:2] if words[0] in ("events", "dlq", "clients", "cron") else words[:1]

    main([*below, "--help"])

    told = capsys.readouterr().out
    assert [option for option in shown if option not in told] == []
