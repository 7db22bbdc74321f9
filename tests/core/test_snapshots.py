"""When a list of bindings is believed (rule 12)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from chalicelib.core.snapshots import Snapshot, next_snapshot, slim

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def listed(revision: int, *names: str, at: datetime = NOW) -> Snapshot:
    objects = tuple(
        {"metadata": {"name": name, "namespace": "argo", "resourceVersion": str(revision)}, "spec": {}}
        for name in names
    )
    return Snapshot("argo", objects, revision, at)


def test_the_first_list_is_believed() -> None:
    assert next_snapshot(None, listed(5, "a")) == listed(5, "a")


def test_an_unchanged_list_is_not_written_again() -> None:
    assert next_snapshot(listed(5, "a"), replace(listed(5, "a"), revision=9)) is None


def test_a_later_list_replaces_the_stored_one() -> None:
    following = next_snapshot(listed(5, "a"), listed(6, "a", "b"))

    assert following is not None
    assert (len(following.objects), following.version) == (2, 1)


def test_rule_12_a_lower_revision_is_believed_at_the_third_sighting_a_minute_apart() -> None:
    stored = listed(50, "a", "b")
    for minute in (1, 2):
        following = next_snapshot(stored, listed(7, "a", at=NOW + minute * MINUTE))
        assert following is not None
        assert len(following.objects) == 2
        stored = following

    believed = next_snapshot(stored, listed(7, "a", at=NOW + 3 * MINUTE))

    assert believed is not None
    assert (believed.revision, len(believed.objects), believed.doubtful) == (7, 1, "")


def test_rule_12_an_empty_list_after_a_full_one_needs_two_sightings() -> None:
    first = next_snapshot(listed(5, "a"), listed(6, at=NOW + MINUTE))
    assert first is not None
    assert len(first.objects) == 1

    second = next_snapshot(first, listed(6, at=NOW + 2 * MINUTE))

    assert second is not None
    assert second.objects == ()


def test_rule_12_two_sightings_in_one_minute_are_one() -> None:
    first = next_snapshot(listed(5, "a"), listed(6, at=NOW))
    assert first is not None

    assert next_snapshot(first, listed(6, at=NOW + timedelta(seconds=10))) is None


def test_a_good_list_in_between_makes_the_doubt_go() -> None:
    doubtful = next_snapshot(listed(5, "a"), listed(6, at=NOW))
    assert doubtful is not None

    mended = next_snapshot(doubtful, listed(7, "a", at=NOW + MINUTE))

    assert mended is not None
    assert (mended.doubtful, mended.sightings) == ("", 0)


def test_a_slim_object_has_what_dispatch_reads_and_no_more() -> None:
    raw = {
        "metadata": {"name": "a", "namespace": "argo", "uid": "u", "resourceVersion": "1", "managedFields": [1],
                     "annotations": {"lynceus.dev/on-doubt": "skip",
                                     "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "spec": {"event": {"selector": "true"}},
        "status": {},
    }  # fmt: skip

    slimmed = slim(raw)

    assert slimmed["metadata"]["annotations"] == {"lynceus.dev/on-doubt": "skip"}
    assert "managedFields" not in slimmed["metadata"]
    assert "kubectl.kubernetes.io/last-applied-configuration" in raw["metadata"]["annotations"]  # type: ignore[index]
