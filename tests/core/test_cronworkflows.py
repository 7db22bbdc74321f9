"""CronWorkflows: reading, validation, planning, policy, the child, status, history, catching up, backfill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core import reasons
from chalicelib.core.bindings import INSTANCE_ID
from chalicelib.core.cronworkflows import (
    BACKFILL,
    CATCH_UP,
    CATCH_UP_MAX,
    CATCH_UP_WINDOW,
    COMPLETED,
    CREATE,
    CRON_WORKFLOW,
    DST,
    LAST_USED_SCHEDULE,
    MISSED,
    SKIP,
    SPREAD,
    Child,
    CronWorkflow,
    Decision,
    Run,
    Status,
    backfill,
    catch_up,
    child_from_object,
    child_workflow,
    coming,
    cron_from_object,
    decide,
    history_to_delete,
    is_child_of,
    outline,
    patch_for_run,
    patch_for_spec,
    plan,
    reconcile,
    rfc3339,
    run_id,
    time_of,
    validate,
)
from chalicelib.core.errors import Misconfigured

SPEC: dict[str, Any] = {
    "schedules": ["*/10 * * * *"],
    "workflowSpec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]},
}


def at(text: str) -> datetime:
    """A time of 1 June 2026, or an RFC 3339 text."""
    return datetime.fromisoformat(text if "T" in text else f"2026-06-01T{text}Z")


def raw(
    *, status: Mapping[str, Any] | None = None, metadata: Mapping[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {
            "namespace": "argo",
            "name": "build",
            "uid": "uid-1",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        | dict(metadata or {}),
        "spec": SPEC | spec,
        "status": dict(status or {}),
    }


def cron(*, annotations: Mapping[str, str] | None = None, **given: Any) -> CronWorkflow:
    metadata = dict(given.pop("metadata", {})) | ({"annotations": dict(annotations)} if annotations else {})
    found = cron_from_object(raw(metadata=metadata, **given))
    assert found.problem == ""
    return found


def settled(**given: Any) -> CronWorkflow:
    """A CronWorkflow whose schedules did not change since it last ran."""
    annotations = dict(given.pop("annotations", {}))
    found = cron(annotations=annotations, **given)
    return replace(found, annotations=annotations | {LAST_USED_SCHEDULE: found.schedule_text})


def run_at(time: str, of: CronWorkflow | None = None, **changes: Any) -> Run:
    of, moment = of or cron(), at(time)
    return replace(Run(of.namespace, of.name, of.uid, moment, moment, moment + of.late), **changes)


def child(name: str = "build-1712", phase: str = "Running", **changes: Any) -> Child:
    made = Child(
        "argo", name, f"uid-{name}", phase, owner_uid="uid-1", cron_workflow="build", resource_version="3"
    )
    return replace(made, **changes)


def decided(
    of: CronWorkflow | None, time: str = "10:00:00", *children: Child, late: float = 0, **options: Any
) -> Decision:
    run = run_at(time, of)
    return decide(of, run, run.start_at + timedelta(seconds=late), children, **options)


# --- reading --------------------------------------------------------------------------------------------------


def test_an_object_that_argos_controller_wrote_is_read_whole() -> None:
    found = cron_from_object(
        raw(
            timezone="Europe/Paris",
            suspend=True,
            concurrencyPolicy="Forbid",
            startingDeadlineSeconds=600,
            successfulJobsHistoryLimit=-1,
            failedJobsHistoryLimit=0,
            stopStrategy={"expression": "cronworkflow.failed >= 3"},
            status={
                "active": [{"kind": "Workflow", "name": "build-1", "uid": "u"}],
                "lastScheduledTime": "2026-06-01T09:50:00+02:00",
                "conditions": [{"type": "SpecError", "status": "True", "message": "x"}],
                "succeeded": 4,
                "failed": 2,
                "phase": "Active",
            },
        )
    )
    assert found.problem == ""
    assert (found.successful_jobs_history_limit, found.failed_jobs_history_limit) == (3, 0)
    assert found.schedule_text == "CRON_TZ=Europe/Paris */10 * * * *"
    assert found.stop_expression == "cronworkflow.failed >= 3"
    assert found.status.last_scheduled_time == at("07:50:00")
    assert (found.status.succeeded, found.status.failed, found.status.phase) == (4, 2, "Active")
    assert found.status.message("SpecError") == "x"


def test_the_older_schedule_is_used_instead_of_schedules() -> None:
    assert cron(schedule="0 1 * * *").schedules == ("0 1 * * *",)
    assert cron(schedule="").schedules == ("*/10 * * * *",)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=10)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ["schedules", "schedule", "timezone", "suspend", "concurrencyPolicy", "startingDeadlineSeconds", "when",
          "stopStrategy", "workflowMetadata", "workflowSpec", "failedJobsHistoryLimit"]  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
    st.dictionaries(
        st.sampled_from(["active", "conditions", "phase", "failed", "lastScheduledTime"]), JSON, max_size=2
    ),
    st.dictionaries(
        st.sampled_from([DST, SPREAD, CATCH_UP, CATCH_UP_MAX, CATCH_UP_WINDOW]), JSON, max_size=2
    ),
)
@settings(max_examples=300, deadline=None)
def test_whatever_the_cluster_holds_is_a_cronworkflow_with_or_without_a_problem(
    spec: dict[str, Any], status: dict[str, Any], annotations: dict[str, Any]
) -> None:
    found = cron_from_object(raw(status=status, metadata={"annotations": annotations}, **spec))
    problem = validate(found)
    runs = plan(found, at("10:00:00"), at("10:03:00"))
    assert not (problem and runs)
    run = run_at("10:00:00", found)
    decision = decide(found, run, at("10:00:01"), [child()])
    assert decision.action in (CREATE, SKIP)
    assert isinstance(child_workflow(found, run)["spec"], dict)
    patch_for_run(found, run, decision)
    reconcile(found, [child()], at("10:00:01"))


@pytest.mark.parametrize(
    "raw_object", [{}, {"spec": None}, {"metadata": [], "spec": {}}, {"spec": [], "status": 1}]
)
def test_even_an_object_without_a_spec_is_only_a_problem(raw_object: dict[str, Any]) -> None:
    found = cron_from_object(raw_object)
    assert validate(found)
    assert plan(found, at("10:00:00"), at("10:03:00")) == ()


def test_a_deadline_longer_than_any_calendar_is_a_long_one() -> None:
    of = settled(startingDeadlineSeconds=2**63 - 1)
    assert plan(of, at("10:00:00"), at("10:00:00"))[0].expires_at is not None
    assert [run.scheduled_at for run in catch_up(of, at("09:00:00"), at("12:05:00"))] == [at("12:00:00")]


def test_times_are_of_rfc_3339() -> None:
    assert time_of("2026-06-01T10:00:00.5Z") == at("2026-06-01T10:00:00.5Z")
    assert time_of(None) is None
    for wrong in ("yesterday", "2026-06-01T10:00:00", 5):
        with pytest.raises(Misconfigured):
            time_of(wrong)


CHILD = "cannot validate Workflow:"
NAMES = "Parameter/Artifact name must consist of alpha-numeric characters, '_' or '-'"

# --- validation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metadata": {"name": "n" * 53}},
         f'cron workflow name "{"n" * 53}" must not be more than 52 characters long (currently 53)'),
        ({"schedules": []}, "cron workflow must have at least one schedule"),
        ({"schedules": ["0 0 * * 7"]},
         "cron schedule 0 0 * * 7 is malformed: end of range (7) above maximum (6): 7"),
        ({"timezone": "Mars/Olympus"}, 'invalid timezone "Mars/Olympus": unknown time zone Mars/Olympus'),
        ({"schedules": ["TZ=UTC 0 0 * * *"], "timezone": "UTC"},
         "cron schedule TZ=UTC 0 0 * * * is malformed: expected exactly 5 fields, found 6: [TZ=UTC 0 0 * * *]"),
        ({"concurrencyPolicy": "Deny"}, "'Deny' is not a valid concurrencyPolicy"),
        ({"startingDeadlineSeconds": -1}, "startingDeadlineSeconds must be positive"),
        ({"workflowSpec": {}}, "cannot validate Workflow: spec.entrypoint is required"),
        ({"workflowSpec": {"workflowTemplateRef": {"name": "t"}, "templates": [{}]}},
         f"{CHILD} Templates is invalid field in spec if workflow referred WorkflowTemplate reference"),
        ({"workflowSpec": {"entrypoint": "m", "arguments": {"parameters": [{"name": "a b", "value": "1"}]}}},
         f"{CHILD} spec.arguments.parameters[0].name: 'a b' is invalid: {NAMES} e.g. my_param_1, MY-PARAM-1"),
        ({"workflowSpec": {"entrypoint": "m", "arguments": {"parameters": [{"name": "a"}]}}},
         "cannot validate Workflow: spec.arguments.a.value or spec.arguments.a.valueFrom is required"),
        ({"annotations": {SPREAD: "2h"}}, f"annotation {SPREAD} is 2h: say 3600s at most"),
        ({"annotations": {SPREAD: "soon"}},
         f'annotation {SPREAD}: "soon" is no duration: write a number and s, m, h or d, such as 15m'),
        ({"annotations": {DST: "twice"}}, f'annotation {DST} is "twice": say argo or once'),
        ({"annotations": {CATCH_UP: "some"}}, f'annotation {CATCH_UP} is "some": say none, latest or all'),
        ({"annotations": {CATCH_UP_MAX: "0"}}, f'annotation {CATCH_UP_MAX} is "0": say a number from 1 to 100'),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_in_argos_words(given: dict[str, Any], message: str) -> None:
    assert validate(cron(**given)) == message
    assert validate(outline(cron(**given))) == message


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"annotations": {SPREAD: "15m", CATCH_UP: "all", CATCH_UP_WINDOW: "2h", "note": "x" * 9}},
        {"annotations": {DST: "once"}, "schedules": ["30 2 * * *"], "timezone": "Europe/Paris"},
        {
            "stopStrategy": {"expression": 'len(cronworkflow["annotations.json"]) > 70'},
            "annotations": {"example.com/note": "halt"},
            "status": {"active": [{"uid": "uid-build-1713", "name": "build-1713"}]},
        },
        {"workflowSpec": {"entrypoint": "a", "templates": [{"name": "a", "script": {"source": "x" * 9}}]}},
    ],
)
def test_an_outline_is_planned_made_up_for_and_reconciled_like_the_whole_and_holds_no_template(
    given: dict[str, Any],
) -> None:
    whole = replace(settled(**given), workflow_metadata={"labels": {"a": "x" * 9}})
    short = outline(whole)
    midnight, noon = at("00:00:00"), at("12:00:00")
    family = [child(phase="Failed"), child("build-1713", "Succeeded")]
    assert validate(short) == validate(whole) == ""
    assert plan(short, midnight, noon) == plan(whole, midnight, noon) != ()
    assert catch_up(short, midnight, noon) == catch_up(whole, midnight, noon)
    assert reconcile(short, family, noon) == reconcile(whole, family, noon)
    assert patch_for_spec(short) == patch_for_spec(whole)
    assert "x" * 9 not in repr(short)


def test_the_first_check_wins() -> None:
    assert validate(cron(schedules=["x"], timezone="x", concurrencyPolicy="x")).startswith(
        "cron schedule x is malformed"
    )


def test_a_template_brings_entrypoint_and_values() -> None:
    spec = {"workflowTemplateRef": {"name": "t"}, "arguments": {"parameters": [{"name": "a"}]}}
    assert validate(cron(workflowSpec=spec)) == ""


@pytest.mark.parametrize(
    "given",
    [{"schedules": ["@every 5m"]}, {"schedules": ["H * * * *"]}, {"annotations": {SPREAD: "5m"}},
     {"annotations": {DST: "once"}}, {"annotations": {CATCH_UP: "all"}}],
)  # fmt: skip
def test_what_argos_controller_does_not_know_is_refused_beside_it(given: dict[str, Any]) -> None:
    assert validate(cron(**given)) == ""
    assert validate(cron(**given), beside_argo=True)
    assert plan(cron(**given), at("10:00:00"), at("11:00:00"), beside_argo=True) == ()


# --- planning -------------------------------------------------------------------------------------------------


def planned(of: CronWorkflow, start: str, end: str) -> list[str]:
    return [run.scheduled_at.strftime("%H:%M:%S") for run in plan(of, at(start), at(end))]


def test_a_plan_has_every_time_of_its_window_both_ends_included() -> None:
    assert planned(cron(), "10:00:00", "10:20:00") == ["10:00:00", "10:10:00", "10:20:00"]
    assert planned(cron(), "10:00:01", "10:19:59") == ["10:10:00"]


@given(st.integers(0, 86400), st.integers(0, 900), st.integers(0, 900))
@settings(max_examples=60, deadline=None)
def test_plans_of_overlapping_windows_agree_where_they_overlap(start: int, length: int, later: int) -> None:
    of = cron(schedules=["*/7 * * * *", "@every 95s"])
    first, second = (
        at("00:00:00") + timedelta(seconds=start),
        at("00:00:00") + timedelta(seconds=start + later),
    )
    window = timedelta(seconds=length)
    early, late = plan(of, first, first + window), plan(of, second, second + window)
    assert [run for run in early if run.start_at >= second] == [
        run for run in late if run.start_at <= first + window
    ]


def test_two_schedules_at_the_same_second_are_one_run() -> None:
    assert planned(cron(schedules=["*/10 * * * *", "0 * * * *"]), "10:00:00", "10:10:00") == [
        "10:00:00",
        "10:10:00",
    ]


def test_every_counts_from_the_creation_of_the_object() -> None:
    of = cron(schedules=["@every 7m"], metadata={"creationTimestamp": "2026-06-01T09:58:30Z"})
    assert planned(of, "10:00:00", "10:20:00") == ["10:05:30", "10:12:30", "10:19:30"]


def test_the_objects_zone_counts_and_then_the_default() -> None:
    assert planned(cron(schedules=["0 12 * * *"], timezone="Europe/Paris"), "09:00:00", "13:00:00") == [
        "10:00:00"
    ]
    runs = plan(cron(schedules=["0 12 * * *"]), at("00:00:00"), at("13:00:00"), default_timezone="Asia/Tokyo")
    assert [rfc3339(run.scheduled_at) for run in runs] == ["2026-06-01T03:00:00Z"]


def test_a_zone_in_the_schedule_counts_before_the_default() -> None:
    of = cron(schedules=["CRON_TZ=Europe/Paris 0 12 * * *"])
    runs = plan(of, at("00:00:00"), at("13:00:00"), default_timezone="Asia/Tokyo")
    assert [rfc3339(run.scheduled_at) for run in runs] == ["2026-06-01T10:00:00Z"]


def test_spread_delays_the_start_and_not_the_name() -> None:
    crowd = [cron(metadata={"name": f"job-{number}"}, annotations={SPREAD: "10m"}) for number in range(300)]
    runs = [plan(of, at("10:00:00"), at("10:09:59"))[0] for of in crowd]
    delays = {int((run.start_at - run.scheduled_at).total_seconds()) for run in runs}
    assert {run.workflow.rpartition("-")[2] for run in runs} == {"1780308000"}
    assert max(delays) < 600
    assert len(delays) > 200
    assert [plan(of, at("10:00:00"), at("10:09:59"))[0] for of in crowd] == runs


def test_h_gives_each_object_its_own_minute() -> None:
    minutes = {planned(cron(metadata={"name": f"job-{n}"}, schedules=["H * * * *"]), "10:00:00", "10:59:59")[0]
               for n in range(200)}  # fmt: skip
    assert len(minutes) > 50


def test_suspended_and_stopped_objects_are_planned_so_that_the_skip_is_recorded() -> None:
    assert planned(cron(suspend=True), "10:00:00", "10:00:00") == ["10:00:00"]
    assert planned(cron(status={"phase": "Stopped"}), "10:00:00", "10:00:00") == ["10:00:00"]


def test_completed_deleted_and_invalid_objects_are_not_planned() -> None:
    assert planned(cron(metadata={"labels": {COMPLETED: "true"}}), "10:00:00", "11:00:00") == []
    assert planned(cron(metadata={"deletionTimestamp": "2026-06-01T09:00:00Z"}), "10:00:00", "11:00:00") == []
    assert planned(cron(workflowSpec={}), "10:00:00", "11:00:00") == []


def test_a_runs_id_hangs_on_uid_and_time_alone() -> None:
    run = run_at("10:00:00")
    assert (
        run.id
        == replace(run, kind="catch-up", name="renamed", start_at=at("12:00:00")).id
        == run_id("uid-1", at("10:00:00"))
    )
    assert run.id != run_id("uid-2", at("10:00:00"))
    assert run.workflow == "build-1780308000"


def test_the_coming_runs_are_counted_over_all_schedules_and_end_with_them() -> None:
    of = cron(schedules=["0 12 * * *", "0 */12 * * *"])
    assert [rfc3339(run.scheduled_at)[5:16] for run in coming(of, at("12:00:00"), 3)] == [
        "06-01T12:00",
        "06-02T00:00",
        "06-02T12:00",
    ]
    assert coming(cron(schedules=["0 0 30 2 *"]), at("12:00:00"), 3) == ()
    assert len(coming(of, at("12:00:00"), 10**9)) == 1000
    with pytest.raises(Misconfigured, match="never runs: cron schedule x is malformed"):
        coming(cron(schedules=["x"]), at("12:00:00"), 3)


# --- deciding -------------------------------------------------------------------------------------------------


def test_a_run_starts_when_nothing_speaks_against_it() -> None:
    assert decided(cron()) == Decision(CREATE, reasons.CREATED)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"suspend": True}, reasons.SUSPENDED),
        ({"status": {"phase": "Stopped"}}, reasons.STOPPED),
        ({"stopStrategy": {"expression": "true"}}, reasons.STOPPED),
        ({"when": "1 == 2"}, reasons.WHEN_FALSE),
        ({"when": "name == 'x'"}, reasons.RUN_POLICY_ERROR),
        ({"stopStrategy": {"expression": "nope"}}, reasons.SPEC_ERROR),
        ({"workflowSpec": {}}, reasons.SPEC_ERROR),
        ({"schedules": ["1 1 1 1 1"]}, reasons.NOT_A_FIRE_TIME),
        ({"timezone": "Asia/Kathmandu", "schedules": ["0 * * * *"]}, reasons.NOT_A_FIRE_TIME),
        ({"metadata": {"deletionTimestamp": "2026-06-01T09:59:59Z"}}, reasons.OBJECT_GONE),
    ],
)
def test_every_skip_has_its_reason(given: dict[str, Any], reason: str) -> None:
    decision = decided(cron(**given))
    assert (decision.action, decision.reason) == (SKIP, reason)
    assert decision.message
    assert reasons.reason(reason).means


def test_another_object_of_the_same_name_is_another_object() -> None:
    run = run_at("10:00:00", uid="uid-0")
    assert decide(cron(), run, at("10:00:00"), []).reason == reasons.OBJECT_GONE
    assert decide(None, run, at("10:00:00"), []).reason == reasons.OBJECT_GONE


def test_suspend_speaks_before_stop_and_stop_before_when() -> None:
    both = cron(suspend=True, stopStrategy={"expression": "true"}, when="false")
    assert decided(both).reason == reasons.SUSPENDED
    assert decided(both).stop
    assert decided(replace(both, suspend=False)).reason == reasons.STOPPED


def test_forbid_names_the_child_that_stands_in_the_way() -> None:
    decision = decided(
        cron(concurrencyPolicy="Forbid"), "10:00:00", child(), child("build-1700", "Succeeded")
    )
    assert (decision.action, decision.reason) == (SKIP, reasons.FORBIDDEN_BY_ACTIVE)
    assert decision.message == "Forbid: build-1712 still Running"


def test_forbid_looks_at_children_and_not_at_the_list_in_the_status() -> None:
    lagging = cron(concurrencyPolicy="Forbid", status={"active": [{"name": "build-1712", "uid": "u"}]})
    assert decided(lagging, "10:00:00", child(phase="Failed")).action == CREATE
    assert decided(lagging).action == CREATE


def test_replace_ends_what_runs_and_starts() -> None:
    decision = decided(
        cron(concurrencyPolicy="Replace"), "10:00:00", child("b"), child("a", ""), child("c", "Error")
    )
    assert decision == Decision(CREATE, reasons.CREATED, replaces=("a", "b"))


def test_a_decided_child_without_an_outcome_counts_as_active() -> None:
    forbid, other = cron(concurrencyPolicy="Forbid"), "build-1780307400"
    assert decided(forbid, undecided=other).message == f"Forbid: {other} still being created"
    assert decided(forbid, "10:00:00", child(other, "Succeeded"), undecided=other).action == CREATE
    replaced = decided(cron(concurrencyPolicy="Replace"), undecided=other)
    assert (replaced.action, replaced.replaces) == (CREATE, (other,))


def test_a_child_of_the_same_run_stands_in_nobodys_way() -> None:
    own = run_at("10:00:00").workflow
    for policy in ("Forbid", "Replace"):
        decision = decided(cron(concurrencyPolicy=policy), "10:00:00", child(own), undecided=own)
        assert (decision.action, decision.replaces) == (CREATE, ())


def test_backfilled_children_and_those_of_an_earlier_object_do_not_count() -> None:
    forbid = cron(concurrencyPolicy="Forbid")
    assert decided(forbid, "10:00:00", child(owner_uid=""), child("x", owner_uid="uid-0")).action == CREATE


@pytest.mark.parametrize(("deadline", "late", "action"), [(None, 120, CREATE), (None, 121, MISSED), (30, 120, CREATE),
                                                          (600, 600, CREATE), (600, 601, MISSED)])  # fmt: skip
def test_a_run_may_be_late_by_its_deadline_and_always_by_two_minutes(
    deadline: int, late: int, action: str
) -> None:
    decision = decided(cron(startingDeadlineSeconds=deadline), late=late)
    assert decision.action == action
    if action == MISSED:
        assert decision.reason == reasons.MISSED_DEADLINE
        assert decision.message == f"{late} s late, allowed {max(deadline or 0, 120)} s"


@pytest.mark.parametrize(
    ("when", "wanted"),
    [
        ("", True),
        ("{{= cronworkflow.lastScheduledTime == nil }}", False),
        ("{{= (now() - cronworkflow.lastScheduledTime).Minutes() >= 30 }}", True),
        ("'{{cronworkflow.name}}' == 'build' && {{= cronworkflow.failed }} < 3", True),
        ("{{= cronworkflow.failed % 2 == 0 }}", True),
        ("{{= cronworkflow.succeeded }} > 100", False),
    ],
)
def test_when_is_asked_of_the_object_as_it_is(when: str, wanted: bool) -> None:
    of = cron(when=when, status={"failed": 2, "succeeded": 40, "lastScheduledTime": "2026-06-01T09:30:00Z"})
    assert (decided(of).action == CREATE) is wanted


def test_an_error_of_when_is_a_submission_error_in_argos_words() -> None:
    decision = decided(cron(when="{{cronworkflow.failed}} < 3"))
    assert (
        decision.submission_error == "run policy error: failed to resolve {{cronworkflow.failed}} to string"
    )
    assert (
        decided(cron(when="1")).submission_error
        == "run policy error: Expected boolean evaluation for '1'. Got 1"
    )


@pytest.mark.parametrize(
    ("expression", "stopped"),
    [
        ("cronworkflow.failed >= 3", True),
        ("cronworkflow.succeeded > 0", False),
        ("cronworkflow.labels.team == 'core'", True),
        ("cronworkflow.annotations.team == 'core'", True),  # Argo's slip: these are the labels
        ("cronworkflow.annotations.note == 'x'", False),
        ("len(cronworkflow['annotations.json']) == len('{.note.:.x.}')", True),
        ("cronworkflow.lastScheduledTime == nil", True),
        ("cronworkflow.name == 'build' && cronworkflow.namespace == 'argo'", True),
    ],
)
def test_the_stop_strategy_sees_argos_environment(expression: str, stopped: bool) -> None:
    of = cron(stopStrategy={"expression": expression}, status={"failed": 3},
              metadata={"labels": {"team": "core"}}, annotations={"note": "x"})  # fmt: skip
    assert (decided(of).reason == reasons.STOPPED) is stopped


def test_a_broken_stop_strategy_is_a_spec_error_in_argos_words() -> None:
    assert decided(cron(stopStrategy={"expression": "nope"})).spec_error.startswith(
        "failed to check CronWorkflow 'build' stopping condition: failed to evaluate stop expression: unknown name nope"
    )


def test_a_run_started_by_hand_asks_for_nothing_but_a_valid_object() -> None:
    of = cron(concurrencyPolicy="Forbid", suspend=True, when="false", schedules=["1 1 1 1 1"])
    run = run_at("10:00:07", of, kind="manual", expires_at=None)
    assert decide(of, run, at("10:00:09"), [child()]).action == CREATE
    assert child_from_object(child_workflow(of, run)).owner_uid == "uid-1"
    assert patch_for_run(of, run, Decision(CREATE, reasons.CREATED), child=child()) is None
    assert decide(replace(of, concurrency_policy="x"), run, at("10:00:09"), []).reason == reasons.SPEC_ERROR


# --- the child ------------------------------------------------------------------------------------------------


def test_the_child_is_exactly_argos() -> None:
    of = cron(
        metadata={"labels": {"workflows.argoproj.io/creator": "me", INSTANCE_ID: "i", "team": "x"}},
        annotations={"note": "not copied"},
        workflowMetadata={"labels": {"app": "a", CRON_WORKFLOW: "mine"}, "annotations": {"b": "c"}, "finalizers": ["f"],
                          "name": "unused"},
    )  # fmt: skip
    assert child_workflow(of, run_at("10:00:00")) == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": "build-1780308000",
            "namespace": "argo",
            "labels": {
                CRON_WORKFLOW: "mine",
                "workflows.argoproj.io/creator": "me",
                INSTANCE_ID: "i",
                "app": "a",
            },
            "annotations": {"workflows.argoproj.io/scheduled-time": "2026-06-01T10:00:00Z", "b": "c"},
            "finalizers": ["f"],
            "ownerReferences": [
                {
                    "apiVersion": "argoproj.io/v1alpha1",
                    "kind": "CronWorkflow",
                    "name": "build",
                    "uid": "uid-1",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": SPEC["workflowSpec"],
    }


def test_an_object_of_the_name_is_the_runs_when_owner_and_time_agree() -> None:
    run = run_at("10:00:00")
    made = child_workflow(cron(), run)
    assert is_child_of(made, run)
    assert not is_child_of(made, replace(run, uid="uid-2"))
    assert not is_child_of(made, run_at("10:10:00"))
    assert not is_child_of({"metadata": {"name": run.workflow}}, run)


def test_a_backfilled_child_has_the_name_and_no_controller() -> None:
    run = run_at("10:00:00", kind="backfill")
    made = child_workflow(cron(), run)
    assert made["metadata"]["name"] == "build-1780308000"
    assert made["metadata"]["labels"][BACKFILL] == "build"
    assert child_from_object(made).owner_uid == ""


# --- status ---------------------------------------------------------------------------------------------------


def test_a_started_run_is_written_down_whole() -> None:
    of = cron(
        status={"conditions": [{"type": "SubmissionError", "status": "True", "message": "x"}], "failed": 1}
    )
    patch = patch_for_run(of, run_at("10:00:00"), Decision(CREATE, reasons.CREATED), child=child())
    assert patch == {
        "metadata": {"resourceVersion": "7", "annotations": {LAST_USED_SCHEDULE: "*/10 * * * *"}},
        "status": {
            "active": [
                {
                    "kind": "Workflow",
                    "apiVersion": "argoproj.io/v1alpha1",
                    "name": "build-1712",
                    "namespace": "argo",
                    "uid": "uid-build-1712",
                    "resourceVersion": "3",
                }
            ],
            "lastScheduledTime": "2026-06-01T10:00:00Z",
            "conditions": [],
            "succeeded": 0,
            "failed": 1,
            "phase": "Active",
        },
    }


def merged(of: dict[str, Any], patch: Mapping[str, Any] | None) -> dict[str, Any]:
    """The object after a JSON merge patch."""
    result = dict(of)
    for key, value in (patch or {}).items():
        if isinstance(value, Mapping):
            result[key] = merged(dict(result.get(key) or {}), value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def test_writing_the_same_run_twice_changes_nothing_the_second_time() -> None:
    run, created = run_at("10:00:00"), Decision(CREATE, reasons.CREATED)
    before = raw(metadata={"annotations": {"note": "kept"}})
    after = merged(before, patch_for_run(cron_from_object(before), run, created, child=child()))
    assert after["metadata"]["annotations"]["note"] == "kept"
    assert patch_for_run(cron_from_object(after), run, created, child=child()) is None


def test_a_failed_creation_counts_and_says_why() -> None:
    patch = patch_for_run(
        cron(), run_at("10:00:00"), Decision(CREATE, reasons.CREATED), failure="quota exceeded"
    )
    assert patch is not None
    assert patch["status"]["failed"] == 1
    assert patch["status"]["lastScheduledTime"] is None
    assert patch["status"]["conditions"] == [
        {"type": "SubmissionError", "status": "True", "message": "Failed to submit Workflow: quota exceeded"}
    ]


def test_an_error_of_when_counts_as_failed_and_a_spec_error_does_not() -> None:
    run = run_at("10:00:00")
    for of, kind, failed in ((cron(when="x"), "SubmissionError", 1), (cron(workflowSpec={}), "SpecError", 0)):
        patch = patch_for_run(of, run, decide(of, run, run.start_at, []))
        assert patch is not None
        assert [each["type"] for each in patch["status"]["conditions"]] == [kind]
        assert patch["status"]["failed"] == failed


def test_there_is_one_condition_of_each_type_and_a_valid_object_loses_its_spec_error() -> None:
    both = (
        Status()
        .with_condition("SpecError", "a")
        .with_condition("SubmissionError", "b")
        .with_condition("SpecError", "c")
    )
    assert [(each["type"], each["message"]) for each in both.conditions] == [
        ("SpecError", "c"),
        ("SubmissionError", "b"),
    ]
    of = replace(settled(suspend=True), status=both)
    run = run_at("10:00:00", of)
    patch = patch_for_run(of, run, decide(of, run, run.start_at, []))
    assert patch is not None
    assert [each["type"] for each in patch["status"]["conditions"]] == ["SubmissionError"]


def test_a_stopped_object_is_marked_completed() -> None:
    of = cron(stopStrategy={"expression": "true"})
    run = run_at("10:00:00")
    patch = patch_for_run(of, run, decide(of, run, run.start_at, []))
    assert patch is not None
    assert patch["metadata"]["labels"] == {COMPLETED: "true"}
    assert patch["status"]["phase"] == "Stopped"


@pytest.mark.parametrize("given", [{"suspend": True}, {"when": "false"}, {"status": {"phase": "Stopped"}}])
def test_skips_leave_no_trace_in_the_status(given: dict[str, Any]) -> None:
    of = settled(**given)
    run = run_at("10:00:00", of)
    assert patch_for_run(of, run, decide(of, run, run.start_at, [])) is None


def test_missed_and_backfilled_runs_leave_no_trace_either() -> None:
    run = run_at("10:00:00")
    assert patch_for_run(cron(), run, decide(cron(), run, at("11:00:00"), [])) is None
    filled = replace(run, kind="backfill", expires_at=None)
    assert patch_for_run(cron(), filled, Decision(CREATE, reasons.CREATED), child=child()) is None


def test_a_made_up_run_does_not_turn_the_last_scheduled_time_back() -> None:
    of = cron(status={"lastScheduledTime": "2026-06-01T10:00:00Z"})
    patch = patch_for_run(of, run_at("09:00:00"), Decision(CREATE, reasons.CREATED), child=child())
    assert patch is not None
    assert patch["status"]["lastScheduledTime"] == "2026-06-01T10:00:00Z"


def test_an_object_nobody_runs_gets_its_spec_error_from_the_tick() -> None:
    invalid = cron(schedules=["x"])
    patch = patch_for_spec(invalid)
    assert patch is not None
    assert patch["status"]["conditions"][0]["message"].startswith("cron schedule x is malformed")
    assert patch_for_spec(cron_from_object(merged(raw(schedules=["x"]), patch))) is None
    assert patch_for_spec(cron()) is None
    assert patch_for_spec(cron_from_object({"spec": 1})) is None


def reference(name: str, **changes: Any) -> dict[str, str]:
    return child(name, **changes).reference()


def test_reconciling_counts_the_finished_and_forgets_the_vanished() -> None:
    of = cron(
        status={"active": [reference("a"), reference("b"), reference("c"), reference("d")], "phase": "Active"}
    )
    found = reconcile(of, [child("a", "Succeeded"), child("b", "Failed"), child("c")], at("10:00:00"))
    assert found.patch is not None
    assert [each["name"] for each in found.patch["status"]["active"]] == ["c"]
    assert (found.patch["status"]["succeeded"], found.patch["status"]["failed"]) == (1, 1)
    assert {each.name for each in found.finished} == {"a", "b"}


def test_reconciling_adds_children_nobody_wrote_down_and_never_counts_twice() -> None:
    before = raw()
    found = reconcile(cron_from_object(before), [child("manual"), child("done", "Succeeded")], at("10:00:00"))
    assert found.patch is not None
    assert [each["name"] for each in found.patch["status"]["active"]] == ["manual"]
    assert found.patch["status"]["succeeded"] == 0
    after = cron_from_object(merged(before, found.patch))
    assert reconcile(after, [child("manual"), child("done", "Succeeded")], at("10:00:00")).patch is None


def test_a_child_younger_than_the_list_may_be_stays() -> None:
    young = run_at("10:00:00").workflow
    of = cron(status={"active": [reference(young)]})
    assert reconcile(of, [], at("10:00:30")).patch is None
    assert reconcile(of, [], at("10:01:01")).patch is not None


def test_reconciling_stops_without_the_label() -> None:
    of = cron(status={"active": [reference("a")]}, stopStrategy={"expression": "cronworkflow.failed > 0"})
    found = reconcile(of, [child("a", "Error")], at("10:00:00"))
    assert found.patch is not None
    assert found.patch["status"]["phase"] == "Stopped"
    assert "labels" not in found.patch["metadata"]


def test_a_broken_stop_strategy_does_not_lose_the_counters() -> None:
    of = cron(status={"active": [reference("a")]}, stopStrategy={"expression": "nope"})
    found = reconcile(of, [child("a", "Succeeded")], at("10:00:00"))
    assert found.patch is not None
    assert found.patch["status"]["succeeded"] == 1
    assert "stopping condition" in found.error
    assert found.patch["status"]["conditions"][0]["type"] == "SpecError"


# --- history --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "deleted"),
    [
        ({}, {"s3", "f1", "f2"}),
        ({"successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 9}, {"s0", "s1", "s2", "s3"}),
        ({"successfulJobsHistoryLimit": -5, "failedJobsHistoryLimit": -1}, {"s3", "f1", "f2"}),
    ],
)
def test_history_keeps_the_newest_finished(limits: dict[str, int], deleted: set[str]) -> None:
    children = [child(f"s{n}", "Succeeded", finished_at=at(f"0{9 - n}:00:00")) for n in range(4)]
    children += [
        child(f"f{n}", ("Failed", "Error")[n % 2], finished_at=at(f"0{9 - n}:00:00")) for n in range(3)
    ]
    children += [
        child("running"),
        child("other", "Failed", owner_uid=""),
        child("named", "Failed", cron_workflow="x"),
    ]
    assert set(history_to_delete(cron(**limits), children)) == deleted


# --- catching up ----------------------------------------------------------------------------------------------


def caught(of: CronWorkflow, last: str | None, now: str) -> list[str]:
    runs = catch_up(of, at(last) if last else None, at(now))
    assert all(run.kind == "catch-up" for run in runs)
    assert [run.start_at for run in runs] == [at(now) + timedelta(seconds=n) for n in range(len(runs))]
    return [run.scheduled_at.strftime("%H:%M") for run in runs]


def test_by_argos_rule_the_latest_missed_run_within_the_deadline_is_made_up() -> None:
    hourly = {"schedules": ["0 * * * *"]}
    assert caught(settled(**hourly, startingDeadlineSeconds=900), "09:00:00", "12:10:00") == ["12:00"]
    assert caught(settled(**hourly, startingDeadlineSeconds=600), "09:00:00", "12:10:00") == []
    assert caught(settled(**hourly), "09:00:00", "12:10:00") == []


def test_the_first_schedule_within_the_deadline_is_the_one() -> None:
    both = settled(schedules=["5 * * * *", "30 * * * *"], startingDeadlineSeconds=7200)
    assert caught(both, "09:30:00", "12:50:00") == ["12:05"]
    assert caught(replace(both, starting_deadline_seconds=1800), "09:30:00", "12:50:00") == ["12:30"]


def test_a_new_or_edited_object_makes_nothing_up() -> None:
    for mode in ({}, {CATCH_UP: "all"}):
        of = cron(annotations=mode, startingDeadlineSeconds=86400)
        assert caught(of, "09:00:00", "10:05:00") == []
        edited = replace(of, annotations={**mode, LAST_USED_SCHEDULE: "CRON_TZ=UTC */10 * * * *"})
        assert caught(edited, "09:00:00", "10:05:00") == []
        assert caught(settled(annotations=mode, startingDeadlineSeconds=86400), None, "10:05:00") == []


@pytest.mark.parametrize(
    ("annotations", "times"),
    [
        ({CATCH_UP: "none"}, []),
        ({CATCH_UP: "latest"}, ["12:00"]),
        ({CATCH_UP: "all"}, ["10:00", "11:00", "12:00"]),
        ({CATCH_UP: "all", CATCH_UP_MAX: "2"}, ["11:00", "12:00"]),
        ({CATCH_UP: "all", CATCH_UP_WINDOW: "90m"}, ["11:00", "12:00"]),
        ({CATCH_UP: "latest", CATCH_UP_WINDOW: "5m"}, []),
    ],
)
def test_the_annotation_says_what_is_made_up(annotations: dict[str, str], times: list[str]) -> None:
    of = settled(schedules=["0 * * * *"], annotations=annotations, startingDeadlineSeconds=60)
    assert caught(of, "09:00:00", "12:10:00") == times


def test_making_up_is_bounded_and_in_order_over_all_schedules() -> None:
    of = settled(schedules=["* * * * *", "@every 30s"], annotations={CATCH_UP: "all", CATCH_UP_MAX: "100"})
    runs = catch_up(of, at("2026-05-01T00:00:00Z"), at("12:00:00"))
    times = [run.scheduled_at for run in runs]
    assert len(times) == 100
    assert times == sorted(set(times))
    assert times[-1] == at("11:59:30")


# --- backfill -------------------------------------------------------------------------------------------------


def test_a_backfill_has_every_time_of_the_stretch_and_no_deadline() -> None:
    runs = backfill(cron(), at("08:00:00"), at("08:30:00"), at("12:00:00"))
    assert [run.scheduled_at.strftime("%H:%M") for run in runs] == ["08:00", "08:10", "08:20", "08:30"]
    assert {(run.kind, run.start_at, run.expires_at) for run in runs} == {("backfill", at("12:00:00"), None)}
    assert runs[0].id == run_id("uid-1", at("08:00:00"))


def test_a_backfill_is_decided_without_policy_but_not_without_a_schedule() -> None:
    forbid = cron(concurrencyPolicy="Forbid", suspend=True, when="false")
    run = backfill(forbid, at("08:00:00"), at("08:00:00"), at("12:00:00"))[0]
    assert decide(forbid, run, at("2026-12-01T00:00:00Z"), [child()]).action == CREATE
    assert (
        decide(replace(forbid, schedules=("1 1 1 1 1",)), run, at("12:00:00"), []).reason
        == reasons.NOT_A_FIRE_TIME
    )


def test_a_backfill_neither_reaches_into_the_future_nor_runs_what_is_invalid() -> None:
    with pytest.raises(Misconfigured, match="in the future"):
        backfill(cron(), at("08:00:00"), at("13:00:00"), at("12:00:00"))
    with pytest.raises(Misconfigured, match=r"CronWorkflow argo/build cannot be backfilled: cannot validate"):
        backfill(cron(workflowSpec={}), at("08:00:00"), at("09:00:00"), at("12:00:00"))


def test_a_long_backfill_comes_in_pages() -> None:
    of, end = cron(schedules=["* * * * *"]), at("12:00:00")
    first = backfill(of, at("2026-05-31T00:00:00Z"), end, end)
    second = backfill(of, first[-1].scheduled_at + timedelta(seconds=1), end, end)
    assert (len(first), second[0].scheduled_at - first[-1].scheduled_at) == (1000, timedelta(minutes=1))


def test_children_are_read_from_partial_objects_too() -> None:
    assert child_from_object({}) == Child("", "", "")
    odd = {
        "metadata": {"ownerReferences": ["x", {"controller": False}], "annotations": []},
        "status": {"finishedAt": 5},
    }
    assert child_from_object(odd) == Child("", "", "")
    assert child_from_object({"status": {"finishedAt": "2026-06-01T10:00:00Z"}}).finished_at == at(
        "10:00:00"
    ).astimezone(UTC)
