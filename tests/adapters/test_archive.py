"""Both archives keep what every archive promises; the one in DynamoDB asks once for each page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends

from chalicelib.adapters.archive import DynamoArchive
from chalicelib.adapters.ledger import DynamoLedger, _head_item
from chalicelib.core.records import EventRecord
from chalicelib.flow import look
from lynceus.local.memory import MemoryArchive, MemoryLedger
from tests.adapters.contract_archive import ArchiveContract, Stores
from tests.adapters.contract_ledger import NOW, record
from tests.adapters.test_ledger import TABLE
from tests.adapters.test_ledger import dynamodb as dynamodb
from tests.world import World


class TestMemoryArchive(ArchiveContract):
    @pytest.fixture
    def stores(self) -> Stores:
        ledger = MemoryLedger()
        return ledger, MemoryArchive(ledger)


class TestDynamoArchive(ArchiveContract):
    @pytest.fixture
    def stores(self, dynamodb: None) -> Stores:
        client = boto3.client("dynamodb", "us-east-1")
        ledger = DynamoLedger(lambda: client, TABLE)
        return ledger, DynamoArchive(ledger)


def read_releases(world: World, limit: int) -> tuple[list[Any], int]:
    """Every release of the day, and how many pages that took."""
    found: list[Any] = []
    cursor, pages = "", 0
    while not pages or cursor:
        query = {"limit": str(limit), "event_type": "release", "cursor": cursor}
        page = look.list_events("Bearer reader", "argo", query, world.ports, world.settings)
        found += page["items"]
        cursor, pages = page["cursor"], pages + 1
    times = [item["receivedAt"] for item in found]
    assert times == sorted(times, reverse=True)
    return found, pages


def events(count: int) -> Iterator[EventRecord]:
    """The records of so many events of one day, a tenth of them releases."""
    first = record("one")
    for number in range(count):
        yield replace(
            first,
            id=f"{number:032x}",
            received_at=NOW + timedelta(seconds=3 * number),
            event_type="push" if number % 10 else "release",
        )


def test_ten_thousand_events_are_listed_and_filtered_at_one_call_of_the_archive_for_each_page() -> None:
    world = World()
    world.clock.set(NOW + timedelta(hours=11))
    world.cluster.tokens["reader"] = "ada"
    world.ledger.events = {each.id: each for each in events(10_000)}

    found, pages = read_releases(world, 500)

    assert (len(found), pages) == (1000, 20)
    assert world.plan.calls == {("cluster", "allowed"): pages, ("archive", "events"): pages}


def test_one_call_of_the_archive_is_one_query_however_many_events_there_are(dynamodb: None) -> None:
    client: Any = boto3.client("dynamodb", "us-east-1")
    table = dynamodb_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].tables[TABLE]
    for each in events(1500):
        table.put_item(_head_item(each, 4102444800))  # moto's memory itself: its API would take a minute
    calls: Counter[str] = Counter()
    client.meta.events.register("before-call.dynamodb.*", lambda model, **_: calls.update([model.name]))
    world = World(ledger=DynamoLedger(lambda: client, TABLE))
    world.clock.set(NOW + timedelta(hours=11))
    world.cluster.tokens["reader"] = "ada"

    found, pages = read_releases(world, 400)

    assert (len(found), pages) == (150, 4)
    assert calls == {"Query": pages}
