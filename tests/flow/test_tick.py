"""The tick's parts, and rules that concern no single story."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.adapters.journals import StdoutJournal
from chalicelib.core.clients import parse_clients, with_previous
from chalicelib.core.errors import ClientError, ClusterError, Misconfigured, Unauthenticated
from chalicelib.core.submissions import Progress, Submission, digest_of
from chalicelib.flow.submit import work
from chalicelib.settings import Settings, from_environment
from lynceus.local.faults import BEFORE, CONFLICT, Fault
from lynceus.local.memory import FakeClock
from tests.flow.test_crons import cron, spend, status
from tests.flow.test_crons import world as cron_world
from tests.world import World, account, binding


def test_rule_36_a_part_of_the_tick_that_fails_does_not_take_the_others_with_it() -> None:
    world = World()
    world.plan.outage("queue")
    world.receive()
    world.plan.clear()
    world.plan.outage("cluster")
    world.clock.sleep(120)

    world.tick()

    assert [message.body["kind"] for message in world.queue.messages] == ["submission"]
    assert world.journal.metrics["heartbeat_sweep"] == 1
    assert world.journal.metrics["heartbeat_snapshot"] == 0
    health = world.ledger.health()
    assert health is not None
    assert not health.cluster_up


def test_rule_11_a_ledger_that_fails_is_no_word_against_the_cluster() -> None:
    world = World()
    world.plan.faults.append(Fault("ledger", "put_snapshot", BEFORE, 0))

    world.tick()

    health = world.ledger.health()
    assert health is not None
    assert health.cluster_up
    assert world.journal.metrics["heartbeat_snapshot"] == 0


def test_rule_12_a_namespace_that_refuses_us_does_not_keep_the_others_from_being_remembered() -> None:
    world = World(settings=Settings(namespaces=("closed", "argo")))
    raw_bindings = world.cluster.raw_bindings

    def refused(namespace: str) -> Any:
        if namespace == "closed":
            raise ClusterError(403, "Forbidden", "workfloweventbindings.argoproj.io is forbidden")
        return raw_bindings(namespace)

    world.cluster.raw_bindings = refused  # type: ignore[method-assign]

    world.tick()

    assert world.ledger.snapshot("argo") is not None
    assert world.journal.metrics["heartbeat_snapshot"] == 0
    health = world.ledger.health()
    assert health is not None
    assert health.cluster_up


def test_rules_20_and_28_one_namespaces_backlog_keeps_no_other_namespace_and_no_cron_run_waiting() -> None:
    world = World()
    now = world.clock.now()

    def waiting(namespace: str, number: int, due: datetime, kind: str = "event") -> Submission:
        name = f"{kind}-{number}"
        return Submission(
            id=f"{kind}-{digest_of(namespace, name)}", kind=kind, namespace=namespace, workflow=name, cause="e",
            source="b", received_at=now, progress=Progress(due=due),
        )  # fmt: skip

    for number in range(6000):
        world.ledger.begin_run(waiting("busy", number, now - timedelta(hours=2)))
    world.ledger.begin_run(waiting("quiet", 0, now - timedelta(minutes=1)))
    world.ledger.begin_run(waiting("busy", 0, now - timedelta(seconds=1), "cron"))

    world.tick()

    rung = Counter((message.body["namespace"], message.cron) for message in world.queue.messages)
    assert rung["quiet", False] == 1
    assert 0 < rung["busy", False] <= 16 * 100
    assert rung["busy", True] == 1


def test_rule_36_the_heartbeat_tells_how_long_ago_the_tick_ran() -> None:
    from chalicelib.flow.look import heartbeat

    world = World()
    assert heartbeat(world.ports) == {"ticked": False}
    world.tick()
    world.clock.sleep(90)

    told = heartbeat(world.ports)

    assert (told["secondsAgo"], told["clusterUp"]) == (90.0, True)


def test_rule_42_a_restored_table_is_not_swept_until_somebody_says_so() -> None:
    world = World(settings=Settings(sweep="paused"))
    world.plan.outage("queue")
    world.receive()
    world.plan.clear()
    world.pass_time(5)
    assert world.workflows() == []

    world.with_settings(sweep="active")
    world.pass_time(3)

    assert len(world.workflows()) == 1


def test_rule_42_a_message_of_another_version_is_buried_and_one_with_unknown_fields_is_read() -> None:
    world = World()
    world.receive()
    message = dict(world.queue.messages[0].body)

    work(json.dumps({**message, "v": 2}), world.ports, world.settings, world.known)
    assert len(world.queue.dead) == 1
    work(json.dumps({**message, "colour": "blue"}), world.ports, world.settings, world.known)

    assert len(world.workflows()) == 1


def test_rule_14_of_the_clients_of_one_type_exactly_the_one_whose_secret_signed_is_the_sender() -> None:
    world = World()
    world.secrets.documents["argo"] = json.dumps(
        {"one": {"type": "github", "secret": "first"}, "two": {"type": "github", "secret": "second"}}
    )
    world.cluster.apply(account("one"), account("two"))

    answer = world.receive(world.delivery(secret="second"))

    assert world.record(answer).client == "two"
    with pytest.raises(Unauthenticated):
        world.receive(world.delivery(secret="third"))
    with pytest.raises(ClientError):
        parse_clients(
            '{"one": {"type": "github", "secret": "same"}, "two": {"type": "github", "secret": "same"}}'
        )


def test_rule_15_the_secret_before_the_rotation_counts_for_the_same_client_and_a_removed_one_never() -> None:
    before = parse_clients(
        '{"a": {"type": "github", "secret": "old"}, "gone": {"type": "github", "secret": "x"}}'
    )
    after = parse_clients(
        '{"a": {"type": "github", "secret": "new"}, "b": {"type": "github", "secret": "y"}}'
    )

    merged = {client.name: client.secrets for client in with_previous(after, before)}

    assert merged == {"a": ("new", "old"), "b": ("y",)}


def test_rule_25_a_template_read_for_one_account_is_not_shown_to_another() -> None:
    world = World()
    world.secrets.documents["argo"] = json.dumps(
        {"one": {"type": "github", "secret": "first"}, "two": {"type": "github", "secret": "second"}}
    )
    world.cluster.apply(account("one"), account("two"))
    world.cluster.deny("system:serviceaccount:argo:two", "get", "workflowtemplates")

    allowed = world.receive(world.delivery(secret="first", guid="1"))
    denied = world.receive(world.delivery(secret="second", guid="2"))
    world.pass_time(5)

    assert world.submissions(allowed)[0].progress.state == "created"
    assert world.submissions(denied)[0].progress.reason == "not-allowed"


def test_rule_26_a_status_that_somebody_else_changed_meanwhile_is_computed_anew() -> None:
    made = cron_world(cron())
    made.plan.faults += [Fault("cluster", "patch", CONFLICT, call) for call in (1, 2)]

    spend(made, 1)

    assert status(made)["lastScheduledTime"] == "2026-03-02T12:00:00Z"
    assert len(status(made)["active"]) == 1


def test_rule_27_many_failures_of_one_binding_are_one_kubernetes_event_that_counts() -> None:
    world = World(binding("broken", "payload.a.b == 1"))

    for number in range(5):
        world.receive(world.delivery(guid=f"guid-{number}"))
    world.work()

    [report] = world.cluster.reports
    assert report.count == 5


def test_rule_41_a_stages_names_are_its_own() -> None:
    dev, prod = Settings(stage="dev"), Settings(stage="prod")

    assert dev.clients_secret("argo") == "lynceus-dev/argo/webhook-clients"
    assert prod.clients_secret("argo") == "lynceus-prod/argo/webhook-clients"
    assert {dev.table, dev.submissions_queue, dev.cron_queue, dev.dead_letter_queue}.isdisjoint(
        {prod.table, prod.submissions_queue, prod.cron_queue, prod.dead_letter_queue}
    )


def test_rule_44_metrics_have_the_dimensions_stage_and_namespace_and_no_others() -> None:
    stream = io.StringIO()
    journal = StdoutJournal("lynceus-api", "dev", FakeClock(), stream)

    with journal.within(namespace="argo", binding="on-push", event_id="e"):
        journal.count("events")

    [line] = [json.loads(text) for text in stream.getvalue().splitlines()]
    sets = line["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert {name for dimensions in sets for name in dimensions} <= {"stage", "namespace"}


def test_settings_come_from_the_environment_and_a_wrong_one_names_its_variable() -> None:
    read = from_environment(
        {"LYNCEUS_STAGE": "prod", "LYNCEUS_NAMESPACES": "a, b", "LYNCEUS_BODY_LIMIT": "10"}
    )

    assert (read.stage, read.namespaces, read.body_limit) == ("prod", ("a", "b"), 10)
    for variable, value in (("LYNCEUS_BODY_LIMIT", "many"), ("LYNCEUS_CRON", "maybe"), ("LYNCEUS_SWEEP", "x"),
                            ("LYNCEUS_KEEP_BODIES", "some")):  # fmt: skip
        with pytest.raises(Misconfigured, match=variable):
            from_environment({variable: value})
