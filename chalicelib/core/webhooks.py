"""The proof that a delivery is a webhook client's, and what the delivery is.

Who sent it is decided in this order: the clients whose sender's headers are there and whose discriminators
fit are the candidates; each of them is compared, no early exit; exactly one must match. Only then is the
body parsed. A sender whose proof fails learns nothing but 401; the reason is in `detail`, a key of
`signatures.REASONS`.

Azure DevOps, Harbor, CloudEvents and others prove themselves by `Authorization`, where callers with a token
put theirs; `reads_authorization` tells the door which of the two a request is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from chalicelib.core import reasons
from chalicelib.core.clients import CREDENTIAL_HEADERS, WebhookClient, parse_clients, with_previous
from chalicelib.core.errors import BadRequest, BodyTooLarge, Unauthenticated, WebhookRefused
from chalicelib.core.events import Delivery, metadata_of
from chalicelib.core.providers import Item, Provider, Response, Subscription, header
from chalicelib.core.signatures import (
    Basic,
    Certificates,
    Headers,
    Sns,
    Token,
    fold,
    form_fields,
    is_form,
)

__all__ = [
    "BODY_LIMIT",
    "CREDENTIAL_HEADERS",
    "Authenticated",
    "WebhookClient",
    "authenticate",
    "candidates",
    "parse_clients",
    "reads_authorization",
    "with_previous",
    "without_confidential",
]

BODY_LIMIT = 4 * 1024 * 1024  # bytes
MAX_NAME = 512  # characters of an event name, a delivery id or a hook id
BODY_HASH_WINDOW = timedelta(days=30)  # as long as the ledger keeps an event


@dataclass(frozen=True)
class Authenticated:
    """A delivery whose sender is known, and what the sender says it is."""

    client: WebhookClient
    dispatch: bool  # False: answer `response` and do nothing else
    response: Response | None  # None: the ordinary answer
    event_type: str = ""
    event_detail: str = ""  # more precise where the sender tells both: issue_assign beside issues
    action: str = ""
    delivery_id: str = ""
    hook_id: str = ""
    payload: Any = None
    stored_body: bytes = b""  # the body without the sender's own credentials
    items: tuple[Item, ...] = ()  # the events of a batch, each to be dispatched by itself; () otherwise
    confirm: Subscription | None = None  # an SNS subscription to confirm before answering
    skipped: str = ""  # why not dispatched: HANDSHAKE or EVENT_NOT_LISTED of `reasons`
    proven: bool = True  # False: a question that anybody may ask; nothing may be written or counted for it
    claim: tuple[str, ...] = ()  # hook id and delivery id, for the claim key; (): nothing repeats it
    window: int = 0  # seconds that such a claim lasts
    metadata: Mapping[str, list[str]] = field(default_factory=dict)  # what expressions may see


def authenticate(
    delivery: Delivery, clients: Sequence[WebhookClient] | None, certificates: Certificates | None = None
) -> Authenticated:
    """Who sent the delivery, what it is, and whether it is to be dispatched.

    `clients` is None where the namespace has no document: WebhookRefused, as Argo without its Secret.
    `certificates` fetches SNS's signing certificates; what it raises passes through.
    Raises Unauthenticated for every failed proof, BadRequest or UnsupportedMedia for a body or headers that
    are authentic and cannot be used, BodyTooLarge above BODY_LIMIT.
    Source: argo-workflows server/auth/webhook/interceptor.go, addWebhookAuthorization.
    """
    if clients is None:
        raise WebhookRefused("no-clients")
    if len(delivery.body) > BODY_LIMIT:
        raise BodyTooLarge(f"the body has {len(delivery.body)} bytes, the limit is {BODY_LIMIT} (4 MiB)")
    headers = fold(delivery.headers)
    if delivery.method == "OPTIONS":
        return _answer_options(delivery, headers, clients)
    if delivery.method != "POST":
        raise Unauthenticated("method-not-post")
    asked = candidates(delivery, clients)
    if not asked:
        raise Unauthenticated("no-client")
    proven, reasons = [], []
    for client in asked:
        try:
            _verify(client, delivery, headers, certificates)
        except Unauthenticated as refusal:
            reasons.append(refusal.detail)
        else:
            proven.append(client)
    if len(proven) > 1:
        raise Unauthenticated("ambiguous")
    if proven:
        return _authenticated(proven[0], delivery, headers)
    for client in asked:
        if client.provider.unsigned_handshake(headers):
            return _unproven(client, Response())
    raise Unauthenticated(reasons[0] if len(reasons) == 1 else "no-match")


def candidates(delivery: Delivery, clients: Iterable[WebhookClient]) -> list[WebhookClient]:
    """The clients from which the delivery may come, by its headers and its discriminator alone."""
    headers = fold(delivery.headers)
    return [
        client
        for client in clients
        if _listens(client, delivery)
        and (
            all(any(headers.get(name, ())) for name in client.provider.marks)
            if client.provider.marks
            else client.scheme.header in _fields(client, delivery, headers)
        )
    ]


def _listens(client: WebhookClient, delivery: Delivery) -> bool:
    return client.discriminators is None or delivery.discriminator in client.discriminators


def _fields(client: WebhookClient, delivery: Delivery, headers: Headers) -> Headers:
    """Where the client's proof is looked for: the headers, or the URL's parameters."""
    if isinstance(client.scheme, Token) and client.scheme.in_query:
        return delivery.query
    return headers


def _verify(
    client: WebhookClient, delivery: Delivery, headers: Headers, certificates: Certificates | None
) -> None:
    now = math.floor(delivery.received_at.timestamp())
    if isinstance(client.scheme, Sns):
        client.scheme.verify(headers, delivery.body, (), now, certificates)
    else:
        client.scheme.verify(_fields(client, delivery, headers), delivery.body, client.secrets, now)
    if client.hook_uuid and [value.strip("{}") for value in headers["x-hook-uuid"]] != [client.hook_uuid]:
        raise Unauthenticated("other-hook")


def _authenticated(client: WebhookClient, delivery: Delivery, headers: Headers) -> Authenticated:
    provider = client.provider
    payload = provider.payload(headers, delivery.body)
    provider.check(headers, payload)
    event_source = header(client.event_header) if client.event_header else provider.event
    id_source = header(client.id_header) if client.id_header else provider.delivery_id
    delivery_id = checked_name("delivery id", id_source(headers, payload))
    hook_id = checked_name("hook id", provider.hook_id(headers, payload))
    known = Authenticated(
        client,
        dispatch=True,
        response=None,
        event_type=checked_name("event", event_source(headers, payload)),
        event_detail=checked_name("event", provider.detail(headers, payload)),
        action=checked_name("action", provider.action(headers, payload)),
        delivery_id=delivery_id,
        hook_id=hook_id,
        payload=payload,
        stored_body=without_confidential(provider, headers, delivery.body),
        items=provider.items(headers, payload),
        claim=_claim(client, delivery.body, delivery_id, hook_id),
        window=int((BODY_HASH_WINDOW if client.replay == "body-hash" else provider.window).total_seconds()),
        metadata=_metadata(client, delivery),
    )
    handshake = provider.handshake(headers, payload)
    if handshake is not None:
        return dataclasses.replace(
            known,
            dispatch=False,
            response=handshake.response,
            confirm=handshake.confirm,
            skipped=reasons.HANDSHAKE,
        )
    return known if client.events is None else _listed(known, client.events)


def _listed(known: Authenticated, events: frozenset[str]) -> Authenticated:
    """What of it is on the client's list; nothing of it is answered all the same, since it is authentic."""
    if events & {known.event_type, known.event_detail}:
        return known
    items = tuple(item for item in known.items if item.event_type in events)
    if items:
        return dataclasses.replace(known, items=items)
    return dataclasses.replace(known, dispatch=False, response=Response(), skipped=reasons.EVENT_NOT_LISTED)


