"""From a doorbell to a Workflow: attempts, doubts, what ends and what waits."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.adapters.ledger import _head_item
from chalicelib.core.bindings import EVENT_MATCHES
from chalicelib.core.errors import ClusterError, Unavailable
from chalicelib.flow.receive import _ENVELOPED
from chalicelib.flow.submit import work
from chalicelib.settings import Settings
from lynceus.local.faults import AFTER, BEFORE, CONFLICT, KILLED, TIMEOUT, Fault
from tests.world import World, account, binding, template

CORRUPT = {
    "v": 1,
    "kind": "envelope",
    "record": dict.fromkeys(_ENVELOPED, ""),
    "account": ["argo", "github.com", ""],
    "received_at": "2026-03-02T12:00:00+00:00",
    "metadata": {},
    "headers": [],
    "window": 60,
    "body": "bm8gemxpYg==",
}


def doorbell(world: World) -> dict[str, Any]:
    return dict(world.queue.messages[0].body)


def test_rule_19_a_message_is_a_pointer_and_nothing_more() -> None:
    world = World()
    world.receive()

    assert sorted(doorbell(world)) == ["kind", "namespace", "submission", "v", "workflow"]


def test_a_doorbell_that_rings_three_times_makes_one_workflow() -> None:
    world = World()
    world.receive()
    message = json.dumps(doorbell(world))

    for _ in range(3):
        work(message, world.ports, world.settings, world.known)

    assert len(world.workflows()) == 1
    assert world.plan.calls["cluster", "create"] == 1


def test_rule_21_a_receive_that_finds_an_outcome_does_nothing_whatever_the_cluster_shows() -> None:
    world = World()
    world.receive()
    message = json.dumps(doorbell(world))
    world.work()
    [name] = world.names()
    world.cluster.remove("Workflow", "argo", name)

    work(message, world.ports, world.settings, world.known)

    assert world.workflows() == []


def test_rule_21_a_worker_that_died_after_creating_is_found_to_have_created() -> None:
    world = World()
    answer = world.receive()
    world.plan.faults.append(Fault("cluster", "create", KILLED))

    world.work()
    world.plan.clear()
    world.pass_time(10)

    assert len(world.workflows()) == 1
    assert world.submissions(answer)[0].progress.state == "existed"


def test_rule_21_while_another_worker_can_be_alive_its_attempt_is_left_to_it() -> None:
    world = World()
    world.receive()
    message = json.dumps(doorbell(world))
    world.plan.faults.append(Fault("cluster", "create", KILLED))
    world.work()
    creates = world.plan.calls["cluster", "create"]

    work(message, world.ports, world.settings, world.known)

    assert world.plan.calls["cluster", "create"] == creates
    assert world.queue.messages[-1].visible_at > world.clock.now()


@pytest.mark.parametrize(
    ("annotation", "state", "workflows"), [("create", "created", 1), ("skip", "failed", 0)]
)
def test_rule_21_the_one_undecidable_case_is_decided_by_the_annotation(
    annotation: str, state: str, workflows: int
) -> None:
    """The attempt was opened, no outcome was written, and the object is not there."""
    world = World(binding("on-push", annotations={"lynceus.dev/on-doubt": annotation}))
    answer = world.receive()
    world.plan.faults.append(Fault("cluster", "create", KILLED))
    world.work()
    world.cluster.remove("Workflow", "argo", world.names()[0])

    world.pass_time(10)

    submission = world.submissions(answer)[0]
    assert submission.progress.state == state
    assert len(world.workflows()) == workflows
    assert submission.progress.reason == ("created" if annotation == "create" else "in-doubt")


def test_rule_22_a_name_that_somebody_else_took_is_a_visible_failure() -> None:
    world = World(binding("on-push", metadata={"name": '"fixed"'}))
    world.cluster.apply(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {"name": "fixed", "namespace": "argo"},
        }
    )

    answer = world.receive()
    world.work()

    progress = world.submissions(answer)[0].progress
    assert (progress.state, progress.reason) == ("failed", "name-taken")
    assert progress.message == 'failed to create workflow: workflows.argoproj.io "fixed" already exists'
    assert world.cluster.reports[0].message == f"failed to dispatch event: {progress.message}"


def test_rule_23_a_template_that_is_just_being_made_is_waited_for() -> None:
    world = World()
    world.cluster.remove("WorkflowTemplate", "argo", "build")
    answer = world.receive()
    world.work()
    assert world.submissions(answer)[0].progress.state == "waiting"
    for _ in range(5):
        world.clock.sleep(10)
        world.work()
    world.cluster.apply(template())

    world.clock.sleep(10)
    world.work()

    assert world.submissions(answer)[0].progress.state == "created"


def test_rule_23_rights_that_we_lack_ourselves_wait_for_an_operator_and_call_one() -> None:
    world = World()
    world.cluster.deny("lynceus", "impersonate", "serviceaccounts")
    answer = world.receive()
    world.work()
    assert world.submissions(answer)[0].progress.state == "waiting"
    assert world.journal.metrics["operator_needed"] == 1

    world.pass_time(10)
    world.cluster.allow("lynceus", "impersonate", "serviceaccounts")
    world.pass_time(8)

    assert world.submissions(answer)[0].progress.state == "created"


def test_rule_23_an_outage_uses_up_nothing_of_the_grace_behind_it() -> None:
    world = World()
    world.tick()
    answer = world.receive()
    world.plan.outage("cluster")
    world.pass_time(30)
    world.plan.clear()
    world.cluster.deny("system:serviceaccount:argo:github.com", "create", "workflows")
    while world.submissions(answer)[0].progress.reason != "not-allowed":
        world.pass_time(1)
    assert world.submissions(answer)[0].progress.state == "waiting"

    world.cluster.allow("system:serviceaccount:argo:github.com", "create", "workflows")
    world.pass_time(2)

    assert world.submissions(answer)[0].progress.state == "created"


def test_rule_23_a_template_that_never_comes_fails_within_minutes_with_argos_text() -> None:
    world = World(binding("on-push", template="nope"))

    answer = world.receive()
    world.pass_time(5)

    progress = world.submissions(answer)[0].progress
    assert (progress.state, progress.reason) == ("failed", "template-not-found")
    assert (
        progress.message == 'failed to get workflow template: workflowtemplates.argoproj.io "nope" not found'
    )


def test_promise_5_what_the_account_may_not_do_is_not_done_for_it() -> None:
    world = World()
    world.cluster.deny("system:serviceaccount:argo:github.com", "create", "workflows")

    answer = world.receive()
    world.pass_time(5)

    progress = world.submissions(answer)[0].progress
    assert (progress.state, progress.reason) == ("failed", "not-allowed")
    assert (
        'User "system:serviceaccount:argo:github.com" cannot create resource "workflows"' in progress.message
    )
    assert world.workflows() == []


def test_rule_24_a_service_account_that_is_gone_submits_nothing() -> None:
    world = World()
    answer = world.receive()
    world.cluster.remove("ServiceAccount", "argo", "github.com")

    world.pass_time(2)

    assert world.submissions(answer)[0].progress.reason == "account-gone"


def test_rule_24_another_account_of_the_same_name_is_not_the_one_that_sent() -> None:
    world = World()
    answer = world.receive()
    world.cluster.remove("ServiceAccount", "argo", "github.com")
    world.cluster.apply(account())

    world.pass_time(2)

    assert world.submissions(answer)[0].progress.reason == "account-gone"


def test_rule_24_a_revoked_client_submits_nothing_more() -> None:
    world = World()
    answer = world.receive()
    world.secrets.documents["argo"] = json.dumps({"other": {"type": "github", "secret": "s"}})

    world.pass_time(2)

    assert world.submissions(answer)[0].progress.reason == "client-revoked"


def test_rule_28_an_old_submission_expires_where_the_binding_says_so() -> None:
    world = World(binding("on-push", annotations={"lynceus.dev/expire-after": "5m"}))
    answer = world.receive()
    world.clock.sleep(6 * 60)

    world.work()

    assert world.submissions(answer)[0].progress.state == "expired"
    assert world.workflows() == []


def test_rule_19_a_cluster_away_for_a_day_is_waited_for_and_asked_ever_more_rarely() -> None:
    world = World()
    world.tick()
    answer = world.receive()
    world.plan.outage("cluster")

    world.pass_time(24 * 60)
    waiting = world.submissions(answer)[0].progress
    world.plan.clear()
    world.pass_time(20)

    assert waiting.state == "waiting"
    assert waiting.failures < 130  # every 15 minutes at the end
    assert world.submissions(answer)[0].progress.state == "created"
    assert len(world.workflows()) == 1


def test_rule_19_a_short_outage_costs_at_most_half_as_long_again() -> None:
    world = World()
    world.tick()
    answer = world.receive()
    world.plan.outage("cluster")
    world.pass_time(6)
    world.plan.clear()

    world.pass_time(5)

    assert world.submissions(answer)[0].progress.state == "created"


def test_rule_23_a_retry_after_of_the_cluster_is_honoured() -> None:
    world = World()
    answer = world.receive()
    cluster = world.cluster
    create = cluster.create
    world.plan.faults.append(Fault("cluster", "create", "throttled"))
    before = world.clock.now()

    world.work()

    progress = world.submissions(answer)[0].progress
    assert progress.reason == "throttled"
    assert create == cluster.create
    assert world.queue.messages[-1].visible_at - before >= timedelta(seconds=1)


def test_a_cluster_that_asks_for_a_year_of_patience_is_asked_again_within_the_hour() -> None:
    world = World()
    answer = world.receive()
    create = world.cluster.create

    def throttled(account: Any, manifest: Any) -> Any:
        raise ClusterError(429, "TooManyRequests", "slow down", retry_after=float("inf"))

    world.cluster.create = throttled  # type: ignore[method-assign]
    world.work()
    world.cluster.create = create  # type: ignore[method-assign]
    world.pass_time(60)

    assert world.submissions(answer)[0].progress.state == "created"


def test_rule_20_a_message_that_nobody_can_parse_is_buried_with_the_reason_and_others_go_on() -> None:
    world = World()
    for body in ("no json", "[]", '{"v": 9}', '{"v": 1, "kind": "dance"}', '{"v": 1, "kind": "submission"}',
                 '{"v": 1, "kind": "envelope"}', json.dumps(CORRUPT), '{"v": 1, "kind": "match"}',
                 '{"v": 1, "kind": "submission", "namespace": "a", "workflow": "b", "submission": 7}',
                 "[" * 100_000):  # fmt: skip
        work(body, world.ports, world.settings, world.known)

    assert len(world.queue.dead) == 10
    assert all(reason for _, reason in world.queue.dead)


def test_a_worker_that_was_overtaken_while_its_attempt_failed_lets_its_message_go() -> None:
    world = World()
    answer = world.receive()
    world.plan.faults += [Fault("cluster", "create", BEFORE), Fault("ledger", "advance", CONFLICT, call=2)]

    assert world.work() == 1
    world.pass_time(5)

    assert world.submissions(answer)[0].progress.state == "created"


def test_with_the_ledger_away_the_worker_leaves_its_message_on_the_queue() -> None:
    world = World()
    world.receive()
    message = json.dumps(doorbell(world))
    world.plan.outage("ledger")

    with pytest.raises(Unavailable):
        work(message, world.ports, world.settings, world.known)


def test_the_workflow_is_created_under_the_clients_own_account() -> None:
    world = World()
    world.cluster.deny("lynceus", "create", "workflows")
    world.receive()

    world.work()

    assert len(world.workflows()) == 1


def test_a_template_of_another_instance_is_not_ours_to_run() -> None:
    world = World()
    world.cluster.apply(template(labels={"workflows.argoproj.io/controller-instanceid": "other"}))

    answer = world.receive()
    world.work()

    assert world.submissions(answer)[0].progress.message == (
        "failed to validate workflow template instanceid: 'build' is not managed by the current Argo Server"
    )


@pytest.mark.parametrize("kind", [BEFORE, AFTER, TIMEOUT, KILLED])
def test_an_outcome_that_could_not_be_written_is_found_again(kind: str) -> None:
    world = World()
    answer = world.receive()
    world.plan.faults.append(Fault("ledger", "advance", kind, call=2))

    world.work()
    world.plan.clear()
    world.pass_time(10)

    assert len(world.workflows()) == 1
    assert world.submissions(answer)[0].progress.state in ("created", "existed")


def test_an_answer_of_500_after_the_create_does_not_double() -> None:
    world = World()
    answer = world.receive()
    create = world.cluster.create

    def created_and_failed(account: Any, manifest: Any) -> Any:
        create(account, manifest)
        raise ClusterError(500, "InternalError", "etcdserver: request timed out")

    world.cluster.create = created_and_failed  # type: ignore[method-assign]
    world.work()
    world.cluster.create = create  # type: ignore[method-assign]
    world.pass_time(10)

    assert len(world.workflows()) == 1
    assert world.submissions(answer)[0].progress.state == "existed"


def test_an_event_whose_body_was_erased_before_its_bindings_were_asked_comes_to_an_end_that_says_so() -> None:
    world = World(settings=Settings(door_seconds=-1.0))
    answer = world.receive()
    world.archive.erase_body(world.record(answer))

    world.work()
    world.pass_time(5)

    record = world.record(answer)
    assert record.deferred_after is None
    assert [(verdict.outcome, verdict.reason) for verdict in record.verdicts] == [("error", "body-gone")]
    assert world.queue.messages == []


def test_rule_10_an_event_that_thousands_of_bindings_match_ends_where_its_head_would_not_hold_them() -> None:
    world = World(*(binding(f"b{number:04}") for number in range(EVENT_MATCHES + 100)))
    answer = world.receive()
    world.pass_time(2)

    record = world.record(answer)
    assert record.deferred_after is None
    matched = dict(record.counts)["matched"]
    assert EVENT_MATCHES <= matched < EVENT_MATCHES + 100
    assert dict(record.counts) == {"matched": matched, "budget-exhausted": EVENT_MATCHES + 100 - matched}
    assert len(record.submissions) == len(world.workflows()) == matched
    assert len(_head_item(record, 0)["detail"]["B"]) < 400_000


def test_rule_27_errors_of_bindings_that_were_asked_in_parts_are_reported_once() -> None:
    broken = binding("a-broken", "payload.a.b == 1")
    world = World(broken, *(binding(f"b{number:03}") for number in range(200)))
    world.receive()

    world.pass_time(2)

    [report] = world.cluster.reports
    assert report.count == 1
