"""Play a sender: sample deliveries, written and signed as the real one would.

A sample is a file `samples/<type>/<name>.json`: the sender's headers, and a `body` (JSON) or a `form` (fields).
`{id}` in it stands for the delivery's id. What proves the sender is not in the file: it follows from the
webhook client, whose type, secret and options are those of the clients document.
"""

from __future__ import annotations

import argparse
import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from chalicelib.core.clients import WebhookClient
from chalicelib.core.errors import BadRequest, NotFound
from chalicelib.core.signatures import (
    Basic,
    Either,
    Hmac,
    Scheme,
    StandardWebhooks,
    Stripe,
    Token,
    encoded,
    filled,
    is_form,
    key_of,
)

SAMPLES = Path(__file__).with_name("samples")


@dataclass(frozen=True)
class Request:
    """A delivery ready to be sent."""

    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str] = field(default_factory=dict)


def option(written: str) -> tuple[str, Any]:
    """Name and value of `NAME=VALUE`: true, false, a list in brackets, otherwise the text as it is written.

    Other than lists it is not YAML, to which a template `{timestamp}.{body}` is broken and a user name 0123 a number.
    Raises ArgumentTypeError.
    """
    name, separator, value = written.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{written}: write NAME=VALUE")
    if value in ("true", "false"):
        return name, value == "true"
    if not value.startswith("["):
        return name, value
    try:
        return name, yaml.load(value, yaml.BaseLoader)  # noqa: S506  # texts only
    except yaml.YAMLError:
        raise argparse.ArgumentTypeError(f"{written}: write a list as [a, b]") from None


def sample_names(type: str) -> list[str]:
    """The names of the samples of a sender, sorted; empty for a sender without any."""
    return sorted(path.stem for path in (SAMPLES / type).glob("*.json"))


def sample(type: str, name: str, delivery_id: str = "") -> Request:
    """The sample, not signed yet; `delivery_id` is a new UUID where none is given. Raises NotFound."""
    if name not in sample_names(type):
        known = ", ".join(sample_names(type)) or "none"
        raise NotFound(f'no sample "{name}" of {type}; there are: {known}')
    text = (SAMPLES / type / f"{name}.json").read_text(encoding="utf-8")
    document = json.loads(text.replace("{id}", delivery_id or str(uuid.uuid4())))
    if "form" in document:
        fields = {
            key: value if isinstance(value, str) else _json(value) for key, value in document["form"].items()
        }
        content_type, body = "application/x-www-form-urlencoded", urlencode(fields)
    else:
        content_type, body = document.get("content_type", "application/json"), _json(document["body"])
    return Request({"Content-Type": content_type, **document["headers"]}, body.encode())


def signed(request: Request, client: WebhookClient, now: int) -> Request:
    """The request with what proves the client's sender; `now` is Unix seconds.

    Raises BadRequest for a sender whose private key nobody but itself has.
    """
    headers, query = dict(request.headers), dict(request.query)
    _prove(client.scheme, client.secrets[:1], request, headers, query, str(now))
    return Request(headers, request.body, query)


def _prove(
    scheme: Scheme,
    secrets: tuple[str, ...],
    request: Request,
    headers: dict[str, str],
    query: dict[str, str],
    timestamp: str,
) -> None:
    match scheme, secrets:
        case Hmac(), (secret,):
            delivery_id = headers.setdefault(scheme.id_header, str(uuid.uuid4())) if scheme.id_header else ""
            if scheme.timestamp_header:
                headers[scheme.timestamp_header] = timestamp
            body = _form_payload(request) if scheme.form_payload else request.body
            fields = {"body": body, "timestamp": timestamp.encode(), "id": delivery_id.encode()}
            mac = hmac.digest(secret.encode(), filled(scheme.template, fields), scheme.algorithm)
            headers[scheme.header] = scheme.prefix + encoded(mac, scheme.encoding)
        case StandardWebhooks(), (secret,) if not secret.startswith("whpk_"):
            # GitLab's signed id is its Idempotency-Key.
            delivery_id = headers.get("Idempotency-Key") or f"msg_{uuid.uuid4()}"
            mac = hmac.digest(key_of(secret), f"{delivery_id}.{timestamp}.".encode() + request.body, "sha256")
            headers[scheme.header_prefix + "id"] = delivery_id
            headers[scheme.header_prefix + "timestamp"] = timestamp
            headers[scheme.header] = "v1," + encoded(mac, "base64")
        case Stripe(), (secret,):
            mac = hmac.digest(secret.encode(), f"{timestamp}.".encode() + request.body, "sha256")
            headers[scheme.header] = f"t={timestamp},v1={mac.hex()}"
        case Token(), (secret,):
            (query if scheme.in_query else headers)[scheme.header] = scheme.prefix + secret
        case Basic(), (secret,):
            headers[scheme.header] = "Basic " + encoded(f"{scheme.username}:{secret}".encode(), "base64")
        case Either(), (secret,):
            _prove(
                scheme.signed if secret.startswith("whsec_") else scheme.token,
                secrets,
                request,
                headers,
                query,
                timestamp,
            )
        case _:
            raise BadRequest("only the sender itself holds the private key that signs these deliveries")


def _form_payload(request: Request) -> bytes:
    if not is_form({"content-type": [request.headers["Content-Type"]]}, request.body):
        return request.body
    from urllib.parse import parse_qs

    return parse_qs(request.body.decode())["payload"][0].encode()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
