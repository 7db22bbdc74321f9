"""The page for users is true: every line of it that can be run is run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core import expressions
from chalicelib.core.expressions import sprig
from chalicelib.core.expressions.parser import BINARY, UNARY
from chalicelib.core.expressions.signatures import NAMES
from chalicelib.core.expressions.values import marshal

PAGE = (Path(__file__).parents[3] / "docs" / "expressions.md").read_text("utf-8")
LANGUAGE, RECIPES = PAGE.split("## Recipes")
EVENT = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
LINES = [
    tuple(part.strip() for part in line.split("→"))
    for line in re.findall(r"```expr\n(.*?)```", LANGUAGE, re.DOTALL)[0].splitlines()
]
RECIPE = dict(re.findall(r"### (.*?)\n\n```expr\n(.*?)```", RECIPES, re.DOTALL))


def github(event: str, **payload: Any) -> dict[str, Any]:
    return {
        "metadata": {"x-github-event": [event]},
        "payload": payload,
        "discriminator": "github",
        "namespace": "ci",
    }


def gitlab(event: str, **payload: Any) -> dict[str, Any]:
    return {
        "metadata": {"x-gitlab-event": [event]},
        "payload": payload,
        "discriminator": "gitlab",
        "namespace": "ci",
    }


def bitbucket(event: str, **payload: Any) -> dict[str, Any]:
    return {
        "metadata": {"x-event-key": [event]},
        "payload": payload,
        "discriminator": "bitbucket",
        "namespace": "ci",
    }


COMMIT = {"message": "Fix", "added": [], "modified": ["src/a.go"], "removed": []}
PULL = {"base": {"ref": "main"}, "draft": False}
MERGED = {"action": "merge", "target_branch": "main"}
APPROVED = {"user": {"nickname": "ann"}}
# Recipe → an event that it matches, and one that it does not
EVENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "GitHub: a push to main": (
        github("push", ref="refs/heads/main"),
        github("push", ref="refs/heads/dev"),
    ),
    "GitHub: a push that touches src/, unless it says [skip ci]": (
        github("push", commits=[COMMIT], head_commit=COMMIT),
        github("push", commits=[COMMIT], head_commit={"message": "No [skip ci]"}),
    ),
    "GitHub: a version tag": (
        github("push", ref="refs/tags/v1.2.3", deleted=False),
        github("push", ref="refs/tags/v1.2", deleted=False),
    ),
    "GitHub: a pull request to main that is ready for review": (
        github("pull_request", action="opened", pull_request=PULL),
        github("pull_request", action="opened", pull_request={**PULL, "draft": True}),
    ),
    'GitHub: the label "deploy" was put on': (
        github("pull_request", action="labeled", label={"name": "deploy"}),
        github("pull_request", action="labeled"),
    ),
    "GitHub: a comment /retest, not by a bot": (
        github("issue_comment", action="created", comment={"body": " /retest\n"}, sender={"login": "ann"}),
        github(
            "issue_comment",
            action="created",
            comment={"body": "/retest"},
            sender={"login": "dependabot[bot]"},
        ),
    ),
    "GitLab: a merge request was merged into main": (
        gitlab("Merge Request Hook", object_kind="merge_request", object_attributes=MERGED),
        gitlab(
            "Merge Request Hook", object_kind="merge_request", object_attributes={**MERGED, "action": "open"}
        ),
    ),
    "GitLab: a push with at least one commit, on any branch but renovate's": (
        gitlab("Push Hook", ref="refs/heads/a", total_commits_count=2),
        gitlab("Push Hook", ref="refs/heads/renovate/x", total_commits_count=2),
    ),
    "Bitbucket: a push to main": (
        bitbucket(
            "repo:push", push={"changes": [{"new": None}, {"new": {"type": "branch", "name": "main"}}]}
        ),
        bitbucket("repo:push", push={"changes": [{"new": {"type": "tag", "name": "main"}}]}),
    ),
    "Bitbucket: a pull request approved by a reviewer of the team": (
        bitbucket(
            "pullrequest:approved",
            approval=APPROVED,
            pullrequest={"destination": {"branch": {"name": "main"}}},
        ),
        bitbucket(
            "pullrequest:approved",
            approval=APPROVED,
            pullrequest={"destination": {"branch": {"name": "dev"}}},
        ),
    ),
}


@pytest.mark.parametrize(("source", "value"), LINES, ids=[line[0] for line in LINES])
def test_a_line_of_the_language_gives_what_it_says(source: str, value: str) -> None:
    assert marshal(expressions.compile(source).evaluate(EVENT)) == value


def test_there_are_ten_recipes_each_with_events() -> None:
    assert len(RECIPE) == 10
    assert set(RECIPE) == set(EVENTS)


@pytest.mark.parametrize("name", EVENTS)
def test_a_recipe_matches_its_event_and_not_another(name: str) -> None:
    matching, other = EVENTS[name]
    selector = expressions.compile(RECIPE[name])
    assert selector.evaluate_bool(matching) is True
    assert selector.evaluate_bool(other) is False
    assert str(selector.explain(other))


def test_the_page_names_every_function_and_operator() -> None:
    words = set(re.findall(r"[A-Za-z0-9]+", LANGUAGE))
    assert words >= NAMES
    symbols = LANGUAGE.split("| Binds |")[1].split("All functions")[0]
    for symbol in {*BINARY, *UNARY} - {"|"}:
        assert symbol in symbols, symbol


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(payload.n ?? 0) > 3", "false"),
        ("payload.size % 2", "invalid operation: float64 % int"),
        ("string(payload.size)", '"1.234567e+06"'),
        ("string(int(payload.size))", '"1234567"'),
        (
            "payload.missing and true == payload.deleted",
            "interface conversion: interface {} is nil, not bool",
        ),
        ("payload?.a.b", "cannot fetch b from <nil>"),
        ("payload.a?.b.c", "null"),
        ("payload.size in ['a', 'b']", "reflect.Value.MapIndex"),
        ("(findIndex(payload.commits, .message == '') ?? -1) == 0", "false"),
        ("payload.ref[:1]", '"r"'),
        ("payload.ref[0]", "114"),
    ],
)
def test_a_surprise_is_as_the_page_tells_it(source: str, message: str) -> None:
    try:
        said = marshal(expressions.compile(source).evaluate(EVENT))
    except expressions.ExpressionError as error:
        said = error.message
    assert said.startswith(message)


def test_the_page_names_every_function_that_refuses() -> None:
    section = PAGE.split("## More for metadata")[1].split("## Where it differs")[0]
    named = set(re.findall(r"`([a-zA-Z]+)`", "".join(re.findall(r"^\|.*$", section, re.MULTILINE))))
    assert named == {function.name for function in sprig.FUNCTIONS.values() if function.refused}
    assert f"{len(sprig.FUNCTIONS)} names" in section
