"""The four kinds of patch but apply, each a pure function from an object and a body to a new object.

Source: RFC 7386 (merge), RFC 6902 (JSON), and for the strategic merge of built-in kinds
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

import copy
import json
from typing import Any, Final

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from lynceus.local.kubernetes.schemas import Schema, child
from lynceus.local.kubernetes.statuses import Refusal, bad_request

MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
MAX_OPERATIONS: Final = 10_000


def merge_patch(target: Any, patch: Any) -> Any:
    """The target with the patch laid over it: null removes, objects merge, the rest replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, item in patch.items():
        if item is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), item)
    return merged


def _rejected() -> Refusal:
    text = "the server rejected our request due to an error in our request"
    return Refusal(422, "Invalid", text, {})


def json_patch(target: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """The target after the operations; raises Refusal 422 when one of them cannot be done.

    Unlike RFC 6902, `replace` of a missing map key adds it, a missing value is null and null equals what is not
    there, as in the server's own library.
    """
    if len(operations) > MAX_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise Refusal(413, "RequestEntityTooLarge", text)
    patched = copy.deepcopy(target)
    try:
        for operation in operations:
            patched = jsonpatch.apply_patch(patched, [_lenient(operation, patched)], in_place=True)
    except (
        jsonpatch.JsonPatchException,
        JsonPointerException,
        TypeError,
        KeyError,
        ValueError,
        AttributeError,
    ):
        raise _rejected() from None
    if not isinstance(patched, dict):
        raise _rejected()
    return patched


def _lenient(operation: dict[str, Any], target: Any) -> Any:
    """The operation as RFC 6902 would have it said for what the server's library does."""
    if not operation.get("path"):
        raise _rejected()  # nothing replaces the whole document
    if operation.get("op") in ("add", "replace", "test"):
        operation = {"value": None} | operation
    parent, last = JsonPointer(operation["path"]).to_last(target)
    missing = isinstance(parent, dict) and last not in parent
    if missing and operation.get("op") == "replace":
        return operation | {"op": "add"}
    if missing and operation.get("op") == "test" and operation["value"] is None:
        return {"op": "test", "path": "", "value": target}  # what is not there is null
    return operation


def strategic_merge(target: Any, patch: Any, schema: Schema | None) -> Any:
    """The target with the patch laid over it; lists with keys merge by element, sets by value.

    Knows the directives `$patch` (delete, replace), `$deleteFromPrimitiveList/<name>` and `$retainKeys`;
    `$setElementOrder` only orders and is dropped.
    """
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    base = dict(target) if isinstance(target, dict) and directive != "replace" else {}
    if isinstance(patch.get("$retainKeys"), list):
        base = {name: item for name, item in base.items() if name in patch["$retainKeys"]}
    for name, item in patch.items():
        if name.startswith("$deleteFromPrimitiveList/") and isinstance(item, list):
            listed = name.partition("/")[2]
            base[listed] = [entry for entry in base.get(listed) or [] if entry not in item]
        if name.startswith("$"):
            continue
        below = child(schema, name) if schema else None
        if item is None:
            base.pop(name, None)
        elif isinstance(item, list):
            base[name] = _merge_list(base.get(name), item, below)
        else:
            base[name] = strategic_merge(base.get(name), item, below)
    return base


def _merge_list(target: Any, patch: list[Any], schema: Schema | None) -> list[Any]:
    list_type = (schema or {}).get("x-kubernetes-list-type")
    existing = list(target) if isinstance(target, list) else []
    if list_type == "set":
        return existing + [item for item in patch if item not in existing]
    keys = (schema or {}).get("x-kubernetes-list-map-keys")
    if list_type != "map" or not keys:
        return patch
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    for item in patch:
        if not isinstance(item, dict) or keys[0] not in item:
            raise bad_request(f"map: {json.dumps(item)} does not contain declared merge key: {keys[0]}")
        at = next((at for at, entry in enumerate(existing) if entry.get(keys[0]) == item[keys[0]]), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del existing[at]
        elif at is None:
            existing.append({name: value for name, value in item.items() if not name.startswith("$")})
        else:
            existing[at] = strategic_merge(existing[at], item, (schema or {}).get("items"))
    return existing
