"""Bodies to JSON values by Go's rules; the table follows what encoding/json answers to the same bytes."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core import payloads
from chalicelib.core.errors import BadRequest
from chalicelib.core.payloads import EXACT_LIMIT, MAX_DEPTH, decode

VALUES: list[tuple[bytes, Any]] = [
    (b"", None),
    (b" \t\r\n ", None),
    (b"null", None),
    (b"nullx", None),
    (b"true", True),
    (b"false,", False),
    (b"{}garbage", {}),
    (b"{} {}", {}),
    (b"[]]", []),
    (b"5 x", 5.0),
    (b"5x", 5.0),
    (b"01", 0.0),
    (b"-0", -0.0),
    (b'"abc"x', "abc"),
    (b' \n{"a":[1,2.5,-3e2]}', {"a": [1.0, 2.5, -300.0]}),
    (b'{"a":1,"b":0,"a":2}', {"a": 2.0, "b": 0.0}),
    (b'["\\u0041\\n\\/\\"\\\\"]', ['A\n/"\\']),
    (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
    (b'["\\ud800"]', ["\ufffd"]),
    (b'["\\ud800A\\udc00"]', ["\ufffdA\ufffd"]),
    (b'["\\ud83d\\ud83d\\ude00"]', ["\ufffd\U0001f600"]),
    (b'["\\\\ud800"]', ["\\ud800"]),
    (b'{"\\udfff":1}', {"\ufffd": 1.0}),
    (b'["\xff"]', ["\ufffd"]),
    (b'["\xe2\x82A"]', ["\ufffd\ufffdA"]),
    (b'["\xed\xa0\x80"]', ["\ufffd\ufffd\ufffd"]),
    (b'["\xc0\xaf"]', ["\ufffd\ufffd"]),
    ('["\u20ac \U0001f600"]'.encode(), ["\u20ac \U0001f600"]),
    (b"[12345678901234567890]", [12345678901234567890.0]),
    (b"[1e-400]", [0.0]),
    (b'["1e400"]', ["1e400"]),
    (b'["' + b"7" * 400 + b'"]', ["7" * 400]),
]

REFUSED: list[tuple[bytes, str]] = [
    (b"{", "unexpected EOF"),
    (b"[", "unexpected EOF"),
    (b"tru", "unexpected EOF"),
    (b"1.", "unexpected EOF"),
    (b"1e", "unexpected EOF"),
    (b"1e+", "unexpected EOF"),
    (b"-", "unexpected EOF"),
    (b'"a', "unexpected EOF"),
    (b'"\\', "unexpected EOF"),
    (b'"\\u00', "unexpected EOF"),
    (b'{"a"', "unexpected EOF"),
    (b'{"a":', "unexpected EOF"),
    (b"[1,", "unexpected EOF"),
    (b"payload=%7B%7D", "invalid character 'p' looking for beginning of value"),
    (b"a: b", "invalid character 'a' looking for beginning of value"),
    (b"<xml/>", "invalid character '<' looking for beginning of value"),
    (b"NaN", "invalid character 'N' looking for beginning of value"),
    (b"[NaN]", "invalid character 'N' looking for beginning of value"),
    (b"[Infinity]", "invalid character 'I' looking for beginning of value"),
    (b"[-Infinity]", "invalid character 'I' in numeric literal"),
    (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
    (b"\xff\xfe{\x00}\x00", "invalid character 'ÿ' looking for beginning of value"),
    (b"\x00", "invalid character '\\x00' looking for beginning of value"),
    (b"\xa0", "invalid character '\\u00a0' looking for beginning of value"),
    (b"\\", "invalid character '\\\\' looking for beginning of value"),
    (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    (b"{1:2}", "invalid character '1' looking for beginning of object key string"),
    (b"[1,]", "invalid character ']' looking for beginning of value"),
    (b"[,1]", "invalid character ',' looking for beginning of value"),
    (b'{"a" 1}', "invalid character '1' after object key"),
    (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
    (b"[1 2]", "invalid character '2' after array element"),
    (b"[01]", "invalid character '1' after array element"),
    (b"[1.x]", "invalid character 'x' after decimal point in numeric literal"),
    (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
    (b"[1ex]", "invalid character 'x' in exponent of numeric literal"),
    (b"[1e-]", "invalid character ']' in exponent of numeric literal"),
    (b"[-x]", "invalid character 'x' in numeric literal"),
    (b"[trux]", "invalid character 'x' in literal true (expecting 'e')"),
    (b"[nil]", "invalid character 'i' in literal null (expecting 'u')"),
    (b"fx", "invalid character 'x' in literal false (expecting 'a')"),
    (b'["\n"]', "invalid character '\\n' in string literal"),
    (b'["\x01"]', "invalid character '\\x01' in string literal"),
    (b'["\\x"]', "invalid character 'x' in string escape code"),
    (b'["\\u12g4"]', "invalid character 'g' in \\u hexadecimal character escape"),
    (b"[" * (MAX_DEPTH + 1), "invalid character '[' exceeded max depth"),
    (b'{"a":' * (MAX_DEPTH + 1), "invalid character '{' exceeded max depth"),
    # The syntax is looked at first, numbers only in what is JSON.
    (b"[1e400,}", "invalid character '}' looking for beginning of value"),
]


def _same(left: Any, right: Any) -> bool:
    return left == right and repr(left) == repr(right)


@pytest.mark.parametrize("body, value", VALUES, ids=[repr(body[:30]) for body, _ in VALUES])
def test_a_body_gives_the_value_that_go_reads(body: bytes, value: Any) -> None:
    assert _same(decode(body), value)
    assert _same(payloads._read(body), value)


@pytest.mark.parametrize("body, message", REFUSED, ids=[repr(body[:30]) for body, _ in REFUSED])
def test_what_is_not_json_is_refused_in_gos_words(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode(body)
    assert refused.value.message == message


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 310, "[1," + "2" * 400 + "]"])
def test_a_number_beyond_float64_is_refused_in_argos_words(number: str) -> None:
    with pytest.raises(BadRequest) as refused:
        decode(number.encode())
    assert refused.value.message.startswith(
        "failed to create workflow template expression environment: json: cannot unmarshal number "
    )
    assert refused.value.message.endswith(" into Go value of type float64")
    assert len(refused.value.message) < 300


def test_the_first_number_that_is_too_large_is_named() -> None:
    with pytest.raises(BadRequest, match="number 1e401 into"):
        decode(b'{"a":[1,1e401],"b":1e402}')


def test_a_long_broken_body_is_refused_without_looking_for_gos_words() -> None:
    with pytest.raises(BadRequest, match=r"^invalid JSON: .* column 4 "):
        decode(b"[" + b"0,," + b" " * EXACT_LIMIT)
    with pytest.raises(BadRequest, match=r"^invalid JSON: "):
        decode(b'["' + b"x" * EXACT_LIMIT)


def test_a_long_body_that_is_deep_is_refused_before_it_costs_seconds() -> None:
    with pytest.raises(BadRequest, match=r"^invalid JSON: maximum recursion depth"):
        decode(b"[" * MAX_DEPTH + b"0" + b"]" * MAX_DEPTH + b" " * EXACT_LIMIT)


@pytest.mark.parametrize("depth", [500, 5000, MAX_DEPTH])
def test_nesting_is_read_down_to_gos_depth(depth: int) -> None:
    value = decode(b"[" * depth + b"]" * depth)
    levels = 0
    while value:
        (value,) = value
        levels += 1
    assert levels == depth - 1


def test_the_depth_is_gos_even_where_python_would_go_deeper() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(MAX_DEPTH * 3)
    try:
        with pytest.raises(BadRequest, match="exceeded max depth"):
            decode(b'["]",' * (MAX_DEPTH + 1) + b"0" + b"]" * (MAX_DEPTH + 1))
    finally:
        sys.setrecursionlimit(limit)


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(decode(b'[{},"[[[",' + b"{}," * MAX_DEPTH + b"{}]")) == MAX_DEPTH + 3


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _floats(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | list | dict):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, list):
        return [_floats(item) for item in value]
    return {key: _floats(item) for key, item in value.items()}


@given(JSON, st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_json_writes_is_read_back_with_floats(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert _same(decode(body), _floats(value))


_PIECES = r"""{ } [ ] , : " "a" 1 - . e 0 true nul \ \u d83d \ude00 NaN 1e999 é""".encode().split()
_FRAGMENTS = st.sampled_from([*_PIECES, b" ", b"\n", b"\x00", b"\xff", b"\xe2\x82"])


@given(st.binary(max_size=40) | st.lists(_FRAGMENTS, max_size=15).map(b"".join))
@settings(max_examples=600, deadline=None)
def test_any_bytes_give_a_value_or_one_of_our_errors_and_both_readers_agree(body: bytes) -> None:
    def outcome(read: Any) -> Any:
        try:
            return ("value", repr(read(body)))
        except BadRequest as error:
            return (type(error), error.message)

    assert outcome(decode) == outcome(payloads._read)


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_every_float_survives(number: float) -> None:
    (read,) = decode(json.dumps([number]).encode())
    assert math.copysign(1, read) == math.copysign(1, number)
    assert read == number
