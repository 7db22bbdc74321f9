"""What the packaged functions meet in AWS, on this machine: moto's AWS, a Kubernetes API, and EKS's door to it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import boto3

from lynceus.local import demos
from lynceus.local.amazon import Amazon
from lynceus.local.kubernetes import Cluster
from lynceus.local.kubernetes.tokens import TokenError, User

ROOT = Path(__file__).resolve().parents[2]
STAGE = "dev"
SECRET = "It's a Secret to Everybody"  # GitHub's own example
# Function → handler in app.py, and the group that its access entry names.
FUNCTIONS = {
    "api_handler": ("app.app", "lynceus:api"),
    "tick": ("app.tick", "lynceus:tick"),
    "submit": ("app.submit", "lynceus:submit"),
    "submit_cron": ("app.submit_cron", "lynceus:cron"),
}
CLUSTER_NAME = "observatory"


@dataclass
class World:
    """AWS and the cluster, and how a function finds them."""

    amazon: Amazon
    cluster: Cluster

    def client(self, service: str) -> Any:
        """A client of moto's AWS."""
        return boto3.client(
            service,
            endpoint_url=self.amazon.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def environment(self, function: str) -> dict[str, str]:
        """The function's variables in Lambda: credentials of its role, the settings of .chalice/config.json."""
        return {
            "AWS_ACCESS_KEY_ID": access_key(function),
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.amazon.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "LYNCEUS_STAGE": STAGE,
            "LYNCEUS_NAMESPACES": "argo",
            "LYNCEUS_CLUSTER_NAME": CLUSTER_NAME,
            "LYNCEUS_CLUSTER_ENDPOINT": self.cluster.url,
            "LYNCEUS_CLUSTER_CA": base64.b64encode(self.cluster.ca_pem.encode()).decode(),
            "LYNCEUS_CRON": "active",
        }

    def fail(self, *services: str) -> None:
        """Let these services of AWS be away, and no others."""
        request = Request(
            f"{self.amazon.endpoint}/lynceus/outages", json.dumps(services).encode(), method="PUT"
        )
        with urlopen(request) as answer:
            assert answer.status == 200

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """The messages of a queue, taken off it, as Lambda's poller hands them over."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=f"lynceus-{STAGE}-{queue}")["QueueUrl"]
        taken = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0, VisibilityTimeout=0
        ).get("Messages", [])
        for message in taken:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return taken


def access_key(function: str) -> str:
    """The access key id of a function's role here."""
    return f"AKIA{function.replace('_', '').upper()}"


def admit_roles(cluster: Cluster) -> None:
    """Let the cluster take EKS tokens of the functions' roles, each as the group its access entry names.

    Checks what EKS checks of a token's form; whose signature it is, STS would say.
    Source: kubernetes-sigs/aws-iam-authenticator pkg/token/token.go.
    """
    users = {
        access_key(name): User(
            f"arn:aws:sts::123456789012:assumed-role/lynceus-{STAGE}-{name}/x", "", (group,)
        )
        for name, (_, group) in FUNCTIONS.items()
    }
    others = cluster.tokens.user_of

    def user_of(token: str, *audiences: Any) -> tuple[User, list[str]]:
        if not token.startswith("k8s-aws-v1."):
            return others(token, *audiences)
        raw = token.removeprefix("k8s-aws-v1.")
        url = urlsplit(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)).decode())
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        key = query.get("X-Amz-Credential", "").partition("/")[0]
        signed = query.get("X-Amz-SignedHeaders", "").split(";")
        if query.get("Action") != "GetCallerIdentity" or "x-k8s-aws-id" not in signed or key not in users:
            raise TokenError("invalid bearer token")
        return users[key], ["https://kubernetes.default.svc"]

    cluster.tokens.user_of = user_of  # type: ignore[method-assign]


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """The demo's objects in the cluster, its GitHub client in Secrets Manager, empty queues and ledger."""
    amazon = Amazon(ROOT / "infra/resources.yaml", STAGE)
    amazon.start()
    cluster = Cluster(folder / "cluster")
    admit_roles(cluster)
    cluster.start()
    try:
        cluster.apply(demos.objects())
        made = World(amazon, cluster)
        clients = {"github.com": {"type": "github", "secret": SECRET}}
        made.client("secretsmanager").create_secret(
            Name=f"lynceus-{STAGE}/argo/webhook-clients", SecretString=json.dumps(clients)
        )
        yield made
    finally:
        cluster.stop()
        # moto's memory is the process's: the next world would find this one's secret.
        urlopen(Request(f"{amazon.endpoint}/moto-api/reset", method="POST")).close()
        amazon.stop()


def push(delivery: str, secret: str = SECRET) -> dict[str, Any]:
    """A signed GitHub push as API Gateway hands it to a function, its body in base64."""
    body = json.dumps(
        {
            "ref": "refs/heads/main",
            "after": "1481a2de7b2a7d02428ad93446ab166be7793fbb",
            "deleted": False,
            "repository": {"full_name": "octo/hello"},
        }
    ).encode()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Hook-ID": "1",
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }
    path = "/api/v1/events/{namespace}/{discriminator}"
    return {
        "resource": path,
        "path": "/api/v1/events/argo/github",
        "httpMethod": "POST",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"namespace": "argo", "discriminator": "github"},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": path,
            "httpMethod": "POST",
            "path": "/lynceus/api/v1/events/argo/github",
            "requestId": f"request-{delivery}",
            "identity": {"sourceIp": "192.0.2.1"},
            "requestTimeEpoch": int(time.time() * 1000),
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def records(messages: list[dict[str, Any]], queue: str) -> dict[str, Any]:
    """The event of a queue's messages."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:lynceus-{STAGE}-{queue}",
                "awsRegion": "us-east-1",
            }
            for message in messages
        ]
    }


def minute() -> dict[str, Any]:
    """The event of the schedule."""
    return {
        "version": "0",
        "id": "5c6d6f2f-0000-4000-8000-000000000000",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime()),
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/lynceus-dev-tick"],
        "detail": {},
    }
