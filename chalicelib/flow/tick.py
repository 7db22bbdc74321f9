"""Every minute: cron runs planned ahead, the snapshot of bindings, the sweep of the outbox (rule 36).

EventBridge calls at least once and up to a minute late, so each part may run twice, late or beside itself,
and says so in its own heartbeat: a part that fails does not take the others with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import zip_longest
from typing import Any

from chalicelib.core.errors import Conflict, LynceusError, Unavailable
from chalicelib.core.snapshots import Snapshot, next_snapshot, slim
from chalicelib.core.submissions import digest_of
from chalicelib.flow import crons
from chalicelib.ports import Health, Outstanding, Ports
from chalicelib.settings import Settings

SHARDS = 16
SWEEP_LIMIT = 200  # doorbells per shard and minute: a drain is paced
NAMESPACE_LIMIT = 100  # of them for one namespace
SWEEP_SIGHT = 1000  # entries per shard among which the namespaces are told apart
SWEEP_SECONDS = 20.0
RING_AGAIN = timedelta(minutes=2)  # a doorbell that the worker did not answer by then is rung again

ALL = "*"  # the scope that lists which namespaces have a snapshot


def tick(ports: Ports, settings: Settings) -> None:
    """Plan, remember, sweep; each with its own heartbeat."""
    started = ports.clock.now()
    _part("plan", ports, lambda: crons.tend(ports, settings))
    listed = _listed(ports, settings)
    _part("snapshot", ports, lambda: remember_bindings(listed, ports))
    if settings.sweep == "active":
        _part("sweep", ports, lambda: sweep(ports))
    else:
        ports.journal.error("sweep.paused", until="LYNCEUS_SWEEP is active again")
    # A ledger that failed or a namespace that refuses us says nothing about the cluster.
    up = any(isinstance(each, Snapshot) for each in listed.values())
    before = _health(ports)
    changed = before is None or before.cluster_up != up
    health = Health(
        cluster_up=up,
        checked_at=started,
        ticked_at=started,
        since=started if changed or before is None else before.since,
    )
    try:
        ports.ledger.put_health(health)
    except LynceusError as error:
        ports.journal.error("tick.health_failed", error=error.message)


def _part(name: str, ports: Ports, do: Callable[[], None]) -> None:
    """Do one part; its heartbeat is counted only when it went through."""
    try:
        do()
    except LynceusError as error:
        ports.journal.error("tick.failed", part=name, error=error.message)
    else:
        ports.journal.count(f"heartbeat_{name}")


def _health(ports: Ports) -> Health | None:
    try:
        return ports.ledger.health()
    except LynceusError:
        return None


# The snapshot


def _listed(ports: Ports, settings: Settings) -> dict[str, Snapshot | LynceusError]:
    """The bindings of each namespace, of all in one list under "" where all are served, or why there is no list."""
    found: dict[str, Snapshot | LynceusError] = {}
    for namespace in settings.namespaces or ("",):
        try:
            found[namespace] = ports.cluster.raw_bindings(namespace)
        except LynceusError as error:
            found[namespace] = error
            if isinstance(error, Unavailable):
                break  # the others would wait as long, and the sweep behind them
    return found


def remember_bindings(listed: Mapping[str, Snapshot | LynceusError], ports: Ports) -> None:
    """Store what was listed where it changed; raises what kept a list from being had or stored, last (rule 12)."""
    failed: LynceusError | None = None
    for namespace, each in listed.items():
        try:
            if isinstance(each, LynceusError):
                raise each
            if namespace:
                _remember(each, ports)
            else:
                _remember_all(each, ports)
        except LynceusError as error:
            failed = error
    if failed:
        raise failed


def _remember_all(listed: Snapshot, ports: Ports) -> None:
    """Store the bindings of the whole cluster, namespace by namespace."""
    grouped: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for raw in listed.objects:
        grouped[str(raw["metadata"].get("namespace", ""))].append(raw)
    index = ports.ledger.snapshot(ALL)
    before = {str(entry["metadata"]["name"]): entry["metadata"] for entry in index.objects} if index else {}
    entries = []
    for namespace in sorted(grouped.keys() | before.keys()):
        objects = tuple(grouped.get(namespace, ()))
        snapshot = Snapshot(namespace, objects, listed.revision, listed.taken_at)
        known = before.get(namespace)
        digest = snapshot.content
        if known is None or known["resourceVersion"] != digest:
            stored = _remember(snapshot, ports)
            digest = stored.content if not stored.doubtful else "doubtful"
        entries.append({"metadata": {"name": namespace, "resourceVersion": digest}})
    if index is None or list(index.objects) != entries:
        version = index.version + 1 if index else 0
        fresh = Snapshot(ALL, tuple(entries), listed.revision, listed.taken_at, version=version)
        ports.ledger.put_snapshot(fresh, index)


def _remember(listed: Snapshot, ports: Ports) -> Snapshot:
    slimmed = Snapshot(
        listed.scope, tuple(slim(raw) for raw in listed.objects), listed.revision, listed.taken_at
    )
    stored = ports.ledger.snapshot(listed.scope)
    following = next_snapshot(stored, slimmed)
    if following is None:
        return stored or slimmed
    # Their texts first: once the snapshot is stored, nobody looks at them again.
    for raw in following.objects:
        ports.archive.keep_binding(raw, listed.taken_at)
    try:
        ports.ledger.put_snapshot(following, stored)
    except Conflict:
        pass  # another tick was faster; its list is as good
    else:
        ports.journal.log(
            "snapshot.stored",
            namespace=listed.scope,
            bindings=len(following.objects),
            doubtful=following.doubtful,
        )
    return following


# The sweep


def sweep(ports: Ports) -> None:
    """Ring for everything in the outbox whose time has come, oldest first in each shard."""
    deadline = ports.clock.monotonic() + SWEEP_SECONDS
    rung = 0
    # Beginning elsewhere each minute, a sweep that runs out of time starves no shard.
    first = int(digest_of("sweep", ports.clock.now().isoformat(timespec="minutes")), 16) % SHARDS
    for number in range(SHARDS):
        shard = (first + number) % SHARDS
        if ports.clock.monotonic() > deadline:
            ports.journal.error("sweep.out_of_time", shard=shard)
            break
        for outstanding in paced(ports.ledger.due(shard, ports.clock.now(), SWEEP_SIGHT)):
            if ports.clock.monotonic() > deadline:
                break
            rung += _ring(outstanding, ports)
    if rung:
        ports.journal.log("sweep.rang", doorbells=rung)
    ports.journal.count("swept", rung)


def paced(entries: Sequence[Outstanding]) -> list[Outstanding]:
    """Those to ring for now, oldest first in each namespace, namespaces and cron in turn (rules 20, 28)."""
    waiting: dict[tuple[str, str], list[Outstanding]] = defaultdict(list)
    for entry in entries:
        # Of an event whose bindings are still to be asked the key does not tell the namespace.
        waiting[entry.kind, entry.pointer.namespace if entry.pointer else ""].append(entry)
    turns = zip_longest(*(each[:NAMESPACE_LIMIT] for each in waiting.values()))
    return [entry for turn in turns for entry in turn if entry is not None][:SWEEP_LIMIT]


def _ring(outstanding: Outstanding, ports: Ports) -> bool:
    # Sent first: a crash before the outbox entry is moved rings twice, which the ledger makes harmless.
    if outstanding.pointer is not None:
        message = outstanding.pointer.to_message()
    else:
        message = {"v": 1, "kind": "match", "event": outstanding.event_id}
    ports.queue.send([message], cron=outstanding.kind == "cron")
    return ports.ledger.postpone(outstanding, ports.clock.now() + RING_AGAIN)
