"""CronWorkflows: when they run, whether they run, what runs, and what their status says afterwards.

Everything here is a function of an object as the cluster has it, a time, and the object's children. Nothing is
remembered, nothing is called. Three callers ask in turn:

    the tick     `plan(cron, now, until)` the runs of the minutes ahead; `catch_up` once after a gap;
                 `reconcile` for active list, counters, phase; `history_to_delete`
    the worker   at the second of a run `decide`; then `child_workflow` and `patch_for_run`
    people       `backfill`

A `Run` is a CronWorkflow's uid and a time, T. T is what the schedule says and what names the child; with
`lynceus.dev/spread` the run starts later than T, by the same time each day. All policy is decided by the
worker at the start, from the object as it then is, so that a plan may be made twice or early without harm.

What Argo writes where (status, labels, annotations, texts of conditions) is kept to the letter, and objects that
Argo's controller wrote are continued. Our own are the annotations below, and the rules about time:

- A run that starts later than max(startingDeadlineSeconds, 120 s) after it should have is missed.
- `@every` counts from the object's creation; Argo counts from the last change it saw.
- T is a run's time when the wall clock of the zone matches the fields at T. Argo asks from one fire time for
  the next, and loses some where clocks move by half an hour, or at midnight east of Greenwich.

Source: argo-workflows workflow/cron/operator.go, workflow/cron/controller.go, workflow/common/convert.go,
workflow/validate/validate.go (ValidateCronWorkflow).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from heapq import merge
from itertools import groupby, islice
from typing import Any

from chalicelib.core import reasons
from chalicelib.core.bindings import INSTANCE_ID, duration_of
from chalicelib.core.errors import LynceusError, Misconfigured, ScheduleError
from chalicelib.core.expressions import ExpressionError, Time
from chalicelib.core.expressions.values import Int64, StringMap, marshal
from chalicelib.core.govaluate import evaluate_bool
from chalicelib.core.schedules import Schedule, load_zone, parse
from chalicelib.core.submissions import digest_of
from chalicelib.core.substitutions import compiled, substitute
from chalicelib.core.workflows import API_VERSION, CREATOR

CRON_WORKFLOW = "workflows.argoproj.io/cron-workflow"  # label: the CronWorkflow's name
BACKFILL = "workflows.argoproj.io/backfill"  # label: the CronWorkflow's name
SCHEDULED_TIME = "workflows.argoproj.io/scheduled-time"  # annotation: T
LAST_USED_SCHEDULE = "cronworkflows.argoproj.io/last-used-schedule"
COMPLETED = "cronworkflows.argoproj.io/completed"
_COPIED_LABELS = (CREATOR, f"{CREATOR}-email", f"{CREATOR}-preferred-username", INSTANCE_ID)

CATCH_UP = "lynceus.dev/catch-up"  # none, latest or all; absent: Argo's rule
CATCH_UP_MAX = "lynceus.dev/catch-up-max"  # of runs, for all
CATCH_UP_WINDOW = "lynceus.dev/catch-up-window"  # a duration: older runs stay missed
DST = "lynceus.dev/dst"
SPREAD = "lynceus.dev/spread"
_OURS = (CATCH_UP, CATCH_UP_MAX, CATCH_UP_WINDOW, DST, SPREAD)

CATCH_UP_MAX_DEFAULT, CATCH_UP_MAX_LIMIT = 10, 100
CATCH_UP_WINDOW_DEFAULT, CATCH_UP_WINDOW_LIMIT = timedelta(days=1), timedelta(days=31)
SPREAD_LIMIT = timedelta(hours=1)
RUNS_LIMIT = 1000  # of one plan, catch-up or page of a backfill

UNPLANNED_WINDOW, UNPLANNED_LIMIT = timedelta(hours=1), 10  # of what a gap swallowed, so much is recorded
LATE = timedelta(seconds=120)  # a run may start this late without a startingDeadlineSeconds
LIST_LAG = timedelta(seconds=60)  # a list of children may miss one that is younger

SUCCEEDED, FAILED, ERROR = "Succeeded", "Failed", "Error"
FINISHED = frozenset({SUCCEEDED, FAILED, ERROR})
ACTIVE, STOPPED = "Active", "Stopped"
SPEC_ERROR, SUBMISSION_ERROR = "SpecError", "SubmissionError"

NAME_LIMIT = 52
_PARAMETER_NAME = re.compile(r"[-a-zA-Z0-9_]+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


# --- the object -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Status:
    """The status of a CronWorkflow, as Argo keeps it."""

    active: tuple[Mapping[str, Any], ...] = ()  # object references
    last_scheduled_time: datetime | None = None
    conditions: tuple[Mapping[str, Any], ...] = ()
    succeeded: int = 0
    failed: int = 0
    phase: str = ""

    def message(self, condition: str) -> str:
        """What the condition of that type says, "" where there is none."""
        return next(
            (str(each.get("message", "")) for each in self.conditions if each.get("type") == condition), ""
        )

    def with_condition(self, kind: str, message: str) -> Status:
        """The status with that one condition of its type, in its place; an empty message removes it."""
        condition = {"type": kind, "status": "True", "message": message}
        kept = [each for each in self.conditions if each.get("type") != kind]
        if message:
            at = next((at for at, each in enumerate(self.conditions) if each.get("type") == kind), len(kept))
            kept.insert(at, condition)
        return replace(self, conditions=tuple(kept))

    def to_object(self) -> dict[str, Any]:
        """All six fields, for a merge patch that leaves nothing of before."""
        return {
            "active": [dict(each) for each in self.active],
            "lastScheduledTime": rfc3339(self.last_scheduled_time) if self.last_scheduled_time else None,
            "conditions": [dict(each) for each in self.conditions],
            "succeeded": self.succeeded,
            "failed": self.failed,
            "phase": self.phase,
        }


@dataclass(frozen=True)
class CronWorkflow:
    """A CronWorkflow as far as scheduling reads it; `problem` says why an object is none."""

    namespace: str
    name: str
    uid: str
    resource_version: str = ""
    created_at: datetime = _EPOCH  # what `@every` counts from
    deleting: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    schedules: tuple[str, ...] = ()
    timezone: str = ""
    suspend: bool = False
    concurrency_policy: str = ""
    starting_deadline_seconds: int = 0
    successful_jobs_history_limit: int = 3
    failed_jobs_history_limit: int = 1
    when: str = ""
    stop_expression: str | None = None
    workflow_metadata: Mapping[str, Any] = field(default_factory=dict)
    workflow_spec: Mapping[str, Any] = field(default_factory=dict)
    status: Status = Status()
    problem: str = ""

    @property
    def schedule_text(self) -> str:
        """Schedules and zone as the annotation last-used-schedule has them."""
        prefix = f"CRON_TZ={self.timezone} " if self.timezone else ""
        return ",".join(prefix + schedule for schedule in self.schedules)

    @property
    def late(self) -> timedelta:
        """How long after its start a run may still begin."""
        return max(self.deadline, LATE)

    @property
    def deadline(self) -> timedelta:
        """startingDeadlineSeconds; an int64 may be longer than any calendar."""
        return timedelta(seconds=min(max(self.starting_deadline_seconds, 0), 10 * 366 * 86400))

    @cached_property
    def spread(self) -> timedelta:
        """By how much runs start after their time: within `lynceus.dev/spread`, the same for ever."""
        seconds = int(_annotated_duration(self, SPREAD, timedelta(), SPREAD_LIMIT).total_seconds())
        if not seconds:
            return timedelta()
        digest = hashlib.sha256(f"{self.namespace}/{self.name}".encode("utf-8", "surrogatepass")).digest()
        return timedelta(seconds=int.from_bytes(digest[:8], "big") % seconds)

    def parsed(self, default_timezone: str = "") -> tuple[Schedule, ...]:
        """The schedules; raises ScheduleError for the first that Argo refuses."""
        return tuple(
            parse(
                schedule,
                self.timezone or ("" if schedule.startswith(("TZ=", "CRON_TZ=")) else default_timezone),
                anchor=self.created_at,
                seed=f"{self.namespace}/{self.name}",
                dst=self.annotations.get(DST, "argo"),
            )
            for schedule in self.schedules
        )


def cron_from_object(raw: Mapping[str, Any]) -> CronWorkflow:
    """The CronWorkflow in an object of the cluster; what cannot be read becomes its `problem`, never an exception.

    A CronWorkflow of Argo 3 has `schedule`, which is used instead of `schedules` when it is not empty.
    """
    metadata = _mapping(raw.get("metadata"))
    namespace, name, uid = (str(metadata.get(key) or "") for key in ("namespace", "name", "uid"))
    try:
        spec, status = raw.get("spec"), raw.get("status") or {}
        if not isinstance(spec, dict) or not isinstance(status, dict):
            raise Misconfigured("spec or status is not an object")
        single = _text(spec, "schedule")
        return CronWorkflow(
            namespace,
            name,
            uid,
            resource_version=str(metadata.get("resourceVersion") or ""),
            created_at=time_of(metadata.get("creationTimestamp")) or _EPOCH,
            deleting=bool(metadata.get("deletionTimestamp")),
            labels=_texts(metadata, "labels"),
            annotations=_texts(metadata, "annotations"),
            schedules=(single,) if single else _list(spec, "schedules", str),
            timezone=_text(spec, "timezone"),
            suspend=_typed(spec, "suspend", bool, False),
            concurrency_policy=_text(spec, "concurrencyPolicy"),
            starting_deadline_seconds=_typed(spec, "startingDeadlineSeconds", int, 0),
            successful_jobs_history_limit=_limit(spec, "successfulJobsHistoryLimit", 3),
            failed_jobs_history_limit=_limit(spec, "failedJobsHistoryLimit", 1),
            when=_text(spec, "when"),
            stop_expression=_stop_expression(spec),
            workflow_metadata=_typed(spec, "workflowMetadata", dict, {}),
            workflow_spec=_typed(spec, "workflowSpec", dict, {}),
            status=Status(
                active=_list(status, "active", dict),
                last_scheduled_time=time_of(status.get("lastScheduledTime")),
                conditions=_list(status, "conditions", dict),
                succeeded=_typed(status, "succeeded", int, 0),
                failed=_typed(status, "failed", int, 0),
                phase=_text(status, "phase"),
            ),
        )
    except Misconfigured as error:
        return CronWorkflow(namespace, name, uid, problem=error.message)


def outline(cron: CronWorkflow) -> CronWorkflow:
    """The CronWorkflow as far as planning and its status go, for whoever holds ten thousand of them.

    Of the child it keeps what `validate` reads, of the annotations what scheduling reads; no child can be made of it.
    """
    spec = cron.workflow_spec
    kept = {key: spec[key] for key in ("workflowTemplateRef", "entrypoint", "arguments") if key in spec}
    if spec.get("templates"):
        kept["templates"] = [{}]
    annotations = cron.annotations
    if cron.stop_expression is None:  # it may look at each of them
        read = (*_OURS, LAST_USED_SCHEDULE)
        annotations = {key: annotations[key] for key in read if key in annotations}
    return replace(cron, workflow_spec=kept, workflow_metadata={}, annotations=annotations)


def time_of(text: Any) -> datetime | None:
    """The instant of an RFC 3339 text, in UTC; None for null. Raises Misconfigured for anything else."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise Misconfigured(f"{text!r:.40} is no time of RFC 3339") from error


