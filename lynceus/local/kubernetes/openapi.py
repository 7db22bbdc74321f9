"""OpenAPI documents, as far as clients read them: what kubectl validates against, and `kubectl explain`.

kubectl looks in the v3 document of a group for a `patch` operation of the kind with a query parameter
`fieldValidation`; where it finds one it leaves validation to the server. v2 is only ever asked for by client-side
apply, which is content with a document that says nothing.
Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from lynceus.local.kubernetes import bodies, kinds
from lynceus.local.kubernetes.exchanges import TEXT, Request, Response, page_not_found
from lynceus.local.kubernetes.resources import Catalogue, Resource
from lynceus.local.kubernetes.stores import encode

Object = dict[str, Any]
_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def etag(body: bytes) -> str:
    """The entity tag of a document, quotes included."""
    return f'"{hashlib.sha512(body).hexdigest().upper()}"'


def version_2(accept: str) -> Response:
    """GET /openapi/v2: a valid document without paths, in protobuf where that is what is read."""
    if _PROTOBUF in accept:
        # Field 1, "swagger", holding "2.0".
        return Response(200, b"\x0a\x032.0", _PROTOBUF.replace("@", "."), [("Vary", "Accept")])
    body = encode({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.2"}, "paths": {}})
    return Response(200, body, bodies.JSON, [("Vary", "Accept")])


class Documents:
    """The v3 documents, one per group and version, written when first asked for."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._written: dict[str, bytes] = {}

    def forget(self) -> None:
        """Write them anew: a definition came, changed or went."""
        self._written = {}

    def _names(self) -> dict[str, tuple[str, str]]:
        names = {"api/v1": ("", "v1")}
        for group, versions in self._catalogue.groups().items():
            names |= {f"apis/{group}/{version}": (group, version) for version in versions}
        return names

    def _document(self, name: str) -> bytes | None:
        found = self._written.get(name)
        if found is None and name in self._names():
            group, version = self._names()[name]
            found = encode(_document(self._catalogue.of(group, version), name))
            self._written[name] = found
        return found

    def _hash(self, name: str) -> str:
        return etag(self._document(name) or b"").strip('"')

    def answer(self, name: str, request: Request) -> Response:
        """GET /openapi/v3 and /openapi/v3/<name>; the hash makes a document immutable for caches."""
        if not name:
            paths = {
                each: {"serverRelativeURL": f"/openapi/v3/{each}?hash={self._hash(each)}"}
                for each in self._names()
            }
            return Response(200, encode({"paths": paths}), TEXT)
        body = self._document(name)
        if body is None:
            return page_not_found()
        current = self._hash(name)
        headers = [("Vary", "Accept"), ("ETag", f'"{current}"')]
        if request.header("if-none-match") == f'"{current}"':
            return Response(304, b"", "", headers)
        asked = request.parameter("hash")
        if asked and asked != current:
            location = ("Location", f"/openapi/v3/{name}?hash={current}")
            return Response(301, b"", bodies.JSON, [*headers, location])
        return Response(
            200,
            body,
            bodies.JSON,
            headers,
            cache_control="public, immutable" if asked else "no-cache, private",
        )


_PARAMETERS: Final = tuple(
    {"name": name, "in": "query", "schema": {"type": type_, "uniqueItems": True}}
    for name, type_ in (
        ("dryRun", "string"),
        ("fieldManager", "string"),
        ("fieldValidation", "string"),
        ("force", "boolean"),
        ("pretty", "string"),
    )
)


def _schema_name(resource: Resource) -> str:
    if resource.custom:
        host = ".".join(reversed(resource.group.split(".")))
        return f"{host}.{resource.version}.{resource.kind}"
    return f"io.k8s.api.{(resource.group or 'core').partition('.')[0]}.{resource.version}.{resource.kind}"


def _document(resources: list[Resource], name: str) -> Object:
    paths: Object = {}
    schemas: Object = {_OBJECT_META: _plain(kinds.schema("ObjectMeta"))}
    for resource in resources:
        kind = {"group": resource.group, "kind": resource.kind, "version": resource.version}
        where = "/namespaces/{namespace}" if resource.namespaced else ""
        collection = f"/{name}{where}/{resource.plural}"
        reference = {"$ref": f"#/components/schemas/{_schema_name(resource)}"}
        content = {bodies.JSON: {"schema": reference}}
        answers = {"200": {"description": "OK", "content": content}}
        operations = {
            verb: {
                "parameters": list(_PARAMETERS),
                "responses": answers,
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": kind,
            }
            for verb, action in (("get", "get"), ("put", "put"), ("patch", "patch"), ("delete", "delete"))
        }
        post = operations["put"] | {"x-kubernetes-action": "post", "requestBody": {"content": content}}
        paths[collection] = {"post": post}
        if resource.stored:
            operations["patch"] = operations["patch"] | {"requestBody": {"content": content}}
            paths[f"{collection}/{{name}}"] = operations
        described = resource.schema
        properties = (described.get("properties") or {}) | {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": f"#/components/schemas/{_OBJECT_META}"}], "default": {}},
        }
        shown = {key: value for key, value in _plain(described).items() if key != "properties"}
        schemas[_schema_name(resource)] = shown | {
            "properties": {key: _plain(value) for key, value in properties.items()},
            "x-kubernetes-group-version-kind": [kind],
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _plain(schema: Any) -> Any:
    """A schema without the marks that are ours."""
    if isinstance(schema, dict):
        plain = {name: _plain(value) for name, value in schema.items() if name != "x-go-type"}
        return plain | ({"format": "date-time"} if plain.get("format") == "micro-time" else {})
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema
