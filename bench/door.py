"""What the door costs: one signed webhook against 1, 100 and 1,000 bindings, AWS and the cluster in memory.

Prints the handler's time as a ratio to verifying the signature alone in the same run, and the share of the time
that each step takes. Then import time and peak memory of each function, as ratios to a bare Python.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chalicelib.core import webhooks
from chalicelib.core.clients import parse_clients
from chalicelib.core.payloads import decode
from chalicelib.flow import receive as door
from tests.world import CLIENTS, PUSH, World, binding

ROUNDS = 60
SELECTORS = (
    'metadata["x-github-event"] == ["push"] && payload.repository.full_name == "acme/shop-{n}"',
    'payload.ref == "refs/heads/release-{n}" and any(payload.commits ?? [], .id startsWith "{n}")',
    '"push" in (metadata["x-github-event"] ?? []) && payload.head_commit.author.name == "Ada-{n}"',
)


class Stopwatch:
    """Wraps functions and adds up the seconds spent in them."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)

    def around(self, name: str, function: Any) -> Any:
        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.spent[name] += time.perf_counter() - started

        return timed


def world_of(count: int) -> World:
    objects = [binding("hit")]
    objects += [
        binding(f"miss-{number:04}", SELECTORS[number % 3].format(n=number)) for number in range(count - 1)
    ]
    return World(*objects)


def median(samples: list[float]) -> float:
    return statistics.median(samples)


def main() -> None:
    payload = {**PUSH, "commits": [{"id": str(number), "message": "x" * 200} for number in range(20)]}
    reference_world = World()
    delivery = reference_world.delivery(payload)
    clients = parse_clients(CLIENTS)
    reference = []
    for _ in range(200):
        started = time.perf_counter()
        webhooks.authenticate(delivery, clients)
        reference.append(time.perf_counter() - started)
    unit = median(reference)
    print(
        f"reference: verifying and decoding one signed push of {len(delivery.body)} bytes: {unit * 1e6:.0f} µs"
    )
    print(f"{'bindings':>9} {'first':>8} {'warm':>8}   share of the warm time")
    for count in (1, 100, 1000):
        world = world_of(count)
        watch = Stopwatch()
        # The benchmark looks inside by wrapping the steps where the flow finds them.
        originals = {
            (webhooks, "authenticate"): webhooks.authenticate,
            (door, "match"): door.match,
            (world.ledger, "keep"): world.ledger.keep,
            (world.queue, "send"): world.queue.send,
        }
        for (place, name), function in originals.items():
            setattr(place, name, watch.around(name, function))
        samples = []
        for number in range(ROUNDS):
            sent = world.delivery(payload, guid=f"guid-{number}")
            gc.collect()
            started = time.perf_counter()
            world.receive(sent)
            samples.append(time.perf_counter() - started)
            if number == 0:
                watch.spent.clear()
        for (place, name), function in originals.items():
            setattr(place, name, function)
        total = sum(samples[1:])
        body = delivery.body
        started = time.perf_counter()
        for _ in range(ROUNDS):
            decode(body)
        json_share = (time.perf_counter() - started) * (ROUNDS - 1) / ROUNDS
        shares = {
            "signature": watch.spent["authenticate"] - json_share,
            "JSON": json_share,
            "matching": watch.spent["match"],
            "ledger": watch.spent["keep"],
            "queue": watch.spent["send"],
        }
        shares["the rest"] = total - sum(shares.values())
        told = ", ".join(f"{name} {value / total:.0%}" for name, value in shares.items())
        print(f"{count:>9} {samples[0] / unit:>7.1f}x {median(samples[1:]) / unit:>7.1f}x   {told}")
    functions()


def functions() -> None:
    """Import time and peak memory of each function's modules, beside a Python that imports nothing."""
    programs = {
        "bare python": "",
        "api (routes, no cluster client)": "import app",
        "api after its first cluster client": "import app, kubernetes.client",
        "submit, tick": "import app, boto3, kubernetes.client",
    }
    print(f"{'function':>36} {'CPU':>8} {'peak memory':>12}")
    base: tuple[float, float] | None = None
    for name, program in programs.items():
        measure = "u = resource.getrusage(resource.RUSAGE_SELF); print(u.ru_utime + u.ru_stime, u.ru_maxrss)"
        text = f"{program}\nimport resource; {measure}"
        runs = []
        for _ in range(3):
            said = subprocess.run(
                [sys.executable, "-c", text], capture_output=True, text=True, check=True, env=_environment(),
                cwd=Path(__file__).resolve().parents[1],
            ).stdout.split()  # fmt: skip
            runs.append((float(said[0]), float(said[1])))
        cpu, memory = (statistics.median(values) for values in zip(*runs, strict=True))
        base = base or (cpu, memory)
        print(f"{name:>36} {cpu / base[0]:>7.1f}x {memory / base[1]:>11.1f}x")


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "AWS_DEFAULT_REGION": "us-east-1"}


if __name__ == "__main__":
    main()
