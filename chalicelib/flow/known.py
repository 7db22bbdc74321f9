"""The bindings as last known: from memory for seconds, from the cluster, or from the ledger's snapshot.

The order follows the state of the cluster (rule 11). While it answers, a list of a few seconds ago will do
and a new one is read when it is older, so that `kubectl apply` is seen at once. When a read fails, or the
tick has said that the cluster is away, what was seen last answers without waiting, here or in the snapshot, and
one read each half minute tries whether the cluster is back.
"""

from __future__ import annotations

from datetime import timedelta

from chalicelib.core.bindings import BindingList, binding_from_object
from chalicelib.core.errors import LynceusError, Unavailable
from chalicelib.ports import Ports
from chalicelib.settings import Settings

PROBE_SECONDS = 30.0
HEALTH_SECONDS = 15.0  # how long the tick's word on the cluster's health is taken from memory
HEALTH_STALE = timedelta(minutes=5)  # older words of the tick prove nothing


class KnownBindings:
    """The bindings of each namespace, for one container."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._ports = ports
        self._settings = settings
        self._lists: dict[str, tuple[float, BindingList]] = {}
        self._closed_until = 0.0  # monotonic: no read of the cluster before
        self._away = False  # found so, or told so by the tick: the next read is a probe
        self._health_read = float("-inf")

    def of(self, namespace: str) -> BindingList | None:
        """The namespace's bindings, None where nobody ever saw them and the cluster is away."""
        now = self._ports.clock.monotonic()
        kept = self._lists.get(namespace)
        if kept and now - kept[0] < self._settings.bindings_ttl:
            return kept[1]
        if self._may_ask(now):
            try:
                listed = self._ports.cluster.bindings(namespace)
            except LynceusError as error:
                self._leave_alone(now)
                self._ports.journal.error("cluster.away", namespace=namespace, error=error.message)
            else:
                self._away = False
                self._lists[namespace] = (now, listed)
                return listed
        last = self._last_known(namespace, kept[1] if kept else None)
        if last:
            self._lists[namespace] = (now, last)
        return last

    def account_uid(self, namespace: str, name: str) -> str:
        """The uid of the ServiceAccount, "" where there is none or the cluster does not tell.

        It keeps to the breaker: while the cluster is away an event must not wait for it twice.
        """
        now = self._ports.clock.monotonic()
        if self._away or not self._may_ask(now):
            return ""  # a probe is for the bindings
        try:
            return self._ports.cluster.account_uid(namespace, name)
        except Unavailable:
            self._leave_alone(now)
            return ""
        except LynceusError as error:
            self._ports.journal.error(
                "account.unknown", namespace=namespace, account=name, error=error.message
            )
            return ""

    def _may_ask(self, now: float) -> bool:
        """True when the cluster may be asked now; while it is away, for one probe each half minute."""
        if now < self._closed_until:
            return False
        if not self._away and self._said_to_be_away(now):
            self._leave_alone(now)
            return False
        return True

    def _leave_alone(self, now: float) -> None:
        self._away = True
        self._closed_until = now + PROBE_SECONDS

    def _said_to_be_away(self, now: float) -> bool:
        """True while the tick says that the cluster is away."""
        if now - self._health_read < HEALTH_SECONDS:
            return False
        self._health_read = now
        try:
            health = self._ports.ledger.health()
        except LynceusError:
            return False
        if health is None or health.cluster_up:
            return False
        return self._ports.clock.now() - health.checked_at <= HEALTH_STALE

    def _last_known(self, namespace: str, kept: BindingList | None) -> BindingList | None:
        """The younger of our own list and the snapshot: what was applied since the last tick stands in ours alone."""
        try:
            snapshot = self._ports.ledger.snapshot(namespace)
        except LynceusError:
            return kept
        if snapshot is None or (kept and kept.taken_at >= snapshot.taken_at):
            return kept
        bindings = tuple(binding_from_object(raw) for raw in snapshot.objects)
        return BindingList(namespace, bindings, snapshot.revision, snapshot.taken_at)
