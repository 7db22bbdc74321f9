"""Recorded requests: what is in the file, as a Delivery and webhook clients, and whether it ends as it says.

Two collections share the form: tests/samples/webhooks, written here, and the larger one of fixtures beside
the checkout. Fields: `provider method headers header_list query body|body_b64|body_gen secret|secrets config
now`, what a receiver should extract (`event event_type action delivery_id`), and `expect`. A bad request has
one defect; `control` undoes it and must then be accepted, so that a refusal is for the stated reason.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chalicelib.core.errors import ClientError, LynceusError
from chalicelib.core.events import Delivery
from chalicelib.core.webhooks import Authenticated, WebhookClient, authenticate, parse_clients

Recorded = Mapping[str, Any]

SAMPLES = Path(__file__).parent / "samples" / "webhooks"
SHARED = Path(os.environ.get("LYNCEUS_SHARED", Path(__file__).resolve().parents[1].parent / "shared"))
FIXTURES = SHARED / "fixtures"
CLIENT = "sender.example.com"


def recorded(path: Path) -> Recorded:
    document: Recorded = json.loads(path.read_text(encoding="utf-8"))
    return document


def body_of(request: Recorded) -> bytes:
    if request.get("body_b64") is not None:
        return base64.b64decode(request["body_b64"])
    if request.get("body_gen") is not None:
        parts = request["body_gen"]
        return str(parts["prefix"] + parts["repeat"] * parts["count"] + parts["suffix"]).encode()
    return str(request.get("body") or "").encode()


def delivery_of(request: Recorded, **changed: Any) -> Delivery:
    headers = list(request["headers"].items())
    if request.get("header_list"):
        repeated = {name.lower() for name, _ in request["header_list"]}
        headers = [pair for pair in headers if pair[0].lower() not in repeated]
        headers += [(name, value) for name, value in request["header_list"]]
    query = {
        name: value if isinstance(value, list) else [value]
        for name, value in (request.get("query") or {}).items()
    }
    fields: dict[str, Any] = {
        "namespace": "argo",
        "discriminator": "",
        "method": request["method"],
        "headers": headers,
        "query": query,
        "body": body_of(request),
        "received_at": datetime.fromtimestamp(request.get("now") or 1767225600, UTC),
    }
    return Delivery(**{**fields, **changed})


def document_of(request: Recorded) -> dict[str, Any]:
    """The client's entry; certificates are left out of it and fetched."""
    entry = {"type": request["provider"], **(request.get("config") or {})}
    entry.pop("certs", None)
    entry["secret"] = request.get("secret")
    if request.get("secrets"):
        entry["secrets"] = request["secrets"]
        del entry["secret"]
    return entry


def clients_of(request: Recorded) -> tuple[WebhookClient, ...]:
    return parse_clients(json.dumps({CLIENT: document_of(request)}))


def certificates_of(request: Recorded) -> Callable[[str], bytes]:
    known = (request.get("config") or {}).get("certs") or {}
    return lambda url: str(known[url]).encode()


def outcome(request: Recorded) -> Authenticated | LynceusError:
    try:
        return authenticate(delivery_of(request), clients_of(request), certificates_of(request))
    except LynceusError as error:
        return error


def problem(request: Recorded, after: Callable[[str], Recorded] | None = None) -> str:
    """What is not as the request says; "" when all is. `after` finds the request that came before by name."""
    result, expected = outcome(request), request["expect"]
    found = _problem(request, result, expected, after)
    if found or not request.get("control"):
        return found
    undone = {**request, **request["control"]}
    cured = outcome({name: value for name, value in undone.items() if value is not None or name == "secret"})
    return f"control refused: {_named(cured)}" if isinstance(cured, LynceusError) else ""


def _problem(
    request: Recorded,
    result: Authenticated | LynceusError,
    expected: str,
    after: Callable[[str], Recorded] | None,
) -> str:
    unusable = isinstance(result, LynceusError) and result.http_status == 400
    if expected in ("reject", "config-error"):
        refused = isinstance(result, LynceusError) and (
            result.http_status < 500 or isinstance(result, ClientError)
        )
        return "" if refused else f"not refused: {_named(result)}"
    if expected == "authentic-bad-payload" or (expected == "accept-or-bad-payload" and unusable):
        return "" if unusable else f"expected 400, got {_named(result)}"
    if isinstance(result, LynceusError):
        return f"refused: {_named(result)}"
    if expected == "reject-duplicate":
        assert after is not None, "a replay needs its original"
        first = outcome({**after(request["after"][0]), "config": request.get("config")})
        same = isinstance(first, Authenticated) and result.claim and first.claim == result.claim
        return "" if same else f"not the same claim: {_named(first)}"
    if result.dispatch != (expected in ("accept", "accept-or-bad-payload")):
        return f"dispatch is {result.dispatch}"
    if expected == "no-allow":
        allowed = [name for name in (result.response.headers if result.response else ()) if "Allowed" in name]
        return f"allowed: {allowed}" if allowed else ""
    if expected == "no-dispatch":
        return ""
    return _extraction_problem(request, result)


def _extraction_problem(request: Recorded, result: Authenticated) -> str:
    said = {
        "event": result.event_type,
        "event_type": result.event_detail,
        "action": result.action,
        "delivery_id": result.delivery_id,
    }
    for name, value in said.items():
        if request.get(name) is not None and request[name] != value:
            return f"{name} is {value!r}, expected {request[name]!r}"
    answer = request.get("respond")
    if answer:
        response = result.response
        if response is None or response.status != answer["status"]:
            return f"answer is {response}"
        if dict(response.headers) != answer.get("headers", {}) or response.body != answer.get("body", {}):
            return f"answer is {response}"
    return ""


def _named(result: Authenticated | LynceusError) -> str:
    if isinstance(result, Authenticated):
        return f"accepted as {result.event_type or 'nothing'}"
    return f"{type(result).__name__} {getattr(result, 'detail', '') or result.message}"
