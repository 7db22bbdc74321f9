"""From a request's body to an object of the kind its path names, and what is said on the way.

Custom resources are decoded by their schema, built-in kinds by the page of `kinds`; both have the same metadata.
What a body brings and nobody knows is dropped, and told or refused as `fieldValidation` says.
"""

from __future__ import annotations

import contextlib
import copy
from typing import Any, Final

from lynceus.local.kubernetes import bodies, fieldsets, kinds, misfits, objects, patches, schemas
from lynceus.local.kubernetes.bodies import Unreadable, unrecognized
from lynceus.local.kubernetes.calls import Call, Options
from lynceus.local.kubernetes.resources import Resource
from lynceus.local.kubernetes.statuses import Refusal, bad_request, body_too_large

Object = dict[str, Any]

_FROM_YAML: Final = "error converting YAML to JSON: "
_UNTYPED: Final = "couldn't get version/kind; json parse error: "
_TYPE_META: Final = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


def read_object(call: Call, options: Options) -> Object:
    """The object in the body, decoded for its kind."""
    resource, body = call.resource, call.request.body
    if len(body) > bodies.LARGEST:
        raise body_too_large(bodies.LARGEST)
    content_type = call.request.header("content-type")
    try:
        value, findings = bodies.read(body, content_type, resource.message)
    except Unreadable as error:
        in_json = content_type.partition(";")[0].strip().lower() in ("", bodies.JSON)
        raise unrecognized(resource.kind, f"{_UNTYPED if in_json else ''}{error}", body) from None
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise unrecognized(resource.kind, f"{_UNTYPED}{_not_into(value, _TYPE_META)}", body)
    for name in ("apiVersion", "kind"):
        if not isinstance(value.get(name) or "", str):
            found = misfits.go_type_of(value[name])
            detail = f"json: cannot unmarshal {found} into Go struct field .{name} of type string"
            raise unrecognized(resource.kind, f"{_UNTYPED}{detail}", body)
    if resource.custom and not value.get("kind"):
        text = body.decode("utf-8", "replace") or "null"
        raise unrecognized(resource.kind, f"Object 'Kind' is missing in '{text}'", body)
    check_version(call, value)
    decode(call, value, findings, options)
    return value


def check_version(call: Call, value: Object) -> None:
    """Raises Refusal 400 for a document of another version than the path's; built-in kinds may leave theirs out."""
    resource = call.resource
    if not resource.custom:
        value["kind"] = value.get("kind") or resource.kind
        value["apiVersion"] = value.get("apiVersion") or resource.api_version
    version = value.get("apiVersion") or ""
    if version != resource.api_version:
        if resource.custom and version.rpartition("/")[0] == resource.group:
            # Of a version nobody knows the fields of, every field is unknown.
            unknown = sorted(name for name in value if name not in ("apiVersion", "kind", "metadata"))
            call.warnings.extend(f'unknown field "{name}"' for name in unknown)
        raise bad_request(
            f"the API version in the data ({version}) does not match "
            f"the expected API version ({resource.api_version})"
        )
    if not resource.custom and value["kind"] != resource.kind:
        kind = value["kind"]
        raise bad_request(
            f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f'no kind "{kind}" is registered for version "{version}" in scheme'
        )


def decode(call: Call, value: Object, findings: list[str], options: Options) -> None:
    """Decode the object in place: metadata typed, unknown fields dropped and warned of; raises Refusal 400.

    `findings` are what its body already showed.
    """
    resource = call.resource
    schema = resource.schema
    if resource.custom:
        unknown = _decode_metadata(call, value)
        if value.get("kind") == resource.kind:
            unknown += schemas.prune(value, schema)
    else:
        error = misfits.decoding_error(value, schema, struct=resource.kind)
        if error:
            raise _undecodable(resource, error)
        misfits.fill_nulls(value, schema)
        # Typed decoding meets fields as they come, and metadata comes first by custom.
        unknown = _decode_metadata(call, value)
        unknown += schemas.prune(value, schema)
    findings = findings + [f'unknown field "{path}"' for path in unknown]
    if findings and options.validation == "Strict":
        raise _undecodable(resource, f"strict decoding error: {', '.join(findings)}")
    if options.validation == "Warn":
        call.warnings.extend(findings)


def _undecodable(resource: Resource, detail: str) -> Refusal:
    return bad_request(
        f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {detail}'
    )


def _decode_metadata(call: Call, value: Object) -> list[str]:
    metadata = value.get("metadata")
    if metadata is None:
        metadata = value["metadata"] = {}
    struct = "ObjectMeta" if call.resource.custom else call.resource.kind
    error = misfits.decoding_error(metadata, objects.METADATA, struct=struct)
    if error:
        raise _undecodable(call.resource, error)
    misfits.fill_nulls(metadata, objects.METADATA)
    for name in [name for name, item in metadata.items() if item in (None, "", [], {})]:
        del metadata[name]
    if metadata.get("generation") == 0:
        del metadata["generation"]  # protobuf writes the number that says nothing
    return schemas.prune(metadata, objects.METADATA, path="metadata")


