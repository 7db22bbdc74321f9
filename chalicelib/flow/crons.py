"""CronWorkflows: runs recorded and sent ahead by the tick, decided by the worker at their second.

    tick     list → plan the minutes ahead → record each run → send it with a delay → reconcile what ran
    worker   wake at T → read the CronWorkflow as it is → decide → create → write down what happened

The run's record, under an id that its CronWorkflow's uid and T decide, is what makes it run once; windows of
planning overlap on purpose, and a tick that comes twice finds its runs recorded. Who writes what in the status:
the worker for its own T, the tick for children that finished (rule 33).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core import reasons
from chalicelib.core.cronworkflows import (
    CATCH_UP,
    CREATE,
    SKIP,
    SPEC_ERROR,
    SUBMISSION_ERROR,
    TERMINATE,
    Child,
    CronWorkflow,
    Decision,
    Run,
    catch_up,
    child_from_object,
    child_workflow,
    cron_from_object,
    decide,
    history_to_delete,
    is_child_of,
    outline,
    patch_for_run,
    patch_for_spec,
    plan,
    reconcile,
    unplanned,
    validate,
)
from chalicelib.core.errors import ClusterError, Conflict, LynceusError
from chalicelib.core.submissions import Pointer, Submission, digest_of, reopen
from chalicelib.flow.attempts import Over, Postponed, conclude, create, report, settle
from chalicelib.ports import CronState, Ports
from chalicelib.settings import Settings

AHEAD = timedelta(seconds=150)  # how far the tick plans: two ticks, and half a minute for a late one
EARLY = timedelta(seconds=1)  # before its second a message aims, and the worker waits out the rest
SEND_AT_ONCE = 100  # runs that are recorded before they are sent
MEND_SECONDS = 10.0  # for a gap, in one tick; the next one goes on
UPDATE_SECONDS = 15.0  # for the status of all objects, in one tick
SWEEP_AFTER = timedelta(seconds=15)  # behind its time, a run that nobody decided is rung for again
BESIDE = timedelta(hours=1)  # how long another controller that was seen counts as being there
PLANNER = "planner"  # the ledger's state of the planner itself: how far it came
PATCH_TRIES = 5


# --- the tick ---------------------------------------------------------------------------------------------


def tend(ports: Ports, settings: Settings) -> None:
    """Send the runs of the minutes ahead, make up for a gap, and bring every status up to date."""
    if settings.cron == "off":
        return
    now = ports.clock.now()
    crons = list(_crons(ports, settings))
    beside = {namespace: _beside(namespace, now, ports) for namespace in {cron.namespace for cron in crons}}
    runs: list[Run] = []
    for cron in crons:
        runs += plan(
            cron,
            now,
            now + AHEAD,
            default_timezone=settings.timezone,
            beside_argo=beside[cron.namespace],
        )
    _send(runs, ports)
    state = ports.ledger.cron_state(PLANNER)
    after = replace(state, version=state.version + 1, until=now + AHEAD, cursor="")
    if state.until is not None and state.until < now:
        cursor = _mend(crons, beside, state, now, ports, settings)
        if cursor:
            after = replace(after, until=state.until, cursor=cursor)
    # Written after the sends, and never backwards: it only detects gaps (rule 29).
    if state.until is None or state.until < now + AHEAD:
        try:
            ports.ledger.put_cron_state(after)
        except Conflict:
            ports.journal.log("cron.planned_beside")  # another tick, at the same time
    if settings.cron == "active":
        _bring_up_to_date(crons, beside, now, ports)


def _crons(ports: Ports, settings: Settings) -> Iterable[CronWorkflow]:
    for namespace in settings.namespaces or ("",):
        for raw in ports.cluster.cron_workflows(namespace):
            yield outline(cron_from_object(raw))


def _mend(
    crons: Sequence[CronWorkflow],
    beside: Mapping[str, bool],
    state: CronState,
    now: datetime,
    ports: Ports,
    settings: Settings,
) -> str:
    """Make up for a gap in the planning, from `state.until` on. "" when done, else the cursor to go on behind.

    What is not made up for is sent all the same: the worker starts what is less than LATE behind, and records the
    rest as missed.
    """
    since = state.until or now
    if not state.cursor:
        ports.journal.error("cron.gap", since=since.isoformat(), seconds=(now - since).total_seconds())
        ports.journal.count("cron_gaps")
    deadline = ports.clock.monotonic() + MEND_SECONDS
    cursor = state.cursor
    for cron in sorted(crons, key=_place):
        if _place(cron) <= state.cursor or beside[cron.namespace]:
            continue
        if ports.clock.monotonic() > deadline:
            ports.journal.error("cron.gap_out_of_time", cursor=cursor)
            return cursor
        made_up = _made_up(cron, since - AHEAD, now, settings)
        ids = {run.id for run in made_up}
        others = unplanned(cron, since, now, default_timezone=settings.timezone)
        _send([*made_up, *(run for run in others if run.id not in ids)], ports)
        cursor = _place(cron)
    return ""


def _place(cron: CronWorkflow) -> str:
    return f"{cron.namespace}/{cron.name}"


def _in_turn(crons: Sequence[CronWorkflow], now: datetime) -> Sequence[CronWorkflow]:
    """All of them, beginning elsewhere each minute: where time runs out, nobody is left out for ever."""
    first = int(digest_of("turn", now.isoformat(timespec="minutes")), 16) % max(len(crons), 1)
    return [*crons[first:], *crons[:first]]


def _made_up(cron: CronWorkflow, since: datetime, now: datetime, settings: Settings) -> list[Run]:
    """The runs of the object to make up for; `since` is when the gap began, at the latest.

    Argo makes nothing up for an object that never ran. An annotation asks for it, so that one which was only ever
    skipped before the gap is no worse off.
    """
    last = cron.status.last_scheduled_time or (since if CATCH_UP in cron.annotations else None)
    try:
        return list(catch_up(cron, last, now, default_timezone=settings.timezone))
    except LynceusError:
        return []  # an annotation that cannot be read is said as a condition


def _send(runs: Sequence[Run], ports: Ports) -> None:
    """Record each run, then ring for it at its second, the soonest first; what was recorded before is left alone."""
    ordered = sorted(runs, key=lambda run: run.start_at)
    for at in range(0, len(ordered), SEND_AT_ONCE):
        waves: dict[datetime, list[Submission]] = defaultdict(list)
        for run in ordered[at : at + SEND_AT_ONCE]:
            submission = submission_for_run(run)
            if ports.ledger.begin_run(submission) or _reopened(submission, run, ports):
                waves[run.start_at].append(submission)
        for start_at, submissions in waves.items():
            # Asked of the clock anew: recording a crowd takes seconds, and the delay counts from the send.
            delay = (start_at - ports.clock.now() - EARLY).total_seconds()
            messages = [submission.pointer.to_message() for submission in submissions]
            ports.queue.send(messages, cron=True, delay=max(0, min(900, int(delay))))
            ports.journal.count("cron_runs", len(submissions))


def _reopened(submission: Submission, run: Run, ports: Ports) -> bool:
    """True when a run that was missed is to be made up for, and its record is open again."""
    if run.kind != "catch-up":
        return False
    before = ports.ledger.submission(submission.pointer)
    if before is None or before.progress.state != "missed":
        return False
    try:
        ports.ledger.rewrite(before, reopen(before, submission, run.start_at + SWEEP_AFTER))
    except Conflict:
        return False
    return True


def submission_for_run(run: Run) -> Submission:
    """The submission of a run: its record, and what the worker is woken for."""
    submission = Submission(
        id=f"cron-{run.id}",
        kind="cron",
        namespace=run.namespace,
        workflow=run.workflow,
        cause=run.uid,
        source=run.name,
        scheduled_at=run.scheduled_at,
        received_at=run.start_at,
        expires_at=run.expires_at,
        run=run.kind,
    )
    return replace(submission, progress=replace(submission.progress, due=run.start_at + SWEEP_AFTER))


def run_of(submission: Submission) -> Run:
    """The run of a submission."""
    if submission.scheduled_at is None or submission.received_at is None:
        raise AssertionError("a run has its times")
    return Run(
        submission.namespace,
        submission.source,
        submission.cause,
        submission.scheduled_at,
        submission.received_at,
        submission.expires_at,
        submission.run,
    )


def _beside(namespace: str, now: datetime, ports: Ports) -> bool:
    """True while another controller was seen to create children in the namespace (rule 34)."""
    until = ports.ledger.cron_state(f"beside/{namespace}").until
    return until is not None and now < until


def _bring_up_to_date(
    crons: Sequence[CronWorkflow], beside: Mapping[str, bool], now: datetime, ports: Ports
) -> None:
    """Remove finished children from the active lists, count them, trim histories, say what is invalid (rule 33)."""
    children: dict[tuple[str, str], list[Child]] = defaultdict(list)
    for namespace in sorted({cron.namespace for cron in crons}):
        if beside[namespace]:
            continue
        for raw in ports.cluster.children(namespace):
            child = child_from_object(raw)
            children[namespace, child.cron_workflow].append(child)
    deadline = ports.clock.monotonic() + UPDATE_SECONDS
    for done, cron in enumerate(_in_turn(crons, now)):
        if ports.clock.monotonic() > deadline:
            ports.journal.error("cron.status_out_of_time", done=done, of=len(crons))
            break
        if beside[cron.namespace]:
            continue
        try:
            _update(cron, children[cron.namespace, cron.name], now, ports)
        except LynceusError as error:
            ports.journal.error(
                "cron.status_failed", namespace=cron.namespace, cron=cron.name, error=error.message
            )


def _update(cron: CronWorkflow, family: Sequence[Child], now: datetime, ports: Ports) -> None:
    def wanted(cron: CronWorkflow) -> dict[str, Any] | None:
        patch = reconcile(cron, family, now).patch
        if patch is None:
            patch = patch_for_spec(cron)
            if cron.problem:
                _tell(cron, "Malformed", cron.problem, ports)
            elif patch:
                _tell(cron, SPEC_ERROR, validate(cron), ports)
        return patch

    counted = _patched(cron, wanted, ports)
    if counted is None:
        return  # the next tick; a child that is not counted yet is not deleted either
    uids = {child.name: child.uid for child in family}
    for name in history_to_delete(counted, family):
        ports.cluster.delete_workflow(counted.namespace, name, uids[name])


def _patched(
    cron: CronWorkflow, wanted: Callable[[CronWorkflow], dict[str, Any] | None], ports: Ports
) -> CronWorkflow | None:
    """The object for which the wanted patch was written, or none was wanted; None where it is gone or never at rest.

    Against the version read (rule 26). Where the tick comes on the minute it writes in the same second as the worker:
    whoever loses reads and tries again, or it would always be the same one.
    """
    for _ in range(PATCH_TRIES):
        patch = wanted(cron)
        if not patch:
            return cron
        try:
            ports.cluster.patch("cronworkflows", cron.namespace, cron.name, patch)
            return cron
        except Conflict:
            raw = ports.cluster.cron_workflow(cron.namespace, cron.name)
            if raw is None:
                return None
            cron = cron_from_object(raw)
    return None


def _tell(cron: CronWorkflow, reason: str, message: str, ports: Ports) -> None:
    """Make a problem of the object visible as a Kubernetes Event on it."""
    kind = ("CronWorkflow", reason)
    report(cron.namespace, kind, cron.name, cron.uid, message, ports.clock.now(), ports)


# --- the worker -------------------------------------------------------------------------------------------


def decide_run(submission: Submission, ports: Ports, settings: Settings) -> None:
    """Decide one run at its second, and make its Workflow where it is to run (rules 30 to 32)."""
    run = run_of(submission)
    early = (run.start_at - ports.clock.now()).total_seconds()
    if early > settings.early_seconds:
        delay = min(900, int(early))
        ports.queue.send([submission.pointer.to_message()], cron=True, delay=delay)
        return
    if early > 0:
        ports.clock.sleep(early)

    def ours(workflow: Mapping[str, Any], _: Submission) -> bool:
        return is_child_of(workflow, run)

    cron = _read(submission, run, ports)
    if submission.progress.attempt_started_at is not None:
        existing = settle(submission, ports, ours)
        if existing is not None:
            _record(cron, run, Decision(CREATE, reasons.CREATED), ports, child=child_from_object(existing))
            return
    decision = _decided(submission, cron, run, ports, settings)
    if decision.action != CREATE:
        state = "skipped" if decision.action == SKIP else "missed"
        conclude(submission, state, decision.reason, decision.message, ports)
        _record(cron, run, decision, ports)
        if cron is not None and (decision.spec_error or decision.submission_error):
            _tell(cron, SPEC_ERROR if decision.spec_error else SUBMISSION_ERROR, decision.message, ports)
        if cron is not None and state == "missed":
            since = run.scheduled_at - timedelta(seconds=1)
            _send(_made_up(cron, since, ports.clock.now(), settings), ports)
        return
    if cron is None:
        raise AssertionError("what is gone is not created")
    if settings.cron != "active":
        conclude(submission, "skipped", reasons.OBSERVED, "LYNCEUS_CRON is observe: it would have run", ports)
        return
    _terminate(submission, decision, ports)
    fresh = submission.progress.attempt_started_at is None
    try:
        child = create(submission, child_workflow(cron, run), ports, ours)
    except Postponed as postponed:
        postponed.when_over = _tell_failure(cron, run, decision, ports)
        raise
    except Over:
        _record(cron, run, decision, ports, failure=f'workflows.argoproj.io "{run.workflow}" already exists')
        raise
    _watch_for_others(submission, fresh, ports)
    lateness = (ports.clock.now() - run.start_at).total_seconds()
    ports.journal.count("cron_lateness_seconds", max(0.0, lateness), "Seconds")
    _record(cron, run, decision, ports, child=child_from_object(child))


def _read(submission: Submission, run: Run, ports: Ports) -> CronWorkflow | None:
    try:
        raw = ports.cluster.cron_workflow(run.namespace, run.name)
    except LynceusError as error:
        if run.expires_at is not None and ports.clock.now() > run.expires_at:
            # Cron is exempt from endless retry (rule 31): a cluster that is away is no reason to run tomorrow.
            conclude(
                submission, "missed", reasons.MISSED_DEADLINE, f"the cluster was away: {error.message}", ports
            )
            raise Over from error
        raise Postponed(submission, error) from error
    return cron_from_object(raw) if raw is not None else None


def _decided(
    submission: Submission, cron: CronWorkflow | None, run: Run, ports: Ports, settings: Settings
) -> Decision:
    """The decision; under Forbid and Replace it is taken under a compare-and-set, one at a time (rule 32)."""
    now = ports.clock.now()
    beside = _beside(run.namespace, now, ports)

    def asked(children: Sequence[Child], undecided: str) -> Decision:
        return decide(
            cron,
            run,
            now,
            children,
            undecided=undecided,
            default_timezone=settings.timezone,
            beside_argo=beside,
        )

    if cron is None or cron.concurrency_policy not in ("Forbid", "Replace") or run.kind == "backfill":
        return asked((), "")
    for _ in range(PATCH_TRIES):
        state = ports.ledger.cron_state(cron.uid)
        try:
            children = [child_from_object(raw) for raw in ports.cluster.children(cron.namespace, cron.name)]
        except LynceusError as error:
            raise Postponed(submission, error) from error
        decision = asked(children, _undecided(cron, state, ports))
        if decision.action != CREATE:
            return decision
        decided = CronState(cron.uid, state.version + 1, run.scheduled_at, run.workflow)
        try:
            ports.ledger.put_cron_state(decided)
        except Conflict:
            continue  # another run of this object was decided just now: look again
        return decision
    raise Conflict("the runs of one CronWorkflow are being decided all at once")


def _undecided(cron: CronWorkflow, state: CronState, ports: Ports) -> str:
    """The child that was decided last, while its outcome is unknown: it counts as active."""
    if not state.decided_child or state.decided_at is None:
        return ""
    run = Run(cron.namespace, cron.name, cron.uid, state.decided_at, state.decided_at, None)
    before = ports.ledger.submission(Pointer(cron.namespace, state.decided_child, f"cron-{run.id}"))
    return "" if before is None or before.terminal else state.decided_child


def _terminate(submission: Submission, decision: Decision, ports: Ports) -> None:
    for name in decision.replaces:
        try:
            ports.cluster.patch("workflows", submission.namespace, name, TERMINATE)
        except ClusterError as error:
            if error.status == 404:
                continue
            error.message = f"run policy error: error stopping workflow {name}: {error.message}"
            raise Postponed(submission, error) from error
        except LynceusError as error:
            raise Postponed(submission, error) from error


def _watch_for_others(submission: Submission, fresh: bool, ports: Ports) -> None:
    """Note that another controller creates children here: ours was there before our first attempt (rule 34)."""
    latest = ports.ledger.submission(submission.pointer)
    if latest is None or latest.progress.state != "existed" or not fresh:
        return
    namespace = submission.namespace
    ports.journal.error("cron.other_controller", namespace=namespace, workflow=submission.workflow)
    state = ports.ledger.cron_state(f"beside/{namespace}")
    try:
        ports.ledger.put_cron_state(
            replace(state, version=state.version + 1, until=ports.clock.now() + BESIDE)
        )
    except Conflict:
        return  # noted by another worker


def _record(
    cron: CronWorkflow | None, run: Run, decision: Decision, ports: Ports, *, child: Child | None = None,
    failure: str = "",
) -> None:  # fmt: skip
    """Bring the status of the object up to what happened; whole, against the version read (rule 26).

    The run's record is written before; what fails here is mended by the tick's reconciliation.
    """
    try:
        if cron is None or _beside(run.namespace, ports.clock.now(), ports):
            return
        _patched(cron, lambda read: patch_for_run(read, run, decision, child=child, failure=failure), ports)
    except LynceusError as error:
        ports.journal.error("cron.status_failed", namespace=run.namespace, cron=run.name, error=error.message)


def _tell_failure(cron: CronWorkflow, run: Run, decision: Decision, ports: Ports) -> Callable[[str], None]:
    def tell(message: str) -> None:
        _record(cron, run, decision, ports, failure=message.removeprefix("failed to create workflow: "))

    return tell
