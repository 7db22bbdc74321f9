"""A fault at every call of every port, in every way it can fail: nothing lost, nothing doubled.

A story runs once without faults, which notes each call it makes; then once for each way in which each of
those calls can fail, with a sender who sends again when the connection broke or the answer was no 2xx, and a
few minutes of ticks and workers behind it. Then two faults at once: after the first one the story takes another
way, whose calls are noted and fail in their turn. So the sweep, the envelope, the open attempt and the worker that
comes second are all met in the middle of a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest

from chalicelib.core.events import Delivery
from chalicelib.core.submissions import SUCCEEDED
from chalicelib.ports import Outstanding
from lynceus.local.faults import AFTER, BEFORE, KILLED, TIMEOUT, Fault
from lynceus.local.memory import FakeClock
from tests.world import MINUTE, World, account, binding, template

Story = Callable[[World], None]


def deliver(world: World, delivery: Callable[[], Delivery] | None = None) -> None:
    """Send until it is answered 2xx, as senders do."""
    for _ in range(4):
        if 200 <= world.send(delivery() if delivery else None) < 300:
            return
        world.clock.sleep(5)


def night(world: World) -> None:
    """Work, and time for whatever lies on a queue or waits in the ledger; then the same without faults."""
    world.work()
    world.pass_time(8)
    world.plan.clear()
    world.pass_time(10)


def pushed(world: World) -> None:
    deliver(world)
    night(world)


def pushed_twice(world: World) -> None:
    deliver(world)
    world.work()
    deliver(world)
    night(world)


def pushed_while_the_ledger_was_away(world: World) -> None:
    world.plan.faults.append(Fault("ledger", "keep", BEFORE))
    deliver(world)
    night(world)


def pushed_while_the_queue_was_away(world: World) -> None:
    world.plan.faults.append(Fault("queue", "send", BEFORE))
    deliver(world)
    night(world)


def pushed_while_no_bindings_were_known(world: World) -> None:
    world.plan.faults.append(Fault("cluster", "bindings", BEFORE))
    deliver(world)
    night(world)


def pushed_while_the_door_had_no_time(world: World) -> None:
    world.with_settings(door_seconds=-1.0)
    deliver(world)
    night(world)


def pushed_before_the_template_was_there_and_redelivered(world: World) -> None:
    world.cluster.remove("WorkflowTemplate", "argo", "build")
    deliver(world)
    world.work()
    world.pass_time(3)
    world.cluster.apply(template())
    deliver(world)
    night(world)


def sent_by_a_caller_with_a_token(world: World) -> None:
    world.cluster.apply(account("jenkins"))
    world.cluster.tokens["t"] = "system:serviceaccount:argo:jenkins"
    headers = [("Authorization", "Bearer t"), ("Idempotency-Key", "build-7"), ("X-GitHub-Event", "push")]
    deliver(world, lambda: Delivery("argo", "", "POST", headers, {}, b'{"after": "1"}', world.clock.now()))
    night(world)


STORIES: tuple[Story, ...] = (
    pushed_twice,
    pushed_while_the_ledger_was_away,
    pushed_while_the_queue_was_away,
    pushed_while_no_bindings_were_known,
    pushed_while_the_door_had_no_time,
    pushed_before_the_template_was_there_and_redelivered,
    sent_by_a_caller_with_a_token,
)


def play(story: Story, *faults: Fault, bindings: int = 2) -> World:
    world = World(*(binding(f"b{number}") for number in range(bindings)))
    world.plan.faults += faults
    story(world)
    return world


def calls_of(story: Story, *faults: Fault, kinds: Iterable[str] = (), bindings: int = 2) -> list[Fault]:
    """Every fault that the story can meet under these; of a method's calls, the first few stand for all."""
    world = play(story, *faults, bindings=bindings)
    # The ticks of many minutes make the same calls again and again.
    return [fault for fault in world.plan.possible(kinds) if fault.call <= 4]


def name_of(fault: Fault) -> str:
    return f"{fault.port}.{fault.method}-{fault.call}-{fault.kind}"


def outbox_of(world: World) -> list[Outstanding]:
    later = world.clock.now() + timedelta(days=30)
    return [entry for shard in range(16) for entry in world.ledger.due(shard, later, 10)]


