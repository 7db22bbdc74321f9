"""AWS on this machine: moto's server over real HTTP, mended where it loses things, with a memory on disk.

Functions and commands reach it as they reach AWS, through `AWS_ENDPOINT_URL`. It can be told to fail, service by
service, so that people and tests see what Lynceus does then:

    curl -X PUT "$AWS_ENDPOINT_URL/lynceus/outages" -d '["dynamodb", "sqs"]'

Names that are no service of AWS are for others to act on: the local system takes its cluster away for "cluster".

The ledger's items, the secrets and what waits in the queues are saved to the state directory a moment after they
change and when the system stops. A process that is killed may forget its last second.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.secretsmanager.models import secretsmanager_backends
from moto.sqs.models import Message, sqs_backends

from chalicelib.core.errors import LynceusError
from lynceus.local import mends, resources
from lynceus.local.bodies import read_body

REGION = "us-east-1"
# Rest after a save, as a multiple of what the save took: a large ledger must not be busy with saving itself.
SAVE_EVERY, SAVE_SHARE = 1.0, 20

_READS = ("Get", "List", "Describe", "Query", "Scan", "Batch", "Receive")

REQUEST_LIMIT = 20 * 1024 * 1024  # bytes; the largest request of a service used here has 16 MB (DynamoDB)

StartResponse = Callable[..., Any]
WsgiApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def credentials(endpoint: str) -> dict[str, str]:
    """The variables that lead every AWS SDK to the endpoint, with credentials that open nothing real."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # Neither a profile, a role of the machine nor a file may bring real credentials back in.
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def overwrite(environment: MutableMapping[str, str], endpoint: str) -> None:
    """Replace every AWS_* variable of the shell by the fakes."""
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]
    environment.update(credentials(endpoint))


class Amazon:
    """moto's server with the stage's resources; one per process, since moto's memory is the process's."""

    def __init__(
        self,
        template: Path,
        stage: str,
        state: Path | None = None,
        *,
        on_outages: Callable[[frozenset[str]], object] = frozenset,
    ) -> None:
        self._template, self._stage, self._state = template, stage, state
        self._server: _Server | None = None
        self._door = _Door(on_outages)
        self._stopping = threading.Event()
        self._saver = threading.Thread(target=self._save_often, name="amazon-save", daemon=True)

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        if self._server is None:
            raise RuntimeError("start() comes first")
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Serve on a free port, with the template's resources and what the state directory remembers."""
        mends.apply()
        self._server = _Server(self._door)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="amazon", daemon=True).start()
        resources.create(self._template, self._stage, self.endpoint)
        self._load()
        self._saver.start()

    def stop(self) -> None:
        """Save and stop serving."""
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        self.save()

    @property
    def _table(self) -> Any:
        return dynamodb_backends[DEFAULT_ACCOUNT_ID][REGION].tables[f"lynceus-{self._stage}-ledger"]

    @property
    def _secrets(self) -> Any:
        return secretsmanager_backends[DEFAULT_ACCOUNT_ID][REGION]

    @property
    def _queues(self) -> Any:
        return sqs_backends[DEFAULT_ACCOUNT_ID][REGION].queues

    def save(self) -> None:
        """Write everything to the state directory if something changed since the last time."""
        if self._state is None or not self._door.changed.is_set():
            return
        self._door.changed.clear()
        with self._door.lock:
            items = [item.to_json()["Attributes"] for item in self._table.all_items()]
            secrets = {
                secret.name: {"versions": secret.versions, "current": secret.default_version_id}
                for secret in self._secrets.secrets.values()
                if not secret.is_deleted()
            }
            texts = {
                "ledger.json": json.dumps(items, default=_base64),
                "secrets.json": json.dumps(secrets, indent=1),
                "queues.json": json.dumps(
                    {name: _letters(queue) for name, queue in self._queues.items()}, default=_base64
                ),
            }
        for name, text in texts.items():
            write_private(self._state / name, text)

    def _save_often(self) -> None:
        rest = SAVE_EVERY
        while not self._stopping.wait(rest):
            before = time.monotonic()
            self.save()
            rest = max(SAVE_EVERY, SAVE_SHARE * (time.monotonic() - before))

    def _load(self) -> None:
        if self._state is None:
            return
        now = time.time()
        for attributes in _read(self._state / "ledger.json", []):
            # moto stores the time to live and never acts on it.
            if float(attributes.get("expires", {}).get("N", now + 1)) > now:
                self._table.put_item(attributes)
        for name, kept in _read(self._state / "secrets.json", {}).items():
            self._secrets.create_secret(name, "-", None, None, None, None, None, [], False)
            secret = self._secrets.secrets[name]
            secret.versions, secret.default_version_id = kept["versions"], kept["current"]
        for name, letters in _read(self._state / "queues.json", {}).items():
            for letter in letters if name in self._queues else ():
                message = Message(letter["id"], letter["body"])
                vars(message).update(letter)
                self._queues[name].add_message(message)


