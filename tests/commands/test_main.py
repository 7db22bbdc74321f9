"""`lynceus` as a process: whatever becomes of its streams, it ends with a line and an exit code, never in a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMOS = str(ROOT / "lynceus" / "local" / "demos.yaml")


def command(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of the line, in which `lynceus` is this checkout's."""
    return subprocess.run(  # the lines are those below
        line.replace("lynceus", f"{sys.executable} -m lynceus", 1),
        shell=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_a_terminal_that_knows_ascii_alone_is_shown_what_it_can_show() -> None:
    told = command("""lynceus eval '"é → \U0001f642"'""", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert (told.returncode, told.stderr) == (0, "")
    assert "\\u2192" in told.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [f"lint -o json {DEMOS}", f"lint {DEMOS}"])
def test_a_full_disk_is_one_line(words: str, unbuffered: str) -> None:
    told = command(f"lynceus {words} > /dev/full", PYTHONUNBUFFERED=unbuffered)

    assert (told.returncode, told.stderr) == (1, "error: No space left on device\n")


def test_streams_that_are_closed_change_no_exit_code() -> None:
    assert command(f"lynceus lint {DEMOS} >&- 2>&-").returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_ends_it_in_silence(unbuffered: str) -> None:
    told = command(f"lynceus lint {DEMOS} | true", PYTHONUNBUFFERED=unbuffered)

    assert (told.stdout, told.stderr) == ("", "")
