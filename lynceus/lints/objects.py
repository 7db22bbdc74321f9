"""What is wrong with one object: keys, expressions, templates, schedules, webhook clients."""

from __future__ import annotations

import base64
import binascii
import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

import yaml

from chalicelib.core import cronworkflows
from chalicelib.core.bindings import DEDUPE, EXPIRE_AFTER, ON_DOUBT, binding_from_object
from chalicelib.core.clients import parse_clients
from chalicelib.core.errors import LynceusError
from chalicelib.core.events import RFC1123_SUBDOMAIN
from chalicelib.core.expressions.programs import Functions
from lynceus.lints import selectors
from lynceus.lints.documents import Document, Place
from lynceus.lints.findings import ERROR, NOTE, WARNING, Finding

# (namespace, name, cluster scope) → the template; None: there is none. Raises LynceusError where nobody can say.
FindTemplate = Callable[[str, str, bool], Mapping[str, Any] | None]
Keys = Mapping[str, Any]  # key → Keys of what is below it, None: anything

NEXT_TIMES = 3  # of a schedule that are told

_PARAMETER: Keys = dict.fromkeys(("name", "description", "default", "value", "globalName", "enum"), None) | {
    "valueFrom": dict.fromkeys(
        (
            "event",
            "path",
            "jsonPath",
            "jqFilter",
            "parameter",
            "supplied",
            "default",
            "expression",
            "configMapKeyRef",
        )
    )
}
_TOP: Keys = {"apiVersion": None, "kind": None, "metadata": None, "status": None}
_REFERENCE: Keys = {"name": None, "clusterScope": None}

# https://argo-workflows.readthedocs.io/en/latest/fields/#workfloweventbinding
BINDING: Keys = {
    **_TOP,
    "spec": {
        "event": {"selector": None},
        "submit": {
            "workflowTemplateRef": _REFERENCE,
            "arguments": {"parameters": _PARAMETER, "artifacts": None},
            "metadata": dict.fromkeys(
                (
                    "name",
                    "generateName",
                    "labels",
                    "annotations",
                    "namespace",
                    "finalizers",
                    "ownerReferences",
                )
            ),
        },
    },
}
# https://argo-workflows.readthedocs.io/en/latest/fields/#cronworkflow
CRON: Keys = {
    **_TOP,
    "spec": {
        **dict.fromkeys(
            ("schedule", "schedules", "timezone", "suspend", "concurrencyPolicy", "startingDeadlineSeconds",
             "successfulJobsHistoryLimit", "failedJobsHistoryLimit", "when", "workflowMetadata", "workflowSpec")
        ),
        "stopStrategy": {"expression": None, "condition": None},
    },
}  # fmt: skip

_ANNOTATIONS = {
    "WorkflowEventBinding": (EXPIRE_AFTER, ON_DOUBT, DEDUPE),
    "CronWorkflow": (
        cronworkflows.CATCH_UP, cronworkflows.CATCH_UP_MAX, cronworkflows.CATCH_UP_WINDOW,
        cronworkflows.DST, cronworkflows.SPREAD,
    ),
}  # fmt: skip
_KINDS = ("WorkflowEventBinding", "CronWorkflow", "WorkflowTemplate", "ClusterWorkflowTemplate")


class Templates:
    """The templates among the files, and behind them those that the caller can find."""

    def __init__(self, documents: Iterable[Document], find: FindTemplate | None = None) -> None:
        self._find = find
        self._known: dict[tuple[str, bool], Mapping[str, Any]] = {}
        for document in documents:
            value = document.value
            if isinstance(value, dict) and value.get("kind") in (
                "WorkflowTemplate",
                "ClusterWorkflowTemplate",
            ):
                wide = value["kind"] == "ClusterWorkflowTemplate"
                self._known[document.name.partition("/")[2], wide] = value

    def find(self, namespace: str, name: str, wide: bool) -> tuple[Mapping[str, Any] | None, bool]:
        """The template, and whether it is certain that there is none where it is not found."""
        known = self._known.get((name, wide))
        if known is not None or self._find is None:
            return known, False
        found = self._find(namespace, name, wide)
        return found, found is None

    def close_to(self, name: str, wide: bool) -> str:
        """A template of nearly that name, "" where there is none."""
        names = [known for known, cluster in self._known if cluster == wide]
        return next(iter(difflib.get_close_matches(name, names, 1, 0.8)), "")


