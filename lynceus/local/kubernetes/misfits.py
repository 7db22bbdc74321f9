"""Values that do not fit their field, in the words of Go's decoders.

Built-in kinds and the metadata of every object are Go structs on the real server: a number for a text is refused
before anything is checked. Times and base64 read themselves there, so their words name no field.
Source: sigs.k8s.io/json, time.Parse and encoding/base64 of Go's standard library
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, Final

from lynceus.local.kubernetes.schemas import Schema, child
from lynceus.local.kubernetes.statuses import go_quoted

_GO_TYPES: Final = {
    "string": "string",
    "integer": "int64",
    "boolean": "bool",
    "int32": "int32",
    "byte": "[]uint8",
}
_FOUND: Final = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_SCALARS: Final[dict[str, tuple[type, ...]]] = {"string": (str,), "integer": (int,), "boolean": (bool,)}


def fill_nulls(value: Any, schema: Schema) -> None:
    """Make nulls in maps and lists of text what Go makes them, empty text, in place."""
    each = schema.get("additionalProperties") or schema.get("items") or {}
    of_text = isinstance(each, dict) and each.get("type") == "string"
    if isinstance(value, dict):
        if of_text and None in value.values():
            value.update({name: "" for name, item in value.items() if item is None})
        for name, item in value.items():
            if isinstance(item, (dict, list)) and (below := child(schema, name)) is not None:
                fill_nulls(item, below)
    elif isinstance(value, list):
        if of_text:
            value[:] = ["" if item is None else item for item in value]
            return
        for item in value:
            fill_nulls(item, each)


def decoding_error(value: Any, schema: Schema, *, struct: str, path: str = "") -> str:
    """Go's words for the first value that does not fit its field, "" when all do."""
    expected = schema.get("type")
    if value is None or expected is None:
        return ""
    if expected == "object":
        if not isinstance(value, dict):
            return _cannot(go_type_of(value), struct, path, schema)
        struct = schema.get("x-go-type", struct).rpartition(".")[2]
        for name, item in value.items():
            below = child(schema, name)
            # A map's entries are called by the map's field.
            where = path if "additionalProperties" in schema else f"{path}.{name}".lstrip(".")
            if below is not None and (error := decoding_error(item, below, struct=struct, path=where)):
                return error
        return ""
    if expected == "array":
        if not isinstance(value, list):
            return _cannot(go_type_of(value), struct, path, schema)
        errors = (decoding_error(item, schema.get("items") or {}, struct=struct, path=path) for item in value)
        return next(filter(None, errors), "")
    return _scalar_error(value, schema, struct, path)


def _scalar_error(value: Any, schema: Schema, struct: str, path: str) -> str:
    expected, form = schema["type"], schema.get("format")
    right = isinstance(value, _SCALARS[expected]) and (expected == "boolean" or not isinstance(value, bool))
    if form in _LAYOUTS:  # these types read themselves, and do not know where they stand
        if not right:
            return f"json: cannot unmarshal {go_type_of(value)} into Go value of type string"
        return "" if form == "date-time" and not value else _time_error(value, _LAYOUTS[form])
    if right and form == "byte":
        at = _base64_error(value)
        return "" if at is None else f"illegal base64 data at input byte {at}"
    if expected == "integer" and isinstance(value, (int, float)) and not isinstance(value, bool):
        limit = 1 << (31 if form == "int32" else 63)
        if not right or not -limit <= value < limit:
            return _cannot(f"number {value}", struct, path, schema)
    return "" if right else _cannot(go_type_of(value), struct, path, schema)


def go_type_of(value: Any) -> str:
    """What Go's JSON decoder calls a value it found."""
    return _FOUND.get(type(value), "value")


def _cannot(found: str, struct: str, path: str, schema: Schema) -> str:
    where = f"struct field {struct}.{path}" if path else "value"
    return f"json: cannot unmarshal {found} into Go {where} of type {_go_type(schema)}"


def _go_type(schema: Schema) -> str:
    if "additionalProperties" in schema:
        return f"map[string]{_go_type(schema['additionalProperties'])}"
    if schema.get("type") == "array":
        return f"[]{_go_type(schema.get('items') or {})}"
    if "x-go-type" in schema:
        name = str(schema["x-go-type"])
        return name if "." in name else f"v1.{name}"
    scalar = _GO_TYPES.get(str(schema.get("format"))) or _GO_TYPES.get(str(schema.get("type")))
    return scalar or "interface {}"


# format → its layout, as Go writes them
_LAYOUTS: Final = {"date-time": "2006-01-02T15:04:05Z07:00", "micro-time": "2006-01-02T15:04:05.000000Z07:00"}
_PARTS: Final = re.compile(r"2006|01|02|15|04|05|\.000000|Z07:00|.")
# part of a layout → what it reads; any other part reads itself
_READS: Final = {
    "2006": "[0-9]{4}",
    "01": "[0-9]{2}",
    "02": "[0-9]{2}",
    "15": "[0-9]{2}",
    "04": "[0-9]{2}",
    "05": r"[0-9]{2}(\.[0-9]+)?",
    ".000000": "",  # read with the seconds
    "Z07:00": "Z|[-+][0-9]{2}:[0-9]{2}",
}
_RANGES: Final = (
    ("01", 1, 12, "month"),
    ("15", 0, 23, "hour"),
    ("04", 0, 59, "minute"),
    ("05", 0, 59, "second"),
)


def _time_error(text: str, layout: str) -> str:
    """Go's words for a text that is no time of the layout, "" for one that is. Source: time.Parse"""
    rest, found = text, {}
    for part in _PARTS.findall(layout):
        read = re.match(_READS.get(part, re.escape(part)), rest)
        if read is None:
            shown = f"cannot parse {go_quoted(rest)} as {go_quoted(part)}"
            return f"parsing time {go_quoted(text)} as {go_quoted(layout)}: {shown}"
        found[part], rest = read[0], rest[read.end() :]
    problem = f"extra text: {go_quoted(rest)}" if rest else _out_of_range(found)
    return f"parsing time {go_quoted(text)}: {problem}" if problem else ""


def _out_of_range(found: dict[str, str]) -> str:
    for part, low, high, name in _RANGES:
        if not low <= int(found[part][:2]) <= high:
            return f"{name} out of range"
    try:
        date(int(found["2006"]) or 4, int(found["01"]), int(found["02"]))  # Go's year 0 is a leap year, too
    except ValueError:
        return "day out of range"
    return ""


def _base64_error(text: str) -> int | None:
    """Where Go's decoder stops in a text that is no base64, None for one that is."""
    characters = [(at, each) for at, each in enumerate(text) if each not in "\r\n"]
    for index, (at, each) in enumerate(characters):
        in_group = index % 4
        if each == "=":
            if in_group < 2:
                return at
            padding = characters[index : index - in_group + 4]
            if len(padding) < 4 - in_group:
                return len(text)
            if any(other != "=" for _, other in padding):
                return at
            rest = characters[index - in_group + 4 :]
            return rest[0][0] if rest else None
        if not (each.isascii() and (each.isalnum() or each in "+/")):
            return at
    left = len(characters) % 4
    return characters[-left][0] if left else None
