"""Faults follow from the Protocols: none is missing, each does what its name says."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import pytest

from chalicelib.core.errors import ClusterError, Conflict, LynceusError, Throttled, Unavailable
from chalicelib.core.submissions import start
from chalicelib.ports import Ports
from lynceus.local.faults import (
    AFTER,
    BEFORE,
    CONFLICT,
    CONFLICTS,
    KILLED,
    PROTOCOLS,
    THROTTLED,
    TIMEOUT,
    TIMEOUT_SECONDS,
    Fault,
    Killed,
    Plan,
    all_faults,
    faulty,
    faulty_ports,
    kinds,
    methods,
)
from lynceus.local.memory import (
    FakeClock,
    MemoryArchive,
    MemoryCluster,
    MemoryJournal,
    MemoryLedger,
    MemoryQueue,
    MemorySecrets,
    MemoryTopics,
)
from tests.adapters.contract_ledger import NOW, kept


def memory_ports() -> Ports:
    clock = FakeClock()
    ledger = MemoryLedger()
    return Ports(
        ledger,
        MemoryArchive(ledger),
        MemoryQueue(clock),
        MemorySecrets(),
        MemoryCluster(clock),
        MemoryTopics(),
        MemoryJournal(),
        clock,
    )


def test_every_method_of_every_port_can_fail_before_and_after_its_effect() -> None:
    listed = {(fault.port, fault.method, fault.kind) for fault in all_faults()}
    for port, protocol in PROTOCOLS.items():
        declared = [
            name for name, member in inspect.getmembers(protocol, inspect.isfunction) if name[0] != "_"
        ]
        assert sorted(methods(port)) == sorted(declared)
        assert all((port, name, kind) in listed for name in declared for kind in (BEFORE, AFTER, KILLED))


def test_conflicts_happen_exactly_where_the_port_promises_them() -> None:
    promised = {
        (port, method)
        for port, protocol in PROTOCOLS.items()
        for method in methods(port)
        if "raises conflict" in " ".join((getattr(protocol, method).__doc__ or "").lower().split())
    }
    assert promised == CONFLICTS


def test_faults_can_be_listed_for_one_port() -> None:
    assert {fault.port for fault in all_faults("queue")} == {"queue"}


@pytest.mark.parametrize("kind,sent", [(BEFORE, 0), (THROTTLED, 0), (AFTER, 1), (TIMEOUT, 1)])
def test_a_fault_fires_at_its_call_alone(kind: str, sent: int) -> None:
    clock = FakeClock()
    queue = MemoryQueue(clock)
    plan = Plan(Fault("queue", "send", kind, 2), clock=clock)
    failing = faulty(queue, plan)
    failing.send([{"n": 1}])
    with pytest.raises(Unavailable):
        failing.send([{"n": 2}])
    failing.send([{"n": 3}])
    assert len(queue.messages) == 2 + sent
    assert plan.met == [Fault("queue", "send", kind, 2)]


def test_a_timeout_takes_its_time() -> None:
    clock = FakeClock()
    before = clock.monotonic()
    failing = faulty(MemoryQueue(clock), Plan(Fault("queue", "send", TIMEOUT), clock=clock))
    with pytest.raises(Unavailable):
        failing.send([])
    assert clock.monotonic() - before == TIMEOUT_SECONDS


def test_a_killed_process_is_not_caught_by_handlers_of_exceptions() -> None:
    queue = MemoryQueue(FakeClock())
    failing = faulty(queue, Plan(Fault("queue", "send", KILLED)))
    with pytest.raises(Killed), contextlib.suppress(Exception):
        failing.send([{"n": 1}])
    assert len(queue.messages) == 1


def test_a_conflict_leaves_the_ledger_as_it_was() -> None:
    ledger = MemoryLedger()
    _, (made,) = kept(ledger, "one", "build")
    failing = faulty(ledger, Plan(Fault("ledger", "advance", CONFLICT)))
    with pytest.raises(Conflict):
        failing.advance(made, start(made, NOW))
    assert ledger.submission(made.pointer) == made


def test_a_throttled_cluster_answers_429() -> None:
    failing = faulty(MemoryCluster(FakeClock()), Plan(Fault("cluster", "bindings", THROTTLED)))
    with pytest.raises(ClusterError) as caught:
        failing.bindings("argo")
    assert caught.value.status == 429
    assert caught.value.retry_after


def test_a_throttled_ledger_says_so() -> None:
    with pytest.raises(Throttled):
        faulty(MemoryLedger(), Plan(Fault("ledger", "event", THROTTLED))).event("x")


def test_an_outage_lasts_until_it_is_cleared() -> None:
    plan = Plan()
    ports = faulty_ports(memory_ports(), plan)
    assert ports.ledger.event("x") is None
    plan.outage("ledger", "cluster")
    for _ in range(3):
        with pytest.raises(Unavailable):
            ports.ledger.event("x")
        with pytest.raises(Unavailable):
            ports.cluster.bindings("argo")
    ports.queue.send([])
    plan.clear()
    assert ports.ledger.event("x") is None


def test_what_a_run_can_meet_is_every_kind_at_every_call_it_made() -> None:
    plan = Plan()
    ports = faulty_ports(memory_ports(), plan)
    ports.queue.send([])
    ports.queue.send([])
    ports.ledger.health()
    possible = plan.possible()
    assert len(possible) == 2 * len(kinds("queue", "send")) + len(kinds("ledger", "health"))
    assert Fault("queue", "send", AFTER, 2) in possible
    assert {fault.kind for fault in plan.possible([BEFORE])} == {BEFORE}


def test_reports_fail_in_silence() -> None:
    clock = FakeClock()
    cluster = MemoryCluster(clock)
    failing = faulty(cluster, Plan(Fault("cluster", "report", BEFORE)))
    failing.report("argo", {"name": "b"}, "Broken", "text", clock.now())
    assert cluster.reports == []
    failing.report("argo", {"name": "b"}, "Broken", "text", clock.now())
    assert len(cluster.reports) == 1


@pytest.mark.parametrize("fault", all_faults(), ids=lambda fault: f"{fault.port}.{fault.method}-{fault.kind}")
def test_each_fault_fires_and_raises_only_what_a_port_may_raise(fault: Fault) -> None:
    class Willing:
        """Answers every method of the port."""

        def __getattr__(self, name: str) -> Any:
            if name not in methods(fault.port):
                raise AttributeError(name)
            return lambda *arguments, **named: called.append(name)

    called: list[str] = []
    plan = Plan(fault)
    with contextlib.suppress(LynceusError, Killed):
        getattr(faulty(Willing(), plan), fault.method)()
    assert plan.met == [fault]
    assert called == ([fault.method] if fault.kind in (AFTER, TIMEOUT, KILLED) else [])


def test_what_is_no_port_cannot_be_made_faulty() -> None:
    with pytest.raises(TypeError, match="keeps none of the Protocols"):
        faulty(object(), Plan())