def _claim(client: WebhookClient, body: bytes, delivery_id: str, hook_id: str) -> tuple[str, ...]:
    """The hook's id is part of it because all hooks that one event sets off share GitHub's delivery id.

    In `replay: body-hash` the body alone decides: most signatures cover neither ids nor event names.
    """
    if client.replay == "body-hash":
        return ("", "sha256:" + hashlib.sha256(body).hexdigest())
    return (hook_id, delivery_id) if delivery_id else ()


def _metadata(client: WebhookClient, delivery: Delivery) -> dict[str, list[str]]:
    hidden = frozenset() if client.expose_credentials else client.credential_headers
    seen = metadata_of(delivery.headers, without=hidden)
    if client.provider.shown:
        for name, values in fold(delivery.headers).items():
            if name.startswith(client.provider.shown) and name not in hidden:
                seen[name] = values
    return seen


def checked_name(what: str, text: str) -> str:
    """The text as it is; raises BadRequest where it is too long, or unprintable, to be kept as a name."""
    if len(text) > MAX_NAME or not text.isprintable():
        raise BadRequest(f"the {what} is longer than {MAX_NAME} characters or holds unprintable ones")
    return text


def without_confidential(provider: Provider, headers: Headers, body: bytes) -> bytes:
    """The body with the values of the provider's confidential keys emptied, every other byte as it was."""
    if not provider.confidential:
        return body
    names = "|".join(map(re.escape, provider.confidential)).encode()
    if is_form(headers, body):
        fields = [
            (name, b"" if name.decode("latin-1") in provider.confidential else _emptied(names, value))
            for name, value in form_fields(body)
        ]
        return urlencode(fields).encode()
    return _emptied(names, body)


