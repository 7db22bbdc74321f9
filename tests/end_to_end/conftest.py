"""The whole system as `make run` starts it: a process of its own, spoken to from outside only."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import yaml
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/argo/workflows"
BINDINGS = "/apis/argoproj.io/v1alpha1/namespaces/argo/workfloweventbindings"
CRONS = "/apis/argoproj.io/v1alpha1/namespaces/argo/cronworkflows"
REVISION = "demo.lynceus.dev/revision"  # the label that the demo's binding takes from the push


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass
class Running:
    """One started system."""

    process: subprocess.Popen[str]
    state: Path
    lines: list[str] = field(default_factory=list)
    url: str = ""
    secret: str = ""

    def push(
        self, body: bytes | None = None, *, path: str = "/api/v1/events/argo/github", **headers: str
    ) -> Answer:
        """Send a signed push; `body`, path and headers (underscores for dashes) can be other ones."""
        content = push_body() if body is None else body
        digest = hmac.new(self.secret.encode(), content, hashlib.sha256).hexdigest()
        sent = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": str(uuid.uuid4()),
            "X-Hub-Signature-256": f"sha256={digest}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return request("POST", f"{self.url}{path}", content, sent)

    def kubernetes(self, method: str, path: str, value: Any = None) -> Answer:
        """Ask the cluster as its administrator."""
        config = yaml.safe_load((self.state / "kubeconfig").read_text())
        token = config["users"][0]["user"]["token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = b"" if value is None else json.dumps(value).encode()
        return request(method, config["clusters"][0]["cluster"]["server"] + path, body, headers)

    def workflows(self, revision: str | None = None) -> list[dict[str, Any]]:
        """The Workflows in the cluster, or those of one push."""
        query = f"?labelSelector={REVISION}%3D{revision}" if revision else ""
        items: list[dict[str, Any]] = self.kubernetes("GET", WORKFLOWS + query).body["items"]
        return items

    def settled(self, count: int, revision: str | None = None, seconds: float = 30) -> list[dict[str, Any]]:
        """The Workflows once there are so many, or what there is when time is over."""
        wait_for(lambda: len(self.workflows(revision)) >= count, seconds)
        return self.workflows(revision)

    def aws(self, service: str) -> Any:
        """A client of its AWS."""
        env = dict(line.split("=", 1) for line in (self.state / "env").read_text().splitlines())
        return boto3.client(
            service,
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name=env["AWS_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def outages(self, *names: str) -> None:
        """Let these services fail ("dynamodb", "sqs", "secretsmanager", "cluster"), and no others."""
        env = dict(line.split("=", 1) for line in (self.state / "env").read_text().splitlines())
        told = request("PUT", f"{env['AWS_ENDPOINT_URL']}/lynceus/outages", json.dumps(names).encode(), {})
        assert told.body == sorted(names)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(20)


def push_body(revision: str = "0000000000", **more: Any) -> bytes:
    """A push to main of the revision."""
    push = {"ref": "refs/heads/main", "after": revision, "repository": {"full_name": "octo/rocket"}, **more}
    return json.dumps(push).encode()


def request(method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    assert parts.hostname
    if parts.scheme == "https":
        # the certificate is the local cluster's own
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=60, context=ssl._create_unverified_context()
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
    answer = connection.getresponse()
    told = Answer(
        answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    )
    connection.close()
    return told


def wait_for(condition: Callable[[], object], seconds: float = 30, every: float = 0.1) -> bool:
    """True as soon as the condition holds, False when it does not in time; looks `every` so many seconds."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(every)
    return True


def launch(state: Path, arguments: Sequence[str] = (), environment: dict[str, str] | None = None) -> Running:
    """Start the system; returns when it says that it is ready, or when it has ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lynceus", "run", "--port", "0", "--state", str(state), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(process, state)
    ready = threading.Event()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            running.lines.append(line.rstrip())
            if "Ctrl-C" in line:
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    assert ready.wait(60), "\n".join(running.lines)
    text = "\n".join(running.lines)
    if found := re.search(r"--to (http://[^/]+)\S* --secret (\S+)", text):
        running.url, running.secret = found[1], found[2]
    return running


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., Running]]:
    """Starts systems and ends those that a test left running."""
    with ExitStack() as stack:

        def started(*arguments: Any, **more: Any) -> Running:
            running = launch(*arguments, **more)
            stack.callback(running.process.wait, 20)
            stack.callback(running.process.terminate)
            return running

        yield started


@pytest.fixture(scope="session")
def system(start: Callable[..., Running], tmp_path_factory: pytest.TempPathFactory) -> Running:
    """One system that tests share which do not stop it."""
    return start(tmp_path_factory.mktemp("state"), ["--finish-after", "0", "--tick", "5"])


@pytest.fixture(autouse=True)
def no_outage_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """End the outages of a test, however it ended."""
    yield
    if "system" in request.fixturenames:
        request.getfixturevalue("system").outages()
