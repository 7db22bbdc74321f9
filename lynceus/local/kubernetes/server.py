"""The HTTP front: sockets, TLS, chunks, gzip and the faults that a network has.

One thread per connection, HTTP/1.1 with keep-alive. What a request means is `Api.handle`'s affair. Headers are read
here rather than by http.server, whose e-mail parser would cost more than a whole create.
"""

from __future__ import annotations

import contextlib
import gzip
import http
import select
import socket
import socketserver
import ssl
import sys
import threading
import time
import traceback
import urllib.parse
import uuid
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from lynceus.local.kubernetes.api import Api
from lynceus.local.kubernetes.bodies import LARGEST
from lynceus.local.kubernetes.exchanges import Request, Response, refusal
from lynceus.local.kubernetes.faults import Fault, Faults
from lynceus.local.kubernetes.statuses import Refusal, bad_request, throttled

_GZIP_FROM: Final = 128 * 1024  # bytes, as the real server
_MOST_HEADERS: Final = 200
_LONGEST_LINE: Final = 65_536
_KEPT: Final = (
    LARGEST + 1024
)  # bytes of a body that are read at most; one more than allowed is enough to say so


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connected(self.connection)

    def finish(self) -> None:
        self.server.disconnected(self.connection)
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def handle(self) -> None:
        # A client may leave at any moment, and `down` cuts connections under us.
        with contextlib.suppress(OSError):
            super().handle()

    def handle_one_request(self) -> None:
        """Read one request, answer it; closes the connection when it cannot go on."""
        line = self.rfile.readline(_LONGEST_LINE + 1)
        self.close_connection = True
        words = line.decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return
        self.command, target, version = words
        headers = self._read_headers()
        if headers is None:
            return
        connection = (headers.get("connection") or [""])[0].lower()
        self.close_connection = connection == "close" or (
            version == "HTTP/1.0" and connection != "keep-alive"
        )
        path, _, query = target.partition("?")
        if (headers.get("expect") or [""])[0].lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        accept = (headers.get("accept") or [""])[0]
        try:
            body = self._read_body(headers)
            parameters = urllib.parse.parse_qs(query, keep_blank_values=True, max_num_fields=1000)
        except Refusal as error:
            self.close_connection = True
            self._send(refusal(error, accept), gzipped=False)
            return
        except ValueError:
            self._send(refusal(bad_request("too many parameters"), accept), gzipped=False)
            return
        request = Request(self.command, path, parameters, headers, body)
        met = self.server.faults.meet(self.command, path)
        if met.delay:
            time.sleep(met.delay)
        if met.fault is not None and met.fault.kind == "refuse":
            self.close_connection = True
            return
        if met.fault is not None and met.fault.kind != "drop":
            self._send(refusal(_refusal_of(met.fault), accept), gzipped=False)
            return
        response = self._answer(request)
        if met.fault is not None:
            self.close_connection = True
            return
        gzipped = "gzip" in (headers.get("accept-encoding") or [""])[0]
        self._send(response, gzipped=gzipped)

    def _answer(self, request: Request) -> Response:
        try:
            return self.server.api.handle(request)
        except Exception as error:  # noqa: BLE001 - a defect of ours is a 500 to the caller and seen on the terminal
            traceback.print_exc()
            return refusal(
                Refusal(500, "InternalError", f"Internal error occurred: {error!r}"), request.header("accept")
            )

    def _read_headers(self) -> dict[str, list[str]] | None:
        """Lower-case name → values; None for a connection that is no HTTP."""
        headers: dict[str, list[str]] = {}
        for _ in range(_MOST_HEADERS):
            line = self.rfile.readline(_LONGEST_LINE + 1)
            if line in (b"\r\n", b"\n"):
                return headers
            name, colon, value = line.decode("utf-8", "replace").partition(":")
            if not colon:
                return None
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        return None

    def _read_body(self, headers: dict[str, list[str]]) -> bytes:
        if "chunked" in (headers.get("transfer-encoding") or [""])[0].lower():
            return self._read_chunks()
        text = (headers.get("content-length") or ["0"])[0]
        if not text.isdigit():
            raise bad_request("bad Content-Length")
        length = int(text)
        body = self.rfile.read(min(length, _KEPT))
        left = length - len(body)
        while left > 0 and (more := self.rfile.read(min(left, 1 << 16))):
            left -= len(more)
        return body

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            try:
                size = int(self.rfile.readline(_LONGEST_LINE).partition(b";")[0], 16)
            except ValueError:
                raise bad_request("bad chunk") from None
            if size < 0 or size > 1 << 30:
                raise bad_request("bad chunk")
            data = self.rfile.read(size)
            if len(body) < _KEPT:
                body += data
            self.rfile.readline(_LONGEST_LINE)
            if not size:
                return bytes(body)

    def _send(self, response: Response, *, gzipped: bool) -> None:
        lines = [
            f"HTTP/1.1 {response.status} {_phrase(response.status)}",
            f"Audit-Id: {uuid.uuid4()}",
            f"Cache-Control: {response.cache_control}",
            f"Date: {formatdate(usegmt=True)}",
        ]
        if response.content_type:
            lines.append(f"Content-Type: {response.content_type}")
        lines += [f"{name}: {_one_line(value)}" for name, value in response.headers]
        if response.stream is not None:
            self._send_stream(response, lines)
            return
        body = response.body
        if gzipped and len(body) > _GZIP_FROM:
            body = gzip.compress(body, 1)
            lines += ["Content-Encoding: gzip", "Vary: Accept-Encoding"]
        lines.append(f"Content-Length: {len(body)}")
        if self.close_connection:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("utf-8")
        has_body = self.command != "HEAD" and response.status not in (204, 304)
        self.wfile.write(head + body if has_body else head)

    def _send_stream(self, response: Response, lines: list[str]) -> None:
        """Chunks until the stream ends or the client is gone; watches are never compressed."""
        head = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""])
        self.wfile.write(head.encode())
        stream = response.stream or iter(())
        if self.command == "HEAD":
            return
        for data in stream:
            if data:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            elif self._is_left():
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def _is_left(self) -> bool:
        """Whether the client closed a connection that we have nothing to write to."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        if isinstance(self.connection, ssl.SSLSocket):
            # A peek is not possible through TLS; a client that speaks during a watch is leaving.
            return not self.connection.pending()
        return not self.connection.recv(1, socket.MSG_PEEK)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: people watch workflows, not requests."""


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _one_line(value: str) -> str:
    return " ".join(value.splitlines())


def _refusal_of(fault: Fault) -> Refusal:
    if fault.kind == "throttle":
        return throttled(int(fault.seconds))
    reasons = {500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}
    text = fault.text or "an error on the server has prevented the request from succeeding"
    return Refusal(fault.status, reasons.get(fault.status, ""), text)


class Server(ThreadingHTTPServer):
    """The listening socket and the connections it took."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], api: Api, faults: Faults, tls: ssl.SSLContext | None
    ) -> None:
        self.api, self.faults, self._tls = api, faults, tls
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        # HTTPServer looks the host's name up in DNS here, which may take seconds.
        socketserver.TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            # The handshake happens at the first read, in the connection's own thread.
            return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address
        return connection, address

    def connected(self, connection: socket.socket) -> None:
        """Remember a connection, to be cut."""
        with self._open_lock:
            self._open.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        """Forget a connection that ended."""
        with self._open_lock:
            self._open.discard(connection)

    def cut(self) -> None:
        """End every connection there is."""
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that broke; anything else is a defect to be seen."""
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            super().handle_error(request, client_address)