def rfc3339(moment: datetime) -> str:
    """The instant as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}  # decoded JSON


def _typed(of: Mapping[str, Any], key: str, kind: Any, default: Any) -> Any:
    """The value of that kind, or the default for null; a bool is no int."""
    value = of.get(key)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        wanted = {str: "a string", bool: "a bool", int: "an integer"}.get(kind, "an object")
        raise Misconfigured(f"{key} is not {wanted}: {value!r:.40}")
    return value


def _text(of: Mapping[str, Any], key: str) -> str:
    text: str = _typed(of, key, str, "")
    return text


def _list(of: Mapping[str, Any], key: str, kind: Any) -> tuple[Any, ...]:
    values = of.get(key)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise Misconfigured(
            f"{key} is not a list of {'strings' if kind is str else 'objects'}: {values!r:.40}"
        )
    return tuple(values)


def _texts(of: Mapping[str, Any], key: str) -> dict[str, str]:
    values = _typed(of, key, dict, {})
    if not all(isinstance(value, str) for value in values.values()):
        raise Misconfigured(f"{key} has a value that is not a string")
    return dict(values)


def _limit(spec: Mapping[str, Any], key: str, default: int) -> int:
    limit: int = _typed(spec, key, int, default)
    return default if limit < 0 else limit


def _stop_expression(spec: Mapping[str, Any]) -> str | None:
    strategy = _typed(spec, "stopStrategy", dict, None)
    return None if strategy is None else _text(strategy, "expression")


# --- validation -----------------------------------------------------------------------------------------------


def validate(cron: CronWorkflow, *, beside_argo: bool = False) -> str:
    """Why the object cannot run, for its condition SpecError; "" when it can. Argo's checks in Argo's order.

    Then our own annotations. `beside_argo`: Argo's controller still runs this object, so that what only we know is
    refused. Of the child only what needs no other object is checked; the rest the workflow controller says.
    """
    if cron.problem:
        return cron.problem
    if len(cron.name) > NAME_LIMIT:
        length = f"must not be more than {NAME_LIMIT} characters long (currently {len(cron.name)})"
        return f'cron workflow name "{cron.name}" {length}'
    if not cron.schedules:
        return "cron workflow must have at least one schedule"
    seed = "" if beside_argo else f"{cron.namespace}/{cron.name}"
    for schedule in cron.schedules:
        try:
            parse(schedule, seed=seed)
        except ScheduleError as error:
            return f"cron schedule {schedule} is malformed: {error}"
    if cron.timezone:
        try:
            load_zone(cron.timezone)
        except ScheduleError as error:
            return f'invalid timezone "{cron.timezone}": {error}'
        for schedule in cron.schedules:
            try:  # a zone of its own is one too many; Argo only logs that
                parse(schedule, cron.timezone, seed=seed)
            except ScheduleError as error:
                return f"cron schedule {schedule} is malformed: {error}"
    if cron.concurrency_policy not in ("", "Allow", "Forbid", "Replace"):
        return f"'{cron.concurrency_policy}' is not a valid concurrencyPolicy"
    if cron.starting_deadline_seconds < 0:
        return "startingDeadlineSeconds must be positive"
    problem = _child_problem(cron.workflow_spec)
    if problem:
        return f"cannot validate Workflow: {problem}"
    return _annotation_problem(cron, beside_argo)


def _child_problem(spec: Mapping[str, Any]) -> str:
    """What is wrong with a WorkflowSpec as it stands, in the words of ValidateWorkflow."""
    template = spec.get("workflowTemplateRef")
    if template and spec.get("templates"):
        return "Templates is invalid field in spec if workflow referred WorkflowTemplate reference"
    parameters = _mapping(spec.get("arguments")).get("parameters") or []
    if not isinstance(parameters, list) or not all(isinstance(each, dict) for each in parameters):
        return "spec.arguments.parameters is not a list of objects"
    seen: set[str] = set()
    for at, parameter in enumerate(parameters):
        name, place = str(parameter.get("name") or ""), f"spec.arguments.parameters[{at}].name"
        if not name:
            return f"{place} is required"
        if not _PARAMETER_NAME.fullmatch(name):
            rule = "Parameter/Artifact name must consist of alpha-numeric characters, '_' or '-'"
            return f"{place}: '{name}' is invalid: {rule} e.g. my_param_1, MY-PARAM-1"
        if name in seen:
            return f"{place} '{name}' is not unique"
        seen.add(name)
        value, allowed = parameter.get("value"), parameter.get("enum")
        if value is None and parameter.get("valueFrom") is None and not template:
            return f"spec.arguments.{name}.value or spec.arguments.{name}.valueFrom is required"
        if value is not None and isinstance(allowed, list) and str(value) not in map(str, allowed):
            return f"spec.arguments.{name}.value should be present in spec.arguments.{name}.enum list"
    return "" if template or spec.get("entrypoint") else "spec.entrypoint is required"


def _annotation_problem(cron: CronWorkflow, beside_argo: bool) -> str:
    """What is wrong with our own annotations."""
    ours = [key for key in _OURS if key in cron.annotations]
    if beside_argo:
        every = [schedule for schedule in cron.schedules if "@every" in schedule]
        if ours or every:
            what = f"annotation {ours[0]}" if ours else f"schedule {every[0]}"
            return f"{what} cannot be used while Argo's controller runs this CronWorkflow as well: let one of them"
    if not ours:
        return ""
    try:
        catch_up_of(cron)
        _annotated_duration(cron, SPREAD, timedelta(), SPREAD_LIMIT)
    except Misconfigured as error:
        return error.message
    if cron.annotations.get(DST, "argo") not in ("argo", "once"):
        return f'annotation {DST} is "{cron.annotations[DST]:.40}": say argo or once'
    return ""


def _annotated_duration(cron: CronWorkflow, key: str, default: timedelta, most: timedelta) -> timedelta:
    """The duration in an annotation; raises Misconfigured, which names it."""
    if key not in cron.annotations:
        return default
    try:
        found = duration_of(cron.annotations[key])
    except Misconfigured as error:
        raise Misconfigured(f"annotation {key}: {error.message}") from error
    if found > most:
        raise Misconfigured(
            f"annotation {key} is {cron.annotations[key]}: say {int(most.total_seconds())}s at most"
        )
    return found


# --- planning -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One time at which a CronWorkflow is to run. Its id is what makes it run once."""

    namespace: str
    name: str
    uid: str  # the CronWorkflow's
    scheduled_at: datetime  # T, what the schedule says; names the child
    start_at: datetime  # when the worker shall decide
    expires_at: datetime | None  # later than this it is missed; None: never
    kind: str = "scheduled"  # "scheduled", "catch-up", "backfill" or "manual"

    @property
    def id(self) -> str:
        """The same for the same CronWorkflow and T, however often and why ever it is planned."""
        return run_id(self.uid, self.scheduled_at)

    @property
    def workflow(self) -> str:
        """The child's name."""
        return child_name(self.name, self.scheduled_at)


