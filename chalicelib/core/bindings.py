"""WorkflowEventBindings, and what each of them says to an event.

`match` asks every binding of a namespace and gives a verdict for each: matched, not matched, or an error; where
the time at the door runs out it says how far it came. A binding that fails stops nothing else. Everything that its
author can get wrong happens here, at the door: selector, name, labels, annotations, parameters. What is
left for the worker is the template and the cluster.

Source: argo-workflows server/event/dispatch/operation.go, dispatch.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from random import Random
from typing import Any

from chalicelib.core import expressions, reasons
from chalicelib.core.errors import LynceusError, Misconfigured
from chalicelib.core.events import RFC1123_SUBDOMAIN, Event, environment
from chalicelib.core.expressions import Expression, ExpressionError
from chalicelib.core.expressions.values import go_type
from chalicelib.core.indexes import Index
from chalicelib.core.submissions import Submission, TemplateRef, digest_of, submission_id, workflow_name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANCE_ID = "workflows.argoproj.io/controller-instanceid"

EXPIRE_AFTER = "lynceus.dev/expire-after"
ON_DOUBT = "lynceus.dev/on-doubt"
DEDUPE = "lynceus.dev/dedupe"

MATCHED, NOT_MATCHED, ERROR, NOTHING = "matched", "not-matched", "error", "nothing"

SUBMISSION_LIMIT = 1024 * 1024  # bytes of rendered text in one submission (rule 10)
EVENT_LIMIT = 8 * 1024 * 1024  # and in all submissions of one event
EVENT_MATCHES = 3_000  # of one event over all transactions: its head lists them in one item of 400 KB
MATCH_LIMIT = 90  # submissions of one transaction, which holds a hundred items (rule 7)

# Steps of one expression (see `expressions.limits`), about a million a second where a function has half a
# processor.
DOOR_STEPS = 500_000
WORKER_STEPS = 5_000_000

TOO_MUCH = "evaluation takes too many steps"  # how the language says that the steps are spent

WORTH_AN_INDEX = 32  # bindings of a namespace; below that asking them all is as quick

LONGEST = timedelta(days=36_500)
_DURATION = re.compile(r"(\d{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration_of(text: str) -> timedelta:
    """The span that an annotation such as ``90s``, ``15m``, ``6h`` or ``2d`` names; raises Misconfigured."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise Misconfigured(f'"{text[:40]}" is no duration: write a number and s, m, h or d, such as 15m')
    span = timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    if span > LONGEST:
        # No calendar reaches that far: adding it to a moment would raise.
        raise Misconfigured(f'"{text.strip()}" is longer than {LONGEST.days} days')
    return span


@dataclass(frozen=True)
class Parameter:
    """One entry of ``submit.arguments.parameters``."""

    name: str
    event: str | None  # the expression; None where valueFrom is missing, an error once it is used


@dataclass(frozen=True)
class Submit:
    """The ``spec.submit`` of a binding; metadata values are expressions."""

    template: TemplateRef
    name: str = ""
    generate_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()

    @cached_property
    def changes_payload(self) -> bool:
        """True when a metadata expression names one of sprig's functions that change a map in place."""
        texts = (self.name, self.generate_name, *self.labels.values(), *self.annotations.values())
        return any(_CHANGING.search(text) for text in texts)


# Compares by name only: a false alarm costs a copy.
_CHANGING = re.compile(r"sprig\s*\.\s*(set|unset|merge|mergeOverwrite|mustMerge|mustMergeOverwrite)\b")


@dataclass(frozen=True)
class Binding:
    """A WorkflowEventBinding as far as dispatch reads it."""

    namespace: str
    name: str
    uid: str
    selector: str
    submit: Submit | None  # None: matches and does nothing, as in Argo
    resource_version: str = ""
    expire_after: timedelta | None = None
    on_doubt: str = "create"
    dedupe: str = ""  # "", "off" or a duration: how long a duplicate stays one, for this binding
    problem: str = ""  # why this object cannot be used; it then answers every event with this error

    def repeats(self, age: timedelta) -> bool:
        """True when a duplicate that comes so long after the first is an event to this binding."""
        if not self.dedupe:
            return False
        return self.dedupe == "off" or age > duration_of(self.dedupe)

    @cached_property
    def content(self) -> str:
        """A digest of what decides: equal content, equal verdicts ("as it was", issue of explanations)."""
        return digest_of("binding", self.selector, repr(self.submit), repr(self.expire_after), self.on_doubt)


