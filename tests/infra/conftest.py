"""One package of each stage for all tests of this folder: making it costs seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lynceus.packaging import projects
from lynceus.packaging.artefacts import HERE
from lynceus.packaging.projects import Package
from lynceus.packaging.templates import load
from tests.infra.worlds import World, world

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Package]:
    """The package and merged template of a stage, built for this machine so that it can run."""
    build = tmp_path_factory.mktemp("build")

    @cache
    def made(stage: str) -> Package:
        return projects.package(stage, architecture=HERE, build=build, cache=ROOT / "build" / "requirements")

    return made


@pytest.fixture(scope="session")
def merged(packaged: Callable[[str], Package]) -> dict[str, Any]:
    """The merged template of stage dev."""
    return load(packaged("dev").template)


@pytest.fixture(scope="session")
def resources() -> dict[str, Any]:
    """The template of what outlives the code."""
    return load(ROOT / "infra" / "resources.yaml")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """AWS and a cluster on this machine, with the demo's objects."""
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made
