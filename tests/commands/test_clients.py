"""`lynceus clients`: the document is changed one client at a time, and never to one that must not load."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from chalicelib.adapters.clocks import SystemClock
from chalicelib.adapters.secrets import SecretsManagerClients
from chalicelib.core.signatures import Hmac
from chalicelib.core.webhooks import parse_clients
from lynceus.__main__ import main

NAME = "lynceus-dev/argo/webhook-clients"


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "LYNCEUS_STAGE", "LYNCEUS_NAMESPACE", "LYNCEUS_KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("secretsmanager", "us-east-1")


def stored(manager: Any) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load(manager.get_secret_value(SecretId=NAME)["SecretString"])
    return value


def test_put_makes_a_document_with_a_secret_that_is_shown_once(
    manager: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clients", "put", "github.com", "--type", "github"]) == 0
    shown = capsys.readouterr().out
    main(["clients", "list"])

    secret = stored(manager)["github.com"]["secret"]
    assert secret in shown
    assert secret not in capsys.readouterr().out


def test_put_leaves_the_other_clients_as_they_are_written(manager: Any, tmp_path: Path) -> None:
    manager.create_secret(
        Name=NAME, SecretString="a: {type: github, secret: 0123}\nb: 'type: gitlab\n\n  secret: x'\n"
    )
    (tmp_path / "secret").write_text("new\n")

    code = main(["clients", "put", "c", "--type", "generic-hmac", "--secret-file", str(tmp_path / "secret"),
                 "--option", "header=X-Sig", "--option", "verdicts=true"])  # fmt: skip

    clients = {
        client.name: client
        for client in parse_clients(manager.get_secret_value(SecretId=NAME)["SecretString"])
    }
    assert code == 0
    assert [clients[name].secrets for name in "abc"] == [("0123",), ("x",), ("new",)]
    assert clients["c"].verdicts is True


def test_options_are_texts_as_they_are_written_but_for_lists_and_yes_or_no(manager: Any) -> None:
    words = ["put", "a", "--type", "generic-hmac"]
    for option in (
        "header=X-Sig", "template={timestamp}.{body}", "timestamp_header=X-Ts", "tolerance=60", "prefix=0123",
        "events=[Push Hook, 5]", 'discriminators=["a"]', "verdicts=true",
    ):  # fmt: skip
        words += ["--option", option]

    assert main(["clients", *words]) == 0

    (client,) = parse_clients(manager.get_secret_value(SecretId=NAME)["SecretString"])
    assert isinstance(client.scheme, Hmac)
    assert (client.scheme.template, client.scheme.tolerance, client.scheme.prefix) == (
        "{timestamp}.{body}",
        60,
        "0123",
    )
    assert (client.events, client.discriminators, client.verdicts) == ({"Push Hook", "5"}, {"a"}, True)
    assert main(["clients", "test", "a"]) == 0


@pytest.mark.parametrize("option", ["header", "events=[a"])
def test_an_option_that_cannot_be_read_is_a_mistake_of_usage(manager: Any, option: str) -> None:
    assert main(["clients", "put", "a", "--type", "generic-hmac", "--option", option]) == 2
    assert manager.list_secrets()["SecretList"] == []


def test_a_client_is_replaced_only_after_a_yes(manager: Any) -> None:
    main(["clients", "put", "a", "--type", "github"])
    before = stored(manager)

    assert main(["clients", "put", "a", "--type", "gitea"]) == 1
    assert stored(manager) == before
    assert main(["clients", "put", "a", "--type", "gitea", "--yes"]) == 0
    assert stored(manager)["a"]["type"] == "gitea"


@pytest.mark.parametrize(
    "words",
    [
        ["put", "Not A Name", "--type", "github"],
        ["put", "a", "--type", "github", "--option", "headr=x"],
        ["put", "a", "--type", "generic-hmac", "--option", "header=authorization; drop"],
        ["put", "a", "--type", "github", "-n", "a/b"],
    ],
)
def test_what_must_not_load_is_never_stored(manager: Any, words: list[str]) -> None:
    assert main(["clients", *words]) == 1
    assert manager.list_secrets()["SecretList"] == []


def test_rule_15_after_a_rotation_both_secrets_count_and_after_a_revocation_one(manager: Any) -> None:
    main(["clients", "put", "a", "--type", "github"])
    old = stored(manager)["a"]["secret"]

    main(["clients", "rotate", "a", "--yes"])
    new = stored(manager)["a"]["secret"]
    rotated = read(manager)
    code = main(["clients", "rotate", "a", "--revoke", "--yes"])

    assert rotated == (new, old)
    assert (code, read(manager)) == (0, (new,))


def test_rule_15_a_change_that_ends_what_is_still_lent_is_made_only_after_a_yes(
    manager: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["clients", "put", "a", "--type", "github"])
    main(["clients", "rotate", "a", "--yes"])
    rotated = read(manager)
    capsys.readouterr()

    assert main(["clients", "put", "b", "--type", "gitlab"]) == 1
    assert "still count for a" in capsys.readouterr().out
    assert read(manager) == rotated
    assert main(["clients", "put", "b", "--type", "gitlab", "--yes"]) == 0
    assert read(manager) == rotated[:1]


def read(manager: Any) -> tuple[str, ...]:
    """The secrets that count, as the door reads them."""
    port = SecretsManagerClients(lambda: manager, lambda namespace: NAME, SystemClock())
    clients = port.webhook_clients("argo")
    assert clients is not None
    return clients[0].secrets


def test_a_removed_client_is_gone(manager: Any) -> None:
    main(["clients", "put", "a", "--type", "github"])

    assert main(["clients", "remove", "a"]) == 1
    assert main(["clients", "remove", "a", "--yes"]) == 0
    assert stored(manager) == {}


def test_test_signs_a_sample_and_judges_it(manager: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["clients", "put", "a", "--type", "slack"])
    main(
        [
            "clients",
            "put",
            "b",
            "--type",
            "sns",
            "--option",
            "topic_arns=[arn:aws:sns:us-east-1:123456789012:t]",
        ]
    )

    assert main(["clients", "test", "a"]) == 0
    assert main(["clients", "test", "b"]) == 1  # only SNS itself can sign
    assert main(["clients", "test", "nobody"]) == 1
    assert "there are: a, b" in capsys.readouterr().err


def test_import_takes_argos_secret_and_is_nothing_the_second_time(
    manager: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = base64.b64encode(b"type: github\nsecret: '0123'\n").decode()
    path = tmp_path / "secret.yaml"
    path.write_text(yaml.safe_dump({"kind": "Secret", "data": {"github.com": entry}}))

    assert main(["clients", "import", "--from", str(path)]) == 1
    assert main(["clients", "import", "--from", str(path), "--yes"]) == 0
    capsys.readouterr()
    main(["clients", "import", "--from", str(path), "--yes", "-o", "json"])

    assert json.loads(capsys.readouterr().out) == {"imported": []}
    assert stored(manager)["github.com"] == {"type": "github", "secret": "0123"}


def test_import_refuses_the_empty_secret_that_argo_takes(manager: Any, tmp_path: Path) -> None:
    path = tmp_path / "secret.yaml"
    path.write_text(yaml.safe_dump({"kind": "Secret", "stringData": {"a": "type: github\nsecret: ''\n"}}))

    assert main(["clients", "import", "--from", str(path), "--yes"]) == 1
    assert manager.list_secrets()["SecretList"] == []
