"""Base64 as Go's StdEncoding reads it: line ends are skipped, padding is required, an error names its byte.

Source: Go 1.26 encoding/base64/base64.go.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import utf8

LINE_ENDS: Final = b"\r\n"
_BASE64: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_WELL_PADDED = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_PAD: Final = ord("=")


def decode_base64(text: str) -> bytes:
    """The bytes; raises FunctionError with Go's text."""
    raw = utf8(text)
    plain = raw.translate(None, LINE_ENDS)
    if len(plain) % 4 == 0 and _WELL_PADDED.fullmatch(plain):
        return base64.b64decode(plain)
    raise FunctionError(f"illegal base64 data at input byte {_first_bad(raw)}")


def _first_bad(raw: bytes) -> int:
    """Where Go notices that something is wrong.

    Quanta of four: padding may stand for the third and fourth, and nothing but line ends may follow it.
    """
    position, size = 0, len(raw)
    while True:
        filled = 0
        while filled < 4:
            if position == size:
                return position - filled
            byte = raw[position]
            position += 1
            if byte in _BASE64:
                filled += 1
            elif byte in LINE_ENDS:
                continue
            elif byte != _PAD or filled < 2:
                return position - 1
            else:
                return _after_padding(raw, position, filled)


def _after_padding(raw: bytes, position: int, filled: int) -> int:
    size = len(raw)
    if filled == 2:
        while position < size and raw[position] in LINE_ENDS:
            position += 1
        if position == size:
            return size
        if raw[position] != _PAD:
            return position - 1
        position += 1
    while position < size and raw[position] in LINE_ENDS:
        position += 1
    return position
