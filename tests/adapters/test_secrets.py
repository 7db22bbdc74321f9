"""The webhook clients in memory and in Secrets Manager, against moto; then rotation, caches and outages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError as AwsError
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from chalicelib.adapters.secrets import (
    ABSENT,
    ABSENT_LIMIT,
    KEPT,
    RENEWED,
    SecretsManagerClients,
    secrets_client,
)
from chalicelib.core.errors import ClientError, Throttled, Unavailable
from chalicelib.ports import Secrets
from chalicelib.settings import Settings
from lynceus.local.memory import FakeClock, MemorySecrets

NAME = Settings(stage="test").clients_secret


def document(*secrets: str, name: str = "github.com", type_: str = "github") -> str:
    return json.dumps({name: {"type": type_, "secrets": list(secrets)}})


@dataclass
class Watched:
    """A client of Secrets Manager that notes each read, and can be away."""

    client: Any
    reads: list[tuple[str, str]] = field(default_factory=list)
    failure: Exception | None = None

    def get_secret_value(self, **named: Any) -> Any:
        self.reads.append((named["SecretId"], named["VersionStage"]))
        if self.failure:
            raise self.failure
        return self.client.get_secret_value(**named)


AWAY = EndpointConnectionError(endpoint_url="https://secretsmanager.test")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield Watched(boto3.client("secretsmanager", "us-east-1"))


@pytest.fixture
def clock() -> FakeClock:
    # Versions carry the real time at which they were made.
    return FakeClock(datetime.now(UTC))


@pytest.fixture
def secrets(watched: Watched, clock: FakeClock) -> SecretsManagerClients:
    client: Any = watched
    return SecretsManagerClients(lambda: client, NAME, clock)


@pytest.fixture(params=["memory", "secretsmanager"])
def stage(request: pytest.FixtureRequest) -> tuple[Secrets, Callable[[str, str], object]]:
    """The port, and how to store a document for a namespace."""
    if request.param == "memory":
        memory = MemorySecrets()
        return memory, memory.documents.__setitem__
    client = request.getfixturevalue("watched").client
    return request.getfixturevalue("secrets"), lambda namespace, text: client.create_secret(
        Name=NAME(namespace), SecretString=text
    )


Stage = tuple[Secrets, Callable[[str, str], object]]


# Every store of clients


def test_the_clients_of_a_namespace_are_those_of_its_document(stage: Stage) -> None:
    secrets, store = stage
    store("argo", "github.com:\n  type: github\n  secret: one-secret-of-github\n")
    store("other", document("another-secret", name="other"))
    (client,) = secrets.webhook_clients("argo") or ()
    assert (client.name, client.type, client.secrets) == ("github.com", "github", ("one-secret-of-github",))
    assert [client.name for client in secrets.webhook_clients("other") or ()] == ["other"]


def test_a_namespace_without_a_document_has_none(stage: Stage) -> None:
    assert stage[0].webhook_clients("argo") is None
    assert stage[0].webhook_clients("argo", fresh=True) is None


@pytest.mark.parametrize(
    "text", ["github.com: {type: github, secret: ''}", "{not yaml", "a: {type: nobody, secret: x}"]
)
def test_a_document_that_must_not_load_is_an_error_every_time(stage: Stage, text: str) -> None:
    secrets, store = stage
    store("argo", text)
    for _ in range(3):
        with pytest.raises(ClientError):
            secrets.webhook_clients("argo")


# Secrets Manager: rotation


def test_after_a_rotation_the_old_secret_still_counts(
    watched: Watched, secrets: SecretsManagerClients
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("old-secret"))
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("new-secret"))
    (client,) = secrets.webhook_clients("argo") or ()
    assert client.secrets == ("new-secret", "old-secret")


def test_24_hours_after_the_rotation_the_old_secret_counts_no_more(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("old-secret"))
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("new-secret"))
    clock.sleep(24 * 3600 - 60)
    assert len((secrets.webhook_clients("argo") or ())[0].secrets) == 2
    clock.sleep(61)  # less than the cache keeps: it must not lend beyond the day
    assert (secrets.webhook_clients("argo") or ())[0].secrets == ("new-secret",)


def test_a_removed_client_is_refused_though_the_version_before_has_it(
    watched: Watched, secrets: SecretsManagerClients
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("old-secret", name="removed"))
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("new-secret", name="kept"))
    assert [(c.name, c.secrets) for c in secrets.webhook_clients("argo") or ()] == [("kept", ("new-secret",))]


def test_a_version_before_that_does_not_load_lends_nothing(
    watched: Watched, secrets: SecretsManagerClients
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString="{broken")
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("new-secret"))
    assert (secrets.webhook_clients("argo") or ())[0].secrets == ("new-secret",)


def test_rule_15_taking_the_label_off_the_version_before_revokes_it_at_once(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    first = watched.client.create_secret(Name=NAME("argo"), SecretString=document("old-secret"))
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("new-secret"))
    secrets.webhook_clients("argo")
    watched.client.update_secret_version_stage(
        SecretId=NAME("argo"), VersionStage="AWSPREVIOUS", RemoveFromVersionId=first["VersionId"]
    )
    clock.sleep(RENEWED)
    assert (secrets.webhook_clients("argo") or ())[0].secrets == ("new-secret",)


def test_where_the_version_before_lends_nothing_the_document_is_kept_as_ever(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("a-secret"))
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("a-secret") + " ")
    secrets.webhook_clients("argo")
    reads = len(watched.reads)
    clock.sleep(KEPT - 1)
    secrets.webhook_clients("argo")
    assert len(watched.reads) == reads


def test_a_secret_kept_as_bytes_is_read_like_text(watched: Watched, secrets: SecretsManagerClients) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretBinary=document("a-secret").encode())
    assert (secrets.webhook_clients("argo") or ())[0].secrets == ("a-secret",)


def test_a_secret_of_bytes_that_are_no_text_must_not_load(
    watched: Watched, secrets: SecretsManagerClients
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretBinary=b"\xff\xfe")
    with pytest.raises(ClientError, match="is not text"):
        secrets.webhook_clients("argo")


def test_a_secret_marked_for_deletion_is_gone(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("a-secret"))
    assert secrets.webhook_clients("argo")
    watched.client.delete_secret(SecretId=NAME("argo"), RecoveryWindowInDays=7)
    clock.sleep(RENEWED)
    assert secrets.webhook_clients("argo", fresh=True) is None


# Caches


def test_a_document_is_read_once_in_five_minutes(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("a-secret"))
    secrets.webhook_clients("argo")
    reads = len(watched.reads)
    clock.sleep(KEPT - 1)
    secrets.webhook_clients("argo")
    assert len(watched.reads) == reads
    clock.sleep(2)
    secrets.webhook_clients("argo")
    assert len(watched.reads) > reads


def test_asking_for_fresh_clients_reads_at_most_every_five_seconds(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("old-secret"))
    secrets.webhook_clients("argo")
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("new-secret"))
    reads = len(watched.reads)
    for _ in range(10):
        clock.sleep(RENEWED / 11)
        assert (secrets.webhook_clients("argo", fresh=True) or ())[0].secrets == ("old-secret",)
    assert len(watched.reads) == reads
    clock.sleep(RENEWED)
    assert (secrets.webhook_clients("argo", fresh=True) or ())[0].secrets[0] == "new-secret"


def test_a_document_that_must_not_load_is_read_at_most_every_five_seconds_and_mended_soon(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString="{broken")
    for _ in range(5):
        with pytest.raises(ClientError):
            secrets.webhook_clients("argo")
    assert len(watched.reads) == 1
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("a-secret"))
    clock.sleep(RENEWED)
    assert secrets.webhook_clients("argo")


def test_a_secret_made_after_somebody_asked_is_found_soon(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    assert secrets.webhook_clients("argo") is None
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("a-secret"))
    assert secrets.webhook_clients("argo") is None
    clock.sleep(ABSENT)
    assert secrets.webhook_clients("argo")


def test_namespaces_that_strangers_make_up_do_not_fill_the_memory(
    watched: Watched, secrets: SecretsManagerClients
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("a-secret"))
    secrets.webhook_clients("argo")
    watched.failure = AwsError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")
    secrets.webhook_clients("first")
    for number in range(ABSENT_LIMIT):
        secrets.webhook_clients(f"made-up-{number}")
    reads = len(watched.reads)
    assert secrets.webhook_clients("argo")
    assert secrets.webhook_clients(f"made-up-{ABSENT_LIMIT - 1}") is None
    assert len(watched.reads) == reads
    assert secrets.webhook_clients("first") is None
    assert len(watched.reads) == reads + 1


@pytest.mark.parametrize("namespace", ["", "a/b", "../other", "UPPER", "a b", "a" * 64, "argo\n", "ä"])
def test_what_is_no_namespace_never_becomes_part_of_a_secrets_name(
    watched: Watched, secrets: SecretsManagerClients, namespace: str
) -> None:
    assert secrets.webhook_clients(namespace) is None
    assert watched.reads == []


# Outages


def test_while_secrets_manager_is_away_the_last_document_serves(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("a-secret"))
    secrets.webhook_clients("argo")
    watched.failure = AWAY
    for _ in range(3):
        clock.sleep(3 * KEPT)
        assert (secrets.webhook_clients("argo", fresh=True) or ())[0].secrets == ("a-secret",)
    reads = len(watched.reads)
    secrets.webhook_clients("argo", fresh=True)
    assert len(watched.reads) == reads


def test_a_removed_document_is_noticed_as_soon_as_secrets_manager_is_back(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("a-secret"))
    secrets.webhook_clients("argo")
    watched.client.delete_secret(SecretId=NAME("argo"), ForceDeleteWithoutRecovery=True)
    watched.failure = AWAY
    clock.sleep(KEPT)
    assert secrets.webhook_clients("argo")
    watched.failure = None
    clock.sleep(RENEWED)
    assert secrets.webhook_clients("argo") is None


def test_being_away_is_not_remembered(watched: Watched, secrets: SecretsManagerClients) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("a-secret"))
    watched.failure = AWAY
    for _ in range(2):
        with pytest.raises(Unavailable):
            secrets.webhook_clients("argo")
    watched.failure = None
    assert secrets.webhook_clients("argo")


def test_that_a_namespace_had_no_document_does_not_serve_in_an_outage(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    secrets.webhook_clients("argo")
    watched.failure = AWAY
    clock.sleep(ABSENT)
    with pytest.raises(Unavailable):
        secrets.webhook_clients("argo")


def test_an_outage_between_the_two_reads_is_an_outage(
    watched: Watched, secrets: SecretsManagerClients, clock: FakeClock
) -> None:
    watched.client.create_secret(Name=NAME("argo"), SecretString=document("old-secret"))
    watched.client.put_secret_value(SecretId=NAME("argo"), SecretString=document("new-secret"))
    both = watched.get_secret_value

    def current_only(**named: Any) -> Any:
        if named["VersionStage"] == "AWSPREVIOUS":
            raise AWAY
        return both(**named)

    watched.get_secret_value = current_only  # type: ignore[method-assign]  # the service fails, not our code
    with pytest.raises(Unavailable):
        secrets.webhook_clients("argo")


@pytest.mark.parametrize(
    "code,kind",
    [
        ("ThrottlingException", Throttled),
        ("AccessDeniedException", Unavailable),
        ("DecryptionFailure", Unavailable),
        ("InternalServiceError", Unavailable),
    ],
)
def test_an_error_of_secrets_manager_names_the_secret_and_the_code(
    watched: Watched, secrets: SecretsManagerClients, code: str, kind: type
) -> None:
    watched.failure = AwsError({"Error": {"Code": code, "Message": "text"}}, "GetSecretValue")
    with pytest.raises(kind, match=f"lynceus-test/argo/webhook-clients: {code}"):
        secrets.webhook_clients("argo")


def test_the_client_gives_up_before_the_sender_does() -> None:
    config = secrets_client("us-east-1").meta.config
    assert config.connect_timeout <= 1
    assert config.read_timeout <= 3
    assert timedelta(seconds=config.retries["total_max_attempts"] * 4) <= timedelta(seconds=8)
