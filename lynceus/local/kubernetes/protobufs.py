"""Protobuf bodies of the built-in kinds, which kubectl sends for `create token`, `auth can-i` and its like.

    body    = "k8s\\0" Unknown          Unknown.raw is the object itself
    message = { tag value }             tag = number << 3 | wire type

The numbers and types come from `kinds`. Only reading is needed: clients that send protobuf take JSON answers.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from chalicelib.core.errors import BadRequest
from lynceus.local.kubernetes.kinds import MESSAGES, Field

MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DEEPEST: Final = 30


class Garbled(BadRequest):
    """Bytes that are no message of that kind."""


def read(body: bytes, kind: str) -> dict[str, Any]:
    """The object in a protobuf body; raises Garbled."""
    if not body.startswith(MAGIC):
        detail = f"expected prefix [{' '.join(map(str, MAGIC))}]"
        raise Garbled(
            f"provided data does not appear to be a protobuf message, {detail}" if body else "empty data"
        )
    wrapper = _message(body[len(MAGIC) :], "Unknown", 0)
    raw = base64.b64decode(wrapper.get("raw", ""))
    head: dict[str, Any] = wrapper.get("typeMeta", {})
    return head | _message(raw, kind, 0)


def _message(data: bytes, kind: str, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise Garbled("proto: exceeded max depth")
    found: dict[str, Any] = {}
    numbers = MESSAGES[kind].numbers
    for number, value in _values(data):
        field = numbers.get(number)
        if field is None:
            continue  # written by a newer client
        if field.shape == "list":
            found.setdefault(field.name, []).append(_value(value, field, depth))
        elif field.shape == "map":
            entry = dict(_values(_bytes(value)))
            key = _bytes(entry.get(1, b"")).decode("utf-8", "replace")
            found.setdefault(field.name, {})[key] = _value(entry.get(2, b""), field, depth)
        else:
            found[field.name] = _value(value, field, depth)
    # A struct that was sent empty of everything says nothing; a pointer to it would say something.
    return {name: value for name, value in found.items() if not _is_nothing(value, numbers, name)}


def _is_nothing(value: Any, numbers: dict[int, Field], name: str) -> bool:
    field = next(each for each in numbers.values() if each.name == name)
    return value in ("", {}) and field.always


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise Garbled("proto: wrong wireType")
    return value


def _value(value: int | bytes, field: Field, depth: int) -> Any:
    if field.type in ("int32", "int64", "bool"):
        if not isinstance(value, int):
            raise Garbled(f"proto: wrong wireType for field {field.name}")
        return bool(value) if field.type == "bool" else value - (1 << 64) if value >> 63 else value
    data = _bytes(value)
    if field.type == "string":
        return data.decode("utf-8", "replace")
    if field.type == "bytes":
        return base64.b64encode(data).decode()
    if field.type in ("Time", "MicroTime"):
        return _time(data, micro=field.type == "MicroTime")
    if field.type in MESSAGES:
        return _message(data, field.type, depth + 1)
    raise Garbled(f"field {field.name} cannot be read from protobuf: send JSON")


def _time(data: bytes, *, micro: bool) -> str | None:
    parts = dict(_values(data))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int) or seconds > 253_402_300_799:
        raise Garbled("proto: wrong wireType for a time")
    if not seconds:
        return None
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{nanos // 1000:06d}Z" if micro else f"{moment}Z"


def _values(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (number, value) pairs of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise Garbled(f"proto: illegal wireType {wire}")
        if at + length > len(data):
            raise Garbled("unexpected EOF")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise Garbled("unexpected EOF")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise Garbled("proto: integer overflow")
