"""What is counted instead of kept: refused requests, handshakes, events not listed; repeats are notes on an event.

A stranger may send as much as he likes, so what he makes us write is bounded (rule 13): a container writes a minute's
count at the 1st, 10th, 100th … request of one reason, and the rest when the next minute begins. At most
`KINDS` pairs of namespace and reason count in one minute; no body is ever kept, and of the headers only who calls
itself what. The metric `refused` counts every one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from chalicelib.core import reasons
from chalicelib.core.errors import LynceusError
from chalicelib.core.events import RFC1123_LABEL, Delivery
from chalicelib.core.records import EventRecord
from chalicelib.core.webhooks import Authenticated
from chalicelib.ports import Ports, Refusal
from chalicelib.settings import Settings

KINDS = 50  # pairs of namespace and reason that one container counts in a minute
SAMPLE_TEXT = 100  # characters of each text in a sample

_CODE = re.compile(r"[a-z][a-z-]{1,40}")
_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass
class _Count:
    sample: Refusal
    seen: int = 0
    written: int = 0


class Refusals:
    """The counts of one container's present minute."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._ports = ports
        self._settings = settings
        self._lock = threading.Lock()
        self._minute: datetime | None = None
        self._counts: dict[tuple[str, str], _Count] = {}

    @contextmanager
    def counting(self, delivery: Delivery) -> Iterator[None]:
        """Count the delivery when what is done inside refuses it; the error goes on as it is."""
        try:
            yield
        except LynceusError as error:
            self.add(delivery, error)
            raise

    def add(self, delivery: Delivery, error: LynceusError) -> None:
        """Count a refused delivery; raises nothing, since the refusal itself must be answered."""
        namespace = delivery.namespace
        if not RFC1123_LABEL.fullmatch(namespace) or not self._settings.serves(namespace):
            return
        for refusal in self._due(_refusal_of(delivery, error)):
            _write(refusal, self._ports)

    def _due(self, refusal: Refusal) -> list[Refusal]:
        """What is to be written now that this one came."""
        with self._lock:
            due = []
            if refusal.minute != self._minute:
                due = [_rest_of(count) for count in self._counts.values() if count.seen > count.written]
                self._counts, self._minute = {}, refusal.minute
            key = (refusal.namespace, refusal.reason)
            if key not in self._counts and len(self._counts) >= KINDS:
                return due
            count = self._counts.setdefault(key, _Count(refusal))
            count.seen += 1
            if count.seen == 1 or count.seen >= 10 * count.written:
                due.append(_rest_of(count))
                count.written = count.seen
            return due


def reason_of(error: LynceusError) -> str:
    """The short code of a refusal: its detail where that is a code of ours, else its class (``bad-request``)."""
    detail = str(getattr(error, "detail", ""))
    return detail if _CODE.fullmatch(detail) else _CAPITAL.sub("-", type(error).__name__).lower()


def _refusal_of(delivery: Delivery, error: LynceusError) -> Refusal:
    sample = {
        "status": str(error.http_status),
        "discriminator": delivery.discriminator[:SAMPLE_TEXT],
        "size": str(len(delivery.body)),
        "userAgent": (delivery.header("user-agent") or "")[:SAMPLE_TEXT],
        "contentType": (delivery.header("content-type") or "")[:SAMPLE_TEXT],
        "at": delivery.received_at.isoformat(),
    }
    minute = delivery.received_at.replace(second=0, microsecond=0)
    kept = {name: text for name, text in sample.items() if text}
    return Refusal(delivery.namespace, reason_of(error), minute, 1, kept)


def _rest_of(count: _Count) -> Refusal:
    sample = count.sample
    return Refusal(sample.namespace, sample.reason, sample.minute, count.seen - count.written, sample.sample)


def answered(delivery: Delivery, found: Authenticated, ports: Ports) -> None:
    """Count a proven delivery that only wants an answer beside the refusals of its minute; raises nothing."""
    minute = delivery.received_at.replace(second=0, microsecond=0)
    sample = {"status": "200", "client": found.client.name, "event": found.event_type[:SAMPLE_TEXT]}
    sample["at"] = delivery.received_at.isoformat()
    kept = {name: text for name, text in sample.items() if text}
    _write(Refusal(delivery.namespace, found.skipped, minute, 1, kept), ports)


def repeated(record: EventRecord, ports: Ports, what: str = reasons.DUPLICATE) -> None:
    """Note a duplicate, or a repair, on the event that it repeats; raises nothing."""
    try:
        ports.archive.note(record.id, ports.clock.now(), {"what": what})
    except LynceusError as error:
        ports.journal.error("note.lost", namespace=record.namespace, event_id=record.id, error=error.message)


def _write(refusal: Refusal, ports: Ports) -> None:
    try:
        ports.archive.refuse(refusal)
    except LynceusError as error:
        ports.journal.error("refusal.lost", namespace=refusal.namespace, error=error.message)