def lint(
    documents: Sequence[Document], now: datetime, find: FindTemplate | None = None, namespace: str = ""
) -> list[Finding]:
    """Every finding about the documents, in the order of their places.

    `namespace` is that of objects that name none; the minute that an H of a schedule stands for follows from it.
    """
    templates = Templates(documents, find)
    found = [finding for document in documents for finding in _lint_one(document, now, templates, namespace)]
    return sorted(found, key=lambda finding: (finding.path, finding.line, finding.column, finding.level))


def _lint_one(document: Document, now: datetime, templates: Templates, namespace: str) -> Iterator[Finding]:
    value = document.value
    if not isinstance(value, dict):
        yield document.finding((1, 1), WARNING, "is no object: nothing to look at")
        return
    kind = str(value.get("kind") or "")
    if kind == "WorkflowEventBinding":
        yield from _common(document, BINDING)
        yield from _binding(document, value, templates)
    elif kind == "CronWorkflow":
        yield from _common(document, CRON)
        yield from _cron(document, value, now, templates, namespace)
    elif kind == "Secret" and document.name.endswith("/argo-workflows-webhook-clients"):
        yield from _argo_clients(document, value)
    elif not kind and any(isinstance(entry, dict) and "type" in entry for entry in value.values()):
        yield from _clients(document, yaml.safe_dump(value), value)
    elif kind and str(value.get("apiVersion", "")).startswith("argoproj.io/"):
        close = difflib.get_close_matches(kind, _KINDS, 1, 0.85)
        if close and close[0] != kind:
            yield document.finding(
                document.place("kind"), ERROR, f'kind "{kind}" is unknown', f'did you mean "{close[0]}"?'
            )


def _common(document: Document, keys: Keys) -> Iterator[Finding]:
    value = document.value
    if value.get("apiVersion") != "argoproj.io/v1alpha1":
        yield document.finding(
            document.place("apiVersion"), ERROR, f"apiVersion is {value.get('apiVersion')!r}",
            "write argoproj.io/v1alpha1",
        )  # fmt: skip
    yield from _unknown_keys(document, value, keys, ())
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not RFC1123_SUBDOMAIN.fullmatch(name):
        yield document.finding(
            document.place("metadata", "name"),
            ERROR,
            f"metadata.name {str(name)[:80]!r} is no DNS subdomain (RFC 1123)",
        )
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    known = _ANNOTATIONS[value["kind"]]
    for key in annotations if isinstance(annotations, dict) else ():
        if str(key).startswith("lynceus.dev/") and key not in known:
            yield document.finding(
                document.key_place("metadata", "annotations", key), WARNING, f"annotation {key} means nothing here",
                _did_you_mean(str(key), known),
            )  # fmt: skip


def _unknown_keys(
    document: Document, value: Any, keys: Keys | None, path: tuple[str | int, ...]
) -> Iterator[Finding]:
    if keys is None:
        return
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unknown_keys(document, item, keys, (*path, number))
    elif isinstance(value, dict):
        for key, item in value.items():
            if key in keys:
                yield from _unknown_keys(document, item, keys[key], (*path, key))
                continue
            where = ".".join(str(part) for part in path if isinstance(part, str))
            place = document.key_place(*path, str(key))
            message = f'"{key}" is unknown{f" in {where}" if where else ""}'
            yield document.finding(place, ERROR, message, _did_you_mean(str(key), tuple(keys)))


def _did_you_mean(word: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, names, 1, 0.6)
    return f'did you mean "{close[0]}"?' if close else f"known are {', '.join(sorted(names))}"


