from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.local.kubernetes.servers import Server, local_server, real_server, real_server_is_given

_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=["local", pytest.param("real", marks=pytest.mark.cluster)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Each of the servers in turn."""
    if request.param == "local":
        with local_server(tmp_path_factory.mktemp("local")) as found:
            yield found
    elif not real_server_is_given():
        pytest.skip("no real API server: neither TEST_KUBECONFIG nor KUBEBUILDER_ASSETS names one")
    else:
        with real_server(tmp_path_factory.mktemp("real")) as found:
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
