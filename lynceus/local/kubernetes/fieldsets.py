"""Who owns which field: the sets behind `metadata.managedFields`, and server-side apply over them.

A set holds paths, and a path is a tuple of the elements that FieldsV1 is made of: `f:<field>`, `k:<keys as JSON>` for
an element of a keyed list, `v:<value as JSON>` for one of a set. A path of a map or struct itself means that its
owner made it; FieldsV1 writes that as `.`. What has no schema is read as maps of leaves, lists being leaves.
Source: sigs.k8s.io/structured-merge-diff (typed, fieldpath, merge) and
k8s.io/apimachinery/pkg/util/managedfields.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from lynceus.local.kubernetes.schemas import Schema, child
from lynceus.local.kubernetes.statuses import Refusal, go_quoted

Path = tuple[str, ...]
FieldSet = frozenset[Path]

_ABSENT: Final = object()
# Written by the server or naming the object: nobody owns these.
# Source: k8s.io/apimachinery/pkg/util/managedfields/internal/stripmeta.go
_UNOWNED: Final = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    }
)


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _shape(value: Any, schema: Schema | None) -> str:
    """How the value is owned: "leaf", "map", "keyed" or "set"."""
    if isinstance(value, dict):
        atomic = schema is not None and schema.get("x-kubernetes-map-type") == "atomic"
        return "leaf" if atomic else "map"
    if isinstance(value, list) and schema is not None:
        list_type = schema.get("x-kubernetes-list-type")
        return {"map": "keyed", "set": "set"}.get(str(list_type), "leaf")
    return "leaf"


def _children(value: Any, schema: Schema | None) -> dict[str, tuple[Any, Schema | None, bool]]:
    """Path element → (value, schema, whether the schema declares this very field) below a value."""
    shape = _shape(value, schema)
    if shape == "map":
        declared = (schema or {}).get("properties") or {}
        return {
            f"f:{name}": (item, child(schema, name) if schema else None, name in declared)
            for name, item in value.items()
        }
    items = (schema or {}).get("items")
    if shape == "keyed":
        keys = (schema or {}).get("x-kubernetes-list-map-keys") or []
        return {
            "k:" + _compact({key: item[key] for key in keys if key in item}): (item, items, False)
            for item in value
            if isinstance(item, dict)
        }
    if shape == "set":
        return {"v:" + _compact(item): (item, None, False) for item in value}
    return {}


def fields_of(value: Any, schema: Schema | None) -> FieldSet:
    """Everything an applied configuration speaks of."""
    found: set[Path] = set()

    def walk(value: Any, schema: Schema | None, path: Path) -> None:
        if _shape(value, schema) == "leaf":
            found.add(path)
            return
        for element, (item, below, declared) in _children(value, schema).items():
            # A field the schema declares is there anyway; a key of a map, or an empty map, was made by its owner.
            if not declared or item is None or item == {}:
                found.add((*path, element))
            walk(item, below, (*path, element))

    walk(value, schema, ())
    return frozenset(found - _UNOWNED - {()})


@dataclass
class Change:
    """What differs between two objects."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    @property
    def taken(self) -> set[Path]:
        """The fields that whoever made the change now owns."""
        return self.added | self.modified


def compare(old: Any, new: Any, schema: Schema | None) -> Change:
    """The change from `old` to `new`, without what nobody owns."""
    change = Change()
    _compare(old, new, schema, (), change)
    for paths in (change.added, change.modified, change.removed):
        paths -= _UNOWNED
        paths.discard(())
    return change


def _compare(old: Any, new: Any, schema: Schema | None, path: Path, change: Change) -> None:
    if old is new or old == new:
        return
    shapes = {_shape(value, schema) for value in (old, new) if value is not _ABSENT and value is not None}
    if len(shapes) != 1 or "leaf" in shapes:
        paths = change.added if old is _ABSENT else change.removed if new is _ABSENT else change.modified
        paths.add(path)
        return
    before = _children(old, schema) if old is not _ABSENT and old is not None else {}
    after = _children(new, schema) if new is not _ABSENT and new is not None else {}
    for element in before.keys() | after.keys():
        _, below, _ = after.get(element) or before[element]
        _compare(
            before[element][0] if element in before else _ABSENT,
            after[element][0] if element in after else _ABSENT,
            below,
            (*path, element),
            change,
        )
    if old is _ABSENT:
        change.added.add(path)
    elif new is _ABSENT:
        change.removed.add(path)


