"""What every archive promises: the sentences of `chalicelib.ports.Archive`, each as a test.

A test module for one archive imports this class, and gives a fixture `stores` with an empty ledger and its archive.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.core.errors import BadRequest, NotFound
from chalicelib.core.submissions import end, reopen, start
from chalicelib.ports import NOTES, Archive, Ledger, Refusal
from tests.adapters.contract_ledger import BODY, MINUTE, NOW, record, submission
from tests.world import binding

Stores = tuple[Ledger, Archive]


def read_all(page: Any, limit: int = 3) -> list[Any]:
    """Every entry of a list, page by page."""
    found: list[Any] = []
    cursor = ""
    while True:
        entries, cursor = page(limit, cursor)
        assert len(entries) <= limit
        found += entries
        if not cursor:
            return found


class ArchiveContract:
    def test_a_days_events_are_listed_newest_first_page_by_page(self, stores: Stores) -> None:
        ledger, archive = stores
        for number in range(8):
            ledger.keep(record(f"e{number}", received_at=NOW + number * MINUTE), BODY, [])
        ledger.keep(record("other day", received_at=NOW + timedelta(days=1)), BODY, [])
        ledger.keep(record("other namespace", namespace="other"), BODY, [])

        found = read_all(lambda limit, cursor: archive.events("argo", NOW.date(), limit, cursor))

        assert [listed.received_at for listed in found] == [NOW + n * MINUTE for n in range(7, -1, -1)]
        assert found[0].id == record("e7").id
        assert found[0].summary["client"] == "github.com"
        assert found[0].summary["size"] == record("e7").size

    def test_a_cursor_of_nowhere_is_a_bad_request(self, stores: Stores) -> None:
        _, archive = stores

        for cursor in ("#", "e30=", "bnVsbA==", "ä", "W10="):
            with pytest.raises(BadRequest):
                archive.events("argo", NOW.date(), 3, cursor)

    def test_what_a_binding_came_to_is_listed_newest_first(self, stores: Stores) -> None:
        ledger, archive = stores
        for number in range(5):
            moment = NOW + number * MINUTE
            ledger.keep(
                record(f"e{number}", received_at=moment),
                BODY,
                [submission(f"e{number}", "on-push", received_at=moment)],
            )
        ledger.keep(record("e9"), BODY, [submission("e9", "another")])

        found = read_all(lambda limit, cursor: archive.runs("event", "argo", "on-push", limit, cursor), 2)

        assert [run.received_at for run in found] == [NOW + n * MINUTE for n in range(4, -1, -1)]

    def test_a_workflow_leads_to_what_made_it(self, stores: Stores) -> None:
        ledger, archive = stores
        made = submission("e1", "on-push")
        ledger.keep(record("e1"), BODY, [made])

        assert [found.id for found in archive.of_workflow("argo", made.workflow)] == [made.id]
        assert archive.of_workflow("other", made.workflow) == []
        assert archive.of_workflow("argo", "another") == []

    def test_failed_submissions_are_listed_for_as_long_as_they_are(self, stores: Stores) -> None:
        ledger, archive = stores
        ledger.keep(record("e1"), BODY, [submission("e1", "on-push"), submission("e1", "fine")])
        pending = submission("e1", "on-push")
        begun = start(pending, NOW)
        ledger.advance(pending, begun)
        failed = end(begun, "failed", "invalid", "no good", NOW + MINUTE)
        ledger.advance(begun, failed)

        before, _ = archive.failed("argo", 10, "")
        again = reopen(failed, failed, NOW + 2 * MINUTE)
        ledger.advance(failed, again)
        after, _ = archive.failed("argo", 10, "")

        assert [(found.source, found.progress.message) for found in before] == [("on-push", "no good")]
        assert after == []

    def test_notes_come_back_in_their_order(self, stores: Stores) -> None:
        _, archive = stores
        archive.note("e1", NOW + MINUTE, {"what": "second"})
        archive.note("e1", NOW, {"what": "first", "runs": ["w1"]})

        assert [note["what"] for note in archive.notes("e1")] in (["first", "second"], ["second", "first"])
        assert {note["at"] for note in archive.notes("e1")} == {NOW.isoformat(), (NOW + MINUTE).isoformat()}
        assert archive.notes("e2") == []

    def test_the_latest_notes_are_told_however_many_there_are(self, stores: Stores) -> None:
        _, archive = stores
        for number in range(NOTES + 5):
            archive.note("e1", NOW + number * MINUTE, {"what": "duplicate", "number": number})

        assert [note["number"] for note in archive.notes("e1")] == list(range(5, NOTES + 5))

    def test_a_binding_is_known_as_it_was_seen_last_before_a_moment(self, stores: Stores) -> None:
        _, archive = stores
        first, second = binding("b", "1 == 1"), binding("b", "2 == 2")
        for at, raw in ((0, first), (1, first), (2, second), (3, first)):
            archive.keep_binding(raw, NOW + at * MINUTE)

        def selector(minutes: float) -> str:
            raw = archive.binding_at("argo", "b", NOW + minutes * MINUTE)
            return str(raw["spec"]["event"]["selector"]) if raw else ""

        assert [selector(m) for m in (-1, 0.5, 1.5, 2.5, 3.5)] == ["", "1 == 1", "1 == 1", "2 == 2", "1 == 1"]
        assert archive.binding_at("other", "b", NOW + MINUTE) is None

    def test_an_annotation_makes_another_text_of_a_binding_and_a_version_does_not(
        self, stores: Stores
    ) -> None:
        _, archive = stores
        raw = binding("b")
        patient = binding("b", annotations={"lynceus.dev/expire-after": "1h"})
        archive.keep_binding(raw, NOW)
        archive.keep_binding({**raw, "metadata": {**raw["metadata"], "resourceVersion": "9"}}, NOW + MINUTE)
        archive.keep_binding(patient, NOW + 2 * MINUTE)

        found = archive.binding_at("argo", "b", NOW + 3 * MINUTE)

        assert found is not None
        assert found["metadata"]["annotations"] == {"lynceus.dev/expire-after": "1h"}

    def test_a_bindings_latest_error_is_counted(self, stores: Stores) -> None:
        _, archive = stores
        assert archive.error_of("argo", "b") is None

        archive.keep_error("argo", "b", "e1", "first", NOW)
        archive.keep_error("argo", "b", "e2", "x" * 900, NOW + MINUTE)

        found = archive.error_of("argo", "b")
        assert found is not None
        assert (found["event"], found["message"], found["count"]) == ("e2", "x" * 500, 2)
        assert found["at"] == (NOW + MINUTE).isoformat()

    def test_refused_minutes_add_up_and_keep_their_first_sample(self, stores: Stores) -> None:
        _, archive = stores
        archive.refuse(Refusal("argo", "no-match", NOW, 1, {"userAgent": "first"}))
        archive.refuse(Refusal("argo", "no-match", NOW, 9, {"userAgent": "tenth"}))
        archive.refuse(Refusal("argo", "no-client", NOW + MINUTE, 1, {}))
        archive.refuse(Refusal("other", "no-match", NOW, 5, {}))

        found = archive.refused("argo", NOW, 10)

        assert [(each.reason, each.count, dict(each.sample)) for each in found] == [
            ("no-client", 1, {}),
            ("no-match", 10, {"userAgent": "first"}),
        ]
        assert archive.refused("argo", NOW + 2 * MINUTE, 10) == []
        assert len(archive.refused("argo", NOW, 1)) == 1

    def test_an_erased_body_is_gone_and_the_record_stays(self, stores: Stores) -> None:
        ledger, archive = stores
        kept = record("e1")
        ledger.keep(kept, BODY, [])

        archive.erase_body(kept)

        with pytest.raises(NotFound):
            ledger.body(kept)
        assert ledger.event(kept.id) == replace(kept, nonce=kept.nonce)
