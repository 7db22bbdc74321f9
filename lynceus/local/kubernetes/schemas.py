"""Structural schemas at work: drop unknown fields, fill defaults, validate, with the server's messages.

A schema is the `openAPIV3Schema` of a CRD as it stands, or one derived from `kinds`. The order of the walks is the
server's: nulls that no field allows go first, then unknown fields, then defaults are filled, then the value is
checked. Cross-field rules run only when no finding blocks them.
Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema and k8s.io/kube-openapi/pkg/validation.
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from lynceus.local.kubernetes.statuses import (
    Cause,
    go_quoted,
    go_value,
    invalid_unshown,
    invalid_value,
    required,
    too_long,
    too_many,
    unchecked,
    unsupported,
    wrong_type,
)

Schema = dict[str, Any]

_OPEN: Final = "x-kubernetes-preserve-unknown-fields"
_ROOT_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata"})


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def child(schema: Schema, name: str) -> Schema | None:
    """The schema of a field; None where the parent says nothing about it."""
    found = (schema.get("properties") or {}).get(name)
    if found is None:
        found = schema.get("additionalProperties")
    return found if isinstance(found, dict) else None


def prune(value: Any, schema: Schema, *, path: str = "") -> list[str]:
    """Drop the fields the schema does not know, in place, and return their paths, sorted.

    At the root, apiVersion, kind and metadata are everybody's and stay as they are.
    """
    dropped: list[str] = []
    if path or not isinstance(value, dict):
        _prune(value, schema, path, dropped)
    else:
        kept = {name: value.pop(name) for name in list(value) if name in _ROOT_FIELDS}
        _prune(value, schema, path, dropped)
        rest = dict(value)
        value.clear()
        value.update(kept | rest)
    return sorted(dropped)


def _prune(value: Any, schema: Schema, path: str, dropped: list[str]) -> None:
    if isinstance(value, dict):
        is_open = schema.get(_OPEN) or schema.get("additionalProperties") is True
        for name in list(value):
            below = child(schema, name)
            if below is not None:
                _prune(value[name], below, _join(path, name), dropped)
            elif not is_open and not (schema.get("x-kubernetes-embedded-resource") and name in _ROOT_FIELDS):
                del value[name]
                dropped.append(_join(path, name))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for at, item in enumerate(value):
            _prune(item, schema["items"], f"{path}[{at}]", dropped)


def fill_defaults(value: Any, schema: Schema) -> None:
    """Drop nulls that the schema does not allow and fill in defaults, in place."""
    if isinstance(value, dict):
        properties: dict[str, Any] = schema.get("properties") or {}
        for name in [name for name, item in value.items() if item is None]:
            below = child(schema, name)
            if below is not None and not below.get("nullable"):
                del value[name]
        for name, below in properties.items():
            if name not in value and isinstance(below, dict) and "default" in below:
                value[name] = copy.deepcopy(below["default"])
        for name, item in value.items():
            if isinstance(item, (dict, list)) and (below := child(schema, name)) is not None:
                fill_defaults(item, below)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            fill_defaults(item, schema["items"])


def validate(value: Any, schema: Schema, *, rules: bool) -> list[Cause]:
    """What is wrong with the value; `rules` says whether the schema holds cross-field rules at all."""
    causes: list[Cause] = []
    _validate(value, schema, "", causes)
    return causes if not rules else causes + check_rules(value, schema, causes)


def check_rules(value: Any, schema: Schema, earlier: list[Cause]) -> list[Cause]:
    """The broken cross-field rules, or the one cause that says they were not tried."""
    if any(cause.blocks for cause in earlier):
        return [unchecked()]
    found: list[Cause] = []
    _check_rules(value, schema, "", found)
    return found


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _validate(value: Any, schema: Schema, path: str, causes: list[Cause]) -> None:
    if value is None and schema.get("nullable"):
        return
    if not _has_type(value, schema, path, causes):
        return
    if isinstance(value, dict):
        _validate_object(value, schema, path, causes)
    elif isinstance(value, list):
        _validate_array(value, schema, path, causes)
    elif isinstance(value, str):
        _validate_string(value, schema, path, causes)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _validate_number(value, schema, path, causes)
    if "enum" in schema and value not in schema["enum"]:
        causes.append(unsupported(path, value, [str(choice) for choice in schema["enum"]]))
    _validate_combined(value, schema, path, causes)


def _has_type(value: Any, schema: Schema, path: str, causes: list[Cause]) -> bool:
    """False, with a cause, when the value has another type than the schema's."""
    expected = schema.get("type")
    found = _type_of(value)
    if schema.get("x-kubernetes-int-or-string"):
        if found in ("integer", "string"):
            return True
        causes.append(wrong_type(path, found, "integer,string"))
        return False
    if not expected or found == expected or (expected == "number" and found == "integer"):
        return True
    form = schema.get("format")
    if expected == "integer" and form and found not in ("string", "array"):
        # The server names the format here, and Go's own float as what it found.
        seen = "float64" if found == "number" else ""
        causes.append(wrong_type(path, seen, form))
        if found == "number":
            detail = f"Checked value must be of type integer with format {form} in {path}"
            causes.append(Cause("FieldValueInvalid", f'Invalid value: "": {detail}', "<nil>"))
        return False
    causes.append(wrong_type(path, found, expected))
    return False


