"""The settings of a stage, read once from the environment; nobody else reads it.

Every name begins with LYNCEUS_; `.chalice/config.json` sets them for the functions, `.lynceus/env` for the
local system. Names of resources follow from the stage, so that two stages never read each other's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from chalicelib.core.errors import Misconfigured


@dataclass(frozen=True)
class Settings:
    """What differs between two installations."""

    stage: str = "dev"
    # Namespaces served; empty: every namespace of the cluster.
    namespaces: tuple[str, ...] = ()
    # Argo's instance id: bindings, templates and crons must carry it; "" means they must carry none.
    instance_id: str = ""
    timezone: str = ""  # for CronWorkflows that name none; "" is UTC
    # The cluster: an EKS name with endpoint and CA, or a kubeconfig for the local system.
    cluster_name: str = ""
    cluster_endpoint: str = ""
    cluster_ca: str = ""  # base64 of the PEM, as EKS describes it
    kubeconfig: str = ""
    kube_context: str = ""
    region: str = "us-east-1"
    retention_days: int = 30  # terminal items of the ledger
    keep_bodies: str = "all"  # "all" or "none"
    body_limit: int = 4 * 1024 * 1024  # bytes
    bindings_ttl: float = 5.0  # seconds that a list of bindings serves before it is asked for again
    door_seconds: float = 2.5  # per event, at the door: Slack waits three
    worker_seconds: float = 20.0  # per event, for what the door deferred
    cron: str = "active"  # "active", "observe" (plan and record, create nothing) or "off"
    # "paused" after the table was restored, until `lynceus doctor --reconcile` has run: what an old table calls
    # unfinished may have been done since (rule 42).
    sweep: str = "active"
    # Functions of the worker must not wait for a message longer than this before they start (seconds).
    early_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.cron not in ("active", "observe", "off"):
            raise Misconfigured(f'LYNCEUS_CRON is "{self.cron}": say active, observe or off')
        if self.sweep not in ("active", "paused"):
            raise Misconfigured(f'LYNCEUS_SWEEP is "{self.sweep}": say active or paused')
        if self.keep_bodies not in ("all", "none"):
            raise Misconfigured(f'LYNCEUS_KEEP_BODIES is "{self.keep_bodies}": say all or none')

    @property
    def table(self) -> str:
        """The ledger's table."""
        return f"lynceus-{self.stage}-ledger"

    @property
    def submissions_queue(self) -> str:
        """The queue of event submissions."""
        return f"lynceus-{self.stage}-submissions"

    @property
    def cron_queue(self) -> str:
        """The queue of cron runs; it never waits behind a backlog of events."""
        return f"lynceus-{self.stage}-cron"

    @property
    def dead_letter_queue(self) -> str:
        """The queue of messages that nobody can parse or record."""
        return f"lynceus-{self.stage}-dead"

    def clients_secret(self, namespace: str) -> str:
        """The secret that holds the namespace's webhook clients (rule 41)."""
        return f"lynceus-{self.stage}/{namespace}/webhook-clients"

    def serves(self, namespace: str) -> bool:
        """True when events for the namespace are ours."""
        return not self.namespaces or namespace in self.namespaces


_NUMBERS = {"retention_days": int, "body_limit": int, "bindings_ttl": float, "door_seconds": float,
            "worker_seconds": float, "early_seconds": float}  # fmt: skip


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives; raises Misconfigured with the variable and its value."""
    values: dict[str, object] = {}
    for name, variable in VARIABLES.items():
        text = environment.get(variable, "")
        if not text:
            continue
        if name == "namespaces":
            values[name] = tuple(part.strip() for part in text.split(",") if part.strip())
        elif name in _NUMBERS:
            try:
                values[name] = _NUMBERS[name](text)
            except ValueError:
                raise Misconfigured(f'{variable} is "{text}": it must be a number') from None
        else:
            values[name] = text
    return Settings(**values)  # type: ignore[arg-type]  # names and kinds come from the table below


VARIABLES = {
    name: "AWS_REGION" if name == "region" else f"LYNCEUS_{name.upper()}"
    for name in Settings.__dataclass_fields__
}
