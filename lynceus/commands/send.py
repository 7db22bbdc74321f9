"""Send a sample delivery, signed as its sender would sign it, and show the answer.

  lynceus send github push --secret "$SECRET"
  lynceus send slack url_verification --to https://…/api/v1/events/argo/ --secret-file -
  lynceus send generic-hmac done --secret "$SECRET" --option header=X-Sig --option encoding=base64

Without a sample's name it lists those of the sender. A delivery sent twice under one --event-id is a
redelivery, which Lynceus answers with the first one's event id.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from chalicelib.core.clients import parse_clients
from chalicelib.core.errors import Unavailable
from chalicelib.core.providers import PROVIDERS
from lynceus.output import DONE, NO, Output
from lynceus.senders import Request, option, sample, sample_names, signed

HELP = "send a signed sample delivery and show the answer"
LOCAL = "http://127.0.0.1:2746/api/v1/events/argo/"
TIMEOUT = urllib3.Timeout(connect=5, read=30)  # seconds; GitHub itself waits ten


def arguments(parser: argparse.ArgumentParser) -> None:
    """The sender, the sample, where to send it and how it is signed."""
    senders = [sender for sender in PROVIDERS if sender != "sns"]
    parser.add_argument("type", choices=senders, metavar="SENDER", help=", ".join(senders))
    parser.add_argument("sample", nargs="?", help="the sample's name; without one, the names are listed")
    parser.add_argument(
        "--to", metavar="URL", default="", help=f"the webhook's URL (default: LYNCEUS_WEBHOOK_URL or {LOCAL})"
    )
    parser.add_argument("--secret", default="", help="the webhook client's secret (shells remember it)")
    parser.add_argument(
        "--secret-file", metavar="PATH", type=_text_file, help="read the secret from a file, - for stdin"
    )
    parser.add_argument(
        "--option",
        metavar="NAME=VALUE",
        type=option,
        action="append",
        default=[],
        help="an option of the webhook client that decides how deliveries are signed; may be repeated",
    )
    parser.add_argument("--event-id", metavar="ID", default="", help="the delivery's id (default: a new one)")
    parser.add_argument(
        "--body", metavar="PATH", type=_binary_file, help="send this file instead of the sample's body"
    )
    parser.add_argument("--show", action="store_true", help="show the request, and send nothing")


def run(options: argparse.Namespace, out: Output) -> int:
    """Prints status, event id and body of the answer; 0 for 2xx."""
    if options.sample is None:
        out.line("\n".join(sample_names(options.type)))
        out.data(sample_names(options.type))
        return DONE
    request = sample(options.type, options.sample, options.event_id)
    secret = (options.secret_file or options.secret).rstrip("\n")
    entry = {"type": options.type, "secret": secret, **dict(options.option)}
    (client,) = parse_clients(json.dumps({"sender": entry}))
    if options.body is not None:
        request = Request(request.headers, options.body, request.query)
    request = signed(request, client, int(time.time()))
    if options.show:
        out.line("\n".join(f"{name}: {value}" for name, value in request.headers.items()))
        out.line("\n" + request.body.decode(errors="replace"))
        out.data({"headers": dict(request.headers), "body": request.body.decode(errors="replace")})
        return DONE
    return _send(request, options.to or os.environ.get("LYNCEUS_WEBHOOK_URL", LOCAL), out)


def _text_file(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _binary_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _send(request: Request, url: str, out: Output) -> int:
    if request.query:
        url += ("&" if "?" in url else "?") + urlencode(request.query)
    try:
        response = urllib3.PoolManager(timeout=TIMEOUT, retries=False).request(
            "POST", url, body=request.body, headers=dict(request.headers)
        )
    except urllib3.exceptions.HTTPError as error:
        # The URL may hold a token.
        raise Unavailable(f"{url.partition('?')[0]} does not answer: {type(error).__name__}") from error
    answer: dict[str, Any] = {
        "status": response.status,
        "eventId": response.headers.get("Lynceus-Event-Id", ""),
        "duplicate": "Lynceus-Duplicate" in response.headers,
        "body": response.data.decode(errors="replace"),
    }
    ok = 200 <= response.status < 300
    out.line(f"{response.status} {response.reason or ''}".rstrip(), colour="green" if ok else "red")
    if answer["eventId"]:
        said = " (had this delivery already)" if answer["duplicate"] else ""
        out.line(f"Lynceus-Event-Id: {answer['eventId']}{said}")
    out.line(answer["body"])
    out.data(answer)
    return DONE if ok else NO
