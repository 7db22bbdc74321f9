"""Argo's answers on the Events API: the cases of docs/compatibility.md, those that differ on purpose included."""

from __future__ import annotations

from collections.abc import Iterable

from tests.test_argo_golden import CASES, seen, without_dispatch


def run() -> Iterable[tuple[str, int, int, list[str]]]:
    """One group for each table: (group, passed, total, failures)."""
    for title, cases in CASES.items():
        failures = []
        for case in cases:
            expected = case.lynceus or without_dispatch(case.argo)
            found = seen(case, expected)
            if found != expected:
                failures.append(f"{case.says}: {found}, expected {expected}")
        yield f"argo events: {title.lower()}", len(cases) - len(failures), len(cases), failures
