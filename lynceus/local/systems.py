"""The whole system in one process: AWS, a cluster, the functions, and what drives them.

    sender ──HTTP──▶ Gateway ──▶ api_handler ──▶ Amazon (ledger, secrets, queues)
                                                   │
                     Ticker ──▶ tick ──────────────┤
                                                   ▼
                     Pump ──▶ submit, submit_cron ──▶ Cluster

Nothing real can be touched by accident: every AWS variable of the shell is replaced before anything of boto3
is made, an inherited KUBECONFIG is ignored, and a cluster of one's own is used only when it is named. The functions
meet their cluster as they do in AWS: each as a user in the group that `infra/kubernetes` gives its rights to.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

import yaml

from chalicelib.core.errors import Misconfigured, Unavailable
from lynceus.local import demos
from lynceus.local.amazon import Amazon, overwrite, write_private
from lynceus.local.watches import Watch
from lynceus.output import Output

if TYPE_CHECKING:
    from lynceus.local.functions import Functions
    from lynceus.local.kubernetes import Cluster

STAGE = "local"
TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "resources.yaml"
NOWHERE = "http://127.0.0.1:9"  # where AWS is until ours has started
LOCAL_HOSTS = "127.0.0.1,localhost"

# Context in the functions' kubeconfig → the group of infra/kubernetes/rbac.yaml whose rights it has.
GROUPS = {
    "lynceus-api": "lynceus:api",
    "lynceus-submit": "lynceus:submit",
    "lynceus-submit_cron": "lynceus:cron",
    "lynceus-tick": "lynceus:tick",
}


@dataclass(frozen=True)
class Options:
    """What `make run` can be told."""

    port: int = 2746
    state: Path = Path(".lynceus")
    finish_after: float | None = 10.0  # seconds that a workflow seems to run; None: for ever
    kubeconfig: Path | None = None  # of a real cluster
    cron: bool = True  # in a real cluster only where asked for
    tick: float = 60.0  # seconds between ticks
    quiet: bool = False


@dataclass(frozen=True)
class RealCluster:
    """A cluster that somebody named on the command line."""

    context: str
    server: str

    @classmethod
    def read(cls, path: Path) -> RealCluster:
        """The current context of the kubeconfig; raises Misconfigured where it has none."""
        try:
            config = yaml.safe_load(path.read_text())
            context = config["current-context"]
            entry = next(entry["context"] for entry in config["contexts"] if entry["name"] == context)
            cluster = next(one["cluster"] for one in config["clusters"] if one["name"] == entry["cluster"])
            return cls(context, cluster["server"])
        except OSError as error:
            raise Misconfigured(f"kubeconfig {path}: {error.strerror}") from error
        except (yaml.YAMLError, KeyError, TypeError, StopIteration) as error:
            raise Misconfigured(
                f"kubeconfig {path} names no usable current context: kubectl config use-context …"
            ) from error


class _Part(Protocol):
    """What drives functions."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End, within a second or so."""


