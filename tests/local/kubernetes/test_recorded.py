"""The recorded pairs that need no definitions of Argo's, replayed; all of them are `make conformance`'s affair."""

from __future__ import annotations

from lynceus.local.kubernetes import Cluster
from tests.conformance import kubernetes as recorded


def test_built_in_paths_answer_as_recorded() -> None:
    with Cluster() as cluster:
        differing = {
            pair["name"]
            for pair, status, body in recorded.replayed(cluster, full=False)
            if status != pair["status"] or not recorded.same_body(pair, body)
        }

    assert differing <= recorded.EXCEPTIONS.keys()


def test_every_exception_names_a_recorded_pair() -> None:
    names = {pair["name"] for pair in recorded.pairs()}

    assert recorded.EXCEPTIONS.keys() <= names
    assert recorded.SESSIONS.keys() | recorded.ARGO_SESSIONS.keys() <= names
