"""The ports of this container, built once, at first use: importing app.py must touch nothing.

In Lambda the import also loads the libraries, since a function that starts has all of a processor, and one that works
has its share. Everywhere else they wait until somebody needs them.

Whoever wants the functions to work with other ports says so with `use`, before the first request.
"""

from __future__ import annotations

import importlib
import os
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib.adapters.archive import DynamoArchive
from chalicelib.adapters.clocks import SystemClock
from chalicelib.adapters.cluster import KubernetesCluster
from chalicelib.adapters.journals import StdoutJournal
from chalicelib.adapters.ledger import DynamoLedger
from chalicelib.adapters.queue import SqsQueue, sqs_client
from chalicelib.adapters.secrets import SecretsManagerClients, secrets_client
from chalicelib.adapters.topics import SnsTopics
from chalicelib.flow.known import KnownBindings
from chalicelib.flow.refusals import Refusals
from chalicelib.ports import Journal, Ports
from chalicelib.settings import Settings, from_environment

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


class InvocationJournal(Journal, Protocol):
    """A journal that knows where an invocation begins and ends."""

    def within(self, **fields: Any) -> AbstractContextManager[None]:
        """Add the fields to every line and metric written inside."""


@dataclass(frozen=True)
class Container:
    """What one function of one container works with."""

    settings: Settings
    ports: Ports
    known: KnownBindings
    refusals: Refusals
    journal: InvocationJournal


def container_of(ports: Ports, settings: Settings, journal: InvocationJournal) -> Container:
    """A container over these ports."""
    return Container(settings, ports, KnownBindings(ports, settings), Refusals(ports, settings), journal)


_containers: dict[str, Container] = {}
_lock = threading.Lock()


def use(function: str, made: Container | None) -> Container | None:
    """Let the function work with this container from now on (None: build one when it is needed).

    Returns the one that it worked with before.
    """
    with _lock:
        before = _containers.pop(function, None)
        if made is not None:
            _containers[function] = made
        return before


def container(function: str) -> Container:
    """The container of the function; in Lambda there is one, locally there is one for each function."""
    with _lock:
        if function not in _containers:
            _containers[function] = _made(function)
        return _containers[function]


def _made(function: str) -> Container:
    settings = from_environment()
    if settings.kubeconfig and not settings.kube_context:
        # Locally each function has its own user in the cluster, so that a missing right shows there first.
        settings = replace(settings, kube_context=f"lynceus-{function}")
    clock = SystemClock()
    journal = StdoutJournal(f"lynceus-{function}", settings.stage, clock)
    ledger = DynamoLedger(
        lambda: _dynamodb(settings.region),
        settings.table,
        retention=timedelta(days=settings.retention_days),
        keep_bodies=settings.keep_bodies == "all",
    )
    ports = Ports(
        ledger=ledger,
        archive=DynamoArchive(ledger),
        queue=SqsQueue(
            lambda: sqs_client(settings.region),
            submissions=settings.submissions_queue,
            cron=settings.cron_queue,
            dead_letters=settings.dead_letter_queue,
        ),
        secrets=SecretsManagerClients(
            lambda: secrets_client(settings.region), settings.clients_secret, clock
        ),
        cluster=KubernetesCluster(settings, clock, journal),
        topics=SnsTopics(),
        journal=journal,
        clock=clock,
    )
    return container_of(ports, settings, journal)


def _load() -> None:
    """Load what the first event would: libraries, and the descriptions of services, which botocore keeps."""
    for name in ("botocore.auth", "kubernetes.client", "yaml", "chalicelib.core.expressions.metadata"):
        importlib.import_module(name)
    import boto3

    region = from_environment().region
    for service in ("dynamodb", "sqs", "secretsmanager"):
        boto3.client(service, region_name=region)


def _dynamodb(region: str) -> DynamoDBClient:
    import boto3
    from botocore.config import Config

    # The ledger retries what it may itself; a call that hangs must leave time for the envelope (rule 8).
    config = Config(
        connect_timeout=1,
        read_timeout=3,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=50,
    )
    return boto3.client("dynamodb", region_name=region, config=config)


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    _load()