class System:
    """Everything that `make run` starts; one per process, since moto's memory and the environment are."""

    def __init__(self, options: Options, out: Output) -> None:
        self._options, self._out = options, out
        self._stack = ExitStack()  # undoes what was started, last first
        self._parts: list[_Part] = []  # what invokes functions
        self._stdout: TextIO | None = None
        self.url = ""
        self.cluster: Cluster | None = None  # ours; None with a real one
        self.secret = ""  # of the demo's GitHub client

    @property
    def state(self) -> Path:
        """The directory that survives a restart."""
        return self._options.state

    def start(self) -> None:
        """Start everything; raises Unavailable for what is in use, after stopping what was started."""
        started = time.monotonic()
        try:
            real = RealCluster.read(self._options.kubeconfig) if self._options.kubeconfig else None
            if real:
                self._out.line(f"cluster of your own: {real.context} at {real.server}", colour="yellow")
            self._start(real)
        except BaseException:
            self.stop()
            raise
        self._introduce(time.monotonic() - started, real)

    def _start(self, real: RealCluster | None) -> None:
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_state()
        watch = Watch(self._out, self.state / "log", quiet=self._options.quiet)
        self._stack.callback(watch.close)
        isolate(os.environ)
        overwrite(os.environ, NOWHERE)
        amazon = Amazon(TEMPLATE, STAGE, self.state, on_outages=self._on_outages)
        self._stack.callback(amazon.stop)
        amazon.start()
        overwrite(os.environ, amazon.endpoint)
        if real is None:
            self.cluster = self._own_cluster(watch)
        os.environ.update(self._settings(real))
        write_private(self.state / "env", _lines(os.environ))
        self._stack.callback(lambda: (self.state / "env").unlink(missing_ok=True))
        if real is None:
            self.secret = demos.webhook_secret(STAGE)
        self._stdout, sys.stdout = sys.stdout, watch
        self._stack.callback(self._give_stdout_back)
        self._start_functions(watch)

    def _start_functions(self, watch: Watch) -> None:
        # The app reads settings when it is imported, so it comes last.
        from lynceus.local.functions import Functions
        from lynceus.local.gateways import Gateway
        from lynceus.local.pumps import Pump
        from lynceus.local.ticks import Ticker

        functions: Functions = Functions(importlib.import_module("app").app)
        try:
            gateway = Gateway(
                functions,
                self._options.port,
                on_refusal=watch.tell_refusal,
                on_failure=watch.tell_failure,
            )
        except OSError as error:
            raise Unavailable(
                f"port {self._options.port} is in use: stop what listens there, or choose another with PORT="
            ) from error
        self.url = gateway.url
        # Only now is the port known where a free one was taken.
        written = (self.state / "env").read_text()
        # What `--local` commands do in the cluster, they do as kubectl would.
        kubeconfig = Path(self._options.kubeconfig or self.state / "kubeconfig").resolve()
        write_private(self.state / "env", f"{written}LYNCEUS_URL={gateway.url}\nKUBECONFIG={kubeconfig}\n")
        pumps: list[_Part] = [
            Pump(functions, source, on_failure=watch.tell_failure) for source in functions.queues
        ]
        ticker = Ticker(functions, self._options.tick, on_failure=watch.tell_failure)
        for part in (*pumps, gateway, ticker):
            part.start()
            self._parts.append(part)

    def _take_state(self) -> None:
        lock = (self.state / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise Unavailable(
                f"another system runs with {self.state}: stop it, or choose another directory with --state"
            ) from None
        self._stack.callback(lock.close)

    def _own_cluster(self, watch: Watch) -> Cluster:
        from lynceus.local.kubernetes import Cluster

        cluster = Cluster(self.state / "cluster")
        cluster.start()
        self._stack.callback(cluster.stop)
        known = {namespace["metadata"]["name"] for namespace in cluster.objects("namespaces")}
        # What somebody changed or deleted of the demo stays so; the functions' rights follow the code.
        namespace, *rest = demos.objects()
        if demos.NAMESPACE in known:
            cluster.apply(demos.rights())
        else:
            cluster.apply([namespace, *rest])
        cluster.write_kubeconfig(self.state / "kubeconfig")
        write_private(self.state / "functions.kubeconfig", functions_kubeconfig(cluster, self.state))
        cluster.play_controller(self._options.finish_after, on_change=watch.tell_phase)
        return cluster

    def _settings(self, real: RealCluster | None) -> dict[str, str]:
        settings = {"LYNCEUS_STAGE": STAGE, "LYNCEUS_CRON": "active" if self._options.cron else "off"}
        if real:
            settings["LYNCEUS_KUBECONFIG"] = str(Path(str(self._options.kubeconfig)).resolve())
            settings["LYNCEUS_KUBE_CONTEXT"] = real.context
        else:
            settings["LYNCEUS_KUBECONFIG"] = str((self.state / "functions.kubeconfig").resolve())
            # As deployed: the functions have rights in this namespace, and look into no other.
            settings["LYNCEUS_NAMESPACES"] = os.environ.get("LYNCEUS_NAMESPACES") or "argo"
        return settings

    def _on_outages(self, outages: frozenset[str]) -> None:
        if self.cluster is not None:
            if "cluster" in outages:
                self.cluster.faults.down()
            else:
                self.cluster.faults.up()

    def _give_stdout_back(self) -> None:
        if self._stdout is not None:
            sys.stdout, self._stdout = self._stdout, None

    def stop(self) -> None:
        """Stop everything, last started first; what is under way gets a second to end."""
        # All at once: waiting for one after another would add up.
        threads = [threading.Thread(target=part.stop, daemon=True) for part in self._parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(1.5)
        self._parts.clear()
        self._stack.close()

    def _introduce(self, seconds: float, real: RealCluster | None) -> None:
        """Say what was started, and three commands to paste."""
        line, paint = self._out.line, self._out.paint
        kubeconfig = _shown(self._options.kubeconfig or self.state / "kubeconfig")
        line(paint(f"Lynceus is ready after {seconds:.1f} s.", "bold"))
        rows = [
            ("api", f"{self.url}/api/v1/events/…"),
            ("cluster", f"{real.server} ({real.context})" if real else f"{_url(self.cluster)}  {kubeconfig}"),
            ("aws", f"{os.environ['AWS_ENDPOINT_URL']}  {_shown(self.state / 'env')}"),
            ("tick", f"every {self._options.tick:g} s, cron {os.environ['LYNCEUS_CRON']}"),
            ("demo", "none" if real else self._demo()),
            ("log", _shown(self.state / "log")),
        ]
        for name, text in rows:
            line(f"  {paint(f'{name:<8}', 'dim')} {text}")
        line()
        if real:
            line("No demo objects were made. The webhook clients of a namespace go into the secret")
            line(f'  lynceus-{STAGE}/<namespace>/webhook-clients  (aws --endpoint-url "$AWS_ENDPOINT_URL" …)')
        else:
            line("Paste these into another terminal:")
            line()
            for command in self._commands(kubeconfig):
                line(f"  {paint(command, 'green')}")
        line()
        self._out.data(
            {
                "api": self.url,
                "aws": os.environ["AWS_ENDPOINT_URL"],
                "cluster": real.server if real else _url(self.cluster),
                "kubeconfig": kubeconfig,
                "secret": self.secret,
            }
        )
        line(paint(f"Ctrl-C stops everything; objects and ledger stay in {_shown(self.state)}.", "dim"))
        line()

    def _demo(self) -> str:
        """What of the demo is there, by names."""
        if self.cluster is None:
            return "none"
        names = {
            plural: [
                found["metadata"]["name"]
                for found in self.cluster.objects(f"{plural}.argoproj.io", demos.NAMESPACE)
            ]
            for plural in ("workfloweventbindings", "cronworkflows")
        }
        bindings, crons = (", ".join(found) or "none" for found in names.values())
        return f"namespace {demos.NAMESPACE}, bindings {bindings}, cron {crons}"

    def _commands(self, kubeconfig: str) -> list[str]:
        python = _shown(Path(sys.executable))
        events = f"{self.url}/api/v1/events/argo"
        kubectl = f"kubectl --kubeconfig {kubeconfig} -n argo"
        message = '{"message":"hello"}'
        return [
            f"{python} -m lynceus send github push --to {events}/github --secret {self.secret}",
            f"{kubectl} get workflows",
            f"curl -s -d '{message}' -H \"Authorization: Bearer $({kubectl} create token ci)\" {events}/say",
        ]


def isolate(environment: MutableMapping[str, str]) -> None:
    """Take from the environment whatever could lead to something real, or away from this machine."""
    for name in ("KUBECONFIG", *[name for name in environment if name.startswith("LYNCEUS_")]):
        # Settings for tuning may come from the shell; where things are may not.
        if name == "KUBECONFIG" or name.startswith(("LYNCEUS_CLUSTER", "LYNCEUS_KUBE", "LYNCEUS_STAGE")):
            environment.pop(name, None)
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, (environment.get(name), LOCAL_HOSTS)))