def _validate_object(value: dict[str, Any], schema: Schema, path: str, causes: list[Cause]) -> None:
    causes.extend(required(_join(path, name)) for name in schema.get("required") or () if name not in value)
    limit = schema.get("maxProperties")
    if limit is not None and len(value) > limit:
        causes.append(too_many(path, len(value), limit))
    if len(value) < schema.get("minProperties", 0):
        detail = f"{path} in body should have at least {schema['minProperties']} properties"
        causes.append(invalid_value(path, len(value), detail))
    for name, item in value.items():
        below = child(schema, name)
        if below is not None and (path or name != "metadata"):
            _validate(item, below, _join(path, name), causes)


def _validate_array(value: list[Any], schema: Schema, path: str, causes: list[Cause]) -> None:
    limit = schema.get("maxItems")
    if limit is not None and len(value) > limit:
        causes.append(too_many(path, len(value), limit))
    if len(value) < schema.get("minItems", 0):
        detail = f"{path} in body should have at least {schema['minItems']} items"
        causes.append(invalid_value(path, len(value), detail))
    if isinstance(schema.get("items"), dict):
        for at, item in enumerate(value):
            _validate(item, schema["items"], f"{path}[{at}]", causes)
    _validate_list_type(value, schema, path, causes)


def _validate_list_type(value: list[Any], schema: Schema, path: str, causes: list[Cause]) -> None:
    """Sets and keyed lists hold each element once."""
    list_type = schema.get("x-kubernetes-list-type")
    if list_type not in ("set", "map"):
        return
    keys = schema.get("x-kubernetes-list-map-keys") or []
    seen = []
    for at, item in enumerate(value):
        identity = (
            {key: item.get(key) for key in keys} if list_type == "map" and isinstance(item, dict) else item
        )
        if identity in seen:
            causes.append(
                Cause("FieldValueDuplicate", f"Duplicate value: {_go_map(identity)}", f"{path}[{at}]")
            )
        seen.append(identity)


def _go_map(value: Any) -> str:
    return go_value(dict(sorted(value.items()))) if isinstance(value, dict) else go_value(value)


def _validate_string(value: str, schema: Schema, path: str, causes: list[Cause]) -> None:
    limit = schema.get("maxLength")
    if limit is not None and len(value) > limit:
        causes.append(too_long(path, limit))
    if len(value) < schema.get("minLength", 0):
        detail = f"{path} in body should be at least {schema['minLength']} chars long"
        causes.append(invalid_value(path, value, detail))
    pattern = schema.get("pattern")
    if pattern is not None and not _pattern(pattern).search(value):
        causes.append(invalid_value(path, value, f"{path} in body should match '{pattern}'"))
    form = schema.get("format")
    if form in _FORMATS and not _FORMATS[form](value):
        causes.append(
            invalid_value(path, value, f"{path} in body must be of type {form}: {go_quoted(value)}")
        )


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    # Go's $ is the very end, Python's also stands before a last line feed.
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", text))


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return "T" in value


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {"date-time": _is_time, "byte": _is_base64}


def _validate_number(value: float, schema: Schema, path: str, causes: list[Cause]) -> None:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    bound = " in body should be"
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        word = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        causes.append(invalid_value(path, value, f"{path}{bound} {word} {low}"))
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        word = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        causes.append(invalid_value(path, value, f"{path}{bound} {word} {high}"))
    if step and value % step:
        causes.append(invalid_value(path, value, f"{path}{bound} a multiple of {step}"))


def _passes(value: Any, schema: Schema, path: str) -> bool:
    found: list[Cause] = []
    _validate(value, schema, path, found)
    return not found


