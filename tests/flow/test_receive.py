"""From a request to the ledger: who may, what is kept, and what the sender hears."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from chalicelib.core.errors import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    Unauthenticated,
    Unavailable,
    WebhookRefused,
)
from chalicelib.core.events import Delivery
from chalicelib.settings import Settings
from lynceus.local.faults import BEFORE, KILLED, THROTTLED, TIMEOUT, Fault
from tests.world import PUSH, World, account, binding


def test_a_signed_push_becomes_one_workflow() -> None:
    world = World()

    answer = world.receive()
    world.work()

    assert (answer.status, answer.body) == (200, {})
    [workflow] = world.workflows()
    assert workflow["spec"]["arguments"]["parameters"] == [{"name": "revision", "value": PUSH["after"]}]
    assert world.submissions(answer)[0].progress.state == "created"


def test_a_wrong_signature_is_refused_and_nothing_is_written() -> None:
    world = World()

    with pytest.raises(Unauthenticated) as refused:
        world.receive(world.delivery(secret="another"))

    assert refused.value.http_status == 401
    assert refused.value.body() == {
        "code": 16,
        "message": "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/",
    }
    assert world.plan.calls["ledger", "keep"] == 0


def test_rule_13_a_new_secret_works_at_once() -> None:
    world = World()
    world.receive()
    world.secrets.documents["argo"] = json.dumps(
        {"github.com": {"type": "github", "secret": "rotated just now"}}
    )

    answer = world.receive(world.delivery(secret="rotated just now", guid="guid-2"))

    assert answer.status == 200


@pytest.mark.parametrize("namespace", ["nowhere", "UPPER", "a/b", "", "x" * 64])
def test_an_unknown_or_impossible_namespace_is_refused_as_argo_refuses_it(namespace: str) -> None:
    world = World()

    with pytest.raises(WebhookRefused) as refused:
        world.receive(world.delivery(namespace=namespace))

    assert refused.value.http_status == 403
    assert refused.value.body() == {"message": "failed to process webhook request"}


@pytest.mark.parametrize("namespace", ["UPPER", "a/b", "", "x" * 64, "argo\n", "../argo"])
def test_rule_13_what_is_no_name_of_a_namespace_never_becomes_part_of_a_secrets_name(namespace: str) -> None:
    world = World()

    assert world.send(world.delivery(namespace=namespace)) == 403

    assert sum(world.plan.calls.values()) == 0


def test_a_namespace_that_is_not_served_is_refused() -> None:
    world = World(settings=Settings(namespaces=("other",)))

    with pytest.raises(WebhookRefused):
        world.receive()


def test_a_signed_body_that_is_no_json_is_a_bad_request() -> None:
    world = World()

    with pytest.raises(BadRequest) as refused:
        world.receive(world.delivery(body=b"<xml/>"))

    assert refused.value.body()["code"] == 3


def test_rule_17_a_body_over_the_limit_is_refused_with_the_limit_in_the_message() -> None:
    world = World()

    with pytest.raises(BodyTooLarge) as refused:
        world.receive(world.delivery(body=b" " * (4 * 1024 * 1024 + 1)))

    assert "4194304" in refused.value.message


def test_rule_17_a_smaller_limit_of_the_stage_holds_for_callers_too() -> None:
    world = World(settings=Settings(body_limit=100))
    world.cluster.tokens["t"] = "system:serviceaccount:argo:jenkins"
    headers = [("Authorization", "Bearer t")]

    assert world.send(world.delivery(body=b" " * 101)) == 413
    assert world.send(Delivery("argo", "", "POST", headers, {}, b" " * 101, world.clock.now())) == 413


def test_rule_1_the_same_delivery_twice_is_one_event() -> None:
    world = World()

    first = world.receive()
    world.work()
    second = world.receive()
    world.work()

    assert second.headers["Lynceus-Event-Id"] == first.headers["Lynceus-Event-Id"]
    assert second.headers["Lynceus-Duplicate"] == "true"
    assert len(world.workflows()) == 1


def test_rule_1_two_hooks_of_one_github_event_are_two_events() -> None:
    world = World()
    one = world.delivery()
    other = Delivery(
        one.namespace,
        one.discriminator,
        one.method,
        [(name, "78" if name == "X-GitHub-Hook-ID" else value) for name, value in one.headers],
        one.query,
        one.body,
        one.received_at,
    )

    world.receive(one)
    world.receive(other)
    world.work()

    assert len(world.workflows()) == 2


def test_rule_1_the_same_id_with_another_body_is_a_new_event_and_flagged() -> None:
    world = World()

    first = world.receive()
    second = world.receive(world.delivery({**PUSH, "after": "0" * 40}))
    third = world.receive(world.delivery({**PUSH, "after": "0" * 40}))
    world.work()

    assert first.headers["Lynceus-Event-Id"] != second.headers["Lynceus-Event-Id"]
    assert world.record(second).note == "body-differs"
    assert third.headers["Lynceus-Duplicate"] == "true"
    assert len(world.workflows()) == 2


def test_rule_2_a_redelivery_after_the_window_is_a_persons_wish_and_runs_again() -> None:
    world = World()
    first = world.receive()
    world.work()
    world.clock.sleep(3 * 3600)

    again = world.receive()
    world.work()

    assert again.headers["Lynceus-Event-Id"] != first.headers["Lynceus-Event-Id"]
    assert world.record(again).epoch == 1
    assert len(world.workflows()) == 2


def test_rule_2_requests_without_a_delivery_id_are_events_of_their_own() -> None:
    world = World(binding("any", "true", parameters={}))
    world.cluster.apply(account("jenkins"))
    world.cluster.tokens["t"] = "system:serviceaccount:argo:jenkins"
    sent = Delivery("argo", "", "POST", [("Authorization", "Bearer t")], {}, b"{}", world.clock.now())

    ids = {world.receive(sent).headers["Lynceus-Event-Id"] for _ in range(2)}
    world.work()

    assert len(ids) == 2
    assert len(world.workflows()) == 2


def test_rule_2_an_idempotency_key_makes_a_callers_retry_one_event() -> None:
    world = World(binding("any", "true", parameters={}))
    world.cluster.apply(account("jenkins"))
    world.cluster.tokens["t"] = "system:serviceaccount:argo:jenkins"
    headers = [("Authorization", "Bearer t"), ("Idempotency-Key", "build-7")]
    sent = Delivery("argo", "", "POST", headers, {}, b"{}", world.clock.now())

    ids = {world.receive(sent).headers["Lynceus-Event-Id"] for _ in range(2)}
    world.work()

    assert len(ids) == 1
    assert len(world.workflows()) == 1


def test_rule_16_a_caller_of_another_namespace_is_told_so_at_the_door() -> None:
    world = World()
    world.cluster.tokens["t"] = "system:serviceaccount:other:jenkins"

    with pytest.raises(Forbidden) as refused:
        world.receive(
            Delivery("argo", "", "POST", [("Authorization", "Bearer t")], {}, b"", world.clock.now())
        )

    assert "argo" in refused.value.message


def test_a_callers_bad_json_is_400_before_the_token_is_judged() -> None:
    world = World()

    with pytest.raises(BadRequest) as refused:
        world.receive(
            Delivery("argo", "", "POST", [("Authorization", "Bearer nobody")], {}, b"{", world.clock.now())
        )

    assert refused.value.message == "unexpected EOF"


def test_a_repair_runs_only_what_has_no_workflow_yet() -> None:
    """Rule 9: a redelivery of an event with failures asks the bindings of now."""
    world = World(binding("good"), binding("broken", "payload.nothing.here == 1"))
    first = world.receive()
    world.work()
    assert len(world.workflows()) == 1
    world.cluster.apply(binding("broken", "true"))
    world.clock.sleep(10)

    second = world.receive()
    world.work()

    assert second.headers["Lynceus-Event-Id"] == first.headers["Lynceus-Event-Id"]
    assert len(world.workflows()) == 2
    assert {s.progress.state for s in world.submissions(second)} == {"created"}
    assert [note["what"] for note in world.archive.notes(first.headers["Lynceus-Event-Id"])] == ["repair"]


def test_rule_9_a_failed_submission_is_run_again_by_a_redelivery() -> None:
    world = World()
    world.cluster.remove("WorkflowTemplate", "argo", "build")
    first = world.receive()
    world.pass_time(5)
    assert world.submissions(first)[0].progress.state == "failed"
    world.cluster.apply(_template())

    world.receive()
    world.work()

    assert len(world.workflows()) == 1
    assert world.submissions(first)[0].progress.state == "created"


def test_rule_9_a_repair_reaches_bindings_that_no_single_transaction_holds() -> None:
    world = World(
        *(binding(f"b{number:03}") for number in range(200)), binding("z-broken", "payload.x.y == 1")
    )
    first = world.receive()
    world.pass_time(2)
    assert len(world.workflows()) == 200
    world.cluster.apply(binding("z-broken", "true"))
    world.clock.sleep(10)

    world.receive()
    world.pass_time(3)

    record = world.record(first)
    assert record.deferred_after is None
    assert dict(record.counts) == {"matched": 201}
    assert len(world.workflows()) == 201


def test_rule_9_a_redelivery_of_an_event_without_a_match_asks_again() -> None:
    world = World(binding("on-push", "false"))
    first = world.receive()
    world.cluster.apply(binding("on-push", "true"))
    world.clock.sleep(10)

    world.receive()
    world.work()

    assert len(world.submissions(first)) == 1
    assert len(world.workflows()) == 1


def test_promise_3_one_broken_binding_does_not_stop_the_others_and_is_visible() -> None:
    world = World(binding("a-broken", "payload.x.y == 1"), binding("b-good"), binding("c-good"))

    answer = world.receive()
    world.work()

    assert answer.status == 200
    assert len(world.workflows()) == 2
    [broken] = [verdict for verdict in world.record(answer).verdicts if verdict.outcome == "error"]
    assert broken.binding == "a-broken"
    assert broken.message.startswith("failed to evaluate workflow template expression: ")
    [report] = world.cluster.reports
    assert (report.reason, report.involved["name"]) == ("WorkflowEventBindingError", "a-broken")


def test_rule_8_with_the_ledger_away_the_event_goes_whole_into_one_envelope() -> None:
    world = World()
    world.plan.outage("ledger")

    answer = world.receive()

    assert answer.status == 200
    assert [message.body["kind"] for message in world.queue.messages] == ["envelope"]
    world.work()
    assert world.workflows() == []
    world.plan.clear()
    world.pass_time(8)
    assert len(world.workflows()) == 1
    assert world.submissions(answer)[0].progress.state == "created"


def test_promise_1_with_ledger_and_queue_away_the_sender_hears_503_with_retry_after() -> None:
    world = World()
    world.plan.outage("ledger", "queue")

    with pytest.raises(Unavailable) as refused:
        world.receive()

    assert refused.value.http_status == 503
    assert refused.value.retry_after == 30


def test_rule_8_an_event_too_large_for_an_envelope_is_503() -> None:
    import random

    noise = random.Random(7).randbytes(1_000_000).hex()
    world = World()
    world.plan.outage("ledger")

    with pytest.raises(Unavailable):
        world.receive(world.delivery({**PUSH, "noise": noise}))

    assert world.queue.messages == []


def test_rule_7_with_the_queue_away_the_event_is_accepted_and_the_sweep_rings() -> None:
    world = World()
    world.plan.outage("queue")

    answer = world.receive()
    world.plan.clear()
    world.pass_time(3)

    assert answer.status == 200
    assert len(world.workflows()) == 1


def test_promise_8_with_the_cluster_away_events_are_matched_against_the_snapshot() -> None:
    world = World()
    world.tick()
    world.restart()
    world.plan.outage("cluster")

    answers = [world.receive(world.delivery(guid=f"guid-{number}")) for number in range(3)]
    world.pass_time(30)

    assert {answer.status for answer in answers} == {200}
    assert world.workflows() == []
    world.plan.clear()
    world.pass_time(20)
    assert len(world.workflows()) == 3


def test_promise_8_without_any_known_bindings_the_event_waits_for_them() -> None:
    world = World()
    world.plan.outage("cluster")

    answer = world.receive()
    world.work()
    assert world.record(answer).deferred_after == ""
    world.plan.clear()
    world.pass_time(5)

    assert world.record(answer).deferred_after is None
    assert len(world.workflows()) == 1


def test_rule_16_callers_hear_503_while_only_the_cluster_could_judge_them() -> None:
    world = World()
    world.plan.outage("cluster")

    with pytest.raises(Unavailable):
        world.receive(
            Delivery("argo", "", "POST", [("Authorization", "Bearer t")], {}, b"", world.clock.now())
        )


@pytest.mark.parametrize("kind", [BEFORE, THROTTLED])
def test_secrets_away_and_nothing_cached_is_503(kind: str) -> None:
    world = World()
    world.plan.faults.append(Fault("secrets", "webhook_clients", kind, 0))

    assert world.send() == 503


def test_rule_10_what_the_door_has_no_time_for_the_worker_asks() -> None:
    world = World(*(binding(f"b{number:02}") for number in range(9)), settings=Settings(door_seconds=-1.0))

    answer = world.receive()
    assert world.record(answer).deferred_after == ""
    world.work()

    assert len(world.workflows()) == 9
    assert world.record(answer).deferred_after is None


def test_rule_7_more_matches_than_one_transaction_holds_are_all_run() -> None:
    world = World(*(binding(f"b{number:03}") for number in range(230)))

    answer = world.receive()
    world.pass_time(2)

    assert len(world.workflows()) == 230
    assert len(world.record(answer).submissions) == 230


def test_rule_10_a_binding_that_renders_too_much_is_an_error_of_its_own() -> None:
    rendered = dict.fromkeys(("a", "b"), "repeat(payload.after, 20000)")
    world = World(binding("big", parameters=rendered), binding("small"))

    answer = world.receive()
    world.work()

    assert len(world.workflows()) == 1
    [verdict] = [verdict for verdict in world.record(answer).verdicts if verdict.outcome == "error"]
    assert "1048576" in verdict.message


def asked_of_the_cluster(world: World) -> int:
    return sum(count for (port, _), count in world.plan.calls.items() if port == "cluster")


def test_rule_11_after_a_failed_read_the_cluster_is_left_alone_for_half_a_minute() -> None:
    world = World()
    world.tick()
    world.restart()
    world.plan.outage("cluster")
    before = asked_of_the_cluster(world)

    for number in range(5):
        world.receive(world.delivery(guid=f"guid-{number}"))
        world.clock.sleep(1)
    assert asked_of_the_cluster(world) == before + 1
    world.clock.sleep(31)
    world.receive(world.delivery(guid="guid-9"))

    assert asked_of_the_cluster(world) == before + 2


def test_rule_11_the_ticks_word_opens_the_breaker_of_every_container() -> None:
    world = World()
    world.tick()
    world.plan.outage("cluster")
    world.clock.sleep(60)
    world.tick()
    world.restart()
    before = asked_of_the_cluster(world)

    world.receive()

    assert asked_of_the_cluster(world) == before


def test_rule_11_while_the_tick_calls_the_cluster_away_one_probe_each_half_minute_tries_it() -> None:
    world = World()
    world.tick()
    world.plan.outage("cluster")
    world.clock.sleep(60)
    world.tick()
    world.restart()
    world.receive(world.delivery(guid="guid-0"))
    world.plan.clear()  # it is back, and no tick has seen it yet
    world.cluster.apply(binding("new"))

    world.clock.sleep(31)
    answers = [world.receive(world.delivery(guid=f"guid-{number}")) for number in (1, 2)]

    assert [len(world.submissions(answer)) for answer in answers] == [2, 2]


def test_rule_11_what_was_seen_after_the_snapshot_counts_while_the_cluster_is_away() -> None:
    world = World()
    world.tick()
    world.clock.sleep(10)
    world.cluster.apply(binding("new"))
    world.receive(world.delivery(guid="guid-1"))
    world.clock.sleep(10)
    world.plan.outage("cluster")

    answer = world.receive(world.delivery(guid="guid-2"))

    assert len(world.submissions(answer)) == 2


def test_rule_13_before_authentication_nothing_is_written() -> None:
    world = World()

    world.send(world.delivery(secret="wrong"))
    world.send(world.delivery(namespace="nowhere"))

    written = {
        method for (port, method), count in world.plan.calls.items() if port in ("ledger", "queue") and count
    }
    assert written == set()


def test_rule_18_only_listed_and_mentioned_headers_are_kept_and_no_credential() -> None:
    world = World(binding("on-push", 'metadata["x-tenant"] == ["blue"]'))
    headers = [("X-Tenant", "blue"), ("X-Other", "1"), ("Cookie", "c"), ("X-Api-Key", "k")]

    answer = world.receive(world.delivery(headers=headers))

    kept = world.record(answer).headers
    assert kept["x-tenant"] == ["blue"]
    assert "x-github-event" in kept
    assert not {"x-other", "cookie", "x-api-key", "x-hub-signature-256"} & kept.keys()


def test_promise_6_no_payload_and_no_secret_is_in_a_log_line_or_a_message() -> None:
    world = World()

    world.receive()
    world.work()

    said = json.dumps([world.journal.lines, [message.body for message in world.queue.messages]])
    assert "Mend the till" not in said
    assert "a secret of the tests" not in said


def test_a_timeout_of_the_ledger_that_had_its_effect_makes_one_workflow() -> None:
    """Rule 7: the envelope that follows finds the event there."""
    world = World()
    world.plan.faults.append(Fault("ledger", "keep", TIMEOUT))

    assert world.send() == 200
    world.pass_time(10)

    assert len(world.workflows()) == 1


@pytest.mark.parametrize("kind", [BEFORE, KILLED])
def test_a_sender_that_retries_after_a_broken_connection_makes_one_workflow(kind: str) -> None:
    world = World()
    world.plan.faults.append(Fault("queue", "send", kind))

    world.send()
    world.send()
    world.pass_time(5)

    assert len(world.workflows()) == 1


def _template() -> dict[str, object]:
    from tests.world import template

    return template()


def test_the_window_of_a_duplicate_is_counted_from_the_event_that_ran() -> None:
    world = World()
    world.receive()
    world.work()
    world.clock.sleep(timedelta(seconds=30).total_seconds())

    assert "Lynceus-Duplicate" in world.receive().headers
