"""Trouble on purpose: a cluster that is slow, full, broken or away, for as many requests as one likes.

    cluster.faults.error(503, count=2)
    cluster.faults.throttle(retry_after=1, when=creates("workflows"))
    cluster.faults.drop_after_effect(count=1)      # the object is there, the answer is not

Each fault may be limited to the requests that `when(method, path)` accepts and to a number of them; faults are
tried in the order they were added, the first that applies is used up once. `clear()` ends them all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

Predicate = Callable[[str, str], bool]  # (method, path) → is the request meant?


def any_request(_method: str, _path: str) -> bool:
    """Every request is meant."""
    return True


def creates(plural: str) -> Predicate:
    """Means the creation of objects of one plural."""
    return lambda method, path: method == "POST" and path.rstrip("/").endswith(f"/{plural}")


@dataclass
class Fault:
    """One kind of trouble; `kind` is refuse, delay, throttle, error or drop."""

    kind: str
    when: Predicate = any_request
    left: int | None = None  # how often it still happens; None for always
    seconds: float = 0.0
    status: int = 0
    text: str = ""


@dataclass
class Met:
    """The faults that one request met."""

    delay: float = 0.0
    fault: Fault | None = field(default=None)


class Faults:
    """The faults of one cluster; safe to use while it serves."""

    def __init__(self, down: Callable[[], None], up: Callable[[], None]) -> None:
        self._lock: Final = threading.Lock()
        self._faults: list[Fault] = []
        self._down, self._up = down, up

    def refuse(self, count: int | None = None, when: Predicate = any_request) -> None:
        """Close the connection before anything is done."""
        self._add(Fault("refuse", when, count))

    def delay(self, seconds: float, count: int | None = None, when: Predicate = any_request) -> None:
        """Wait before doing what was asked; other faults may follow on the same request."""
        self._add(Fault("delay", when, count, seconds=seconds))

    def throttle(self, retry_after: int = 1, count: int | None = None, when: Predicate = any_request) -> None:
        """Answer 429 with Retry-After."""
        self._add(Fault("throttle", when, count, seconds=retry_after))

    def error(
        self, status: int = 500, text: str = "", count: int | None = None, when: Predicate = any_request
    ) -> None:
        """Answer the status without doing anything."""
        self._add(Fault("error", when, count, status=status, text=text))

    def drop_after_effect(self, count: int | None = 1, when: Predicate = any_request) -> None:
        """Do what was asked and close the connection instead of answering."""
        self._add(Fault("drop", when, count))

    def down(self) -> None:
        """Be away: connections are refused and those there are cut, until `up`. Objects stay."""
        self._down()

    def up(self) -> None:
        """Be back, at the same address."""
        self._up()

    def clear(self) -> None:
        """End all faults; does not end `down`."""
        with self._lock:
            self._faults.clear()

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def meet(self, method: str, path: str) -> Met:
        """What happens to this request; counts it."""
        met = Met()
        if not self._faults:
            return met
        with self._lock:
            for fault in list(self._faults):
                if met.fault is not None or not fault.when(method, path):
                    continue
                if fault.left is not None:
                    fault.left -= 1
                    if fault.left <= 0:
                        self._faults.remove(fault)
                if fault.kind == "delay":
                    met.delay += fault.seconds
                else:
                    met.fault = fault
        return met
