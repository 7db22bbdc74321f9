"""The last known bindings, for when the cluster is away: when a new list may replace the kept one (rule 12).

A list from an API server behind a load balancer may be older than one seen before, and a cluster that is
being restored may show no bindings at all for a moment. Believing either would make events match nothing,
silently. So a list that goes back in revision must be seen three times, and one that is empty after a
non-empty one twice, each a minute apart, before it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.submissions import digest_of

LOWER_SIGHTINGS = 3
EMPTY_SIGHTINGS = 2
APART = timedelta(seconds=50)  # a tick is a minute, and it may come early


@dataclass(frozen=True)
class Snapshot:
    """A namespace's bindings as raw objects, as far as dispatch needs them."""

    scope: str  # the namespace, or "*" for the whole cluster
    objects: tuple[Mapping[str, Any], ...]
    revision: int
    taken_at: datetime
    version: int = 0
    # A list that was seen and not yet believed.
    doubtful: str = ""  # what it looked like
    sightings: int = 0
    sighted_at: datetime | None = None

    @property
    def content(self) -> str:
        """A digest of what the objects are, so that an unchanged list is not written again."""
        versions = (
            f"{o['metadata'].get('namespace')}/{o['metadata'].get('name')}@{o['metadata'].get('resourceVersion')}"
            for o in self.objects
        )
        return digest_of("snapshot", *versions)


def slim(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The object without what dispatch never reads (managedFields alone are half of it)."""
    metadata = raw.get("metadata") or {}
    kept = {
        key: metadata[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "annotations", "labels")
        if key in metadata
    }
    annotations = dict(kept.get("annotations") or {})
    if annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None) is not None:
        kept["annotations"] = annotations
    return {"metadata": kept, "spec": raw.get("spec")}


def next_snapshot(stored: Snapshot | None, listed: Snapshot) -> Snapshot | None:
    """What to store after a complete list was read, None where nothing changes.

    `listed` comes from a complete list only; an interrupted one must not get here.
    """
    if stored is None:
        return listed
    lower = listed.revision < stored.revision
    emptied = bool(stored.objects) and not listed.objects
    if not lower and not emptied:
        if stored.content == listed.content and not stored.doubtful:
            return None
        return replace(listed, version=stored.version + 1)
    look = "empty" if emptied else "lower"
    needed = LOWER_SIGHTINGS if lower else EMPTY_SIGHTINGS
    if stored.doubtful != look or stored.sighted_at is None:
        return replace(
            stored, doubtful=look, sightings=1, sighted_at=listed.taken_at, version=stored.version + 1
        )
    if listed.taken_at - stored.sighted_at < APART:
        return None
    if stored.sightings + 1 >= needed:
        return replace(listed, version=stored.version + 1)
    return replace(
        stored, sightings=stored.sightings + 1, sighted_at=listed.taken_at, version=stored.version + 1
    )
