"""`lynceus cluster`: the Kubernetes API of `make run` alone, for kubectl, clients and tests of one's own.

It runs until it is stopped and prints a line for every workflow that changes. No container is ever run.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from pathlib import Path

from lynceus.output import DONE, USAGE, Output

HELP = "run a Kubernetes API on this machine, with Argo's kinds and no nodes"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lynceus cluster` takes."""
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (a free one)")
    parser.add_argument(
        "--state", type=Path, metavar="DIRECTORY", help="keep objects, tokens and keys here (memory only)"
    )
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        default=Path(".lynceus/kubeconfig"),
        help="where to write the kubeconfig (.lynceus/kubeconfig)",
    )
    parser.add_argument(
        "--namespace", action="append", default=[], help="a namespace to make; can be given again (argo)"
    )
    parser.add_argument(
        "--finish-after",
        type=float,
        metavar="SECONDS",
        help="play the workflow controller: workflows run this long (they stay as they are)",
    )
    parser.add_argument(
        "--failure-rate",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of workflows that fail, 0 to 1 (0)",
    )


def run(options: argparse.Namespace, out: Output) -> int:
    """Serve until interrupted."""
    from lynceus.local.kubernetes import Cluster

    if not 0 <= options.failure_rate <= 1:
        out.error(f"--failure-rate is {options.failure_rate}", "a share between 0 and 1, for example 0.2")
        return USAGE
    cluster = Cluster(options.state, port=options.port)
    try:
        cluster.start()
    except OSError as error:
        out.error(f"port {options.port}: {error.strerror}", "leave --port out to take a free one")
        return USAGE
    with cluster:
        names = options.namespace or ["argo"]
        missing = set(names) - {each["metadata"]["name"] for each in cluster.objects("namespaces")}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(missing)
        )
        kubeconfig = cluster.write_kubeconfig(options.kubeconfig)
        cluster.play_housekeeping()
        if options.finish_after is not None:
            cluster.play_controller(options.finish_after, options.failure_rate, out.line)
        out.data({"server": cluster.url, "kubeconfig": str(kubeconfig)})
        out.line(f"Kubernetes API on {cluster.url}, Argo's kinds installed; stop with Ctrl-C")
        out.line(f"export KUBECONFIG={kubeconfig.resolve()}")
        # What stops a service stops this as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            while True:  # not one long wait: a signal that another thread got is seen when this one wakes
                time.sleep(0.5)
    return DONE