def binding_from_object(raw: Mapping[str, Any]) -> Binding:
    """The Binding in an object of the cluster; what cannot be read becomes its `problem`, never an exception.

    The API server validates against the CRD, but a minimal CRD lets anything through.
    """
    metadata = raw.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    namespace, name, uid, version = (
        str(metadata.get(key) or "") for key in ("namespace", "name", "uid", "resourceVersion")
    )
    try:
        spec = _object(raw.get("spec"), "spec")
        selector = _object(spec.get("event"), "spec.event").get("selector")
        if selector is None:
            raise Misconfigured("spec.event.selector is missing")
        annotations = _strings(metadata.get("annotations"), "metadata.annotations")
        expire, on_doubt = annotations.get(EXPIRE_AFTER), annotations.get(ON_DOUBT, "create")
        if on_doubt not in ("create", "skip"):
            raise Misconfigured(f'annotation {ON_DOUBT} is "{on_doubt[:40]}": say create or skip')
        dedupe = annotations.get(DEDUPE, "")
        if dedupe not in ("", "off"):
            _span(DEDUPE, dedupe)
        return Binding(
            namespace=namespace,
            name=name,
            uid=uid,
            resource_version=version,
            selector=_string(selector, "spec.event.selector"),
            submit=_submit(spec.get("submit")),
            expire_after=_span(EXPIRE_AFTER, expire) if expire else None,
            on_doubt=on_doubt,
            dedupe=dedupe,
        )
    except Misconfigured as error:
        return Binding(namespace, name, uid, "", None, problem=error.message)


def _span(annotation: str, text: str) -> timedelta:
    try:
        return duration_of(text)
    except Misconfigured as error:
        raise Misconfigured(f"annotation {annotation} is {error.message}") from error


def _submit(raw: Any) -> Submit | None:
    if raw is None:
        return None
    submit = _object(raw, "spec.submit")
    if submit.get("workflowTemplateRef") is None:
        raise Misconfigured("spec.submit.workflowTemplateRef is missing")
    reference = _object(submit["workflowTemplateRef"], "spec.submit.workflowTemplateRef")
    wide = reference.get("clusterScope")
    if not isinstance(wide, bool | None):
        raise Misconfigured(
            f"spec.submit.workflowTemplateRef.clusterScope is not true or false: {wide!r:.40}"
        )
    metadata = _object(submit.get("metadata"), "spec.submit.metadata")
    return Submit(
        template=TemplateRef(
            _string(reference.get("name"), "spec.submit.workflowTemplateRef.name"), bool(wide)
        ),
        name=_string(metadata.get("name"), "spec.submit.metadata.name"),
        generate_name=_string(metadata.get("generateName"), "spec.submit.metadata.generateName"),
        labels=_strings(metadata.get("labels"), "spec.submit.metadata.labels"),
        annotations=_strings(metadata.get("annotations"), "spec.submit.metadata.annotations"),
        parameters=_parameters(_object(submit.get("arguments"), "spec.submit.arguments").get("parameters")),
    )


def _parameters(raw: Any) -> tuple[Parameter, ...]:
    place = "spec.submit.arguments.parameters"
    if not isinstance(raw, list | None):
        raise Misconfigured(f"{place} is not a list: {raw!r:.40}")
    found = []
    for number, entry in enumerate(raw or ()):
        parameter = _object(entry, f"{place}[{number}]")
        source = parameter.get("valueFrom")
        event = _object(source, f"{place}[{number}].valueFrom").get("event")
        found.append(
            Parameter(
                _string(parameter.get("name"), f"{place}[{number}].name"),
                None if source is None else _string(event, f"{place}[{number}].valueFrom.event"),
            )
        )
    return tuple(found)


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping | None):
        raise Misconfigured(f"{place} is not an object: {value!r:.40}")
    return value or {}


