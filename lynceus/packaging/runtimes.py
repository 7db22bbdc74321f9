"""An unzipped package run as Lambda runs it, without Docker: AWS's own runtime client against a small Runtime API.

The process sees the package, the runtime client and the bare interpreter, nothing that happens to be installed
here. Its share of a processor can be bound to what Lambda gives for a memory size, so that cold starts can be
compared; they are relative, since Lambda's disks and its warm interpreter are others.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from chalicelib.core.errors import LynceusError

FULL_SHARE = 1769.0  # MB of memory that come with one whole processor
PERIOD = 0.1  # seconds; the kernel's own for shares
# What Lambda's image holds beside the function.
RUNTIME_CLIENT = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")


class FunctionFailed(LynceusError):
    """The function raised; the message is what Lambda would log."""


@dataclass(frozen=True)
class Reply:
    """What one invocation returned, and how long it took."""

    value: Any
    seconds: float  # the first one from the start of the process
    handling: float  # from the moment that the process asked for the event: without its start


def unpack(package: Path, folder: Path) -> Path:
    """The package's files below the folder, as Lambda lays them out in /var/task."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)  # our own package
    return folder


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a killed process leaves its connection open."""


class Runtime:
    """One container of one function; the process starts with the first invocation."""

    def __init__(
        self, task: Path, handler: str, environment: Mapping[str, str], *, memory: int | None = None
    ) -> None:
        self._task, self._handler, self._environment = task, handler, dict(environment)
        self._share = None if memory is None else min(1.0, memory / FULL_SHARE)
        self._events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._answers: queue.Queue[tuple[bool, bytes]] = queue.Queue()
        self._taken: list[float] = []  # when the process asked for each event that it got
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        self._ended = threading.Event()
        self._server = _Server(
            ("127.0.0.1", 0), _handler(self._events, self._answers, self._taken, self._ended)
        )
        self._server.daemon_threads = True
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Runtime:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._stack.close()
        self._server.shutdown()
        self._server.server_close()
        self._log.close()

    def invoke(self, event: Any, *, timeout: float = 60) -> Reply:
        """The function's reply to the event; raises FunctionFailed for what it raised."""
        started = time.monotonic()
        self._events.put((str(uuid.uuid4()), json.dumps(event).encode()))
        if self._process is None:
            self._start()
        good, content = self._answer(started + timeout)
        ended = time.monotonic()
        if not good:
            raise FunctionFailed(content.decode(errors="replace")[:3000])
        return Reply(json.loads(content), ended - started, ended - max(started, self._taken[-1]))

    def written(self) -> list[str]:
        """The lines that the process wrote so far."""
        position = os.lseek(self._log.fileno(), 0, os.SEEK_CUR)
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        os.lseek(self._log.fileno(), position, os.SEEK_SET)
        return text.splitlines()

    def peak_memory(self) -> int:
        """The most memory that the process had so far, in bytes."""
        assert self._process is not None, "invoke first"  # noqa: S101
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self) -> float:
        """What the process has used of a processor so far; a busy machine does not change it."""
        assert self._process is not None, "invoke first"  # noqa: S101
        return _used(self._process.pid)

    def _answer(self, until: float) -> tuple[bool, bytes]:
        assert self._process is not None  # noqa: S101
        while True:
            try:
                return self._answers.get(timeout=0.2)
            except queue.Empty:
                if self._process.poll() is not None and self._answers.empty():
                    return False, "\n".join(self.written()[-20:]).encode() or b"the process ended"
                if time.monotonic() > until:
                    return False, b"no reply in time"

    def _start(self) -> None:
        client = self._stack.enter_context(_runtime_client())
        # The interpreter without any site-packages: Path(sys.executable) may be that of a virtual environment.
        python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
        environment = {
            "PATH": "/usr/bin:/bin",
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": f"{self._task}:{client}",
            "PYTHONDONTWRITEBYTECODE": "1",  # /var/task is read-only
            "LAMBDA_TASK_ROOT": str(self._task),
            "LAMBDA_RUNTIME_DIR": str(client),
            "_HANDLER": self._handler,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "lynceus-test",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            **self._environment,
        }
        self._process = subprocess.Popen(  # noqa: S603  # our own words
            [str(python), "-S", "-s", "-m", "awslambdaric", self._handler],
            cwd=self._task,
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        if self._share is not None and self._share < 1:
            threading.Thread(target=_bind, args=(self._process, self._share), daemon=True).start()


@contextlib.contextmanager
def _runtime_client() -> Iterator[Path]:
    """A folder with Lambda's runtime client and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        for name in RUNTIME_CLIENT:
            found = importlib.util.find_spec(name)
            if found is None or found.origin is None:
                raise LynceusError(f"{name} is not installed: it comes with requirements-dev.txt")
            origin = Path(found.origin)
            source = origin.parent if origin.name == "__init__.py" else origin
            (Path(folder) / source.name).symlink_to(source)
        yield Path(folder)


def _used(process: int) -> float:
    """Processor seconds of the process, its own and the kernel's for it."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _bind(process: subprocess.Popen[bytes], share: float) -> None:
    """Let the process run for that share of each period and no longer, as the kernel's quotas do.

    A process that waits uses nothing of its share, so what it has used is read, not assumed. The
    clock of that counts in hundredths of a second.
    """
    quota = share * PERIOD
    credit, before, spent = quota, time.monotonic(), 0.0
    with contextlib.suppress(OSError):
        while process.poll() is None:
            time.sleep(0.002)
            now, total = time.monotonic(), _used(process.pid)
            # As with the kernel's quotas, what was not used in one period is gone.
            credit = min(quota, credit + share * (now - before)) - (total - spent)
            before, spent = now, total
            if credit < 0:
                process.send_signal(signal.SIGSTOP)
                time.sleep(-credit / share)
                process.send_signal(signal.SIGCONT)


def _handler(
    events: queue.Queue[tuple[str, bytes]],
    answers: queue.Queue[tuple[bool, bytes]],
    taken: list[float],
    ended: threading.Event,
) -> type[BaseHTTPRequestHandler]:
    class RuntimeApi(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """The next event, once there is one."""
            asked = time.monotonic()
            while not ended.is_set():
                try:
                    identity, event = events.get(timeout=0.2)
                except queue.Empty:
                    continue
                taken.append(asked)
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", identity)
                self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + 60) * 1000)))
                self.send_header(
                    "Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:f"
                )
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)
                return

        def do_POST(self) -> None:
            """A response, or an error of an invocation or of the start."""
            content = self._content()
            answers.put((self.path.endswith("/response"), content))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _content(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return content

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    return RuntimeApi
