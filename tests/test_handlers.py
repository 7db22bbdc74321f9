"""Requests in the shapes in which API Gateway hands them over, and over HTTP: what the sender hears, what is kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import TOKEN_NOT_VALID, ClientError
from lynceus.local.functions import API
from tests.deliveries import (
    CLIENT,
    FIXTURES,
    SAMPLES,
    Recorded,
    clients_of,
    delivery_of,
    document_of,
    recorded,
)
from tests.doors import Door, Shape, Told, gateway, world_of
from tests.world import SECRET, World, account, binding

# What a recorded request ends as


def paths(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.glob("*/*.json"))


def named(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.parent.name}/{path.stem}"


every_recorded_request = pytest.mark.parametrize("path", paths(SAMPLES), ids=named)
every_fixture = pytest.mark.parametrize(
    "path",
    paths(FIXTURES / "webhooks", FIXTURES / "webhooks-bad")
    or [pytest.param(Path("a/b/c"), marks=pytest.mark.skip(reason="../shared absent"))],
    ids=named,
)

Send = Callable[[Door, Recorded], Told]


def as_event(door: Door, request: Recorded) -> Told:
    """As REST payload 1.0 with a body in base64, which is what `binary_types */*` gives."""
    return door.deliver(delivery_of(request))


def over_http(door: Door, request: Recorded) -> Told:
    """Through the local gateway's socket; header values are bytes on the wire."""
    delivery = delivery_of(request)
    connection = http.client.HTTPConnection(gateway().url.removeprefix("http://"), timeout=10)
    target = f"/api/v1/events/{delivery.namespace}/"
    if delivery.query:
        target += "?" + urlencode(dict(delivery.query), doseq=True)
    connection.putrequest(delivery.method, target)
    for name, value in delivery.headers:
        if name.lower() != "content-length":
            connection.putheader(name, value.encode())
    connection.putheader("Content-Length", str(len(delivery.body)))
    connection.endheaders(delivery.body)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return Told(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)


def check(request: Recorded, send: Send) -> None:
    """The sender hears what the request expects, and what is kept is what it says it is."""
    world = world_of(request)
    door = Door(world)
    if request["expect"] == "reject-duplicate":
        before = recorded(FIXTURES / "webhooks" / f"{request['after'][0]}.json")
        first = send(door, {**before, "config": request.get("config")})
        world.work()
        told = send(door, request)
        assert (told.status, told.event) == (200, first.event)
        assert told.headers["lynceus-duplicate"] == "true"
        return
    told = send(door, request)
    kept = list(world.ledger.events.values())
    expected = request["expect"]
    if expected == "accept-or-bad-payload":
        expected = "accept" if told.status == 200 else "authentic-bad-payload"
    if expected == "accept":
        check_kept(request, told, world)
    elif expected in ("handshake", "no-dispatch", "no-allow"):
        check_handshake(request, told)
        assert kept == []
    elif expected == "authentic-bad-payload":
        assert (told.status, told.body["code"], kept) == (400, 3, [])
    else:
        assert kept == []
        check_refused(request, told)


def check_kept(request: Recorded, told: Told, world: World) -> None:
    assert (told.status, told.text) == (200, "{}")
    ids = told.event.split(",")
    assert sorted(ids) == sorted(world.ledger.events)
    if request.get("event") == "batch":
        return
    record = world.ledger.events[told.event]
    assert (record.client, record.provider) == (CLIENT, request["provider"])
    for said in ("event", "action", "delivery_id"):
        if request.get(said) is not None:
            assert getattr(record, "event_type" if said == "event" else said) == request[said]
    world.work()
    assert len(world.workflows()) == 1


def check_handshake(request: Recorded, told: Told) -> None:
    assert told.status == 200
    assert not told.event
    answer = request.get("respond") or {}
    assert told.body == answer.get("body", {})
    allowed = {name: value for name, value in told.headers.items() if name.startswith("webhook-allowed")}
    said = {name.lower(): value for name, value in answer.get("headers", {}).items()}
    assert allowed == {name: value for name, value in said.items() if name.startswith("webhook-allowed")}


def check_refused(request: Recorded, told: Told) -> None:
    if not loads(request) and "Authorization" not in request["headers"]:
        assert (told.status, told.text) == (403, '{"message": "failed to process webhook request"}\n')
    elif request["method"] != "POST":
        assert (told.status, told.body) == (501, {"code": 12, "message": "Not Implemented"})
    else:
        assert told.status == request.get("status", 401)
        if told.status == 401:
            assert told.body in UNAUTHENTICATED


