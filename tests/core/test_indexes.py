"""The index over selectors skips only what is false."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.core import expressions
from chalicelib.core.expressions import Expression, ExpressionError
from chalicelib.core.indexes import Index, conjuncts_of
from tests.core.expressions.sources import environments
from tests.core.expressions.sources import expressions as sources

EVENT: dict[str, Any] = {
    "payload": {"action": "opened", "repository": {"full_name": "o/r"}, "n": 5, "labels": ["bug"]},
    "metadata": {"x-github-event": ["push"]},
    "discriminator": "github",
    "namespace": "argo",
}
CONJUNCTS = (
    'discriminator == "{}"', '"{}" == discriminator', 'payload.a == "{}"', 'payload?.a == "{}"', 'payload.b.a == "{}"',
    'payload.b?.a == "{}"', 'metadata["x-a"] == ["{}"]', '"{}" in (metadata["x-a"] ?? [])', '"{}" in payload.items',
    'payload.a in ["{}", "b"]', "payload.n == 1", "payload.n == 2.0", "payload.a == true", "payload.a == nil",
    'payload.a in ["", "{}"]', 'payload["ref"] == "{}"', "payload.items[0] == \"{}\"", 'namespace == "argo"',
)  # fmt: skip


def compiled(*selectors: str) -> list[tuple[int, Expression]]:
    made = []
    for number, selector in enumerate(selectors):
        try:
            made.append((number, expressions.compile(selector)))
        except ExpressionError:
            continue
    return made


def asked(items: list[tuple[int, Expression]], env: dict[str, Any]) -> dict[int, str]:
    """What every selector says that does not say false."""
    said = {}
    for key, expression in items:
        try:
            if expression.evaluate_bool(env, steps=100_000):
                said[key] = "true"
        except ExpressionError as error:
            said[key] = f"{error.kind} {error.message}"
    return said


@st.composite
def selectors(draw: st.DrawFn) -> str:
    literal = st.sampled_from(["a", "b", "", "push", "github", "é"])
    conjuncts = [
        draw(st.sampled_from(CONJUNCTS)).format(draw(literal)) for _ in range(draw(st.integers(0, 4)))
    ]
    if draw(st.booleans()) or not conjuncts:
        conjuncts.append(f"({draw(sources(depth=2))})")
    return draw(st.sampled_from([" and ", " && "])).join(conjuncts)


@settings(deadline=None, max_examples=250, suppress_health_check=list(HealthCheck))
@given(st.lists(selectors(), min_size=1, max_size=12), st.lists(environments(), min_size=1, max_size=3))
def test_asking_only_candidates_changes_no_outcome(texts: list[str], events: list[dict[str, Any]]) -> None:
    items = compiled(*texts)
    index = Index(items)
    for event in events:
        candidates = index.candidates(event)
        everything = asked(items, event)
        assert set(everything) <= set(candidates)
        assert asked([item for item in items if item[0] in candidates], event) == everything
        assert list(candidates) == [key for key, _ in items if key in set(candidates)]


def test_candidates_are_few_and_in_order() -> None:
    items = compiled(
        *[f'discriminator == "github" and payload.repository.full_name == "o/{name}"' for name in "zyxwr"],
        "true",
        'payload.action in ["opened", "closed"]',
        'payload.action == "closed"',
    )
    assert list(Index(items).candidates(EVENT)) == [4, 5, 6]


def test_a_path_that_fails_makes_all_below_it_candidates() -> None:
    items = compiled(
        'discriminator == "github" and payload.missing.x == "a"',
        'discriminator == "gitlab" and payload.missing.x == "a"',
        'payload.missing.x == "a" and discriminator == "gitlab"',
    )
    assert list(Index(items).candidates(EVENT)) == [0, 2]


def test_a_selector_that_does_not_compile_for_the_event_is_always_a_candidate() -> None:
    items = compiled(
        'discriminator == "other" and nowhere == 1', 'discriminator == "other" and payload.x == 1'
    )
    index = Index(items)
    assert list(index.candidates(EVENT)) == [0]
    assert list(index.candidates({**EVENT, "payload": None})) == [0, 1]


def test_one_and_true_and_the_text_are_three_keys() -> None:
    items = compiled(
        "payload.v == 1", "payload.v == true", 'payload.v == "1"', "payload.v == nil", "payload.v == 1.0"
    )
    index = Index(items)
    for value, expected in ((1, [0, 4]), (True, [1]), ("1", [2]), (None, [3]), ([1], [])):
        assert list(index.candidates({**EVENT, "payload": {"v": value}})) == expected


@pytest.mark.parametrize(
    ("selector", "count"),
    [
        ('discriminator == "a" and payload.x == 1 and len(payload.y) > 1 and payload.z == 2', 2),
        ('payload.x == "a" or discriminator == "b"', 0),
        ('any(payload.x, true) and discriminator == "b"', 0),
        ('payload.x != "a"', 0),
        ('payload[discriminator] == "a"', 0),
        ('"a" in metadata["x-b"] and payload.x in ["a", "b"]', 2),
    ],
)
def test_only_leading_comparisons_of_paths_with_literals_count(selector: str, count: int) -> None:
    expression = expressions.compile(selector)
    assert len(list(conjuncts_of(expression.program(EVENT).parsed))) == count
