"""Faults at the ports: every method of every port can fail in every way it may, at a chosen call.

Nothing is written by hand: which faults there are follows from the Protocols in `chalicelib.ports`, so a new
method is at once a new place for things to break. A test first runs a story under a Plan without faults, which
notes each call; `plan.possible()` is then every fault that this story can meet, and each gets a run of its own.

    before     the call has no effect and raises
    after      the call has its effect and raises: the answer is an error
    timeout    the call has its effect, and half a minute later raises: the answer never comes
    killed     the call has its effect and the process dies: Killed passes every `except Exception`
    conflict   somebody else wrote in between (only where the port promises Conflict)
    throttled  the call has no effect and says to slow down
"""

from __future__ import annotations

import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from chalicelib.core.errors import ClusterError, Conflict, Throttled, Unavailable
from chalicelib.ports import Archive, Clock, Cluster, Ledger, Ports, Queue, Secrets, Topics

# Journal and Clock are not here: they stand on nothing that could be away.
PROTOCOLS: dict[str, type] = {
    "ledger": Ledger,
    "archive": Archive,
    "queue": Queue,
    "secrets": Secrets,
    "cluster": Cluster,
    "topics": Topics,
}

BEFORE, AFTER, TIMEOUT, KILLED = "before", "after", "timeout", "killed"
CONFLICT, THROTTLED = "conflict", "throttled"

# Where the Protocol says "raises Conflict".
CONFLICTS = {
    ("ledger", "extend"),
    ("ledger", "advance"),
    ("ledger", "rewrite"),
    ("ledger", "put_snapshot"),
    ("ledger", "put_cron_state"),
    ("cluster", "patch"),
}
QUIET = {("cluster", "report")}  # best effort: its failures are never raised

TIMEOUT_SECONDS = 30.0

P = TypeVar("P")


class Killed(BaseException):
    """The process died here; only a test may catch it."""


@dataclass(frozen=True)
class Fault:
    """One way in which one call fails."""

    port: str
    method: str  # "*" for each
    kind: str
    call: int = 1  # which call of the method, counted from 1; 0 for every one


def methods(port: str) -> list[str]:
    """The names of the port's methods, in the Protocol's order."""
    return [
        name
        for name, member in vars(PROTOCOLS[port]).items()
        if inspect.isfunction(member) and name[0] != "_"
    ]


def kinds(port: str, method: str) -> tuple[str, ...]:
    """The ways in which the method can fail."""
    if (port, method) in QUIET:
        return (BEFORE, AFTER, KILLED)
    conflict = (CONFLICT,) if (port, method) in CONFLICTS else ()
    return (BEFORE, AFTER, TIMEOUT, KILLED, *conflict, THROTTLED)


def all_faults(*ports: str) -> list[Fault]:
    """Every fault at the first call of each method of the named ports, of all where none is named."""
    return [
        Fault(port, method, kind)
        for port in ports or PROTOCOLS
        for method in methods(port)
        for kind in kinds(port, method)
    ]


class Plan:
    """Which calls fail; and, for whoever plans the next run, which calls were made and what was met.

    The list of faults may be changed while it is in use: an outage begins and ends so.
    """

    def __init__(self, *faults: Fault, clock: Clock | None = None) -> None:
        self.faults = list(faults)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.met: list[Fault] = []
        self.clock = clock  # where time passes before a timeout
        self._lock = threading.Lock()

    def outage(self, *ports: str) -> None:
        """From now on every call of the ports fails without effect."""
        self.faults += [Fault(port, "*", BEFORE, 0) for port in ports]

    def clear(self) -> None:
        """From now on nothing fails."""
        self.faults.clear()

    def possible(self, kinds_wanted: Iterable[str] = ()) -> list[Fault]:
        """Every fault at every call that was made under this plan; only the named kinds, where some are."""
        wanted = set(kinds_wanted)
        return [
            Fault(port, method, kind, call)
            for (port, method), count in self.calls.items()
            for call in range(1, count + 1)
            for kind in kinds(port, method)
            if not wanted or kind in wanted
        ]

    def next_fault(self, port: str, method: str) -> Fault | None:
        """Count a call, and say which fault it meets."""
        with self._lock:
            self.calls[port, method] += 1
            call = self.calls[port, method]
            for fault in self.faults:
                if fault.port == port and fault.method in (method, "*") and fault.call in (call, 0):
                    met = replace(fault, method=method, call=call)
                    self.met.append(met)
                    return met
        return None


def faulty(port: P, plan: Plan) -> P:
    """The port, failing as the plan says; what is no method of its Protocol passes through."""
    name = next((name for name in PROTOCOLS if all(hasattr(port, method) for method in methods(name))), "")
    if not name:
        raise TypeError(f"{type(port).__name__} keeps none of the Protocols {', '.join(PROTOCOLS)}")
    return _Faulty(name, port, plan)  # type: ignore[return-value]  # it has the port's methods, by __getattr__


def faulty_ports(ports: Ports, plan: Plan) -> Ports:
    """The ports, each failing as the plan says."""
    return replace(ports, **{name: faulty(getattr(ports, name), plan) for name in PROTOCOLS})


class _Faulty:
    def __init__(self, name: str, port: Any, plan: Plan) -> None:
        self._name = name
        self._port = port
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if name not in methods(self._name):
            return member

        def call(*arguments: Any, **named: Any) -> Any:
            fault = self._plan.next_fault(self._name, name)
            if fault is None:
                return member(*arguments, **named)
            return _fail(fault, lambda: member(*arguments, **named), self._plan.clock)

        return call


def _fail(fault: Fault, effect: Callable[[], Any], clock: Clock | None) -> None:
    text = f"{fault.kind} {fault.port}.{fault.method}, call {fault.call}"
    if fault.kind in (AFTER, TIMEOUT, KILLED):
        effect()
    if fault.kind == KILLED:
        raise Killed(text)
    if (fault.port, fault.method) in QUIET:
        return
    if fault.kind == CONFLICT:
        raise Conflict(text)
    if fault.kind == THROTTLED:
        if fault.port == "cluster":
            raise ClusterError(429, "TooManyRequests", text, retry_after=1.0)
        raise Throttled(text, retry_after=1.0)
    if fault.kind == TIMEOUT and clock:
        clock.sleep(TIMEOUT_SECONDS)
    raise Unavailable(text)
