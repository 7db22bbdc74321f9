"""What each sender may say to the door, and what the door answers it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core import errors
from chalicelib.core.providers import BATCH_LIMIT, PROVIDERS
from chalicelib.flow.receive import receive
from lynceus.local.faults import BEFORE, Fault
from tests.deliveries import SAMPLES, Recorded, delivery_of, recorded
from tests.doors import Door, Headers, Told, world_of
from tests.world import SECRET, World, account, binding

ANY = binding("any", "true", parameters={})
TOKEN = [("Authorization", "Bearer jenkins")]


def sample(name: str) -> Recorded:
    return recorded(SAMPLES / f"{name}.json")


def entries(world: World, **clients: Mapping[str, Any]) -> None:
    """The webhook clients of the namespace, each with its account."""
    world.secrets.documents["argo"] = json.dumps(clients)
    world.cluster.apply(*(account(name) for name in clients))


def set_option(world: World, **options: Any) -> None:
    """Options of the world's only webhook client."""
    ((name, entry),) = json.loads(world.secrets.documents["argo"]).items()
    world.secrets.documents["argo"] = json.dumps({name: {**entry, **options}})


def with_jenkins(world: World) -> World:
    """The world with a caller: an account of the namespace and its token."""
    world.cluster.apply(account("jenkins"))
    world.cluster.tokens["jenkins"] = "system:serviceaccount:argo:jenkins"
    return world


def push(world: World, headers: Headers = (), **changed: Any) -> Told:
    """A push of GitHub's with more headers."""
    return Door(world).deliver(world.delivery(headers=headers, **changed))


def refused(told: Told) -> tuple[int, int]:
    return told.status, told.body["code"]


# Batches


def batch(*events: Mapping[str, Any]) -> bytes:
    return json.dumps(
        [{"specversion": "1.0", "type": "lit", "source": "/beacon", **event} for event in events]
    ).encode()


BATCH = [
    ("Content-Type", "application/cloudevents-batch+json"),
    ("Authorization", "Bearer the lamp"),
]


def beacon(**options: Any) -> World:
    world = World(binding("any", "true", parameters={"id": "payload.id"}))
    entries(world, beacon={"type": "cloudevents", "secret": "the lamp", **options})
    return world


def test_each_event_of_a_batch_is_an_event_of_its_own() -> None:
    world = beacon()

    told = Door(world).post("argo/", BATCH, batch({"id": "a"}, {"id": "b", "type": "out"}))
    world.work()

    assert (told.status, told.text) == (200, "{}")
    kept = [world.ledger.events[identity] for identity in told.event.split(",")]
    assert [(record.event_type, record.delivery_id) for record in kept] == [("lit", "a"), ("out", "b")]
    assert len(world.workflows()) == 2


def test_a_batch_sent_again_with_one_event_more_runs_the_one_only() -> None:
    world = beacon()
    Door(world).post("argo/", BATCH, batch({"id": "a"}))
    world.work()

    Door(world).post("argo/", BATCH, batch({"id": "a"}, {"id": "b"}))
    world.work()

    assert len(world.workflows()) == 2


def test_an_event_twice_in_one_batch_runs_once() -> None:
    world = beacon()

    told = Door(world).post("argo/", BATCH, batch({"id": "a"}, {"id": "a"}))
    world.work()

    first, second = told.event.split(",")
    assert first == second
    assert len(world.workflows()) == 1


def test_an_empty_batch_is_answered_and_nothing_is_kept() -> None:
    world = beacon()

    told = Door(world).post("argo/", BATCH, b"[]")

    assert (told.status, told.text, told.event) == (200, "{}", "")
    assert not world.ledger.events


def test_one_event_that_is_none_refuses_the_whole_batch() -> None:
    world = beacon()

    told = Door(world).post("argo/", BATCH, b'[{"specversion":"1.0","type":"t","source":"s","id":"1"},5]')

    assert refused(told) == (400, 3)
    assert not world.ledger.events


def test_a_batch_over_the_limit_is_too_large_and_says_the_limit() -> None:
    world = beacon()

    told = Door(world).post("argo/", BATCH, batch(*({"id": str(n)} for n in range(BATCH_LIMIT + 1))))

    assert told.status == 413
    assert str(BATCH_LIMIT) in told.body["message"]
    assert not world.ledger.events


