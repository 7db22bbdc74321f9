"""Cron from the tick to the child: planned ahead, decided at the second, written down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chalicelib.core import reasons
from chalicelib.core.errors import BadRequest, Forbidden
from chalicelib.core.submissions import Submission
from chalicelib.flow.backfills import history, make_up
from chalicelib.settings import Settings
from lynceus.local.faults import Fault
from lynceus.local.memory import FakeClock, MemoryLedger
from tests.world import World

LABEL = "workflows.argoproj.io/cron-workflow"


class SlowLedger(MemoryLedger):
    """A ledger that takes a tenth of a second to record a run."""

    def __init__(self, clock: FakeClock, before: MemoryLedger | None = None) -> None:
        super().__init__()
        vars(self).update(vars(before) if before else {})
        self._clock = clock

    def begin_run(self, run: Submission) -> bool:
        self._clock.sleep(0.1)
        return super().begin_run(run)


def cron(name: str = "nightly", schedule: str = "*/5 * * * *", **spec: Any) -> dict[str, Any]:
    annotations = spec.pop("annotations", {})
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {"name": name, "namespace": "argo", "annotations": annotations},
        "spec": {"schedules": [schedule], "workflowSpec": {"workflowTemplateRef": {"name": "build"}}, **spec},
    }


def world(*objects: dict[str, Any], **settings: Any) -> World:
    made = World(settings=Settings(**settings))
    made.cluster.apply(*objects)
    return made


def spend(made: World, minutes: float, *, step: float = 1.0, ticks: bool = True) -> None:
    """Let time go by in seconds, the worker awake in each, a tick on each full minute."""
    end = made.clock.now() + timedelta(minutes=minutes)
    while made.clock.now() < end:
        if ticks and made.clock.now().second == 0:
            made.tick()
        made.work(cron=True)
        made.clock.sleep(step)


def finish(made: World, name: str, phase: str = "Succeeded") -> None:
    workflow = made.cluster.workflow("argo", name)
    assert workflow is not None
    workflow["status"] = {"phase": phase, "finishedAt": made.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")}
    made.cluster.apply(workflow)


def status(made: World, name: str = "nightly") -> dict[str, Any]:
    raw = made.cluster.cron_workflow("argo", name)
    assert raw is not None
    return dict(raw.get("status") or {})


def runs(made: World) -> list[Submission]:
    return sorted(
        (s for s in made.ledger.stored.values() if s.kind == "cron"), key=lambda s: str(s.scheduled_at)
    )


def test_a_run_starts_in_its_very_second_under_argos_name() -> None:
    made = world(cron())

    spend(made, 6)

    workflow = made.workflows()[-1]
    scheduled = datetime(2026, 3, 2, 12, 5, tzinfo=UTC)
    assert workflow["metadata"]["name"] == f"nightly-{int(scheduled.timestamp())}"
    assert workflow["metadata"]["labels"] == {LABEL: "nightly"}
    assert (
        workflow["metadata"]["annotations"]["workflows.argoproj.io/scheduled-time"] == "2026-03-02T12:05:00Z"
    )
    finished = runs(made)[1].progress.finished_at
    assert finished is not None
    assert timedelta() <= finished - scheduled < timedelta(seconds=1)


def test_the_status_says_what_argo_says() -> None:
    made = world(cron())

    spend(made, 6)

    told = status(made)
    assert (told["phase"], told["lastScheduledTime"]) == ("Active", "2026-03-02T12:05:00Z")
    assert [each["name"] for each in told["active"]] == made.names()
    raw = made.cluster.cron_workflow("argo", "nightly")
    assert raw is not None
    assert raw["metadata"]["annotations"]["cronworkflows.argoproj.io/last-used-schedule"] == "*/5 * * * *"


def test_rule_29_late_doubled_and_missing_ticks_change_nothing() -> None:
    made = world(cron(schedule="* * * * *"))

    for minute in range(12):
        if minute not in (4, 8):
            made.tick()
        if minute % 3 == 0:
            made.tick()
        spend(made, 1, ticks=False)

    # 12:00 itself is planned by the first tick, at 12:00; the worker of 12:12 was awake a second before it.
    created = [run.scheduled_at for run in runs(made) if run.progress.state == "created"]
    assert [moment.minute for moment in created if moment] == list(range(13))
    assert len(made.workflows()) == 13


def test_a_crowd_that_takes_long_to_record_still_starts_at_its_second() -> None:
    made = world(*(cron(f"job-{number}", schedule="* * * * *") for number in range(120)))
    began, made.ledger = made.clock.now(), SlowLedger(made.clock)
    made.ports = replace(made.ports, ledger=made.ledger)
    made.tick()
    assert made.clock.now() - began > timedelta(seconds=10)
    spend(made, 2, ticks=False)

    late = [
        run.progress.finished_at - run.received_at
        for run in runs(made)
        if run.progress.finished_at and run.received_at and run.received_at > began
    ]
    assert len(late) >= 120
    assert max(late) < timedelta(seconds=1)


def test_rule_29_a_run_is_recorded_before_it_is_sent() -> None:
    made = world(cron(schedule="* * * * *"))
    made.plan.outage("queue")

    made.tick()
    made.plan.clear()
    spend(made, 4)

    assert len(made.workflows()) >= 3
    assert not [run for run in runs(made) if run.progress.state == "missed"]


def test_rule_30_a_suspended_cron_workflow_skips_and_says_so() -> None:
    made = world(cron(schedule="* * * * *", suspend=True))

    spend(made, 2)

    assert made.workflows() == []
    assert {run.progress.reason for run in runs(made) if run.terminal} == {"suspended"}


def test_rule_30_an_object_edited_after_planning_runs_by_its_new_schedule_only() -> None:
    made = world(cron(schedule="* * * * *"))
    made.tick()
    made.cluster.apply(cron(schedule="*/10 * * * *"))

    spend(made, 2.5, ticks=False)

    assert [run.progress.reason for run in runs(made)][1:3] == ["not-a-fire-time"] * 2


def test_rule_30_an_object_deleted_after_planning_does_not_run() -> None:
    made = world(cron(schedule="* * * * *"))
    made.tick()
    made.cluster.remove("CronWorkflow", "argo", "nightly")

    spend(made, 2, ticks=False)

    assert made.workflows() == []
    assert {run.progress.reason for run in runs(made) if run.terminal} == {"object-gone"}


def test_rule_31_a_run_that_comes_too_late_is_missed_and_recorded() -> None:
    made = world(cron(schedule="* * * * *"))
    made.tick()
    made.clock.sleep(10 * 60)

    made.work(cron=True)

    assert {run.progress.state for run in runs(made)} == {"missed"}
    assert made.workflows() == []


def test_rule_31_a_cluster_that_was_away_is_no_reason_to_run_an_hour_later() -> None:
    made = world(cron(schedule="*/30 * * * *"))
    spend(made, 1)
    created = len(made.workflows())
    made.clock.sleep(28 * 60)
    made.tick()
    made.plan.outage("cluster")

    spend(made, 15, step=5, ticks=False)
    made.plan.clear()

    assert len(made.workflows()) == created
    assert runs(made)[-1].progress.state == "missed"


def test_rule_31_runs_that_a_gap_swallowed_are_recorded_as_missed_and_the_latest_may_still_start() -> None:
    made = world(cron())
    spend(made, 6)
    made.clock.set(datetime(2026, 3, 2, 12, 21, tzinfo=UTC))

    spend(made, 1)

    told = [(run.scheduled_at.minute, run.progress.state) for run in runs(made) if run.scheduled_at]
    assert told[:5] == [(0, "created"), (5, "created"), (10, "missed"), (15, "missed"), (20, "created")]
    assert made.journal.metrics["missed"] == 2
    assert status(made)["lastScheduledTime"] == "2026-03-02T12:20:00Z"


def test_a_gap_in_many_objects_is_mended_tick_by_tick_and_holds_up_nothing() -> None:
    asked = {"lynceus.dev/catch-up": "latest"}
    names = [f"job-{number}" for number in range(250)]
    made = world(*(cron(name, schedule="0 * * * *", annotations=asked) for name in names))
    spend(made, 1)
    made.clock.set(datetime(2026, 3, 2, 13, 30, tzinfo=UTC))
    made.ledger = SlowLedger(made.clock, made.ledger)
    made.ports = replace(made.ports, ledger=made.ledger)

    began = made.clock.now()
    made.tick()
    assert made.clock.now() - began < timedelta(seconds=30)
    assert made.journal.metrics["heartbeat_plan"] == 2
    for _ in range(10):
        made.clock.sleep(30)
        made.tick()
        made.work(cron=True)

    late = [run for run in runs(made) if run.run == "catch-up"]
    assert {run.source for run in late if run.progress.state == "created"} == set(names)
    assert made.journal.metrics["cron_gaps"] == 1
    assert made.ledger.cron_state("planner").cursor == ""


def test_an_object_that_was_only_ever_skipped_is_made_up_for_where_an_annotation_asks() -> None:
    asked = {"annotations": {"lynceus.dev/catch-up": "latest"}}
    when = "{{= now().Minute() }} > 20"
    made = world(cron(when=when, **asked), cron("other", when=when, startingDeadlineSeconds=3600))
    spend(made, 6)
    assert made.workflows() == []
    made.clock.sleep(30 * 60)
    made.clock.set(made.clock.now().replace(second=0, microsecond=0))

    spend(made, 2)

    late = [run for run in runs(made) if run.run == "catch-up"]
    assert [(run.source, run.progress.state) for run in late] == [("nightly", "created")]


def test_rule_31_catching_up_all_makes_up_what_an_outage_of_the_tick_missed() -> None:
    made = world(cron(annotations={"lynceus.dev/catch-up": "all"}))
    spend(made, 6)
    assert len(made.workflows()) == 2
    made.clock.sleep(30 * 60)
    made.clock.set(made.clock.now().replace(second=0, microsecond=0))

    spend(made, 2)

    minutes = [
        run.scheduled_at.minute for run in runs(made) if run.scheduled_at and run.progress.state == "created"
    ]
    assert minutes == [0, 5, 10, 15, 20, 25, 30, 35]


def test_rule_31_without_an_annotation_a_gap_is_made_up_within_the_deadline_only() -> None:
    made = world(cron(startingDeadlineSeconds=600), cron("other"))
    spend(made, 6)
    made.clock.sleep(30 * 60)
    made.clock.set(made.clock.now().replace(second=0, microsecond=0))

    spend(made, 2)

    late = [run for run in runs(made) if run.run == "catch-up" and run.progress.state == "created"]
    assert [(run.source, run.scheduled_at.minute) for run in late if run.scheduled_at] == [("nightly", 35)]


def test_rule_32_forbid_lets_no_second_child_start_while_one_runs() -> None:
    made = world(cron(schedule="* * * * *", concurrencyPolicy="Forbid"))
    spend(made, 2.5)
    [first] = made.names()
    assert runs(made)[1].progress.message == f"Forbid: {first} still Pending"

    finish(made, first)
    spend(made, 1)

    assert len(made.workflows()) == 2


def test_rule_32_deleting_a_running_child_by_hand_lets_the_next_one_go() -> None:
    made = world(cron(schedule="* * * * *", concurrencyPolicy="Forbid"))
    spend(made, 1.5)
    [first] = made.names()
    made.cluster.remove("Workflow", "argo", first)

    spend(made, 1)

    assert made.names() != [first]
    assert len(made.workflows()) == 1


def test_rule_32_replace_terminates_what_runs_and_starts_the_next() -> None:
    made = world(cron(schedule="* * * * *", concurrencyPolicy="Replace"))

    spend(made, 1.5)

    first, _ = made.workflows()
    assert first["spec"]["shutdown"] == "Terminate"


def test_rule_32_a_decided_child_without_outcome_counts_as_active() -> None:
    made = world(cron(schedule="* * * * *", concurrencyPolicy="Forbid"))
    made.plan.faults.append(Fault("cluster", "create", "before", call=1))
    made.tick()
    made.work(cron=True)
    assert made.workflows() == []

    spend(made, 1.2, ticks=False)

    assert len(made.workflows()) == 1
    assert [run.progress.state for run in runs(made)[:2]] == ["created", "skipped"]


def test_rule_33_the_tick_counts_finished_children_and_trims_history() -> None:
    made = world(cron(schedule="* * * * *", successfulJobsHistoryLimit=2))
    for _ in range(5):
        spend(made, 1)
        finish(made, made.names()[-1])

    spend(made, 1.1)

    told = status(made)
    assert told["succeeded"] == 5
    succeeded = [w for w in made.workflows() if (w.get("status") or {}).get("phase") == "Succeeded"]
    assert len(succeeded) == 2


def test_rule_33_a_tick_in_the_very_second_of_a_run_still_counts_and_trims() -> None:
    made = world(cron(schedule="* * * * *", successfulJobsHistoryLimit=1))
    for _ in range(3):
        spend(made, 1)
        finish(made, made.names()[-1])
    patches = made.plan.calls["cluster", "patch"]
    made.plan.faults.append(Fault("cluster", "patch", "conflict", patches + 1))

    made.tick()

    assert status(made)["succeeded"] == 3
    assert len([w for w in made.workflows() if (w.get("status") or {}).get("phase") == "Succeeded"]) == 1


def test_rule_34_observing_plans_and_records_and_creates_nothing() -> None:
    made = world(cron(schedule="* * * * *"), cron="observe")

    spend(made, 2)

    assert made.workflows() == []
    assert {run.progress.reason for run in runs(made) if run.terminal} == {"observed"}
    assert status(made) == {}


def test_rule_34_beside_argos_controller_nothing_is_created_twice_and_its_status_is_left_alone() -> None:
    made = world(cron(schedule="* * * * *"))
    made.tick()
    [run] = [run for run in runs(made) if run.received_at and run.received_at > made.clock.now()][:1]
    raw = made.cluster.cron_workflow("argo", "nightly")
    assert raw is not None
    assert run.scheduled_at is not None
    made.cluster.apply(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "metadata": {
                "name": run.workflow,
                "namespace": "argo",
                "labels": {LABEL: "nightly"},
                "annotations": {
                    "workflows.argoproj.io/scheduled-time": run.scheduled_at.strftime("%Y-%m-%dT%H:%M:%SZ")
                },
                "ownerReferences": [
                    {
                        "kind": "CronWorkflow",
                        "name": "nightly",
                        "uid": raw["metadata"]["uid"],
                        "controller": True,
                    }
                ],
            },
        }
    )

    spend(made, 1.5, ticks=False)
    before = status(made)
    spend(made, 1)

    assert made.names().count(run.workflow) == 1
    submission = made.ledger.submission(run.pointer)
    assert submission is not None
    assert (submission.progress.state, submission.progress.reason) == (
        "existed",
        reasons.CREATED_BY_OTHER_CONTROLLER,
    )
    assert status(made)["succeeded"] == before["succeeded"] == 0


def test_an_invalid_schedule_is_a_condition_and_stops_no_other() -> None:
    made = world(cron("bad", schedule="0 0 * * 7"), cron(schedule="* * * * *"))

    spend(made, 1.1)

    assert len(made.workflows()) == 2
    [condition] = status(made, "bad")["conditions"]
    assert condition["type"] == "SpecError"
    assert "end of range (7) above maximum (6): 7" in condition["message"]


def test_what_is_wrong_with_an_object_is_a_kubernetes_event_on_it() -> None:
    unreadable = cron("unreadable", suspend="yes")
    made = world(cron("bad", schedule="0 0 * * 7"), unreadable, cron("odd", schedule="* * * * *", when="1 +"))

    spend(made, 1.1)

    told = {(each.involved["name"], each.reason) for each in made.cluster.reports}
    assert told == {("bad", "SpecError"), ("unreadable", "Malformed"), ("odd", "SubmissionError")}


def test_statuses_that_take_long_leave_time_for_the_rest_of_the_tick_and_all_get_their_turn() -> None:
    names = [f"bad-{number}" for number in range(4)]
    made = world(*(cron(name, schedule="x") for name in names))
    made.plan.faults.append(Fault("cluster", "patch", "timeout", 0))
    began = made.clock.now()

    made.tick()

    assert made.clock.now() - began < timedelta(seconds=40)
    assert made.journal.metrics["heartbeat_sweep"] == 1
    made.pass_time(30)
    assert all(status(made, name)["conditions"] for name in names)


def test_a_child_that_cannot_be_created_is_a_condition_and_counts_as_failed() -> None:
    made = world(cron())
    made.cluster.deny("lynceus", "create", "workflows")

    spend(made, 3)

    told = status(made)
    assert told["failed"] == 1
    assert told["conditions"][0]["message"].startswith("Failed to submit Workflow: ")
    assert made.cluster.reports[0].involved["kind"] == "CronWorkflow"


@pytest.mark.parametrize("kind", ["before", "after", "timeout", "killed"])
@pytest.mark.parametrize(
    ("port", "method"),
    [("cluster", "create"), ("ledger", "advance"), ("ledger", "begin_run"), ("queue", "send"),
     ("ledger", "put_cron_state"), ("cluster", "patch"), ("cluster", "children"), ("cluster", "cron_workflow"),
     ("ledger", "cron_state"), ("ledger", "submission")],
)  # fmt: skip
def test_promise_2_one_workflow_for_each_time_under_faults(port: str, method: str, kind: str) -> None:
    made = world(cron(schedule="*/2 * * * *", concurrencyPolicy="Forbid"))
    made.plan.faults += [Fault(port, method, kind, call) for call in (1, 3)]

    for _ in range(6):
        spend(made, 2, step=2)
        for name in made.names():
            workflow = made.cluster.workflow("argo", name)
            if workflow and not workflow.get("status"):
                finish(made, name)

    names = made.names()
    assert len(names) == len(set(names))
    states = [run.progress.state for run in runs(made) if run.terminal]
    assert states.count("created") + states.count("existed") >= 4
    assert set(states) <= {"created", "existed", "missed", "skipped"}


PERSON = "Bearer person"


def asking(*objects: dict[str, Any], **settings: Any) -> World:
    made = world(*objects, **settings)
    made.cluster.tokens["person"] = "ada"
    return made


def test_rule_31_missed_runs_that_were_recorded_are_made_up_for_where_the_annotation_says_so() -> None:
    made = world(cron(schedule="* * * * *", annotations={"lynceus.dev/catch-up": "latest"}))
    spend(made, 1)
    made.tick()
    made.clock.sleep(10 * 60)

    made.work(cron=True)
    made.work(cron=True)

    late = [run for run in runs(made) if run.run == "catch-up"]
    assert [run.progress.state for run in late] == ["created"]


def test_rule_35_a_backfill_makes_the_runs_of_the_past_once_under_their_own_names() -> None:
    made = asking(cron(suspend=True))
    wish = {"start": "2026-03-02T10:00:00Z", "end": "2026-03-02T10:30:00Z"}

    planned = make_up(PERSON, "argo", "nightly", {**wish, "dryRun": True}, made.ports, made.settings)
    assert made.workflows() == []
    first = make_up(PERSON, "argo", "nightly", wish, made.ports, made.settings)
    second = make_up(PERSON, "argo", "nightly", wish, made.ports, made.settings)
    made.work(cron=True)

    assert len(planned["items"]) == 7
    assert [item["new"] for item in first["items"]] == [True] * 7
    assert [item["new"] for item in second["items"]] == [False] * 7
    assert len(made.workflows()) == 7
    workflow = made.workflows()[0]
    assert workflow["metadata"]["name"] == f"nightly-{int(datetime(2026, 3, 2, 10, tzinfo=UTC).timestamp())}"
    assert workflow["metadata"]["labels"]["workflows.argoproj.io/backfill"] == "nightly"
    assert "controller" not in workflow["metadata"]["ownerReferences"][0]
    assert status(made) == {}


def test_a_backfill_goes_on_where_it_ended() -> None:
    made = asking(cron(schedule="* * * * *"))
    wish: dict[str, Any] = {"start": "2026-03-02T10:00:00Z", "end": "2026-03-02T10:09:00Z", "limit": 4}
    seen = []
    while wish["start"]:
        page = make_up(PERSON, "argo", "nightly", wish, made.ports, made.settings)
        seen += [item["scheduledAt"] for item in page["items"]]
        wish["start"] = page["next"]

    assert len(seen) == len(set(seen)) == 10


def test_rule_35_with_a_bound_no_more_backfilled_children_run_at_once_and_all_are_made_in_the_end() -> None:
    made = asking(cron(schedule="* * * * *"))
    wish: dict[str, Any] = {"start": "2026-03-02T10:00:00Z", "end": "2026-03-02T10:06:00Z", "maxActive": 2}
    asked = []
    while wish["start"] and len(asked) < 30:
        page = make_up(PERSON, "argo", "nightly", wish, made.ports, made.settings)
        asked.append(sum(item["new"] for item in page["items"]))
        wish["start"] = page["next"]
        if len(asked) % 2:
            continue  # the worker is slow: what was just rung for is not in the cluster yet
        made.work(cron=True)
        unfinished = [w["metadata"]["name"] for w in made.workflows() if not w.get("status")]
        assert len(unfinished) <= 2
        if len(asked) % 4 == 0:
            finish(made, unfinished[0])

    made.work(cron=True)
    assert sum(asked) == len(made.workflows()) == 7


def test_who_may_not_list_workflows_cannot_bound_a_backfill_by_them() -> None:
    made = asking(cron())
    made.cluster.deny("ada", "list", "workflows")
    wish = {"start": "2026-03-02T10:00:00Z", "maxActive": 1}

    with pytest.raises(Forbidden):
        make_up(PERSON, "argo", "nightly", wish, made.ports, made.settings)

    assert not made.queue.messages


def test_a_run_asked_for_by_hand_runs_whatever_schedule_and_policy_say() -> None:
    made = asking(cron(suspend=True))

    make_up(PERSON, "argo", "nightly", {}, made.ports, made.settings)
    make_up(PERSON, "argo", "nightly", {"at": "2026-03-02T10:01:07Z"}, made.ports, made.settings)
    with pytest.raises(BadRequest, match="is in the future"):
        make_up(PERSON, "argo", "nightly", {"at": "2027-03-02T10:01:07Z"}, made.ports, made.settings)
    made.work(cron=True)

    times = [run.scheduled_at for run in runs(made) if run.progress.state == "created"]
    assert times == [datetime(2026, 3, 2, 10, 1, 7, tzinfo=UTC), datetime(2026, 3, 2, 12, 0, tzinfo=UTC)]
    assert status(made) == {}


def test_who_may_not_replay_backfills_nothing() -> None:
    made = asking(cron())
    made.cluster.deny("ada", "create", "replays")

    with pytest.raises(Forbidden):
        make_up(PERSON, "argo", "nightly", {}, made.ports, made.settings)


def test_the_history_tells_runs_and_skips_newest_first_with_their_reasons() -> None:
    made = asking(cron(schedule="* * * * *", concurrencyPolicy="Forbid"))
    spend(made, 2.5)

    told = history(PERSON, "argo", "nightly", {}, made.ports, made.settings)["items"]

    states = [item["state"] for item in told if item["state"] != "pending"]
    assert states == ["skipped", "skipped", "created"]
    assert told[-2]["message"].startswith("Forbid: nightly-")
    assert (told[-1]["startedAt"], told[-1]["latenessSeconds"]) == ("2026-03-02T12:00:00+00:00", 0.0)
    assert "startedAt" not in told[-2]