def as_json(paths: Iterable[Path]) -> dict[str, Any]:
    """A set as FieldsV1, sorted."""
    tree: dict[str, Any] = {}
    own: list[dict[str, Any]] = []
    for path in sorted(paths):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        own.append(node)
    for node in own:
        if node:
            node["."] = {}
    return tree


def from_json(tree: Any) -> FieldSet:
    """FieldsV1 as a set; what is no FieldsV1 is the empty set."""
    found: set[Path] = set()

    def walk(node: Any, path: Path) -> None:
        if not isinstance(node, dict):
            return
        below = [name for name in node if name != "."]
        if path and (not below or "." in node):
            found.add(path)
        for name in below:
            walk(node[name], (*path, name))

    walk(tree, ())
    return frozenset(found)


@dataclass(frozen=True)
class Owner:
    """One line of managedFields, without its fields."""

    manager: str
    operation: str  # "Apply" or "Update"
    api_version: str
    subresource: str = ""


@dataclass
class Ownership:
    """The managedFields of one object, decoded."""

    fields: dict[Owner, FieldSet]
    times: dict[Owner, str]

    @classmethod
    def of(cls, entries: Any) -> Ownership:
        """Decoded from `metadata.managedFields`; entries nobody could have written are left out."""
        found = cls({}, {})
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("fieldsV1"), dict):
                owner = Owner(
                    str(entry.get("manager", "")),
                    str(entry.get("operation", "")),
                    str(entry.get("apiVersion", "")),
                    str(entry.get("subresource", "")),
                )
                found.fields[owner] = from_json(entry["fieldsV1"])
                found.times[owner] = entry.get("time", "")
        return found

    def as_json(self) -> list[dict[str, Any]]:
        """As `metadata.managedFields`, in the server's order: applies first, then by time and manager."""
        owners = [owner for owner, paths in self.fields.items() if paths]
        owners.sort(key=lambda owner: (owner.operation, self.times[owner], owner.manager, owner.subresource))
        listed = []
        for owner in owners:
            entry = {
                "apiVersion": owner.api_version,
                "fieldsType": "FieldsV1",
                "fieldsV1": as_json(self.fields[owner]),
                "manager": owner.manager,
                "operation": owner.operation,
                "time": self.times[owner],
            }
            listed.append(entry | ({"subresource": owner.subresource} if owner.subresource else {}))
        return listed

    def release(self, paths: set[Path] | FieldSet, *, but: Owner | None = None) -> None:
        """Take the paths from everybody but one."""
        for owner in self.fields:
            if owner != but:
                self.fields[owner] -= paths


def record_update(
    old: dict[str, Any],
    new: dict[str, Any],
    schema: Schema | None,
    owner: Owner,
    now: str,
    *,
    sent: Any = None,
) -> list[dict[str, Any]]:
    """The managedFields after `owner` wrote `new` over `old`.

    `sent` are the entries that came with the request: a client may replace them (an empty list of one entry
    resets them, so that only this change is owned), otherwise those of `old` go on.
    """
    before = Ownership.of(sent)
    if not before.fields and sent != [{}]:
        before = Ownership.of(old.get("metadata", {}).get("managedFields"))
    change = compare(old, new, schema)
    before.release(change.taken | change.removed)
    if change.taken:
        before.fields[owner] = before.fields.get(owner, frozenset()) | change.taken
        before.times[owner] = now
    return before.as_json()


