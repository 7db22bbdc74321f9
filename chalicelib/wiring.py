"""The ports of this container, built once, at first use: importing app.py must touch nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from chalicelib.adapters.archive import DynamoArchive
from chalicelib.adapters.clocks import SystemClock
from chalicelib.adapters.cluster import KubernetesCluster
from chalicelib.adapters.journals import StdoutJournal
from chalicelib.adapters.ledger import DynamoLedger
from chalicelib.adapters.queue import SqsQueue, sqs_client
from chalicelib.adapters.secrets import SecretsManagerClients, secrets_client
from chalicelib.adapters.topics import SnsTopics
from chalicelib.flow.known import KnownBindings
from chalicelib.ports import Ports
from chalicelib.settings import Settings, from_environment

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Container:
    """What one function of one container works with."""

    settings: Settings
    ports: Ports
    known: KnownBindings
    journal: StdoutJournal


@cache
def container(function: str) -> Container:
    """The container of the function; in Lambda there is one, locally there is one for each function."""
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
    return Container(settings, ports, KnownBindings(ports, settings), journal)


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
