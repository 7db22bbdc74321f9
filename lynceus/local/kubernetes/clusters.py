"""One cluster: the API, its front, its faults and its controllers, put together.

    with Cluster() as cluster:
        cluster.write_kubeconfig(path)
        cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argo"}}])

In memory, or kept in a directory: then objects, tokens and certificates are there again after a restart.
"""

from __future__ import annotations

import base64
import copy
import json
import random
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from lynceus.local.kubernetes import bootstrap
from lynceus.local.kubernetes.access import Attributes
from lynceus.local.kubernetes.api import Api
from lynceus.local.kubernetes.certificates import Certificates, kept_certificates
from lynceus.local.kubernetes.controllers import Housekeeper, WorkflowController
from lynceus.local.kubernetes.exchanges import Request, Response
from lynceus.local.kubernetes.faults import Faults
from lynceus.local.kubernetes.resources import Catalogue
from lynceus.local.kubernetes.server import Server
from lynceus.local.kubernetes.statuses import Refusal, no_such_resource
from lynceus.local.kubernetes.stores import Store, encode, key_of
from lynceus.local.kubernetes.tokens import ANONYMOUS, AUDIENCES, Signer, Tokens, User

Object = dict[str, Any]

ADMIN = User("lynceus-admin", "lynceus-admin", ("system:masters", "system:authenticated"))