def _emptied(names: bytes, text: bytes) -> bytes:
    # A key inside a text has a backslash before its closing quote and is left alone.
    return re.sub(rb'("(?:' + names + rb')"\s*:\s*)"[^"\\]*(?:\\.[^"\\]*)*"', rb'\1""', text, flags=re.DOTALL)


def reads_authorization(delivery: Delivery, clients: Iterable[WebhookClient]) -> bool:
    """Whether the Authorization header is a webhook client's proof; otherwise it is for the cluster to judge."""
    headers = fold(delivery.headers)
    proven = False
    for client in candidates(delivery, clients):
        if client.scheme.header == "authorization" and isinstance(client.scheme, Token | Basic):
            try:
                _verify(client, delivery, headers, None)
            except Unauthenticated:
                continue
            proven = True
    return proven


def _answer_options(delivery: Delivery, headers: Headers, clients: Sequence[WebhookClient]) -> Authenticated:
    """CloudEvents' question whether an origin may send: it carries no proof, so only listed origins learn yes.

    Source: https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md#4-abuse-protection
    """
    asked = [
        client
        for client in clients
        if _listens(client, delivery) and "allowed_origins" in client.provider.options
    ]
    if not asked:
        raise Unauthenticated("no-client")
    origins = headers.get("webhook-request-origin", ())
    for client in asked:
        if len(origins) == 1 and (origins[0] in client.allowed_origins or "*" in client.allowed_origins):
            allowed = {"Allow": "POST", "WebHook-Allowed-Origin": origins[0]}
            rate = _allowed_rate(client, headers.get("webhook-request-rate", ()))
            if rate:
                allowed["WebHook-Allowed-Rate"] = rate
            return _unproven(client, Response(headers=allowed))
    return _unproven(asked[0], Response(headers={"Allow": "POST"}))


def _unproven(client: WebhookClient, response: Response) -> Authenticated:
    return Authenticated(client, dispatch=False, response=response, skipped=reasons.HANDSHAKE, proven=False)


def _allowed_rate(client: WebhookClient, asked: Sequence[str]) -> str:
    """Deliveries a minute: what was asked for, within the client's own limit; "" where neither says any."""
    wanted = int(asked[0]) if len(asked) == 1 and re.fullmatch("[1-9][0-9]{0,8}", asked[0]) else None
    rates = [rate for rate in (wanted, client.rate_limit) if rate is not None]
    return str(min(rates)) if rates else ""
