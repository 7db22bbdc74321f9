"""Cron runs: planned ahead by the tick, decided by the worker at their second."""

from __future__ import annotations

from chalicelib.core.submissions import Submission
from chalicelib.ports import Ports
from chalicelib.settings import Settings


def plan(ports: Ports, settings: Settings) -> None:
    """Send the runs of the minutes ahead."""


def run(submission: Submission, ports: Ports, settings: Settings) -> None:
    """Decide one run at its second."""
