"""The webhook clients of a namespace: who may send, and how they prove it.

  lynceus clients list
  lynceus clients put github.com --type github                 a new secret is made and shown once
  lynceus clients put ci --type generic-hmac --secret-file - --option header=X-Sig
  lynceus clients rotate github.com                            the old secret counts for 24 hours more
  lynceus clients rotate github.com --revoke                   it ends now
  lynceus clients test github.com                              sign a sample, and judge it as the door does
  lynceus clients import                                       take Argo's argo-workflows-webhook-clients

They are one document in AWS Secrets Manager, lynceus-<stage>/<namespace>/webhook-clients; AWS credentials of yours are
used. Every change is checked before it is stored, and secrets are never shown again.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from chalicelib.core.clients import entries_of, parse_clients, with_previous
from chalicelib.core.errors import BadRequest, ClientError, LynceusError, NotFound, Unavailable
from chalicelib.core.events import RFC1123_LABEL, Delivery
from chalicelib.core.providers import PROVIDERS
from chalicelib.core.webhooks import authenticate
from chalicelib.settings import Settings, from_environment
from lynceus import senders
from lynceus.output import DONE, NO, Output

HELP = "put, list, rotate, test and import webhook clients"
ARGO_SECRET = "argo-workflows-webhook-clients"  # noqa: S105  # a name
LENT_HOURS = 24


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `clients`."""
    verbs = parser.add_subparsers(dest="what", metavar="VERB", required=True)
    for name, (help_text, _) in _VERBS.items():
        verb = verbs.add_parser(name, help=help_text, description=help_text)
        verb.add_argument("-o", "--output", choices=("human", "json", "yaml"), default=argparse.SUPPRESS)
        verb.add_argument(
            "--local", action="store_true", default=argparse.SUPPRESS, help="see lynceus --help"
        )
        verb.add_argument("--stage", default="", help="the stage (default: LYNCEUS_STAGE or dev)")
        verb.add_argument(
            "-n", "--namespace", default="", help="the namespace (default: LYNCEUS_NAMESPACE or argo)"
        )
        if name in ("put", "rotate", "test", "remove"):
            verb.add_argument("client", help="its name: a ServiceAccount of the namespace")
        if name in ("put", "rotate"):
            verb.add_argument(
                "--secret-file", metavar="PATH", help="the secret, - for stdin (default: a new one)"
            )
        if name == "put":
            verb.add_argument("--type", required=True, choices=sorted(PROVIDERS), metavar="SENDER",
                              help=", ".join(sorted(PROVIDERS)))  # fmt: skip
            verb.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", type=senders.option,
                              help="an option of docs/webhook-clients.md, a list as [a, b]; repeatable")  # fmt: skip
        if name == "rotate":
            verb.add_argument(
                "--revoke", action="store_true", help="end the secret of before at once; makes no new one"
            )
        if name == "import":
            verb.add_argument("--from", dest="source", type=Path, metavar="FILE",
                              help="the Secret's YAML (default: read it from the cluster)")  # fmt: skip
            verb.add_argument(
                "--kubeconfig", default="", help="of that cluster (default: kubectl's; --local knows)"
            )
            verb.add_argument("--context", default="", help="its context (default: the current one)")
        if name in ("put", "rotate", "import", "remove"):
            verb.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace, out: Output) -> int:
    """One verb."""
    _, verb = _VERBS[options.what]
    return int(verb(Document.of(options), options, out))


