"""The deployed front door over a world in memory: requests in API Gateway's shapes, answers as senders get them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from functools import cache
from typing import Any
from urllib.parse import urlencode

from app import app
from chalicelib import wiring
from chalicelib.core.events import Delivery
from lynceus.local.functions import API, Functions
from lynceus.local.gateways import Gateway
from tests.deliveries import CLIENT, Recorded, document_of
from tests.world import World, account, binding

Headers = Sequence[tuple[str, str]]
Shape = Callable[[dict[str, Any]], dict[str, Any]]

PEER = ("203.0.113.7", 50000)


@dataclass(frozen=True)
class Told:
    """What the sender hears."""

    status: int
    headers: Mapping[str, str]  # lower-case names
    text: str

    @property
    def body(self) -> Any:
        """The JSON of it."""
        return json.loads(self.text)

    @property
    def event(self) -> str:
        """The id of the event, "" where there is none."""
        return self.headers.get("lynceus-event-id", "")


@cache
def gateway() -> Gateway:
    """The local API Gateway in front of the deployed functions; which world they work on is for `Door` to say."""
    made = Gateway(Functions(app), on_refusal=lambda *_: None, on_failure=_fail)
    made.start()
    return made


def _fail(function: str, error: Exception) -> None:
    raise AssertionError(f"{function} raised, which would be API Gateway's 502") from error


class Door:
    """The front door of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        wiring.use("api", wiring.container_of(world.ports, world.settings, world.journal))

    def send(
        self, method: str, target: str, headers: Headers = (), body: bytes = b"", shape: Shape | None = None
    ) -> Told:
        """The answer to a request, routed as API Gateway does; `shape` changes the event on its way."""
        sent: Message = Message()
        for name, value in headers:
            sent[name] = value
        if shape is None:
            answer = gateway().answer(method, target, sent, body, PEER)
        else:
            event = gateway().event(method, target, sent, body, PEER)
            answer = gateway().functions.invoke(API, shape(event))
        assert not answer.get("isBase64Encoded")
        told = {**answer["headers"], **{n: v[-1] for n, v in answer.get("multiValueHeaders", {}).items()}}
        return Told(answer["statusCode"], {n.lower(): v for n, v in told.items()}, answer["body"])

    def post(self, path: str, headers: Headers = (), body: bytes = b"", shape: Shape | None = None) -> Told:
        """The same for a POST to the events API, `path` being what follows ``/api/v1/events/``."""
        return self.send("POST", f"/api/v1/events/{path}", headers, body, shape)

    def deliver(self, delivery: Delivery, shape: Shape | None = None) -> Told:
        """The same for a Delivery."""
        target = f"/api/v1/events/{delivery.namespace}/{delivery.discriminator}"
        if delivery.query:
            target += "?" + urlencode(dict(delivery.query), doseq=True)
        return self.send(delivery.method, target, delivery.headers, delivery.body, shape)


def world_of(request: Recorded, *objects: Mapping[str, Any]) -> World:
    """A world at the time of the recorded request, in which its sender is the one webhook client."""
    now = datetime.fromtimestamp(request.get("now") or 1767225600, UTC)
    world = World(*(objects or (binding("any", "true", parameters={}),)), now=now)
    world.cluster.apply(account(CLIENT))
    world.secrets.documents["argo"] = json.dumps({CLIENT: document_of(request)})
    certificates = (request.get("config") or {}).get("certs") or {}
    world.topics.certificates |= {url: str(pem).encode() for url, pem in certificates.items()}
    return world
