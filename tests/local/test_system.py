"""What the local system is made of fits together: demo, rights, isolation, and the lines people watch."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import expressions
from chalicelib.core.bindings import binding_from_object, match
from chalicelib.core.errors import Misconfigured
from chalicelib.core.events import Account, Event
from lynceus.local import demos
from lynceus.local.amazon import Amazon, overwrite
from lynceus.local.kubernetes import Cluster
from lynceus.local.systems import GROUPS, TEMPLATE, RealCluster, functions_kubeconfig, isolate
from lynceus.local.watches import Watch
from lynceus.output import Output
from tests.local.test_amazon import forget

NOON = "2026-11-21T12:00:00+00:00"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(tls=False) as cluster:
        cluster.apply(demos.objects())
        yield cluster


@pytest.mark.parametrize(
    "function,verb,resource,name,allowed",
    [
        ("lynceus-api", "list", "workfloweventbindings", "", True),
        ("lynceus-api", "create", "workflows", "", False),
        ("lynceus-submit", "get", "workflows", "build-1", True),
        ("lynceus-submit", "create", "workflows", "", False),
        ("lynceus-submit", "get", "workflowtemplates", "build", False),
        ("lynceus-submit_cron", "create", "workflows", "", True),
        ("lynceus-submit_cron", "list", "workfloweventbindings", "", False),
        ("lynceus-tick", "list", "cronworkflows", "", True),
        ("lynceus-tick", "create", "workflows", "", False),
    ],
)
def test_each_function_has_the_rights_of_its_own_group_and_no_others(
    cluster: Cluster, tmp_path: Path, function: str, verb: str, resource: str, name: str, allowed: bool
) -> None:
    config = yaml.safe_load(functions_kubeconfig(cluster, tmp_path))
    token = next(user["user"]["token"] for user in config["users"] if user["name"] == function)
    user, _ = cluster.tokens.user_of(token)
    assert cluster.allowed(user, verb, resource, group="argoproj.io", namespace="argo", name=name) is allowed
    assert not cluster.allowed(user, "list", "secrets", namespace="argo")


def test_the_kubeconfig_has_a_context_for_every_function(cluster: Cluster, tmp_path: Path) -> None:
    config = yaml.safe_load(functions_kubeconfig(cluster, tmp_path))
    assert {context["name"] for context in config["contexts"]} == set(GROUPS)


def test_the_worker_may_act_as_the_demos_accounts_and_as_no_other(cluster: Cluster, tmp_path: Path) -> None:
    config = yaml.safe_load(functions_kubeconfig(cluster, tmp_path))
    token = next(user["user"]["token"] for user in config["users"] if user["name"] == "lynceus-submit")
    user, _ = cluster.tokens.user_of(token)
    may = {
        name
        for name in ("github.com", "ci", "default", "other")
        if cluster.allowed(user, "impersonate", "serviceaccounts", namespace="argo", name=name)
    }
    assert may == {"github.com", "ci"}


def test_the_demos_bindings_match_the_pushes_they_are_for() -> None:
    from datetime import datetime

    bindings = [binding_from_object(raw) for raw in demos.objects() if raw["kind"] == "WorkflowEventBinding"]
    payload = {
        "ref": "refs/heads/feature/x",
        "after": "0123456789",
        "deleted": False,
        "repository": {"full_name": "octo/rocket"},
    }

    def matched(payload: object, discriminator: str, kind: str) -> dict[str, str]:
        event = Event(
            id="e",
            namespace="argo",
            discriminator=discriminator,
            metadata={"x-github-event": [kind]},
            payload=payload,
            received_at=datetime.fromisoformat(NOON),
            account=Account("argo", "github.com"),
        )
        matching = match(event, bindings)
        assert {verdict.outcome for verdict in matching.verdicts} <= {"matched", "not-matched"}
        return {one.source: dict(one.parameters).get("branch", "") for one in matching.submissions}

    pull = {"head": {"sha": "0123", "ref": "topic", "repo": {"full_name": "octo/rocket"}}}
    assert matched(payload, "github", "push") == {"push": "feature/x"}
    assert matched({**payload, "deleted": True}, "github", "push") == {}
    assert matched({"action": "opened", "pull_request": pull}, "github", "pull_request") == {
        "pull-request": "topic"
    }
    assert matched({"action": "closed", "pull_request": pull}, "github", "pull_request") == {}
    assert matched({"message": "hello"}, "say", "") == {"message": ""}
    assert matched({}, "github", "star") == {}


def test_every_selector_of_the_demo_compiles() -> None:
    for raw in demos.objects():
        if raw["kind"] == "WorkflowEventBinding":
            assert expressions.compile(raw["spec"]["event"]["selector"])


def test_the_webhook_secret_is_made_once_and_clients_added_by_hand_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import boto3

    forget()
    amazon = Amazon(TEMPLATE, "local")
    amazon.start()
    fakes: dict[str, str] = {}
    overwrite(fakes, amazon.endpoint)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in fakes.items():
        monkeypatch.setenv(name, value)
    try:
        secret = demos.webhook_secret("local")
        assert len(secret) >= 32
        assert demos.webhook_secret("local") == secret
        document = yaml.safe_dump(
            {
                "other": {"type": "gitlab", "secret": "abcdefghijklmnopqrst"},
                "github.com": {"type": "github", "secret": secret},
            }
        )
        boto3.client("secretsmanager").put_secret_value(
            SecretId="lynceus-local/argo/webhook-clients", SecretString=document
        )
        assert demos.webhook_secret("local") == secret
    finally:
        amazon.stop()
        forget()


def test_settings_that_lead_elsewhere_are_taken_out_and_those_for_tuning_stay() -> None:
    environment = {
        "KUBECONFIG": "/real",
        "LYNCEUS_STAGE": "prod",
        "LYNCEUS_CLUSTER_NAME": "production",
        "LYNCEUS_KUBE_CONTEXT": "production",
        "LYNCEUS_DOOR_SECONDS": "1",
        "no_proxy": "example.com",
        "PATH": "/bin",
    }
    isolate(environment)
    assert environment == {
        "LYNCEUS_DOOR_SECONDS": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "example.com,127.0.0.1,localhost",
        "PATH": "/bin",
    }


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"kubeconfig .*/absent: No such file or directory"):
        RealCluster.read(tmp_path / "absent")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["current-context", "contexts", "clusters", "name", "context", "cluster"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_a_kubeconfig_or_refused(document: object) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(json.dumps(document))
        file.flush()
        try:
            RealCluster.read(Path(file.name))
        except Misconfigured as error:
            message = error.message
        else:
            message = ""
    assert message == "" or "names no usable current context" in message


def watched(tmp_path: Path, *lines: object, quiet: bool = False) -> tuple[list[str], list[str]]:
    """What is told and what is kept of the lines."""
    told = io.StringIO()
    watch = Watch(Output(colour=False, stdout=told), tmp_path / "log", quiet=quiet)
    for line in lines:
        watch.write(line if isinstance(line, str) else json.dumps(line) + "\n")
    watch.close()
    return [line[10:] for line in told.getvalue().splitlines()], (tmp_path / "log").read_text().splitlines()


def test_one_line_is_told_for_an_event_and_one_for_its_workflow(tmp_path: Path) -> None:
    event = {
        "event": "event.accepted",
        "level": "INFO",
        "namespace": "argo",
        "provider": "github",
        "event_type": "push",
        "bindings": 3,
        "submissions": 1,
    }
    workflow = {"event": "workflow.created", "namespace": "argo", "workflow": "build-x", "binding": "push"}
    told, kept = watched(tmp_path, event, {"_aws": {}, "event": "metrics"}, workflow)
    assert told == [
        "event     argo  github push  1 of 3 bindings matched",
        "workflow  argo/build-x  created for push",
    ]
    assert len(kept) == 3


def test_an_error_that_has_no_words_of_its_own_is_told_with_its_fields(tmp_path: Path) -> None:
    told, _ = watched(tmp_path, {"event": "tick.failed", "level": "ERROR", "part": "cron", "stage": "local"})
    assert told == ["error     tick.failed part=cron"]


def test_what_a_stranger_sent_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    told, _ = watched(
        tmp_path, {"event": "request.refused", "status": 401, "detail": "\x1b[2J\r\nfake line\x07"}
    )
    assert told == ["refused     401   [2J  fake line "]


def test_a_quiet_watch_keeps_and_tells_nothing(tmp_path: Path) -> None:
    told, kept = watched(tmp_path, {"event": "workflow.created"}, quiet=True)
    assert told == []
    assert len(kept) == 1


def test_a_line_written_in_pieces_is_one_line(tmp_path: Path) -> None:
    told, kept = watched(tmp_path, "plain ", "words", "\n")
    assert kept == ["plain words"]
    assert told == ["output    plain words"]


@given(st.text(max_size=60))
def test_any_text_is_kept_and_ends_nothing(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        _, kept = watched(Path(directory), text.replace("\n", " ") + "\n")
        assert len(kept) <= len(text.splitlines()) + 1