def test_what_of_a_batch_is_not_on_the_allow_list_is_left_out() -> None:
    world = beacon(events=["lit"])

    told = Door(world).post("argo/", BATCH, batch({"id": "a"}, {"id": "b", "type": "out"}))

    assert [record.delivery_id for record in world.ledger.events.values()] == ["a"]
    assert told.event in world.ledger.events


def test_a_batch_is_a_promise_as_a_whole() -> None:
    """With the ledger away for one event and the queue for its envelope, the sender hears 503 and sends all again."""
    world = beacon()
    world.plan.faults += [Fault("ledger", "keep", BEFORE, 2), Fault("queue", "send", BEFORE, 2)]
    door = Door(world)

    first = door.post("argo/", BATCH, batch({"id": "a"}, {"id": "b"}))
    second = door.post("argo/", BATCH, batch({"id": "a"}, {"id": "b"}))
    world.pass_time(3)

    assert refused(first) == (503, 14)
    assert first.headers["retry-after"] == "30"
    assert second.status == 200
    assert len(world.workflows()) == 2


def test_the_verdicts_of_a_batch_come_as_a_list() -> None:
    world = beacon(verdicts=True)

    told = Door(world).post(
        "argo/", [*BATCH, ("Prefer", "return=representation")], batch({"id": "a"}, {"id": "b"})
    )

    assert [entry["event"] for entry in told.body["events"]] == told.event.split(",")


# Dry runs and verdicts (rule 39)


def test_rule_39_a_dry_run_tells_verdicts_and_workflows_and_starts_nothing() -> None:
    world = World(binding("on-push"), binding("never", "false"), binding("broken", "nothing"))
    set_option(world, verdicts=True)

    told = push(world, [("Lynceus-Dry-Run", "true")])
    world.pass_time(3)

    assert told.status == 200
    assert told.body["dryRun"] is True
    said = {verdict["binding"]: verdict["outcome"] for verdict in told.body["verdicts"]}
    assert said == {"on-push": "matched", "never": "not-matched", "broken": "error"}
    [workflow] = told.body["workflows"]
    assert workflow["spec"]["workflowTemplateRef"] == {"name": "build"}
    assert world.workflows() == []


def test_a_dry_run_says_which_comparison_decided() -> None:
    world = World(binding("release", 'payload.ref == "refs/heads/release"'))
    set_option(world, verdicts=True)

    told = push(world, [("Lynceus-Dry-Run", "true")])

    [verdict] = told.body["verdicts"]
    assert 'payload.ref == "refs/heads/release" is false' in verdict["because"][0]["said"]


def test_rule_39_a_dry_run_is_recorded_and_claims_nothing() -> None:
    world = World()
    set_option(world, verdicts=True)

    dry = push(world, [("Lynceus-Dry-Run", "true")])
    real = push(world)
    world.work()

    assert world.ledger.events[dry.event].note == "dry-run"
    assert dry.event != real.event
    assert "lynceus-duplicate" not in real.headers
    assert len(world.workflows()) == 1


@pytest.mark.parametrize("verdicts", [{}, {"verdicts": False}])
def test_rule_39_a_client_without_verdicts_may_not_rehearse(verdicts: dict[str, bool]) -> None:
    world = World()
    set_option(world, **verdicts)

    told = push(world, [("Lynceus-Dry-Run", "true")])

    assert refused(told) == (403, 7)
    assert "verdicts: true" in told.body["message"]
    assert not world.ledger.events


def test_rule_39_a_caller_with_a_token_may_rehearse() -> None:
    world = with_jenkins(World(ANY))

    told = Door(world).post("argo/", [*TOKEN, ("lynceus-dry-run", "TRUE")], b"{}")

    assert [verdict["binding"] for verdict in told.body["verdicts"]] == ["any"]


def test_a_dry_run_that_could_not_ask_every_binding_says_so() -> None:
    world = World()
    set_option(world, verdicts=True)
    world.plan.outage("cluster")

    told = push(world, [("Lynceus-Dry-Run", "true")])

    assert refused(told) == (503, 14)
    assert "retry-after" in told.headers


