"""Plays the controllers of a cluster: the workflow controller, and the housekeeping of Kubernetes' own.

Workflows run for a while and end, so that policies can be seen at work; no container runs. A workflow gets
`Running` at once, then `Succeeded` or `Failed` after its time, with times and progress; `spec.shutdown` ends it
early and `spec.suspend` holds it. Each change is told in one line, for people to watch.
Source: argo-workflows workflow/controller/operator.go, markWorkflowPhase and the shutdown strategies.
"""

from __future__ import annotations

import base64
import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any, Final

from lynceus.local.kubernetes.objects import timestamp
from lynceus.local.kubernetes.resources import Catalogue
from lynceus.local.kubernetes.statuses import Refusal, no_such_resource
from lynceus.local.kubernetes.stores import Change, Store
from lynceus.local.kubernetes.strategies import SA_NAME, SA_TOKEN
from lynceus.local.kubernetes.tokens import LEGACY_ISSUER

Object = dict[str, Any]

WORKFLOWS: Final = "workflows.argoproj.io"
_DONE: Final = ("Succeeded", "Failed", "Error")
_LOOK: Final = 0.2  # seconds between looks at the clock while workflows run
# How a shutdown strategy ends a workflow. Source: operator.go, "Stopped with strategy"
_STOPPED: Final = {"Stop": "Stopped with strategy 'Stop'", "Terminate": "Stopped with strategy 'Terminate'"}


class WorkflowController:
    """Runs every workflow for `finish_after` seconds; None leaves them running until they are shut down."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        finish_after: float | None,
        failure_rate: float,
        on_change: Callable[[str], None] | None,
        chance: random.Random,
    ) -> None:
        self._store, self._clock, self._chance = store, clock, chance
        self._finish_after, self._failure_rate = finish_after, failure_rate
        self._on_change = on_change
        self._ends: dict[str, float] = {}  # uid → when the run is over
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workflow-controller", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End after the change in hand."""
        self._stopped.set()
        with self._store.lock:
            self._store.changed.notify_all()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        seen = -1
        while not self._stopped.is_set():
            with self._store.lock:
                if self._store.revision == seen:
                    self._store.changed.wait(_LOOK if self._ends else None)
                changed = self._store.revision != seen
                if changed or self._ends:
                    lines = self._reconcile()
                    seen = self._store.revision
                else:
                    lines = []
            for line in lines:
                if self._on_change is not None:
                    self._on_change(line)

    def _reconcile(self) -> list[str]:
        """Move every workflow on that is due; returns the lines to tell. The lock is held."""
        lines: list[str] = []
        now = self._clock()
        running: dict[str, float] = {}
        for key, workflow in list(self._store.shelf(WORKFLOWS).objects.items()):
            if (workflow.get("status") or {}).get("phase") in _DONE:
                continue
            uid = workflow["metadata"]["uid"]
            changed = self._next(workflow, now)
            if changed is not None:
                labels, status = changed
                self._write(key, workflow, labels, status)
                lines.append(_line(workflow, status, now))
            if changed is None or changed[1].get("phase") not in _DONE:
                running[uid] = self._ends.get(uid, now)
        self._ends = running
        return lines

    def _next(self, workflow: Object, now: float) -> tuple[dict[str, str], Object] | None:
        """The labels and status that follow, None when nothing is due."""
        status: Object = workflow.get("status") or {}
        spec: Object = workflow.get("spec") or {}
        uid = workflow["metadata"]["uid"]
        if not status.get("phase"):
            self._ends[uid] = now + self._finish_after if self._finish_after is not None else float("inf")
            started = {"phase": "Running", "startedAt": timestamp(now), "progress": "0/1"}
            return {"workflows.argoproj.io/phase": "Running"}, status | started
        if uid not in self._ends:  # running since before this controller
            self._ends[uid] = now + self._finish_after if self._finish_after is not None else float("inf")
        shutdown = spec.get("shutdown")
        if shutdown:
            return _ended(
                status, "Failed", now, _STOPPED.get(shutdown, f"Stopped with strategy '{shutdown}'")
            )
        if spec.get("suspend") or now < self._ends[uid]:
            return None
        failed = self._chance.random() < self._failure_rate
        return _ended(status, "Failed" if failed else "Succeeded", now, "child failed" if failed else "")

    def _write(self, key: str, workflow: Object, labels: dict[str, str], status: Object) -> None:
        metadata = dict(workflow["metadata"])
        metadata["labels"] = (metadata.get("labels") or {}) | labels
        metadata["generation"] = metadata.get("generation", 1) + 1
        self._store.write(WORKFLOWS, key, workflow | {"metadata": metadata, "status": status})


def _ended(status: Object, phase: str, now: float, message: str) -> tuple[dict[str, str], Object]:
    labels = {"workflows.argoproj.io/phase": phase, "workflows.argoproj.io/completed": "true"}
    ended: Object = {
        "phase": phase,
        "finishedAt": timestamp(now),
        "progress": "0/1" if phase == "Failed" else "1/1",
        "conditions": [{"type": "Completed", "status": "True"}],
    }
    return labels, status | ended | ({"message": message} if message else {})


