"""What the ledger keeps of an event: one head, written once, and the body beside it.

The head's place in the ledger is its event id, and the id follows from the claim key and an epoch. So the
head of epoch 0 *is* the claim: whoever writes it first has the delivery, and a claim can never exist
without its event (rule 7). What changes later (attempts, outcomes) lives in the submissions.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from chalicelib.core.bindings import MATCHED, NOT_MATCHED, Verdict
from chalicelib.core.events import Account, Event
from chalicelib.core.payloads import decode
from chalicelib.core.providers import PROVIDERS
from chalicelib.core.submissions import Pointer

# Headers kept of every event (rule 18); the names that bindings mention join them.
KEPT_HEADERS = frozenset(
    {"content-type", "user-agent", "x-github-event", "x-github-delivery", "x-github-hook-id", "x-gitlab-event",
     "x-gitlab-event-uuid", "x-event-key", "x-request-uuid", "x-gitea-event", "x-forgejo-event", "x-gogs-event",
     "webhook-id", "x-amz-sns-message-type", "x-amz-sns-topic-arn", "ce-id", "ce-type", "ce-source", "ce-subject",
     "x-forwarded-for", "x-amzn-trace-id"}
)  # fmt: skip

VERDICT_SAMPLE = 20  # verdicts kept whole of each reason (matches are all kept)
MESSAGE_LIMIT = 500  # characters of a message in a kept verdict


@dataclass(frozen=True)
class EventRecord:
    """The head of an event as the ledger keeps it."""

    id: str
    claim: str  # the claim key; "" for an event without a delivery id
    epoch: int
    namespace: str
    discriminator: str
    account: Account
    received_at: datetime
    size: int  # bytes of the body
    digest: str  # of the body: the same claim with another digest is another event
    nonce: str = ""  # of the request: tells our own write, retried, from somebody else's
    client: str = ""
    provider: str = ""
    event_type: str = ""
    action: str = ""
    delivery_id: str = ""
    headers: Mapping[str, list[str]] = field(default_factory=dict)
    content_type: str = ""
    verdicts: tuple[Verdict, ...] = ()  # folded: see `fold`
    counts: Mapping[str, int] = field(default_factory=dict)  # reason → how many bindings said so
    submissions: tuple[Pointer, ...] = ()
    # While bindings are still to be asked by the worker: the last one asked ("": none yet). None: all were.
    deferred_after: str | None = None
    repairs: int = 0
    version: int = 0
    note: str = ""  # a reason code: body-differs, duplicate, dry-run
    duplicate_of: str = ""  # the event that this one repeats, for bindings that take repeats
    trace: str = ""


def body_digest(body: bytes) -> str:
    """The digest by which two bodies are the same."""
    return hashlib.sha256(body).hexdigest()[:32]


def fold(verdicts: Sequence[Verdict]) -> tuple[tuple[Verdict, ...], dict[str, int]]:
    """The verdicts worth keeping and the count of each reason.

    Bounded whatever the number of bindings: all that matched, a sample of each other reason with its message cut,
    and of the selectors that were false only how many; those are worked out again from the stored body when
    somebody asks.
    """
    counts = Counter(verdict.reason for verdict in verdicts)
    kept: list[Verdict] = []
    seen: Counter[str] = Counter()
    for verdict in verdicts:
        if verdict.outcome == NOT_MATCHED:
            continue
        seen[verdict.reason] += 1
        if verdict.outcome == MATCHED or seen[verdict.reason] <= VERDICT_SAMPLE:
            kept.append(replace(verdict, message=verdict.message[:MESSAGE_LIMIT]))
    return tuple(kept), dict(counts)


def kept_headers(headers: Sequence[tuple[str, str]], mentioned: frozenset[str]) -> dict[str, list[str]]:
    """The headers to keep, lower case: the fixed list and those mentioned. Credentials are gone by now."""
    kept: dict[str, list[str]] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in KEPT_HEADERS or lower in mentioned:
            kept.setdefault(lower, []).append(value[:1024])
    return kept


def verdict_data(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON, empty fields left out."""
    return {name: value for name, value in asdict(verdict).items() if value not in ("", None)}


def payload_of(record: EventRecord, body: bytes) -> Any:
    """The payload in a kept body, read as its sender's kind is read; raises BadRequest where it is none."""
    if not record.provider:
        return decode(body)
    headers = {name: tuple(values) for name, values in record.headers.items()}
    headers["content-type"] = (record.content_type,)
    return PROVIDERS[record.provider].payload(headers, body)


def event_of(record: EventRecord, payload: Any) -> Event:
    """The Event in a record, with the payload decoded again from the kept body."""
    shown = ("x-", *(PROVIDERS[record.provider].shown if record.provider in PROVIDERS else ()))
    return Event(
        id=record.id,
        namespace=record.namespace,
        discriminator=record.discriminator,
        metadata={name: list(values) for name, values in record.headers.items() if name.startswith(shown)},
        payload=payload,
        received_at=record.received_at,
        account=record.account,
        client=record.client,
        provider=record.provider,
        event_type=record.event_type,
        action=record.action,
        delivery_id=record.delivery_id,
        headers=record.headers,
    )
