"""What a command says: for people by default, as JSON or YAML with `-o`, in colour only on a terminal.

Answers go to stdout, everything about the run (progress, errors, hints) to stderr, so that a pipe sees
answers only. With `-o json` or `-o yaml` the prose is left out and `data` alone is printed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from chalicelib.core.errors import BadRequest

DONE, NO, USAGE, UNREACHABLE = 0, 1, 2, 3  # exit codes, stable

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}


class Misused(BadRequest):
    """What was typed cannot be meant: exit code 2."""


class Output:
    """Where a command prints; one per run."""

    def __init__(
        self,
        form: str = "human",
        *,
        colour: bool | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self.form = form
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        terminal = self._stdout.isatty() and "NO_COLOR" not in os.environ
        self._colour = terminal if colour is None else colour
        self._progress_shown = False

    @property
    def human(self) -> bool:
        """True when prose is wanted."""
        return self.form == "human"

    def paint(self, text: str, colour: str) -> str:
        """The text in the colour, or as it is where colour is off."""
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self._colour else text

    def line(self, text: str = "", *, colour: str = "") -> None:
        """Print prose; nothing with -o json or yaml."""
        if self.human:
            self._stdout.write((self.paint(text, colour) if colour else text) + "\n")
            self._stdout.flush()

    def data(self, value: Any) -> None:
        """Print the value as JSON or YAML; nothing for people, who get lines and tables."""
        if self.form == "json":
            self._stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")
        elif self.form == "yaml":
            self._stdout.write(_yaml(value))
        self._stdout.flush()

    def entry(self, value: Any) -> None:
        """Print one of a stream of values: JSON of one line each, or a YAML document each; nothing for people."""
        if self.form == "json":
            self._stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        elif self.form == "yaml":
            self._stdout.write("---\n" + _yaml(value))
        self._stdout.flush()

    def table(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print rows under upper-case column names, aligned; nothing with -o json or yaml."""
        if not self.human:
            return
        lines = [[column.upper().replace("_", " ") for column in columns]]
        lines += [["" if row.get(column) is None else str(row[column]) for column in columns] for row in rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
        for number, line in enumerate(lines):
            text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            self.line(text, colour="bold" if number == 0 else "")

    def error(self, message: str, hint: str = "") -> None:
        """Print what went wrong, and the next step where there is one, to stderr."""
        self.end_progress()
        painted = f"\x1b[31merror:\x1b[0m {message}" if self._colour else f"error: {message}"
        self._stderr.write(painted + "\n")
        if hint:
            self._stderr.write(f"  {hint}\n")

    def progress(self, text: str) -> None:
        """Replace the progress line on a terminal; silent elsewhere."""
        if self._stderr.isatty():
            self._stderr.write(f"\r\x1b[K{text}")
            self._stderr.flush()
            self._progress_shown = True

    def end_progress(self) -> None:
        """Clear the progress line."""
        if self._progress_shown:
            self._stderr.write("\r\x1b[K")
            self._progress_shown = False

    def confirm(self, question: str, *, yes: bool) -> bool:
        """True when the person says yes, or said so with --yes; False without a terminal to ask on."""
        if yes:
            return True
        if not sys.stdin.isatty():
            self.error("this needs a yes", "repeat the command with --yes")
            return False
        self._stderr.write(f"{question} [y/N] ")
        self._stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")


def _yaml(value: Any) -> str:
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