def _string(value: Any, place: str) -> str:
    if not isinstance(value, str | None):
        plain = ": write it in quotes" if isinstance(value, bool | int | float) else ""
        raise Misconfigured(f"{place} is not a string: {value!r:.40}{plain}")
    return value or ""


def _strings(value: Any, place: str) -> dict[str, str]:
    return {str(key): _string(each, f"{place}.{key}") for key, each in _object(value, place).items()}


@dataclass(frozen=True)
class Verdict:
    """What one binding said to one event."""

    binding: str
    outcome: str  # matched, not-matched, error, nothing
    reason: str = ""  # a code of `reasons`
    message: str = ""
    submission: str = ""  # the submission's id, where one follows
    workflow: str = ""  # and its Workflow's name
    binding_uid: str = ""
    content: str = ""  # Binding.content: which text of the binding was asked
    detail: Any = None  # why a selector was false, as data (Expression.explain)


@dataclass(frozen=True)
class Matching:
    """The verdicts of the bindings asked, in their order, and the submissions that follow."""

    verdicts: tuple[Verdict, ...]
    submissions: tuple[Submission, ...]
    deferred_after: str | None = None  # the last binding asked, where the budget ended; None: all were asked


@dataclass
class Budget:
    """What one event may use at most; spent as matching goes on (rule 10)."""

    out_of_time: Callable[[], bool] = lambda: False
    rendered: int = EVENT_LIMIT  # bytes left
    steps: int = WORKER_STEPS  # of one expression
    final: bool = True  # False at the door: what is too much there is left to the worker

    def spend(self, size: int) -> None:
        """Take the bytes of one submission; raises Misconfigured when it or the event is over its limit."""
        if size > SUBMISSION_LIMIT:
            raise Misconfigured(
                f"the rendered submission has {size} bytes, the limit is {SUBMISSION_LIMIT}: pass less of the payload"
            )
        if size > self.rendered:
            raise Misconfigured(
                f"the submissions of this event have over {EVENT_LIMIT} bytes together: pass less of the payload"
            )
        self.rendered -= size


# Compiled once per text; errors are not kept, a repaired text is another key.
_compiled = lru_cache(maxsize=4096)(expressions.compile)


def compiled(source: str) -> Expression:
    """The compiled expression, from the cache where it was seen before; raises ExpressionError."""
    return _compiled(source)


def match(
    event: Event, bindings: BindingList | Sequence[Binding], budget: Budget | None = None, *, after: str = ""
) -> Matching:
    """The verdict of each binding on the event, and the submissions of those that matched.

    Bindings are asked in the order of their names, beginning behind `after`. Where the budget ends, or a
    transaction is full, `deferred_after` says how far it came: ask again from there. A BindingList knows which
    selectors cannot be true for the event and spares their evaluation.
    """
    budget = budget or Budget()
    env = environment(event)
    possible: Collection[str] | None = None
    if isinstance(bindings, BindingList):
        possible = bindings.possible(env)
        bindings = bindings.bindings
    verdicts: list[Verdict] = []
    submissions: list[Submission] = []
    last = after
    for binding in sorted(bindings, key=lambda binding: binding.name):
        if binding.name <= after:
            continue
        if possible is not None and binding.name not in possible:
            verdicts.append(_verdict(binding, NOT_MATCHED, reasons.SELECTOR_FALSE))
            last = binding.name
            continue
        if budget.out_of_time() or len(submissions) >= MATCH_LIMIT:
            return Matching(tuple(verdicts), tuple(submissions), deferred_after=last)
        verdict, submission = _ask(event, env, binding, budget)
        if not budget.final and verdict.outcome == ERROR and TOO_MUCH in verdict.message:
            return Matching(tuple(verdicts), tuple(submissions), deferred_after=last)
        verdicts.append(verdict)
        if submission:
            submissions.append(submission)
        last = binding.name
    return Matching(tuple(verdicts), tuple(submissions))


