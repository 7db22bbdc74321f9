"""What is particular to a built-in kind: the form of its names, its defaults, its findings.

A `Strategy` is a row; kinds without one have none of these. Custom resources are checked by their schema alone.
Source: kubernetes pkg/registry/<group>/<kind>/strategy.go and pkg/apis/<group>/validation.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lynceus.local.kubernetes.selectors import key_faults
from lynceus.local.kubernetes.statuses import (
    Cause,
    forbidden_field,
    invalid_value,
    required,
    too_long,
    unsupported,
)

Object = dict[str, Any]
_RBAC: Final = "rbac.authorization.k8s.io"
SA_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 - a type's name
SA_NAME: Final = "kubernetes.io/service-account.name"
_DATA_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+\Z")
_DATA_KEY_RULE: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def _nothing(_instance: Object) -> None:
    """No defaults."""


def _no_findings(_instance: Object) -> list[Cause]:
    return []


def _no_change_findings(_old: Object, _new: Object) -> list[Cause]:
    return []


@dataclass(frozen=True)
class Strategy:
    """The particulars of one kind."""

    name_form: str = "subdomain"  # see objects.name_faults
    fill: Callable[[Object], None] = _nothing  # defaults, in place
    prepare: Callable[[Object], None] = _nothing  # what the server adds to a new object; nobody owns it
    kept: tuple[str, ...] = ()  # parts that updates leave as they are
    check: Callable[[Object], list[Cause]] = _no_findings
    check_new: Callable[[Object], list[Cause]] = _no_findings  # of what is created, after `check`
    check_change: Callable[[Object, Object], list[Cause]] = _no_change_findings
    returns_deleted: bool = False  # DELETE answers the object instead of a Status
    unconditional_update: bool = True  # PUT without resourceVersion overwrites
    create_on_update: bool = False  # PUT of a name that does not exist creates it


# -- namespaces, secrets, config maps ------------------------------------------------------------------------


def _fill_namespace(instance: Object) -> None:
    name = instance["metadata"].get("name")
    if name:
        instance["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def _prepare_namespace(instance: Object) -> None:
    instance["spec"] = {"finalizers": ["kubernetes"]}
    instance["status"] = {"phase": "Active"}


def _fill_secret(instance: Object) -> None:
    texts = instance.pop("stringData", None) or {}
    if texts:
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}
        instance["data"] = (instance.get("data") or {}) | encoded
    instance["type"] = instance.get("type") or "Opaque"


def _key_faults(key: str) -> list[str]:
    faults = ["must be no more than 253 characters"] if len(key) > 253 else []
    if not _DATA_KEY.match(key):
        faults.append(_DATA_KEY_RULE)
    elif key in (".", ".."):
        faults.append(f"must not be '{key}'")
    elif key.startswith(".."):
        faults.append("must not start with '..'")
    return faults


def _check_config_map(instance: Object) -> list[Cause]:
    text, binary = instance.get("data") or {}, instance.get("binaryData") or {}
    causes: list[Cause] = []
    for field, mine, name, other in (
        ("data", text, "binaryData", binary),
        ("binaryData", binary, "data", text),
    ):
        for key in mine:
            faults = _key_faults(key) + ([f"duplicate of key present in {name}"] if key in other else [])
            causes += [invalid_value(f"{field}[{key}]", key, fault) for fault in faults]
    if sum(len(value.encode()) for value in text.values()) + _decoded_size(binary) > _LARGEST_DATA:
        causes.append(too_long("[]", _LARGEST_DATA))
    return causes


def _decoded_size(encoded: dict[str, str]) -> int:
    return sum(len(value.rstrip("=")) * 3 // 4 for value in encoded.values())


_LARGEST_DATA: Final = 1 << 20  # bytes of all values together
# type of a Secret → the keys it must have, or one of which it must have
_NEEDED: Final[dict[str, tuple[tuple[str, ...], bool]]] = {
    "kubernetes.io/dockercfg": ((".dockercfg",), True),
    "kubernetes.io/dockerconfigjson": ((".dockerconfigjson",), True),
    "kubernetes.io/basic-auth": (("username", "password"), False),
    "kubernetes.io/ssh-auth": (("ssh-privatekey",), True),
    "kubernetes.io/tls": (("tls.crt", "tls.key"), True),
}


def _check_secret(instance: Object) -> list[Cause]:
    data = instance.get("data") or {}
    causes = [invalid_value(f"data[{key}]", key, fault) for key in data for fault in _key_faults(key)]
    if _decoded_size(data) > _LARGEST_DATA:
        causes.append(too_long("data", _LARGEST_DATA))
    keys, all_of_them = _NEEDED.get(instance.get("type", ""), ((), True))
    if all_of_them or not any(key in data for key in keys):
        causes += [required(f"data[{key}]") for key in keys if key not in data]
    annotations = instance["metadata"].get("annotations") or {}
    if instance.get("type") == SA_TOKEN and not annotations.get(SA_NAME):
        causes.append(required(f"metadata.annotations[{SA_NAME}]"))
    return causes


def _check_frozen(old: Object, new: Object) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = []
    if not new.get("immutable"):
        causes.append(forbidden_field("immutable", "field is immutable when `immutable` is set"))
    causes += [
        forbidden_field(field, "field is immutable when `immutable` is set")
        for field in ("data", "binaryData")
        if (old.get(field) or {}) != (new.get(field) or {})
    ]
    return causes


def _check_secret_change(old: Object, new: Object) -> list[Cause]:
    causes = _check_frozen(old, new)
    if old.get("type") != new.get("type"):
        causes.append(invalid_value("type", new.get("type"), "field is immutable"))
    return causes


# -- events --------------------------------------------------------------------------------------------------


def _check_event(instance: Object) -> list[Cause]:
    """Events with an eventTime are held to more, whichever group they come by."""
    involved = instance.get("involvedObject") or {}
    where, mine = involved.get("namespace", ""), instance["metadata"].get("namespace", "")
    elsewhere = [invalid_value("involvedObject.namespace", where, "does not match event.namespace")]
    if not instance.get("eventTime"):
        # It lies beside what it is about; what has no namespace is told of in `default`.
        return [] if where == mine or (not where and mine == "default") else elsewhere
    causes = [] if where or mine in ("default", "kube-system") else elsewhere
    field = "reportingController" if _is_new(instance) else "reportingComponent"
    reporter = instance.get("reportingComponent") or ""
    if not reporter:
        causes.append(required(field))
    causes += [invalid_value(field, reporter, fault) for fault in key_faults(reporter)]
    for name in ("reportingInstance", "action", "reason"):
        text = instance.get(name) or ""
        if not text:
            causes.append(required(name))
        elif len(text) > 128:
            causes.append(invalid_value(name, "", "can have at most 128 characters"))
    if len(instance.get("message") or "") > 1024:
        causes.append(invalid_value("message", "", "can have at most 1024 characters"))
    return causes


def _is_new(instance: Object) -> bool:
    return str(instance.get("apiVersion", "")).startswith("events.k8s.io/")


_LEGACY: Final = ("firstTimestamp", "lastTimestamp", "count", "source")


def _check_new_event(instance: Object) -> list[Cause]:
    event = core_event(instance) | {"apiVersion": "events.k8s.io/v1"}
    causes = _check_event(event) + _check_series(event)
    if not event.get("eventTime"):
        causes.append(required("eventTime"))
    kind = event.get("type")
    if kind not in ("Normal", "Warning"):
        causes.append(invalid_value("type", "", f"has invalid value: {kind or ''}"))
    causes += [invalid_value(name, "", "needs to be unset") for name in _LEGACY if event.get(name)]
    return causes


def _check_series(event: Object) -> list[Cause]:
    series = event.get("series")
    if series is None:
        return []
    causes = []
    if (series.get("count") or 0) < 2:
        causes.append(invalid_value("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        causes.append(required("series.lastObservedTime"))
    return causes


_LASTING: Final = (
    "involvedObject",
    "reason",
    "message",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
    "type",
    "eventTime",
)


def _check_new_event_change(old: Object, new: Object) -> list[Cause]:
    """By events.k8s.io an event is told once, and only its series goes on."""
    was, event = core_event(old), core_event(new) | {"apiVersion": "events.k8s.io/v1"}
    causes = _check_event(event)
    if was.get("series") != event.get("series"):
        causes += _check_series(event)
    causes += [
        invalid_value(_FIELDS_OF_CHANGES.get(name, name), event.get(name), "field is immutable")
        for name in _LASTING
        if (was.get(name) or None) != (event.get(name) or None)
    ]
    return causes


_FIELDS_OF_CHANGES: Final = {"reportingComponent": "reportingController"}


# The two groups show the same objects under other names. Source: kubernetes pkg/apis/events/v1/conversion.go
_EVENT_NAMES: Final = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
# field selectors of events.k8s.io → those of the core group
NEW_EVENT_FIELDS: Final = {
    **{
        f"regarding.{name}": f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reportingController": "reportingComponent",
    "reason": "reason",
    "type": "type",
    "metadata.name": "metadata.name",
    "metadata.namespace": "metadata.namespace",
}
_CORE_EVENT_NAMES: Final = {core: new for new, core in _EVENT_NAMES.items()}


def core_event(instance: Object) -> Object:
    """An events.k8s.io Event as the core group has it, which is how events are kept."""
    return {_EVENT_NAMES.get(name, name): value for name, value in instance.items()} | {"apiVersion": "v1"}


def new_event(instance: Object) -> Object:
    """A kept Event as events.k8s.io shows it."""
    named = {_CORE_EVENT_NAMES.get(name, name): value for name, value in instance.items()}
    return named | {"apiVersion": "events.k8s.io/v1"}


# -- RBAC ----------------------------------------------------------------------------------------------------


def _fill_role(instance: Object) -> None:
    if instance.get("rules") is None:
        instance["rules"] = None


def _check_rules(instance: Object, *, namespaced: bool) -> list[Cause]:
    causes: list[Cause] = []
    for at, rule in enumerate(instance.get("rules") or ()):
        path = f"rules[{at}]"
        if not rule.get("verbs"):
            causes.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                causes.append(invalid_value(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))
            if any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                causes.append(invalid_value(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail))
            continue
        if not rule.get("apiGroups"):
            causes.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            causes.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return causes


def _fill_binding(instance: Object) -> None:
    reference = instance.get("roleRef") or {}
    instance["roleRef"] = reference | {"apiGroup": reference.get("apiGroup") or _RBAC}
    for subject in instance.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = _RBAC


def _check_binding(instance: Object, *, namespaced: bool) -> list[Cause]:
    causes: list[Cause] = []
    reference = instance["roleRef"]
    if reference["apiGroup"] != _RBAC:
        causes.append(unsupported("roleRef.apiGroup", reference["apiGroup"], [_RBAC]))
    kinds = ["Role", "ClusterRole"] if namespaced else ["ClusterRole"]
    if reference.get("kind") not in kinds:
        causes.append(unsupported("roleRef.kind", reference.get("kind", ""), sorted(kinds)))
    if not reference.get("name"):
        causes.append(required("roleRef.name"))
    for at, subject in enumerate(instance.get("subjects") or ()):
        path = f"subjects[{at}]"
        if not subject.get("name"):
            causes.append(required(f"{path}.name"))
        kind = subject.get("kind", "")
        if kind not in ("ServiceAccount", "User", "Group"):
            causes.append(unsupported(f"{path}.kind", kind, ["Group", "ServiceAccount", "User"]))
        if kind == "ServiceAccount" and not namespaced and not subject.get("namespace"):
            causes.append(required(f"{path}.namespace"))
    return causes


def _check_binding_change(old: Object, new: Object) -> list[Cause]:
    if old["roleRef"] == new["roleRef"]:
        return []
    return [invalid_value("roleRef", new["roleRef"], "cannot change roleRef")]


# -- custom resource definitions -----------------------------------------------------------------------------


def _fill_definition(instance: Object) -> None:
    spec = instance.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind") or ""
    names.setdefault("singular", kind.lower())
    names.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {"strategy": "None"})


def _check_definition(instance: Object) -> list[Cause]:
    causes: list[Cause] = []
    spec = instance["spec"]
    names = spec["names"]
    name = f"{names.get('plural', '')}.{spec.get('group', '')}"
    if instance["metadata"].get("name") != name:
        detail = 'must be spec.names.plural+"."+spec.group'
        causes.append(invalid_value("metadata.name", instance["metadata"].get("name"), detail))
    if not spec.get("group"):
        causes.append(required("spec.group"))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        causes.append(unsupported("spec.scope", spec.get("scope", ""), ["Cluster", "Namespaced"]))
    causes += [required(f"spec.names.{part}") for part in ("plural", "kind") if not names.get(part)]
    versions = [version for version in spec.get("versions") or () if isinstance(version, dict)]
    if sum(bool(version.get("storage")) for version in versions) != 1:
        detail = "must have exactly one version marked as storage version"
        causes.append(invalid_value("spec.versions", spec.get("versions"), detail))
    for at, version in enumerate(versions):
        if not isinstance((version.get("schema") or {}).get("openAPIV3Schema"), dict):
            causes.append(required(f"spec.versions[{at}].schema.openAPIV3Schema", "schemas are required"))
    return causes


def accept_definition(instance: Object, now: str) -> None:
    """Write the status that says the definition's kind is being served, in place."""
    spec = instance["spec"]
    known = {each["type"]: each for each in (instance.get("status") or {}).get("conditions") or ()}

    def condition(kind: str, reason: str, message: str) -> Object:
        since = known.get(kind, {}).get("lastTransitionTime", now)
        return {
            "type": kind,
            "status": "True",
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }

    instance["status"] = {
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": dict(spec["names"]),
        "storedVersions": [version["name"] for version in spec["versions"] if version.get("storage")],
    }


