"""Why a selector said what it said, as data, without what nobody may see."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import expressions
from chalicelib.core.expressions.explanations import Explanation

EVENT: dict[str, Any] = {
    "payload": {
        "ref": "refs/heads/dev",
        "action": "opened",
        "n": 5,
        "commits": [{"message": "one", "modified": ["a.py"]}, {"message": "two", "modified": ["b.py"]}],
        "token": "s3cr3t",
        "sender": {"login": "me", "api_key": "s3cr3t"},
    },
    "metadata": {"x-github-event": ["push"], "x-gitlab-token": ["s3cr3t"], "x-team": ["blue"]},
    "discriminator": "github",
    "namespace": "argo",
}


def explained(source: str, **options: Any) -> Explanation:
    return expressions.compile(source).explain(EVENT, **options)


def test_the_first_false_side_of_and_decides() -> None:
    explanation = explained(
        'payload.action == "opened" and payload.ref == "refs/heads/main" and payload.n > 9'
    )
    (finding,) = explanation.findings
    assert explanation.outcome == "false"
    assert finding.source == 'payload.ref == "refs/heads/main"'
    assert (finding.line, finding.column) == (1, 44)
    assert (finding.left, finding.operator, finding.right) == ('"refs/heads/dev"', "==", '"refs/heads/main"')


def test_all_sides_of_or_are_listed() -> None:
    explanation = explained('payload.ref == "a" or payload.action in ["closed"] or payload.n > 7')
    assert [finding.operator for finding in explanation.findings] == ["==", "in", ">"]
    assert explanation.findings[1].searched == ('"closed"',)


def test_not_shows_what_was_true() -> None:
    (finding,) = explained('not (payload.action == "opened")').findings
    assert finding.source == 'not (payload.action == "opened")'
    assert (finding.outcome, finding.left) == ("false", '"opened"')


def test_any_shows_what_was_searched() -> None:
    (finding,) = explained('any(payload.commits, .message contains "skip")').findings
    assert finding.searched == ('"one"', '"two"')
    assert finding.searched_count == 2


def test_all_and_none_name_the_item_that_decided() -> None:
    loop, item = explained('all(payload.commits, .message == "one")').findings
    assert loop.note == "decided by item 1"
    assert (item.left, item.outcome) == ('"two"', "false")
    loop, item = explained('none(payload.commits, .message == "one")').findings
    assert loop.note == "decided by item 0"
    assert item.outcome == "true"


def test_nothing_to_search_is_said() -> None:
    assert "nothing to search" in str(explained("any(payload.missing ?? [], .x)"))


def test_variables_and_conditions_are_followed() -> None:
    (finding,) = explained("let c = payload.commits; payload.n > 3 ? len(c) == 7 : true").findings
    assert (finding.source, finding.left, finding.right) == ("len(c) == 7", "2", "7")


def test_an_error_is_an_outcome() -> None:
    (finding,) = explained("payload.missing.x == 1").findings
    assert (finding.outcome, finding.note) == ("error", "cannot fetch x from <nil>")
    assert explained("event.x").outcome == "error"
    assert explained("payload.n").findings[0].note == "is no bool"


@pytest.mark.parametrize(
    "source",
    [
        'payload.token == "s3cr3t"',
        'payload.token == "other" or payload["token"] startsWith "s3"',
        'metadata["x-gitlab-token"] == ["s3cr3t"]',
        '"s3cr3t" in (metadata["x-gitlab-token"] ?? [])',
        'payload.token in ["s3cr3t", "b"] and false == payload.n',
        'let t = payload.token; t == "s3cr3t" and payload.n == 1',
        'any(metadata["x-gitlab-token"], # == "s3cr3t") and payload.n == 1',
        'any(metadata["x-gitlab-token"], # == "s3cr3t-not")',
        'payload.sender == {"a": 1.0}',
        'payload == {"a": 1.0}',
        'values(metadata)[0] == ["s3cr3t"]',
        'metadata == {"x": "s3cr3t"}',
        'toJSON($env) contains "s3cr3t-not"',
        'payload.sender.api_key matches "^s3cr3t!"',
    ],
)
def test_credentials_are_never_shown(source: str) -> None:
    explanation = explained(source)
    assert "s3cr3t" not in json.dumps(dataclasses.asdict(explanation))
    assert "s3cr3t" not in str(explanation)


def test_headers_that_are_not_listed_are_hidden_until_they_are() -> None:
    source = 'metadata["x-team"] == ["red"]'
    assert explained(source).findings[0].hidden
    assert "red" not in str(explained(source))
    finding = explained(source, listed=["x-team"]).findings[0]
    assert (finding.hidden, finding.left, finding.right) == (False, '["blue"]', '["red"]')


def test_a_header_that_was_not_kept_is_undecidable_and_never_false() -> None:
    kept = ["x-github-event"]
    explanation = explained('metadata["x-gone"] == ["a"]', kept=kept)
    assert explanation.outcome == "undecidable"
    assert explanation.findings[0].note == "header not kept: x-gone"
    assert explained('metadata["x-gone"] == ["a"] and payload.n == 6', kept=kept).outcome == "false"
    assert explained('metadata["x-gone"] == ["a"] or payload.n == 5', kept=kept).outcome == "true"
    assert explained('metadata["x-gone"] == ["a"] or payload.n == 6', kept=kept).outcome == "undecidable"
    assert explained('not (metadata["x-gone"] == ["a"])', kept=kept).outcome == "undecidable"
    assert explained("len(metadata) == 9", kept=kept).outcome == "undecidable"
    assert explained('metadata["x-github-event"] == ["pull"]', kept=kept).outcome == "false"


@given(st.text(min_size=200, max_size=400))
def test_values_are_cut_short(text: str) -> None:
    event = {**EVENT, "payload": {"text": text, "list": [text] * 9}}
    for source in ('payload.text == "x"', '"x" in payload.list', 'payload == {"x": 1.0}'):
        for finding in expressions.compile(source).explain(event).findings:
            assert len(finding.left) <= 120
            assert len(finding.right) <= 120
            assert len(finding.searched) <= 5
