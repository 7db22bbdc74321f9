"""The servers that tests speak to: ours, and a real one where the environment names one.

`TEST_KUBECONFIG` names a kubeconfig of a server that may be written to; `KUBEBUILDER_ASSETS` a directory with
`etcd` and `kube-apiserver`, which are started for the tests. Neither has controllers, so no test may wait for one.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml

from lynceus.local.kubernetes import Cluster, bootstrap

Answer = tuple[int, Any]


@dataclass
class Server:
    """An API server with an admin and Argo's kinds."""

    url: str
    authority: str
    token: str
    kubeconfig: Path
    cluster: Cluster | None = None  # ours; None for a real one
    certificate: Path | None = None  # with its key, of an admin who has no token

    def __post_init__(self) -> None:
        self._pool = self._new_pool(None)
        # Whoever shows a certificate is who it says, whatever token comes with it.
        self._admin_pool = self._new_pool(self.certificate) if self.certificate else self._pool

    def _new_pool(self, certificate: Path | None) -> urllib3.PoolManager:
        context = ssl.create_default_context(cadata=self.authority) if self.authority else None
        if certificate and context:
            context.load_cert_chain(certificate)
        return urllib3.PoolManager(ssl_context=context, retries=False, timeout=30)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Status and decoded answer; a body that is not bytes is sent as JSON; the admin's unless `token` is given."""
        sent = dict(headers or {})
        if token is not None or self.token:
            sent["Authorization"] = f"Bearer {self.token if token is None else token}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        pool = self._admin_pool if token is None else self._pool
        response = pool.request(method, self.url + path, body=data, headers=sent)
        text = response.data.decode("utf-8", "replace")
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def raw(self, path: str, encoding: str) -> urllib3.BaseHTTPResponse:
        """The admin's GET, its body as it came over the wire."""
        headers = {"Accept-Encoding": encoding} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        return self._admin_pool.request("GET", self.url + path, headers=headers, decode_content=False)

    def create(self, path: str, body: Any, **more: Any) -> Any:
        """The object that a POST answered; fails on anything but 201."""
        status, answer = self.call("POST", path, body, **more)
        assert status == 201, answer
        return answer

    def token_for(self, namespace: str, account: str) -> str:
        """A new token of a service account, as TokenRequest issues it."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        token: str = self.create(path, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
        return token


@contextlib.contextmanager
def local_server(directory: Path) -> Iterator[Server]:
    """Ours, in memory."""
    with Cluster() as cluster:
        kubeconfig = cluster.write_kubeconfig(directory / "kubeconfig")
        yield Server(cluster.url, cluster.ca_pem, cluster.admin_token, kubeconfig, cluster)


def real_server_is_given() -> bool:
    return bool(os.environ.get("TEST_KUBECONFIG") or os.environ.get("KUBEBUILDER_ASSETS"))


@contextlib.contextmanager
def real_server(directory: Path) -> Iterator[Server]:
    """The one that the environment names, with our definitions of Argo's kinds applied."""
    with contextlib.ExitStack() as stack:
        given = os.environ.get("TEST_KUBECONFIG")
        server = _of_kubeconfig(Path(given), directory) if given else stack.enter_context(_started(directory))
        for definition in bootstrap.definitions():
            name = definition["metadata"]["name"]
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
            headers = {"Content-Type": "application/apply-patch+yaml"}
            status, answer = server.call(
                "PATCH", f"{path}?fieldManager=tests&force=true", definition, headers=headers
            )
            assert status in (200, 201), answer
        _wait_for(lambda: server.call("GET", "/apis/argoproj.io/v1alpha1/workflows")[0] == 200)
        yield server


def _of_kubeconfig(path: Path, directory: Path) -> Server:
    """The server of a kubeconfig's current context, with its user's token or client certificate."""
    document = yaml.safe_load(path.read_text())
    named = {
        kind: {entry["name"]: entry for entry in document[kind]} for kind in ("clusters", "users", "contexts")
    }
    context = named["contexts"][document["current-context"]]["context"]
    cluster = named["clusters"][context["cluster"]]["cluster"]
    user = named["users"][context["user"]]["user"]
    authority = base64.b64decode(cluster.get("certificate-authority-data", "")).decode()
    if "token" in user:
        return Server(cluster["server"], authority, user["token"], path)
    assert "client-certificate-data" in user, f"{path}: the user needs a token or client-certificate-data"
    certificate = directory / "admin.pem"
    certificate.touch(mode=0o600)
    parts = (user["client-certificate-data"], user["client-key-data"])
    certificate.write_bytes(b"\n".join(base64.b64decode(part) for part in parts))
    return Server(cluster["server"], authority, "", path, certificate=certificate)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _started(directory: Path) -> Iterator[Server]:
    """etcd and kube-apiserver out of KUBEBUILDER_ASSETS, gone again afterwards."""
    assets = Path(os.environ["KUBEBUILDER_ASSETS"])
    etcd_port, peer_port, port = _free_port(), _free_port(), _free_port()
    token = "tests-admin"
    (directory / "tokens.csv").write_text(f'{token},admin,admin-uid,"system:masters"\n')
    key = directory / "accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    commands = [
        [
            str(assets / "etcd"),
            f"--data-dir={directory / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd_port}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd_port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        ],
        [
            str(assets / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            f"--cert-dir={directory / 'certificates'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--token-auth-file={directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",
        ],
    ]
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((directory / "server.log").open("w"))
        for command in commands:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        url = f"https://127.0.0.1:{port}"
        certificate = directory / "certificates" / "apiserver.crt"
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        _wait_for(lambda: certificate.exists() and _is_ready(f"{url}/readyz", unchecked))
        authority = certificate.read_text()
        kubeconfig = directory / "kubeconfig"
        encoded = base64.b64encode(authority.encode()).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [
                {"name": "tests", "cluster": {"server": url, "certificate-authority-data": encoded}}
            ],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
        }
        kubeconfig.write_text(yaml.safe_dump(document))
        yield Server(url, authority, token, kubeconfig)


def _is_ready(url: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, context=context, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait_for(done: Any, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "the API server did not become ready"
        time.sleep(0.1)
