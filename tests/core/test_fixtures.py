"""Every recorded request ends as it says: our own samples always, the large collection where it is present."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deliveries import FIXTURES, SAMPLES, Recorded, problem, recorded


def _paths(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.glob("*/*.json"))


def _name(path: Path) -> str:
    return f"{path.parent.parent.name}/{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", _paths(SAMPLES), ids=_name)
def test_a_sample_is_accepted_and_read_as_it_says(path: Path) -> None:
    assert problem(recorded(path)) == ""


def _before(name: str) -> Recorded:
    return recorded(FIXTURES / "webhooks" / f"{name}.json")


@pytest.mark.parametrize(
    "path",
    _paths(FIXTURES / "webhooks", FIXTURES / "webhooks-bad")
    or [pytest.param(Path("a/b/c"), marks=pytest.mark.skip(reason="../shared absent"))],
    ids=_name,
)
def test_a_fixture_ends_as_it_says_and_its_control_is_accepted(path: Path) -> None:
    assert problem(recorded(path), _before) == ""
