"""sprig's urlParse and urlJoin: a URL as a map of its parts, unescaped, and back.

Source: Masterminds/sprig v3.3.0 url.go; Go 1.26 net/url/url.go.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.functions import (
    MAP,
    NIL_DEREFERENCE,
    SLOW,
    STRING,
    Function,
    kind_of,
    table,
)
from chalicelib.core.expressions.sprig.strings import quoted
from chalicelib.core.expressions.values import text as text_of
from chalicelib.core.expressions.values import utf8 as bytes_of

_UNRESERVED: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")
_SAFE: Mapping[str, frozenset[int]] = {  # what stands unescaped in each part
    "path": _UNRESERVED | frozenset(b"$&+,/:;=@"),
    "fragment": _UNRESERVED | frozenset(b"$&+,/:;=?@!()*"),
    "user": _UNRESERVED | frozenset(b"$&+,;="),
    "host": _UNRESERVED | frozenset(b"!$&'()*+,;=:[]<>\""),
}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_PORT = re.compile(r"(?::[0-9]*)?", re.ASCII)
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPED = re.compile(r"%(?:[0-9A-Fa-f]{2})?")


@dataclass(frozen=True)
class Userinfo:
    """User and password, unescaped; no password is not an empty one."""

    name: str
    password: str | None

    def __str__(self) -> str:
        name = _escape(self.name, "user")
        return name if self.password is None else f"{name}:{_escape(self.password, 'user')}"


def url_parse(text: str) -> dict[str, Any]:
    """The parts of a URL: scheme, host, hostname, path, query, opaque, fragment, userinfo."""
    whole, _, fragment = text.partition("#")
    try:
        parts = _parse(whole)
    except FunctionError as error:
        raise FunctionError(f"unable to parse url: parse {quoted(whole)}: {error.message}") from None
    try:
        parts["fragment"] = _unescape(fragment, "fragment")
    except FunctionError as error:
        raise FunctionError(f"unable to parse url: parse {quoted(text)}: {error.message}") from None
    parts["userinfo"] = str(parts["userinfo"] or "")
    return parts


def _parse(text: str) -> dict[str, Any]:
    parts: dict[str, Any] = dict.fromkeys(("scheme", "host", "hostname", "path", "query", "opaque"), "")
    parts["userinfo"] = None
    if _CONTROL.search(text):
        raise FunctionError("net/url: invalid control character in URL")
    if text == "*":
        return {**parts, "path": "*"}
    scheme, rest = _scheme(text)
    parts["scheme"] = scheme.lower()
    rest, _, parts["query"] = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return {**parts, "opaque": rest}
        if ":" in rest.partition("/")[0]:
            raise FunctionError("first path segment in URL cannot contain colon")
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        user, at, host = authority.rpartition("@")
        parts["host"] = _host(parts["scheme"], host)
        parts["hostname"] = _hostname(parts["host"])
        if at:
            parts["userinfo"] = _userinfo(user)
    parts["path"] = _unescape(rest, "path")
    return parts


def _scheme(text: str) -> tuple[str, str]:
    if text.startswith(":"):
        raise FunctionError("missing protocol scheme")
    match = _SCHEME.match(text)
    if match is None or text[match.end() : match.end() + 1] != ":":
        return "", text
    return match[0], text[match.end() + 1 :]


def _userinfo(text: str) -> Userinfo:
    if not _USERINFO.fullmatch(text):
        raise FunctionError("net/url: invalid userinfo")
    name, colon, password = text.partition(":")
    return Userinfo(_unescape(name, "user"), _unescape(password, "user") if colon else None)


def _host(scheme: str, host: str) -> str:
    bracket = host.rfind("[")
    if bracket > 0:
        raise FunctionError("invalid IP-literal")
    if bracket == 0:
        return _ip_literal(host)
    colon = host.find(":") if scheme in ("http", "https") else host.rfind(":")
    if colon >= 0 and not _PORT.fullmatch(host[colon:]):
        raise FunctionError(f"invalid port {quoted(host[colon:])} after host")
    return _unescape(host, "host")


def _ip_literal(host: str) -> str:
    """An IPv6 address in brackets, maybe with a zone and a port."""
    end = host.rfind("]")
    if end < 0:
        raise FunctionError("missing ']' in host")
    if not _PORT.fullmatch(host[end + 1 :]):
        raise FunctionError(f"invalid port {quoted(host[end + 1 :])} after host")
    address, percent, zone = host[1:end].partition("%25")
    name = _unescape(address, "host") + _unescape(percent + zone, "zone")
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        raise FunctionError(f"invalid host: ParseAddr({quoted(name)}): unable to parse IP") from None
    return f"[{name}]{host[end + 1 :]}"


def _hostname(host: str) -> str:
    colon = host.rfind(":")
    if colon >= 0 and _PORT.fullmatch(host[colon:]):
        host = host[:colon]
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _unescape(text: str, part: str) -> str:
    """The text with its %XX as bytes. Raises FunctionError for a bad one, and for what no host may have."""
    for match in _ESCAPED.finditer(text):
        escape = match[0]
        if len(escape) == 1:
            raise FunctionError(f"invalid URL escape {quoted(text[match.start() : match.start() + 3])}")
        byte = int(escape[1:], 16)
        # A host may escape only what is not ASCII; a zone also what could stand there, and a blank.
        if (part == "host" and byte < 0x80 and escape != "%25") or (
            part == "zone" and escape != "%25" and byte != 0x20 and byte not in _SAFE["host"]
        ):
            raise FunctionError(f"invalid URL escape {quoted(escape)}")
    if part in ("host", "zone"):
        for character in text:
            if character.isascii() and character != "%" and ord(character) not in _SAFE["host"]:
                raise FunctionError(f"invalid character {quoted(character)} in host name")
    if "%" not in text:
        return text
    return text_of(re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), bytes_of(text)))


def _escape(text: str, part: str) -> str:
    safe = _SAFE[part]
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in bytes_of(text))


def url_join(members: dict[str, Any]) -> str:
    """The URL of such parts; `hostname` is not looked at."""
    scheme, host, path, query, opaque, fragment, userinfo = (
        _text_at(members, key)
        for key in ("scheme", "host", "path", "query", "opaque", "fragment", "userinfo")
    )
    user = None
    if userinfo:
        try:
            user = _parse(f"proto://{userinfo}@host".partition("#")[0])["userinfo"]
        except FunctionError as error:
            url = f"proto://{userinfo}@host".partition("#")[0]
            raise FunctionError(
                f"unable to parse userinfo in dict: parse {quoted(url)}: {error.message}"
            ) from None
    written = f"{scheme}:" if scheme else ""
    if opaque:
        written += opaque
    else:
        written += _hierarchy(written, host, path, user)
    if query:
        written += f"?{query}"
    return f"{written}#{_escape(fragment, 'fragment')}" if fragment else written


def _hierarchy(before: str, host: str, path: str, user: Userinfo | None) -> str:
    authority = ""
    if (before or host or user) and (host or path or user):
        authority = "//" + (f"{user}@" if user else "") + _escape(host, "host")
    escaped = "*" if path == "*" else _escape(path, "path")
    if escaped and not escaped.startswith("/") and host:
        return f"{authority}/{escaped}"
    # A first segment with a colon would be taken for a scheme.
    if not before and not authority and ":" in escaped.partition("/")[0]:
        return f"./{escaped}"
    return authority + escaped


def _text_at(members: dict[str, Any], key: str) -> str:
    if key not in members:
        return ""
    value = members[key]
    if value is None:
        raise FunctionError(NIL_DEREFERENCE)
    if not isinstance(value, str):
        raise FunctionError(f"unable to parse {key} key, must be of type string, but {kind_of(value)} found")
    return value


FUNCTIONS = table(
    Function("urlJoin", (MAP,), url_join, weight=SLOW),
    Function("urlParse", (STRING,), url_parse, weight=SLOW),
)