def _line(workflow: Object, status: Object, now: float) -> str:
    metadata = workflow["metadata"]
    message = f"  {status['message']}" if status.get("message") else ""
    moment = timestamp(now)[11:19]
    return f"{moment}  {status['phase']:<9}  {metadata['namespace']}/{metadata['name']}{message}"


# -- housekeeping --------------------------------------------------------------------------------------------


class Housekeeper:
    """Does what a cluster's own controllers do for objects nobody asks for again.

    Namespaces that are being deleted are emptied and ended, dependents follow their owners, the finalizers of
    foreground deletion and orphaning are worked off, and Secrets of type service-account-token get their token.
    A real API server alone does none of it; `request(method, path, body)` is its way in, as the admin.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        *,
        request: Callable[[str, str, Object], Object],
        sign: Callable[[Object], str],
        authority: str,
    ) -> None:
        self._store, self._catalogue = store, catalogue
        self._request, self._sign, self._authority = request, sign, authority
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End after the change in hand."""
        self._stopped.set()
        with self._store.lock:
            self._store.changed.notify_all()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        seen = 0
        while not self._stopped.is_set():
            with self._store.lock:
                if self._store.revision == seen:
                    self._store.changed.wait()
                changes = self._store.all_changes(seen)
                seen = self._store.revision
            for change in changes:
                # Somebody else may have been there first, and then there is nothing left to do.
                with contextlib.suppress(Refusal):
                    self._follow(change)

    def _follow(self, change: Change) -> None:
        if change.after is None:
            self._remove_dependents(change.last["metadata"]["uid"], orphan=False)
            self._end_namespace(change.last["metadata"].get("namespace", ""))
            return
        metadata = change.after["metadata"]
        if metadata.get("deletionTimestamp"):
            if change.store == "namespaces":
                self._empty_namespace(metadata["name"])
            for finalizer in ("orphan", "foregroundDeletion"):
                if finalizer in (metadata.get("finalizers") or ()):
                    self._remove_dependents(metadata["uid"], orphan=finalizer == "orphan")
                    left = [each for each in metadata["finalizers"] if each != finalizer]
                    self._patch(change.store, change.key, {"metadata": {"finalizers": left}})
        elif change.store == "secrets" and change.after.get("type") == SA_TOKEN:
            self._fill_token(change.after)

    def _objects(self, namespace: str = "") -> list[tuple[str, str, Object]]:
        """(store, key, object) of everything, or of everything in a namespace."""
        with self._store.lock:
            return [
                (store, key, instance)
                for store in self._store.stores()
                for key, instance in self._store.shelf(store).objects.items()
                if not namespace or key.startswith(f"{namespace}/")
            ]

    def _remove_dependents(self, uid: str, *, orphan: bool) -> None:
        for store, key, instance in self._objects():
            owners = instance["metadata"].get("ownerReferences") or []
            others = [owner for owner in owners if owner.get("uid") != uid]
            if len(others) == len(owners):
                continue
            if others or orphan:
                self._patch(store, key, {"metadata": {"ownerReferences": others}})
            else:
                self._delete(store, key)

    def _empty_namespace(self, name: str) -> None:
        for store, key, instance in self._objects(name):
            if not instance["metadata"].get("deletionTimestamp"):
                self._delete(store, key)
        self._end_namespace(name)

    def _end_namespace(self, name: str) -> None:
        namespace = self._store.get("namespaces", name) if name else None
        if (
            namespace is not None
            and namespace["metadata"].get("deletionTimestamp")
            and not self._objects(name)
        ):
            body = {"metadata": {"name": name}, "spec": {"finalizers": []}}
            self._request("PUT", f"/api/v1/namespaces/{name}/finalize", body)

    def _fill_token(self, secret: Object) -> None:
        """The legacy token of a service account, as the token controller writes it."""
        metadata = secret["metadata"]
        if (secret.get("data") or {}).get("token"):
            return
        namespace, account_name = metadata["namespace"], metadata["annotations"][SA_NAME]
        account = self._store.get("serviceaccounts", f"{namespace}/{account_name}")
        if account is None:
            return
        claim = "kubernetes.io/serviceaccount/"
        token = self._sign(
            {
                "iss": LEGACY_ISSUER,
                f"{claim}namespace": namespace,
                f"{claim}secret.name": metadata["name"],
                f"{claim}service-account.name": account_name,
                f"{claim}service-account.uid": account["metadata"]["uid"],
                "sub": f"system:serviceaccount:{namespace}:{account_name}",
            }
        )
        data = {"token": token, "ca.crt": self._authority, "namespace": namespace}
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
        uid = {"kubernetes.io/service-account.uid": account["metadata"]["uid"]}
        key = f"{namespace}/{metadata['name']}"
        self._patch("secrets", key, {"data": encoded, "metadata": {"annotations": uid}})

    def _path(self, store: str, key: str) -> str:
        resource = self._catalogue.by_store(store)
        if resource is None:
            raise no_such_resource()
        namespace, _, name = key.rpartition("/")
        return resource.path(namespace, name)

    def _patch(self, store: str, key: str, body: Object) -> None:
        with contextlib.suppress(Refusal):
            self._request("PATCH", self._path(store, key), body)

    def _delete(self, store: str, key: str) -> None:
        with contextlib.suppress(Refusal):
            self._request("DELETE", self._path(store, key), {})