@pytest.mark.parametrize("wish", ["false", "", "1", "no"])
def test_only_the_word_true_asks_for_a_dry_run(wish: str) -> None:
    world = World()

    told = push(world, [("Lynceus-Dry-Run", wish)])
    world.work()

    assert told.status == 200
    assert len(world.workflows()) == 1


PREFER = [("Prefer", "respond-async, return=representation")]


def test_rule_39_who_prefers_a_representation_gets_the_verdicts() -> None:
    world = World(binding("on-push"), binding("never", "false"))
    set_option(world, verdicts=True)

    told = push(world, PREFER)

    assert told.body["event"] == told.event
    assert [verdict["binding"] for verdict in told.body["verdicts"]] == ["on-push"]
    assert told.body["counts"] == {"matched": 1, "selector-false": 1}


def test_rule_39_a_client_without_verdicts_is_answered_as_if_it_preferred_nothing() -> None:
    assert push(World(), PREFER).text == "{}"


def test_the_representation_of_a_duplicate_is_the_first_events() -> None:
    world = with_jenkins(World(ANY))
    door = Door(world)
    headers = [*TOKEN, ("Idempotency-Key", "build-7"), *PREFER]

    first, second = door.post("argo/", headers, b"{}"), door.post("argo/", headers, b"{}")

    assert second.headers["lynceus-duplicate"] == "true"
    assert second.body == first.body


def test_while_the_ledger_is_away_a_representation_is_the_events_id() -> None:
    world = with_jenkins(World(ANY))
    world.plan.outage("ledger")

    told = Door(world).post("argo/", [*TOKEN, *PREFER], b"{}")

    assert (told.status, told.body) == (200, {"event": told.event})


# Repeats


def repeating(dedupe: str) -> World:
    return World(
        binding("once"),
        binding("each", annotations={"lynceus.dev/dedupe": dedupe}),
    )


def test_a_binding_without_dedupe_sees_each_duplicate_as_an_event() -> None:
    world = repeating("off")
    first = push(world)
    world.work()

    second = push(world)
    world.work()

    assert second.event == first.event
    assert len(world.workflows()) == 3
    [repeat] = [record for record in world.ledger.events.values() if record.duplicate_of]
    assert (repeat.duplicate_of, repeat.note) == (first.event, "duplicate")
    assert [verdict.binding for verdict in repeat.verdicts] == ["each"]


def test_a_binding_with_a_span_takes_a_duplicate_after_it_only() -> None:
    world = repeating("2m")
    push(world)
    world.work()

    world.clock.sleep(100)
    push(world)
    world.work()
    assert len(world.workflows()) == 2
    world.clock.sleep(100)
    push(world)
    world.work()

    assert len(world.workflows()) == 3


def test_a_retry_of_one_request_is_no_duplicate_to_a_binding_without_dedupe() -> None:
    """API Gateway and Lambda may repeat a request under its own id."""
    world = repeating("off")
    delivery = world.delivery()
    for _ in range(2):
        receive(delivery, "the same request", world.ports, world.settings, world.known)
    world.work()

    assert len(world.workflows()) == 2


def test_an_annotation_that_is_no_span_is_an_error_of_its_binding_alone() -> None:
    world = repeating("soon")

    told = push(world)
    world.work()

    assert len(world.workflows()) == 1
    [verdict] = [v for v in world.ledger.events[told.event].verdicts if v.outcome == "error"]
    assert verdict.binding == "each"
    assert '"soon" is no duration' in verdict.message


WITH_ID = sorted(
    (path for path in SAMPLES.glob("*/*.json") if recorded(path).get("delivery_id")),
    key=lambda path: path.parent.name,
)
ONE_EACH = {path.parent.name: path for path in WITH_ID if recorded(path)["expect"] == "accept"}
# A redelivery of these must carry a timestamp of its own, so that a captured one is refused before it is a repeat.
SIGNED_TIME = {"slack", "stripe", "standardwebhooks", "sns"} | {
    name for name, path in ONE_EACH.items() if (recorded(path).get("config") or {}).get("timestamp_header")
}