# With an Authorization header that is no webhook client's, the cluster is asked; without one, nobody is.
UNAUTHENTICATED = [
    {"code": 16, "message": message}
    for message in (
        TOKEN_NOT_VALID,
        "Unauthorized",
        "failed to create REST config: error parsing basic authentication",
    )
]


def loads(request: Recorded) -> bool:
    try:
        clients_of(request)
    except ClientError:
        return False
    return True


@every_recorded_request
def test_a_sample_ends_as_it_says_behind_api_gateway(path: Path) -> None:
    check(recorded(path), as_event)


@every_recorded_request
def test_a_sample_ends_as_it_says_over_http(path: Path) -> None:
    check(recorded(path), over_http)


@every_fixture
def test_a_fixture_ends_as_it_says_behind_api_gateway(path: Path) -> None:
    check(recorded(path), as_event)


@every_fixture
def test_a_fixture_ends_as_it_says_over_http(path: Path) -> None:
    check(recorded(path), over_http)


# The shapes of API Gateway

# As API Gateway sends it for REST APIs, payload 1.0, with every media type binary. Recorded form:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
REST_EVENT: dict[str, Any] = {
    "resource": "/api/v1/events/{namespace}/{discriminator}",
    "path": "/api/v1/events/argo/ci",
    "httpMethod": "POST",
    "headers": {"Accept": "*/*", "Host": "hooks.example.com", "X-Trace": "b"},
    "multiValueHeaders": {"Accept": ["*/*"], "Host": ["hooks.example.com"], "X-Trace": ["a", "b"]},
    "queryStringParameters": None,
    "multiValueQueryStringParameters": None,
    "pathParameters": {"namespace": "argo", "discriminator": "ci"},
    "stageVariables": None,
    "requestContext": {
        "resourceId": "2gxmpl",
        "resourcePath": "/api/v1/events/{namespace}/{discriminator}",
        "httpMethod": "POST",
        "extendedRequestId": "JJbxmplHYosFVYQ=",
        "requestTime": "10/Mar/2020:00:03:59 +0000",
        "path": "/api/api/v1/events/argo/ci",
        "accountId": "123456789012",
        "protocol": "HTTP/1.1",
        "stage": "api",
        "domainPrefix": "70ixmpl4fl",
        "requestTimeEpoch": 1583798639428,
        "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
        "identity": {"cognitoIdentityPoolId": None, "sourceIp": "52.255.255.12", "userAgent": "GitHub-Hookshot"},
        "domainName": "70ixmpl4fl.execute-api.us-east-2.amazonaws.com",
        "apiId": "70ixmpl4fl",
    },
    "body": None,
    "isBase64Encoded": False,
}  # fmt: skip


def looking() -> tuple[World, Door]:
    """A world whose one binding puts all that it sees into a parameter, and a caller who may send to it."""
    seen = "toJSON({'d': discriminator, 'm': metadata, 'p': payload})"
    world = World(binding("look", "true", parameters={"seen": f"toBase64({seen})"}))
    world.cluster.apply(account("jenkins"))
    world.cluster.tokens["t"] = "system:serviceaccount:argo:jenkins"
    return world, Door(world)


def seen_by(world: World) -> Any:
    world.work()
    [workflow] = world.workflows()
    [parameter] = workflow["spec"]["arguments"]["parameters"]
    return json.loads(base64.b64decode(parameter["value"]))


TOKEN = ("Authorization", "Bearer t")


def invoke(event: dict[str, Any]) -> Any:
    return gateway().functions.invoke(API, event)


def test_an_event_as_amazon_documents_it_is_read_whole() -> None:
    world, _ = looking()
    event = {
        **REST_EVENT,
        "multiValueHeaders": {**REST_EVENT["multiValueHeaders"], "Authorization": ["Bearer t"]},
        "body": base64.b64encode(b'{"a":1}').decode(),
        "isBase64Encoded": True,
    }

    answer = invoke(event)

    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (200, "{}", False)
    seen = seen_by(world)
    assert seen == {
        "d": "ci",
        "m": {"x-trace": ["a", "b"], "x-forwarded-host": ["hooks.example.com"]},
        "p": {"a": 1},
    }


def as_text(event: dict[str, Any]) -> dict[str, Any]:
    """Where a media type is not binary the body is a text."""
    body = base64.b64decode(event["body"] or "").decode()
    return {**event, "body": body, "isBase64Encoded": False}


def without_many(event: dict[str, Any]) -> dict[str, Any]:
    """The test console of API Gateway sends single values only."""
    return {**event, "multiValueHeaders": None}


