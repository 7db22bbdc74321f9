"""A fault at every call of every port, in every way it can fail: nothing lost, nothing doubled.

The story runs once without faults, which notes each call it makes; then once for each way in which each of
those calls can fail, with a sender who sends again when the connection broke or the answer was no 2xx, and a
few minutes of ticks and workers behind it.
"""

from __future__ import annotations

import pytest

from lynceus.local.faults import Fault
from tests.world import World, binding


def play(fault: Fault | None, *, recorded: list[Fault] | None = None) -> World:
    world = World(binding("one"), binding("two", parameters={"title": "payload.head_commit.message"}))
    if fault:
        world.plan.faults.append(fault)
    for _ in range(4):
        if 200 <= world.send() < 300:
            break
        world.clock.sleep(5)
    world.work()
    world.pass_time(12)
    world.plan.clear()
    world.pass_time(12)
    if recorded is not None:
        recorded += world.plan.possible()
    return world


def every_fault() -> list[Fault]:
    recorded: list[Fault] = []
    play(None, recorded=recorded)
    # The ticks of many minutes make the same calls again and again; the first few stand for all.
    return [fault for fault in recorded if fault.call <= 4]


@pytest.mark.parametrize(
    "fault", every_fault(), ids=lambda fault: f"{fault.port}.{fault.method}-{fault.call}-{fault.kind}"
)
def test_promises_1_and_2_hold_under_every_single_fault(fault: Fault) -> None:
    world = play(fault)

    assert len(world.workflows()) == 2, world.journal.events()
    states = {submission.progress.state for submission in world.ledger.stored.values()}
    assert states <= {"created", "existed"}
    assert world.queue.dead == []


def test_promises_1_and_2_hold_when_the_first_two_calls_of_every_method_fail_after_their_effect() -> None:
    world = World(binding("one"), binding("two"))
    first: list[Fault] = []
    play(None, recorded=first)
    world.plan.faults += [fault for fault in first if fault.call <= 2 and fault.kind == "after"]
    for _ in range(8):
        if 200 <= world.send() < 300:
            break
        world.clock.sleep(30)
    world.work()
    world.pass_time(40)

    assert len(world.workflows()) == 2


def test_the_registry_names_every_port_method() -> None:
    from lynceus.local.faults import PROTOCOLS, all_faults, methods

    named = {(fault.port, fault.method) for fault in all_faults()}

    assert named == {(port, method) for port in PROTOCOLS for method in methods(port)}
