"""Run the whole system on this machine: AWS by moto, a small Kubernetes API, the functions.

Ctrl-C stops it. Objects, ledger and secrets stay in the state directory for the next start. A cluster of your own
is used only when --kubeconfig names it; then no demo objects are made and cron rests unless CRON=1.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path
from types import FrameType

from lynceus.output import DONE, Output

HELP = "run the whole system on this machine"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "--port", type=int, default=2746, help="of the API; 0 takes a free one (default: 2746)"
    )
    parser.add_argument("--state", type=Path, default=Path(".lynceus"), metavar="DIR",
                        help="what survives a restart (default: .lynceus)")  # fmt: skip
    parser.add_argument("--finish-after", type=float, default=10.0, metavar="SECONDS",
                        help="workflows seem to run so long; 0: for ever (default: 10)")  # fmt: skip
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE",
                        help="a cluster of your own; a KUBECONFIG of the shell is ignored")  # fmt: skip
    parser.add_argument("--tick", type=float, default=60.0, metavar="SECONDS",
                        help="between ticks, shorter for demonstrations (default: 60)")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no line for each event and workflow")


def run(options: argparse.Namespace, out: Output) -> int:
    """Run until a signal says stop."""
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            os._exit(130)  # asked twice: somebody is in a hurry
        stopped.set()

    # First of all: a signal while things start must find the handler.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)

    # moto, boto3 and chalice take their time to import: after usage errors and help.
    from lynceus.local.systems import Options, System

    system = System(
        Options(
            port=options.port,
            state=options.state,
            finish_after=options.finish_after or None,
            kubeconfig=options.kubeconfig,
            cron=options.kubeconfig is None or os.environ.get("CRON") == "1",
            tick=options.tick,
            quiet=options.quiet,
        ),
        out,
    )
    system.start()
    # Not without end: the kernel may give the signal to another thread, and its handler runs when this one wakes.
    while not stopped.wait(0.5):
        pass
    system.stop()
    out.line("stopped")
    return DONE
