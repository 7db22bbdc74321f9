"""Schemathesis reads docs/openapi.yaml and tries the served API with what it makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chalicelib.settings import Settings
from tests.chaos import cron
from tests.commands.systems import TOKEN, served
from tests.world import World, binding

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "openapi.yaml"
SCHEMA = schemathesis.openapi.from_path(str(DOCUMENT))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    world = World(binding("on-push"), settings=Settings(namespaces=("argo",)))
    world.cluster.apply(cron("nightly", "0 3 * * *"))
    world.receive()
    with served(world) as found:
        yield found


@SCHEMA.parametrize()
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_served_api_keeps_its_document(case: Any, url: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} if "lynceus" in case.path else {}
    response = case.call(base_url=url, headers=headers)
    checks = [content_type_conformance, response_schema_conformance, status_code_conformance]
    if response.status_code != 501:  # Argo's own answer to a verb behind a colon, and to paths nobody serves
        checks.append(not_a_server_error)
    case.validate_response(response, checks=checks)
