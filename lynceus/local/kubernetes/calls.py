"""A request after the gates: who asks for what, with which options and selectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lynceus.local.kubernetes import strategies
from lynceus.local.kubernetes.access import Attributes
from lynceus.local.kubernetes.exchanges import Form, Request
from lynceus.local.kubernetes.resources import Resource
from lynceus.local.kubernetes.selectors import FieldTerm, field_terms, label_selector, matches_fields
from lynceus.local.kubernetes.statuses import Cause, invalid_options, invalid_value, too_long, unsupported
from lynceus.local.kubernetes.stores import key_of
from lynceus.local.kubernetes.strategies import Strategy
from lynceus.local.kubernetes.tokens import User

Object = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A request with what the gates found out about it."""

    request: Request
    user: User
    wanted: Attributes
    resource: Resource
    form: Form
    warnings: list[str] = field(default_factory=list)  # told beside the answer, whichever it is

    @property
    def namespace(self) -> str:
        """The namespace named, "" for kinds without."""
        return self.wanted.namespace if self.resource.namespaced else ""

    @property
    def name(self) -> str:
        """The object named, "" for a collection."""
        return self.wanted.name

    @property
    def key(self) -> str:
        """The object's key in the store."""
        return key_of(self.namespace, self.name)

    @property
    def strategy(self) -> Strategy:
        """What is particular to the kind, seen through this path."""
        if self.resource.stored_as:
            return strategies.NEW_EVENT
        if self.resource.custom:
            return strategies.CUSTOM
        return strategies.STRATEGIES.get(self.resource.store, Strategy())


@dataclass(frozen=True)
class Options:
    """The parameters that creating, updating and patching share."""

    manager: str
    validation: str  # "Strict", "Warn" or "Ignore"
    dry_run: bool
    force: bool


@dataclass(frozen=True)
class Selection:
    """What a list or watch is about."""

    namespace: str
    labels: Callable[[dict[str, str]], bool] | None
    fields: list[FieldTerm]

    @property
    def everything(self) -> bool:
        """True without any selector."""
        return self.labels is None and not self.fields

    def takes(self, instance: Object) -> bool:
        """Whether the object is selected; its namespace is the caller's business."""
        metadata = instance["metadata"]
        if self.labels is not None and not self.labels(metadata.get("labels") or {}):
            return False
        return matches_fields(instance, self.fields)


def options_of(request: Request, kind: str, earlier: Iterable[Cause] = ()) -> Options:
    """The parameters of a writing request; `kind` is the options object they stand for.

    Raises Refusal 422 with all that is wrong with them, after what was found `earlier`.
    """
    validation = request.parameter("fieldValidation")
    manager = request.parameter("fieldManager")
    dry = request.query.get("dryRun") or []
    causes = [*earlier, *_manager_findings(manager), *dry_run_findings(dry)]
    if validation not in ("", "Ignore", "Strict", "Warn"):
        causes.append(unsupported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    if causes:
        raise invalid_options(kind, *causes)
    agent = request.header("user-agent").partition("/")[0]
    return Options(manager or agent or "unknown", validation or "Warn", bool(dry), request.flag("force"))


def _manager_findings(manager: str) -> list[Cause]:
    found = [too_long("fieldManager", 128)] if len(manager.encode()) > 128 else []
    for at, character in enumerate("" if manager.isprintable() else manager):
        if not character.isprintable():
            detail = f"invalid character U+{ord(character):04X} (at position {len(manager[:at].encode())})"
            found.append(invalid_value("fieldManager", manager, detail))
    return found


def dry_run_findings(values: list[str]) -> list[Cause]:
    """What is wrong with the values of dryRun: any other than All."""
    return [unsupported("dryRun", values, ("All",))] if any(value != "All" for value in values) else []


def selection_of(call: Call) -> Selection:
    """The selectors of a request; raises Refusal 400 in the parser's words."""
    request = call.request
    return Selection(
        call.namespace,
        label_selector(request.parameter("labelSelector")),
        field_terms(
            request.parameter("fieldSelector"),
            call.resource.store,
            custom=call.resource.custom,
            namespaced=call.resource.namespaced,
            names=strategies.NEW_EVENT_FIELDS if call.resource.stored_as else None,
        ),
    )
