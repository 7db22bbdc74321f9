"""API Gateway on this machine: HTTP in, the REST proxy event to the function, its answer out.

It differs from Chalice's own local server where that one differs from API Gateway: bodies arrive in base64 as
`binary_types */*` has them, chunked ones too; a repeated header keeps all its values, and the last one in
`headers`; path parameters stay percent-encoded; 10 MB is the limit. Gateway answers that are not the
function's own have the form that the deployed API gives them.
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import json
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from chalicelib.core.errors import LynceusError, NotImplementedHere
from lynceus.local.bodies import DRAIN_LIMIT, drain, read_body
from lynceus.local.functions import ACCOUNT, API, Functions

# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
BODY_LIMIT = 10 * 1024 * 1024  # bytes
STAGE = "api"


class Gateway:
    """The HTTP server in front of an app's routes."""

    def __init__(
        self,
        functions: Functions,
        port: int = 0,
        *,
        on_refusal: Callable[[str, str, int], None],
        on_failure: Callable[[str, Exception], None],
    ) -> None:
        """Take the port at once, so that OSError says early that it is in use; 0 is a free one.

        `on_refusal` hears method, path and status of what the gateway answers itself, `on_failure` the name and the
        exception of a function that raised.
        """
        self.functions, self.on_refusal, self.on_failure = functions, on_refusal, on_failure
        patterns = [(pattern, pattern.split("/")) for pattern in functions.app.routes]
        # A literal part goes before a parameter in its place, as in API Gateway.
        self._patterns = sorted(patterns, key=lambda pair: [name.startswith("{") for name in pair[1]])
        handler = type("Handler", (_Handler,), {"gateway": self})
        self._server = _Server(("127.0.0.1", port), handler)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Serve until stop."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="gateway", daemon=True).start()

    def stop(self) -> None:
        """Take no more requests; those at work are finished by their own threads."""
        self._server.shutdown()
        self._server.server_close()

    def route(self, path: str, method: str) -> tuple[str, dict[str, str] | None]:
        """The route's pattern and the path's parameters, still percent-encoded.

        Raises NotImplementedHere where the API has no such path or method. A slash at the end does not count.
        """
        parts = path.rstrip("/").split("/")
        for pattern, names in self._patterns:
            if len(names) != len(parts):
                continue
            pairs = list(zip(names, parts, strict=True))
            if all(part if name.startswith("{") else name == part for name, part in pairs):
                if method not in self.functions.app.routes[pattern]:
                    break
                parameters = {name[1:-1]: part for name, part in pairs if name.startswith("{")}
                return pattern, parameters or None
        raise NotImplementedHere

    def answer(
        self, method: str, target: str, headers: Message[str, str], body: bytes, peer: tuple[str, int]
    ) -> dict[str, Any]:
        """The function's answer to the request; gateway errors in our error form."""
        try:
            event = self.event(method, target, headers, body, peer)
        except LynceusError as error:
            return self.refuse(method, target, error)
        try:
            answer: dict[str, Any] = self.functions.invoke(API, event)
        except Exception as error:  # noqa: BLE001  # Lambda reports any failure of a function alike
            self.on_failure(API, error)
            return _json_answer(502, {"message": "Internal server error"})
        return answer

    def refuse(self, method: str, target: str, error: LynceusError) -> dict[str, Any]:
        """The answer in the form of our errors, told to who watches."""
        self.on_refusal(method, target.partition("?")[0], error.http_status)
        return _json_answer(error.http_status, error.body())

    def event(
        self, method: str, target: str, headers: Message[str, str], body: bytes, peer: tuple[str, int]
    ) -> dict[str, Any]:
        """The proxy event of the request, REST payload 1.0; raises NotImplementedHere as `route` does."""
        url = urlsplit(target)
        pattern, parameters = self.route(url.path, method)
        many: dict[str, list[str]] = {}
        names: dict[str, str] = {}  # lower case → as first sent
        for name, value in headers.items():
            many.setdefault(names.setdefault(name.lower(), name), []).append(value)
        self._forward(many, names, peer[0])
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(url.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        now = time.time()
        return {
            "resource": pattern,
            "path": url.path,
            "httpMethod": method,
            "headers": {name: values[-1] for name, values in many.items()},
            "multiValueHeaders": many,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": parameters,
            "stageVariables": None,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": "local",
                "domainName": headers.get("Host", ""),
                "httpMethod": method,
                "identity": {"sourceIp": peer[0], "userAgent": headers.get("User-Agent")},
                "path": f"/{STAGE}{url.path}",
                "protocol": "HTTP/1.1",
                "requestId": str(uuid.uuid4()),
                "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
                "requestTimeEpoch": int(now * 1000),
                "resourcePath": pattern,
                "stage": STAGE,
            },
            # Every body is binary to `binary_types */*`.
            "body": base64.b64encode(body).decode() if body else None,
            "isBase64Encoded": bool(body),
        }

    def _forward(self, many: dict[str, list[str]], names: dict[str, str], peer: str) -> None:
        """Add what API Gateway adds for the way the request came."""
        sent = many.pop(names.get("x-forwarded-for", ""), [])
        many["X-Forwarded-For"] = [", ".join([*sent, peer])]
        many.setdefault(names.get("x-forwarded-proto", "X-Forwarded-Proto"), ["http"])
        many.setdefault(names.get("x-forwarded-port", "X-Forwarded-Port"), [self.url.rpartition(":")[2]])
        many.setdefault(
            names.get("x-amzn-trace-id", "X-Amzn-Trace-Id"),
            [f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"],
        )


def _json_answer(status: int, value: dict[str, Any]) -> dict[str, Any]:
    # As Go writes it: no blanks.
    body = json.dumps(value, separators=(",", ":"))
    return {"statusCode": status, "headers": {"Content-Type": "application/json"}, "body": body}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # Twenty senders at once and their retries must not be refused by a short backlog.
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Senders that go away are their own affair."""


class _Handler(BaseHTTPRequestHandler):
    gateway: Gateway
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30  # seconds that a sender may stay silent

    def _serve(self) -> None:
        try:
            body = read_body(self.headers, self.rfile, BODY_LIMIT)
        except LynceusError as error:
            answer = self.gateway.refuse(self.command, self.path, error)
            self.close_connection = True  # where the next request begins is not known
        else:
            answer = self.gateway.answer(self.command, self.path, self.headers, body, self.client_address)
        self._send(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815  # http.server

    def _send(self, answer: Mapping[str, Any]) -> None:
        """Write the proxy answer."""
        raw = answer.get("body") or ""
        body = base64.b64decode(raw) if answer.get("isBase64Encoded") else raw.encode()
        pairs = [(name, str(value)) for name, value in (answer.get("headers") or {}).items()]
        pairs += [
            (name, str(value))
            for name, values in (answer.get("multiValueHeaders") or {}).items()
            for value in values
        ]
        if not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(("Content-Type", "application/json"))
        self.send_response_only(answer["statusCode"])
        for name, value in pairs:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()
        if self.close_connection:
            self._linger()

    def _linger(self) -> None:
        """Let the sender read the answer before the connection is reset under what it still sends."""
        try:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1)
            drain(self.rfile, DRAIN_LIMIT)
        except OSError:
            pass

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent; `on_refusal` and the functions' own log tell."""