def functions_kubeconfig(cluster: Cluster, state: Path) -> str:
    """A kubeconfig with a context for each function, whose user has no rights but its group's."""
    path = cluster.write_kubeconfig(state / "functions.kubeconfig")
    config: dict[str, Any] = yaml.safe_load(path.read_text())
    name = config["clusters"][0]["name"]
    config["users"] = [
        {"name": context, "user": {"token": cluster.user_token(context, [group, "system:authenticated"])}}
        for context, group in GROUPS.items()
    ]
    config["contexts"] = [
        {"name": context, "context": {"cluster": name, "user": context}} for context in GROUPS
    ]
    config["current-context"] = next(iter(GROUPS))
    return yaml.safe_dump(config, sort_keys=False)


def _lines(environment: Mapping[str, str]) -> str:
    """The variables that lead a command to this system, as NAME=value lines."""
    names = sorted(name for name in environment if name.startswith(("AWS_", "LYNCEUS_")))
    return "".join(f"{name}={environment[name]}\n" for name in names)


def _shown(path: Path) -> str:
    """The path as somebody in this directory would write it."""
    try:
        return str(Path(os.path.abspath(path)).relative_to(Path.cwd()))  # noqa: PTH100  # a venv's python is a link
    except ValueError:
        return str(path)


def _url(cluster: Cluster | None) -> str:
    return cluster.url if cluster else ""
