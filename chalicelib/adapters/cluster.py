"""The Kubernetes API, through the official client: raw JSON in and out, one ApiClient a process.

Three identities speak here, and each call says which. Most reads are made with our own narrow rights; templates
are read and Workflows created as the account they are for, by impersonation, so that the API server itself
decides; and a stranger's token is judged by one cheap call made with that token and nothing of ours.

Only the lowest layer of the client is used, `ApiClient.call_api`. The generated classes above it read an
answer only under the status they expect, so that a create answered 200 comes back as None, and check every
argument with pydantic. Timeouts are given with every call, retries are off: urllib3 would repeat a POST whose answer
was lost. Headers are given with every call too; default headers are shared by all threads.

Every answer of 400 and over becomes a ClusterError, everything that prevents an answer Unavailable, here and
nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from chalicelib.adapters.eks import EksToken
from chalicelib.core.bindings import BindingList, binding_from_object, instance_selector
from chalicelib.core.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    LynceusError,
    Misconfigured,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from chalicelib.core.events import Account
from chalicelib.core.snapshots import Snapshot, slim
from chalicelib.ports import Clock, Journal
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from kubernetes.client import ApiClient, Configuration

ARGO = "/apis/argoproj.io/v1alpha1"
CRON_LABEL = "workflows.argoproj.io/cron-workflow"
BACKFILL_LABEL = "workflows.argoproj.io/backfill"

# Seconds to connect, and seconds to wait for an answer. Behind a list at the door stands the snapshot, and a
# sender who waits no more than three seconds; behind a token or an account's uid stands nothing.
DOOR = (1.0, 1.5)
JUDGE = (2.0, 3.0)
READ = (2.0, 10.0)
LIST = (2.0, 12.0)  # a whole cluster; the tick has 55 s, and a sweep to make behind two lists that hang

VERDICT_SECONDS = 60.0  # how long the cluster's word on a token counts, at most
ACCOUNT_SECONDS = 30.0
REPORT_SECONDS = 60.0  # between two patches of one Event
CACHE_LIMIT = 1000  # entries of each cache: strangers choose the keys
PAGE = 500  # objects in one answer of a consistent list
TOKEN_LIMIT = 16 * 1024  # characters; API Gateway takes 10 KB of headers
MESSAGE_LIMIT = 2000  # characters kept of an answer that is no Status

# RFC 9110 field values, without what could end the header.
_HEADER = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

V = TypeVar("V")


class _Recent(OrderedDict[str, tuple[float, V]]):
    """Values that count until a time; bounded, the oldest goes first."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def find(self, key: str, now: float) -> V | None:
        """The value, while it counts."""
        with self._lock:
            until, value = self.get(key, (0.0, None))
            return value if now < until else None

    def keep(self, key: str, value: V, until: float) -> None:
        """Let the value count until the time."""
        with self._lock:
            self.pop(key, None)
            self[key] = (until, value)
            if len(self) > CACHE_LIMIT:
                self.popitem(last=False)


@dataclass
class _Reported:
    """What this process knows of one Event: repeats are gathered and written once a minute."""

    waiting: int = 0  # repeats not written yet
    count: int = 0
    patched_at: float = 0.0


@dataclass
class Connection:
    """How to reach the API server: a client for our own calls, and one that presents nothing of ours."""

    own: ApiClient
    bare: ApiClient
    authorization: Callable[[], str]  # of our own calls; "" where TLS says who we are
    renew: Callable[[], None] = field(default=lambda: None)  # the server refused it


