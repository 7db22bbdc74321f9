"""EventBridge's minute on this machine: the schedule's functions are invoked on each full minute.

Only the rate of a minute is known here, since the app has no other schedule. The first tick comes at once, so
that a start picks up what the last run left behind; ticks never overlap, a late one is skipped.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lynceus.local.functions import ACCOUNT, REGION, Functions

MINUTE = 60.0
STOP_SECONDS = 1.0


class Ticker:
    """Invokes every scheduled function of an app, each `interval` seconds of the wall clock."""

    def __init__(
        self,
        functions: Functions,
        interval: float = MINUTE,
        *,
        on_failure: Callable[[str, Exception], None],
    ) -> None:
        self._functions, self._interval, self._on_failure = functions, interval, on_failure
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticks", daemon=True)

    def start(self) -> None:
        """Tick now and from then on."""
        self._thread.start()

    def stop(self) -> None:
        """Tick no more, and wait a second for the one under way."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        due = time.time()
        while True:
            for schedule in self._functions.schedules:
                try:
                    self._functions.invoke(
                        schedule.name, scheduled_event(schedule.name, datetime.fromtimestamp(due, UTC))
                    )
                except Exception as error:  # noqa: BLE001  # the next tick comes whatever this one did
                    if not self._stopping.is_set():
                        self._on_failure(schedule.name, error)
            due = next_tick(time.time(), self._interval)
            if self._stopping.wait(due - time.time()):
                return


def next_tick(now: float, interval: float = MINUTE) -> float:
    """The next full interval after `now`, both in Unix seconds."""
    return (now // interval + 1) * interval


def scheduled_event(rule: str, at: datetime) -> dict[str, Any]:
    """The event of a scheduled rule, as EventBridge sends it: `time` in whole seconds."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}"],
        "detail": {},
    }
