"""The ledger in memory keeps what every ledger promises; the other ports are tested beside the real ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.core.errors import NotFound
from chalicelib.ports import Ledger
from lynceus.local.memory import FakeClock, MemoryJournal, MemoryLedger
from tests.adapters.contract_ledger import BODY, LedgerContract, record


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger()


def test_a_ledger_that_keeps_no_bodies_finds_none() -> None:
    ledger = MemoryLedger(keep_bodies=False)
    ledger.keep(record(), BODY, [])
    with pytest.raises(NotFound):
        ledger.body(record())


def test_sleeping_moves_the_fake_clock_at_once() -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    before = clock.monotonic()
    clock.sleep(90)
    assert clock.now() == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)
    assert clock.monotonic() - before == 90
    clock.set(clock.now() - timedelta(days=1))
    assert clock.now() == datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)


def test_lines_written_within_carry_the_fields_and_those_after_do_not() -> None:
    journal = MemoryJournal()
    with journal.within(namespace="argo"):
        journal.log("inside", more=1)
    journal.error("outside")
    journal.count("events", 2)
    journal.count("events")
    assert journal.lines == [
        {"level": "INFO", "event": "inside", "namespace": "argo", "more": 1},
        {"level": "ERROR", "event": "outside"},
    ]
    assert journal.metrics == {"events": 3}