def connect(settings: Settings, clock: Clock) -> Connection:
    """The connection that the settings describe; raises Misconfigured where they describe none."""
    from kubernetes import client
    from urllib3 import Retry

    if settings.kubeconfig:
        # Reading kubeconfigs drags in requests and OAuth: on Lambda there is none, and a cold start would pay.
        from kubernetes import config

        try:
            own = config.new_client_from_config(  # type: ignore[no-untyped-call]  # the client's config has no types
                settings.kubeconfig, settings.kube_context or None
            )
        except (config.ConfigException, OSError) as error:
            raise Misconfigured(f"kubeconfig {settings.kubeconfig} cannot be used: {error}") from error
        found = own.configuration
        bare = client.Configuration(
            host=found.host, ssl_ca_cert=found.ssl_ca_cert, ca_cert_data=found.ca_cert_data,
            verify_ssl=found.verify_ssl, tls_server_name=found.tls_server_name,
        )  # fmt: skip
    elif settings.cluster_endpoint:
        try:
            ca = base64.b64decode(settings.cluster_ca, validate=True).decode("ascii")
        except (binascii.Error, ValueError):
            raise Misconfigured(
                "LYNCEUS_CLUSTER_CA is no base64 of a PEM: take certificateAuthority.data of the cluster"
            ) from None
        found = client.Configuration(host=settings.cluster_endpoint.rstrip("/"), ca_cert_data=ca or None)
        bare = found
    else:
        raise Misconfigured(
            "no cluster: set LYNCEUS_CLUSTER_ENDPOINT and LYNCEUS_CLUSTER_CA, or LYNCEUS_KUBECONFIG"
        )
    for configuration in (found, bare):
        # Not 0: that would wrap every failure in MaxRetryError, and follow no redirect but raise for it.
        configuration.retries = Retry(False)
    # A second client, because a client certificate speaks for its owner in every call of the first.
    clients = client.ApiClient(found), client.ApiClient(bare)
    for each in clients:
        each.user_agent = "lynceus"
    if settings.kubeconfig:
        return Connection(*clients, lambda: _kubeconfig_authorization(found))
    eks = EksToken(settings.cluster_name, settings.region, clock)
    return Connection(*clients, lambda: f"Bearer {eks.token()}", eks.forget)


def _kubeconfig_authorization(configuration: Configuration) -> str:
    """The header that the kubeconfig's user sends, "" for one with a certificate; runs its exec plugin when due."""
    from kubernetes.config import ConfigException

    try:
        return str(configuration.auth_settings().get("BearerToken", {}).get("value") or "")
    except ConfigException as error:
        raise Unavailable(f"the kubeconfig's user cannot sign in: {error}") from error


