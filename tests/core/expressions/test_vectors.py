"""The recorded corpora: what Argo's own library answered, by the bound functions and by the walk."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError
from chalicelib.core.expressions.operations import Budget
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import marshal
from tests.conformance import argo_expressions
from tests.conformance import expressions as corpus

# The recorder's JSON lost the sign of a zero in the environment: the case cannot be asked again.
LOST = {"argo-0110"}


@pytest.mark.parametrize(
    "path", [corpus.VECTORS, corpus.RANDOM, argo_expressions.VECTORS], ids=lambda path: path.name
)
def test_every_recorded_expression_has_its_recorded_outcome(path: Any) -> None:
    wrong = [
        case["id"]
        for case in corpus.cases(path)
        if case["id"] not in LOST and corpus.outcome(case)[:2] != corpus.recorded(case)[:2]
    ]
    assert wrong == []


def test_messages_of_errors_are_those_of_go() -> None:
    cases = [case for case in corpus.cases(corpus.VECTORS) if case["error"]][::5]
    wrong = [case["id"] for case in cases if corpus.outcome(case) != corpus.recorded(case)]
    assert len(wrong) <= len(cases) // 1000 + 1, wrong


def test_the_walk_answers_as_the_recorded_library_does() -> None:
    wrong = []
    cases = [*list(corpus.cases(corpus.VECTORS))[::4], *corpus.cases(corpus.RANDOM)]
    for case in [case for case in cases if case["mode"] == "value"]:
        try:
            expression = expressions.compile(case["expr"])
            program = expression.program(case["env"])
            outcome = "result", marshal(program.walk(case["env"], Budget()))
        except (ExpressionError, FunctionError, RecursionError):
            outcome = "error", ""
        recorded = corpus.recorded(case)
        if outcome[0] != recorded[0] or (recorded[0] == "result" and outcome[1] != recorded[1]):
            wrong.append(case["id"])
    assert [one for one in wrong if not one.startswith("limits")] == []