def run_id(uid: str, scheduled_at: datetime) -> str:
    """The id of a run (rule 29)."""
    return digest_of("cron", uid, str(int(scheduled_at.timestamp())))


def child_name(name: str, scheduled_at: datetime) -> str:
    """``<cron>-<unix seconds>``: Argo's own formula. Source: operator.go, getChildWorkflowName."""
    return f"{name}-{int(scheduled_at.timestamp())}"


def plan(
    cron: CronWorkflow,
    now: datetime,
    until: datetime,
    *,
    default_timezone: str = "",
    beside_argo: bool = False,
) -> tuple[Run, ...]:
    """The runs that start from `now` to `until`, both included, in order; at most RUNS_LIMIT.

    None for an object that is invalid, being deleted or marked completed. Suspended and stopped ones are planned:
    whether they run is decided, and recorded, at the second.
    """
    if cron.deleting or cron.labels.get(COMPLETED) == "true" or validate(cron, beside_argo=beside_argo):
        return ()
    times = _times(cron, now - cron.spread, until - cron.spread, default_timezone)
    return tuple(_run(cron, moment) for moment in times)


def coming(
    cron: CronWorkflow, start: datetime, number: int, *, default_timezone: str = ""
) -> tuple[Run, ...]:
    """The next runs from `start` on, included, in order: fewer where the schedules end. For people to look at.

    Raises Misconfigured where the object is invalid.
    """
    problem = validate(cron)
    if problem:
        raise Misconfigured(f"CronWorkflow {cron.namespace}/{cron.name} never runs: {problem}")
    end = datetime.max.replace(tzinfo=UTC)
    found = merge(*(schedule.between(start, end) for schedule in cron.parsed(default_timezone)))
    times = (moment for moment, _ in groupby(found))
    return tuple(_run(cron, moment) for moment in islice(times, min(number, RUNS_LIMIT)))


