"""A served API over a world in memory, for commands to speak to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chalicelib import wiring
from lynceus.__main__ import main
from lynceus.local.functions import Functions
from lynceus.local.gateways import Gateway
from tests.world import World

TOKEN = "ada's token"


@contextmanager
def served(world: World) -> Iterator[str]:
    """The URL of the API of this world."""
    os.environ.setdefault("LYNCEUS_STAGE", "dev")
    import app

    world.cluster.tokens[TOKEN] = "ada"
    before = wiring.use("api", wiring.container_of(world.ports, world.settings, world.journal))
    gateway = Gateway(Functions(app.app), 0, on_refusal=lambda *_: None, on_failure=lambda *_: None)
    gateway.start()
    try:
        yield gateway.url
    finally:
        gateway.stop()
        wiring.use("api", before)


class Shell:
    """A person at a keyboard: runs commands against one API, and reads what they say."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._place = ["--url", url, "--token", TOKEN]
        self._capsys = capsys

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, answers, and what was said about the run."""
        self._capsys.readouterr()
        code = main([*words, *self._place])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def data(self, *words: str) -> Any:
        """The JSON that a command prints."""
        code, out, err = self.run(*words, "-o", "json")
        assert out, (code, err)
        return json.loads(out)