class Document:
    """The clients document of one namespace in Secrets Manager."""

    def __init__(self, client: Any, name: str, namespace: str) -> None:
        self.name, self.namespace = name, namespace
        self._client = client

    @classmethod
    def of(cls, options: argparse.Namespace) -> Document:
        """The document that options and environment name; raises BadRequest for an impossible namespace."""
        import boto3

        from chalicelib.adapters.secrets import secrets_client

        found = from_environment()
        settings: Settings = replace(found, stage=options.stage) if options.stage else found
        namespace = options.namespace or os.environ.get("LYNCEUS_NAMESPACE", "argo")
        if not RFC1123_LABEL.fullmatch(namespace):
            raise BadRequest(f'namespace "{namespace[:80]}" is not a DNS label (RFC 1123)')
        # As where `lynceus deploy` puts the stage: what Lambda calls AWS_REGION has other names for people.
        region = os.environ.get("AWS_REGION") or boto3.Session().region_name or settings.region
        return cls(secrets_client(region), settings.clients_secret(namespace), namespace)

    def read(self) -> dict[str, Any] | None:
        """The entries, None where there is no document yet; raises ClientError for one that cannot be read."""
        try:
            answer = self._call("get_secret_value", SecretId=self.name)
        except NotFound:
            return None
        return entries_of(str(answer.get("SecretString") or ""))

    def write(self, entries: Mapping[str, Any]) -> None:
        """Store the entries as the version that counts, once they load; raises ClientError."""
        text = yaml.safe_dump(dict(entries), sort_keys=False, allow_unicode=True)
        parse_clients(text)
        try:
            self._call("put_secret_value", SecretId=self.name, SecretString=text)
        except NotFound:
            self._call(
                "create_secret", Name=self.name, SecretString=text,
                Description=f"Webhook clients of namespace {self.namespace} (Lynceus)",
            )  # fmt: skip

    def lending(self, now: datetime) -> list[str]:
        """The clients whose secrets of before still count, which the next change ends: only one version lends."""
        try:
            current = self._call("get_secret_value", SecretId=self.name)
            before = self._call("get_secret_value", SecretId=self.name, VersionStage="AWSPREVIOUS")
            clients = parse_clients(str(current.get("SecretString") or ""))
            lent = with_previous(clients, parse_clients(str(before.get("SecretString") or "")))
        except (NotFound, ClientError):
            return []
        if now - current["CreatedDate"] > timedelta(hours=LENT_HOURS):
            return []
        return [
            client.name for client, has in zip(lent, clients, strict=True) if client.secrets != has.secrets
        ]

    def previous(self) -> str:
        """The version that still lends its secrets, "" where none does."""
        versions = self._call("describe_secret", SecretId=self.name).get("VersionIdsToStages") or {}
        return next((str(version) for version, stages in versions.items() if "AWSPREVIOUS" in stages), "")

    def revoke(self, version: str) -> None:
        """Let the version lend nothing any more."""
        self._call(
            "update_secret_version_stage",
            SecretId=self.name,
            VersionStage="AWSPREVIOUS",
            RemoveFromVersionId=version,
        )

    def _call(self, operation: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError
        from botocore.exceptions import ClientError as Refused

        try:
            return getattr(self._client, operation)(**arguments)
        except Refused as error:
            code = error.response["Error"]["Code"]
            if code == "ResourceNotFoundException":
                raise NotFound(f"secret {self.name} does not exist: lynceus clients put") from error
            raise Unavailable(f"Secrets Manager: {operation} of {self.name}: {code}") from error
        except BotoCoreError as error:
            raise Unavailable(f"Secrets Manager does not answer: {error}") from error


def _existing(document: Document) -> dict[str, Any]:
    entries = document.read()
    if entries is None:
        raise NotFound(f"secret {document.name} does not exist: lynceus clients put")
    return entries


def _entry(document: Document, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    entries = _existing(document)
    if not isinstance(entries.get(name), dict):
        raise NotFound(f'there is no webhook client "{name}"; there are: {", ".join(entries) or "none"}')
    return entries, dict(entries[name])


def _agreed(document: Document, question: str, options: argparse.Namespace, out: Output) -> bool:
    """Whether a change may be stored; with "" it is asked only where the change ends what is still lent."""
    lending = document.lending(datetime.now(UTC))
    if lending:
        out.line(
            f"the secrets of before still count for {', '.join(lending)}; this change ends that: "
            "senders that sign with them are refused",
            colour="yellow",
        )
        question = question or "change it all the same?"
    return not question or out.confirm(question, yes=options.yes)


def _list(document: Document, _options: argparse.Namespace, out: Output) -> int:
    entries = document.read()
    clients = parse_clients(yaml.safe_dump(entries)) if entries else ()
    rows: list[dict[str, Any]] = [
        {
            "name": client.name,
            "type": client.type,
            "secrets": len(client.secrets),
            "discriminators": ", ".join(sorted(client.discriminators))
            if client.discriminators is not None
            else "any",
            "events": ", ".join(sorted(client.events)) if client.events is not None else "all",
            "warnings": list(client.warnings),
        }
        for client in clients
    ]
    out.data({"secret": document.name, "clients": rows})
    out.table(rows, ("name", "type", "secrets", "discriminators", "events"))
    for row in rows:
        for warning in row["warnings"]:
            out.line(f"{row['name']}: {warning}", colour="yellow")
    if not rows:
        out.line(f"{document.name} {'does not exist' if entries is None else 'holds no client'}")
    return DONE


def _put(document: Document, options: argparse.Namespace, out: Output) -> int:
    entries = document.read() or {}
    entry: dict[str, Any] = {"type": options.type}
    made = ""
    if options.type != "sns":
        made = "" if options.secret_file else secrets.token_hex(20)
        entry["secret"] = made or _secret_of(options.secret_file)
    entry |= dict(options.option)
    known = options.client in entries
    replacing = f'replace webhook client "{options.client}" of {document.namespace}?' if known else ""
    if not _agreed(document, replacing, options, out):
        return NO
    document.write({**entries, options.client: entry})
    out.line(f'webhook client "{options.client}" {"replaced" if known else "added"} in {document.name}')
    _show_once(made, out)
    out.data({"secret": document.name, "client": options.client, **({"made": made} if made else {})})
    return DONE


def _show_once(made: str, out: Output) -> None:
    if made:
        out.line(f"secret: {made}")
        out.line("  give it to the sender now; it is not shown again", colour="dim")


def _secret_of(source: str) -> str:
    return (sys.stdin.read() if source == "-" else Path(source).read_text()).rstrip("\r\n")


def _rotate(document: Document, options: argparse.Namespace, out: Output) -> int:
    entries, entry = _entry(document, options.client)
    if options.revoke:
        version = document.previous()
        if not version:
            out.line("no secret of before counts any more")
            return DONE
        names = ", ".join(entries)
        if not out.confirm(
            f"end the secrets of before for all {len(entries)} clients ({names})?", yes=options.yes
        ):
            return NO
        document.revoke(version)
        out.line("the secrets of before do not count any more, within five seconds")
        out.data({"revoked": version})
        return DONE
    made = "" if options.secret_file else secrets.token_hex(20)
    entry.pop("secrets", None)
    entry["secret"] = made or _secret_of(options.secret_file)
    if not _agreed(document, f'give webhook client "{options.client}" a new secret?', options, out):
        return NO
    document.write({**entries, options.client: entry})
    out.line(
        f'webhook client "{options.client}" has a new secret; the one before counts for {LENT_HOURS} hours'
    )
    _show_once(made, out)
    out.line("  end it sooner: lynceus clients rotate … --revoke", colour="dim")
    out.data({"client": options.client, **({"made": made} if made else {})})
    return DONE


def _remove(document: Document, options: argparse.Namespace, out: Output) -> int:
    entries, _ = _entry(document, options.client)
    if not _agreed(document, f'refuse "{options.client}" from now on?', options, out):
        return NO
    document.write({name: entry for name, entry in entries.items() if name != options.client})
    out.line(f'webhook client "{options.client}" removed: it is refused within five minutes')
    out.data({"removed": options.client})
    return DONE


def round_trip(entries: Mapping[str, Any], name: str, now: datetime) -> str:
    """Sign a sample as the client's sender would and judge it as the door does; what was recognised.

    Raises LynceusError where it is not accepted, BadRequest where nobody but the sender can sign.
    """
    clients = parse_clients(yaml.safe_dump(dict(entries)))
    client = next(each for each in clients if each.name == name)
    samples = senders.sample_names(client.type)
    if not samples:
        raise BadRequest(f"there is no sample of {client.type}: only the sender itself can sign")
    request = senders.signed(senders.sample(client.type, samples[-1]), client, int(now.timestamp()))
    discriminator = next(iter(sorted(client.discriminators)), "") if client.discriminators else ""
    query = {key: [value] for key, value in request.query.items()}
    delivery = Delivery("argo", discriminator, "POST", [*request.headers.items()], query, request.body, now)
    found = authenticate(delivery, clients)
    return f"{samples[-1]} is accepted as {found.client.name}"


def _test(document: Document, options: argparse.Namespace, out: Output) -> int:
    entries, _ = _entry(document, options.client)
    try:
        told = round_trip(entries, options.client, datetime.now(UTC))
    except LynceusError as error:
        detail = getattr(error, "detail", "") or error.message
        out.error(f'"{options.client}": a sample signed with its secret is refused: {detail}')
        out.data({"client": options.client, "accepted": False, "detail": detail})
        return NO
    out.line(f"{told}: secret and options fit together", colour="green")
    out.line("  through the deployed door: lynceus send … --to URL --secret-file …", colour="dim")
    out.data({"client": options.client, "accepted": True})
    return DONE


def _import(document: Document, options: argparse.Namespace, out: Output) -> int:
    raw = yaml.safe_load(options.source.read_text()) if options.source else _argo_secret(document, options)
    found = argo_entries(raw)
    entries = document.read() or {}
    new = {name: entry for name, entry in found.items() if entries.get(name) != entry}
    for name, entry in found.items():
        kind = entry.get("type", "?") if isinstance(entry, dict) else "?"
        out.line(
            f"  {name}  {kind}  {'new' if name not in entries else 'changed' if name in new else 'as it is'}"
        )
    if not new:
        out.line("nothing to import")
        out.data({"imported": []})
        return DONE
    # Checked before anybody is asked: an empty secret, which Argo takes, loads nowhere here.
    parse_clients(yaml.safe_dump({**entries, **new}))
    if not _agreed(document, f"store {len(new)} webhook clients in {document.name}?", options, out):
        return NO
    document.write({**entries, **new})
    out.line(f"{len(new)} webhook clients imported into {document.name}")
    out.data({"imported": sorted(new)})
    return DONE


def _argo_secret(document: Document, options: argparse.Namespace) -> Any:
    from lynceus.clusters import Cluster

    cluster = Cluster.of(options.kubeconfig, options.context)
    raw = cluster.find(f"/api/v1/namespaces/{document.namespace}/secrets/{ARGO_SECRET}")
    if raw is None:
        raise NotFound(
            f'secret "{ARGO_SECRET}" does not exist in namespace "{document.namespace}" of {cluster.name}'
        )
    return raw


def argo_entries(raw: Any) -> dict[str, Any]:
    """The clients in Argo's Secret; raises ClientError for an object that is none."""
    if not isinstance(raw, dict) or raw.get("kind") != "Secret":
        raise ClientError(f"that is no Secret: kubectl get secret {ARGO_SECRET} -o yaml gives one")
    texts: dict[str, str] = {}
    for name, value in (raw.get("data") or {}).items():
        try:
            texts[name] = base64.b64decode(str(value), validate=True).decode()
        except (binascii.Error, ValueError):
            raise ClientError(f'data "{name}" of the Secret is no base64 of a text') from None
    texts |= {name: str(value) for name, value in (raw.get("stringData") or {}).items()}
    return entries_of(yaml.safe_dump(texts))


_VERBS = {
    "list": ("who may send", _list),
    "put": ("add a client, or replace it", _put),
    "rotate": ("give a client a new secret, or end the one of before", _rotate),
    "remove": ("refuse a client from now on", _remove),
    "test": ("sign a sample with a client's secret and judge it", _test),
    "import": ("take over Argo's webhook clients", _import),
}
