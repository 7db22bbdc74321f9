"""A request and its response, apart from sockets; and the forms an answer can take.

The Accept header decides: JSON or YAML, and for objects and lists the object itself, a Table (what `kubectl get`
prints) or its metadata alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from lynceus.local.kubernetes import bodies
from lynceus.local.kubernetes.statuses import Refusal, bad_request, not_acceptable
from lynceus.local.kubernetes.stores import encode

TEXT: Final = "text/plain; charset=utf-8"
_META: Final = "meta.k8s.io"
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")


@dataclass(frozen=True)
class Request:
    """What came in; header names are lower-case."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, list[str]]
    body: bytes

    def header(self, name: str) -> str:
        """The first value of a header, "" without."""
        return (self.headers.get(name) or [""])[0]

    def parameter(self, name: str) -> str:
        """The first value of a query parameter, "" without."""
        return (self.query.get(name) or [""])[0]

    def number(self, name: str) -> int:
        """A parameter as an int64, 0 when absent; raises Refusal 400."""
        text = self.parameter(name)
        if text and not _INTEGER.fullmatch(text):
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        value = int(text or 0)
        if not -(1 << 63) <= value < 1 << 63:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
        return value

    def flag(self, name: str) -> bool:
        """A parameter as a bool: present without a value counts as true, as in Go's conversion."""
        values = self.query.get(name)
        return values is not None and values[0].lower() not in ("false", "0")


@dataclass
class Response:
    """What goes out; a `stream` is sent in chunks until it ends, an empty chunk is a look at the connection."""

    status: int
    body: bytes = b""
    content_type: str = bodies.JSON
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: Iterator[bytes] | None = None
    cache_control: str = "no-cache, private"

    def warn(self, warnings: list[str]) -> Response:
        """The same response with a Warning header per text."""
        for text in warnings:
            escaped = text.replace("\\", "\\\\").replace('"', '\\"')
            self.headers.append(("Warning", f'299 - "{escaped}"'))
        return self


@dataclass(frozen=True)
class Form:
    """How the caller wants objects: `shape` is "object", "table", "metadata" or "metadata list"."""

    media: str = bodies.JSON
    shape: str = "object"
    version: str = "v1"


def negotiate(accept: str, *, stream: bool = False) -> Form:
    """The first form on offer that we have, YAML not for streams; raises Refusal 406 when there is none."""
    if not accept:
        return Form()
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        options = dict(part.split("=", 1) for part in parameters if "=" in part)
        media = {"*/*": bodies.JSON, "application/*": bodies.JSON}.get(media, media)
        if media not in (bodies.JSON, bodies.YAML):
            continue
        if stream and media == bodies.YAML:
            break
        wanted = options.get("as")
        if wanted is None:
            return Form(media)
        if options.get("g") != _META or options.get("v") not in ("v1", "v1beta1"):
            continue
        if wanted == "Table":
            return Form(media, "table", options["v"])
        if wanted == "PartialObjectMetadata":
            return Form(media, "metadata", options["v"])
        if wanted == "PartialObjectMetadataList":
            return Form(media, "metadata list", options["v"])
    raise not_acceptable(stream=stream)


def mismatched(form: Form, kind: str) -> Refusal:
    """406 for metadata of a list where there is one object, or the other way round."""
    if form.shape == "metadata":
        text = f"you requested PartialObjectMetadata, but the requested object is a list ({kind})"
    else:
        text = f"you requested PartialObjectMetadataList, but the requested object is not a list ({kind})"
    return Refusal(406, "NotAcceptable", text)


def written(value: Any, media: str) -> bytes:
    """The value in the media type."""
    if media == bodies.YAML:
        return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, width=1 << 20).encode()
    return encode(value)


class _Dumper(yaml.CSafeDumper):
    """YAML that quotes what Kubernetes quotes: text that looks like something else."""


def _represent_text(dumper: yaml.CSafeDumper, value: str) -> yaml.ScalarNode:
    quoted = value in ("y", "n", "Y", "N") or (value and value[0] in "0123456789" and ":" in value)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if quoted else None)


_Dumper.add_representer(str, _represent_text)


def answer(status: int, value: Any, media: str = bodies.JSON) -> Response:
    """A plain document."""
    return Response(status, written(value, media), media)


def refusal(error: Refusal, accept: str) -> Response:
    """The Status of a refusal, in JSON unless the caller reads YAML alone."""
    media = bodies.YAML if accept.strip() == bodies.YAML else bodies.JSON
    response = answer(error.status, error.as_json(), media)
    response.headers += error.headers
    return response


def page_not_found() -> Response:
    """The plain 404 of a path nobody serves."""
    return Response(404, b"404 page not found\n", TEXT)
