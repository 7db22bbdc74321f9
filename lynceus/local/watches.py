"""What people see while the system runs: one short line for each event and workflow.

The functions write their log lines to standard output, as on Lambda, where CloudWatch keeps them. Here a Watch
takes the place of standard output: the lines go whole to a file, and those that somebody waits for are told on
the terminal in a few words.
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lynceus.output import Output

LOG_LIMIT = 10 * 1024 * 1024  # bytes of the file before it is put aside at a start
WIDTH = 9  # of the first word

# Event name of a log line → first word, colour, the rest. A field that is missing reads as "".
_TOLD = {
    "event.accepted": (
        "event",
        "bold",
        "{namespace}  {sender}  {submissions} of {bindings} bindings matched{failing}",
    ),
    "event.duplicate": ("event", "dim", "{namespace}  had this delivery already  {event_id:.8}"),
    "event.repaired": ("event", "bold", "{namespace}  repaired, {submissions} submissions  {event_id:.8}"),
    "event.enveloped": ("event", "yellow", "{namespace}  ledger away, kept in the queue  {event_id:.8}"),
    "event.handshake": ("event", "dim", "{namespace}  handshake with {client}"),
    "workflow.created": ("workflow", "green", "{namespace}/{workflow}  created for {binding}"),
    "workflow.existed": ("workflow", "dim", "{namespace}/{workflow}  was there already"),
    "submission.failed": ("failed", "red", "{namespace}  {source}: {message}"),
    "submission.skipped": ("skipped", "dim", "{namespace}  {source}: {message}"),
    "submission.expired": ("expired", "yellow", "{namespace}  {source}: {message}"),
    "submission.missed": ("missed", "yellow", "{namespace}  {source}: {message}"),
    "submission.waits": ("waits", "yellow", "{namespace}  {reason}: {message}"),
    "request.refused": ("refused", "yellow", "{namespace}  {status}  {detail}"),
}
_UNINTERESTING = ("event", "level", "timestamp", "service", "stage", "function")
_PHASES = {"Succeeded": "green", "Failed": "red", "Error": "red"}


class Watch(io.TextIOBase):
    """A standard output whose JSON lines are kept in `log` and told on `out`; `quiet` tells nothing."""

    def __init__(self, out: Output, log: Path, *, quiet: bool = False) -> None:
        super().__init__()
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_name(log.name + ".1"))
        log.touch(0o600)
        self._log = log.open("a")
        self._out, self._quiet = out, quiet
        self._lock = threading.Lock()
        self._begun = threading.local()  # lines begun, apart by thread

    def write(self, text: str) -> int:
        """Take text; whole lines are kept and told."""
        *lines, self._begun.text = (getattr(self._begun, "text", "") + text).split("\n")
        for line in lines:
            self._take(line)
        return len(text)

    def tell(self, word: str, text: str, colour: str = "") -> None:  # type: ignore[override]  # no seeking here
        """Say one line with the time."""
        if self._quiet:
            return
        moment = self._out.paint(time.strftime("%H:%M:%S"), "dim")
        # A log line may quote a stranger: control characters must not reach the terminal.
        plain = "".join(sign if sign.isprintable() else " " for sign in text)[:300]
        said = f"{word:<{WIDTH}} {plain}"
        with self._lock:
            if not self.closed:
                self._out.line(f"{moment}  {self._out.paint(said, colour) if colour else said}")

    def tell_phase(self, line: str) -> None:
        """Say a change of the playing workflow controller; that a workflow runs is no news."""
        _, phase, text = line.split(None, 2)
        if phase in _PHASES:
            self.tell("workflow", f"{text}  {phase}", _PHASES[phase])

    def tell_failure(self, function: str, error: Exception) -> None:
        """Say that a function raised: its message comes back after the visibility timeout."""
        self.tell("error", f"{function}: {type(error).__name__}: {error}", "red")

    def tell_refusal(self, method: str, path: str, status: int) -> None:
        """Say what the gateway answered itself."""
        self.tell("refused", f"{method} {path}  {status}", "yellow")

    def close(self) -> None:
        """Tell and keep nothing more."""
        with self._lock:
            self._log.close()
            super().close()

    def _take(self, line: str) -> None:
        with self._lock:
            if self.closed or not line:
                return
            self._log.write(line + "\n")
            self._log.flush()
        try:
            fields = json.loads(line)
        except ValueError:
            self.tell("output", line, "dim")
            return
        if isinstance(fields, dict) and "_aws" not in fields:
            self._tell_line(fields)

    def _tell_line(self, fields: Mapping[str, Any]) -> None:
        name = str(fields.get("event", ""))
        if name in _TOLD:
            word, colour, form = _TOLD[name]
            self.tell(word, form.format_map(_Fields(fields)), colour)
        elif fields.get("level") == "ERROR":
            rest = [f"{key}={value}" for key, value in fields.items() if key not in _UNINTERESTING]
            self.tell("error", " ".join([name, *rest]), "red")


class _Fields(dict[str, str]):
    """The fields as text, "" for those that are missing; `sender` and `failing` in a few words."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__({name: "" if value is None else str(value) for name, value in fields.items()})
        sender = " ".join(filter(None, (self["provider"], self["event_type"])))
        self["sender"] = sender or self["client"] or "message"
        failing = self["errors"] if self["errors"] not in ("", "0") else ""
        self["failing"] = (
            f", {failing} failed: lynceus --local events explain {self['event_id']}" if failing else ""
        )

    def __missing__(self, name: str) -> str:
        return ""
