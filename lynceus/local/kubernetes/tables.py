"""The Table form of objects and lists: what `kubectl get` prints.

A CRD brings its columns as JSON paths; for built-in kinds a column is a row here with a function. Ages are made
text by the server, from its own clock.
Source: kubernetes pkg/printers/internalversion/printers.go and
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#additional-printer-columns
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from lynceus.local.kubernetes.resources import Resource

Object = dict[str, Any]
Cell = Callable[[Object, float], Any]

_NAME_TEXT: Final = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow "
    "a client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
_AGE_TEXT: Final = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
_AGE_COLUMN: Final[Object] = {
    "name": "Age",
    "type": "date",
    "description": _AGE_TEXT,
    "jsonPath": ".metadata.creationTimestamp",
}


def age(moment: Any, now: float) -> str:
    """How long ago, as kubectl writes durations; "<unknown>" for what is no time.

    Source: k8s.io/apimachinery/pkg/util/duration/duration.go, HumanDuration.
    """
    try:
        then = datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return "<unknown>"
    seconds = int(now - then)
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    if seconds < 120:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 730:
        return f"{days}d"
    years, left = divmod(days, 365)
    return f"{years}y{left}d" if left and years < 8 else f"{years}y"


_STEP: Final = re.compile(
    r"\.((?:[^.\[\\]|\\.)+)|\[(\d+)\]|\['([^']*)'\]|\[\?\(@\.(\w+)\s*==\s*['\"]([^'\"]*)['\"]\)\]"
)


def at_path(instance: Object, path: str) -> Any:
    """The value at a column's JSON path, None where there is none.

    Knows fields, indexes and `[?(@.type=="x")]`, which is what CRDs use.
    """
    found: Any = instance
    for name, index, quoted, key, wanted in _STEP.findall(
        path if path.startswith((".", "[")) else f".{path}"
    ):
        if index or key:
            if not isinstance(found, list):
                return None
            if key:
                found = next(
                    (item for item in found if isinstance(item, dict) and item.get(key) == wanted), None
                )
            else:
                found = found[int(index)] if int(index) < len(found) else None
        else:
            found = found.get(name.replace("\\", "") or quoted) if isinstance(found, dict) else None
    return found


def _custom_cell(column: Object) -> Cell:
    path, type_ = column["jsonPath"], column["type"]

    def cell(instance: Object, now: float) -> Any:
        value = at_path(instance, path)
        if value is None:
            return None
        if type_ == "date":
            return age(value, now)
        if type_ in ("integer", "number", "boolean"):
            return value if isinstance(value, (bool, int, float)) else None
        return value if isinstance(value, str) else str(value)

    return cell


def _count(*names: str) -> Cell:
    return lambda instance, _: sum(len(instance.get(name) or ()) for name in names)


def _text(path: str) -> Cell:
    return lambda instance, _: str(at_path(instance, path) or "")


def _age(path: str) -> Cell:
    return lambda instance, now: age(at_path(instance, path), now)


def _created(instance: Object, _now: float) -> Any:
    return instance["metadata"].get("creationTimestamp")


def _last_seen(instance: Object, now: float) -> str:
    moment = (instance.get("series") or {}).get("lastObservedTime") or instance.get("lastTimestamp")
    return age(moment or instance.get("eventTime") or instance["metadata"].get("creationTimestamp"), now)


def _first_seen(instance: Object, now: float) -> str:
    return age(instance.get("firstTimestamp") or instance.get("eventTime"), now)


def _involved(instance: Object, _now: float) -> str:
    about = instance.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _source(instance: Object, _now: float) -> str:
    source = instance.get("source") or {}
    return ", ".join(
        filter(None, (source.get("component") or instance.get("reportingComponent"), source.get("host")))
    )


def _role(instance: Object, _now: float) -> str:
    return f"{instance['roleRef']['kind']}/{instance['roleRef']['name']}"


def _subjects(kind: str) -> Cell:
    def cell(instance: Object, _now: float) -> str:
        named = [each for each in instance.get("subjects") or () if each.get("kind") == kind]
        return ", ".join(
            f"{each['namespace']}/{each['name']}" if each.get("namespace") else each["name"] for each in named
        )

    return cell


_RBAC: Final = "rbac.authorization.k8s.io"
_AGE_CELL: Final = _age(".metadata.creationTimestamp")
_BINDING: Final[tuple[tuple[str, str, int, Cell], ...]] = (
    ("Role", "string", 0, _role),
    ("Age", "string", 0, _AGE_CELL),
    ("Users", "string", 1, _subjects("User")),
    ("Groups", "string", 1, _subjects("Group")),
    ("ServiceAccounts", "string", 1, _subjects("ServiceAccount")),
)
# store → columns after Name: title, type, priority (1 shows with -o wide), cell
_BUILT_IN: Final[dict[str, tuple[tuple[str, str, int, Cell], ...]]] = {
    "namespaces": (("Status", "string", 0, _text(".status.phase")), ("Age", "string", 0, _AGE_CELL)),
    "configmaps": (("Data", "string", 0, _count("data", "binaryData")), ("Age", "string", 0, _AGE_CELL)),
    "secrets": (
        ("Type", "string", 0, _text(".type")),
        ("Data", "string", 0, _count("data")),
        ("Age", "string", 0, _AGE_CELL),
    ),
    "serviceaccounts": (("Secrets", "string", 0, _count("secrets")), ("Age", "string", 0, _AGE_CELL)),
    "events": (
        ("Last Seen", "string", 0, _last_seen),
        ("Type", "string", 0, _text(".type")),
        ("Reason", "string", 0, _text(".reason")),
        ("Object", "string", 0, _involved),
        ("Subobject", "string", 1, _text(".involvedObject.fieldPath")),
        ("Source", "string", 1, _source),
        ("Message", "string", 0, lambda instance, _: str(instance.get("message") or "").strip()),
        ("First Seen", "string", 1, _first_seen),
        ("Count", "string", 1, lambda instance, _: instance.get("count") or 1),
        ("Name", "string", 1, _text(".metadata.name")),
    ),
    f"roles.{_RBAC}": (("Created At", "date", 0, _created),),
    f"clusterroles.{_RBAC}": (("Created At", "date", 0, _created),),
    f"rolebindings.{_RBAC}": _BINDING,
    f"clusterrolebindings.{_RBAC}": _BINDING,
    "customresourcedefinitions.apiextensions.k8s.io": (("Created At", "date", 0, _created),),
}


# (store, title) → the description of a built-in column; "" for any store
_TEXTS: Final = {
    ("", "Age"): _AGE_TEXT,
    ("", "Created At"): _AGE_TEXT,
    ("namespaces", "Status"): "The status of the namespace",
    ("configmaps", "Data"): (
        "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. "
        "Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap "
        "with the keys in the BinaryData field, this is enforced during validation process."
    ),
    ("secrets", "Type"): (
        "Used to facilitate programmatic handling of secret data. More info: "
        "https://kubernetes.io/docs/concepts/configuration/secret/#secret-types"
    ),
    ("secrets", "Data"): (
        "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The "
        "serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly "
        "non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4"
    ),
    ("events", "Last Seen"): "Time the event was last seen.",
    ("events", "Type"): "Type of this event (Normal, Warning), new types could be added in the future",
    (
        "events",
        "Reason",
    ): (
        "This should be a short, machine understandable string that gives the reason for the transition into the "
        "object's current status."
    ),
    ("events", "Message"): "A human-readable description of the status of this operation.",
}


def _column(name: str, type_: str, priority: int, description: str = "", form: str = "") -> Object:
    return {"name": name, "type": type_, "format": form, "description": description, "priority": priority}


def _layout(resource: Resource) -> tuple[list[Object], list[Cell]]:
    """The column definitions and a cell function for each."""
    name = _column("Name", "string", 0, _NAME_TEXT, "name")
    name_cell = _text(".metadata.name")
    if not resource.custom:
        columns = _BUILT_IN.get(resource.store, (("Age", "string", 0, _AGE_CELL),))
        definitions = [
            _column(
                title, type_, priority, _TEXTS.get((resource.store, title)) or _TEXTS.get(("", title), "")
            )
            for title, type_, priority, _ in columns
        ]
        cells = [cell for _, _, _, cell in columns]
        if resource.store == "events":
            return definitions, cells
        return [name, *definitions], [name_cell, *cells]
    listed: tuple[Object, ...] = resource.columns or (_AGE_COLUMN,)
    definitions = [
        _column(
            each["name"],
            each["type"],
            each.get("priority", 0),
            each.get("description", ""),
            each.get("format", ""),
        )
        for each in listed
    ]
    return [name, *definitions], [name_cell, *(_custom_cell(each) for each in listed)]


def metadata_only(instance: Object, version: str = "v1") -> Object:
    """The object as PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": instance["metadata"],
    }


def table(
    resource: Resource,
    instances: Iterable[Object],
    metadata: Object,
    *,
    now: float,
    version: str = "v1",
    include: str = "Metadata",
    with_columns: bool = True,
) -> Object:
    """The objects as a Table; `include` says what stands beside the cells: None, Metadata or Object."""
    definitions, cells = _layout(resource)

    def beside(instance: Object) -> Object | None:
        if include == "None":
            return None
        return instance if include == "Object" else metadata_only(instance, version)

    found: Object = {"kind": "Table", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata}
    found["columnDefinitions"] = definitions if with_columns else None
    found["rows"] = [
        {"cells": [cell(instance, now) for cell in cells], "object": beside(instance)}
        for instance in instances
    ]
    return found