def _run(cron: CronWorkflow, scheduled_at: datetime) -> Run:
    start_at = scheduled_at + cron.spread
    return Run(cron.namespace, cron.name, cron.uid, scheduled_at, start_at, start_at + cron.late)


def _times(cron: CronWorkflow, start: datetime, end: datetime, default_timezone: str) -> tuple[datetime, ...]:
    """The fire times of all schedules from `start` to `end`, each once; at most RUNS_LIMIT."""
    found = merge(*(schedule.between(start, end) for schedule in cron.parsed(default_timezone)))
    return tuple(islice((moment for moment, _ in groupby(found)), RUNS_LIMIT))


@dataclass(frozen=True)
class CatchUp:
    """What becomes of runs that were missed."""

    rule: str  # "argo", "none", "latest" or "all"
    max: int = CATCH_UP_MAX_DEFAULT
    window: timedelta = CATCH_UP_WINDOW_DEFAULT


def catch_up_of(cron: CronWorkflow) -> CatchUp:
    """The rule in the annotations; raises Misconfigured for one that cannot be read."""
    rule = cron.annotations.get(CATCH_UP, "argo")
    if rule not in ("argo", "none", "latest", "all"):
        raise Misconfigured(f'annotation {CATCH_UP} is "{rule:.40}": say none, latest or all')
    most = cron.annotations.get(CATCH_UP_MAX, str(CATCH_UP_MAX_DEFAULT))
    if not re.fullmatch("[0-9]{1,4}", most) or not 1 <= int(most) <= CATCH_UP_MAX_LIMIT:
        raise Misconfigured(
            f'annotation {CATCH_UP_MAX} is "{most:.40}": say a number from 1 to {CATCH_UP_MAX_LIMIT}'
        )
    window = _annotated_duration(cron, CATCH_UP_WINDOW, CATCH_UP_WINDOW_DEFAULT, CATCH_UP_WINDOW_LIMIT)
    return CatchUp(rule, int(most), window)