def _validate_combined(value: Any, schema: Schema, path: str, causes: list[Cause]) -> None:
    """allOf, anyOf, oneOf and not; int-or-string is settled by type already."""
    if schema.get("x-kubernetes-int-or-string"):
        return
    for below in schema.get("allOf") or ():
        _validate(value, below, path, causes)
    if "anyOf" in schema and not any(_passes(value, below, path) for below in schema["anyOf"]):
        causes.append(invalid_unshown(path, f"{go_quoted(path)} must validate at least one schema (anyOf)"))
    if "oneOf" in schema and sum(_passes(value, below, path) for below in schema["oneOf"]) != 1:
        causes.append(
            invalid_unshown(path, f"{go_quoted(path)} must validate one and only one schema (oneOf)")
        )
    if "not" in schema and _passes(value, schema["not"], path):
        causes.append(invalid_unshown(path, f"{go_quoted(path)} must not validate the schema (not)"))


# -- cross-field rules ---------------------------------------------------------------------------------------


def _at_most_one(*names: str) -> Callable[[Any], bool]:
    return lambda value: sum(name in value for name in names) <= 1


_TYPES_OF_TEMPLATE: Final = _at_most_one(
    "container", "script", "dag", "steps", "resource", "suspend", "containerSet", "data", "http", "plugin"
)


def _has_children(template: Any) -> bool:
    return "steps" in template or "dag" in template


# Argo's CRDs hold ten rules in CEL; each is known by its message, and its meaning is a line of Python.
# Source: https://github.com/argoproj/argo-workflows/tree/v4.1.2/manifests/base/crds/full
RULES: Final[dict[str, Callable[[Any], bool]]] = {
    "at most one artifact location can be specified": _at_most_one(
        "s3", "git", "http", "artifactory", "hdfs", "raw", "oss", "gcs", "azure", "plugin"
    ),
    "'resourcesDuration.*' metrics cannot be used in real-time gauges": lambda gauge: (
        not gauge.get("realtime") or "resourcesDuration." not in gauge.get("value", "")
    ),
    "only one of count or end can be defined": _at_most_one("count", "end"),
    "cannot use both 'depends' and 'dependencies'": _at_most_one("depends", "dependencies"),
    "cannot use 'continueOn' when using 'depends'": _at_most_one("depends", "continueOn"),
    "task name cannot begin with a digit when using 'depends' or 'dependencies'": lambda task: (
        not (("depends" in task or "dependencies" in task) and re.match("[0-9]", task.get("name", "")))
    ),
    "only one of manifest or manifestFrom can be specified": _at_most_one("manifest", "manifestFrom"),
    "template must have at most one template type": lambda templates: all(map(_TYPES_OF_TEMPLATE, templates)),
    "timeout cannot be applied to steps or dag templates": lambda templates: (
        not any(template.get("timeout") and _has_children(template) for template in templates)
    ),
    "activeDeadlineSeconds is only valid for leaf templates": lambda templates: (
        not any("activeDeadlineSeconds" in template and _has_children(template) for template in templates)
    ),
}

_has_rules: dict[int, tuple[Schema, bool]] = {}


def has_rules(schema: Schema) -> bool:
    """Whether a cross-field rule stands anywhere in the schema."""
    # Keyed by identity, holding the schema so that its id cannot be used again.
    if id(schema) not in _has_rules:
        _has_rules[id(schema)] = (schema, _search_rules(schema))
    return _has_rules[id(schema)][1]


def _search_rules(schema: Any) -> bool:
    if isinstance(schema, dict):
        return "x-kubernetes-validations" in schema or any(
            has_rules(below) if isinstance(below, dict) else _search_rules(below) for below in schema.values()
        )
    return isinstance(schema, list) and any(map(_search_rules, schema))


def _check_rules(value: Any, schema: Schema, path: str, causes: list[Cause]) -> None:
    if not has_rules(schema):
        return
    for rule in schema.get("x-kubernetes-validations") or ():
        holds = RULES.get(rule.get("message", ""))
        if holds is not None and not holds(value):
            causes.append(invalid_unshown(path, rule["message"]))
    if isinstance(value, dict):
        for name, item in value.items():
            below = child(schema, name)
            if below is not None:
                _check_rules(item, below, _join(path, name), causes)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for at, item in enumerate(value):
            _check_rules(item, schema["items"], f"{path}[{at}]", causes)
