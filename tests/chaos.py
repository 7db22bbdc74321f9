"""A long bad day: thousands of signed events and cron times while everything around Lynceus fails at random.

    make chaos                       or: python -m tests.chaos --events 5000 --seed 7

Calls of every port fail before or after their effect, time out, are throttled, or kill the process; ports are
away for minutes; containers start anew. Senders send again what was not answered 2xx, as senders do. Then the
weather clears, and the ledger and the cluster are held against each other: lost 0, doubled 0.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from typing import Any

from chalicelib.core.errors import LynceusError
from lynceus.local.faults import PROTOCOLS, Fault, Killed, Plan, kinds
from lynceus.output import Output
from lynceus.reconciliations import Reconciliation, reconcile
from tests.world import PUSH, World, binding, template

TRIES = 6  # of a sender


class Weather(Plan):
    """Each call fails with some probability, in one of the ways in which it can."""

    def __init__(self, dice: random.Random, clock: Any) -> None:
        super().__init__(clock=clock)
        self.rate = 0.0
        self._dice = dice

    def next_fault(self, port: str, method: str) -> Fault | None:
        """The planned fault, or one by chance."""
        planned = super().next_fault(port, method)
        if planned is not None or self._dice.random() >= self.rate:
            return planned
        fault = Fault(port, method, self._dice.choice(kinds(port, method)), self.calls[port, method])
        self.met.append(fault)
        return fault


def cron(name: str, schedule: str, policy: str = "Allow") -> dict[str, Any]:
    """A CronWorkflow."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {"name": name, "namespace": "argo"},
        "spec": {
            "schedules": [schedule],
            "concurrencyPolicy": policy,
            "workflowSpec": {"workflowTemplateRef": {"name": "build"}},
        },
    }


class Day:
    """The world on that day, and what its senders were promised."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = World(
            binding("one"),
            binding("two", parameters={"title": "payload.head_commit.message"}),
            binding("never", "false"),
            binding("broken", "payload.no.such.field == 1"),
            binding("lost", template="not-there"),
            template("other"),
            cron("minutely", "* * * * *"),
            cron("second-minute", "*/2 * * * *", "Forbid"),
        )
        world = self.world
        self.weather = Weather(self.dice, world.clock)
        world.plan = self.weather
        for name in PROTOCOLS:
            getattr(world.ports, name)._plan = self.weather
        self.accepted: set[str] = set()
        self.answers: Counter[str] = Counter()

    def send(self, number: int) -> None:
        """One delivery, sent until it is answered 2xx or the sender gives up."""
        for _ in range(TRIES):
            delivery = self.world.delivery({**PUSH, "number": number}, guid=f"guid-{number}")
            try:
                answer = self.world.receive(delivery)
                self.accepted.add(answer.headers["Lynceus-Event-Id"])
                self.answers["2xx"] += 1
                return
            except LynceusError as error:
                self.answers[str(error.http_status)] += 1
            except Killed:
                self.answers["broken off"] += 1
            self.world.clock.sleep(self.dice.uniform(1, 20))
        self.answers["given up"] += 1

    def minute(self) -> None:
        """A tick, and the workers behind it; finished Workflows are finished now and then."""
        try:
            self.world.pass_time(1)
        except (LynceusError, Killed) as error:
            self.answers[f"tick {type(error).__name__}"] += 1
        if self.dice.random() < 0.1:
            self.world.restart()
        for raw in self.world.workflows():
            if not (raw.get("status") or {}).get("phase") and self.dice.random() < 0.3:
                self.world.cluster.apply({**raw, "kind": "Workflow", "status": {"phase": "Succeeded"}})

    def run(self, events: int, rate: float) -> Reconciliation:
        """The day, and the quiet night behind it."""
        self.minute()
        sent = 0
        while sent < events:
            self.weather.rate = self.dice.choice((0.0, rate, rate, 3 * rate))
            if self.dice.random() < 0.1:
                self.weather.outage(self.dice.choice(("ledger", "queue", "cluster", "secrets", "archive")))
            for _ in range(min(events - sent, self.dice.randint(1, 40))):
                self.send(sent)
                sent += 1
            self.minute()
            if self.dice.random() < 0.4:
                self.weather.clear()
        self.weather.rate = 0.0
        self.weather.clear()
        for _ in range(45):
            self.minute()
        return self.count()

    def count(self) -> Reconciliation:
        """The ledger against the cluster."""
        ledger = self.world.ledger
        return reconcile(
            self.accepted,
            ledger.events,
            ledger.stored.values(),
            self.world.workflows(),
            self.world.clock.now(),
        )


def main() -> int:
    """Run a day and print the counts."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--events", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=0.03, help="share of calls that fail (default: 0.03)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    out, started = Output(), time.monotonic()
    out.line(f"chaos: {options.events} events, seed {options.seed}")
    day = Day(options.seed)
    told = day.run(options.events, options.rate)
    kinds_met = Counter(fault.kind for fault in day.weather.met)
    out.line(
        f"faults met: {sum(kinds_met.values())} ({', '.join(f'{n} {kind}' for kind, n in kinds_met.items())})"
    )
    out.line(f"answers: {dict(day.answers)}")
    out.line(
        f"accepted {told.accepted} = recorded {told.recorded}; submissions {told.submissions} = "
        f"dispatched {told.dispatched} + visibly failed {told.failed} "
        f"+ planned {told.planned} + waiting {told.waiting}"
    )
    out.line(f"lost {len(told.lost)}, doubled {len(told.doubled)}, dead letters {len(day.world.queue.dead)}")
    for line in [*told.lost, *told.doubled][:20]:
        out.line(f"  {line}")
    out.line(f"{time.monotonic() - started:.0f} s")
    return 0 if told.sound and not told.waiting and told.accepted == told.recorded else 1


if __name__ == "__main__":
    sys.exit(main())