def catch_up(
    cron: CronWorkflow, last_scheduled: datetime | None, now: datetime, *, default_timezone: str = ""
) -> tuple[Run, ...]:
    """The missed runs to make up for, oldest first, a second apart from `now` on.

    `last_scheduled` is the last time that was dealt with, run or skipped. Missed are the times after it whose start,
    which `lynceus.dev/spread` delays, lies before `now`.
    None for an object that never ran, or whose schedules or zone changed since. By Argo's rule (5.5) that is the
    latest missed time of the first schedule for which it is still within startingDeadlineSeconds.
    """
    if last_scheduled is None or cron.annotations.get(LAST_USED_SCHEDULE) != cron.schedule_text:
        return ()
    if cron.deleting or cron.labels.get(COMPLETED) == "true" or validate(cron):
        return ()
    rule, schedules, end = catch_up_of(cron), cron.parsed(default_timezone), now - cron.spread
    missed: list[datetime] = []
    if rule.rule == "argo":
        latest = (schedule.latest(last_scheduled, end) for schedule in schedules)
        missed = list(islice((each for each in latest if each is not None and end < each + cron.deadline), 1))
    elif rule.rule != "none":
        start, most = max(last_scheduled, end - rule.window), 1 if rule.rule == "latest" else rule.max
        found: set[datetime] = set()
        for schedule in schedules:
            before: datetime | None = end
            for _ in range(most):
                before = schedule.latest(start, before) if before else None
                if before is not None:
                    found.add(before)
        missed = sorted(found)[-most:]
    starts = (now + timedelta(seconds=place) for place in range(len(missed)))
    return tuple(
        replace(_run(cron, moment), start_at=start_at, expires_at=start_at + LATE, kind="catch-up")
        for moment, start_at in zip(missed, starts, strict=True)
    )


def unplanned(
    cron: CronWorkflow, since: datetime, now: datetime, *, default_timezone: str = ""
) -> tuple[Run, ...]:
    """The runs from `since` to `now`, while nobody planned, oldest first: the newest UNPLANNED_LIMIT of an hour.

    The worker starts those that are less than LATE behind, and records the others as missed. None for an object that
    never ran and was never skipped, or whose schedules or zone changed since: it is planned from now.
    """
    if cron.annotations.get(LAST_USED_SCHEDULE) != cron.schedule_text:
        return ()
    runs = plan(cron, max(since, now - UNPLANNED_WINDOW), now, default_timezone=default_timezone)
    return tuple(replace(run, expires_at=run.start_at + LATE) for run in runs[-UNPLANNED_LIMIT:])


def backfill(
    cron: CronWorkflow, start: datetime, end: datetime, now: datetime, *, default_timezone: str = ""
) -> tuple[Run, ...]:
    """The runs of a stretch of the past, `start` and `end` included, oldest first; at most RUNS_LIMIT.

    Raises Misconfigured where the object is invalid or the stretch reaches beyond `now`: what is to come is planned.
    To go on after RUNS_LIMIT, ask again from a second after the last.
    """
    problem = validate(cron)
    if problem:
        raise Misconfigured(f"CronWorkflow {cron.namespace}/{cron.name} cannot be backfilled: {problem}")
    if end > now:
        raise Misconfigured(
            f"the end of a backfill, {rfc3339(end)}, is in the future: say {rfc3339(now)} at most"
        )
    times = _times(cron, start, end, default_timezone)
    return tuple(
        Run(cron.namespace, cron.name, cron.uid, moment, now, None, kind="backfill") for moment in times
    )


# --- deciding -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Child:
    """A Workflow of a CronWorkflow."""

    namespace: str
    name: str
    uid: str
    phase: str = ""
    finished_at: datetime | None = None
    owner_uid: str = ""  # of its controller, if that is a CronWorkflow
    cron_workflow: str = ""  # the label
    resource_version: str = ""
    scheduled_at: datetime | None = None

    @property
    def finished(self) -> bool:
        """Whether the workflow controller is done with it."""
        return self.phase in FINISHED

    def reference(self) -> dict[str, str]:
        """The entry of status.active."""
        return {
            "kind": "Workflow",
            "apiVersion": API_VERSION,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
            "resourceVersion": self.resource_version,
        }


