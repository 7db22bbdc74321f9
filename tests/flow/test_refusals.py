"""What is refused is counted, bounded whatever strangers send, and never in the way."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from chalicelib.core.errors import LynceusError, Unauthenticated
from chalicelib.core.events import Delivery
from chalicelib.core.webhooks import parse_clients
from chalicelib.flow import refusals
from chalicelib.flow.refusals import Refusals
from chalicelib.settings import Settings
from lynceus.senders import sample, signed
from tests.world import World


def refuse(world: World, counting: Refusals, times: int = 1, **delivery: str) -> None:
    for _ in range(times):
        with (
            pytest.raises(LynceusError),
            counting.counting(sent := world.delivery(secret="wrong", **delivery)),
        ):
            world.receive(sent)


def counted(world: World) -> dict[str, int]:
    since = world.clock.now() - timedelta(hours=1)
    return {refusal.reason: refusal.count for refusal in world.archive.refused("argo", since, 100)}


def test_refusals_are_counted_by_minute_and_reason_with_one_sample() -> None:
    world = World()
    counting = Refusals(world.ports, world.settings)

    refuse(world, counting)

    [refusal] = world.archive.refused("argo", world.clock.now() - timedelta(hours=1), 10)
    assert (refusal.reason, refusal.count) == ("signature-mismatch", 1)
    assert refusal.sample["status"] == "401"
    assert set(refusal.sample) <= {"status", "discriminator", "size", "userAgent", "contentType", "at"}


def test_rule_13_a_flood_is_written_a_few_times_and_counted_whole_once_its_minute_is_over() -> None:
    world = World()
    counting = Refusals(world.ports, world.settings)

    refuse(world, counting, 250)
    written = world.plan.calls["archive", "refuse"]
    world.clock.sleep(60)
    refuse(world, counting)

    assert written == 3
    found = world.archive.refused("argo", world.clock.now() - timedelta(hours=1), 10)
    assert sum(refusal.count for refusal in found) == 251


def test_rule_13_names_that_are_no_label_or_not_served_write_nothing() -> None:
    world = World(settings=Settings(namespaces=("argo",)))
    counting = Refusals(world.ports, world.settings)

    for namespace in ("other", "UPPER", "a/b", "", "x" * 64):
        refuse(world, counting, namespace=namespace)

    assert world.plan.calls["archive", "refuse"] == 0


def test_rule_13_strangers_who_make_up_names_write_only_so_many() -> None:
    world = World()
    counting = Refusals(world.ports, world.settings)

    for number in range(200):
        refuse(world, counting, namespace=f"made-up-{number}")

    assert world.plan.calls["archive", "refuse"] == refusals.KINDS


def test_a_count_that_cannot_be_written_is_in_nobodys_way() -> None:
    world = World()
    world.plan.outage("archive")

    with pytest.raises(Unauthenticated):
        refuse_once(world)

    assert "refusal.lost" in world.journal.events()


def refuse_once(world: World) -> None:
    counting = Refusals(world.ports, world.settings)
    sent = world.delivery(secret="wrong")
    with counting.counting(sent):
        world.receive(sent)


def test_a_request_without_proof_has_its_reason_as_a_code() -> None:
    world = World()
    counting = Refusals(world.ports, world.settings)
    sent = Delivery("argo", "", "POST", [], {}, b"{}", world.clock.now())

    with pytest.raises(LynceusError), counting.counting(sent):
        world.receive(sent)

    assert set(counted(world)) == {"no-client"}


def test_a_handshake_is_counted_and_dispatches_nothing() -> None:
    world = World()
    world.secrets.documents["argo"] = json.dumps({"slack": {"type": "slack", "secret": "s"}})
    [client] = parse_clients(world.secrets.documents["argo"])
    now = world.clock.now()
    request = signed(sample("slack", "url_verification"), client, int(now.timestamp()))

    answer = world.receive(Delivery("argo", "", "POST", [*request.headers.items()], {}, request.body, now))

    assert answer.status == 200
    assert counted(world) == {"handshake": 1}
    assert world.plan.calls["ledger", "keep"] == 0