STRATEGIES: Final[dict[str, Strategy]] = {
    "namespaces": Strategy("label", _fill_namespace, _prepare_namespace, ("spec", "status")),
    "serviceaccounts": Strategy(returns_deleted=True),
    "configmaps": Strategy(check=_check_config_map, check_change=_check_frozen),
    "secrets": Strategy(fill=_fill_secret, check=_check_secret, check_change=_check_secret_change),
    "events": Strategy("path", check=_check_event, create_on_update=True),
    f"roles.{_RBAC}": Strategy(
        "path", _fill_role, check=lambda role: _check_rules(role, namespaced=True), create_on_update=True
    ),
    f"clusterroles.{_RBAC}": Strategy(
        "path", _fill_role, check=lambda role: _check_rules(role, namespaced=False), create_on_update=True
    ),
    f"rolebindings.{_RBAC}": Strategy(
        "path",
        _fill_binding,
        check=lambda binding: _check_binding(binding, namespaced=True),
        check_change=_check_binding_change,
        create_on_update=True,
    ),
    f"clusterrolebindings.{_RBAC}": Strategy(
        "path",
        _fill_binding,
        check=lambda binding: _check_binding(binding, namespaced=False),
        check_change=_check_binding_change,
        create_on_update=True,
    ),
    "customresourcedefinitions.apiextensions.k8s.io": Strategy(
        fill=_fill_definition, check=_check_definition, unconditional_update=False
    ),
}
# Seen through events.k8s.io, an event is held to more.
NEW_EVENT: Final = Strategy(
    check_new=_check_new_event, check_change=_check_new_event_change, create_on_update=True
)
CUSTOM: Final = Strategy(unconditional_update=False)