def child_from_object(raw: Mapping[str, Any]) -> Child:
    """The Child in a Workflow of the cluster, also a partial one; unreadable times count as none."""
    metadata, status = _mapping(raw.get("metadata")), _mapping(raw.get("status"))
    owners = metadata.get("ownerReferences")
    controllers = [_mapping(each) for each in (owners if isinstance(owners, list) else ())]
    owner = next((each for each in controllers if each.get("controller") is True), {})
    return Child(
        namespace=str(metadata.get("namespace") or ""),
        name=str(metadata.get("name") or ""),
        uid=str(metadata.get("uid") or ""),
        phase=str(status.get("phase") or ""),
        finished_at=_time_or_none(status.get("finishedAt")),
        owner_uid=str(owner.get("uid") or "") if owner.get("kind") == "CronWorkflow" else "",
        cron_workflow=str(_mapping(metadata.get("labels")).get(CRON_WORKFLOW) or ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
        scheduled_at=_time_or_none(_mapping(metadata.get("annotations")).get(SCHEDULED_TIME)),
    )


def _time_or_none(text: Any) -> datetime | None:
    try:
        return time_of(text)
    except Misconfigured:
        return None


def is_child_of(workflow: Mapping[str, Any], run: Run) -> bool:
    """Whether the object found under the run's name is this run's, whoever created it (rule 22)."""
    child = child_from_object(workflow)
    return child.owner_uid == run.uid and child.scheduled_at == run.scheduled_at


CREATE, SKIP, MISSED = "create", "skip", "missed"


@dataclass(frozen=True)
class Decision:
    """What is to become of a run, and why."""

    action: str  # CREATE, SKIP or MISSED
    reason: str  # a code of `reasons`
    message: str = ""
    replaces: tuple[str, ...] = ()  # children to terminate first
    spec_error: str = ""  # the condition to set
    submission_error: str = ""  # likewise; counts as failed
    stop: bool = False  # the stop strategy says so


def decide(
    cron: CronWorkflow | None,
    run: Run,
    now: datetime,
    children: Sequence[Child],
    *,
    undecided: str = "",
    default_timezone: str = "",
    beside_argo: bool = False,
) -> Decision:
    """Whether the run starts at `now`, from the object and its children as they are at this moment.

    `cron` is None when the object is gone. `undecided` names a child that was decided to be created and of which
    no outcome is known: it counts as active (rule 32). In `observe` mode the same is decided, and nothing done.
    """
    if cron is None or cron.uid != run.uid or cron.deleting:
        return Decision(
            SKIP, reasons.OBJECT_GONE, f"CronWorkflow {run.name} is gone or is another one of that name"
        )
    if run.expires_at is not None and now > run.expires_at:
        late, allowed = (int((each - run.start_at).total_seconds()) for each in (now, run.expires_at))
        return Decision(MISSED, reasons.MISSED_DEADLINE, f"{late} s late, allowed {allowed} s")
    if cron.problem:
        return Decision(SKIP, reasons.SPEC_ERROR, cron.problem)  # its status was not read either
    problem = validate(cron, beside_argo=beside_argo)
    if problem:
        return Decision(SKIP, reasons.SPEC_ERROR, problem, spec_error=problem)
    if run.kind == "manual":
        return Decision(CREATE, reasons.CREATED)  # as from argo submit: whoever asks decides
    if not any(schedule.fires_at(run.scheduled_at) for schedule in cron.parsed(default_timezone)):
        said = f"{cron.schedule_text} does not fire at {rfc3339(run.scheduled_at)} any more"
        return Decision(SKIP, reasons.NOT_A_FIRE_TIME, said)
    if run.kind == "backfill":
        return Decision(CREATE, reasons.CREATED)
    # A child of this very run, left by an attempt that died, stands in nobody's way.
    others = [child for child in children if child.name != run.workflow]
    return _policy(cron, now, others, undecided if undecided != run.workflow else "")


def _policy(cron: CronWorkflow, now: datetime, children: Sequence[Child], undecided: str) -> Decision:
    """Argo's order: stopStrategy, suspend, phase, when, concurrencyPolicy."""
    try:
        stop = is_stopped(cron, now)
    except LynceusError as error:
        message = f"failed to check CronWorkflow '{cron.name}' stopping condition: {error}"
        return Decision(SKIP, reasons.SPEC_ERROR, message, spec_error=message)
    if cron.suspend:
        return Decision(SKIP, reasons.SUSPENDED, "spec.suspend is true", stop=stop)
    if stop or cron.status.phase == STOPPED:
        return Decision(SKIP, reasons.STOPPED, "the stop strategy's expression was true", stop=stop)
    try:
        if not is_wanted(cron, now):
            return Decision(SKIP, reasons.WHEN_FALSE, f"when is false: {cron.when}")
    except LynceusError as error:
        message = f"run policy error: {error}"
        return Decision(SKIP, reasons.RUN_POLICY_ERROR, message, submission_error=message)
    if cron.concurrency_policy in ("", "Allow"):
        return Decision(CREATE, reasons.CREATED)
    active = {child.name: child.phase or "Pending" for child in own(cron, children) if not child.finished}
    if undecided and not any(child.name == undecided for child in children):
        active[undecided] = "being created"
    if not active:
        return Decision(CREATE, reasons.CREATED)
    if cron.concurrency_policy == "Forbid":
        said = ", ".join(f"{name} still {phase}" for name, phase in islice(sorted(active.items()), 3))
        return Decision(SKIP, reasons.FORBIDDEN_BY_ACTIVE, f"Forbid: {said}")
    return Decision(CREATE, reasons.CREATED, replaces=tuple(sorted(active)))


def own(cron: CronWorkflow, children: Sequence[Child]) -> tuple[Child, ...]:
    """The children that this very object controls: not a backfill's, not those of an earlier object of its name."""
    return tuple(child for child in children if child.owner_uid == cron.uid)


def is_stopped(cron: CronWorkflow, now: datetime) -> bool:
    """What the stop strategy's expression says of the object; False without one. Raises ExpressionError.

    Its environment is Argo's, in which `cronworkflow.annotations` are the labels.
    """
    if cron.stop_expression is None:
        return False
    env = {"cronworkflow": dict(_variables(cron))}
    try:
        return compiled(cron.stop_expression).evaluate_bool(env, now=lambda: _nanoseconds(now))
    except ExpressionError as error:
        raise ExpressionError(error.kind, f"failed to evaluate stop expression: {error}") from error


def is_wanted(cron: CronWorkflow, now: datetime) -> bool:
    """What `when` says of the object; True without one. Raises ExpressionError."""
    if not cron.when:
        return True
    variables = {f"cronworkflow.{name}": value for name, value in _variables(cron).items()}
    text = substitute(cron.when, variables, now=lambda: _nanoseconds(now))
    return evaluate_bool(text) if text else True


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def _variables(cron: CronWorkflow) -> Mapping[str, Any]:
    """What expressions see of the object. Source: operator.go, expressionEnv."""
    last = cron.status.last_scheduled_time
    return {
        "name": cron.name,
        "namespace": cron.namespace,
        "labels": StringMap(cron.labels),
        "annotations": StringMap(cron.labels),  # Argo's slip
        "failed": Int64(cron.status.failed),
        "succeeded": Int64(cron.status.succeeded),
        "labels.json": _json(cron.labels),
        "annotations.json": _json(cron.annotations),
        "lastScheduledTime": None if last is None else Time(int(last.timestamp())),
    }


def _json(values: Mapping[str, str]) -> bytes:
    return marshal(StringMap(values)).encode() if values else b"null"  # a nil map


# --- the child ------------------------------------------------------------------------------------------------


def child_workflow(cron: CronWorkflow, run: Run) -> dict[str, Any]:
    """The Workflow that the run creates, exactly as Argo's controller makes it.

    A backfilled one has a label more and no controller: policy, history and counters do not see it (rule 35).
    Source: workflow/common/convert.go, ConvertCronWorkflowToWorkflowWithProperties.
    """
    own = cron.workflow_metadata
    labels = {CRON_WORKFLOW: cron.name}
    labels |= {key: cron.labels[key] for key in _COPIED_LABELS if key in cron.labels}
    labels |= _mapping(own.get("labels"))
    owner: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "CronWorkflow",
        "name": cron.name,
        "uid": cron.uid,
    }
    if run.kind == "backfill":
        labels[BACKFILL] = cron.name
    else:
        owner |= {"controller": True, "blockOwnerDeletion": True}
    metadata: dict[str, Any] = {
        "name": run.workflow,
        "namespace": cron.namespace,
        "labels": labels,
        "annotations": {SCHEDULED_TIME: rfc3339(run.scheduled_at)} | dict(_mapping(own.get("annotations"))),
        "ownerReferences": [owner],
    }
    if own.get("finalizers"):
        metadata["finalizers"] = list(own["finalizers"])
    return {
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": metadata,
        "spec": dict(cron.workflow_spec),
    }


