"""The local Kubernetes API: start, creates per second, a list of 10,000; beside a bare HTTP server in the same run.

The reference is the standard library's ThreadingHTTPServer, which answers the very same bytes over the same TLS and
does nothing for it: what a figure costs beyond it is what the API does. Clients run in a second process, so that
two cores are used as a client and its cluster would.

Aims: start under 0.2 s, 1,000 creates per second, 10,000 objects listed with resourceVersion=0 in under a second.
"""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lynceus.local.kubernetes import Cluster  # noqa: E402 - a script finds the package beside itself
from lynceus.local.kubernetes.certificates import make_certificates  # noqa: E402

WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/default/workflows"
THREADS = 4


def workflow(name: str) -> bytes:
    """A small workflow, as a trigger creates it."""
    labels = {"workflows.argoproj.io/creator": "system-serviceaccount-default-jenkins"}
    spec = {
        "workflowTemplateRef": {"name": "build"},
        "arguments": {"parameters": [{"name": "commit", "value": "0123456789abcdef"}]},
    }
    metadata = {"name": name, "labels": labels}
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}
    return json.dumps(body).encode()


def connection(url: str, authority: str) -> http.client.HTTPSConnection:
    address = urllib.parse.urlsplit(url)
    context = ssl.create_default_context(cadata=authority)
    return http.client.HTTPSConnection(address.hostname or "", address.port, context=context)


def post_many(options: argparse.Namespace) -> None:
    """The client process: create `count` workflows over THREADS connections; prints the seconds it took."""
    authority = Path(options.authority).read_text()

    def work(part: int) -> None:
        client = connection(options.url, authority)
        for at in range(part, options.count, THREADS):
            headers = {"Authorization": f"Bearer {options.token}", "Content-Type": "application/json"}
            client.request("POST", WORKFLOWS, workflow(f"w{at:05}"), headers)
            answer = client.getresponse()
            answer.read()
            if answer.status != 201:
                raise SystemExit(f"create answered {answer.status}")

    threads = [threading.Thread(target=work, args=(part,)) for part in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(time.perf_counter() - began)


def timed_posts(url: str, token: str, authority: Path, count: int) -> float:
    command = [sys.executable, __file__, "--client", "--url", url, "--token", token]
    command += ["--authority", str(authority), "--count", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def timed_get(url: str, authority: str, target: str, token: str) -> tuple[float, bytes]:
    client = connection(url, authority)
    client.request("GET", "/healthz", headers={"Authorization": f"Bearer {token}"})
    client.getresponse().read()
    began = time.perf_counter()
    client.request("GET", target, headers={"Authorization": f"Bearer {token}"})
    body = client.getresponse().read()
    return time.perf_counter() - began, body


class Bare:
    """A server that reads a request and answers fixed bytes."""

    def __init__(self, created: bytes, listed: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1  # head and body leave together, as ours do

            def answer(self, status: int, body: bytes) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.answer(200, listed)

            def do_POST(self) -> None:
                self.answer(201, created)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        certificates = make_certificates()
        self.authority = certificates.authority
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = certificates.context()
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="workflows to create and list")
    for name in ("url", "token", "authority"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        post_many(options)
        return 0
    Cluster().start()  # the first one imports and compiles
    began = time.perf_counter()
    cluster = Cluster()
    cluster.start()
    started = time.perf_counter() - began
    authority = ROOT / ".bench-ca.pem"
    try:
        authority.write_text(cluster.ca_pem)
        created = timed_posts(cluster.url, cluster.admin_token, authority, options.count)
        target = f"{WORKFLOWS}?resourceVersion=0"
        listed, body = timed_get(cluster.url, cluster.ca_pem, target, cluster.admin_token)
        again, _ = timed_get(cluster.url, cluster.ca_pem, target, cluster.admin_token)
        one = json.dumps(json.loads(body)["items"][0]).encode()
        bare = Bare(one, body)
        authority.write_text(bare.authority)
        bare_created = timed_posts(bare.url, "none", authority, options.count)
        bare_listed, _ = timed_get(bare.url, bare.authority, "/", "none")
    finally:
        authority.unlink(missing_ok=True)
        cluster.stop()
    rate, bare_rate = options.count / created, options.count / bare_created
    print(f"start                      {started * 1000:8.0f} ms   (aim: under 200)")
    beside = f"bare server {bare_rate:.0f}, ratio {rate / bare_rate:.2f}"
    print(f"creates per second         {rate:8.0f}      (aim: 1,000; {beside})")
    print(
        f"list of {options.count:6}, {len(body) / 1e6:5.1f} MB {listed * 1000:8.0f} ms   "
        f"(aim: under 1000; again {again * 1000:.0f}, bare server {bare_listed * 1000:.0f})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
