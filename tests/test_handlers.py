"""Requests in the shapes in which API Gateway hands them over, and over HTTP: what the sender hears, what is kept."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from chalicelib.core.errors import TOKEN_NOT_VALID, ClientError
from tests.deliveries import CLIENT, FIXTURES, SAMPLES, Recorded, clients_of, delivery_of, recorded
from tests.doors import Door, Told, gateway, world_of
from tests.world import World

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