TERMINATE: Mapping[str, Any] = {
    "spec": {"shutdown": "Terminate"}
}  # the merge patch that ends a replaced child


# --- status ---------------------------------------------------------------------------------------------------


def patch_for_run(
    cron: CronWorkflow, run: Run, decision: Decision, *, child: Child | None = None, failure: str = ""
) -> dict[str, Any] | None:
    """The merge patch that the worker owes the object after its run (rule 33); None when nothing changes.

    `child` is what was created, or found created by an attempt of ours; `failure` is why creating it failed, in the
    cluster's words. With ``metadata.resourceVersion``: on a conflict read again and compute anew. Backfilled
    runs leave no trace in the status; those started by hand are found by `reconcile`, as in Argo.
    """
    no_trace = (reasons.OBJECT_GONE, reasons.MISSED_DEADLINE, reasons.NOT_A_FIRE_TIME)
    if cron.problem or run.kind in ("backfill", "manual") or decision.reason in no_trace:
        return None
    status = cron.status.with_condition(SPEC_ERROR, decision.spec_error)
    labels: dict[str, str] = {}
    if decision.stop:
        status = replace(status, phase=STOPPED)
        labels[COMPLETED] = "true"
    error = decision.submission_error or (f"Failed to submit Workflow: {failure}" if failure else "")
    if error:
        status = replace(status.with_condition(SUBMISSION_ERROR, error), failed=status.failed + 1)
    if child is not None:
        status = _started(status.with_condition(SUBMISSION_ERROR, ""), run, child)
    return _patch(cron, status, labels=labels)


