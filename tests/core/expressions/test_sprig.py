"""sprig's functions, against what Masterminds/sprig v3.3.0 answered through expr v1.17.8 (Go 1.26.8, TZ=UTC).

tests/vectors/sprig.jsonl.gz has a call a line: function, arguments, and the result with its Go type, its
JSON and its %v, or the error. Values carry their Go type where JSON has none: ``{"int": "5"}``,
``{"float": "NaN"}``, ``{"strings": […]}``, ``{"hex": …}`` for text that is no UTF-8.
tests/vectors/sprig_functions.jsonl has the signature of each of the 209 functions.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig import FUNCTIONS, GoType, Sources, call
from chalicelib.core.expressions.sprig.functions import NilMap
from chalicelib.core.expressions.sprig.lists import Lists
from chalicelib.core.expressions.sprig.versions import METHODS, Version, parse_version
from chalicelib.core.expressions.times import Duration, Location, Month, Time, load_location
from chalicelib.core.expressions.values import (
    Int64,
    Ints,
    Meter,
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
    return Sources(now=lambda: NOW, random=random.Random(seed), meter=Meter(1_000_000))


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


def test_every_function_is_in_the_table_with_gos_signature() -> None:
    go = {
        signature["name"]: (
            tuple(name.removeprefix("[]") if last else name for name, last in _marked(signature)),
            signature["variadic"],
        )
        for signature in signatures()
    }
    ours = {
        name: (tuple(parameter.value for parameter in function.parameters), function.variadic)
        for name, function in FUNCTIONS.items()
    }
    assert len(go) == 209
    assert ours == go


def _marked(signature: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Each parameter with whether it is the variadic one."""
    last = len(signature["parameters"]) - 1
    for position, name in enumerate(signature["parameters"]):
        yield name, signature["variadic"] and position == last


def test_only_what_needs_the_network_or_makes_keys_is_refused() -> None:
    refused = {name for name, function in FUNCTIONS.items() if function.refused}
    assert refused == {
        "buildCustomCert",
        "genCA",
        "genCAWithKey",
        "genPrivateKey",
        "genSelfSignedCert",
        "genSelfSignedCertWithKey",
        "genSignedCert",
        "genSignedCertWithKey",
        "getHostByName",
    }


def test_a_refused_function_says_why() -> None:
    with pytest.raises(FunctionError, match=r"^sprig.getHostByName is not available: .*network"):
        run("getHostByName", "localhost")
    with pytest.raises(FunctionError, match=r"^sprig.genPrivateKey is not available: .*keys"):
        run("genPrivateKey", "rsa")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("repeat", (1_048_577, "x")),
        ("repeat", (2**62, "xy")),
        ("indent", (2**40, "x")),
        ("indent", (1000, "\n" * 2000)),
        ("nindent", (2**62, "x")),
        ("until", (1_000_001,)),
        ("until", (-(2**62),)),
        ("untilStep", (0, 2**62, 1)),
        ("seq", (2**62,)),
        ("seq", (0, 1, 2**62)),
        ("replace", ("", "x" * 1000, "y" * 2000)),
        ("replace", ("y", "x" * 1000, "y" * 2000)),
        ("wrapWith", (1, "x" * 10_000, "ab" * 1000)),
        ("join", ("x" * 10_000, Strings(["a"] * 1000))),
        ("concat", ([None] * 600_000, [None] * 600_000)),
        ("cat", ("x" * 600_000, "x" * 600_000)),
        ("quote", ("x" * 600_000, "x" * 600_000)),
        ("randAlpha", (2**40,)),
        ("randBytes", (2**40,)),
        ("regexReplaceAll", ("a", "a" * 2000, "x" * 1000)),
        ("mulf", (1e300, *[1e300] * 5000)),
        ("semver", ("1" * 5000,)),
    ],
)
def test_nothing_grows_beyond_its_bound(name: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(FunctionError):
        run(name, *arguments)


def test_a_list_that_is_small_in_memory_and_endless_on_paper_is_not_printed() -> None:
    value: list[Any] = ["x"]
    for _ in range(64):
        value = [value, value]
    for name in ("toString", "toRawJson", "deepCopy"):
        with pytest.raises(FunctionError, match="too many steps"):
            run(name, value)


@pytest.mark.parametrize(
    "expression",
    [
        "map(payload, sprig.until(1000000))",
        "map(payload, sprig.snakecase(sprig.repeat(1000000, 'aB')))",
        "map(payload, sprig.regexReplaceAll('(a|b)*c|a', sprig.repeat(1000000, 'a'), 'b'))",
        "map(payload, sprig.toJson(payload))",
        "map(payload, sprig.bcrypt('x'))",
        "map(payload, sprig.mulf(1e308, 1e308, 1e308, 1e-308, 1e-308))",
        "map(payload, jsonpath(sprig.toJson(payload), '$..*'))",
        "map(payload, toJson(payload))",
    ],
)
def test_many_calls_share_the_steps_of_one_evaluation(expression: str) -> None:
    with pytest.raises(ExpressionError, match=r"too many steps|would"):
        expressions.compile(expression).evaluate(
            {"payload": [1.0] * 10_000}, functions="metadata", steps=200_000
        )


def test_a_value_nested_beyond_pythons_stack_is_an_error_of_ours() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ExpressionError, match="nest too deep"):
        expressions.compile("sprig.deepCopy(payload)").evaluate({"payload": value}, functions="metadata")


def test_a_value_may_nest_deeper_than_python_usually_recurses() -> None:
    value: list[Any] = []
    for _ in range(3000):
        value = [value]
    result = expressions.compile("sprig.toJson(sprig.deepCopy(payload))").evaluate(
        {"payload": value}, functions="metadata"
    )
    assert result == "[" * 3001 + "]" * 3001