@pytest.mark.parametrize("provider", ONE_EACH)
def test_a_repeat_within_the_senders_window_is_a_duplicate(provider: str) -> None:
    request = recorded(ONE_EACH[provider])
    world = world_of(request)
    door = Door(world)
    first = door.deliver(delivery_of(request))
    world.work()
    world.clock.sleep(60)

    second = door.deliver(delivery_of(request))
    world.work()

    assert (second.event, second.headers["lynceus-duplicate"]) == (first.event, "true")
    assert len(world.workflows()) == 1


@pytest.mark.parametrize("provider", sorted(set(ONE_EACH) - SIGNED_TIME))
def test_a_repeat_after_the_senders_window_is_a_persons_wish(provider: str) -> None:
    request = recorded(ONE_EACH[provider])
    world = world_of(request)
    door = Door(world)
    first = door.deliver(delivery_of(request))
    world.work()
    window = PROVIDERS[provider].window

    world.clock.sleep((window - timedelta(seconds=1)).total_seconds())
    still = door.deliver(delivery_of(request))
    world.clock.sleep(2)
    again = door.deliver(delivery_of(request))
    world.work()

    assert still.event == first.event
    assert again.event != first.event
    assert len(world.workflows()) == 2


@pytest.mark.parametrize("provider", sorted(SIGNED_TIME & set(ONE_EACH)))
def test_a_captured_delivery_whose_time_is_signed_is_refused_when_it_is_old(provider: str) -> None:
    request = recorded(ONE_EACH[provider])
    world = world_of(request)
    Door(world).deliver(delivery_of(request))
    world.clock.sleep(2 * 3600)

    told = Door(world).deliver(delivery_of(request))

    assert refused(told) == (401, 16)
    assert len(world.ledger.events) == 1


def test_in_replay_mode_body_hash_another_delivery_id_does_not_make_another_event() -> None:
    world = World()
    set_option(world, replay="body-hash")

    first, second = push(world, guid="guid-1"), push(world, guid="guid-2")

    assert second.event == first.event
    assert second.headers["lynceus-duplicate"] == "true"


# Rates


def test_no_rate_is_limited_unless_the_client_says_so() -> None:
    world = World()

    told = [push(world, guid=f"guid-{number}") for number in range(50)]

    assert {each.status for each in told} == {200}
    assert not world.ledger.tallies


def test_above_its_own_rate_a_client_hears_429_until_the_minute_is_over() -> None:
    world = World()
    set_option(world, rate_limit=2)
    world.clock.sleep(15)

    told = [push(world, guid=f"guid-{number}") for number in range(3)]

    assert [each.status for each in told] == [200, 200, 429]
    assert told[2].body["code"] == 8
    assert "rate_limit of 2" in told[2].body["message"]
    assert told[2].headers["retry-after"] == "45"
    assert len(world.ledger.events) == 2
    world.clock.sleep(45)
    assert push(world, guid="guid-2").status == 200


def test_a_stranger_does_not_spend_a_clients_rate() -> None:
    world = World()
    set_option(world, rate_limit=1)

    for _ in range(5):
        assert push(world, secret="guessed").status == 401

    assert push(world).status == 200


def test_while_the_ledger_is_away_no_rate_is_limited() -> None:
    world = World()
    set_option(world, rate_limit=1)
    world.plan.outage("ledger")

    told = [push(world, guid=f"guid-{number}") for number in range(3)]

    assert {each.status for each in told} == {200}


# Events that are not wanted


def test_an_event_that_is_not_on_the_list_is_answered_and_not_kept() -> None:
    world = World()
    set_option(world, events=["push"])

    unwanted, wanted = push(world, event="star"), push(world)

    assert (unwanted.status, unwanted.text, unwanted.event) == (200, "{}", "")
    assert list(world.ledger.events) == [wanted.event]
    [told] = world.archive.refused("argo", world.clock.now() - timedelta(hours=1), 10)
    assert (told.reason, told.sample["event"]) == ("event-not-listed", "star")


def test_the_list_is_no_way_around_the_signature() -> None:
    world = World()
    set_option(world, events=["push"])

    assert push(world, event="star", secret="guessed").status == 401


