"""The Lynceus API as the command line speaks to it: a URL, a token, a namespace.

The token is the person's own, of the cluster; it is sent to the API and stored nowhere. With --local it is taken
from the kubeconfig that `make run` wrote, and the URL from its environment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
import yaml

from chalicelib.core.bindings import duration_of
from chalicelib.core.errors import LynceusError, Misconfigured, Throttled, Unavailable
from lynceus.output import Misused, Output

LOCAL = "http://127.0.0.1:2746"
TIMEOUT = urllib3.Timeout(connect=5, read=35)  # seconds; API Gateway ends a request at 29
WHY = "docs/why-did-it-not-run.md"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where the API is and who asks."""
    parser.add_argument("--url", metavar="URL", default="", help=f"the API (default: LYNCEUS_URL or {LOCAL})")
    parser.add_argument(
        "--token",
        default="",
        help="a token of the cluster (default: LYNCEUS_TOKEN; --local takes the local administrator's)",
    )
    parser.add_argument(
        "-n", "--namespace", default="", help="the namespace (default: LYNCEUS_NAMESPACE or argo)"
    )


class Refused(LynceusError):
    """The API said no; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.hint = _HINTS.get(status, "")


_HINTS = {
    401: "give a token: --token, LYNCEUS_TOKEN (kubectl create token …), or --local",
    403: "rights: infra/kubernetes/rbac.yaml has the roles lynceus-viewer, -reader and -replayer to bind",
}


class Api:
    """One namespace of the API, as one person."""

    def __init__(self, url: str, token: str, namespace: str) -> None:
        self.url = url.rstrip("/")
        self.namespace = namespace
        self._token = token
        self._pool = urllib3.PoolManager(timeout=TIMEOUT, retries=False)

    @classmethod
    def of(cls, options: argparse.Namespace) -> Api:
        """The API that options and environment name; raises Misconfigured without a token, Misused."""
        token = (options.token or os.environ.get("LYNCEUS_TOKEN", "")).strip()
        if not token and getattr(options, "local", False):
            token = local_token()
        url = options.url or os.environ.get("LYNCEUS_URL", LOCAL)
        if not token:
            error = Misconfigured("no token: the API answers nobody without one")
            error.hint = _HINTS[401]  # type: ignore[attr-defined]  # what `main` prints below a message
            raise error
        if not re.fullmatch(r"[ -~]+", token):
            raise Misused("the token holds a character that no token has: was it copied whole?")
        if not re.match(r"https?://[^/]", url):
            raise Misused(f'"{url}" is no URL of an API: write https://…')
        namespace = options.namespace or os.environ.get("LYNCEUS_NAMESPACE", "argo")
        return cls(url, token, namespace)

    def get(self, *path: str, **query: str) -> Any:
        """The answer to a question about the namespace; names of the path are quoted here."""
        return self._ask("GET", path, query)

    def post(self, *path: str, wish: Mapping[str, Any]) -> Any:
        """The answer to a wish."""
        return self._ask("POST", path, {}, wish)

    def delete(self, *path: str) -> Any:
        """The answer to a deletion."""
        return self._ask("DELETE", path, {})

    def events(self, since: datetime | None, **filters: str) -> Iterator[dict[str, Any]]:
        """The heads of events that fit, newest first, day after day until `since` or the end of what is kept."""
        query = {name: value for name, value in filters.items() if value}
        day, cursor = query.pop("day", ""), ""
        one_day = bool(day)
        while True:
            page = self.get("events", **query, **({"day": day} if day else {}), cursor=cursor)
            for item in page["items"]:
                if since is not None and datetime.fromisoformat(item["receivedAt"]) < since:
                    return
                yield item
            cursor, day = page["cursor"], page["day"]
            if not cursor:
                day = page["olderDay"]
                if not day or one_day or (since is not None and day < since.date().isoformat()):
                    return

    def _ask(self, method: str, path: tuple[str, ...], query: Mapping[str, str], wish: Any = None) -> Any:
        names = "/".join(quote(name, safe="") for name in (self.namespace, *path))
        url = f"{self.url}/api/v1/lynceus/{names}"
        if query:
            url += "?" + urlencode(query)
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        body = None
        if wish is not None:
            body = json.dumps(wish).encode()
            headers["Content-Type"] = "application/json"
        try:
            response = self._pool.request(method, url, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            failed = Unavailable(f"{self.url} does not answer: {type(error).__name__}")
            failed.hint = "is it deployed, or running (make run)? say where with --url or LYNCEUS_URL"  # type: ignore[attr-defined]  # as above
            raise failed from error
        return _answer_of(response.status, response.data, self.url)


def _answer_of(status: int, data: bytes, url: str) -> Any:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if status == 200 and value is not None:
        return value
    message = value.get("message") if isinstance(value, dict) else ""
    text = str(message or f"{url} answered {status} and no JSON: is this the Lynceus API?")
    if status == 429:
        raise Throttled(text)
    if status >= 500 or value is None:
        raise Unavailable(text)
    raise Refused(status, text)


def local_token() -> str:
    """The token of the administrator of the local cluster, from the kubeconfig beside its environment file."""
    path = Path(os.environ.get("LYNCEUS_KUBECONFIG", ".lynceus/functions.kubeconfig")).with_name("kubeconfig")
    try:
        config = yaml.safe_load(path.read_text())
        return str(config["users"][0]["user"]["token"])
    except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError):
        raise Misconfigured(f"{path} holds no token: give one with --token") from None


def moment_of(text: str, now: datetime) -> datetime | None:
    """The moment that a person writes: a time with its zone, or how long ago (15m, 6h, 2d); None for "".

    Raises Misused.
    """
    if not text:
        return None
    try:
        return now - duration_of(text)
    except Misconfigured:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Misused(
            f'"{text[:40]}" is no time: write 2026-11-21T10:00:00Z, or how long ago, such as 6h'
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def at_least(least: float, kind: Callable[[str], float] = int) -> Callable[[str], Any]:
    """What reads a number of an option that is so large or larger; argparse makes the rest a usage error."""

    def number(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = least - 1
        if not least <= value < 1e9:  # of nan, too
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least:g} on")
        return value

    return number


def tell_message(message: str, out: Output, indent: str = "  ") -> None:
    """Say a message of one or more lines; the later ones may be a place in an expression."""
    for line in message.splitlines():
        out.line(f"{indent}{line}")


def _filled(told: Mapping[str, Any]) -> str:
    """What to do, with the names of what is told of in place of EVENT and WORKFLOW."""
    event = told.get("event") or (told.get("cause") if told.get("kind") == "event" else "") or "EVENT"
    names = {"EVENT": event, "WORKFLOW": told.get("workflow") or "WORKFLOW"}
    return re.sub(r"\b(EVENT|WORKFLOW)\b", lambda found: names[found[1]], str(told["do"]))


def tell_reason(told: Mapping[str, Any], out: Output, indent: str = "  ") -> None:
    """Say what a reason means, what to do about it, and where its paragraph is."""
    tell_message(told.get("message", ""), out, indent)
    if told.get("means"):
        out.line(f"{indent}{told['means']}", colour="dim")
    if told.get("do"):
        out.line(f"{indent}do: {_filled(told)}")
    if told.get("reason"):
        out.line(f"{indent}see: {WHY}#{told['reason']}", colour="dim")
