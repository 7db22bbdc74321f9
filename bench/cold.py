"""Cold starts of the real package at the processor share of 512 MB, slimmed and not, in one run.

Each function is started as Lambda starts it (lynceus/packaging/runtimes.py), against moto and the local Kubernetes
API. A start counts from the process to its first reply; "handling" is the part of it behind the start of the function,
which Lambda does not slow down to the share, "warm" the second call. "cpu" is the processor time until
the first reply: divided by the share it is the least that a start can take. A busy machine changes that too, though
less, so it also stands in references: what importing boto3 takes here and now.

    python -m bench.cold [--runs 2] [--memory 512]
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lynceus.packaging import projects
from lynceus.packaging.artefacts import HERE, Artefact
from lynceus.packaging.runtimes import FULL_SHARE, Runtime, unpack
from tests.infra.worlds import FUNCTIONS, World, minute, push, records, world

AIMS = {"api_handler": 1.0, "submit": 1.2}  # seconds at 512 MB


@dataclass(frozen=True)
class Start:
    """One cold start."""

    first: float
    handling: float
    cpu: float
    warm: float
    memory: int


def main() -> None:
    """Print a table of starts and of sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2, help="starts of each function; the best is shown")
    parser.add_argument("--memory", type=int, default=512, help="MB; the processor's share follows from it")
    options = parser.parse_args()
    share = options.memory / FULL_SHARE
    best: dict[tuple[str, str], Start] = {}
    sizes: dict[str, Artefact] = {}
    with tempfile.TemporaryDirectory() as name, world(Path(name)) as here:
        for label, slim in (("slim", True), ("whole", False)):
            with package(label, slim=slim) as (artefact, task):
                sizes[label] = artefact
                for run in range(options.runs):
                    for function, start in starts(here, task, options.memory, f"{label}{run}"):
                        key = (function, label)
                        if key not in best or start.first < best[key].first:
                            best[key] = start
    unit = min(reference() for _ in range(3))
    print(f"{options.memory} MB, {share:.2f} of a processor; best of {options.runs}")
    print(f"reference: importing the installed boto3 takes {unit:.2f} s of a processor here and now")
    print("FUNCTION     PACKAGE  FIRST s  HANDLING s  CPU s  REFERENCES  CPU/SHARE s  WARM s  PEAK MB  AIM s")
    for function in FUNCTIONS:
        for label in sizes:
            start = best[function, label]
            print(
                f"{function:12} {label:8} {start.first:7.2f} {start.handling:10.2f} {start.cpu:6.2f} "
                f"{start.cpu / unit:11.1f} {start.cpu / share:12.2f} "
                f"{start.warm:7.3f} {start.memory / 1e6:8.0f}  {AIMS.get(function, '')}"
            )
        ratio = best[function, "slim"].cpu / best[function, "whole"].cpu
        print(f"{function:12} slim/whole {ratio:5.2f} of the processor time")
    for label, artefact in sizes.items():
        print(
            f"package {label:6} {artefact.bytes_zipped / 1e6:6.1f} MB zipped, "
            f"{artefact.bytes_unzipped / 1e6:6.1f} MB unzipped, {artefact.files} files"
        )


def reference() -> float:
    """Processor seconds of `import boto3`: what this machine makes of a known piece of work."""
    before = os.times()
    subprocess.run([sys.executable, "-c", "import boto3"], check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@contextmanager
def package(label: str, *, slim: bool) -> Iterator[tuple[Artefact, Path]]:
    """The package for this machine, unzipped."""
    with tempfile.TemporaryDirectory() as name:
        build = projects.ROOT / "build" / "bench" / label
        made = projects.package("dev", architecture=HERE, slim=slim, build=build)
        yield made.artefact, unpack(made.artefact.path, Path(name))


def starts(here: World, task: Path, memory: int, run: str) -> Iterator[tuple[str, Start]]:
    """One cold start of each function, the snapshot, the event and the run before it in place."""
    for function in ("tick", "api_handler", "submit", "submit_cron"):
        handler, _ = FUNCTIONS[function]
        if function == "tick":
            events = [minute(), minute()]
        elif function == "api_handler":
            events = [push(f"{run}-1"), push(f"{run}-2")]
        elif function == "submit":
            events = [records([message], "submissions") for message in here.messages("submissions")][:2]
        else:
            # A run that nobody knows is looked up and dropped: the path to the ledger and no further.
            body = '{"v":1,"kind":"submission","namespace":"argo","workflow":"w","submission":"s"}'
            events = [records([{"MessageId": "m", "ReceiptHandle": "r", "Body": body}], "cron")] * 2
        with Runtime(task, handler, here.environment(function), memory=memory) as runtime:
            first = runtime.invoke(events[0])
            cpu = runtime.cpu_seconds()
            warm = runtime.invoke(events[1])
            yield function, Start(first.seconds, first.handling, cpu, warm.seconds, runtime.peak_memory())


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
