"""Saved events: what came in, with its credentials masked, as a file that `lynceus test` reads.

A fixture is JSON or YAML with `headers` (name → list of values), `payload` (or `body`, a text), and as far as
bindings care `discriminator`, `namespace`, `client`, `provider`, `eventType`, `action`, `deliveryId`, `receivedAt`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from chalicelib.core.errors import BadRequest
from chalicelib.core.events import Account, Event
from chalicelib.core.expressions.explanations import CREDENTIAL
from chalicelib.core.providers import PROVIDERS
from chalicelib.core.records import EventRecord, body_digest, event_of, payload_of
from chalicelib.core.submissions import digest_of

MASK = "***"
SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)  # of fixtures that name no time: golden files must not change

# Texts that are credentials wherever they stand: prefixes of GitHub, GitLab, Slack, AWS, Stripe; JWTs; PEM keys.
_TOKENS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl[a-z]{2,6}-[\w-]{16,}|xox[a-z]-[\w-]{8,}"
    r"|AKIA[A-Z0-9]{12,}|[rs]k_(?:live|test)_\w{8,}|whsec_[\w+/=-]{8,}|eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_IN_URL = re.compile(r"(://)[^/\s:@]+:[^/\s@]+(?=@)")
_IN_QUERY = re.compile(
    r"([?&][^=&\s#]*(?:token|secret|passw|signature|sig|key|credential|auth)[^=&\s#]*=)[^&\s#]+",
    re.IGNORECASE,
)


def masked(value: Any, name: str = "") -> Any:
    """The value without credentials: members named like one, and texts that look like one."""
    if name and CREDENTIAL.search(name) and not isinstance(value, bool | type(None)):
        return MASK
    if isinstance(value, dict):
        return {key: masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, str):
        return _IN_QUERY.sub(rf"\1{MASK}", _IN_URL.sub(rf"\1{MASK}:{MASK}", _TOKENS.sub(MASK, value)))
    return value


_KEPT = (
    "id", "receivedAt", "namespace", "discriminator", "client", "provider", "eventType", "action", "deliveryId"
)  # fmt: skip


def fixture_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The fixture of an event as the API tells it with its body, masked."""
    fixture: dict[str, Any] = {name: told[name] for name in _KEPT if told.get(name)}
    fixture["headers"] = {name: masked(values, name) for name, values in (told.get("headers") or {}).items()}
    text = str(told.get("body", ""))
    try:
        fixture["payload"] = masked(json.loads(text)) if text else None
    except ValueError:
        fixture["body"] = masked(text)
    return fixture


def event_of_fixture(fixture: Any, name: str) -> Event:
    """The Event that a fixture tells of; `name` stands for what it does not tell. Raises BadRequest."""
    if not isinstance(fixture, dict):
        raise BadRequest(f"{name}: a fixture is an object with headers and payload")
    known = (*_KEPT, "headers", "payload", "body")
    unknown = set(fixture) - set(known)
    if unknown:
        raise BadRequest(f"{name}: unknown field {min(unknown)!r}: a fixture has {', '.join(known)}")
    headers = fixture.get("headers") or {}
    if not isinstance(headers, dict):
        raise BadRequest(f"{name}: headers must be an object")
    lists = {
        str(key).lower(): [str(v) for v in value] if isinstance(value, list) else [str(value)]
        for key, value in headers.items()
    }
    body = fixture["body"].encode() if isinstance(fixture.get("body"), str) else b""
    namespace = str(fixture.get("namespace") or "argo")
    client = str(fixture.get("client") or "")
    provider = str(fixture.get("provider") or "")
    if provider and provider not in PROVIDERS:
        raise BadRequest(f"{name}: provider {provider!r} is unknown: one of {', '.join(PROVIDERS)}")
    record = EventRecord(
        id=str(fixture.get("id") or digest_of("fixture", name)),
        claim="",
        epoch=0,
        namespace=namespace,
        discriminator=str(fixture.get("discriminator") or ""),
        account=Account(namespace, client or "default"),
        received_at=_moment(fixture.get("receivedAt"), name),
        size=len(body),
        digest=body_digest(body),
        client=client,
        provider=provider,
        event_type=str(fixture.get("eventType") or ""),
        action=str(fixture.get("action") or ""),
        delivery_id=str(fixture.get("deliveryId") or ""),
        headers=lists,
        content_type=(lists.get("content-type") or [""])[0],
    )
    return event_of(record, payload_of(record, body) if body else fixture.get("payload"))


def _moment(value: Any, name: str) -> datetime:
    if value is None:
        return SOME_DAY
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise BadRequest(f"{name}: receivedAt {str(value)[:40]!r} is no time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