# Bindings


def _binding(document: Document, value: dict[str, Any], templates: Templates) -> Iterator[Finding]:
    binding = binding_from_object(value)
    if binding.problem:
        yield document.finding(document.place("spec"), ERROR, binding.problem)
        return
    yield from _expression(document, ("spec", "event", "selector"), "selector", selector=True)
    submit = binding.submit
    if submit is None:
        yield document.finding(
            document.place("spec"), WARNING, "has no spec.submit: it matches and does nothing"
        )
        return
    base = ("spec", "submit", "metadata")
    for field in ("name", "generateName"):
        if _at(value, *base, field):
            yield from _expression(document, (*base, field), field, functions="metadata")
    for group, texts in (("labels", submit.labels), ("annotations", submit.annotations)):
        for key in texts:
            yield from _expression(
                document, (*base, group, key), f'{group[:-1]} "{key}"', functions="metadata"
            )
    for number, parameter in enumerate(submit.parameters):
        path = ("spec", "submit", "arguments", "parameters", number)
        if parameter.event is None:
            yield document.finding(
                document.place(*path), ERROR, f'parameter "{parameter.name}" has no valueFrom.event',
                'a fixed text is an expression too: valueFrom: {event: \'"text"\'}',
            )  # fmt: skip
        else:
            yield from _expression(document, (*path, "valueFrom", "event"), f'parameter "{parameter.name}"')
    names = [parameter.name for parameter in submit.parameters]
    reference = ("spec", "submit", "workflowTemplateRef", "name")
    place = ("spec", "submit", "arguments", "parameters")
    template = submit.template
    yield from _template(document, reference, place, template.name, template.cluster_scope, names, templates)


def _expression(
    document: Document,
    path: tuple[str | int, ...],
    what: str,
    *,
    selector: bool = False,
    functions: Functions | None = None,
) -> Iterator[Finding]:
    line, column = document.place(*path)
    source = str(_at(document.value, *path) or "")
    for remark in selectors.remarks(source, selector=selector, functions=functions):
        yield document.finding((line, column), remark.level, f"{what}: {remark.message}", remark.hint)


def _template(
    document: Document,
    reference: tuple[str | int, ...],
    place: tuple[str | int, ...],
    name: str,
    wide: bool,
    given: Sequence[str],
    templates: Templates,
) -> Iterator[Finding]:
    """What the template and the parameters given to it say of each other."""
    kind = "ClusterWorkflowTemplate" if wide else "WorkflowTemplate"
    if not name:
        yield document.finding(document.place(*reference), ERROR, "workflowTemplateRef has no name")
        return
    namespace = str(_at(document.value, "metadata", "namespace") or "")
    template, certain = templates.find(namespace, name, wide)
    close = templates.close_to(name, wide)
    if template is None:
        hint = f'did you mean "{close}"?' if close else ""
        if certain or close:
            message = (
                f'{kind} "{name}" does not exist' if certain else f'{kind} "{name}" is not among these files'
            )
            yield document.finding(document.place(*reference), ERROR if certain else WARNING, message, hint)
        return
    declared = {
        str(each.get("name")): each for each in _dicts(_at(template, "spec", "arguments", "parameters"))
    }
    for number, parameter in enumerate(given):
        if parameter not in declared:
            yield document.finding(
                document.place(*place, number), WARNING, f'{kind} "{name}" has no parameter "{parameter}"',
                _did_you_mean(parameter, tuple(declared)) if declared else "it declares none",
            )  # fmt: skip
    for missing, each in declared.items():
        has_value = "value" in each or "default" in each or isinstance(each.get("valueFrom"), dict)
        if missing not in given and not has_value:
            yield document.finding(
                document.place(*place), ERROR, f'{kind} "{name}" lacks a value for its parameter "{missing}"',
                "pass it, or give it a value in the template",
            )  # fmt: skip


