"""sprig's functions, against what Masterminds/sprig v3.3.0 answered through expr v1.17.8 (Go 1.26.8, TZ=UTC).

tests/vectors/sprig.jsonl.gz has a call a line: function, arguments, and the result with its Go type, its
JSON and its %v, or the error. Values carry their Go type where JSON has none: ``{"int": "5"}``,
``{"float": "NaN"}``, ``{"strings": […]}``, ``{"hex": …}`` for text that is no UTF-8.
tests/vectors/sprig_functions.jsonl has the signature of each of the 209 functions.
"""

from __future__ import annotations

import gzip
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig import FUNCTIONS, GoType, Sources, call
from chalicelib.core.expressions.sprig.functions import NilMap
from chalicelib.core.expressions.sprig.lists import Lists
from chalicelib.core.expressions.sprig.versions import Version, parse_version
from chalicelib.core.expressions.times import Duration, Location, Month, Time, load_location
from chalicelib.core.expressions.values import (
    Int64,
    Ints,
    NilList,
    NilStrings,
    StringMap,
    Strings,
    Uint8,
    format_value,
    go_type,
    marshal,
    printable,
    text,
    utf8,
)

VECTORS = Path(__file__).parents[2] / "vectors"
NOW = Time(1_750_000_000, 500_000_000)


def sources(seed: int = 7) -> Sources:
    return Sources(now=lambda: NOW, random=random.Random(seed))


def run(name: str, *arguments: Any) -> Any:
    return call(FUNCTIONS[name], arguments, sources())


def signatures() -> Iterator[dict[str, Any]]:
    with (VECTORS / "sprig_functions.jsonl").open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def recorded() -> Iterator[dict[str, Any]]:
    with gzip.open(VECTORS / "sprig.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def value_of(described: Any) -> Any:
    """The Go value that a case describes."""
    if not isinstance(described, dict):
        return described
    ((kind, content),) = described.items()
    match kind:
        case "int":
            return int(content)
        case "int64":
            return Int64(content)
        case "uint8":
            return Uint8(content)
        case "float":
            return float(content)
        case "hex":
            return text(bytes.fromhex(content))
        case "bytes":
            return bytes.fromhex(content)
        case "list":
            return [value_of(item) for item in content]
        case "lists":
            return Lists(value_of(item) for item in content)
        case "map":
            return {key: value_of(item) for key, item in content.items()}
        case "strings":
            return Strings(value_of(item) for item in content)
        case "ints":
            return Ints(int(item) for item in content)
        case "stringmap":
            return StringMap({key: value_of(item) for key, item in content.items()})
        case "nil":
            return NilStrings() if content == "[]string" else NilList()
        case "time" if len(content) == 3:
            return Time(int(content[0]), int(content[1]), load_location(content[2]))
        case "duration":
            return Duration(int(content))
        case "month":
            return Month(int(content))
        case "location":
            return load_location(content)
        case "version":
            return parse_version(content)
    raise AssertionError(described)


def described(value: Any) -> Any:
    """The value as a case would describe it, floats by their own text."""
    match value:
        case None | bool():
            return value
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                return {"hex": utf8(value).hex()}
            return value
        case Int64() | Uint8():
            return {go_type(value): str(int(value))}
        case int():
            return {"int": str(value)}
        case float():
            return {"float": repr(value)}
        case bytes():
            return {"bytes": value.hex()}
        case NilList() | NilStrings():
            return {"nil": go_type(value)}
        case Lists():
            return {"lists": [described(item) for item in value]}
        case Strings():
            return {"strings": [described(item) for item in value]}
        case Ints():
            return {"ints": [str(item) for item in value]}
        case list():
            return {"list": [described(item) for item in value]}
        case StringMap():
            return {"stringmap": {key: described(item) for key, item in value.items()}}
        case dict():
            return {"map": {printable(key): described(item) for key, item in value.items()}}
        case Time():
            zone = value.zone()
            return {"time": [str(value.unix_seconds), str(value.nanosecond), zone.name, zone.offset]}
        case Duration():
            return {"duration": str(value.nanoseconds)}
        case Month():
            return {"month": str(value.number)}
        case Location():
            return {"location": value.name}
        case Version():
            return {"version": value.original}
    raise AssertionError(value)


def normal(description: Any) -> Any:
    """A description with its floats as Python writes them."""
    if isinstance(description, list):
        return [normal(item) for item in description]
    if isinstance(description, dict):
        if "float" in description and isinstance(description["float"], str):
            return {"float": repr(float(description["float"]))}
        return {key: normal(item) for key, item in description.items()}
    return description


def difference(case: dict[str, Any]) -> str:
    """What our answer to a recorded call has different, "" when nothing."""
    arguments = [value_of(argument) for argument in case["args"]]
    try:
        result = call(FUNCTIONS[case["function"]], arguments, sources())
    except FunctionError as error:
        ours: dict[str, Any] = {"error": described(error.message)}
        wanted: dict[str, Any] = {"error": case.get("error", case.get("result"))}
    else:
        ours = {"result": normal(described(result)), "gotype": go_type(result)}
        wanted = {"result": normal(case.get("result", case.get("error"))), "gotype": case.get("gotype")}
        if case.get("unordered"):
            for answer in (ours, wanted):
                answer["result"] = sorted(map(repr, *answer["result"].values())) if answer["result"] else None
        else:
            if "text" in case and not isinstance(result, float):
                ours["text"], wanted["text"] = described(format_value(result)), case["text"]
            if "json" in case and not isinstance(result, NilMap):
                ours["json"], wanted["json"] = marshal(result), case["json"]
    if "after" in case:
        ours["after"], wanted["after"] = normal(described(arguments[0])), normal(case["after"])
    return "" if ours == wanted else f"{case['function']}{case['args']}: {ours}, Go {wanted}"


def test_recorded_calls_answer_as_sprig_does() -> None:
    assert [found for found in map(difference, recorded()) if found] == []
