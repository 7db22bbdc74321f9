"""A short bad day; `make chaos` has the long one."""

from __future__ import annotations

import pytest

from tests.chaos import Day


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_and_nothing_doubled_on_a_bad_day(seed: int) -> None:
    day = Day(seed)

    told = day.run(events=120, rate=0.05)

    assert day.weather.met
    assert told.lost == []
    assert told.doubled == []
    assert told.accepted == told.recorded
    assert told.submissions == told.dispatched + told.failed + told.planned
    assert day.world.queue.dead == []