@pytest.mark.parametrize("name", ["set", "merge", "mergeOverwrite", "mustMerge"])
def test_a_map_cannot_be_put_into_itself(name: str) -> None:
    members: dict[str, Any] = {"list": []}
    arguments = ("self", [members]) if name == "set" else ({"self": {"deep": members}},)
    with pytest.raises(FunctionError, match="a map cannot be put into itself"):
        run(name, members, *arguments)


def test_a_map_can_be_merged_with_itself() -> None:
    members = {"a": {"b": 1.0}}
    assert run("merge", members, members) == {"a": {"b": 1.0}}


def test_what_depends_on_the_clock_takes_it_from_its_sources() -> None:
    assert run("now") == NOW
    assert run("date", "2006-01-02 15:04:05", None) == "2025-06-15 15:06:40"
    assert run("htmlDate", "no date") == "2025-06-15"
    assert run("dateInZone", "15:04", 1.5, "Europe/Zurich") == "17:06"
    assert run("ago", 1_750_000_000 - 95) == "1m36s"
    assert run("ago", "no date") == "0s"
    assert run("durationRound", Time(1_750_000_000 - 7300)) == "2h"


def test_what_is_random_is_the_same_for_the_same_source() -> None:
    for name, arguments in (
        ("randAlphaNum", (12,)),
        ("randBytes", (8,)),
        ("uuidv4", ()),
        ("shuffle", ("abcdef",)),
        ("randInt", (0, 1000)),
        ("encryptAES", ("key", "text")),
    ):
        assert run(name, *arguments) == run(name, *arguments)
        other = call(FUNCTIONS[name], arguments, sources(seed=8))
        assert run(name, *arguments) != other


def test_random_texts_have_their_alphabet_and_length() -> None:
    assert len(run("randAlpha", 500)) == 500
    assert run("randAlpha", 500).isalpha()
    assert run("randNumeric", 500).isdigit()
    assert run("randAlphaNum", 500).isalnum()
    assert all(" " <= character <= "~" for character in run("randAscii", 500))
    assert run("randAlpha", -5) == ""
    assert run("uuidv4")[14] == "4"
    assert sorted(run("shuffle", "héllo")) == sorted("héllo")
    assert {run("randInt", 5, 6)} == {5}
    with pytest.raises(FunctionError, match="invalid argument to Intn"):
        run("randInt", 5, 5)


def test_what_was_encrypted_is_decrypted_with_the_same_password_only() -> None:
    secret = run("encryptAES", "a password", "héllo ☃")
    assert run("decryptAES", "a password", secret) == "héllo ☃"
    # sprig's own documentation: encrypted by Go.
    assert run("decryptAES", "secretkey", "30tEfhuJSVRhpG97XCuWgz2okj7L8vQ1s6V9zVUPeDQ=") == "plaintext"


@pytest.mark.slow
def test_bcrypt_hashes_verify() -> None:
    import bcrypt

    user, _, hashed = run("htpasswd", "user", "pässword").partition(":")
    assert user == "user"
    assert hashed.startswith("$2a$10$")
    assert bcrypt.checkpw("pässword".encode(), hashed.encode())


def test_a_version_can_be_asked_for_its_parts() -> None:
    version = run("semver", "v1.2.3-rc.1+build")
    assert (version.major, version.minor, version.patch) == (1, 2, 3)
    assert str(version) == "1.2.3-rc.1+build"
    assert METHODS["Major"].call(version) == 1
    assert version.methods["Compare"].call(version, parse_version("1.2.3")) == -1
    with pytest.raises(FunctionError, match="nil pointer"):
        METHODS["LessThan"].call(version, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
go_values = st.one_of(
    json_values,
    st.integers(-10, 40),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.binary(max_size=10),
    st.lists(st.text(max_size=5), max_size=4).map(Strings),
    st.integers(-(2**63), 2**63 - 1).map(Duration),
    st.integers(-(2**55), 2**55).map(Time),
    st.binary(max_size=8).map(text),
    st.sampled_from(
        ["1.2.3", ">=1.x || ~2", "[a-z]+(b)?", "$1", "2006-01-02", "http://u:p@h/a?b#c", "1h", "0x1f"]
    ),
)
CHEAP = sorted(set(FUNCTIONS) - {"bcrypt", "htpasswd", "derivePassword"})


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(CHEAP), arguments=st.lists(go_values, max_size=5))
def test_any_arguments_give_a_value_or_our_error(name: str, arguments: list[Any]) -> None:
    try:
        result = run(name, *arguments)
    except FunctionError:
        return
    assert go_type(result) != type(result).__name__ or result is None or isinstance(result, bool | int)


_BY_TYPE = {
    GoType.STRING: st.text(max_size=30)
    | st.sampled_from(["a(b*)", "Foo_bar-Baz", "1.2", "YWJj", "{}", "/a/b"]),
    GoType.INT: st.integers(-30, 30) | st.sampled_from([2**63 - 1, -(2**63)]),
    GoType.BOOL: st.booleans(),
    GoType.FLOAT64: st.floats(),
    GoType.MAP: st.dictionaries(st.text(max_size=4), json_values, max_size=4),
    GoType.TIME: st.integers(-(2**55), 2**55).map(Time),
}


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(CHEAP), data=st.data())
def test_arguments_of_the_right_types_give_a_value_or_our_error(name: str, data: st.DataObject) -> None:
    function = FUNCTIONS[name]
    types = list(function.parameters)
    if function.variadic:
        types += [types[-1]] * data.draw(st.integers(-1, 3))
    arguments = [data.draw(_BY_TYPE.get(type_, go_values)) for type_ in types]
    try:
        result = run(name, *arguments)
    except FunctionError:
        return
    assert described(result) is not Ellipsis
