"""Expressions in Argo's three environments: selectors, parameters, and metadata with sprig."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.conformance.expressions import run_file

VECTORS = Path(__file__).parents[1] / "vectors" / "expr_argo_cases.jsonl.gz"

# argo-0110 alone: its environment was -0 when it was recorded, and is 0 in the file.
FLOOR = {"argo_param": 0.99}


def run() -> Iterable[tuple[str, int, int, list[str]]]:
    return run_file(VECTORS)