def write_private(path: Path, text: str) -> None:
    """Replace the file's content at once and whole; only its owner may read it."""
    draft = path.with_suffix(path.suffix + ".new")
    draft.touch(0o600)
    draft.write_text(text)
    draft.replace(path)


def _letters(queue: Any) -> list[dict[str, Any]]:
    """What waits in the queue; what is in flight waits too, since nobody will delete it any more."""
    kept = (
        "id",
        "body",
        "message_attributes",
        "sent_timestamp",
        "delayed_until",
        "approximate_receive_count",
    )
    with queue._messages_lock:
        return [{name: getattr(message, name) for name in kept} for message in queue._messages]


def _base64(value: bytes) -> str:
    """Binary values as they come over the wire, which is how moto takes them."""
    return base64.b64encode(value).decode()


def _read(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default


class _Server(ThreadingHTTPServer):
    """Serves the WSGI application on a free port.

    Connections stay open, as with AWS: the server that comes with moto closes them, and making a connection and a
    thread for each call costs more than most calls.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, application: WsgiApplication) -> None:
        self.application = application
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are their own affair."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        try:
            body = read_body(self.headers, self.rfile, REQUEST_LIMIT)
        except LynceusError as error:
            self.close_connection = True
            self.send_error(error.http_status, error.message)
            return
        head: list[tuple[str, list[tuple[str, str]]]] = []
        parts = self.server.application(
            self._environ(body), lambda status, headers, _=None: head.append((status, headers))
        )
        content = b"".join(parts)
        status, headers = head[-1]
        self.send_response_only(int(status[:3]), status[4:])
        for name, value in headers:
            if name.lower() not in ("content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815  # http.server's names

    def _environ(self, body: bytes) -> dict[str, Any]:
        """The request in WSGI's form (PEP 3333)."""
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": self.path,
            "REQUEST_URI": self.path,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_CONTENT_LENGTH", None)
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return environ

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


class _Door:
    """The WSGI application: moto's own, with outages before it and one writer at a time to the ledger."""

    def __init__(self, on_outages: Callable[[frozenset[str]], object]) -> None:
        self._on_outages = on_outages
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._applications: dict[str, WsgiApplication] = {}  # service → moto's application for it
        self.lock = threading.RLock()
        self.changed = threading.Event()
        self._outages: frozenset[str] = frozenset()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/lynceus/outages":
            return self._set_outages(environ, start_response)
        service = _service(environ)
        if service in self._outages:
            return _answer(
                start_response,
                "503 Service Unavailable",
                {"__type": "ServiceUnavailable", "message": f"{service} is away (local outage)"},
            )
        application = self._applications.get(service) or self._find(service, environ)
        # One at a time where moto's memory is not made for threads; queues have a lock each, and are waited on.
        with self.lock if service != "sqs" else nullcontext():
            answer = application(environ, start_response)
        operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")[2]
        if not operation.startswith(_READS) or operation == "BatchWriteItem":
            self.changed.set()
        return answer

    def _find(self, service: str, environ: dict[str, Any]) -> WsgiApplication:
        # moto looks through all its modules for each request; once for each service is enough.
        application: WsgiApplication = self._moto.get_application(environ)
        if service:
            self._applications[service] = application
        return application

    def _set_outages(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "PUT":
            try:
                names = json.loads(environ["wsgi.input"].read())
                self._outages = frozenset(str(name) for name in names)
            except (ValueError, TypeError):
                return _answer(
                    start_response, "400 Bad Request", 'send a list of services: ["dynamodb", "sqs"]'
                )
            self._on_outages(self._outages)
        return _answer(start_response, "200 OK", sorted(self._outages))


def _answer(start_response: StartResponse, status: str, value: Any) -> Iterable[bytes]:
    body = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _service(environ: dict[str, Any]) -> str:
    """The service that the request is signed for, "" for an unsigned one.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
    """
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0].split("/")
    return scope[3] if len(scope) == 5 else ""
