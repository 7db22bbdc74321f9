"""What every ledger promises: the sentences of `chalicelib.ports.Ledger`, each as a test.

A test module for one ledger imports this class, and gives a fixture `ledger` that returns an empty one:

    class TestMemoryLedger(LedgerContract): ...

Times of the outbox that the port leaves to the ledger are asked for far in the future.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core.bindings import ERROR, MATCHED, Verdict
from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.events import Account
from chalicelib.core.records import EventRecord, body_digest
from chalicelib.core.snapshots import Snapshot
from chalicelib.core.submissions import (
    Progress,
    Submission,
    TemplateRef,
    digest_of,
    end,
    reopen,
    start,
    submission_id,
    succeed,
    wait,
    workflow_name,
)
from chalicelib.ports import CronState, Health, Ledger, Outstanding

NOW = datetime(2026, 3, 2, 12, 0, 0, 250000, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FAR = NOW + timedelta(days=1)
BODY = b'{"text": "\\u00e4", "raw": "\xff\x00"}'


def record(name: str = "one", **more: Any) -> EventRecord:
    values: dict[str, Any] = {
        "id": digest_of("test event", name),
        "claim": digest_of("test claim", name),
        "epoch": 0,
        "nonce": "first request",
        "namespace": "argo",
        "discriminator": "release",
        "account": Account("argo", "github.com", "uid-1"),
        "client": "github.com",
        "provider": "github",
        "event_type": "push",
        "action": "",
        "delivery_id": f"delivery-{name}",
        "received_at": NOW,
        "size": len(BODY),
        "digest": body_digest(BODY),
        "headers": {"x-github-event": ["push"], "x-two": ["a", "ä"]},
        "content_type": "application/json",
        "verdicts": (
            Verdict("build", MATCHED, "matched", submission="s", workflow="w", binding_uid="u", content="c"),
            Verdict("broken", ERROR, "selector-error", "unexpected token", binding_uid="v", content="d"),
        ),
        "counts": {"matched": 1, "selector-error": 1, "selector-false": 3},
        "trace": "Root=1-2",
    }
    return EventRecord(**(values | more))


def submission(event: str, binding: str = "build", **more: Any) -> Submission:
    identity = submission_id(event, "argo", binding)
    values: dict[str, Any] = {
        "id": identity,
        "kind": "event",
        "namespace": "argo",
        "workflow": workflow_name("build-", identity),
        "cause": event,
        "source": binding,
        "source_uid": "binding-uid",
        "account": Account("argo", "github.com", "uid-1"),
        "client": "github.com",
        "template": TemplateRef("build", cluster_scope=True),
        "parameters": (("message", "hällo\n"), ("empty", ""), ("list", "[1]")),
        "generate_name": "build-",
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "received_at": NOW,
        "expires_at": NOW + timedelta(hours=6),
        "on_doubt": "skip",
        "progress": Progress(due=NOW + MINUTE),
    }
    return Submission(**(values | more))


def cron_run(at: datetime = NOW, cron: str = "cron-uid") -> Submission:
    # The id begins with its kind: an index of keys alone must tell which queue rings for it.
    identity = f"cron-{digest_of('run', cron, at.isoformat())}"
    return Submission(
        id=identity,
        kind="cron",
        namespace="argo",
        workflow=f"nightly-{int(at.timestamp())}",
        cause=cron,
        source="nightly",
        source_uid=cron,
        scheduled_at=at,
        progress=Progress(due=at + MINUTE),
    )


def kept(ledger: Ledger, name: str = "one", *bindings: str) -> tuple[EventRecord, list[Submission]]:
    """A record in the ledger, with a submission of each binding."""
    head = record(name)
    made = [submission(head.id, binding) for binding in bindings]
    head = replace(head, submissions=tuple(one.pointer for one in made))
    assert ledger.keep(head, BODY, made) is None
    return head, made


def outstanding(ledger: Ledger, now: datetime = FAR) -> list[Outstanding]:
    """What is due in all shards."""
    return [entry for shard in range(16) for entry in ledger.due(shard, now, 100)]


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """What the calls returned or raised, made by as many threads at the same time."""
    answers: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def one(index: int) -> None:
        barrier.wait()
        try:
            answers[index] = call(index)
        except Conflict as error:
            answers[index] = error

    threads = [threading.Thread(target=one, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


class LedgerContract:
    """Tests for every ledger; a subclass gives the fixture `ledger`."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise NotImplementedError

    # keep, event, body

    def test_what_is_kept_is_read_back_whole(self, ledger: Ledger) -> None:
        head, (made,) = kept(ledger, "one", "build")
        assert ledger.event(head.id) == head
        assert ledger.body(head) == BODY
        assert ledger.submission(made.pointer) == made

    def test_an_event_nobody_kept_is_none(self, ledger: Ledger) -> None:
        assert ledger.event(digest_of("never")) is None

    def test_keeping_twice_returns_the_first_head_and_stores_nothing(self, ledger: Ledger) -> None:
        head, _ = kept(ledger, "one", "build")
        late = submission(head.id, "late")
        other = b"other body"
        again = replace(
            head,
            nonce="second request",
            digest=body_digest(other),
            size=len(other),
            submissions=(late.pointer,),
        )
        assert ledger.keep(again, other, [late]) == head
        assert ledger.event(head.id) == head
        assert ledger.body(head) == BODY
        assert ledger.submission(late.pointer) is None

    def test_keeping_again_what_the_same_request_kept_is_no_duplicate(self, ledger: Ledger) -> None:
        head, made = kept(ledger, "one", "build")
        assert ledger.keep(head, BODY, made) is None
        assert ledger.submissions(head) == made

    def test_of_many_that_keep_one_id_at_once_exactly_one_is_first(self, ledger: Ledger) -> None:
        head = record()
        answers = at_once(6, lambda index: ledger.keep(replace(head, nonce=f"request {index}"), BODY, []))
        assert answers.count(None) == 1
        stored = ledger.event(head.id)
        assert all(answer in (None, stored) for answer in answers)

    def test_an_event_without_submissions_is_kept_and_not_outstanding(self, ledger: Ledger) -> None:
        head, _ = kept(ledger)
        assert ledger.submissions(head) == []
        assert outstanding(ledger) == []

    def test_a_large_body_that_does_not_compress_is_kept(self, ledger: Ledger) -> None:
        noise = b"".join(bytes.fromhex(digest_of(str(index))) for index in range(1024 * 1024 // 16))
        head = record(size=len(noise), digest=body_digest(noise))
        assert ledger.keep(head, noise, []) is None
        assert ledger.body(head) == noise

    def test_an_empty_body_is_kept(self, ledger: Ledger) -> None:
        head = record(size=0, digest=body_digest(b""))
        ledger.keep(head, b"", [])
        assert ledger.body(head) == b""

    def test_the_body_of_an_event_nobody_kept_is_not_found(self, ledger: Ledger) -> None:
        with pytest.raises(NotFound):
            ledger.body(record("never"))

    def test_an_event_with_ninety_submissions_is_kept_whole(self, ledger: Ledger) -> None:
        head, made = kept(ledger, "many", *(f"binding-{index:02d}" for index in range(90)))
        assert sorted(ledger.submissions(head), key=lambda one: one.source) == made

    # submissions, advance

    def test_a_submission_nobody_stored_is_none(self, ledger: Ledger) -> None:
        assert ledger.submission(submission(digest_of("never")).pointer) is None

    def test_submissions_are_those_of_the_record_alone(self, ledger: Ledger) -> None:
        head, made = kept(ledger, "one", "build", "test")
        kept(ledger, "two", "build")
        assert sorted(ledger.submissions(head), key=lambda one: one.source) == made

    def test_a_step_is_stored_with_all_of_its_progress(self, ledger: Ledger) -> None:
        _, (made,) = kept(ledger, "one", "build")
        started = start(made, NOW)
        ledger.advance(made, started)
        assert ledger.submission(made.pointer) == started
        waiting = wait(started, NOW + MINUTE, "cluster-away", "connection refused: ä", NOW)
        ledger.advance(started, waiting)
        assert ledger.submission(made.pointer) == waiting
        done = succeed(waiting, "created", "workflow-uid", NOW, "created")
        ledger.advance(waiting, done)
        assert ledger.submission(made.pointer) == done

    def test_a_step_from_a_state_that_has_passed_is_a_conflict_and_changes_nothing(
        self, ledger: Ledger
    ) -> None:
        _, (made,) = kept(ledger, "one", "build")
        first = start(made, NOW)
        ledger.advance(made, first)
        with pytest.raises(Conflict):
            ledger.advance(made, end(made, "failed", "invalid", "late", NOW))
        assert ledger.submission(made.pointer) == first

    def test_a_step_of_a_submission_nobody_stored_is_a_conflict(self, ledger: Ledger) -> None:
        made = submission(digest_of("never"))
        with pytest.raises(Conflict):
            ledger.advance(made, start(made, NOW))
        assert ledger.submission(made.pointer) is None

    def test_of_many_workers_that_start_one_submission_exactly_one_does(self, ledger: Ledger) -> None:
        _, (made,) = kept(ledger, "one", "build")
        answers = at_once(6, lambda _: ledger.advance(made, start(made, NOW)))
        assert answers.count(None) == 1

    # rewrite

    def test_a_rewritten_submission_replaces_the_one_before_and_is_outstanding_again(
        self, ledger: Ledger
    ) -> None:
        run = cron_run()
        ledger.begin_run(run)
        failed = end(run, "failed", "invalid", "bad", NOW)
        ledger.advance(run, failed)
        again = reopen(failed, replace(run, parameters=(("message", "mended"),)), NOW + MINUTE)
        ledger.rewrite(failed, again)
        assert ledger.submission(run.pointer) == again
        assert [one.pointer for one in outstanding(ledger)] == [run.pointer]

    def test_rewriting_what_stepped_since_is_a_conflict_and_changes_nothing(self, ledger: Ledger) -> None:
        run = cron_run()
        ledger.begin_run(run)
        failed = end(run, "failed", "invalid", "bad", NOW)
        ledger.advance(run, failed)
        with pytest.raises(Conflict):
            ledger.rewrite(run, reopen(run, run, NOW + MINUTE))
        assert ledger.submission(run.pointer) == failed

    # extend

    def test_extending_stores_head_fresh_and_reopened_submissions(self, ledger: Ledger) -> None:
        head, (made,) = kept(ledger, "one", "build")
        failed = end(made, "failed", "template-not-found", "gone", NOW)
        ledger.advance(made, failed)
        mended = reopen(failed, replace(made, parameters=(("message", "mended"),)), NOW + MINUTE)
        added = submission(head.id, "added")
        later = replace(head, version=1, repairs=1, submissions=(made.pointer, added.pointer))
        ledger.extend(later, [added], [(failed, mended)])
        assert ledger.event(head.id) == later
        assert ledger.submission(added.pointer) == added
        assert ledger.submission(made.pointer) == mended
        assert len(ledger.submissions(later)) == 2
        assert ledger.body(later) == BODY

    def test_reopening_under_another_workflow_name_leaves_the_old_one_as_it_ended(
        self, ledger: Ledger
    ) -> None:
        head, (made,) = kept(ledger, "one", "build")
        failed = end(made, "failed", "name-taken", "taken", NOW)
        ledger.advance(made, failed)
        mended = reopen(failed, replace(made, workflow="another-name"), NOW + MINUTE)
        ledger.extend(
            replace(head, version=1, submissions=(made.pointer, mended.pointer)), [], [(failed, mended)]
        )
        assert ledger.submission(mended.pointer) == mended
        assert ledger.submission(made.pointer) == failed
        assert [one.pointer for one in outstanding(ledger)] == [mended.pointer]

    def test_extending_a_head_that_changed_is_a_conflict_and_stores_nothing(self, ledger: Ledger) -> None:
        head, _ = kept(ledger)
        ledger.extend(replace(head, version=1, repairs=1), [], [])
        added = submission(head.id, "added")
        with pytest.raises(Conflict):
            ledger.extend(replace(head, version=1, repairs=5, submissions=(added.pointer,)), [added], [])
        stored = ledger.event(head.id)
        assert stored is not None
        assert stored.repairs == 1
        assert ledger.submission(added.pointer) is None

    def test_extending_a_head_nobody_kept_is_a_conflict(self, ledger: Ledger) -> None:
        with pytest.raises(Conflict):
            ledger.extend(record("never", version=1), [], [])

    def test_reopening_a_submission_that_stepped_since_is_a_conflict_and_stores_nothing(
        self, ledger: Ledger
    ) -> None:
        head, (made,) = kept(ledger, "one", "build")
        failed = end(made, "failed", "invalid", "bad", NOW)
        ledger.advance(made, failed)
        elsewhere = reopen(failed, made, NOW)
        ledger.advance(failed, elsewhere)
        added = submission(head.id, "added")
        later = replace(head, version=1, submissions=(made.pointer, added.pointer))
        with pytest.raises(Conflict):
            ledger.extend(later, [added], [(failed, reopen(failed, made, NOW + MINUTE))])
        assert ledger.event(head.id) == head
        assert ledger.submission(made.pointer) == elsewhere
        assert ledger.submission(added.pointer) is None

    def test_of_many_repairs_at_once_exactly_one_is_stored(self, ledger: Ledger) -> None:
        head, _ = kept(ledger)
        later = replace(head, version=1)
        answers = at_once(6, lambda index: ledger.extend(replace(later, repairs=index), [], []))
        assert answers.count(None) == 1

    # runs

    def test_a_cron_run_begins_once(self, ledger: Ledger) -> None:
        run = cron_run()
        assert ledger.begin_run(run) is True
        assert ledger.begin_run(run) is False
        assert ledger.submission(run.pointer) == run
        assert ledger.begin_run(cron_run(NOW + MINUTE)) is True

    def test_a_cron_run_that_ended_does_not_begin_again(self, ledger: Ledger) -> None:
        run = cron_run()
        ledger.begin_run(run)
        skipped = end(run, "skipped", "suspended", "", NOW)
        ledger.advance(run, skipped)
        assert ledger.begin_run(run) is False
        assert ledger.submission(run.pointer) == skipped

    def test_of_many_ticks_that_begin_one_run_exactly_one_does(self, ledger: Ledger) -> None:
        answers = at_once(6, lambda _: ledger.begin_run(cron_run()))
        assert answers.count(True) == 1

    # the outbox

    def test_a_submission_is_outstanding_from_its_time_on_until_it_is_terminal(self, ledger: Ledger) -> None:
        _, (made,) = kept(ledger, "one", "build")
        assert outstanding(ledger, NOW + MINUTE - timedelta(seconds=1)) == []
        (entry,) = outstanding(ledger, NOW + MINUTE)
        assert entry == Outstanding(NOW + MINUTE, made.pointer, kind="event")
        waiting = wait(made, NOW + 3 * MINUTE, "quota", "exceeded", NOW)
        ledger.advance(made, waiting)
        assert [one.due for one in outstanding(ledger)] == [NOW + 3 * MINUTE]
        ledger.advance(waiting, succeed(waiting, "created", "uid", NOW))
        assert outstanding(ledger) == []

    def test_a_reopened_submission_is_outstanding_again(self, ledger: Ledger) -> None:
        head, (made,) = kept(ledger, "one", "build")
        failed = end(made, "failed", "invalid", "bad", NOW)
        ledger.advance(made, failed)
        ledger.extend(replace(head, version=1), [], [(failed, reopen(failed, made, NOW + MINUTE))])
        assert [one.pointer for one in outstanding(ledger)] == [made.pointer]

    def test_a_cron_run_is_outstanding_and_rings_on_its_own_queue(self, ledger: Ledger) -> None:
        run = cron_run()
        ledger.begin_run(run)
        assert outstanding(ledger) == [Outstanding(NOW + MINUTE, run.pointer, kind="cron")]

    def test_an_event_is_outstanding_while_bindings_are_still_to_be_asked(self, ledger: Ledger) -> None:
        head = record(deferred_after="")
        ledger.keep(head, BODY, [])
        (entry,) = outstanding(ledger)
        assert (entry.event_id, entry.pointer) == (head.id, None)
        further = replace(head, version=1, deferred_after="build")
        ledger.extend(further, [], [])
        assert [one.event_id for one in outstanding(ledger)] == [head.id]
        ledger.extend(replace(further, version=2, deferred_after=None), [], [])
        assert outstanding(ledger) == []

    def test_what_is_due_comes_oldest_first_and_no_more_than_asked_for(self, ledger: Ledger) -> None:
        head = record()
        made = [
            submission(head.id, f"b{index}", progress=Progress(due=NOW + (50 - index) * MINUTE))
            for index in range(50)
        ]
        ledger.keep(replace(head, submissions=tuple(one.pointer for one in made)), BODY, made)
        shards = [ledger.due(shard, FAR, 100) for shard in range(16)]
        assert sum(len(shard) for shard in shards) == 50
        assert len([shard for shard in shards if shard]) > 4
        for number, shard in enumerate(shards):
            assert [entry.due for entry in shard] == sorted(entry.due for entry in shard)
            assert ledger.due(number, FAR, 2) == shard[:2]

    def test_postponing_moves_the_time_once(self, ledger: Ledger) -> None:
        kept(ledger, "one", "build")
        (entry,) = outstanding(ledger)
        assert ledger.postpone(entry, NOW + 5 * MINUTE) is True
        assert ledger.postpone(entry, NOW + 6 * MINUTE) is False
        assert outstanding(ledger, NOW + 4 * MINUTE) == []
        (later,) = outstanding(ledger, NOW + 5 * MINUTE)
        assert later == replace(entry, due=NOW + 5 * MINUTE)
        assert ledger.postpone(later, NOW + 7 * MINUTE) is True

    def test_of_many_sweeps_that_postpone_one_entry_exactly_one_does(self, ledger: Ledger) -> None:
        kept(ledger, "one", "build")
        (entry,) = outstanding(ledger)
        answers = at_once(6, lambda index: ledger.postpone(entry, NOW + (5 + index) * MINUTE))
        assert answers.count(True) == 1

    def test_postponing_is_not_a_step_and_a_step_that_names_no_new_time_keeps_it(
        self, ledger: Ledger
    ) -> None:
        _, (made,) = kept(ledger, "one", "build")
        (entry,) = outstanding(ledger)
        ledger.postpone(entry, NOW + 5 * MINUTE)
        started = start(made, NOW)
        ledger.advance(made, started)
        assert [one.due for one in outstanding(ledger)] == [NOW + 5 * MINUTE]
        stored = ledger.submission(made.pointer)
        assert stored == replace(started, progress=replace(started.progress, due=NOW + 5 * MINUTE))

    def test_a_step_that_names_a_new_time_moves_what_was_postponed(self, ledger: Ledger) -> None:
        _, (made,) = kept(ledger, "one", "build")
        (entry,) = outstanding(ledger)
        ledger.postpone(entry, NOW + 5 * MINUTE)
        ledger.advance(made, wait(made, NOW + 2 * MINUTE, "quota", "exceeded", NOW))
        assert [one.due for one in outstanding(ledger)] == [NOW + 2 * MINUTE]

    def test_postponing_what_has_moved_or_is_gone_does_nothing(self, ledger: Ledger) -> None:
        _, (made,) = kept(ledger, "one", "build")
        (entry,) = outstanding(ledger)
        waiting = wait(made, NOW + 2 * MINUTE, "quota", "exceeded", NOW)
        ledger.advance(made, waiting)
        assert ledger.postpone(entry, FAR) is False
        (moved,) = outstanding(ledger)
        ledger.advance(waiting, succeed(waiting, "created", "uid", NOW))
        assert ledger.postpone(moved, FAR) is False
        assert outstanding(ledger, FAR + MINUTE) == []

    def test_an_event_still_to_be_matched_can_be_postponed(self, ledger: Ledger) -> None:
        ledger.keep(record(deferred_after=""), BODY, [])
        (entry,) = outstanding(ledger)
        assert ledger.postpone(entry, FAR + MINUTE) is True
        assert outstanding(ledger, FAR) == []
        assert len(outstanding(ledger, FAR + MINUTE)) == 1

    # snapshots, health, cron states

    def test_a_snapshot_is_read_back_whole_by_scope(self, ledger: Ledger) -> None:
        objects = tuple(
            {"metadata": {"name": f"b{index}", "namespace": "argo", "resourceVersion": str(index)},
             "spec": {"event": {"selector": f'payload.x == "{digest_of(str(index))}"'}, "n": index, "null": None}}
            for index in range(3)
        )  # fmt: skip
        snapshot = Snapshot("argo", objects, 17, NOW, doubtful="empty", sightings=1, sighted_at=NOW)
        assert ledger.snapshot("argo") is None
        ledger.put_snapshot(snapshot, None)
        assert ledger.snapshot("argo") == snapshot
        assert ledger.snapshot("*") is None
        ledger.put_snapshot(replace(snapshot, scope="*"), None)
        assert ledger.snapshot("*") == replace(snapshot, scope="*")

    def test_a_snapshot_larger_than_one_item_is_read_back_whole_and_a_smaller_one_replaces_it(
        self, ledger: Ledger
    ) -> None:
        def objects(count: int) -> tuple[dict[str, Any], ...]:
            return tuple(
                {"metadata": {"name": f"b{index}", "resourceVersion": "1"},
                 "spec": {"event": {"selector": "".join(digest_of(str(index), str(part)) for part in range(32))}}}
                for index in range(count)
            )  # fmt: skip

        large = Snapshot("argo", objects(1000), 1, NOW)
        ledger.put_snapshot(large, None)
        assert ledger.snapshot("argo") == large
        small = Snapshot("argo", objects(2), 2, NOW, version=1)
        ledger.put_snapshot(small, large)
        assert ledger.snapshot("argo") == small

    def test_a_snapshot_replaces_only_the_one_it_was_made_from(self, ledger: Ledger) -> None:
        first = Snapshot("argo", (), 1, NOW)
        ledger.put_snapshot(first, None)
        with pytest.raises(Conflict):
            ledger.put_snapshot(Snapshot("argo", (), 2, NOW), None)
        second = replace(first, revision=3, version=1)
        ledger.put_snapshot(second, first)
        with pytest.raises(Conflict):
            ledger.put_snapshot(replace(first, revision=4, version=1), first)
        assert ledger.snapshot("argo") == second

    def test_a_snapshot_that_was_never_there_is_not_replaced(self, ledger: Ledger) -> None:
        with pytest.raises(Conflict):
            ledger.put_snapshot(Snapshot("argo", (), 2, NOW, version=1), Snapshot("argo", (), 1, NOW))

    def test_health_is_what_was_put_last(self, ledger: Ledger) -> None:
        assert ledger.health() is None
        for up in (False, True):
            health = Health(up, NOW, NOW + MINUTE, NOW - MINUTE, "connection refused")
            ledger.put_health(health)
            assert ledger.health() == health

    def test_the_state_of_an_unknown_cron_is_empty_and_of_version_0(self, ledger: Ledger) -> None:
        assert ledger.cron_state("cron-uid") == CronState("cron-uid")

    def test_a_cron_state_is_stored_by_version(self, ledger: Ledger) -> None:
        first = CronState("cron-uid", 1, NOW, "nightly-1", NOW + MINUTE)
        ledger.put_cron_state(first)
        assert ledger.cron_state("cron-uid") == first
        with pytest.raises(Conflict):
            ledger.put_cron_state(replace(first, decided_child="nightly-2"))
        with pytest.raises(Conflict):
            ledger.put_cron_state(replace(first, version=3))
        second = CronState("cron-uid", 2)
        ledger.put_cron_state(second)
        assert ledger.cron_state("cron-uid") == second
        assert ledger.cron_state("other-uid") == CronState("other-uid")

    def test_of_many_that_decide_a_cron_at_once_exactly_one_does(self, ledger: Ledger) -> None:
        answers = at_once(
            6, lambda index: ledger.put_cron_state(CronState("cron-uid", 1, NOW, f"child-{index}"))
        )
        assert answers.count(None) == 1

    # tallies

    def test_a_tally_counts_each_key_by_itself(self, ledger: Ledger) -> None:
        assert [ledger.tally("argo/github.com/12:00", FAR) for _ in range(3)] == [1, 2, 3]
        assert ledger.tally("argo/github.com/12:01", FAR) == 1

    def test_of_many_that_count_at_once_none_is_lost(self, ledger: Ledger) -> None:
        answers = at_once(6, lambda _: ledger.tally("argo/github.com/12:00", FAR))
        assert sorted(answers) == [1, 2, 3, 4, 5, 6]
