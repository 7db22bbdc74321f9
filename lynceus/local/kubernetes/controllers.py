"""Plays the workflow controller: workflows run for a while and end, so that policies can be seen at work.

It reads and writes objects as a controller does, by watching and patching, but runs no container. A workflow gets
`Running` at once, then `Succeeded` or `Failed` after its time, with times and progress; `spec.shutdown` ends it
early and `spec.suspend` holds it. Each change is told in one line, for people to watch.
Source: argo-workflows workflow/controller/operator.go, markWorkflowPhase and the shutdown strategies.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any, Final

from lynceus.local.kubernetes.objects import timestamp
from lynceus.local.kubernetes.stores import Store

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