def complete(call: Call, instance: Object) -> Object:
    """Defaults filled in; the object in the shape it is kept in."""
    if call.resource.custom:
        schemas.fill_defaults(instance, call.resource.schema)
        return instance
    call.strategy.fill(instance)
    filled = {"kind": instance["kind"], "apiVersion": instance["apiVersion"]}
    return filled | kinds.fill(call.resource.message, instance)


def blank(call: Call) -> Object:
    """The object there was before a new one: nothing but what Go writes of nothing."""
    head = {"apiVersion": call.resource.api_version, "kind": call.resource.kind}
    if call.resource.custom:
        return head | {"metadata": {}}
    return head | kinds.fill(call.resource.message, {}) | {"metadata": {}}


def owner_of(call: Call, options: Options, operation: str = "Update") -> fieldsets.Owner:
    """Who the request's changes belong to."""
    subresource = call.wanted.subresource
    return fieldsets.Owner(options.manager, operation, call.resource.api_version, subresource)


def match_namespace(call: Call, metadata: Object) -> None:
    """Give the object its path's namespace; raises Refusal 400 when it says another."""
    if not call.resource.namespaced:
        metadata.pop("namespace", None)
    elif metadata.setdefault("namespace", call.namespace) != call.namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def match_url(call: Call, metadata: Object) -> None:
    """Raises Refusal 400 when a changed object would have another name or namespace than its path."""
    match_namespace(call, metadata)
    name = metadata.get("name")
    if not name:
        text = f"the name of the object ({call.name} based on URL) was undeterminable: name must be provided"
        raise bad_request(text)
    if name != call.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.name})")


# One step of a JSON patch, as the server decodes it.
_STEPS: Final = {
    "type": "array",
    "items": {
        "type": "object",
        "x-go-type": "handlers.jsonPatchOp",
        "properties": {
            "op": {"type": "string"},
            "path": {"type": "string"},
            "from": {"type": "string"},
            "value": {"x-kubernetes-preserve-unknown-fields": True},
        },
    },
}


def patched_object(
    current: Object, content_type: str, body: bytes, resource: Resource
) -> tuple[Object, list[str]]:
    """The object after a merge, JSON or strategic merge patch, and what is odd about the patch itself.

    The object it began with stays as it is.
    """
    try:
        patch, findings = bodies.read_json(body)
    except Unreadable as error:
        raise bad_request(f"error decoding patch: {error}") from None
    if content_type == patches.JSON:
        patch = [] if patch is None else patch
        unfit = misfits.decoding_error(patch, _STEPS, struct="")
        if unfit:
            raise bad_request(f"error decoding patch: {unfit}")
        findings += [f'unknown field "{path}"' for path in schemas.prune(patch, _STEPS)]
        return patches.json_patch(current, patch), findings
    patch = {} if patch is None else patch
    if not isinstance(patch, dict):
        raise bad_request(f"error decoding patch: {_not_into(patch, 'map[string]interface {}')}")
    if content_type == patches.STRATEGIC:
        merged = patches.strategic_merge(current, patch, resource.schema)
    else:
        merged = patches.merge_patch(current, patch)
    found: Object = copy.deepcopy(merged)
    return found, findings


def read_applied(call: Call, *, strict: bool) -> Object:
    """The configuration in an apply patch; raises Refusal 400 for what is none of this kind.

    `strict` refuses duplicate keys, which are warned of otherwise.
    """
    body = call.request.body
    try:
        wanted, findings = _read_configuration(body)
    except Unreadable as error:
        raise bad_request(f"error decoding YAML: {_FROM_YAML}{error}") from None
    wanted = {} if wanted is None else wanted
    if not isinstance(wanted, dict):
        detail = _not_into(wanted, "map[string]interface {}")
        raise bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {detail}")
    if findings and strict:
        raise bad_request(f"error strict decoding YAML: {_FROM_YAML}{findings[0]}")
    call.warnings.extend(f"{_FROM_YAML}{finding}" for finding in findings)
    if not isinstance(wanted.get("metadata"), dict):
        wanted["metadata"] = {}
    if "managedFields" in wanted["metadata"]:
        raise bad_request("metadata.managedFields must be nil")
    api_version, kind = str(wanted.get("apiVersion") or ""), str(wanted.get("kind") or "")
    resource = call.resource
    if (api_version, kind) != (resource.api_version, resource.kind):
        group, _, version = api_version.rpartition("/")
        raise bad_request(f"invalid object type: {group}/{version}, Kind={kind}")
    return wanted


def _read_configuration(body: bytes) -> tuple[Any, list[str]]:
    """The document; JSON, which most clients send, by the faster parser where the slower has nothing to say."""
    with contextlib.suppress(Unreadable):
        value, findings = bodies.read_json(body)
        if not findings:
            return value, findings
    return bodies.read_yaml(body)


def _not_into(value: Any, target: str) -> str:
    found = {list: "array", dict: "object", str: "string", bool: "bool"}.get(type(value), "number")
    return f"json: cannot unmarshal {found} into Go value of type {target}"