def lower_case(event: dict[str, Any]) -> dict[str, Any]:
    """HTTP/2 senders write names in lower case."""
    many = event["multiValueHeaders"]
    return {
        **event,
        "headers": {name.lower(): value for name, value in event["headers"].items()},
        "multiValueHeaders": {name.lower(): values for name, values in many.items()},
    }


@pytest.mark.parametrize("shape", [as_text, without_many, lower_case])
@pytest.mark.parametrize(
    "name", ["github/push", "github/push-form", "slack/app_mention", "azuredevops/build.complete"]
)
def test_a_delivery_is_authentic_in_every_shape(name: str, shape: Shape) -> None:
    request = recorded(SAMPLES / f"{name}.json")

    told = Door(world_of(request)).deliver(delivery_of(request), shape)

    assert told.status == 200
    assert told.event


@pytest.mark.parametrize("accept", [None, "text/html", "application/json;q=0.1", "", ";;", "*"])
def test_whatever_a_sender_accepts_the_answer_is_text(accept: str | None) -> None:
    world = World()
    headers = [] if accept is None else [("Accept", accept)]

    told = Door(world).deliver(world.delivery(headers=headers))

    assert (told.status, told.text) == (200, "{}")


def test_without_any_header_there_is_no_proof() -> None:
    world = World()

    for nothing in (None, {}):
        answer = invoke({**REST_EVENT, "headers": nothing, "multiValueHeaders": nothing})
        assert answer["statusCode"] == 401

    assert not world.ledger.events


def test_an_empty_body_is_nil() -> None:
    world, door = looking()

    assert door.post("argo/", [TOKEN]).status == 200

    assert seen_by(world)["p"] is None


@pytest.mark.parametrize(
    "path,discriminator",
    [
        ("argo", ""),
        ("argo/", ""),
        ("argo/ci", "ci"),
        ("argo/ci/", "ci"),
        ("argo/a%2Fb", "a/b"),
        ("argo/a%20b+c", "a b+c"),
        ("argo/%C3%A9", "é"),
        ("argo/%2561", "%61"),
        ("argo/..%2F", "../"),
        ("ar%67o/ci", "ci"),
    ],
)
def test_the_path_is_text_once(path: str, discriminator: str) -> None:
    world, door = looking()

    assert door.post(path, [TOKEN]).status == 200

    assert seen_by(world)["d"] == discriminator


@pytest.mark.parametrize(
    "namespace", ["..", "%2e%2e", "a%2Fb", "ARGO", "argo%00", "-", "a" * 64, "%FF", "argo%20"]
)
def test_a_namespace_that_cannot_be_one_is_refused_after_unquoting(namespace: str) -> None:
    world = World()

    told = Door(world).post(f"{namespace}/ci", world.delivery().headers, world.delivery().body)

    assert (told.status, told.text) == (403, '{"message": "failed to process webhook request"}\n')
    assert told.headers["content-type"] == "text/plain; charset=utf-8"
    assert world.plan.calls["secrets", "webhook_clients"] == 0


def test_a_header_sent_twice_is_a_list_of_both_and_a_comma_splits_nothing() -> None:
    world, door = looking()

    door.post("argo/", [TOKEN, ("X-A", "1"), ("x-a", "2, 3"), ("X_B", "no"), ("Cookie", "c")])

    seen = seen_by(world)["m"]
    assert seen["x-a"] == ["1", "2, 3"]
    assert not {"x_b", "cookie", "authorization"} & seen.keys()


def test_the_way_of_the_request_is_seen_as_behind_argos_gateway() -> None:
    world, door = looking()

    door.post("argo/", [TOKEN, ("Host", "hooks.example.com")])

    seen = seen_by(world)["m"]
    assert seen["x-forwarded-host"] == ["hooks.example.com"]
    assert seen["x-forwarded-for"] == ["203.0.113.7"]


def test_errors_are_argos_and_go_escapes_them() -> None:
    world, door = looking()
    world.cluster.tokens["a<b>&c"] = "<user> & co"

    told = door.post("argo/", [("Authorization", "Bearer a<b>&c")], b"{}")

    assert told.status == 403
    assert told.text.startswith('{"code":7,"message":"')
    assert "\\u003cuser\\u003e \\u0026 co" in told.text
    assert told.headers["content-type"] == "application/json"


# Over HTTP


def test_a_body_in_chunks_is_authentic() -> None:
    world = World()
    Door(world)
    delivery = world.delivery()
    connection = http.client.HTTPConnection(gateway().url.removeprefix("http://"), timeout=10)
    pieces = (delivery.body[:10], delivery.body[10:])

    connection.request(
        "POST", "/api/v1/events/argo/", iter(pieces), dict(delivery.headers), encode_chunked=True
    )

    assert connection.getresponse().status == 200
    assert len(world.ledger.events) == 1


@pytest.mark.parametrize("megabytes,limit", [(5, "4194304"), (11, "10485760")])
def test_a_body_over_the_limit_hears_413_with_the_limit_in_the_message(megabytes: int, limit: str) -> None:
    world = World()
    request = {**recorded(SAMPLES / "github" / "push.json"), "body": "x" * megabytes * 1024 * 1024}

    told = over_http(Door(world), request)

    assert (told.status, told.body["code"]) == (413, 8)
    assert limit in told.body["message"]


# Lists of bindings


def bindings_told(world: World, path: str, token: str | None = "t") -> Told:
    headers = [] if token is None else [("Authorization", f"Bearer {token}")]
    return Door(world).send("GET", f"/api/v1/workflow-event-bindings{path}", headers)


def elsewhere() -> World:
    world, _ = looking()
    other = binding("other")
    world.cluster.apply({**other, "metadata": {**other["metadata"], "namespace": "blue"}})
    return world


@pytest.mark.parametrize("path,names", [("/argo", ["look"]), ("/blue", ["other"]), ("/", ["look", "other"])])
def test_bindings_are_listed_with_the_callers_token(path: str, names: list[str]) -> None:
    told = bindings_told(elsewhere(), path)

    assert (told.status, told.body["kind"]) == (200, "WorkflowEventBindingList")
    assert [item["metadata"]["name"] for item in told.body["items"]] == names


def test_who_may_not_list_bindings_hears_the_clusters_own_words() -> None:
    world = elsewhere()
    user = "system:serviceaccount:argo:jenkins"
    world.cluster.deny(user, "list", "workfloweventbindings", "blue")

    told = bindings_told(world, "/blue")

    assert (told.status, told.body["code"]) == (403, 7)
    assert told.body["message"] == (
        f'workfloweventbindings.argoproj.io is forbidden: User "{user}" cannot list resource '
        '"workfloweventbindings" in API group "argoproj.io" in the namespace "blue"'
    )


@pytest.mark.parametrize("token,message", [(None, TOKEN_NOT_VALID), ("unknown", "Unauthorized")])
def test_bindings_are_for_nobody_without_a_token(token: str | None, message: str) -> None:
    told = bindings_told(elsewhere(), "/argo", token)

    assert (told.status, told.body) == (401, {"code": 16, "message": message})


# Anything a stranger can send

SIGNABLE = "anything.example.com"
NAMES = sorted(
    {
        *(name for path in paths(SAMPLES) for name in recorded(path)["headers"]),
        "Authorization", "Idempotency-Key", "Prefer", "Lynceus-Dry-Run", "Accept", "Host", "X-Odd", "X-A-Bin",
        "Grpc-Timeout", "X-HTTP-Method-Override", "Transfer-Encoding", "Content-Encoding", "WebHook-Request-Origin",
    }
)  # fmt: skip
VALUES = [
    "", "push", "true", "return=representation", "application/json", "application/x-www-form-urlencoded",
    "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain; charset=utf-16",
    "Basic ", "Basic YTpi", "Basic !", "Bearer", "Bearer t", "Bearer é", "sha256=", "v1,", "v1a,AAAA",
    "t=1,v1=", "1_000", "-1", "9" * 400, "nan", "%", "%C0%A0", "diagnostics:ping",
    "https://sns.eu-central-1.amazonaws.com/x.pem",
]  # fmt: skip
BODIES = [
    b"", b" ", b"null", b"[]", b"{}", b"[[]]", b"5", b'"x"', b"{", b"payload=%7B%7D", b"payload=", b"ssl_check=1",
    b'{"a":1e400}', b'{"a":NaN}', b'{"type":"url_verification"}', b'{"id":5,"type":[],"event":{"type":{}}}',
    b'{"Type":"SubscriptionConfirmation"}', b'{"specversion":"1.0","id":"1","source":"s","type":"t"}',
    b"\xef\xbb\xbf{}", b"[" * 20000, b'{"a":' * 3000, b'"\\ud800"', b'{"token":"\\"}', b"9" * 5000,
    '{"é":"\u2028"}'.encode(),
]  # fmt: skip


def everybody() -> World:
    """A world with a webhook client of each kind, and bindings that look at all there is."""
    world = World(
        binding("all", "true", parameters={"m": "metadata", "p": "payload", "d": "discriminator"}),
        binding("deep", 'payload.a.b == metadata["x-odd"]'),
        binding("named", "true", metadata={"name": "discriminator", "labels": {"d": "discriminator"}}),
        now=datetime(2026, 1, 5, 9, 30, tzinfo=UTC),
    )
    world.cluster.tokens["t"] = "system:serviceaccount:argo:github.com"
    clients = {"github.com": {"type": "github", "secret": SECRET, "verdicts": True}}
    for path in paths(SAMPLES):
        request = recorded(path)
        name = f"{request['provider']}-{path.stem}".lower().replace("_", "-")
        entry = {**document_of(request), "discriminators": [name]}
        clients[name] = entry
        world.topics.certificates |= {
            url: str(pem).encode() for url, pem in ((request.get("config") or {}).get("certs") or {}).items()
        }
    world.secrets.documents["argo"] = json.dumps(clients)
    return world


WORLD = everybody()
KNOWN = [recorded(path) for path in paths(SAMPLES)]

text = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=40)
header = st.tuples(st.sampled_from(NAMES) | text.filter(bool), st.sampled_from(VALUES) | text)
body = st.sampled_from(BODIES) | st.binary(max_size=200)
segment = st.sampled_from(["argo", "", "nowhere"]) | text


def signed(body: bytes) -> list[tuple[str, str]]:
    return [
        ("X-GitHub-Event", "push"),
        ("X-Hub-Signature-256", "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()),
    ]


def answered(told: Told) -> None:
    failures = [line for line in WORLD.journal.lines if line["event"] == "request.failed"]
    assert failures == []
    # 501 is Argo's answer to a path that is no route: an empty segment, or one with a colon.
    assert told.status < 500 or (told.status, told.body["code"]) == (501, 12)
    json.loads(told.text)
    WORLD.journal.lines.clear()


quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(st.sampled_from(NAMES), st.text(st.characters(), max_size=3), body)
def test_half_a_surrogate_pair_in_a_header_is_answered_below_500(name: str, value: str, body: bytes) -> None:
    """JSON can carry it, so an event might."""
    Door(WORLD)
    sent = {"Authorization": ["Bearer t"], "Host": ["h"], name: [f"{value}\ud800"]}
    event = {
        **REST_EVENT,
        "headers": {key: values[-1] for key, values in sent.items()},
        "multiValueHeaders": sent,
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }

    answer = invoke(event)

    answered(Told(answer["statusCode"], answer["headers"], answer["body"]))


@quick
@given(st.lists(header, max_size=6), segment, segment, st.lists(st.tuples(text, text), max_size=3), body)
def test_any_request_is_answered_below_500(
    headers: list[tuple[str, str]],
    namespace: str,
    discriminator: str,
    query: list[tuple[str, str]],
    body: bytes,
) -> None:
    door = Door(WORLD)
    path = f"{quote(namespace, safe='')}/{quote(discriminator, safe='')}?{urlencode(query)}"

    answered(door.post(path, headers, body))


@quick
@given(st.lists(header, max_size=4), segment, body)
def test_any_signed_request_is_answered_below_500(
    headers: list[tuple[str, str]], discriminator: str, body: bytes
) -> None:
    door = Door(WORLD)

    answered(door.post(f"argo/{quote(discriminator, safe='')}", [*signed(body), *headers], body))


@quick
@given(st.lists(header, max_size=4), segment, body)
def test_any_request_with_a_token_is_answered_below_500(
    headers: list[tuple[str, str]], discriminator: str, body: bytes
) -> None:
    door = Door(WORLD)

    answered(door.post(f"argo/{quote(discriminator, safe='')}", [TOKEN, *headers], body))


@quick
@given(st.sampled_from(KNOWN), st.lists(header, max_size=2), st.none() | body)
def test_any_change_of_a_recorded_request_is_answered_below_500(
    request: Recorded, headers: list[tuple[str, str]], body: bytes | None
) -> None:
    door = Door(WORLD)
    delivery = delivery_of(request)
    name = f"{request['provider']}-".lower()
    listening = [
        d for c in json.loads(WORLD.secrets.documents["argo"]).values() for d in c.get("discriminators", ())
    ]
    [*candidates] = [one for one in listening if one.startswith(name)]
    changed = replace(
        delivery,
        discriminator=candidates[0],
        headers=[*delivery.headers, *headers],
        body=delivery.body if body is None else body,
    )

    answered(door.deliver(changed))
