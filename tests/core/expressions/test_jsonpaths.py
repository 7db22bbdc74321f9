"""The `jsonpath` function, against what evilmonkeyinc/jsonpath v0.8.1 answered, called as Argo calls it (Go 1.26.8).

tests/vectors/jsonpath.jsonl.gz has a call a line: document and path, and the result with its Go type and JSON,
or the error. Paths are of every form the library knows, and the same with characters dropped, put in, replaced
and repeated.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError
from chalicelib.core.expressions.jsonpaths import jsonpath
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import go_type, marshal, text

VECTORS = Path(__file__).parents[2] / "vectors"


def recorded() -> Iterator[dict[str, Any]]:
    with gzip.open(VECTORS / "jsonpath.jsonl.gz", "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def difference(case: dict[str, Any]) -> str:
    """What our answer to a recorded call has different, "" when nothing."""
    try:
        result = jsonpath(*case["args"])
    except FunctionError as error:
        ours: dict[str, Any] = {"error": error.message}
    else:
        ours = {"gotype": go_type(result)}
        try:
            ours["json"] = marshal(result)
        except FunctionError:
            ours["json"] = None
    wanted: dict[str, Any] = {"gotype": case.get("gotype"), "json": case.get("json")}
    if "error" in case:
        error_text = case["error"]
        wanted = {
            "error": error_text if isinstance(error_text, str) else text(bytes.fromhex(error_text["hex"]))
        }
    return "" if ours == wanted else f"{case['args'][1]} in {case['args'][0]}: {ours}, Go {wanted}"


def outcome(document: str, path: str) -> Any:
    """What a path finds, or the error."""
    try:
        return expressions.compile("jsonpath(payload.document, payload.path)").evaluate(
            {"payload": {"document": document, "path": path}}, functions="metadata"
        )
    except ExpressionError as error:
        return error


def test_recorded_paths_find_what_the_library_finds() -> None:
    assert [found for found in map(difference, recorded()) if found] == []


def test_a_missing_key_is_named() -> None:
    with pytest.raises(FunctionError, match=r"^key: invalid token key 'y' not found$"):
        jsonpath('{"x": "v"}', "$.y")


def test_a_document_that_is_no_json_is_refused_in_gos_words() -> None:
    with pytest.raises(FunctionError, match=r"^invalid character 'o' in literal null \(expecting 'u'\)$"):
        jsonpath("notjson", "$.x")


@pytest.mark.parametrize(
    "path",
    [
        "$..*..*..*..*..*",
        "$" + "..*" * 3000,
        "$[?(" + "+-" * 2000 + ")]",
        "$[?(" + "!" * 4000 + "1)]",
        "$[?(" + "(" * 4000 + "1" + ")" * 4000 + ")]",
        "$[?(" + "1+" * 4000 + "1)]",
        "$" + ".a" * 20_000,
        "$" + "[0]" * 3000,
        "$[" + "0," * 4000 + "0]",
        "$" + "[?(@" * 2000,
    ],
)
def test_no_path_runs_without_end(path: str) -> None:
    document = json.dumps([[{"a": [[1, 2], [3, {"b": [4] * 20}]] * 5}] * 5] * 5)
    assert isinstance(outcome(document, path), list | ExpressionError)


def test_a_document_may_nest_deeper_than_python_usually_recurses() -> None:
    document = "[" * 9000 + "]" * 9000
    found = expressions.compile("jsonpath(payload, '$..a')").evaluate(
        {"payload": document}, functions="metadata"
    )
    assert found == []


PIECES = st.sampled_from(
    (
        "$", "@", ".", "..", "*", "[", "]", "a", "'a'", "(", ")", "?(", ":", ",", "0", "-1", "length", "@.a",
        "==", "<", "!", "&&", "||", "=~", " in ", " not in ", "+", "-", "**", "%", "/", '"', "\\", "{}", "null",
    )
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(
    document=st.sampled_from(['{"a": [1, {"a": "x"}], "b": null}', "[[1], [2, [3]]]", "5", '"s"', "{"]),
    path=st.one_of(
        st.lists(PIECES, max_size=14).map(lambda pieces: "$" + "".join(pieces)), st.text(max_size=20)
    ),
)
def test_any_path_gives_a_value_or_our_error(document: str, path: str) -> None:
    found = outcome(document, path)
    assert isinstance(found, ExpressionError | bool) or go_type(found) != type(found).__name__
