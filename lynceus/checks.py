"""Each prerequisite really tried: one check, one line, and where it is red one command that repairs it.

A check is a row of CHECKS: a name and a function that raises, or returns what it saw. It tries the thing itself, with
the identity that will need it where that can be had (locally each function has its own), never a setting alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3
import yaml

from chalicelib.core.clients import parse_clients
from chalicelib.core.errors import BadRequest, LynceusError, Unavailable
from chalicelib.core.events import Account
from chalicelib.settings import Settings
from lynceus.clusters import ARGO, Cluster
from lynceus.commands.clients import Document, round_trip

GOOD, WARNING, BAD = "good", "warning", "bad"
SKEW = timedelta(seconds=30)  # Slack and Stripe refuse five minutes; tokens of the cluster less
TICK = 180.0  # seconds: three ticks

IDENTITY = "aws sts get-caller-identity  # are these the credentials and the region that were meant?"

# A Workflow that any controller would take, and that is never made: it is sent with dryRun=All.
WORKFLOW = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "metadata": {"generateName": "lynceus-doctor-"},
    "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]},
}


@dataclass(frozen=True)
class Check:
    """What one prerequisite looks like."""

    name: str
    state: str
    told: str
    repair: str = ""  # one command


class Ill(Exception):  # not an error of ours: a finding
    """The thing is there and not as it should be."""

    def __init__(self, told: str, repair: str = "", *, state: str = BAD) -> None:
        super().__init__(told)
        self.told, self.repair, self.state = told, repair, state


@dataclass
class Surroundings:
    """What the checks look at, found once."""

    settings: Settings
    namespaces: tuple[str, ...]
    url: str
    kubeconfig: str = ""
    context: str = ""
    aws: Callable[[str], Any] = field(default=lambda service: _aws(service))
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _clusters: dict[str, Cluster] = field(default_factory=dict)

    def cluster(self, function: str = "") -> Cluster:
        """The cluster as the person; or as the function, where its identity can be had here."""
        contexts = self._functions()
        wanted = f"lynceus-{function}" if function and f"lynceus-{function}" in contexts else ""
        if wanted not in self._clusters:
            self._clusters[wanted] = (
                Cluster.of(self.settings.kubeconfig, wanted)
                if wanted
                else Cluster.of(self.kubeconfig, self.context)
            )
        return self._clusters[wanted]

    def is_function(self, function: str) -> bool:
        """True when the function's own identity can be had here."""
        return f"lynceus-{function}" in self._functions()

    def _functions(self) -> set[str]:
        if not self.settings.kubeconfig:
            return set()
        try:
            with open(self.settings.kubeconfig, encoding="utf-8") as file:  # noqa: PTH123  # a text from settings
                return {str(each["name"]) for each in yaml.safe_load(file)["contexts"]}
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            return set()

    def document(self, namespace: str) -> Document:
        """The namespace's webhook clients."""
        return Document(self.aws("secretsmanager"), self.settings.clients_secret(namespace), namespace)

    def clients(self, namespace: str) -> list[str]:
        """The names of its webhook clients; none where they cannot be read, which has a line of its own."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return list(self.document(namespace).read() or ())
        except (LynceusError, BotoCoreError, ClientError):
            return []


def _aws(service: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,  # type: ignore[call-overload]  # the stubs want a literal
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None,
        config=Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2}),
    )


def run(around: Surroundings) -> Iterator[Check]:
    """Every check, one after the other."""
    for name, check, per, repair in CHECKS:
        if per == "":
            yield _tried(name, check, (around,), repair)
            continue
        for namespace in around.namespaces:
            if per == "namespace":
                yield _tried(f"{name} {namespace}", check, (around, namespace), repair)
                continue
            for client in around.clients(namespace):
                yield _tried(f"{name} {namespace}/{client}", check, (around, namespace, client), repair)


def _tried(name: str, check: Callable[..., str], subject: tuple[Any, ...], repair: str) -> Check:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    around, namespace, *_ = (*subject, "")
    repair = repair.format(stage=around.settings.stage, namespace=namespace)
    try:
        return Check(name, GOOD, check(*subject))
    except Ill as ill:
        return Check(name, ill.state, ill.told, ill.repair or repair)
    except ClientError as error:
        told = error.response["Error"]
        return Check(name, BAD, f"{told['Code']}: {told.get('Message', '')}"[:300], IDENTITY)
    except NoRegionError as error:
        return Check(name, BAD, f"AWS: {error}", "export AWS_REGION=us-east-1  # where it is deployed")
    except NoCredentialsError as error:
        return Check(name, BAD, f"AWS: {error}", "aws configure  # or export AWS_PROFILE=…")
    except BotoCoreError as error:
        return Check(name, BAD, f"AWS: {error}", IDENTITY)
    except LynceusError as error:
        return Check(name, BAD, error.message[:300], getattr(error, "hint", "") or repair)


# AWS


def _ledger(around: Surroundings) -> str:
    settings = around.settings
    client = around.aws("dynamodb")
    try:
        table = client.describe_table(TableName=settings.table)["Table"]
    except client.exceptions.ResourceNotFoundException:
        raise Ill(
            f"table {settings.table} does not exist", f"lynceus deploy --stage {settings.stage}"
        ) from None
    indexes = {index["IndexName"] for index in table.get("GlobalSecondaryIndexes", ())}
    if not {"by-time", "outbox"} <= indexes:
        raise Ill(
            f"{settings.table} lacks an index: it has {', '.join(sorted(indexes)) or 'none'}",
            f"lynceus deploy --stage {settings.stage}",
        )
    client.get_item(TableName=settings.table, Key={"pk": {"S": "health"}, "sk": {"S": "cluster"}})
    return f"{settings.table}, {table['TableStatus'].lower()}, read"


def _queue(around: Surroundings, name: str) -> dict[str, str]:
    client = around.aws("sqs")
    try:
        url = client.get_queue_url(QueueName=name)["QueueUrl"]
    except client.exceptions.QueueDoesNotExist:
        raise Ill(f"queue {name} does not exist", f"lynceus deploy --stage {around.settings.stage}") from None
    wanted = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    found: dict[str, str] = client.get_queue_attributes(QueueUrl=url, AttributeNames=wanted)["Attributes"]
    return found


def _queues(around: Surroundings) -> str:
    told = []
    for name in (around.settings.submissions_queue, around.settings.cron_queue):
        found = _queue(around, name)
        told.append(f"{name} {found['ApproximateNumberOfMessages']} waiting")
    return ", ".join(told)


def _dead_letters(around: Surroundings) -> str:
    waiting = int(_queue(around, around.settings.dead_letter_queue)["ApproximateNumberOfMessages"])
    if waiting:
        raise Ill(f"{waiting} messages that nobody could read", "lynceus dlq list")
    return "none waiting"


def _secret(around: Surroundings, namespace: str) -> str:
    document = around.document(namespace)
    entries = document.read()
    put = f"lynceus clients put NAME --type SENDER -n {namespace}"
    if entries is None:
        raise Ill(f"{document.name} does not exist: only callers with tokens can send", put, state=WARNING)
    clients = parse_clients(yaml.safe_dump(entries))
    warned = [f"{client.name}: {warning}" for client in clients for warning in client.warnings]
    if warned:
        raise Ill("; ".join(warned), f"lynceus clients list -n {namespace}", state=WARNING)
    return f"{len(clients)} webhook clients"


def _signature(around: Surroundings, namespace: str, client: str) -> str:
    entries = around.document(namespace).read() or {}
    try:
        return round_trip(entries, client, around.now())
    except BadRequest as error:
        return error.message
    except LynceusError as error:
        detail = getattr(error, "detail", "") or error.message
        raise Ill(f"a sample signed with its secret is refused: {detail}",
                  f"lynceus clients test {client} -n {namespace}") from None  # fmt: skip


# The cluster


def _cluster(around: Surroundings) -> str:
    cluster = around.cluster()
    version = cluster.ask("GET", "/version")
    return f"{cluster.name}, {version.get('gitVersion', '?')}"


def _clock(around: Surroundings) -> str:
    cluster = around.cluster()
    cluster.ask("GET", "/version")
    if not cluster.date:
        return "the cluster does not tell its time"
    skew = abs(around.now() - parsedate_to_datetime(cluster.date))
    if skew > SKEW:
        raise Ill(f"this clock and the cluster's differ by {skew.total_seconds():.0f} s", "chronyc makestep")
    return f"within {max(1.0, skew.total_seconds()):.0f} s of the cluster's"


def _bindings(around: Surroundings, namespace: str) -> str:
    found = around.cluster("api").ask(
        "GET", f"{ARGO}/namespaces/{namespace}/workfloweventbindings", query={"limit": "1"}
    )
    more = (found.get("metadata") or {}).get("remainingItemCount", 0)
    count = len(found.get("items") or ()) + int(more)
    if not count:
        raise Ill(
            "listed, and there is none: no event can start anything",
            f"kubectl -n {namespace} apply -f …",
            state=WARNING,
        )
    return f"{count} listed as {_who(around, 'api')}"


def _crons(around: Surroundings, namespace: str) -> str:
    found = around.cluster("tick").ask(
        "GET", f"{ARGO}/namespaces/{namespace}/cronworkflows", query={"limit": "1"}
    )
    more = (found.get("metadata") or {}).get("remainingItemCount", 0)
    return f"{len(found.get('items') or ()) + int(more)} listed as {_who(around, 'tick')}"


def _who(around: Surroundings, function: str) -> str:
    return f"the {function} function" if around.is_function(function) else "yourself"


def _account(around: Surroundings, namespace: str, client: str) -> str:
    if around.cluster().find(f"/api/v1/namespaces/{namespace}/serviceaccounts/{client}") is None:
        raise Ill(
            f'ServiceAccount "{client}" does not exist',
            f"kubectl -n {namespace} create serviceaccount {client}",
        )
    # Both look at its uid: what a namesake was never allowed is not done for it.
    for function in ("api", "submit"):
        try:
            around.cluster(function).ask("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{client}")
        except LynceusError as error:
            raise Ill(error.message, _edit_roles(namespace, client)) from None
    return "the ServiceAccount exists and may be looked at"


def _edit_roles(namespace: str, client: str) -> str:
    return (
        f"kubectl -n {namespace} edit role lynceus-api lynceus-submit  # add {client} to each resourceNames"
    )


def _create(around: Surroundings, namespace: str, client: str) -> str:
    """Impersonate the account and create a Workflow, by server dry run."""
    account = Account(namespace, client)
    body: dict[str, Any] = {**WORKFLOW, "metadata": {**WORKFLOW["metadata"], "namespace": namespace}}  # type: ignore[dict-item]
    try:
        around.cluster("submit").ask(
            "POST",
            f"{ARGO}/namespaces/{namespace}/workflows",
            body,
            query={"dryRun": "All"},
            headers={"Impersonate-User": account.username},
        )
    except LynceusError as error:
        if "impersonate" in error.message:
            raise Ill(error.message, _edit_roles(namespace, client)) from None
        role = f"lynceus-{client.replace('.', '-')}"
        kubectl = f"kubectl -n {namespace} create"
        raise Ill(
            error.message,
            f"{kubectl} role {role} --verb=get,create "
            "--resource=workflows.argoproj.io,workflowtemplates.argoproj.io && "
            f"{kubectl} rolebinding {role} --role={role} --serviceaccount={namespace}:{client}",
        ) from None
    return f"{_who(around, 'submit')} may act as it, and it may create Workflows (server dry run)"


# The API


def _api(around: Surroundings) -> str:
    if not around.url:
        raise Ill("no URL: say --url or LYNCEUS_URL", "export LYNCEUS_URL=https://…", state=WARNING)
    try:
        answer = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=15), retries=False).request(
            "GET", f"{around.url.rstrip('/')}/api/v1/lynceus/heartbeat"
        )
        told = answer.json()
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise Unavailable(f"{around.url} does not answer as Lynceus does: {type(error).__name__}") from error
    if not isinstance(told, dict) or not told.get("ticked"):
        raise Ill(
            "the tick has never run", f"aws events list-rules --name-prefix lynceus-{around.settings.stage}"
        )
    if told["secondsAgo"] > TICK:
        raise Ill(
            f"the tick ran {told['secondsAgo']:.0f} s ago",
            f"aws logs tail /aws/lambda/lynceus-{around.settings.stage}-tick",
        )
    if not told["clusterUp"]:
        raise Ill(
            f"the tick cannot reach the cluster since {told['since']}",
            f"aws logs tail /aws/lambda/lynceus-{around.settings.stage}-tick",
        )
    return f"answers; the tick ran {told['secondsAgo']:.0f} s ago and sees the cluster"


_READ_CLIENTS = (
    "aws secretsmanager get-secret-value --secret-id lynceus-{stage}/{namespace}/webhook-clients "
    "--query SecretString --output text | lynceus lint -"
)
_CLUSTER = "kubectl cluster-info"
_RIGHTS = "kubectl -n {namespace} apply -f infra/kubernetes/rbac.yaml"

# The name; what is tried; once, for each namespace, or for each webhook client; and what repairs it where the check
# itself knows nothing better.
CHECKS: tuple[tuple[str, Callable[..., str], str, str], ...] = (
    ("ledger", _ledger, "", "lynceus deploy --stage {stage}"),
    ("queues", _queues, "", "lynceus deploy --stage {stage}"),
    ("dead letters", _dead_letters, "", "lynceus dlq list"),
    ("clients", _secret, "namespace", _READ_CLIENTS),
    ("signature", _signature, "client", "lynceus clients list -n {namespace}"),
    ("cluster", _cluster, "", _CLUSTER),
    ("clock", _clock, "", _CLUSTER),
    ("bindings", _bindings, "namespace", _RIGHTS),
    ("crons", _crons, "namespace", _RIGHTS),
    ("account", _account, "client", _CLUSTER),
    ("create", _create, "client", _CLUSTER),
    ("api", _api, "", "lynceus deploy --stage {stage}"),
)