def exhausted(
    bindings: Iterable[Binding],
    after: str,
    reason: str = reasons.BUDGET_EXHAUSTED,
    message: str = "the budget of this event ended before this binding",
) -> tuple[Verdict, ...]:
    """Error verdicts for the bindings behind `after`, which nobody can ask any more."""
    return tuple(
        _verdict(binding, ERROR, reason, message)
        for binding in sorted(bindings, key=lambda binding: binding.name)
        if binding.name > after
    )


def _verdict(binding: Binding, outcome: str, reason: str, message: str = "", **more: Any) -> Verdict:
    return Verdict(
        binding.name, outcome, reason, message, binding_uid=binding.uid, content=binding.content, **more
    )


def _ask(
    event: Event, env: Mapping[str, Any], binding: Binding, budget: Budget
) -> tuple[Verdict, Submission | None]:
    if binding.problem:
        return _verdict(binding, ERROR, reasons.BINDING_MALFORMED, binding.problem), None
    try:
        if not compiled(binding.selector).evaluate_bool(env, steps=budget.steps, now=clock(event)):
            return _verdict(binding, NOT_MATCHED, reasons.SELECTOR_FALSE), None
    except ExpressionError as error:
        message = f"failed to evaluate workflow template expression: {error}"
        return _verdict(binding, ERROR, reasons.SELECTOR_ERROR, message), None
    if binding.submit is None:
        return _verdict(binding, NOTHING, reasons.NOTHING_TO_SUBMIT), None
    try:
        submission = submission_for_match(event, env, binding, binding.submit, budget.steps)
        budget.spend(rendered_size(submission))
    except LynceusError as error:
        return _verdict(binding, ERROR, reasons.RENDER_ERROR, error.message), None
    verdict = _verdict(
        binding, MATCHED, reasons.MATCHED, submission=submission.id, workflow=submission.workflow
    )
    return verdict, submission


def rendered_size(submission: Submission) -> int:
    """The bytes that the event's own content takes in the submission."""
    texts = [value for _, value in submission.parameters]
    texts += [*submission.labels.values(), *submission.annotations.values()]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def submission_for_match(
    event: Event, env: Mapping[str, Any], binding: Binding, submit: Submit, steps: int = WORKER_STEPS
) -> Submission:
    """The submission that the binding makes of the event.

    Raises Misconfigured with Argo's text for what the binding's author must mend.
    Source: operation.go, populateWorkflowMetadata and parameters.
    """
    # sprig's set, unset and merge change the payload in place; another binding must not see it (promise 3).
    own = _copied(env) if submit.changes_payload else env
    identity = submission_id(event.id, binding.namespace, binding.name)
    now, chance = clock(event), Random(identity)  # noqa: S311  - whoever asks again must get the same names

    def text(source: str, what: str) -> str:
        return _text(source, own, what, steps, now, chance)

    generate_name = f"{submit.template.name}-"
    name = text(submit.name, "name") if submit.name else ""
    if submit.generate_name:
        generate_name = text(submit.generate_name, "generateName") or generate_name
    labels = {key: text(value, f'label "{key}"') for key, value in submit.labels.items()}
    annotations = {key: text(value, f'annotation "{key}"') for key, value in submit.annotations.items()}
    name = name or workflow_name(generate_name, identity)
    if len(name) > 63 or not RFC1123_SUBDOMAIN.fullmatch(name):
        raise Misconfigured(
            f'workflow name "{name[:100]}" must be at most 63 characters, lower-case letters, digits, "-" or ".", '
            f"and begin and end with a letter or digit (it has {len(name)})"
        )
    return Submission(
        id=identity,
        kind="event",
        namespace=binding.namespace,
        workflow=name,
        cause=event.id,
        source=binding.name,
        source_uid=binding.uid,
        account=event.account,
        client=event.client,
        template=submit.template,
        parameters=tuple(
            (parameter.name, _value(parameter, own, steps, now)) for parameter in submit.parameters
        ),
        generate_name=generate_name,
        labels=labels,
        annotations=annotations,
        received_at=event.received_at,
        expires_at=event.received_at + binding.expire_after if binding.expire_after else None,
        on_doubt=binding.on_doubt,
    )


