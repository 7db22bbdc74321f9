"""What came in: a Delivery is the raw request, an Event is what bindings are asked about.

A Delivery is bytes and headers as sent; signatures cover exactly these. An Event exists only after the
sender is known. Between the two stand authentication (`webhooks`) and decoding (`payloads`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chalicelib.core.errors import BadRequest

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
RFC1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
RFC1123_SUBDOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
)


@dataclass(frozen=True)
class Delivery:
    """A request as it arrived, before anybody looked at it."""

    namespace: str
    discriminator: str  # "" where the path has none
    method: str
    headers: Sequence[tuple[str, str]]  # (name, value) as sent, in order, repeats kept
    query: Mapping[str, Sequence[str]]
    body: bytes  # raw: signatures cover these bytes
    received_at: datetime  # aware, UTC; the clock of every check

    def __post_init__(self) -> None:
        if self.received_at.tzinfo is None:
            raise ValueError("Delivery.received_at must be aware")

    def header(self, name: str) -> str | None:
        """The value of the header, None when it is absent or sent more than once."""
        values = self.header_values(name)
        return values[0] if len(values) == 1 else None

    def header_values(self, name: str) -> list[str]:
        """Every value sent under the name, in order; names compare without case."""
        wanted = name.lower()
        return [value for key, value in self.headers if key.lower() == wanted]


@dataclass(frozen=True)
class Account:
    """A ServiceAccount of one namespace: whose rights decide."""

    namespace: str
    name: str
    uid: str = ""  # "" until the cluster has told it

    def __post_init__(self) -> None:
        if not RFC1123_LABEL.fullmatch(self.namespace):
            raise BadRequest(f'namespace "{self.namespace[:80]}" is not a DNS label (RFC 1123)')
        if not RFC1123_SUBDOMAIN.fullmatch(self.name):
            raise BadRequest(f'service account name "{self.name[:80]}" is not a DNS subdomain (RFC 1123)')

    @property
    def username(self) -> str:
        """``system:serviceaccount:<namespace>:<name>``: the only place that writes it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


@dataclass(frozen=True)
class Event:
    """One thing that happened, from a known sender."""

    id: str
    namespace: str
    discriminator: str
    metadata: Mapping[str, list[str]]  # names beginning with x-, lower case, a list of values each
    payload: Any  # any JSON value, None for an empty body
    received_at: datetime
    account: Account
    client: str = ""  # the webhook client's name, "" for callers with a token
    provider: str = ""
    event_type: str = ""
    action: str = ""
    delivery_id: str = ""
    headers: Mapping[str, list[str]] = field(default_factory=dict)  # what the ledger keeps (rule 18)


def environment(event: Event) -> dict[str, Any]:
    """The four names an expression sees.

    Source: argo-workflows server/event/dispatch/operation.go, expressionEnvironment.
    """
    return {
        "namespace": event.namespace,
        "discriminator": event.discriminator,
        "metadata": event.metadata,
        "payload": event.payload,
    }


def metadata_of(
    headers: Sequence[tuple[str, str]], *, without: frozenset[str] = frozenset()
) -> dict[str, list[str]]:
    """The headers an expression may see: names beginning with ``x-``, lower case, every value in order.

    `without` holds lower-case names that are credentials and stay out.
    """
    seen: dict[str, list[str]] = {}
    for name, value in headers:
        lower = name.lower()
        if lower.startswith("x-") and lower not in without:
            seen.setdefault(lower, []).append(value)
    return seen