def apply(
    live: dict[str, Any],
    wanted: dict[str, Any],
    schema: Schema | None,
    owner: Owner,
    now: str,
    *,
    force: bool,
) -> dict[str, Any]:
    """`live` with what the owner wants, its managedFields kept; raises Refusal on fields of others.

    What the owner applied before and wants no longer goes away, unless somebody else owns it too.
    """
    ownership = Ownership.of(live.get("metadata", {}).get("managedFields"))
    theirs = fields_of(wanted, schema)
    dropped = ownership.fields.get(owner, frozenset()) - theirs
    for other, paths in ownership.fields.items():
        if other != owner:
            dropped -= paths
    merged: dict[str, Any] = merge(live, wanted, schema)
    for path in _removal_order(dropped, ownership, owner):
        _remove(merged, schema, path)
    change = compare(live, merged, schema)
    allowed = _client_side_applied(live, schema) if owner.manager == "kubectl" else frozenset()
    conflicts = [
        (other, path)
        for other, paths in ownership.fields.items()
        if other != owner
        for path in sorted((paths & change.taken) - allowed)
    ]
    if conflicts and not force:
        raise _conflict(conflicts, ownership)
    ownership.release(change.taken | change.removed, but=owner)
    if ownership.fields.get(owner) != theirs or change.taken or change.removed:
        ownership.times[owner] = now
    ownership.fields[owner] = theirs
    merged.setdefault("metadata", {})["managedFields"] = ownership.as_json()
    return merged


def _removal_order(dropped: FieldSet, ownership: Ownership, owner: Owner) -> list[Path]:
    """What to take away, in an order in which each path still leads somewhere.

    Elements of keyed lists go whole, and first, since without its keys an element cannot be found; one in which
    somebody else owns a field stays, with its keys. Then fields, from the innermost out.
    """
    others = [path for other, paths in ownership.fields.items() if other != owner for path in paths]
    elements = [
        path
        for path in dropped
        if path[-1].startswith("k:") and not any(other[: len(path)] == path for other in others)
    ]
    fields = [path for path in dropped if not path[-1].startswith("k:") and not _is_key(path)]
    return [*elements, *sorted(fields, key=len, reverse=True)]


def _is_key(path: Path) -> bool:
    """Whether the path is one of the fields that its element is known by."""
    return (
        len(path) > 1
        and path[-2].startswith("k:")
        and path[-1].removeprefix("f:") in json.loads(path[-2][2:])
    )


def _client_side_applied(live: dict[str, Any], schema: Schema | None) -> FieldSet:
    """The fields of kubectl's last client-side apply, which its server-side apply may take over without force.

    Source: managedfields/internal/lastappliedmanager.go
    """
    annotations = live.get("metadata", {}).get("annotations") or {}
    try:
        applied = json.loads(annotations["kubectl.kubernetes.io/last-applied-configuration"])
    except (KeyError, ValueError, RecursionError):
        return frozenset()
    return fields_of(applied, schema)


def merge(live: Any, wanted: Any, schema: Schema | None) -> Any:
    """`wanted` laid over `live`: maps and keyed lists by element, the rest replaced."""
    shape = _shape(wanted, schema)
    if live is None or shape == "leaf" or _shape(live, schema) != shape:
        return copy.deepcopy(wanted)
    if shape == "map":
        merged = dict(live)
        for name, item in wanted.items():
            merged[name] = merge(live.get(name), item, child(schema, name) if schema else None)
        return merged
    before, after = _children(live, schema), _children(wanted, schema)
    items = (schema or {}).get("items")
    mine = {
        element: merge(before[element][0] if element in before else None, after[element][0], items)
        for element in after
    }
    # The applied order leads; what only the live object has keeps its place behind.
    return [*mine.values(), *(item for element, (item, _, _) in before.items() if element not in mine)]


def _remove(value: Any, schema: Schema | None, path: Path) -> None:
    """Take the element at the path away; a container that still holds something stays."""
    element, rest = path[0], path[1:]
    below = _children(value, schema).get(element)
    if below is None:
        return
    item, item_schema, _ = below
    if rest:
        _remove(item, item_schema, rest)
    elif _shape(item, item_schema) != "leaf" and item and not element.startswith("k:"):
        return
    elif isinstance(value, dict):
        del value[element.removeprefix("f:")]
    else:
        value.remove(item)


