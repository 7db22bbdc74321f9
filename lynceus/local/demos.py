"""What a stranger's first webhook finds: the objects of `demos.yaml`, and a webhook client with a secret.

The secret is made once for each state directory and lies, as in AWS, in the namespace's document in Secrets
Manager; an existing document is left alone, so that clients added by hand survive a restart.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import boto3
import yaml

from chalicelib.core.webhooks import parse_clients

NAMESPACE = "argo"
CLIENT = "github.com"
OBJECTS = Path(__file__).with_suffix(".yaml")
RIGHTS = Path(__file__).resolve().parents[2] / "infra" / "kubernetes" / "rbac.yaml"

_CLUSTER_WIDE = ("Namespace", "ClusterRole", "ClusterRoleBinding")


def objects() -> list[dict[str, Any]]:
    """The demo's objects, and before them the rights of our functions as a real cluster gets them."""
    namespace, *rest = yaml.safe_load_all(OBJECTS.read_text())
    return [namespace, *rights(), *rest]


def rights() -> list[dict[str, Any]]:
    """The functions' Roles and bindings in the demo's namespace, as `kubectl apply -k infra/kubernetes` makes them."""
    documents = [document for document in yaml.safe_load_all(RIGHTS.read_text()) if document]
    for document in documents:
        if document["kind"] not in _CLUSTER_WIDE:
            document["metadata"]["namespace"] = NAMESPACE
    return documents


def webhook_secret(stage: str) -> str:
    """The secret that signs the demo's GitHub deliveries; made, with its client, where there is none yet."""
    manager = boto3.client("secretsmanager")
    name = f"lynceus-{stage}/{NAMESPACE}/webhook-clients"
    try:
        document = manager.get_secret_value(SecretId=name)["SecretString"]
    except manager.exceptions.ResourceNotFoundException:
        secret = secrets.token_hex(20)
        text = yaml.safe_dump({CLIENT: {"type": "github", "secret": secret}})
        manager.create_secret(Name=name, SecretString=text)
        return secret
    return next((client.secrets[0] for client in parse_clients(document) if client.name == CLIENT), "")
