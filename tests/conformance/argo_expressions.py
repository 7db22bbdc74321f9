"""Expressions in Argo's three environments: selectors, parameters, and metadata with sprig."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.conformance.expressions import run_file

VECTORS = Path(__file__).parents[1] / "vectors" / "expr_argo_cases.jsonl.gz"


def run() -> Iterable[tuple[str, int, int, list[str]]]:
    return run_file(VECTORS)