# Handshakes

HANDSHAKES = [path for path in SAMPLES.glob("*/*.json") if recorded(path)["expect"] == "handshake"]


@pytest.mark.parametrize("path", HANDSHAKES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_handshake_is_answered_and_starts_nothing(path: Path) -> None:
    request = recorded(path)
    world = world_of(request)

    told = Door(world).deliver(delivery_of(request))
    world.pass_time(2)

    assert told.status == 200
    assert told.body == (request.get("respond") or {}).get("body", {})
    assert not world.ledger.events
    assert world.workflows() == []


def test_a_github_ping_is_an_event_like_any_other() -> None:
    world = World(binding("on-ping", 'metadata["x-github-event"] == ["ping"]', parameters={}))

    assert push(world, event="ping").status == 200
    world.work()

    assert len(world.workflows()) == 1


def test_a_signed_subscription_is_confirmed_by_the_api_and_its_url_is_not_fetched() -> None:
    request = sample("sns/subscription-confirmation")
    world = world_of(request)

    assert Door(world).deliver(delivery_of(request)).status == 200

    message = json.loads(request["body"])
    assert world.topics.confirmed == [(message["TopicArn"], message["Token"])]


def test_a_subscription_to_a_topic_of_somebody_else_is_not_confirmed() -> None:
    request = sample("sns/subscription-confirmation")
    world = world_of(request)
    set_option(world, topic_arns=["arn:aws:sns:eu-central-1:123456789012:other"])

    assert Door(world).deliver(delivery_of(request)).status == 401

    assert world.topics.confirmed == []


def test_a_subscription_that_cannot_be_confirmed_now_is_asked_for_again() -> None:
    request = sample("sns/subscription-confirmation")
    world = world_of(request)
    world.plan.faults.append(Fault("topics", "confirm", BEFORE))
    door = Door(world)

    assert door.deliver(delivery_of(request)).status == 503
    assert door.deliver(delivery_of(request)).status == 200

    assert len(world.topics.confirmed) == 1


def test_rule_13_an_unsigned_question_is_answered_and_nothing_is_written() -> None:
    for name in ("bitbucketserver/diagnostics-ping-unsigned", "cloudevents/options"):
        request = sample(name)
        world = world_of(request)

        assert Door(world).deliver(delivery_of(request)).status == 200

        written = [port for (port, _), count in world.plan.calls.items() if count and port != "secrets"]
        assert written == [], name


def test_an_unsigned_ping_does_not_let_a_push_pass() -> None:
    request = sample("bitbucketserver/diagnostics-ping-unsigned")
    world = world_of(request)
    pushed = {**request, "headers": {**request["headers"], "X-Event-Key": "repo:refs_changed"}}

    assert Door(world).deliver(delivery_of(pushed)).status == 401


def ask(world: World, *headers: tuple[str, str]) -> Told:
    return Door(world).send("OPTIONS", "/api/v1/events/argo/", headers)


def test_a_listed_origin_may_send_cloudevents() -> None:
    world = beacon(allowed_origins=["events.example.com"], rate_limit=30)

    told = ask(world, ("WebHook-Request-Origin", "events.example.com"), ("WebHook-Request-Rate", "120"))

    assert told.status == 200
    assert told.headers["webhook-allowed-origin"] == "events.example.com"
    assert told.headers["webhook-allowed-rate"] == "30"
    assert told.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "headers", [[], [("WebHook-Request-Origin", "evil.example.com")], [("WebHook-Request-Origin", "")]]
)
def test_other_origins_learn_only_that_post_is_the_method(headers: Headers) -> None:
    told = ask(beacon(allowed_origins=["events.example.com"]), *headers)

    assert (told.status, told.headers["allow"]) == (200, "POST")
    assert not [name for name in told.headers if name.startswith("webhook-allowed")]


def test_a_callback_url_is_never_fetched_and_does_not_help() -> None:
    told = ask(
        beacon(allowed_origins=["events.example.com"]),
        ("WebHook-Request-Origin", "evil.example.com"),
        ("WebHook-Request-Callback", "https://evil.example.com/yes"),
    )

    assert not [name for name in told.headers if name.startswith("webhook-allowed")]