class KubernetesCluster:
    """The Cluster port over a real API server."""

    def __init__(self, settings: Settings, clock: Clock, journal: Journal) -> None:
        self._settings, self._clock, self._journal = settings, clock, journal
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._verdicts: _Recent[Account] = _Recent()
        self._uids: _Recent[str] = _Recent()
        self._reported: _Recent[_Reported] = _Recent()

    # Bindings and callers

    def bindings(self, namespace: str) -> BindingList:
        """See `chalicelib.ports.Cluster.bindings`."""
        items, revision = self._cached_bindings(namespace, DOOR if namespace else LIST)
        bindings = tuple(binding_from_object(raw) for raw in items)
        return BindingList(namespace, bindings, revision, self._clock.now())

    def raw_bindings(self, namespace: str) -> Snapshot:
        """See `chalicelib.ports.Cluster.raw_bindings`."""
        items, revision = self._cached_bindings(namespace, LIST)
        return Snapshot(namespace or "*", tuple(slim(raw) for raw in items), revision, self._clock.now())

    def caller(self, authorization: str, namespace: str) -> Account:
        """See `chalicelib.ports.Cluster.caller`.

        Schemes and texts are Argo's (server/auth/gatekeeper.go, util/kubeconfig). A verdict counts for a minute at
        most and never longer than the token; a refusal is asked for anew each time, so that a right just
        granted counts at once. Unavailable when the cluster is away and has not judged the token before.
        """
        authorization = authorization_of(authorization)
        key = hashlib.sha256(f"{namespace}\0{authorization}".encode()).hexdigest()
        now = self._clock.monotonic()
        known = self._verdicts.find(key, now)
        if known:
            return known
        try:
            # Matches nothing, so it costs nothing; what counts is the status.
            self._call(
                "GET",
                f"{ARGO}/namespaces/{quote(namespace, safe='')}/workfloweventbindings",
                {"resourceVersion": "0", "labelSelector": "x,!x"},
                authorization=authorization,
                patience=JUDGE,
            )
            review = self._review("selfsubjectreviews", {}, authorization)
        except ClusterError as error:
            raise _refusal(error) from error
        user = (review.get("status") or {}).get("userInfo") or {}
        account = account_of(str(user.get("username", "")), str(user.get("uid", "")), namespace)
        lifetime = min(VERDICT_SECONDS, _seconds_left(authorization, self._clock.now()))
        if lifetime > 0:
            self._verdicts.keep(key, account, now + lifetime)
        return account

    def allowed(self, authorization: str, namespace: str, verb: str, resource: str, name: str = "") -> str:
        """See `chalicelib.ports.Cluster.allowed`: a SelfSubjectAccessReview with the sender's own token."""
        foreign = authorization_of(authorization)
        plural, _, group = resource.partition(".")
        wish = {"namespace": namespace, "verb": verb, "group": group, "resource": plural, "name": name}
        try:
            review = self._review("selfsubjectaccessreviews", {"resourceAttributes": wish}, foreign)
            if (review.get("status") or {}).get("allowed") is True:
                return self._user_of(foreign)
            user = self._user_of(foreign)
        except ClusterError as error:
            raise _refusal(error) from error
        raise Forbidden(
            f'{plural}.{group} is forbidden: User "{user}" cannot {verb} resource "{plural}" '
            f'in API group "{group}" in the namespace "{namespace}"'
        )

    def bindings_as(self, authorization: str, namespace: str, query: Mapping[str, str]) -> dict[str, Any]:
        """See `chalicelib.ports.Cluster.bindings_as`."""
        foreign = authorization_of(authorization)
        try:
            return self._call(
                "GET", _path("workfloweventbindings", namespace), query, authorization=foreign, patience=JUDGE
            )
        except ClusterError as error:
            raise _refusal(error) from error

    def cron_workflow_as(self, authorization: str, namespace: str, name: str) -> dict[str, Any]:
        """See `chalicelib.ports.Cluster.cron_workflow_as`."""
        foreign = authorization_of(authorization)
        try:
            return self._call(
                "GET", _path("cronworkflows", namespace, name), authorization=foreign, patience=DOOR
            )
        except ClusterError as error:
            if error.status == 404:
                raise NotFound(error.message) from error
            raise _refusal(error) from error

    def backfilled_as(self, authorization: str, namespace: str, cron: str) -> list[dict[str, Any]]:
        """See `chalicelib.ports.Cluster.backfilled_as`."""
        foreign = authorization_of(authorization)
        try:
            return list(self._paged("workflows", namespace, f"{BACKFILL_LABEL}={cron}", foreign))
        except ClusterError as error:
            raise _refusal(error) from error

    def _user_of(self, foreign: str) -> str:
        review = self._review("selfsubjectreviews", {}, foreign)
        return str(((review.get("status") or {}).get("userInfo") or {}).get("username", ""))

    def _review(self, plural: str, spec: Mapping[str, Any], foreign: str) -> dict[str, Any]:
        group = "authentication.k8s.io" if plural == "selfsubjectreviews" else "authorization.k8s.io"
        kind = "SelfSubjectReview" if plural == "selfsubjectreviews" else "SelfSubjectAccessReview"
        body: dict[str, Any] = {"apiVersion": f"{group}/v1", "kind": kind}
        if spec:
            body["spec"] = spec
        return self._call(
            "POST", f"/apis/{group}/v1/{plural}", body=body, authorization=foreign, patience=JUDGE
        )

    # Templates and Workflows

    def template(self, account: Account, namespace: str, name: str, *, cluster_scope: bool) -> dict[str, Any]:
        """See `chalicelib.ports.Cluster.template`."""
        path = (
            _path("clusterworkflowtemplates", "", name)
            if cluster_scope
            else _path("workflowtemplates", namespace, name)
        )
        return self._call("GET", path, account=account)

    def create(self, account: Account | None, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """See `chalicelib.ports.Cluster.create`."""
        path = _path("workflows", manifest["metadata"]["namespace"])
        return self._call("POST", path, body=manifest, account=account)

    def workflow(self, namespace: str, name: str) -> dict[str, Any] | None:
        """See `chalicelib.ports.Cluster.workflow`."""
        return self._find(_path("workflows", namespace, name))

    def account_uid(self, namespace: str, name: str) -> str:
        """See `chalicelib.ports.Cluster.account_uid`."""
        key, now = f"{namespace}/{name}", self._clock.monotonic()
        known = self._uids.find(key, now)
        if known is None:
            path = f"/api/v1/namespaces/{quote(namespace, safe='')}/serviceaccounts/{quote(name, safe='')}"
            found = self._find(path, JUDGE)
            known = str(found["metadata"]["uid"]) if found else ""
            if known:  # absence is not kept: an account made a moment ago counts at once
                self._uids.keep(key, known, now + ACCOUNT_SECONDS)
        return known

    # CronWorkflows and their children

    def cron_workflows(self, namespace: str) -> Iterator[dict[str, Any]]:
        """See `chalicelib.ports.Cluster.cron_workflows`."""
        return self._paged("cronworkflows", namespace, instance_selector(self._settings.instance_id))

    def cron_workflow(self, namespace: str, name: str) -> dict[str, Any] | None:
        """See `chalicelib.ports.Cluster.cron_workflow`."""
        return self._find(_path("cronworkflows", namespace, name))

    def children(self, namespace: str, cron: str | None = None) -> Iterator[dict[str, Any]]:
        """See `chalicelib.ports.Cluster.children`."""
        return self._paged("workflows", namespace, CRON_LABEL if cron is None else f"{CRON_LABEL}={cron}")

    def patch(self, resource: str, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """See `chalicelib.ports.Cluster.patch`."""
        try:
            return self._call("PATCH", _path(resource, namespace, name), body=patch)
        except ClusterError as error:
            if error.status == 409:
                raise Conflict(error.message) from error
            raise

    def delete_workflow(self, namespace: str, name: str, uid: str) -> None:
        """See `chalicelib.ports.Cluster.delete_workflow`."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        try:
            self._call("DELETE", _path("workflows", namespace, name), body=options)
        except ClusterError as error:
            gone = error.status == 404 and error.reason == "NotFound"
            other = error.status == 409  # the name belongs to another object now
            if not (gone or other):
                raise

    # Visible errors

    def report(
        self, namespace: str, involved: Mapping[str, str], reason: str, message: str, now: datetime
    ) -> None:
        """See `chalicelib.ports.Cluster.report`."""
        name = event_name(involved, reason, now)
        try:
            self._report(namespace, name, involved, reason, message[:1024], now)
        except LynceusError as error:
            self._journal.error(
                "report.failed", namespace=namespace, object=involved.get("name"), error=error.message
            )

    def _report(
        self, namespace: str, name: str, involved: Mapping[str, str], reason: str, message: str, now: datetime
    ) -> None:
        moment, key = now.strftime("%Y-%m-%dT%H:%M:%SZ"), f"{namespace}/{name}"
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/events"
        monotonic = self._clock.monotonic()
        known = self._reported.find(key, monotonic)
        if known is None:
            # Kept first: where the Event cannot be written, it is not tried again for every failure either.
            known = _Reported(patched_at=monotonic)
            self._reported.keep(key, known, monotonic + 3600)
            event = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "involvedObject": {**involved, "namespace": namespace},
                "type": "Warning",
                "reason": reason,
                "message": message,
                "firstTimestamp": moment,
                "lastTimestamp": moment,
                "count": 1,
                "source": {"component": "lynceus"},
                "reportingComponent": "lynceus",
                "reportingInstance": "",
            }
            try:
                self._call("POST", path, body=event)
                known.count = 1
                return
            except ClusterError as error:
                if error.status != 409:
                    raise
            # Another process made it this hour. A patch shows how far it counted.
            known.waiting = 1
            seen = self._call("PATCH", f"{path}/{name}", body={"lastTimestamp": moment})
            known.count = int(seen.get("count") or 1)
        else:
            known.waiting += 1
            if monotonic - known.patched_at < REPORT_SECONDS:
                return
        change = {"count": known.count + known.waiting, "lastTimestamp": moment, "message": message}
        known.patched_at = monotonic
        self._call("PATCH", f"{path}/{name}", body=change)
        known.count, known.waiting = known.count + known.waiting, 0

    # Below all of it

    def _cached_bindings(
        self, namespace: str, patience: tuple[float, float]
    ) -> tuple[list[dict[str, Any]], int]:
        """Our bindings in the namespace ("" for all), from the API server's memory, and the list's revision."""
        query = {"resourceVersion": "0", "labelSelector": instance_selector(self._settings.instance_id)}
        answer = self._call("GET", _path("workfloweventbindings", namespace), query, patience=patience)
        revision = str((answer.get("metadata") or {}).get("resourceVersion", ""))
        # resourceVersion=0 ignores `limit`, so a list is complete; were it not, it must not pass for one.
        if (answer.get("metadata") or {}).get("continue"):
            raise Unavailable(
                "the list of workfloweventbindings came in parts, which a list from memory never does"
            )
        return list(answer.get("items") or ()), int(
            revision
        ) if revision.isascii() and revision.isdigit() else 0

    def _paged(
        self, plural: str, namespace: str, selector: str, authorization: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """What the selector chooses, consistently, and never more than a page of it at once in memory."""
        query = {"labelSelector": selector, "limit": str(PAGE)}
        path = _path(plural, namespace)
        while True:
            page = self._call("GET", path, query, authorization=authorization, patience=LIST)
            further = (page.get("metadata") or {}).get("continue")
            yield from page.pop("items", None) or ()
            if not further:
                return
            query["continue"] = further

    def _find(self, path: str, patience: tuple[float, float] = READ) -> dict[str, Any] | None:
        try:
            return self._call("GET", path, patience=patience)
        except ClusterError as error:
            # A missing kind is 404 too, as "404 page not found"; that says nothing about the object.
            if error.status == 404 and error.reason == "NotFound":
                return None
            raise

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        account: Account | None = None,
        authorization: str | None = None,
        patience: tuple[float, float] = READ,
    ) -> dict[str, Any]:
        """The answer's JSON; as the account where one is given, with the foreign authorization where one is."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError, ProtocolError

        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        if account:
            headers["Impersonate-User"] = account.username
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        elif body is not None:
            headers["Content-Type"] = "application/json"

        def once() -> tuple[int, Mapping[str, str], bytes]:
            connection = self._connected()
            ours = connection.authorization() if authorization is None else authorization
            client = connection.own if authorization is None else connection.bare
            request = client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params={**headers, **({"Authorization": ours} if ours else {})},
                body=body,
            )
            answer = client.call_api(*request, _request_timeout=patience)
            return answer.status, answer.headers, answer.read()  # type: ignore[no-untyped-call]  # nor its answers

        try:
            try:
                status, told, content = once()
            except ProtocolError:
                # After a pause the other side has often closed the connection; nothing was asked of it then, or
                # nothing that may not be asked twice.
                if method != "GET":
                    raise
                status, told, content = once()
            if status == 401 and authorization is None:
                self._connected().renew()
                status, told, content = once()
        except (HTTPError, ApiException, OSError) as error:
            text = str(getattr(error, "reason", "") or error) or type(error).__name__
            raise Unavailable(f"the Kubernetes API does not answer: {text[:300]}") from error
        return _answer(method, path, status, told, content)

    def _connected(self) -> Connection:
        with self._lock:
            if self._connection is None:
                self._connection = connect(self._settings, self._clock)
                if self._settings.kubeconfig:
                    self._connection.renew = self._disconnect
            return self._connection

    def _disconnect(self) -> None:
        """Read the kubeconfig again at the next call: a token file or an exec plugin may have a new token."""
        with self._lock:
            self._connection = None


def _path(plural: str, namespace: str, name: str = "") -> str:
    """The path of a list or an object; without a namespace that of all namespaces, or of a cluster-wide kind."""
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{ARGO}{scope}/{plural}" + (f"/{quote(name, safe='')}" if name else "")


def _answer(
    method: str, path: str, status: int, headers: Mapping[str, str], content: bytes
) -> dict[str, Any]:
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        read = None
    if status < 400 and isinstance(read, dict):
        return read
    if status < 400:
        raise Unavailable(
            f"the Kubernetes API answered {method} {path} with {status} and something that is no object"
        )
    told = read if isinstance(read, dict) else {}
    message = str(
        told.get("message") or content.decode("utf-8", "replace").strip() or f"HTTP status {status}"
    )
    retry_after = headers.get("Retry-After", "")
    raise ClusterError(
        status,
        str(told.get("reason") or ""),
        message[:MESSAGE_LIMIT],
        retry_after=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
    )


def authorization_of(header: str) -> str:
    """The header to send on; raises Unauthenticated for one that Argo would not take."""
    scheme, blank, value = header.partition(" ")
    if not blank or scheme not in ("Bearer", "Basic"):
        raise Unauthenticated("no bearer token")
    value = value.strip()
    if len(value) > TOKEN_LIMIT or not _HEADER.fullmatch(value):
        raise Unauthenticated("malformed token", message="Unauthorized")
    if scheme == "Basic":
        try:
            decoded = base64.b64decode(value, validate=True)
        except binascii.Error:
            decoded = b""
        if b":" not in decoded:
            raise Unauthenticated(
                "malformed basic", message="failed to create REST config: error parsing basic authentication"
            )
    return f"{scheme} {value}"


def _refusal(error: ClusterError) -> LynceusError:
    """What the caller hears of the cluster's answer to the caller's own token."""
    if error.status == 401:
        return Unauthenticated("refused by the cluster", message="Unauthorized")
    if error.status == 403:
        return Forbidden(error.message)
    if error.status == 429 or error.status >= 500:
        return Unavailable(
            f"the Kubernetes API could not judge the token: {error.message}", retry_after=error.retry_after
        )
    return error


def _seconds_left(authorization: str, now: datetime) -> float:
    """Until the token ends, by its own word, which is safe once the cluster has accepted it; else for ever."""
    try:
        payload = authorization.split(".")[1]
        ends = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"]
        return float(ends) - now.timestamp()
    except (IndexError, KeyError, TypeError, ValueError, RecursionError, OverflowError):
        return float("inf")


def account_of(username: str, uid: str, namespace: str) -> Account:
    """The account of that user name; raises Forbidden for whoever is no ServiceAccount of the namespace (rule 16)."""
    parts = username.split(":", 3)
    if parts[:2] != ["system", "serviceaccount"] or parts[2:3] != [namespace] or len(parts) != 4:
        raise Forbidden(
            f'"{username[:300]}" is no service account of namespace "{namespace}": events are accepted from '
            "service accounts of the namespace they are sent to, since these are acted for later"
        )
    return Account(namespace, parts[3], uid)


def event_name(involved: Mapping[str, str], reason: str, now: datetime) -> str:
    """The name of the Event for the object, the reason and the hour: whoever fails first this hour makes it."""
    parts = (
        involved.get("uid", ""),
        involved.get("kind", ""),
        involved.get("name", ""),
        reason,
        f"{now:%Y%m%d%H}",
    )
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return f"{involved.get('name', '')[:200].rstrip('-.')}.{digest}".lstrip(".")
