"""What happened, told to those who may know: lists, records, explanations."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from chalicelib.core import reasons
from chalicelib.core.errors import BadRequest, Forbidden, NotFound, Unauthenticated
from chalicelib.flow import look
from chalicelib.settings import Settings
from tests.world import PUSH, World, account, binding

READER = "Bearer reader"


def world_with_a_reader(*objects: Any, **options: Any) -> World:
    world = World(*objects, **options)
    world.cluster.tokens["reader"] = "ada"
    return world


def listed(world: World, **query: str) -> dict[str, Any]:
    return look.list_events(READER, "argo", query, world.ports, world.settings)


def explained(world: World, event: str, **query: str) -> dict[str, Any]:
    return look.explain(READER, "argo", event, query, world.ports, world.settings, world.known)


def test_events_are_listed_newest_first_page_by_page_until_no_cursor_is_left() -> None:
    world = world_with_a_reader()
    sent = []
    for number in range(7):
        sent.append(world.receive(world.delivery(guid=f"g{number}")).headers["Lynceus-Event-Id"])
        world.clock.sleep(1)

    pages, cursor = [], ""
    while not pages or cursor:
        page = listed(world, limit="3", cursor=cursor)
        pages.append([item["id"] for item in page["items"]])
        cursor = page["cursor"]

    assert [event for page in pages for event in page] == sent[::-1]
    assert [len(page) for page in pages] == [3, 3, 1]


def test_a_page_of_events_is_one_query_of_the_archive_and_reads_no_event() -> None:
    world = world_with_a_reader()
    for number in range(20):
        world.receive(world.delivery(guid=f"g{number}"))
    world.plan.calls.clear()

    page = listed(world, limit="10", event_type="push", reason=reasons.MATCHED)

    assert len(page["items"]) == 10
    assert world.plan.calls == {("cluster", "allowed"): 1, ("archive", "events"): 1}


def test_filters_look_at_what_the_index_tells() -> None:
    world = world_with_a_reader()
    world.receive(world.delivery(guid="a"))
    world.receive(world.delivery({"zen": 1}, event="star", guid="b"))

    assert [item["event_type"] for item in listed(world, event_type="star")["items"]] == ["star"]
    assert [item["delivery_id"] for item in listed(world, reason=reasons.MATCHED)["items"]] == ["a"]
    assert listed(world, client="nobody")["items"] == []


def test_the_day_before_is_named_only_within_the_retention() -> None:
    world = world_with_a_reader(settings=Settings(retention_days=2))
    today = world.clock.now().date()

    assert listed(world)["olderDay"] == (today - timedelta(days=1)).isoformat()
    assert listed(world, day=(today - timedelta(days=2)).isoformat())["olderDay"] == ""
    assert listed(world, day="0001-01-01")["olderDay"] == ""


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "501"}, {"limit": "²"}, {"day": "today"}, {"cursor": "#"}]
)
def test_a_query_that_means_nothing_is_a_bad_request(query: dict[str, str]) -> None:
    world = world_with_a_reader()

    with pytest.raises(BadRequest):
        listed(world, **query)


def test_rule_38_heads_need_list_and_contents_need_get() -> None:
    world = world_with_a_reader()
    event = world.receive().headers["Lynceus-Event-Id"]
    world.cluster.deny("ada", "get", "events")

    told = look.show(READER, "argo", event, {}, world.ports, world.settings)

    assert told["counts"] == {reasons.MATCHED: 1}
    assert "headers" not in told
    assert PUSH["after"] not in json.dumps(told)
    with pytest.raises(Forbidden):
        look.show(READER, "argo", event, {"body": "true"}, world.ports, world.settings)
    with pytest.raises(Forbidden):
        explained(world, event)
    world.cluster.deny("ada", "list", "events")
    with pytest.raises(Forbidden):
        listed(world)


def test_rule_38_who_has_no_token_is_told_nothing() -> None:
    world = world_with_a_reader()

    with pytest.raises(Unauthenticated):
        look.list_events("Bearer stranger", "argo", {}, world.ports, world.settings)


def test_an_event_of_another_namespace_is_not_found() -> None:
    world = world_with_a_reader()
    event = world.receive().headers["Lynceus-Event-Id"]

    with pytest.raises(NotFound):
        look.show(READER, "other", event, {}, world.ports, world.settings)


def test_the_record_tells_what_became_of_every_submission() -> None:
    world = world_with_a_reader()
    answer = world.receive()
    world.work()

    told = look.show(READER, "argo", answer.headers["Lynceus-Event-Id"], {"body": "true"}, world.ports,
                     world.settings)  # fmt: skip

    [submission] = told["submissions"]
    [workflow] = world.workflows()
    assert (submission["workflow"], submission["uid"]) == (
        workflow["metadata"]["name"],
        workflow["metadata"]["uid"],
    )
    assert submission["state"] == "created"
    assert json.loads(told["body"]) == PUSH
    assert told["headers"]["x-github-event"] == ["push"]


def test_rule_37_no_credential_is_in_what_is_told() -> None:
    world = world_with_a_reader()
    sent = world.delivery(headers=[("Cookie", "session=crown jewels"), ("X-Api-Key", "crown jewels")])
    event = world.receive(sent).headers["Lynceus-Event-Id"]

    told = json.dumps(
        [look.show(READER, "argo", event, {"body": "true"}, world.ports, world.settings),
         explained(world, event)]
    )  # fmt: skip

    assert "crown jewels" not in told
    assert "sha256=" not in told


def test_rule_37_a_compared_credential_is_hidden_together_with_its_literal() -> None:
    world = world_with_a_reader(binding("guarded", 'payload.token == "crown jewels"'))
    event = world.receive(world.delivery({"token": "paste"})).headers["Lynceus-Event-Id"]

    [verdict] = explained(world, event)["verdicts"]

    assert verdict["reason"] == reasons.SELECTOR_FALSE
    assert verdict["because"][0]["hidden"] is True
    assert "paste" not in json.dumps(verdict["because"][0].get("left", "")) + verdict["because"][0]["said"]


def test_an_explanation_names_the_comparison_that_decided_as_plain_data() -> None:
    world = world_with_a_reader(
        binding("release", 'metadata["x-github-event"] == ["push"] && payload.ref == "refs/heads/release"')
    )
    event = world.receive().headers["Lynceus-Event-Id"]

    told = json.loads(json.dumps(explained(world, event)))

    [verdict] = told["verdicts"]
    assert verdict["outcome"] == "not-matched"
    assert verdict["because"][-1]["left"] == '"refs/heads/main"'
    assert verdict["because"][-1]["right"] == '"refs/heads/release"'


def test_an_event_is_explained_by_the_binding_as_it_was_and_as_it_is() -> None:
    world = world_with_a_reader(binding("on-push", 'payload.ref == "refs/heads/release"'))
    world.tick()
    event = world.receive().headers["Lynceus-Event-Id"]
    world.clock.sleep(3600)
    world.cluster.apply(binding("on-push", 'payload.ref == "refs/heads/main"'))
    world.tick()
    world.clock.sleep(10)

    assert explained(world, event)["verdicts"][0]["outcome"] == "not-matched"
    assert explained(world, event, **{"as": "now"})["verdicts"][0]["outcome"] == "matched"


def test_a_binding_that_was_deleted_is_still_explained_as_it_was() -> None:
    world = world_with_a_reader(binding("gone"), binding("stays", "false"))
    world.tick()
    event = world.receive().headers["Lynceus-Event-Id"]
    world.cluster.remove("WorkflowEventBinding", "argo", "gone")
    world.clock.sleep(10)

    told = {verdict["binding"]: verdict for verdict in explained(world, event)["verdicts"]}

    assert told["gone"]["outcome"] == "matched"
    assert told["gone"]["note"] == "it does not exist any more"


def test_rule_18_a_header_that_was_not_kept_makes_a_selector_undecidable_never_false() -> None:
    world = world_with_a_reader(binding("on-push"))
    world.tick()
    event = world.receive(world.delivery(headers=[("X-Stage", "prod")])).headers["Lynceus-Event-Id"]
    world.clock.sleep(3600)
    world.cluster.apply(binding("on-push", 'metadata["x-stage"] == ["prod"]'))
    world.tick()
    world.clock.sleep(10)

    [verdict] = explained(world, event, **{"as": "now"})["verdicts"]

    assert (verdict["outcome"], verdict["reason"]) == ("undecidable", reasons.HEADER_NOT_KEPT)


def test_rule_18_a_header_that_a_binding_named_then_and_that_did_not_come_is_known_to_be_absent() -> None:
    world = world_with_a_reader(binding("staged", 'metadata["x-stage"] == ["prod"]'))
    world.tick()
    event = world.receive().headers["Lynceus-Event-Id"]

    [verdict] = explained(world, event)["verdicts"]

    assert verdict["reason"] == reasons.SELECTOR_FALSE


def test_a_delivery_is_found_by_its_id_with_every_event_it_came_to() -> None:
    world = world_with_a_reader()
    first = world.receive().headers["Lynceus-Event-Id"]
    world.work()
    world.clock.sleep(3 * 3600)
    again = world.receive().headers["Lynceus-Event-Id"]
    query = {"client": "github.com", "hook": "77"}

    told = look.by_delivery(READER, "argo", "guid-1", query, world.ports, world.settings)

    assert [item["id"] for item in told["items"]] == [first, again]
    with pytest.raises(NotFound):
        look.by_delivery(READER, "argo", "guid-2", query, world.ports, world.settings)


def test_a_workflow_leads_back_to_its_event() -> None:
    world = world_with_a_reader()
    event = world.receive().headers["Lynceus-Event-Id"]
    world.work()

    told = look.by_workflow(READER, "argo", world.names()[0], world.ports, world.settings)

    assert [item["cause"] for item in told["items"]] == [event]


def test_a_bindings_health_is_its_last_match_its_states_and_its_last_error() -> None:
    world = world_with_a_reader(binding("on-push"), binding("broken", "payload.a.b == 1"))
    world.receive()
    world.work()
    world.work()

    def health(name: str) -> dict[str, Any]:
        return look.binding_health(READER, "argo", name, {}, world.ports, world.settings, world.known)

    healthy, broken = health("on-push"), health("broken")

    assert healthy["states"] == {"created": 1}
    assert healthy["lastError"] is None
    assert broken["lastError"]["count"] == 1
    assert (healthy["exists"], health("no-such-binding")["exists"]) == (True, False)


def test_failed_submissions_are_listed_with_their_meaning_and_what_to_do() -> None:
    world = world_with_a_reader(binding("lost", template="not-there"))
    world.receive()
    world.work()
    world.pass_time(5)

    [item] = look.list_failed(READER, "argo", {}, world.ports, world.settings)["items"]

    assert item["reason"] == reasons.TEMPLATE_NOT_FOUND
    assert item["do"]


def test_a_duplicate_is_noted_on_the_event_it_repeats() -> None:
    world = world_with_a_reader()
    event = world.receive().headers["Lynceus-Event-Id"]
    world.receive()
    world.receive()

    told = look.show(READER, "argo", event, {}, world.ports, world.settings)

    assert [note["what"] for note in told["notes"]] == [reasons.DUPLICATE] * 2


def test_an_erased_body_is_gone_and_who_asked_is_noted() -> None:
    world = world_with_a_reader()
    event = world.receive().headers["Lynceus-Event-Id"]

    look.erase(READER, "argo", event, world.ports, world.settings)

    told = explained(world, event)
    assert (told["as"], "not kept" in told["note"]) == ("stored", True)
    [note] = look.show(READER, "argo", event, {}, world.ports, world.settings)["notes"]
    assert (note["what"], note["by"]) == ("body erased", "ada")


def test_an_explanation_that_takes_too_long_names_what_it_did_not_come_to() -> None:
    world = world_with_a_reader(*(binding(f"b{number}") for number in range(4)))
    event = world.receive().headers["Lynceus-Event-Id"]

    class Slow:
        """A clock by which every look takes seven seconds."""

        def __init__(self) -> None:
            self.looks = 0

        def now(self) -> datetime:
            return world.clock.now()

        def monotonic(self) -> float:
            self.looks += 1
            return self.looks * 7.0

        def sleep(self, seconds: float) -> None:
            world.clock.sleep(seconds)

    told = look.explain(
        READER, "argo", event, {}, replace(world.ports, clock=Slow()), world.settings, world.known
    )

    outcomes = [verdict.get("outcome", "") for verdict in told["verdicts"]]
    assert (outcomes[0], outcomes[-1]) == ("matched", "")
    assert "ask for it alone" in told["verdicts"][-1]["note"]


def test_what_was_recorded_is_told_without_the_body_and_the_bindings() -> None:
    world = world_with_a_reader(
        binding("on-push"), binding("never", "false"), binding("broken", "payload.a.b")
    )
    event = world.receive().headers["Lynceus-Event-Id"]
    world.cluster.remove("WorkflowEventBinding", "argo", "broken")

    told = explained(world, event, **{"as": "stored"})

    assert {verdict["binding"]: verdict["reason"] for verdict in told["verdicts"]} == {
        "on-push": reasons.MATCHED,
        "broken": reasons.SELECTOR_ERROR,
    }
    assert told["counts"][reasons.SELECTOR_FALSE] == 1
    assert all(verdict["means"] for verdict in told["verdicts"])


def test_what_is_kept_of_verdicts_is_bounded_however_many_bindings_there_are() -> None:
    long = "payload.a.b == " + '"x" + ' * 300 + '"y"'
    nothing = [binding(f"nothing-{n:03}", submit=False) for n in range(60)]
    world = world_with_a_reader(*nothing, *(binding(f"broken-{n:03}", long) for n in range(60)))

    event = world.receive().headers["Lynceus-Event-Id"]

    record = world.ledger.event(event)
    assert record is not None
    assert record.counts == {reasons.NOTHING_TO_SUBMIT: 60, reasons.SELECTOR_ERROR: 60}
    assert len(record.verdicts) == 40
    assert max(len(verdict.message) for verdict in record.verdicts) <= 500


def test_rule_38_a_message_that_quotes_the_event_is_for_those_who_may_read_it() -> None:
    world = world_with_a_reader(binding("cast", "payload.after"))
    event = world.receive().headers["Lynceus-Event-Id"]
    world.work()

    def told() -> str:
        shown = look.show(READER, "argo", event, {}, world.ports, world.settings)
        health = look.binding_health(READER, "argo", "cast", {}, world.ports, world.settings, world.known)
        return json.dumps([shown, health])

    assert told().count(str(PUSH["after"])) == 2
    world.cluster.deny("ada", "get", "events")
    assert str(PUSH["after"]) not in told()
    assert reasons.SELECTOR_ERROR in told()


def test_the_heartbeat_tells_the_age_of_the_tick() -> None:
    world = World(account())
    assert look.heartbeat(world.ports) == {"ticked": False}

    world.tick()
    world.clock.sleep(30)

    assert look.heartbeat(world.ports)["secondsAgo"] == 30


def test_a_span_longer_than_any_calendar_is_that_bindings_error_alone() -> None:
    world = world_with_a_reader(
        binding("good"), binding("endless", annotations={"lynceus.dev/expire-after": "999999999d"})
    )
    event = world.receive().headers["Lynceus-Event-Id"]

    told = look.show(READER, "argo", event, {}, world.ports, world.settings)

    assert told["counts"] == {reasons.MATCHED: 1, reasons.BINDING_MALFORMED: 1}