def wrong_in(world: World, workflows: int) -> str:
    """What is not as promised; "" where all is well."""
    states = {submission.progress.state for submission in world.ledger.stored.values()}
    found = [
        f"{len(world.workflows())} Workflows" if len(world.workflows()) != workflows else "",
        f"states {states}" if not states <= {"created", "existed"} else "",
        f"dead letters {world.queue.dead}" if world.queue.dead else "",
        "something still waits in the outbox" if outbox_of(world) else "",
    ]
    return "; ".join(filter(None, found))


@pytest.mark.parametrize("fault", calls_of(pushed), ids=name_of)
def test_promises_1_and_2_hold_under_every_single_fault(fault: Fault) -> None:
    world = play(pushed, fault)

    assert wrong_in(world, 2) == "", world.journal.events()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_every_story_comes_to_its_two_workflows_under_every_single_fault(story: Story) -> None:
    faults = calls_of(story, kinds=(BEFORE, AFTER, KILLED))

    wrong = {name_of(fault): found for fault in faults if (found := wrong_in(play(story, fault), 2))}

    assert len(faults) > 100
    assert wrong == {}


FIRST = [fault for fault in calls_of(pushed, kinds=(BEFORE, TIMEOUT, KILLED), bindings=1) if fault.call == 1]


@pytest.mark.slow
@pytest.mark.parametrize("first", FIRST, ids=name_of)
def test_promises_1_and_2_hold_under_every_fault_behind_another_one(first: Fault) -> None:
    faults = [
        fault for fault in calls_of(pushed, first, kinds=(BEFORE, KILLED), bindings=1) if fault.call <= 2
    ]

    wrong = {}
    for second in faults:
        if found := wrong_in(play(pushed, first, second, bindings=1), 1):
            wrong[name_of(second)] = found

    assert wrong == {}


def test_promises_1_and_2_hold_when_the_first_two_calls_of_every_method_fail_after_their_effect() -> None:
    world = World(binding("one"), binding("two"))
    world.plan.faults += [fault for fault in calls_of(pushed, kinds=(AFTER,)) if fault.call <= 2]
    for _ in range(8):
        if 200 <= world.send() < 300:
            break
        world.clock.sleep(30)
    world.work()
    world.pass_time(40)

    assert wrong_in(world, 2) == ""


MINUTELY = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "CronWorkflow",
    "metadata": {"name": "minutely", "namespace": "argo"},
    "spec": {
        "schedules": ["* * * * *"],
        "concurrencyPolicy": "Replace",
        "workflowSpec": {"workflowTemplateRef": {"name": "build"}},
    },
}


def minutes_of_cron(*faults: Fault) -> World:
    """Six minutes with faults and four without, the worker awake every five seconds."""
    world = World(MINUTELY)
    world.plan.faults += faults
    start, ticked = world.clock.now(), None
    while (passed := world.clock.now() - start) < timedelta(minutes=10):
        if passed >= timedelta(minutes=6):
            world.plan.clear()
        if passed // MINUTE != ticked:
            ticked = passed // MINUTE
            world.tick()
        world.work(cron=True)
        world.clock.sleep(5)
    return world


def wrong_with_cron_in(world: World) -> str:
    """Each minute has one run; it became a Workflow or is recorded as too late; what came after the faults ran."""
    runs = {s.scheduled_at: s.progress.state for s in world.ledger.stored.values()}
    start = FakeClock().now()
    said = [runs.get(start + minute * MINUTE, "lost") for minute in range(1, 9)]
    succeeded = {f"minutely-{int(at.timestamp())}" for at, state in runs.items() if at and state in SUCCEEDED}
    wrong = set(said) - {"created", "existed", "missed"} or set(said[6:]) - {"created", "existed"}
    return f"{said}" if wrong or succeeded != set(world.names()) else ""


@pytest.mark.parametrize("kind", [BEFORE, AFTER, TIMEOUT, KILLED])
def test_promise_2_holds_for_cron_under_every_single_fault(kind: str) -> None:
    faults = [fault for fault in minutes_of_cron().plan.possible((kind,)) if fault.call <= 3]

    wrong = {
        name_of(fault): found for fault in faults if (found := wrong_with_cron_in(minutes_of_cron(fault)))
    }

    assert len(faults) > 30
    assert wrong == {}


def test_the_registry_names_every_port_method() -> None:
    from lynceus.local.faults import PROTOCOLS, all_faults, methods

    named = {(fault.port, fault.method) for fault in all_faults()}

    assert named == {(port, method) for port in PROTOCOLS for method in methods(port)}
