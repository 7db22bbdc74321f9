"""Recorded webhook deliveries: each accepted, answered or refused as it says, and every control accepted."""

from __future__ import annotations

from collections.abc import Iterable

from tests.deliveries import FIXTURES, Recorded, problem, recorded


def run() -> Iterable[tuple[str, int, int, list[str]]]:
    """One group per provider and kind: (group, passed, total, failures)."""
    folders = [
        folder
        for kind in ("webhooks", "webhooks-bad")
        for folder in sorted((FIXTURES / kind).glob("*/"))
        if folder.is_dir()
    ]
    if not folders:
        yield "webhooks", 0, 0, ["absent"]
    for folder in folders:
        failures, total = [], 0
        for path in sorted(folder.glob("*.json")):
            total += 1
            found = problem(recorded(path), _before)
            if found:
                failures.append(f"{path.stem}: {found}")
        yield f"{folder.parent.name}/{folder.name}", total - len(failures), total, failures


def _before(name: str) -> Recorded:
    return recorded(FIXTURES / "webhooks" / f"{name}.json")
