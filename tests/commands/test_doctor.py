"""`lynceus doctor`: every check is tried on the real thing, and what is red has its repair."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import NoCredentialsError
from moto import mock_aws

from chalicelib.settings import Settings
from lynceus import checks
from lynceus.checks import BAD, GOOD, WARNING, Check, Surroundings
from lynceus.local import demos, resources
from lynceus.local.kubernetes import Cluster
from lynceus.local.systems import TEMPLATE, functions_kubeconfig
from lynceus.reconciliations import reconcile
from tests.commands.systems import served
from tests.world import World, binding


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path]]:
    state = tmp_path_factory.mktemp("cluster")
    with Cluster(None) as running:
        running.apply(demos.objects())
        (state / "functions.kubeconfig").write_text(functions_kubeconfig(running, state))
        running.write_kubeconfig(state / "kubeconfig")
        yield running, state


@pytest.fixture
def around(cluster: tuple[Cluster, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Surroundings]:
    _, state = cluster
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    settings = Settings(stage="local", kubeconfig=str(state / "functions.kubeconfig"), namespaces=("argo",))
    with mock_aws():
        make_resources()
        yield Surroundings(settings, ("argo",), "", str(state / "kubeconfig"))


def make_resources() -> None:
    resources.create(TEMPLATE, "local", None)  # type: ignore[arg-type]  # no endpoint: moto stands before AWS itself


def put_clients(**entries: Any) -> None:
    boto3.client("secretsmanager", "us-east-1").create_secret(
        Name="lynceus-local/argo/webhook-clients", SecretString=yaml.safe_dump(entries)
    )


def told(around: Surroundings) -> dict[str, Check]:
    return {check.name: check for check in checks.run(around)}


def test_where_everything_is_well_nothing_is_red(around: Surroundings) -> None:
    put_clients(**{"github.com": {"type": "github", "secret": "s"}})
    world = World()
    world.tick()

    with served(world) as url:
        around.url = url
        found = told(around)

    assert {name: check.told for name, check in found.items() if check.state != GOOD} == {}
    assert "submit function may act as it" in found["create argo/github.com"].told


def test_a_client_without_its_account_and_rights_is_red_with_a_command_each(around: Surroundings) -> None:
    put_clients(stranger={"type": "github", "secret": "s"})

    found = told(around)

    assert found["account argo/stranger"].repair == "kubectl -n argo create serviceaccount stranger"
    assert "cannot impersonate" in found["create argo/stranger"].told
    assert found["create argo/stranger"].repair.startswith("kubectl")


def test_a_missing_table_queue_and_secret_are_named_with_what_makes_them(around: Surroundings) -> None:
    around.settings = Settings(stage="other", kubeconfig=around.settings.kubeconfig)

    found = told(around)

    assert (found["ledger"].state, found["ledger"].repair) == (BAD, "lynceus deploy --stage other")
    assert found["queues"].state == BAD
    assert (found["clients argo"].state, "clients put" in found["clients argo"].repair) == (WARNING, True)


def test_a_document_that_does_not_load_and_waiting_dead_letters_are_red(around: Surroundings) -> None:
    put_clients(a={"type": "github", "secret": ""})
    sqs = boto3.client("sqs", "us-east-1")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="lynceus-local-dead")["QueueUrl"], MessageBody="{")

    found = told(around)

    assert found["clients argo"].state == BAD
    assert (found["dead letters"].state, found["dead letters"].repair) == (BAD, "lynceus dlq list")


def test_a_clock_that_is_wrong_is_red(around: Surroundings) -> None:
    from datetime import UTC, datetime

    around.now = lambda: datetime.now(UTC) + timedelta(minutes=10)

    assert told(around)["clock"].state == BAD


def test_a_cluster_and_an_api_that_are_away_stop_no_other_check(around: Surroundings, tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text("")
    around.kubeconfig, around.url = str(nowhere), "http://127.0.0.1:9"

    found = told(around)

    assert (found["cluster"].state, found["api"].state, found["ledger"].state) == (BAD, BAD, GOOD)


@pytest.mark.parametrize("ill", ["stage", "cluster", "namespace", "region", "credentials", "clients"])
def test_every_red_line_has_something_to_read_and_one_command(
    ill: str, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    around.url = "http://127.0.0.1:9"
    if ill == "stage":
        around.settings = Settings(stage="other")
    elif ill == "cluster":
        around.settings, around.kubeconfig = Settings(stage="local"), "/no/such/file"
    elif ill == "namespace":
        around.namespaces = ("elsewhere",)
    elif ill == "region":
        monkeypatch.delenv("AWS_REGION")
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    elif ill == "credentials":
        around.aws = without_credentials
    else:
        put_clients(a={"type": "githbu", "secret": "s"})

    found = told(around)

    red = [check for check in found.values() if check.state == BAD]
    assert len(red) > 1
    assert [check for check in red if not (check.told and check.repair)] == []


def without_credentials(service: str) -> Any:
    raise NoCredentialsError


def test_an_account_that_the_functions_may_not_look_at_is_red(
    around: Surroundings, cluster: tuple[Cluster, Path]
) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "new", "namespace": "argo"}}
    cluster[0].apply([account])
    put_clients(new={"type": "github", "secret": "s"})

    found = told(around)["account argo/new"]

    assert (found.state, "cannot get" in found.told, "lynceus-api" in found.repair) == (BAD, True, True)


# Reconciliation


def counted(world: World) -> Any:
    ledger = world.ledger
    return reconcile(
        list(ledger.events), ledger.events, ledger.stored.values(), world.workflows(), world.clock.now()
    )


def world_with_work() -> World:
    world = World(binding("one"), binding("lost", template="not-there"))
    world.receive()
    world.work()
    world.pass_time(4)
    return world


def test_reconcile_counts_what_was_dispatched_and_what_failed_visibly() -> None:
    told = counted(world_with_work())

    assert (told.accepted, told.recorded, told.dispatched, told.failed) == (1, 1, 1, 1)
    assert told.sound


def test_reconcile_finds_an_event_that_is_not_recorded() -> None:
    world = world_with_work()
    ledger = world.ledger

    told = reconcile(["another"], ledger.events, ledger.stored.values(), world.workflows(), world.clock.now())

    assert told.lost == ["event another was accepted and is not recorded"]


def test_reconcile_finds_a_submission_that_is_gone_and_one_that_nothing_rings_for() -> None:
    world = world_with_work()
    world.receive(world.delivery(guid="late"))
    world.clock.sleep(3600)
    gone = next(pointer for pointer, s in world.ledger.stored.items() if s.progress.state == "created")
    del world.ledger.stored[gone]

    told = counted(world)

    assert any("nothing rings for it" in line for line in told.lost)
    assert any("is not recorded" in line for line in told.lost)


def test_reconcile_finds_a_second_workflow_of_one_submission_and_one_of_no_submission() -> None:
    world = world_with_work()
    [workflow] = world.workflows()
    copy = {**workflow, "kind": "Workflow", "metadata": {**workflow["metadata"], "name": "copy"}}
    foreign = {**copy["metadata"], "name": "foreign", "annotations": {"lynceus.dev/submission": "nobody's"}}
    world.cluster.apply(copy, {**copy, "metadata": foreign})

    told = counted(world)

    assert len(told.doubled) == 2
    assert not told.sound


def test_reconcile_counts_a_workflow_that_was_deleted_since_as_gone_and_not_as_lost() -> None:
    world = world_with_work()
    world.cluster.remove("Workflow", "argo", world.names()[0])

    told = counted(world)

    assert (told.gone, told.sound) == (1, True)