def _at(value: Any, *keys: str | int) -> Any:
    """What lies under the keys, None where nothing does, or something on the way is of another kind."""
    for key in keys:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


# CronWorkflows


def _cron(
    document: Document, value: dict[str, Any], now: datetime, templates: Templates, namespace: str
) -> Iterator[Finding]:
    cron = cronworkflows.cron_from_object(value)
    cron = replace(cron, namespace=cron.namespace or namespace)
    problem = cron.problem or cronworkflows.validate(cron)
    field = "schedule" if _at(value, "spec", "schedule") else "schedules"
    if problem:
        yield document.finding(_place_of(document, cron, field, problem), ERROR, problem)
        return
    for number, schedule in enumerate(cron.parsed()):
        place = document.place("spec", field, number)
        times = list(islice(_times(schedule, now), NEXT_TIMES))
        if not times:
            yield document.finding(place, ERROR, f'"{cron.schedules[number]}" never fires')
            continue
        told = ", ".join(f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in times)
        yield document.finding(place, NOTE, f'"{cron.schedules[number]}" fires next at {told}')
    if cron.suspend:
        yield document.finding(
            document.place("spec", "suspend"), NOTE, "is suspended: it fires at none of them"
        )
    spec = cron.workflow_spec
    reference = spec.get("workflowTemplateRef")
    if isinstance(reference, dict):
        given = [str(each.get("name")) for each in _dicts(_at(spec, "arguments", "parameters"))]
        base: tuple[str | int, ...] = ("spec", "workflowSpec")
        yield from _template(
            document, (*base, "workflowTemplateRef", "name"), (*base, "arguments", "parameters"),
            str(reference.get("name") or ""), bool(reference.get("clusterScope")), given, templates,
        )  # fmt: skip


def _place_of(document: Document, cron: cronworkflows.CronWorkflow, field: str, problem: str) -> Place:
    """Where the schedule, or the zone, stands that the problem names; else the spec."""
    for number, schedule in enumerate(cron.schedules):
        if schedule and f" {schedule} " in f" {problem} ":
            return document.place("spec", field, number)
    if cron.timezone and cron.timezone in problem:
        return document.place("spec", "timezone")
    return document.place("spec")


def _times(schedule: Any, now: datetime) -> Iterator[datetime]:
    moment = schedule.next(now)
    while moment is not None:
        yield moment
        moment = schedule.next(moment)


# Webhook clients


def _argo_clients(document: Document, value: dict[str, Any]) -> Iterator[Finding]:
    entries: dict[str, str] = {}
    for group in ("data", "stringData"):
        if not isinstance(value.get(group), dict | None):
            yield document.finding(document.place(group), ERROR, f"{group} is not an object")
            return
    for key, text in (value.get("data") or {}).items():
        try:
            entries[key] = base64.b64decode(str(text), validate=True).decode()
        except (binascii.Error, ValueError):
            yield document.finding(
                document.key_place("data", key), ERROR, f'data "{key}" is no base64 of a text'
            )
    entries |= {key: str(text) for key, text in (value.get("stringData") or {}).items()}
    yield from _clients(document, json.dumps(entries), entries)


def _clients(document: Document, text: str, entries: Mapping[str, Any]) -> Iterator[Finding]:
    try:
        clients = parse_clients(text)
    except LynceusError as error:
        # The message names the client; its line is where the client's name stands.
        named = next((name for name in entries if f'"{name}"' in error.message), "")
        yield document.finding(_client_place(document, named), ERROR, error.message)
        return
    for client in clients:
        for warning in client.warnings:
            place = _client_place(document, client.name)
            yield document.finding(place, WARNING, f'webhook client "{client.name}": {warning}')


def _client_place(document: Document, name: str) -> Place:
    """Where the client's name stands: in our document at the top, in Argo's Secret below its data."""
    for group in ((), ("data",), ("stringData",)):
        if name and document.key_place(*group, name) != document.place(*group):
            return document.key_place(*group, name)
    return document.place()
