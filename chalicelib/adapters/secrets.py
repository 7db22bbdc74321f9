"""The webhook clients in Secrets Manager, one secret for each namespace.

A document is kept for five minutes, so a rotation would be noticed late; therefore whoever fails to
authenticate makes the door ask again (`fresh`), at most every five seconds for a namespace, whatever strangers
send. After a rotation the version before lends its secrets for 24 hours, so that senders can be changed one by
one; taking the label AWSPREVIOUS off that version ends it at once, so what is lent is kept for five seconds only
(rule 15).

When Secrets Manager is away, what was last read keeps serving, however old: a removed client is refused at the
next read that succeeds. Being away is never remembered as an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from chalicelib.core.errors import ClientError, Throttled, Unavailable
from chalicelib.core.events import RFC1123_LABEL
from chalicelib.core.webhooks import WebhookClient, parse_clients, with_previous
from chalicelib.ports import Clock

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_secretsmanager.type_defs import GetSecretValueResponseTypeDef

KEPT = 300.0  # seconds that a document serves
ABSENT = 15.0  # seconds that a namespace without a secret stays without: whoever creates one soon tries again
RENEWED = 5.0  # seconds between two reads for one namespace, at least
LENT = timedelta(hours=24)  # how long the version before lends its secrets
ABSENT_LIMIT = 1000  # namespaces without a secret that are remembered: strangers choose the names

_THROTTLED = frozenset({"ThrottlingException", "Throttling", "RequestLimitExceeded"})


def secrets_client(region: str) -> SecretsManagerClient:
    """A client that gives up soon: a sender is waiting."""
    import boto3
    from botocore.config import Config

    patience = Config(
        connect_timeout=1, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2}
    )
    return boto3.client("secretsmanager", region_name=region, config=patience)


@dataclass(frozen=True)
class _Entry:
    """What a read said, with times of the monotonic clock."""

    clients: tuple[WebhookClient, ...] | None
    serves_until: float
    asked_at: float
    problem: str = ""  # why the document must not load


class SecretsManagerClients:
    """The Secrets port over AWS Secrets Manager; `name` gives the secret's name for a namespace."""

    def __init__(
        self, client: Callable[[], SecretsManagerClient], name: Callable[[str], str], clock: Clock
    ) -> None:
        self._make_client = client
        self._made: SecretsManagerClient | None = None
        self._name = name
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: dict[str, _Entry] = {}
        self._absent: dict[str, _Entry] = {}

    def webhook_clients(self, namespace: str, *, fresh: bool = False) -> tuple[WebhookClient, ...] | None:
        """See `chalicelib.ports.Secrets.webhook_clients`."""
        # The namespace becomes part of a secret's name, so nothing but a label may get there (rule 13).
        if not RFC1123_LABEL.fullmatch(namespace):
            return None
        with self._lock:
            entry = self._entries.get(namespace) or self._absent.get(namespace)
            entry = self._renewed(namespace, entry, fresh)
        if entry.problem:
            raise ClientError(entry.problem)
        return entry.clients

    def _renewed(self, namespace: str, entry: _Entry | None, fresh: bool) -> _Entry:
        now = self._clock.monotonic()
        if entry and (now - entry.asked_at < RENEWED or (now < entry.serves_until and not fresh)):
            return entry
        try:
            read = self._read(namespace, now)
        except Unavailable:
            if entry is None or entry.clients is None:
                raise
            read = replace(entry, asked_at=now)
        self._remember(namespace, read)
        return read

    def _remember(self, namespace: str, entry: _Entry) -> None:
        if entry.clients is not None or entry.problem:
            self._absent.pop(namespace, None)
            self._entries[namespace] = entry
            return
        self._entries.pop(namespace, None)
        self._absent.pop(namespace, None)
        self._absent[namespace] = entry
        if len(self._absent) > ABSENT_LIMIT:
            del self._absent[next(iter(self._absent))]  # the one asked for longest ago

    def _read(self, namespace: str, now: float) -> _Entry:
        secret = self._name(namespace)
        current = self._version(secret, "AWSCURRENT")
        if current is None:
            return _Entry(None, now + ABSENT, now)
        try:
            clients = parse_clients(_document(current, secret))
        except ClientError as error:
            return _Entry(None, now + RENEWED, now, error.message)
        # The current version is as old as the rotation.
        left = (current["CreatedDate"] + LENT - self._clock.now()).total_seconds()
        if left <= 0:
            return _Entry(clients, now + KEPT, now)
        previous = self._version(secret, "AWSPREVIOUS")
        lent = _lent(clients, previous, secret) if previous is not None else clients
        return _Entry(lent, now + min(KEPT if lent == clients else RENEWED, left), now)

    def _version(self, secret: str, stage: str) -> GetSecretValueResponseTypeDef | None:
        """The version of the secret with this label, None where there is none."""
        import botocore.exceptions as raised

        if self._made is None:
            self._made = self._make_client()
        try:
            return self._made.get_secret_value(SecretId=secret, VersionStage=stage)
        except raised.ClientError as error:
            told: Any = error.response.get("Error", {})
            code, message = str(told.get("Code", "")), str(told.get("Message", ""))
            # A secret marked for deletion is gone for us at once: its clients are revoked.
            marked = code == "InvalidRequestException" and "delet" in message.lower()
            if code == "ResourceNotFoundException" or marked:
                return None
            kind = Throttled if code in _THROTTLED else Unavailable
            raise kind(f"Secrets Manager did not give {secret}: {code}") from error
        except raised.BotoCoreError as error:
            raise Unavailable(f"Secrets Manager did not give {secret}: {type(error).__name__}") from error


def _document(version: Mapping[str, Any], secret: str) -> str:
    if "SecretString" in version:
        return str(version["SecretString"])
    try:
        return bytes(version["SecretBinary"]).decode()
    except UnicodeDecodeError:
        raise ClientError(f"the secret {secret} is not text: store the clients as YAML or JSON") from None


def _lent(
    clients: tuple[WebhookClient, ...], previous: Mapping[str, Any], secret: str
) -> tuple[WebhookClient, ...]:
    """The clients with the secrets they had before; a version that does not load lends nothing."""
    try:
        return with_previous(clients, parse_clients(_document(previous, secret)))
    except ClientError:
        return clients
