"""The minute clock invokes the schedule's function at once and on each full minute, with EventBridge's event."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

from chalice import Chalice, Rate
from hypothesis import given
from hypothesis import strategies as st

from lynceus.local.functions import Functions
from lynceus.local.ticks import Ticker, next_tick, scheduled_event


def ticking(function: Any) -> Functions:
    app = Chalice("ticking", configure_logs=False)
    app.schedule(Rate(1, unit=Rate.MINUTES), name="tick")(function)
    return Functions(app)


def test_it_ticks_at_once_and_then_on_full_intervals() -> None:
    times: list[datetime] = []
    enough = threading.Event()

    def tick(event: Any) -> None:
        times.append(datetime.strptime(event.time, "%Y-%m-%dT%H:%M:%S%z"))
        if len(times) == 3:
            enough.set()

    ticker = Ticker(ticking(tick), 1, on_failure=lambda name, error: None)
    ticker.start()
    assert enough.wait(20)
    ticker.stop()
    assert times[0] < times[1] < times[2]


def test_a_tick_that_fails_is_reported_and_does_not_end_the_clock() -> None:
    calls: list[Any] = []
    failures: list[tuple[str, str]] = []
    again = threading.Event()

    def tick(event: Any) -> None:
        calls.append(event)
        if len(calls) == 2:
            again.set()
        raise ValueError("broken")

    ticker = Ticker(ticking(tick), 1, on_failure=lambda name, error: failures.append((name, str(error))))
    ticker.start()
    assert again.wait(20)
    ticker.stop()
    assert failures[0] == ("tick", "broken")


@given(st.floats(min_value=0, max_value=4e9), st.sampled_from([1.0, 2.0, 60.0]))
def test_the_next_tick_is_the_next_full_interval(now: float, interval: float) -> None:
    due = next_tick(now, interval)
    assert now < due <= now + interval
    assert due % interval == 0


def test_the_event_has_the_shape_that_eventbridge_sends() -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/with-eventbridge-scheduler.html
    event = scheduled_event("tick", datetime(2026, 11, 21, 10, 5, 0, 999, UTC))
    assert event["time"] == "2026-11-21T10:05:00Z"
    assert event["source"] == "aws.events"
    assert event["detail-type"] == "Scheduled Event"
    assert event["resources"] == ["arn:aws:events:us-east-1:123456789012:rule/tick"]
    assert event["detail"] == {}
