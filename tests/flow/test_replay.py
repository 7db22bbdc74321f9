"""Running again: exactly what is missing, by the rights of who asks and as the account that sent it."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core.errors import BadRequest, Forbidden
from chalicelib.flow import look, replay
from tests.world import World, binding, template

PERSON = "Bearer person"


def world_with_a_person(*objects: Any) -> World:
    world = World(*objects)
    world.cluster.tokens["person"] = "ada"
    return world


def replayed(world: World, **wish: Any) -> dict[str, Any]:
    told = replay.replay(PERSON, "argo", wish, world.ports, world.settings, world.known)
    world.work()
    return told


def sent(world: World, count: int) -> list[str]:
    ids = []
    for number in range(count):
        ids.append(world.receive(world.delivery(guid=f"guid-{number}")).headers["Lynceus-Event-Id"])
        world.clock.sleep(1)
    world.work()
    return ids


def test_what_a_broken_binding_missed_is_replayed_with_one_call_and_gives_exactly_the_missing_workflows() -> (
    None
):
    world = world_with_a_person(binding("good"), binding("bad"))
    sent(world, 2)
    world.cluster.apply(binding("bad", "payload.no.such.thing == 1"))
    world.clock.sleep(60)
    since = world.clock.now().isoformat()
    broken = [
        world.receive(world.delivery(guid=f"later-{number}")).headers["Lynceus-Event-Id"]
        for number in range(5)
    ]
    world.work()
    world.cluster.apply(binding("bad"))
    world.clock.sleep(60)
    before = set(world.names())

    told = replayed(world, filter={"since": since})

    assert len(world.names()) == len(before) + 5
    assert {run["binding"] for item in told["items"] for run in item["runs"]} == {"bad"}
    assert {item["event"] for item in told["items"] if item["runs"]} == set(broken)
    assert replayed(world, filter={"since": since})["runs"] == 0


def test_a_dry_run_says_what_would_run_and_changes_nothing() -> None:
    world = world_with_a_person(binding("on-push", "false"))
    [event] = sent(world, 1)
    world.cluster.apply(binding("on-push"))
    world.clock.sleep(60)

    dry = replayed(world, events=[event], dryRun=True)

    assert dry["runs"] == 1
    assert world.names() == []
    assert replayed(world, events=[event])["items"] == dry["items"]
    assert world.names() == [dry["items"][0]["runs"][0]["workflow"]]


def test_rule_6_a_forced_replay_runs_what_ran_once_for_each_replay_id() -> None:
    world = world_with_a_person()
    [event] = sent(world, 1)

    first = replayed(world, events=[event], force=True, replay="r1")
    again = replayed(world, events=[event], force=True, replay="r1")
    other = replayed(world, events=[event], force=True, replay="r2")

    assert [first["runs"], again["runs"], other["runs"]] == [1, 0, 1]
    assert len(world.names()) == 3


def test_rule_6_there_is_one_open_replay_of_each_original() -> None:
    world = world_with_a_person()
    [event] = sent(world, 1)
    wish = {"events": [event], "force": True}
    replay.replay(PERSON, "argo", {**wish, "replay": "r1"}, world.ports, world.settings, world.known)

    second = replay.replay(PERSON, "argo", {**wish, "replay": "r2"}, world.ports, world.settings, world.known)

    assert second["runs"] == 0


def test_rule_6_a_forced_replay_without_an_id_is_a_new_one_each_time() -> None:
    world = world_with_a_person()
    [event] = sent(world, 1)

    ids = set()
    for _ in range(2):
        world.clock.sleep(1)
        ids.add(replayed(world, events=[event], force=True)["replay"])

    assert len(ids) == 2
    assert len(world.names()) == 3


@pytest.mark.parametrize(
    "verb, plural",
    [("create", "replays"), ("create", "workflows"), ("list", "events"), ("get", "workflowtemplates")],
)
def test_rule_38_a_replay_needs_the_persons_own_right(verb: str, plural: str) -> None:
    world = world_with_a_person(binding("on-push", "false"))
    [event] = sent(world, 1)
    world.cluster.apply(binding("on-push"))
    world.clock.sleep(60)
    world.cluster.deny("ada", verb, plural)

    try:
        told = replayed(world, events=[event])
    except Forbidden as error:
        told = {"items": [{"error": error.message}]}

    assert f"cannot {verb}" in told["items"][0]["error"]
    assert world.names() == []


def test_rule_38_a_cluster_template_needs_the_persons_own_right_too() -> None:
    world = world_with_a_person(binding("on-push", "false"))
    [event] = sent(world, 1)
    world.cluster.apply(
        {"kind": "ClusterWorkflowTemplate", "metadata": {"name": "build"}, "spec": {}},
        binding("on-push", ref={"clusterScope": True}),
    )
    world.clock.sleep(60)
    world.cluster.deny("ada", "get", "clusterworkflowtemplates")

    assert "cannot get" in replayed(world, events=[event])["items"][0]["error"]


def test_rule_38_it_runs_as_the_original_account_and_the_record_names_both() -> None:
    world = world_with_a_person(binding("on-push", "false"))
    [event] = sent(world, 1)
    world.cluster.apply(binding("on-push"))
    world.clock.sleep(60)

    told = replayed(world, events=[event])

    [run] = told["items"][0]["runs"]
    assert run["account"] == "system:serviceaccount:argo:github.com"
    [note] = world.archive.notes(event)
    assert (note["what"], note["by"], note["runs"]) == ("replayed", "ada", [run["workflow"]])
    labels = world.workflows()[0]["metadata"]["labels"]
    assert labels["workflows.argoproj.io/creator"] == "system-serviceaccount-argo-github.com"


def test_one_event_that_cannot_be_replayed_does_not_stop_the_others() -> None:
    world = world_with_a_person(binding("on-push", "false"))
    gone, kept = sent(world, 2)
    world.ledger.bodies.pop(gone)
    world.cluster.apply(binding("on-push"))
    world.clock.sleep(60)

    told = replayed(world, events=[gone, "no-such-event", kept])

    assert [("error" in item) for item in told["items"]] == [True, True, False]
    assert len(world.names()) == 1


def test_a_page_follows_the_other_until_the_day_is_done() -> None:
    world = world_with_a_person(binding("on-push", "false"))
    sent(world, replay.BATCH + 3)
    world.cluster.apply(binding("on-push"))
    world.clock.sleep(60)

    first = replayed(world, filter={"client": "github.com"})
    second = replayed(world, filter={"client": "github.com", "cursor": first["cursor"]})

    assert [first["runs"], second["runs"]] == [replay.BATCH, 3]
    assert second["cursor"] == ""


def test_what_one_call_had_no_time_for_is_left_and_said() -> None:
    world = world_with_a_person(binding("on-push", "false"))
    ids = sent(world, 3)

    class Slow:
        """Time flies where bodies are read."""

        def __getattr__(self, name: str) -> Any:
            if name == "body":
                world.clock.sleep(10)
            return getattr(world.ports.ledger, name)

    from dataclasses import replace as changed

    ports = changed(world.ports, ledger=Slow())  # type: ignore[arg-type]  # it has them all by __getattr__
    told = replay.replay(PERSON, "argo", {"events": ids}, ports, world.settings, world.known)

    assert [item["event"] for item in told["items"]] + told["left"] == ids
    assert told["left"]


def test_an_event_older_than_expire_after_runs_again_only_by_force() -> None:
    annotations = {"lynceus.dev/expire-after": "10m"}
    world = world_with_a_person(binding("on-push", "false", annotations=annotations))
    [event] = sent(world, 1)
    world.cluster.apply(binding("on-push", annotations=annotations))
    world.clock.sleep(3600)

    assert replayed(world, events=[event])["runs"] == 0
    assert replayed(world, events=[event], force=True)["runs"] == 1
    assert len(world.names()) == 1


def test_rule_18_a_binding_that_reads_a_header_which_was_not_kept_is_not_run_but_named() -> None:
    world = world_with_a_person(binding("on-push"))
    world.tick()
    [event] = sent(world, 1)
    world.clock.sleep(3600)
    world.cluster.apply(binding("staged", 'metadata["x-stage"] != ["prod"]'))

    [item] = replayed(world, events=[event])["items"]

    assert item["undecidable"] == ["staged"]
    assert item["runs"] == []


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"events": "all"},
        {"events": [1]},
        {"events": ["x"] * 51},
        {"filter": {"since": "yesterday"}},
        {"filter": {"since": "2026-01-01T00:00:00"}},
        {"filter": {"day": 1}},
        {"events": [], "force": "yes"},
        {"events": [], "replay": "a b"},
        {"events": [], "replay": {"a": 1}},
    ],
)
def test_a_wish_that_means_nothing_is_a_bad_request(wish: dict[str, Any]) -> None:
    world = world_with_a_person()

    with pytest.raises(BadRequest):
        replayed(world, **wish)


def test_without_bodies_a_replay_says_that_they_are_not_kept() -> None:
    world = World(ledger=None)
    world.cluster.tokens["person"] = "ada"
    world.ledger._keep_bodies = False
    [event] = sent(world, 1)

    [item] = replayed(world, events=[event], force=True)["items"]

    assert "is not kept" in item["error"]


def failed_world() -> tuple[World, list[dict[str, str]]]:
    world = world_with_a_person(binding("lost", template="later"))
    sent(world, 1)
    world.pass_time(5)
    found = look.list_failed(PERSON, "argo", {}, world.ports, world.settings)["items"]
    return world, [{"workflow": item["workflow"], "submission": item["id"]} for item in found]


def test_a_failed_submission_is_driven_again_as_it_was_frozen() -> None:
    world, failed = failed_world()
    world.cluster.apply(template("later"))

    told = replay.redrive(PERSON, "argo", {"submissions": failed}, world.ports, world.settings)
    world.work()

    assert told["runs"] == 1
    assert world.names() == [failed[0]["workflow"]]
    assert look.list_failed(PERSON, "argo", {}, world.ports, world.settings)["items"] == []


def test_a_redrive_in_dry_run_changes_nothing_and_one_of_what_has_not_failed_says_so() -> None:
    world, failed = failed_world()
    wish = {"submissions": [*failed, {"workflow": "w", "submission": "0" * 32}], "dryRun": True}

    told = replay.redrive(PERSON, "argo", wish, world.ports, world.settings)

    assert [("error" in item) for item in told["items"]] == [False, True]
    assert world.work() == 0


def test_rule_38_a_redrive_needs_the_same_rights() -> None:
    world, failed = failed_world()
    world.cluster.deny("ada", "create", "replays")

    with pytest.raises(Forbidden):
        replay.redrive(PERSON, "argo", {"submissions": failed}, world.ports, world.settings)


@pytest.mark.parametrize("force", [False, True])
def test_a_replay_asks_every_binding_of_an_event_that_more_match_than_one_transaction_holds(
    force: bool,
) -> None:
    world = world_with_a_person(*(binding(f"b-{number:03}") for number in range(120)))
    (event,) = sent(world, 1)
    world.cluster.apply(binding("z-later"))
    world.clock.sleep(60)
    expected = {"z-later"} | ({f"b-{number:03}" for number in range(120)} if force else set())

    rehearsed = replayed(world, events=[event], force=force, dryRun=True, replay="one")
    told = replayed(world, events=[event], force=force, replay="one")

    assert {run["binding"] for run in rehearsed["items"][0]["runs"]} == expected
    assert {run["binding"] for run in told["items"][0]["runs"]} == expected
    assert len(world.names()) == 120 + len(expected)
    assert replayed(world, events=[event], force=force, replay="one")["runs"] == 0


def test_dead_letters_are_counted_with_their_reasons_and_revived_on_request() -> None:
    world = world_with_a_person()
    world.queue.bury('{"v": 9}', "message of an unknown version")

    seen = replay.dead_letters(PERSON, "argo", {}, world.ports, world.settings)
    revived = replay.dead_letters(PERSON, "argo", {"redrive": True}, world.ports, world.settings)

    assert [item["reason"] for item in seen["items"]] == ["message of an unknown version"]
    assert (seen["redriven"], revived["redriven"]) == (False, True)
    assert world.queue.dead == []


def test_rule_40_dead_letters_of_all_namespaces_need_the_right_in_all_of_them() -> None:
    world = world_with_a_person()
    world.with_settings(namespaces=("argo", "other"))
    world.cluster.deny("ada", "create", "replays", "other")

    with pytest.raises(Forbidden):
        replay.dead_letters(PERSON, "argo", {}, world.ports, world.settings)