def _conflict(conflicts: list[tuple[Owner, Path]], ownership: Ownership) -> Refusal:
    def shown(owner: Owner) -> str:
        text = go_quoted(owner.manager)
        if owner.subresource:
            text += f" with subresource {go_quoted(owner.subresource)}"
        if owner.operation == "Update":
            text += f" using {owner.api_version}"
            text += f" at {ownership.times[owner]}" if ownership.times[owner] else ""
        return text

    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {shown(owner)}", "field": _dotted(path)}
        for owner, path in conflicts
    ]
    if len(conflicts) == 1:
        owner, path = conflicts[0]
        text = f"Apply failed with 1 conflict: conflict with {shown(owner)}: {_dotted(path)}"
    else:
        lines: list[str] = []
        for name in sorted({shown(owner) for owner, _ in conflicts}):
            lines.append(f"conflicts with {name}:")
            lines += [f"- {_dotted(path)}" for owner, path in conflicts if shown(owner) == name]
        text = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return Refusal(409, "Conflict", text, {"causes": causes})


def _dotted(path: Path) -> str:
    """A path as messages show it: .spec.list[name="x"].field"""
    text = ""
    for element in path:
        form, _, rest = element.partition(":")
        if form == "f":
            text += f".{rest}"
        elif form == "k":
            keys = json.loads(rest)
            text += "[" + ",".join(f"{name}={_compact(keys[name])}" for name in sorted(keys)) + "]"
        else:
            text += f"[={rest}]"
    return text


def misfits(value: Any, schema: Schema | None, path: str = "") -> list[str]:
    """What a typed apply refuses, as `.spec.bogus: field not declared in schema`.

    Source: structured-merge-diff typed/validate.go; its messages show Go's values, hence their form.
    """
    if schema is None or value is None:
        return []
    prefix = f"{path}: " if path else ""
    expected = schema.get("type")
    if expected == "object":
        if not isinstance(value, dict):
            return [f"{prefix}expected map, got &{{{_go_shown(value)}}}"]
        return _map_misfits(value, schema, path)
    if expected == "array":
        if not isinstance(value, list):
            return [f"{prefix}expected list, got &{{{_go_shown(value)}}}"]
        return _list_misfits(value, schema, path)
    if expected == "string" and not isinstance(value, str):
        return [f"{prefix}expected string, got &value.valueUnstructured{{Value:{_go_shown(value)}}}"]
    if expected == "boolean" and not isinstance(value, bool):
        return [f"{prefix}expected boolean, got &{{{_go_shown(value)}}}"]
    if expected in ("integer", "number") and (isinstance(value, bool) or not isinstance(value, (int, float))):
        return [f"{prefix}expected numeric (int or float), got {_GO_NAMES.get(type(value), 'string')}"]
    return []


_GO_NAMES: Final = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}


def _go_shown(value: Any) -> str:
    """A value as Go's `%v` shows it."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{name}:{_go_shown(value[name])}" for name in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go_shown, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else "<nil>" if value is None else str(value)


def _map_misfits(value: dict[str, Any], schema: Schema, path: str) -> list[str]:
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("additionalProperties") is True
    found: list[str] = []
    for name, item in value.items():
        below = child(schema, name)
        if below is not None:
            found += misfits(item, below, f"{path}.{name}")
        elif not is_open:
            found.append(f"{path}.{name}: field not declared in schema")
    return found


def _list_misfits(value: list[Any], schema: Schema, path: str) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    for at, item in enumerate(value):
        element = next(iter(_children([item], schema)), "")  # "" where lists are whole, or without the keys
        shown = _dotted((element,)) if element else f"[{at}]"
        if element in seen:
            found.append(f"{path}: duplicate entries for key {shown}")
        seen |= {element} if element else set()
        found += misfits(item, schema.get("items"), path + shown)
    return found
