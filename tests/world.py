"""A whole small world in memory: a cluster, a ledger, queues, a clock; senders, workers and ticks at command."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.adapters.archive import DynamoArchive
from chalicelib.core.errors import LynceusError
from chalicelib.core.events import Delivery
from chalicelib.flow.known import KnownBindings
from chalicelib.flow.receive import Answer, receive
from chalicelib.flow.submit import work
from chalicelib.flow.tick import tick
from chalicelib.ports import Ports
from chalicelib.settings import Settings
from lynceus.local.faults import Killed, Plan, faulty_ports
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

SECRET = "a secret of the tests"
CLIENTS = json.dumps({"github.com": {"type": "github", "secret": SECRET}})
PUSH = {
    "ref": "refs/heads/main",
    "after": "1f2e3d4c5b6a79880716253443526170f1e2d3c4",
    "repository": {"full_name": "acme/shop", "clone_url": "https://example.com/acme/shop.git"},
    "head_commit": {"message": "Mend the till", "author": {"name": "Ada"}},
}


def binding(
    name: str, selector: str = 'metadata["x-github-event"] == ["push"]', **submit: Any
) -> dict[str, Any]:
    """A WorkflowEventBinding that submits the template `build`."""
    parameters = submit.pop("parameters", {"revision": "payload.after"})
    spec: dict[str, Any] = {"event": {"selector": selector}}
    annotations = submit.pop("annotations", {})
    if submit.pop("submit", True):
        spec["submit"] = {
            "workflowTemplateRef": {"name": submit.pop("template", "build"), **submit.pop("ref", {})},
            "arguments": {
                "parameters": [
                    {"name": key, "valueFrom": {"event": text}} for key, text in parameters.items()
                ]
            },
            **submit,
        }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowEventBinding",
        "metadata": {"name": name, "namespace": "argo", "annotations": annotations},
        "spec": spec,
    }


def template(name: str = "build", **metadata: Any) -> dict[str, Any]:
    """A WorkflowTemplate."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": name, "namespace": "argo", **metadata},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "busybox"}}]},
    }


def account(name: str = "github.com", namespace: str = "argo") -> dict[str, Any]:
    """A ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


class World:
    """Ports in memory, some bindings, and the three stories as verbs."""

    def __init__(
        self,
        *objects: Mapping[str, Any],
        settings: Settings | None = None,
        ledger: Any = None,
        now: datetime | None = None,
    ) -> None:
        self.clock = FakeClock(now) if now else FakeClock()
        self.cluster = MemoryCluster(self.clock)
        self.ledger = ledger or MemoryLedger()
        self.queue = MemoryQueue(self.clock)
        self.secrets = MemorySecrets({"argo": CLIENTS})
        self.journal = MemoryJournal()
        self.settings = settings or Settings()
        self.plan = Plan(clock=self.clock)
        self.archive: Any = DynamoArchive(ledger) if ledger else MemoryArchive(self.ledger)
        self.topics = MemoryTopics()
        healthy = Ports(
            self.ledger,
            self.archive,
            self.queue,
            self.secrets,
            self.cluster,
            self.topics,
            self.journal,
            self.clock,
        )
        self.ports = faulty_ports(healthy, self.plan)
        self.known = KnownBindings(self.ports, self.settings)
        self._requests = itertools.count()
        self.cluster.apply(account(), template(), *(objects or (binding("on-push"),)))

    def delivery(
        self,
        payload: Any = PUSH,
        *,
        event: str = "push",
        guid: str = "guid-1",
        secret: str = SECRET,
        discriminator: str = "",
        body: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
        namespace: str = "argo",
    ) -> Delivery:
        """A delivery signed as GitHub signs."""
        raw = json.dumps(payload).encode() if body is None else body
        digest = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        sent = [
            ("Content-Type", "application/json"),
            ("X-GitHub-Event", event),
            ("X-GitHub-Delivery", guid),
            ("X-GitHub-Hook-ID", "77"),
            ("X-Hub-Signature-256", f"sha256={digest}"),
            *headers,
        ]
        return Delivery(namespace, discriminator, "POST", sent, {}, raw, self.clock.now())

    def receive(self, delivery: Delivery | None = None) -> Answer:
        """The door's answer to a delivery; errors are raised."""
        return receive(
            delivery or self.delivery(),
            f"request-{next(self._requests)}",
            self.ports,
            self.settings,
            self.known,
        )

    def send(self, delivery: Delivery | None = None) -> int:
        """The status that a sender sees, whatever happens inside; 0 when the connection broke."""
        try:
            return self.receive(delivery).status
        except LynceusError as error:
            return error.http_status
        except Killed:
            return 0

    def work(self, *, cron: bool = False) -> int:
        """Play the workers until nothing is visible; a message whose worker died comes back. How many were done."""
        done = 0
        back = []
        while (message := self.queue.take(cron=cron)) is not None:
            try:
                work(json.dumps(message), self.ports, self.settings, self.known)
                done += 1
            except (LynceusError, Killed):
                back.append(message)
        for message in back:
            self.queue.send([message], cron=cron, delay=360)
        return done

    def tick(self) -> None:
        """One minute's tick; a killed one is over."""
        with contextlib.suppress(Killed):
            tick(self.ports, self.settings)

    def pass_time(self, minutes: float = 1.0) -> None:
        """Let the minutes go by: a tick in each, and the workers behind it."""
        for _ in range(max(1, round(minutes))):
            self.clock.sleep(60)
            self.tick()
            self.work()
            self.work(cron=True)

    def restart(self) -> None:
        """New containers: nothing is remembered but what is stored."""
        self.known = KnownBindings(self.ports, self.settings)

    def workflows(self) -> list[dict[str, Any]]:
        """The Workflows in the cluster."""
        return [raw for (plural, _, _), raw in sorted(self.cluster.objects.items()) if plural == "workflows"]

    def names(self) -> list[str]:
        """Their names."""
        return [raw["metadata"]["name"] for raw in self.workflows()]

    def record(self, answer: Answer) -> Any:
        """The event that an answer names."""
        return self.ledger.event(answer.headers["Lynceus-Event-Id"])

    def submissions(self, answer: Answer) -> list[Any]:
        """Its submissions."""
        return self.ledger.submissions(self.record(answer))

    def with_settings(self, **changes: Any) -> None:
        """The same world under other settings."""
        self.settings = replace(self.settings, **changes)
        self.restart()


MINUTE = timedelta(minutes=1)
