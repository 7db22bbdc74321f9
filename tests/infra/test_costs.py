"""What an event asks of AWS, counted, beside what docs/cost.md says it does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.client
import pytest

from chalicelib import wiring
from tests.infra.test_rights import Drive, Recorder
from tests.infra.worlds import World, minute, push, records

ROOT = Path(__file__).resolve().parents[2]


class Counting(Recorder):
    """How often each function called what."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def call(self, service: str, operation: str, parameters: dict[str, Any]) -> None:
        if self.function:
            self.calls[operation] += 1


@pytest.fixture
def counting(here: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Drive, Counting]]:
    """The functions, warm: one event has been through."""
    recorder = Counting()
    call = botocore.client.BaseClient._make_api_call

    def counted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        recorder.call(client.meta.service_model.service_name, operation, parameters)
        return call(client, operation, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
    for name, value in here.environment("api_handler").items():
        monkeypatch.setenv(name, value)
    containers, wiring._containers = wiring._containers, {}
    drive = Drive(here, recorder)
    drive.invoke("tick", minute())
    drive.invoke("api_handler", push("warm"))
    drive.work("submit")
    recorder.calls.clear()
    yield drive, recorder
    wiring._containers = containers


def documented(row: str) -> dict[str, int]:
    """The calls in a row of the table in docs/cost.md."""
    [line] = [
        line for line in (ROOT / "docs/cost.md").read_text().splitlines() if line.startswith(f"| {row} |")
    ]
    own = line.replace("Lambda's poller 1 ReceiveMessage, 1 DeleteMessage", "")
    return {name: int(count) for count, name in re.findall(r"(\d+) ([A-Z]\w+)", own)}


def test_an_event_asks_of_aws_what_the_page_on_costs_says(counting: tuple[Drive, Counting]) -> None:
    drive, recorder = counting
    assert drive.invoke("api_handler", push("counted"))["statusCode"] == 200
    recorder.calls.pop("GetItem", None)  # the tick's word, every 15 s
    assert dict(recorder.calls) == documented("api, one match")
    [message] = drive.world.messages("submissions")
    recorder.calls.clear()
    drive.invoke("submit", records([message], "submissions"))
    assert dict(recorder.calls) == documented("worker, one submission")


def test_an_event_that_matches_nothing_rings_for_nobody(counting: tuple[Drive, Counting]) -> None:
    drive, recorder = counting
    event = push("unmatched")
    event["pathParameters"]["discriminator"] = "nobody"
    assert drive.invoke("api_handler", event)["statusCode"] == 200
    recorder.calls.pop("GetItem", None)
    assert dict(recorder.calls) == documented("api, nothing matches")
