"""The table of senders: every row is whole, documented and proven by a sample; what rows read from requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core.errors import BadRequest, UnsupportedMedia
from chalicelib.core.providers import (
    DAY,
    HOUR,
    MINUTE,
    PROVIDERS,
    Handshake,
    Response,
    check_cloudevent,
    cloudevent,
    cloudevent_items,
    cloudevent_payload,
    entry,
    event_header,
    header,
    json_or_form_payload,
    slack_event,
    slack_handshake,
    slack_payload,
)
from tests.deliveries import SAMPLES, recorded

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("type", PROVIDERS)
def test_a_row_has_a_link_a_way_a_window_a_sample_and_a_page(type: str) -> None:
    row = PROVIDERS[type]
    assert row.documentation.startswith("https://")
    assert row.ways
    assert MINUTE < row.window <= 5 * DAY
    assert list((SAMPLES / type).glob("*.json"))
    assert (ROOT / "docs" / "providers" / f"{type}.md").is_file()


@pytest.mark.parametrize("type", PROVIDERS)
def test_header_names_in_a_row_are_lower_case(type: str) -> None:
    row = PROVIDERS[type]
    names = [*row.marks, *row.credentials, *row.shown, *(way.scheme.header for way in row.ways.values())]
    assert names == [name.lower() for name in names]


@pytest.mark.parametrize("type", PROVIDERS)
def test_several_ways_need_a_choice_and_one_needs_none(type: str) -> None:
    assert (len(PROVIDERS[type].ways) > 1) == bool(PROVIDERS[type].choice)


def test_a_redelivery_by_a_person_is_not_swallowed_for_longer_than_minutes() -> None:
    by_hand = ("github", "gitlab", "gitea", "forgejo", "gogs", "bitbucketserver")
    assert {PROVIDERS[sender].window for sender in by_hand} == {10 * MINUTE}


def test_a_sender_that_retries_is_remembered_for_its_whole_span() -> None:
    spans = {"sns": HOUR, "slack": HOUR, "eventbridge": DAY, "pagerduty": 2 * DAY, "stripe": 3 * DAY}
    assert {sender: PROVIDERS[sender].window for sender in spans} == spans


def test_every_sample_carries_the_marks_of_its_sender() -> None:
    for path in SAMPLES.glob("*/*.json"):
        request = recorded(path)
        if request["method"] == "POST":
            names = {name.lower() for name in request["headers"]}
            assert set(PROVIDERS[request["provider"]].marks) <= names, path.name


@pytest.mark.parametrize(
    "path, payload, found",
    [
        (("a",), {"a": "x"}, "x"),
        (("a", "b"), {"a": {"b": "x"}}, "x"),
        (("a", "b"), {"a": [1]}, ""),
        (("a",), {"a": 5.0}, ""),
        (("a",), [], ""),
        (("a",), None, ""),
    ],
)
def test_an_entry_is_a_text_or_nothing(path: tuple[str, ...], payload: Any, found: str) -> None:
    assert entry(*path)({}, payload) == found


def test_a_header_that_came_twice_is_refused_since_nobody_knows_which_counts() -> None:
    assert header("a", "b")({"a": [""], "b": ["x"]}, None) == "x"
    with pytest.raises(BadRequest, match="came 2 times"):
        header("a")({"a": ["x", "y"]}, None)


@pytest.mark.parametrize("name", ["push\x01", "../x", "a/b", "ü", "x" * 101, '"', "a\nb"])
def test_an_event_name_from_an_unsigned_header_is_a_plain_name(name: str) -> None:
    with pytest.raises(BadRequest):
        event_header("x-event")({"x-event": [name]}, None)


@pytest.mark.parametrize("name", ["push", "Push Hook", "repo:refs_changed", "pr:reviewer:changes_requested"])
def test_event_names_of_real_senders_pass(name: str) -> None:
    assert event_header("x-event")({"x-event": [name]}, None) == name


FORM = {"content-type": ["application/x-www-form-urlencoded; charset=UTF-8"]}


def test_a_form_holds_its_json_in_one_field() -> None:
    assert json_or_form_payload(FORM, b"payload=%7B%22a%22%3A%221+2%22%7D") == {"a": "1 2"}


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"payload=", b"other=1", b"payload=1&payload=2", b"payload=%7B"]
)
def test_a_form_without_exactly_one_payload_is_unusable(body: bytes) -> None:
    with pytest.raises(BadRequest):
        json_or_form_payload(FORM, body)


def test_a_slash_command_is_its_form() -> None:
    payload = slack_payload(FORM, b"command=%2Fdeploy&text=beacon+main&bad=%FF")
    assert payload == {"command": "/deploy", "text": "beacon main", "bad": "\ufffd"}
    assert slack_event({}, payload) == "slash_command"


def test_an_interaction_is_the_json_in_its_form() -> None:
    payload = slack_payload(FORM, b"payload=%7B%22type%22%3A%22shortcut%22%7D")
    assert slack_event({}, payload) == "shortcut"


def test_slacks_questions_are_answered() -> None:
    asked = slack_handshake({}, {"type": "url_verification", "challenge": "c"})
    assert asked == Handshake(Response(body={"challenge": "c"}))
    assert slack_handshake({}, {"ssl_check": "1"}) == Handshake()
    assert slack_event({}, {"ssl_check": "1"}) == "ssl_check"
    assert slack_handshake({}, {"type": "event_callback"}) is None
    assert slack_handshake({}, ["url_verification"]) is None


@pytest.mark.parametrize(
    "payload, event",
    [
        ({"updated_tags": []}, "repo_push"),
        ({"build_id": "1", "is_manual": False}, "build_queued"),
        ({"build_id": "1"}, "build_start"),
        ({"build_id": "1", "image_id": "2"}, "build_success"),
        ({"build_id": "1", "error_message": ""}, "build_failure"),
        ({"vulnerability": {}}, "vulnerability_found"),
        ({"other": 1}, ""),
        ([], ""),
    ],
)
def test_quays_events_are_told_apart_by_their_fields(payload: Any, event: str) -> None:
    assert PROVIDERS["quay"].event({}, payload) == event


EVENT = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}
STRUCTURED = {"content-type": ["application/cloudevents+json; charset=UTF-8"]}
BATCH = {"content-type": ["application/cloudevents-batch+json"]}
BINARY = {f"ce-{name}": [value] for name, value in EVENT.items()}


@pytest.mark.parametrize("missing", EVENT)
def test_a_cloudevent_without_a_required_attribute_is_none(missing: str) -> None:
    rest = {name: value for name, value in EVENT.items() if name != missing}
    with pytest.raises(BadRequest, match=missing):
        check_cloudevent(STRUCTURED, rest)
    with pytest.raises(BadRequest, match=missing):
        check_cloudevent(BATCH, [EVENT, rest])
    with pytest.raises(BadRequest, match=missing):
        check_cloudevent({f"ce-{name}": [value] for name, value in rest.items()}, None)


@pytest.mark.parametrize("payload", [None, 5.0, "x", [], [1.0], {"specversion": 1.0}])
def test_a_cloudevent_is_an_object_and_a_batch_a_list_of_them(payload: Any) -> None:
    with pytest.raises(BadRequest):
        check_cloudevent(STRUCTURED, payload)
    with pytest.raises(BadRequest):
        check_cloudevent(BATCH, {"a": payload})


def test_attributes_in_headers_are_percent_decoded_once() -> None:
    headers = {**BINARY, "ce-source": ["/caf%C3%A9%2520"]}
    check_cloudevent(headers, None)
    assert cloudevent("source")(headers, None) == "/café%20"


@pytest.mark.parametrize(
    "value, subject",
    [
        ('"a b"', "a b"),
        (r'"say \"hi\" \\"', 'say "hi" \\'),
        ('"caf%C3%A9"', "café"),
        ('a "b', 'a "b'),
        ("%22a%22", '"a"'),
    ],
)
def test_a_quoted_string_in_a_header_is_unquoted_before_it_is_decoded(value: str, subject: str) -> None:
    assert cloudevent("subject")({**BINARY, "ce-subject": [value]}, None) == subject


@pytest.mark.parametrize("value", ["%C0%A0", "%FF", "\ud800"])
def test_invalid_utf8_in_an_attribute_is_refused(value: str) -> None:
    with pytest.raises(BadRequest, match="ce-subject"):
        check_cloudevent({**BINARY, "ce-subject": [value]}, None)


def test_the_events_of_a_batch_are_items_with_their_own_ids() -> None:
    items = cloudevent_items(BATCH, [EVENT, {**EVENT, "id": "2", "type": "u"}])
    assert [(item.event_type, item.delivery_id, item.hook_id) for item in items] == [
        ("t", "1", "/a"),
        ("u", "2", "/a"),
    ]
    assert json.loads(items[0].body) == items[0].payload == EVENT
    (item,) = cloudevent_items(BATCH, [{**EVENT, "data": "é" * 1000}])
    assert len(item.body) < 2100, "what is kept is about as large as what was sent"
    assert cloudevent_items(STRUCTURED, EVENT) == ()


def test_a_batch_that_is_too_deep_to_be_kept_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(20_000):  # deeper than any Python goes
        deep = [deep]
    with pytest.raises(BadRequest, match="nested too deeply"):
        cloudevent_items(BATCH, [{**EVENT, "data": deep}])


@pytest.mark.parametrize(
    "content_type, body, payload",
    [
        ("application/json", b'{"a":1}', {"a": 1.0}),
        ("application/vnd.example+json", b"[]", []),
        ("", b"5", 5.0),
        ("text/plain; charset=utf-8", b"hello", "hello"),
        ("application/json", b"", None),
    ],
)
def test_the_data_of_a_binary_event_is_the_payload(content_type: str, body: bytes, payload: Any) -> None:
    assert cloudevent_payload({"content-type": [content_type]}, body) == payload


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents+avro", "application/octet-stream", "image/png"]
)
def test_a_format_nobody_reads_is_named(content_type: str) -> None:
    with pytest.raises(UnsupportedMedia, match=content_type.replace("+", "[+]")):
        cloudevent_payload({"content-type": [content_type]}, b"x")
