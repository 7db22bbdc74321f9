"""From the bytes of a request to an object, with Go's words for what cannot be read.

JSON, YAML and protobuf become the same plain values. Duplicate keys are findings, not errors: the last one wins, as
it does in Go, and `fieldValidation` decides what follows.
"""

from __future__ import annotations

import json
from typing import Any, Final

import yaml

from chalicelib.core.errors import BadRequest
from lynceus.local.kubernetes import protobufs
from lynceus.local.kubernetes.statuses import Refusal, bad_request, go_quoted, unsupported_media

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
LARGEST: Final = 3 * 1024 * 1024  # bytes of a request body
LARGEST_OBJECT: Final = 1_572_864  # bytes etcd takes in one request
DEEPEST: Final = 200  # levels of nesting; the real server refuses 10,000, Python's parser far fewer
MOST_NODES: Final = 1_000_000  # values in one document, YAML aliases unfolded


class Unreadable(BadRequest):
    """A body that is no document; the text is Go's."""


def read_json(body: bytes) -> tuple[Any, list[str]]:
    """The value and what is said of its duplicate keys, as they come; raises Unreadable."""
    doubled: dict[int, tuple[dict[str, Any], list[tuple[str, Any]]]] = {}

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(found)
        if len(value) != len(found):
            doubled[id(value)] = value, found  # the value is held, so that its id stays its own
        return value

    try:
        text = body.decode("utf-8", "replace")
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Unreadable(_go_error(error)) from None
    except RecursionError:
        raise Unreadable("exceeded max depth") from None
    if body.count(b"{") + body.count(b"[") > DEEPEST:  # fewer brackets cannot be nested too deep
        _check_size(value)
    paths = _duplicates(value, "", doubled) if doubled else []
    return value, [f'duplicate field "{path}"' for path in paths]


def _no_constant(name: str) -> Any:
    raise Unreadable(f"invalid character '{name[0]}' looking for beginning of value")


def _duplicates(
    value: Any, path: str, doubled: dict[int, tuple[dict[str, Any], list[tuple[str, Any]]]]
) -> list[str]:
    """The paths of keys that their object had before, each path once."""
    found: dict[str, None] = {}
    if isinstance(value, dict):
        seen: set[str] = set()
        for name, item in doubled[id(value)][1] if id(value) in doubled else value.items():
            where = f"{path}.{name}" if path else name
            if name in seen:
                found[where] = None
            seen.add(name)
            found |= dict.fromkeys(_duplicates(item, where, doubled))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            found |= dict.fromkeys(_duplicates(item, f"{path}[{at}]", doubled))
    return list(found)


def _go_error(error: json.JSONDecodeError) -> str:
    """Python's complaint as encoding/json words it."""
    text = error.doc
    trailing = error.msg.startswith(
        "Illegal trailing comma"
    )  # Python 3.13 points at the comma, Go at what follows
    at = error.pos + trailing
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    if at >= len(text) or error.msg.startswith("Unterminated string"):
        return "unexpected end of JSON input"
    shown = f"invalid character {_go_character(text[at])}"
    for literal in ("true", "false", "null"):
        known = next((n for n in range(len(literal), 0, -1) if text.startswith(literal[:n], at)), 0)
        if known and error.msg.startswith("Expecting value"):
            if at + known >= len(text):
                return "unexpected end of JSON input"
            wrong = _go_character(text[at + known])
            return (
                f"invalid character {wrong} in literal {literal} (expecting {_go_character(literal[known])})"
            )
    if error.msg.startswith("Expecting property name") or (trailing and text[at] == "}"):
        return f"{shown} looking for beginning of object key string"
    if error.msg.startswith("Expecting value") or trailing:
        return f"{shown} looking for beginning of value"
    if error.msg.startswith("Expecting ':'"):
        return f"{shown} after object key"
    if error.msg.startswith("Expecting ','"):
        return f"{shown} after {'object key:value pair' if _inside_object(text[:at]) else 'array element'}"
    if error.msg.startswith("Extra data"):
        return f"{shown} after top-level value"
    if error.msg.startswith("Invalid control"):
        return f"{shown} in string literal"
    return f"{shown} in string escape code"


def _go_character(character: str) -> str:
    return "'\\''" if character == "'" else repr(character)


def _inside_object(text: str) -> bool:
    """Whether the innermost bracket still open is a brace."""
    depth: list[str] = []
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth.append(character)
        elif character in "}]" and depth:
            depth.pop()
    return bool(depth) and depth[-1] == "{"


_MERGE_KEY: Final = "tag:yaml.org,2002:merge"


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: times stay text, and duplicate keys are noted."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.doubled: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE_KEY:
                if key.value in seen:
                    line = value.start_mark.line + 1
                    self.doubled.append(f"line {line}: key {go_quoted(key.value)} already set in map")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(body: bytes) -> tuple[Any, list[str]]:
    """The document and what is said of its duplicate keys; raises Unreadable."""
    loader = _Loader(body)
    try:
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        raise Unreadable(_go_yaml_error(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"yaml: {' '.join(str(error).split())}") from None
    finally:
        loader.dispose()
    _check_size(value)
    doubled = sorted(loader.doubled, key=lambda line: int(line.split(":")[0].removeprefix("line ")))
    return _string_keys(value), ["yaml: unmarshal errors:\n  " + "\n  ".join(doubled)] if doubled else []


def _go_yaml_error(error: yaml.MarkedYAMLError) -> str:
    """The complaint as go-yaml, a port of the same parser, words it."""
    mark = error.context_mark if error.context_mark and error.context_mark.line else error.problem_mark
    line = mark.line if mark else 0
    if line and isinstance(error, yaml.scanner.ScannerError):
        line += 1  # the scanner has not yet counted the line it is in
    return f"yaml: line {line}: {error.problem}" if line else f"yaml: {error.problem}"


def _string_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(name): _string_keys(item) for name, item in value.items()}
    return [_string_keys(item) for item in value] if isinstance(value, list) else value


def _key(name: Any) -> str:
    return name if isinstance(name, str) else json.dumps(name, default=str)


def _check_size(value: Any) -> None:
    """Raises Unreadable on a document that is too deep, or too large once its aliases are unfolded."""
    left = MOST_NODES
    level = [value]
    for _ in range(DEEPEST):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            if len(below) > left:
                raise Unreadable("document contains excessive aliasing")
        left -= len(below)
        if not below:
            return
        level = below
    raise Unreadable("exceeded max depth")


def read(body: bytes, content_type: str, message: str) -> tuple[Any, list[str]]:
    """The document in a body of any form, and what is said of its duplicate keys.

    `message` names the built-in kind, if it is one.
    Raises Refusal 415 for a form nobody here reads, Unreadable for a body that is none.
    """
    form = content_type.partition(";")[0].strip().lower()
    if form in ("", JSON):
        return read_json(body)
    if form == YAML:
        return read_yaml(body)
    if form == PROTOBUF and (message or not body.startswith(protobufs.MAGIC)):
        try:
            return protobufs.read(body, message), []
        except protobufs.Garbled as error:
            raise Unreadable(str(error)) from None
    raise unsupported_media()


def summary(body: bytes) -> str:
    """The start of a body, as messages show it."""
    if not body:
        return "<empty>"
    start = body[:30]
    shown = start.decode("utf-8", "replace") if body[:1] == b"{" else start.hex()
    return shown + (" ..." if len(body) > 30 else "")


def unrecognized(kind: str, detail: str, body: bytes) -> Refusal:
    """400 for a body without a readable version and kind."""
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {detail} ({summary(body)})"
    )
