from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.local.kubernetes.servers import Server, local_server, real_server, real_server_is_given

_numbers = itertools.count(1)


SERVERS = ["local"] + ["real"] * real_server_is_given()


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=[pytest.mark.cluster] * (name == "real")) for name in SERVERS],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each of the servers in turn: ours, and a real one where the environment names one."""
    start = real_server if request.param == "real" else local_server
    with start(tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our own server, new for each test."""
    with local_server(tmp_path_factory.mktemp("ours")) as found:
        yield found


@pytest.fixture
def namespace(server: Server) -> str:
    """A namespace nobody else uses."""
    name = f"test-{next(_numbers)}"
    server.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name
