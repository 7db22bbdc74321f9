"""Go's time package, sprig's functions and jsonpath, call by call, as recorded in tests/vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.core.expressions import test_jsonpaths, test_sprig, test_times

Group = tuple[str, int, int, list[str]]


def run() -> Iterable[Group]:
    yield _group("sprig", test_sprig.recorded(), test_sprig.difference)
    yield _group("jsonpath", test_jsonpaths.recorded(), test_jsonpaths.difference)
    for kind, answer in test_times.ANSWERS.items():
        failures = test_times.differences(kind, answer)
        total = sum(1 for _ in test_times.recorded(kind))
        yield f"time {kind}", total - len(failures), total, failures


def _group(name: str, cases: Iterable[dict[str, Any]], difference: Callable[[dict[str, Any]], str]) -> Group:
    found = [difference(case) for case in cases]
    failures = [failure for failure in found if failure]
    return name, len(found) - len(failures), len(found), failures