def test_options_is_not_for_namespaces_without_cloudevents() -> None:
    assert ask(World()).status == 401


def test_options_with_a_token_is_a_question_and_no_event() -> None:
    world = with_jenkins(beacon(allowed_origins=["*"]))

    told = ask(world, *TOKEN, ("WebHook-Request-Origin", "events.example.com"))

    assert told.headers["webhook-allowed-origin"] == "events.example.com"
    assert not world.ledger.events


# Whose Authorization it is


def basic(user: str, password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_an_authorization_that_is_a_webhook_clients_acts_as_the_client() -> None:
    world = with_jenkins(World(ANY))
    entries(world, azure={"type": "azuredevops", "secret": "the lamp", "scheme": "basic", "username": "argo"})

    told = Door(world).post("argo/", [basic("argo", "the lamp")], b'{"eventType":"git.push","id":"1"}')

    assert world.ledger.events[told.event].account.name == "azure"


def test_the_cluster_never_sees_a_webhook_clients_secret() -> None:
    world = World(ANY)
    entries(world, harbor={"type": "harbor", "secret": "the lamp"})

    Door(world).post("argo/", [("Authorization", "the lamp")], b"{}")

    assert world.plan.calls["cluster", "caller"] == 0


def test_an_authorization_that_is_no_clients_is_for_the_cluster_to_judge() -> None:
    world = with_jenkins(World(ANY))
    entries(world, harbor={"type": "harbor", "secret": "the lamp"})

    told = Door(world).post("argo/", TOKEN, b"{}")

    assert world.ledger.events[told.event].account.name == "jenkins"


def test_a_token_wins_over_a_signature_as_in_argo() -> None:
    world = with_jenkins(World(ANY))

    told = push(world, TOKEN)

    assert (world.ledger.events[told.event].account.name, world.ledger.events[told.event].client) == (
        "jenkins",
        "",
    )


def test_a_signature_beside_an_authorization_that_nobody_knows_is_proof_enough() -> None:
    world = World()

    told = push(world, [basic("sender", "whatever")])

    assert world.ledger.events[told.event].client == "github.com"


def test_a_known_token_without_rights_is_forbidden_whatever_else_is_signed() -> None:
    world = with_jenkins(World())
    world.cluster.deny("system:serviceaccount:argo:jenkins", "list", "workfloweventbindings")

    assert refused(push(world, TOKEN)) == (403, 7)


def test_a_wrong_token_and_a_wrong_signature_are_unauthenticated() -> None:
    assert refused(push(World(), TOKEN, secret="guessed")) == (401, 16)


def test_a_wrong_password_is_unauthenticated_though_the_cluster_takes_it_for_nobodys() -> None:
    world = World(ANY)
    entries(world, azure={"type": "azuredevops", "secret": "the lamp", "scheme": "basic", "username": "argo"})
    wrong = basic("argo", "guessed")
    world.cluster.tokens[wrong[1]] = "system:anonymous"
    world.cluster.deny("system:anonymous", "list", "workfloweventbindings")

    assert refused(Door(world).post("argo/", [wrong], b"{}")) == (401, 16)


def test_while_secrets_are_away_a_client_with_authorization_hears_503_and_not_401() -> None:
    """401 would lose the event of a sender that retries on 5xx alone."""
    world = World(ANY)
    entries(world, azure={"type": "azuredevops", "secret": "the lamp", "scheme": "basic", "username": "argo"})
    world.plan.outage("secrets")

    told = Door(world).post("argo/", [basic("argo", "the lamp")], b"{}")

    assert refused(told) == (503, 14)
    assert int(told.headers["retry-after"]) > 0


def test_while_secrets_are_away_callers_with_tokens_are_served() -> None:
    world = with_jenkins(World(ANY))
    world.plan.outage("secrets")

    assert Door(world).post("argo/", TOKEN, b"{}").status == 200


def test_while_the_cluster_is_away_a_signature_beside_an_authorization_still_counts() -> None:
    world = World()
    world.tick()
    world.plan.outage("cluster")

    assert push(world, [basic("sender", "whatever")]).status == 200


def test_while_the_cluster_is_away_a_caller_that_only_it_can_judge_is_asked_to_come_again() -> None:
    world = with_jenkins(World(ANY))
    world.plan.outage("cluster")

    told = Door(world).post("argo/", TOKEN, b"{}")

    assert refused(told) == (503, 14)
    assert int(told.headers["retry-after"]) > 0


@pytest.mark.parametrize("keys", [["a" * 513], ["a\x00"], ["a", "b"]])
def test_an_idempotency_key_that_cannot_be_one_is_a_bad_request(keys: list[str]) -> None:
    world = with_jenkins(World(ANY))

    told = Door(world).post("argo/", [*TOKEN, *(("Idempotency-Key", key) for key in keys)], b"{}")

    assert refused(told) == (400, 3)


# What stays outside

ACCEPTED = [path for path in sorted(SAMPLES.glob("*/*.json")) if recorded(path)["expect"] == "accept"]


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_deliverys_credentials_reach_neither_ledger_nor_queue_nor_log_nor_workflow(path: Path) -> None:
    request = recorded(path)
    everything = {"m": "toJSON(metadata)", "p": "toJSON(payload)"}
    world = world_of(request, binding("all", "true", parameters=everything))
    (client,) = world.secrets.webhook_clients("argo") or ()

    told = Door(world).deliver(delivery_of(request))
    world.tick()
    world.work()

    assert told.status == 200
    assert len(world.workflows()) >= 1
    credentials = [*client.secrets]
    for name, value in request["headers"].items():
        credentials += (
            [value.removeprefix("Bearer ").removeprefix("Basic ")]
            if name.lower() in client.credential_headers
            else []
        )
    for key in client.provider.confidential:
        said = json.loads(request["body"]).get(key, "") if request["body"].startswith("{") else ""
        credentials += [said] if said else []
    kept = repr(
        [world.ledger.events, world.ledger.bodies, world.ledger.stored, world.queue.messages,
         world.journal.lines, world.workflows(), world.cluster.reports, told]
    )  # fmt: skip
    assert [secret for secret in credentials if secret in kept] == []


def test_an_expression_sees_slacks_payload_without_its_token() -> None:
    request = sample("slack/app_mention")
    world = world_of(request, binding("old", 'payload.token == ""', parameters={}))

    Door(world).deliver(delivery_of(request))
    world.work()

    assert len(world.workflows()) == 1


def test_a_client_may_show_its_credentials_to_expressions_and_to_nothing_else() -> None:
    request = sample("gitlab/push")
    world = world_of(
        request,
        binding(
            "all", 'metadata["x-gitlab-token"] != nil', parameters={"n": 'len(metadata["x-gitlab-token"])'}
        ),
    )
    set_option(world, expose_credentials=True)

    told = Door(world).deliver(delivery_of(request))
    world.work()

    assert len(world.workflows()) == 1
    assert "x-gitlab-token" not in world.ledger.events[told.event].headers


def test_a_discriminator_decides_which_clients_are_asked() -> None:
    world = World(ANY)
    entries(
        world,
        ci={"type": "github", "secret": "one", "discriminators": ["ci"]},
        cd={"type": "github", "secret": "two", "discriminators": ["cd"]},
    )
    door = Door(world)

    def sent(secret: str, discriminator: str) -> int:
        return door.deliver(world.delivery(secret=secret, discriminator=discriminator)).status

    assert [sent("one", "ci"), sent("one", "cd"), sent("two", "cd"), sent("two", "")] == [200, 401, 200, 401]


def test_a_sha1_signature_alone_is_no_proof() -> None:
    world = World()
    body = b"{}"
    signature = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()

    told = Door(world).post(
        "argo/", [("X-GitHub-Event", "push"), ("X-Hub-Signature", f"sha1={signature}")], body
    )

    assert refused(told) == (401, 16)


def test_no_refusal_of_ours_is_410() -> None:
    """Some senders take a webhook away for it."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    statuses = {kind.http_status for kind in kinds if issubclass(kind, errors.LynceusError)}

    assert 401 in statuses
    assert 410 not in statuses