class Cluster:
    """A Kubernetes API on 127.0.0.1.

    `port` 0 takes a free one, which stays the same until the cluster is given up. Without TLS every request is the
    admin's, since clients send no tokens over plain HTTP. `clock` gives the Unix time of timestamps and of the
    expiry of tokens.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        port: int = 0,
        tls: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = state_dir
        if state_dir is not None:
            state_dir.mkdir(parents=True, exist_ok=True)
        self._port, self._tls_wanted, self._clock = port, tls, clock
        self._chance = random.Random()  # noqa: S311 - names, not secrets
        self._certificates: Certificates | None = None
        self._context: ssl.SSLContext | None = None
        self._server: Server | None = None
        self._controller: WorkflowController | None = None
        self._housekeeper: Housekeeper | None = None
        self._store = Store(state_dir)
        catalogue = Catalogue()
        self.tokens = Tokens(Signer(self._load_key, self._save_key), self._store.get, clock)
        self._api = Api(
            self._store,
            catalogue,
            self.tokens,
            clock=clock,
            chance=self._chance,
            url=lambda: self.url,
            # Clients send no tokens over plain HTTP.
            nobody=ANONYMOUS if tls else ADMIN,
        )
        self.faults = Faults(self._go_down, self._listen)
        self._users = self._load_users()
        self.admin_token = self._token_of(ADMIN)
        if self._store.load():
            for definition in self._api.found("customresourcedefinitions.apiextensions.k8s.io", ""):
                catalogue.register(definition)
        else:
            self.apply(bootstrap.objects())

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; returns when requests are taken."""
        if self._tls_wanted and self._context is None:
            self._certificates = kept_certificates(self._directory)
            self._context = self._certificates.context()
        self._store.open()
        self._listen()

    def stop(self) -> None:
        """Take no more requests, cut the connections there are and end the controllers. Objects stay."""
        self.stop_controller()
        if self._housekeeper is not None:
            self._housekeeper.stop()
            self._housekeeper = None
        self._go_down()
        self._store.close()

    def __enter__(self) -> Cluster:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> None:
        if self._server is not None:
            return
        self._api.reader.closed = False
        self._server = Server(("127.0.0.1", self._port), self._api, self.faults, self._context)
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="kubernetes-api", daemon=True
        ).start()

    def _go_down(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        with self._store.lock:
            self._api.reader.closed = True
            self._store.changed.notify_all()
        server.shutdown()
        server.server_close()
        server.cut()

    # -- where and who ---------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the API is, without a slash at the end."""
        return f"{'https' if self._tls_wanted else 'http'}://127.0.0.1:{self._port}"

    @property
    def ca_pem(self) -> str:
        """The certificate to trust, "" without TLS."""
        return self._certificates.authority if self._certificates else ""

    def _load_users(self) -> dict[str, dict[str, Any]]:
        path = self._directory / "users.json" if self._directory else None
        users: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path and path.exists() else {}
        for name, entry in users.items():
            self.tokens.add(entry["token"], User(name, entry["uid"], tuple(entry["groups"])))
        return users

    def _token_of(self, user: User) -> str:
        known = self._users.get(user.name)
        token: str = known["token"] if known else secrets.token_urlsafe(24)
        self.tokens.add(token, user)
        self._users[user.name] = {"token": token, "uid": user.uid, "groups": list(user.groups)}
        if self._directory:
            path = self._directory / "users.json"
            path.touch(mode=0o600)
            path.write_text(json.dumps(self._users, indent=1))
        return token

    def user_token(self, name: str, groups: Iterable[str] = (), *, uid: str = "") -> str:
        """A token that makes its bearer this user; the same one each time for a name.

        The user is in these groups from now on; without any, in those it was given before.
        """
        known = self._users.get(name) or {"uid": f"{name}-uid", "groups": []}
        return self._token_of(User(name, uid or known["uid"], tuple(groups) or tuple(known["groups"])))

    def token_for(
        self,
        namespace: str,
        service_account: str,
        seconds: int = 3600,
        audiences: Iterable[str] | None = None,
    ) -> str:
        """A service account's token, as TokenRequest issues it; raises Refusal 404 without such an account."""
        account = self._store.get("serviceaccounts", key_of(namespace, service_account))
        if account is None:
            raise Refusal(404, "NotFound", f'serviceaccounts "{service_account}" not found in {namespace}')
        return self.tokens.issue(namespace, account, seconds, list(audiences or AUDIENCES))[0]

    def write_kubeconfig(self, path: Path, *, user: str = "admin", groups: Iterable[str] = ()) -> Path:
        """Write a kubeconfig for the admin or for a named user, carrying CA and token; returns the path."""
        token = self.admin_token if user == "admin" else self.user_token(user, groups)
        cluster: dict[str, str] = {"server": self.url}
        if self.ca_pem:
            cluster["certificate-authority-data"] = base64.b64encode(self.ca_pem.encode()).decode()
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lynceus",
            "clusters": [{"name": "lynceus", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "lynceus", "context": {"cluster": "lynceus", "user": user}}],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def _load_key(self) -> bytes | None:
        path = self._directory / "service-accounts.pem" if self._directory else None
        return path.read_bytes() if path and path.exists() else None

    def _save_key(self, pem: bytes) -> None:
        if self._directory:
            path = self._directory / "service-accounts.pem"
            path.touch(mode=0o600)
            path.write_bytes(pem)

    # -- objects ---------------------------------------------------------------------------------------------

    def apply(self, objects: Iterable[Object]) -> None:
        """Create the objects, or replace them where they exist; raises Refusal in the server's words."""
        for wanted in objects:
            self._apply_one(wanted)

    def _apply_one(self, wanted: Object) -> None:
        resource = self._api.catalogue.by_kind(str(wanted.get("apiVersion")), str(wanted.get("kind")))
        if resource is None:
            raise no_such_resource()
        metadata = dict(wanted.get("metadata") or {})
        if resource.namespaced:
            metadata.setdefault("namespace", "default")
        namespace = metadata.get("namespace", "") if resource.namespaced else ""
        name = metadata.get("name", "")
        existing = self._store.get(resource.store, key_of(namespace, name))
        if existing is not None:
            metadata["resourceVersion"] = existing["metadata"]["resourceVersion"]
        method = "POST" if existing is None else "PUT"
        path = resource.path(namespace, "" if existing is None else name)
        self._request(method, path, wanted | {"metadata": metadata})

    def _request(self, method: str, path: str, body: Object) -> Object:
        headers = {"authorization": [f"Bearer {self.admin_token}"], "user-agent": ["lynceus"]}
        if method == "PATCH":
            headers["content-type"] = ["application/merge-patch+json"]
        response = self._api.handle(Request(method, path, {}, headers, encode(body)))
        answer: Object = json.loads(response.body)
        if response.status >= 400:
            raise Refusal(response.status, answer.get("reason", ""), answer.get("message", ""))
        return answer

    def answer(self, request: Request) -> Response:
        """The response to a request, without a socket between; a watch comes as its stream."""
        return self._api.handle(request)

    def objects(self, resource: str, namespace: str | None = None) -> list[Object]:
        """Copies of the objects of one plural (`secrets`, `workflows.argoproj.io`), sorted by namespace and name."""
        with self._store.lock:
            shelf = self._store.shelf(resource).objects
            return [copy.deepcopy(shelf[key]) for key in self._store.keys(resource, namespace or "")]

    def forget_history(self) -> None:
        """Compact: lists at old revisions, continue tokens and watches from before answer 410."""
        self._store.forget()

    def allowed(
        self, user: User, verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = ""
    ) -> bool:
        """Whether RBAC lets the user do it."""
        wanted = Attributes(verb, "", True, group, "", resource, "", namespace, name)
        return self._api.authorizer.decide(user, wanted).allowed

    # -- controllers -----------------------------------------------------------------------------------------

    def play_controller(
        self,
        finish_after: float | None,
        failure_rate: float = 0.0,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        """Run workflows: Running at once, ended after `finish_after` seconds, None never by themselves.

        `failure_rate` is the share that fails, 0 to 1; `on_change` gets one line per change.
        """
        self.stop_controller()
        self._controller = WorkflowController(
            self._store,
            clock=self._clock,
            finish_after=finish_after,
            failure_rate=failure_rate,
            on_change=on_change,
            chance=self._chance,
        )
        self._controller.start()

    def play_housekeeping(self) -> None:
        """End namespaces that are deleted, let dependents follow their owners, fill the Secrets of accounts.

        A real API server without controllers does none of it, so tests that are to hold for one leave it out.
        """
        self._housekeeper = Housekeeper(
            self._store,
            self._api.catalogue,
            request=self._request,
            sign=self.tokens.sign,
            authority=self.ca_pem,
        )
        self._housekeeper.start()

    def stop_controller(self) -> None:
        """Leave workflows as they are."""
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.stop()