def patch_for_spec(cron: CronWorkflow, *, beside_argo: bool = False) -> dict[str, Any] | None:
    """The merge patch that sets or removes the condition SpecError of an object nobody runs; None when it stands.

    A stop strategy that cannot be evaluated is found out at a run, and its condition left to the next one.
    """
    problem = validate(cron, beside_argo=beside_argo)
    if cron.problem or not problem:
        return None  # an unreadable object gets the Event `Malformed` alone, as from Argo
    return _patch(cron, cron.status.with_condition(SPEC_ERROR, problem), schedule=False)


def _started(status: Status, run: Run, child: Child) -> Status:
    active = status.active
    if not child.finished and all(each.get("uid") != child.uid for each in active):
        active = (*active, child.reference())
    last = status.last_scheduled_time
    # Made-up runs of the past come after later ones, and must not be missed again.
    last = run.scheduled_at if last is None else max(last, run.scheduled_at)
    return replace(status, active=active, phase=ACTIVE, last_scheduled_time=last)


def _patch(
    cron: CronWorkflow, status: Status, *, labels: Mapping[str, str] | None = None, schedule: bool = True
) -> dict[str, Any] | None:
    """The merge patch from the object to this status, whole; None when that is how it is."""
    metadata: dict[str, Any] = {}
    if schedule and cron.annotations.get(LAST_USED_SCHEDULE) != cron.schedule_text:
        metadata["annotations"] = {LAST_USED_SCHEDULE: cron.schedule_text}
    new = {key: value for key, value in (labels or {}).items() if cron.labels.get(key) != value}
    if new:
        metadata["labels"] = new
    patch: dict[str, Any] = {"metadata": metadata}
    if status != cron.status:
        patch["status"] = status.to_object()
    elif not metadata:
        return None
    metadata["resourceVersion"] = cron.resource_version
    return patch


@dataclass(frozen=True)
class Reconciliation:
    """What the tick found out about an object's children."""

    patch: dict[str, Any] | None
    finished: tuple[Child, ...] = ()  # counted by this patch
    error: str = ""  # of the stop strategy


def reconcile(cron: CronWorkflow, children: Sequence[Child], now: datetime) -> Reconciliation:
    """Active list, counters and phase as the children are; the patch is None when the status says so already.

    Children that nobody wrote down are added, also those submitted by hand; finished and vanished ones are removed,
    and finished ones counted. One that is not in the list stays if it is younger than LIST_LAG: the list may be
    older than the object. The label `completed` is left to the next run, as in Argo (5.7).
    """
    if cron.problem:
        return Reconciliation(None)
    found = {child.uid: child for child in own(cron, children)}
    status = cron.status
    known = {str(each.get("uid")) for each in status.active}
    active = list(status.active)
    active += [child.reference() for child in found.values() if not child.finished and child.uid not in known]
    kept: list[Mapping[str, Any]] = []
    finished: list[Child] = []
    for reference in active:
        child = found.get(str(reference.get("uid")))
        if child is None and now - _started_at(reference) > LIST_LAG:
            continue
        if child is None or not child.finished:
            kept.append(reference)
        else:
            finished.append(child)
    succeeded = sum(child.phase == SUCCEEDED for child in finished)
    status = replace(
        status,
        active=tuple(kept),
        succeeded=status.succeeded + succeeded,
        failed=status.failed + len(finished) - succeeded,
    )
    error = ""
    if finished:
        try:
            if is_stopped(replace(cron, status=status), now):
                status = replace(status, phase=STOPPED)
        except LynceusError as problem:
            error = f"failed to check CronWorkflow '{cron.name}' stopping condition: {problem}"
            status = status.with_condition(SPEC_ERROR, error)
    return Reconciliation(_patch(cron, status, schedule=False), tuple(finished), error)


def _started_at(reference: Mapping[str, Any]) -> datetime:
    """When the child was started, from its name; long ago where that does not tell."""
    seconds = str(reference.get("name", "")).rpartition("-")[2]
    return _EPOCH + timedelta(seconds=int(seconds) if re.fullmatch("[0-9]{1,10}", seconds) else 0)


def history_to_delete(cron: CronWorkflow, children: Sequence[Child]) -> tuple[str, ...]:
    """The names of finished children beyond the two history limits, oldest last.

    Source: operator.go, enforceHistoryLimit.
    """
    doomed: list[str] = []
    done = [child for child in own(cron, children) if child.finished and child.cron_workflow == cron.name]
    for limit, succeeded in (
        (cron.successful_jobs_history_limit, True),
        (cron.failed_jobs_history_limit, False),
    ):
        group = [child for child in done if (child.phase == SUCCEEDED) is succeeded]
        group.sort(key=lambda child: child.finished_at or _EPOCH, reverse=True)
        doomed += [child.name for child in group[limit:]]
    return tuple(doomed)
