"""sprig's base64 and base32, and its hashes.

Decoding is strict in Go's way: line ends are skipped, padding is required, and the error names the byte
where it was noticed. sprig gives that error's text as the result.

Source: Masterminds/sprig v3.3.0 strings.go, crypto.go; Go 1.26 encoding/base64, encoding/base32.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Final

from chalicelib.core.expressions.base64s import LINE_ENDS, decode_base64
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.functions import SLOW, STRING, Function, table
from chalicelib.core.expressions.values import text as text_of
from chalicelib.core.expressions.values import utf8 as bytes_of

_BASE32: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
_PAD: Final = ord("=")


def decode_base32(text: str) -> bytes:
    """The bytes; raises FunctionError with Go's text."""
    raw = bytes_of(text).translate(None, LINE_ENDS)
    return base64.b32decode(raw[: _base32_end(raw)])


def _base32_end(raw: bytes) -> int:
    """Where the data end: quanta of eight, up to the first padding; less than eight bytes behind it are ignored."""
    for start in range(0, len(raw), 8):
        for filled in range(8):
            position = start + filled
            if position == len(raw):
                raise _illegal_base32(start)
            if raw[position] == _PAD and filled >= 2 and len(raw) - position <= 8:
                return _base32_padding_end(raw, start, filled)
            if raw[position] not in _BASE32:
                raise _illegal_base32(position)
    return len(raw)


def _base32_padding_end(raw: bytes, start: int, filled: int) -> int:
    position, end = start + filled, start + 8
    if len(raw) < end:
        raise _illegal_base32(len(raw))
    for at in range(position + 1, end):
        if raw[at] != _PAD:
            raise _illegal_base32(at - 1)  # Go names the byte before
    if filled in (3, 6):  # no whole byte needs as many
        raise _illegal_base32(position)
    return end


def _illegal_base32(at: int) -> FunctionError:
    return FunctionError(f"illegal base32 data at input byte {at}")


def _or_error_text(decode: Callable[[str], bytes]) -> Callable[[str], str]:
    def decoded(text: str) -> str:
        try:
            return text_of(decode(text))
        except FunctionError as error:
            return error.message

    return decoded


def _hashed(name: str) -> Callable[[str], str]:
    return lambda text: hashlib.new(name, bytes_of(text), usedforsecurity=False).hexdigest()


FUNCTIONS = table(
    Function("adler32sum", (STRING,), lambda text: str(zlib.adler32(bytes_of(text)))),
    Function("b32dec", (STRING,), _or_error_text(decode_base32), weight=SLOW),
    Function("b32enc", (STRING,), lambda text: base64.b32encode(bytes_of(text)).decode()),
    Function("b64dec", (STRING,), _or_error_text(decode_base64), weight=SLOW),
    Function("b64enc", (STRING,), lambda text: base64.b64encode(bytes_of(text)).decode()),
    Function("sha1sum", (STRING,), _hashed("sha1")),
    Function("sha256sum", (STRING,), _hashed("sha256")),
    Function("sha512sum", (STRING,), _hashed("sha512")),
)
