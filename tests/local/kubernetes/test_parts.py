"""The parts that need no server: selectors, schemas, patches, field sets, bodies; and what any input may do to them."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lynceus.local.kubernetes import Cluster, Refusal
from lynceus.local.kubernetes.access import attributes_of
from lynceus.local.kubernetes.bodies import Unreadable, read_json, read_yaml
from lynceus.local.kubernetes.exchanges import Request
from lynceus.local.kubernetes.fieldsets import (
    Owner,
    apply,
    as_json,
    compare,
    fields_of,
    from_json,
    misfits,
    record_update,
)
from lynceus.local.kubernetes.kinds import MESSAGES, schema
from lynceus.local.kubernetes.misfits import decoding_error
from lynceus.local.kubernetes.patches import json_patch, merge_patch, strategic_merge
from lynceus.local.kubernetes.protobufs import Garbled, read
from lynceus.local.kubernetes.schemas import fill_defaults, prune, validate
from lynceus.local.kubernetes.selectors import field_terms, label_selector
from lynceus.local.kubernetes.tables import age, at_path

_documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=6), below, max_size=4),
    max_leaves=20,
)
_objects = st.dictionaries(st.sampled_from("abc"), _documents, max_size=3)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "format": "int64", "minimum": 1, "default": 3},
                "mode": {"type": "string", "enum": ["fast", "slow"]},
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 4},
                "port": {
                    "x-kubernetes-int-or-string": True,
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                },
                "items": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["key"],
                    "items": {
                        "type": "object",
                        "required": ["key"],
                        "properties": {"key": {"type": "string"}, "value": {"type": "string"}},
                    },
                },
            },
        }
    },
}


def refusal_of(action: Callable[[], object]) -> Refusal | None:
    """What the action was refused with, None when it was not."""
    try:
        action()
    except Refusal as refusal:
        return refusal
    return None


# -- selectors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selector", "labels", "taken"),
    [
        ("app=x", {"app": "x"}, True),
        ("app!=x", {}, True),
        ("app notin (x, y)", {}, True),
        ("app in (x,)", {"app": ""}, True),
        ("!app", {"app": ""}, False),
        ("app", {"app": ""}, True),
        ("tier > 1, tier<10", {"tier": "9"}, True),
        ("tier>1", {"tier": "many"}, False),
        ("in=1", {"in": "1"}, True),
        ("a.b/c-d=e", {"a.b/c-d": "e"}, True),
    ],
)
def test_a_label_selector_takes_what_it_says(selector: str, labels: dict[str, str], taken: bool) -> None:
    matches = label_selector(selector)

    assert matches is not None
    assert matches(labels) is taken


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("app in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("app in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
        ("app in x", "unable to parse requirement: found 'x' expected: '('"),
        ("!=x", "found '!=', expected: !, identifier, or 'end of string'"),
        ("!app=x", "found '=', expected: ',' or 'end of string'"),
        ("app==(", "unable to parse requirement: found '(', expected: identifier"),
        (
            "tier>x",
            (
                'unable to parse requirement: values[0]: Invalid value: "x": '
                "for 'Gt', 'Lt' operators, the value must be an integer"
            ),
        ),
    ],
)
def test_what_no_selector_can_be_is_told_in_the_parsers_words(selector: str, message: str) -> None:
    refusal = refusal_of(lambda: label_selector(selector))

    assert refusal is not None
    assert refusal.text == message


@given(st.text(alphabet="ab=!<>(), innot/\\.1", max_size=30))
def test_any_text_is_a_selector_or_is_refused(text: str) -> None:
    for reads in (label_selector, lambda text: field_terms(text, "events")):
        refusal = refusal_of(lambda reads=reads: reads(text))

        assert refusal is None or refusal.status == 400


# -- schemas -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": 0}, "Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": "1"}, 'Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"size": True}, 'Invalid value: "": spec.size in body must be of type int64: ""'),
        ({"mode": "medium"}, 'Unsupported value: "medium": supported values: "fast", "slow"'),
        ({"name": "A"}, "Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"),
        ({"name": "abcde"}, "Too long: may not be more than 4 bytes"),
        (
            {"port": 1.5},
            'Invalid value: "number": spec.port in body must be of type integer,string: "number"',
        ),
        ({"items": [{"value": "x"}]}, "Required value"),
        ({"items": [{"key": "a"}, {"key": "a"}]}, 'Duplicate value: {"key":"a"}'),
    ],
)
def test_findings_are_told_in_the_servers_words(spec: dict[str, Any], message: str) -> None:
    assert message in [cause.message for cause in validate({"spec": spec}, SCHEMA, rules=False)]


def test_defaults_are_filled_where_nothing_or_null_was_said() -> None:
    said, null = {"spec": {"size": 5}}, {"spec": {"size": None}}

    for value in (said, null):
        fill_defaults(value, SCHEMA)

    assert (said["spec"]["size"], null["spec"]["size"]) == (5, 3)


def test_unknown_fields_are_dropped_with_their_paths() -> None:
    value = {
        "kind": "X",
        "metadata": {"anything": 1},
        "top": 1,
        "spec": {"items": [{"key": "a", "odd": 1}], "more": {}},
    }

    assert prune(value, SCHEMA) == ["spec.items[0].odd", "spec.more", "top"]
    assert value == {"kind": "X", "metadata": {"anything": 1}, "spec": {"items": [{"key": "a"}]}}


@given(_documents)
def test_any_document_can_be_pruned_filled_and_checked(document: Any) -> None:
    prune(document, SCHEMA)
    fill_defaults(document, SCHEMA)

    assert all(cause.message for cause in validate(document, SCHEMA, rules=False))


# -- patches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        # The examples of RFC 7386, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_do_what_their_rfc_shows(target: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(target, patch) == merged


def test_strategic_merges_go_by_key_where_a_list_has_one() -> None:
    account = {"secrets": [{"name": "a"}, {"name": "b"}], "metadata": {"finalizers": ["x/a"]}}
    patch = {
        "secrets": [{"name": "a", "$patch": "delete"}, {"name": "c"}],
        "metadata": {"finalizers": ["y/b"]},
    }

    merged = strategic_merge(account, patch, schema("ServiceAccount"))

    assert merged == {"secrets": [{"name": "b"}, {"name": "c"}], "metadata": {"finalizers": ["x/a", "y/b"]}}


@given(
    _objects,
    st.lists(
        _documents
        | st.fixed_dictionaries(
            {
                "op": st.sampled_from(["add", "remove", "replace", "test", "move", "copy"]),
                "path": st.text("/ab~01-", max_size=5),
            },
            optional={"value": _documents, "from": st.text("/ab", max_size=4)},
        ),
        max_size=4,
    ),
)
def test_any_json_patch_is_done_or_refused_and_leaves_its_target(
    target: dict[str, Any], operations: list[Any]
) -> None:
    before = copy.deepcopy(target)

    refusal = refusal_of(lambda: json_patch(target, operations))

    assert refusal is None or refusal.status in (413, 422)
    assert target == before


# -- field sets ----------------------------------------------------------------------------------------------

ME = Owner("me", "Apply", "v1")
OTHER = Owner("other", "Apply", "v1")


def test_keyed_lists_are_owned_by_element() -> None:
    value = {"spec": {"items": [{"key": "a", "value": "1"}]}}

    assert as_json(fields_of(value, SCHEMA)) == {
        "f:spec": {"f:items": {'k:{"key":"a"}': {".": {}, "f:key": {}, "f:value": {}}}}
    }


def test_two_appliers_each_bring_an_element() -> None:
    live = apply({"metadata": {}}, {"spec": {"items": [{"key": "a"}]}}, SCHEMA, ME, "", force=False)
    live = apply(live, {"spec": {"items": [{"key": "b"}]}}, SCHEMA, OTHER, "", force=False)
    live = apply(live, {"spec": {"items": []}}, SCHEMA, ME, "", force=False)

    assert live["spec"]["items"] == [{"key": "b"}]


def test_a_field_that_two_apply_stays_when_one_lets_go() -> None:
    live = apply({"metadata": {}}, {"spec": {"mode": "fast"}}, SCHEMA, ME, "", force=False)
    live = apply(live, {"spec": {"mode": "fast"}}, SCHEMA, OTHER, "", force=False)
    live = apply(live, {"spec": {}}, SCHEMA, ME, "", force=False)

    assert live["spec"] == {"mode": "fast"}


def test_several_conflicts_are_listed_by_manager() -> None:
    live = apply({"metadata": {}}, {"spec": {"mode": "fast", "name": "x"}}, SCHEMA, ME, "", force=False)

    with pytest.raises(Refusal) as caught:
        apply(live, {"spec": {"mode": "slow", "name": "y"}}, SCHEMA, OTHER, "", force=False)

    assert (
        caught.value.text == 'Apply failed with 2 conflicts: conflicts with "me":\n- .spec.mode\n- .spec.name'
    )


@given(_objects, _objects)
def test_an_update_owns_exactly_what_it_changed(old: dict[str, Any], new: dict[str, Any]) -> None:
    entries = record_update(old, new, None, ME, "now")

    owned = from_json(entries[0]["fieldsV1"]) if entries else frozenset()
    assert owned == compare(old, new, None).taken


@given(_objects)
def test_applying_twice_changes_nothing(wanted: dict[str, Any]) -> None:
    once = apply({"metadata": {}}, wanted, None, ME, "first", force=False)

    assert apply(once, wanted, None, ME, "second", force=False) == once


@given(_objects)
def test_field_sets_survive_their_written_form(value: dict[str, Any]) -> None:
    paths = fields_of(value, None)

    assert from_json(as_json(paths)) == paths


# -- bodies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        ("", "unexpected end of JSON input"),
        ('{"a": }', "invalid character '}' looking for beginning of value"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a": 1 "b"}', "invalid character '\"' after object key:value pair"),
        ('{"a": 1, }', "invalid character '}' looking for beginning of object key string"),
        ("[1, ]", "invalid character ']' looking for beginning of value"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        ('{"a": "x', "unexpected end of JSON input"),
        ("NaN", "invalid character 'N' looking for beginning of value"),
        ('{"a": tru}', "invalid character '}' in literal true (expecting 'e')"),
        ("[nul", "unexpected end of JSON input"),
    ],
)
def test_broken_json_is_told_as_go_tells_it(text: str, message: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_json(text.encode())

    assert str(caught.value) == message


def test_duplicate_keys_are_found_where_they_stand() -> None:
    value, doubled = read_json(b'{"a": [{"b": 1, "b": 2}], "c": {"d": 1, "d": 2}}')

    assert value == {"a": [{"b": 2}], "c": {"d": 2}}
    assert doubled == ['duplicate field "a[0].b"', 'duplicate field "c.d"']


def test_duplicate_keys_of_yaml_are_told_by_their_line() -> None:
    value, doubled = read_yaml(b"a: 1\nb: {c: 1,\n c: 2}\na: 3\n")

    assert value == {"a": 3, "b": {"c": 2}}
    told = 'line 3: key "c" already set in map\n  line 4: key "a" already set in map'
    assert doubled == [f"yaml: unmarshal errors:\n  {told}"]


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        (
            "2026-13-01T00:00:00Z",
            {"format": "date-time"},
            'parsing time "2026-13-01T00:00:00Z": month out of range',
        ),
        (
            "2026-02-30T00:00:00Z",
            {"format": "date-time"},
            'parsing time "2026-02-30T00:00:00Z": day out of range',
        ),
        ("2026-01-01", {"format": "date-time"}, 'cannot parse "" as "T"'),
        ("2026-01-01T00:00:00.5+01:00", {"format": "micro-time"}, ""),
        (5, {"format": "date-time"}, "json: cannot unmarshal number into Go value of type string"),
        ("YQ==", {"format": "byte"}, ""),
        ("YQ=", {"format": "byte"}, "illegal base64 data at input byte 3"),
        ("YQ", {"format": "byte"}, "illegal base64 data at input byte 0"),
        ("YWJj!", {"format": "byte"}, "illegal base64 data at input byte 4"),
        (1 << 40, {"type": "integer", "format": "int32"}, "cannot unmarshal number 1099511627776 into"),
        (True, {"type": "integer"}, "cannot unmarshal bool into Go struct field X.f of type int64"),
    ],
)
def test_a_value_that_does_not_fit_is_told_as_go_tells_it(
    value: Any, schema: dict[str, Any], words: str
) -> None:
    found = decoding_error(value, {"type": "string"} | schema, struct="X", path="f")

    assert (words in found) if words else not found


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        ({"a": 1}, {"type": "object"}, ".a: field not declared in schema"),
        ([1], {"type": "object"}, "expected map, got &{[1]}"),
        ({"a": 1}, {"type": "array"}, "expected list, got &{map[a:1]}"),
        ("x", {"type": "integer"}, "expected numeric (int or float), got string"),
        (1, {"type": "boolean"}, "expected boolean, got &{1}"),
        (None, {"type": "boolean"}, ""),
        (
            ["a", "a"],
            {"type": "array", "x-kubernetes-list-type": "set"},
            ': duplicate entries for key [="a"]',
        ),
    ],
)
def test_an_applied_value_is_typed_first(value: Any, schema: dict[str, Any], words: str) -> None:
    assert misfits(value, schema) == ([words] if words else [])


def test_aliases_that_unfold_to_too_much_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 9)]

    with pytest.raises(Unreadable, match="excessive aliasing"):
        read_yaml("\n".join(lines).encode())


def test_times_in_yaml_stay_text() -> None:
    value, _ = read_yaml(b"at: 2026-11-20T10:00:00Z\nday: 2026-11-20")

    assert value == {"at": "2026-11-20T10:00:00Z", "day": "2026-11-20"}


@given(st.binary(max_size=60) | st.text('{}[]:,"ab1 \n-&*!', max_size=40).map(str.encode))
def test_any_bytes_are_a_document_or_unreadable(body: bytes) -> None:
    for reads in (read_json, read_yaml):
        with contextlib.suppress(Unreadable):
            reads(body)
            continue
        with pytest.raises(Unreadable, match=r"."):
            reads(body)


@given(st.sampled_from(sorted(MESSAGES)), st.binary(max_size=80))
def test_any_bytes_are_a_message_or_garbled(kind: str, body: bytes) -> None:
    try:
        found = read(b"k8s\x00" + body, kind)
    except Garbled:
        return

    json.dumps(found)


def test_a_message_that_kubectl_wrote_is_read() -> None:
    # Unknown{typeMeta{v1, Namespace}, raw: Namespace{metadata{name: "argo"}}}
    metadata = b"\x0a\x04argo"
    raw = b"\x0a" + bytes([len(metadata)]) + metadata
    head = b"\x0a\x02v1\x12\x09Namespace"
    body = b"k8s\x00\x0a" + bytes([len(head)]) + head + b"\x12" + bytes([len(raw)]) + raw

    assert read(body, "Namespace") == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argo"}}


# -- tables and paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (17700, "4h55m"),
        (9 * 3600, "9h"),
        (50 * 3600, "2d2h"),
        (10 * 86400, "10d"),
        (800 * 86400, "2y70d"),
        (-10, "<invalid>"),
    ],
)
def test_ages_read_as_kubectl_writes_them(seconds: int, shown: str) -> None:
    assert age("2026-11-20T10:00:00Z", 1_795_168_800 + seconds) == shown


def test_columns_find_fields_elements_and_conditions() -> None:
    instance = {"a": {"b.c": [1, 2]}, "conditions": [{"type": "Ready", "status": "True"}]}

    assert at_path(instance, r".a.b\.c[1]") == 2
    assert at_path(instance, '.conditions[?(@.type=="Ready")].status') == "True"
    assert at_path(instance, ".a.missing.more") is None


@pytest.mark.parametrize(
    ("method", "target", "verb", "resource", "name"),
    [
        ("GET", "/api/v1/namespaces/argo", "get", "namespaces", "argo"),
        ("GET", "/api/v1/namespaces", "list", "namespaces", ""),
        ("PUT", "/api/v1/namespaces/argo/finalize", "update", "namespaces", "argo"),
        ("DELETE", "/api/v1/namespaces/argo/secrets", "deletecollection", "secrets", ""),
        ("GET", "/apis/argoproj.io/v1alpha1/watch/workflows", "watch", "workflows", ""),
        (
            "POST",
            "/api/v1/namespaces/argo/serviceaccounts/jenkins/token",
            "create",
            "serviceaccounts",
            "jenkins",
        ),
        ("GET", "/apis/argoproj.io/v1alpha1", "get", "", ""),
    ],
)
def test_a_path_says_what_is_wanted(method: str, target: str, verb: str, resource: str, name: str) -> None:
    found = attributes_of(method, target, {})

    assert (found.verb, found.resource, found.name) == (verb, resource, name)


_segments = st.sampled_from(
    [
        "api",
        "apis",
        "v1",
        "argoproj.io",
        "v1alpha1",
        "namespaces",
        "default",
        "workflows",
        "configmaps",
        "events",
        "watch",
        "openapi",
        "v3",
        "v2",
        "status",
        "token",
        "serviceaccounts",
        "a",
        "",
        "%2e",
        "tokenreviews",
        "authentication.k8s.io",
    ]
)
_parameters = st.dictionaries(
    st.sampled_from(
        [
            "limit",
            "continue",
            "resourceVersion",
            "resourceVersionMatch",
            "labelSelector",
            "fieldSelector",
            "dryRun",
            "fieldValidation",
            "fieldManager",
            "propagationPolicy",
            "timeoutSeconds",
            "force",
            "pretty",
        ]
    ),
    st.lists(
        st.text(max_size=6) | st.sampled_from(["0", "1", "All", "Strict", "Exact", "a=b", "true"]),
        min_size=1,
        max_size=2,
    ),
    max_size=4,
)
_headers = st.dictionaries(
    st.sampled_from(["accept", "content-type", "impersonate-user", "impersonate-group", "if-none-match"]),
    st.lists(
        st.text(max_size=8)
        | st.sampled_from(
            [
                "application/json",
                "application/yaml",
                "application/apply-patch+yaml",
                "application/merge-patch+json",
                "application/json-patch+json",
                "application/vnd.kubernetes.protobuf",
                "application/json;as=Table;v=v1;g=meta.k8s.io",
                "system:serviceaccount:a:b",
            ]
        ),
        min_size=1,
        max_size=1,
    ),
    max_size=3,
)
_bodies = (
    st.binary(max_size=30)
    | _documents.map(lambda value: json.dumps(value).encode())
    | st.builds(
        lambda spec, metadata: json.dumps(
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}
        ).encode(),
        _documents,
        _documents
        | st.dictionaries(
            st.sampled_from(["name", "labels", "finalizers", "ownerReferences", "uid"]),
            _documents,
            max_size=3,
        ),
    )
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]),
    st.lists(_segments, max_size=7),
    _parameters,
    _headers,
    _bodies,
)
def test_any_request_gets_an_answer(
    method: str, segments: list[str], query: dict[str, list[str]], headers: dict[str, list[str]], body: bytes
) -> None:
    cluster = _cluster()
    token = {"authorization": [f"Bearer {cluster.admin_token}"]}
    if query.get("resourceVersion", ["0"])[0].isdigit():
        query.pop("resourceVersion", None)  # a revision from the future is waited for

    response = cluster.answer(Request(method, "/" + "/".join(segments), query, headers | token, body))

    assert 200 <= response.status < 600


_metadata = st.fixed_dictionaries(
    {"name": st.just("a")},
    optional={
        "labels": st.dictionaries(st.text(max_size=3), _documents, max_size=2) | _documents,
        "annotations": st.dictionaries(st.text(max_size=3), _documents, max_size=2),
        "finalizers": st.lists(_documents, max_size=2),
        "ownerReferences": st.lists(_documents, max_size=2),
        "managedFields": st.lists(_documents, max_size=2),
        "creationTimestamp": _documents,
        "generation": _documents,
        "resourceVersion": _documents,
        "uid": _documents,
    },
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["POST", "PUT", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml"]),
    st.sampled_from(["workflows", "configmaps", "secrets", "events"]),
    _metadata,
    st.dictionaries(
        st.sampled_from(["spec", "data", "type", "count", "firstTimestamp"]), _documents, max_size=2
    ),
)
def test_any_object_is_kept_or_refused(
    way: str, plural: str, metadata: dict[str, Any], content: dict[str, Any]
) -> None:
    cluster = _cluster()
    custom = plural == "workflows"
    kind = {"workflows": "Workflow", "configmaps": "ConfigMap", "secrets": "Secret", "events": "Event"}[
        plural
    ]
    version = "argoproj.io/v1alpha1" if custom else "v1"
    body = {"apiVersion": version, "kind": kind, "metadata": metadata} | content
    collection = f"/{'apis' if custom else 'api'}/{version}/namespaces/default/{plural}"
    headers = {"authorization": [f"Bearer {cluster.admin_token}"]}
    if "+" in way:
        headers["content-type"] = [f"application/{way}"]
    method = "PATCH" if "+" in way else way
    path = collection if way == "POST" else f"{collection}/a"
    query = {"fieldManager": ["m"]}

    response = cluster.answer(Request(method, path, query, headers, json.dumps(body).encode()))

    assert response.status in (200, 201) or json.loads(response.body)["message"]


def _cluster() -> Cluster:
    if not _clusters:
        _clusters.append(Cluster())
    return _clusters[0]


_clusters: list[Cluster] = []