def _copied(env: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return copy.deepcopy(dict(env))
    except RecursionError:
        raise Misconfigured("the payload nests too deep for sprig functions that change it") from None


def clock(event: Event) -> Callable[[], int]:
    """What `now()` is to expressions about an event: the time it came, whenever they are asked."""
    nanoseconds = (event.received_at - _EPOCH) // timedelta(microseconds=1) * 1000
    return lambda: nanoseconds


def _text(
    source: str, env: Mapping[str, Any], what: str, steps: int, now: Callable[[], int], chance: Random
) -> str:
    """The string that a metadata expression gives."""
    try:
        value = compiled(source).evaluate(env, functions="metadata", steps=steps, now=now, chance=chance)
    except ExpressionError as error:
        raise Misconfigured(f"failed to evaluate workflow {what} expression: {error}") from error
    if not isinstance(value, str):
        raise Misconfigured(f"workflow {what} expression must evaluate to a string, not a {go_type(value)}")
    return value


def _value(parameter: Parameter, env: Mapping[str, Any], steps: int, now: Callable[[], int]) -> str:
    """The text of a parameter, in Argo's own encoding."""
    name = parameter.name
    if parameter.event is None:
        raise Misconfigured(f'malformed workflow template parameter "{name}": valueFrom is nil')
    try:
        value = compiled(parameter.event).evaluate(env, steps=steps, now=now)
    except ExpressionError as error:
        text = (
            f"failed to compile workflow template parameter {name} expression"
            if error.kind == "compile"
            else f'failed to evaluate workflow template parameter "{name}" expression'
        )
        raise Misconfigured(f"{text}: {error}") from error
    try:
        return expressions.parameter_text(value)
    except ExpressionError as error:
        raise Misconfigured(f'failed to convert result to JSON "{name}" expression: {error}') from error


_HEADER_NAME = re.compile(r"""["'`]((?:x-|webhook-|svix-|ce-|stripe-)[a-z0-9_.-]{1,100})["'`]""")


def headers_mentioned(bindings: Sequence[Binding]) -> frozenset[str]:
    """The header names that the bindings' texts name literally: the ledger keeps these too (rule 18)."""
    names: set[str] = set()
    for binding in bindings:
        texts = [binding.selector]
        if binding.submit:
            submit = binding.submit
            texts += [
                submit.name,
                submit.generate_name,
                *submit.labels.values(),
                *submit.annotations.values(),
            ]
            texts += [parameter.event or "" for parameter in submit.parameters]
        for text in texts:
            names.update(_HEADER_NAME.findall(text))
    return frozenset(names)


def managed(raw: Mapping[str, Any], instance_id: str) -> bool:
    """True when the object's instance id label is ours: equal, or absent where we have none."""
    labels = (raw.get("metadata") or {}).get("labels") or {}
    return bool(labels.get(INSTANCE_ID) == instance_id if instance_id else INSTANCE_ID not in labels)


def instance_selector(instance_id: str) -> str:
    """The label selector that lists what is ours (argo-workflows util/instanceid)."""
    return f"{INSTANCE_ID}={instance_id}" if instance_id else f"!{INSTANCE_ID}"


@dataclass(frozen=True)
class BindingList:
    """The bindings of one namespace at one moment."""

    namespace: str
    bindings: tuple[Binding, ...]
    revision: int  # the list's resourceVersion
    taken_at: datetime

    @cached_property
    def headers(self) -> frozenset[str]:
        """The headers that these bindings mention."""
        return headers_mentioned(self.bindings)

    def possible(self, env: Mapping[str, Any]) -> Collection[str] | None:
        """The names of the bindings that can say anything but false to the environment; None: ask them all."""
        if len(self.bindings) < WORTH_AN_INDEX:
            return None
        index, always = self._index
        return always.union(index.candidates(env))

    @cached_property
    def _index(self) -> tuple[Index[str], frozenset[str]]:
        compiles, always = [], set()
        for binding in self.bindings:
            try:
                compiles.append((binding.name, compiled(binding.selector)))
            except ExpressionError:
                always.add(binding.name)  # its error is its verdict
        return Index(compiles), frozenset(always)
