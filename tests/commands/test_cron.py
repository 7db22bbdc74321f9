"""`lynceus cron`: what can be known without a cluster, and what is asked of the API."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from lynceus.__main__ import main
from tests.commands.systems import Shell, served
from tests.world import World

MANIFEST = """
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: nightly, namespace: argo}
spec:
  schedules: ["30 2 * * *", "@hourly"]
  timezone: Europe/Berlin
  workflowSpec: {workflowTemplateRef: {name: build}}
"""


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["cron", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_next_lists_the_fire_times_and_marks_the_day_of_a_clock_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = said(
        capsys, "next", "--schedule", "0 12 * * *", "--timezone", "Europe/Berlin",
        "--from", "2026-03-28T00:00:00Z", "--count", "2",
    )  # fmt: skip

    lines = out.splitlines()
    assert code == 0
    assert lines[1].split() == ["2026-03-28T11:00:00+00:00", "2026-03-28T12:00:00+01:00"]
    assert lines[2].endswith("2026-03-29T12:00:00+02:00  clocks change on this day")


def test_next_reads_a_manifest_with_all_its_schedules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cron.yaml"
    path.write_text(MANIFEST)

    code = main(
        ["-o", "json", "cron", "next", "--file", str(path), "--from", "2026-06-01T00:10:00Z", "--count", "3"]
    )

    times = [row["utc"] for row in json.loads(capsys.readouterr().out)]
    assert code == 0
    assert times == ["2026-06-01T00:30:00+00:00", "2026-06-01T01:00:00+00:00", "2026-06-01T02:00:00+00:00"]


def test_a_schedule_that_argo_refuses_is_refused_in_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "next", "--schedule", "0 0 * * 7")

    assert code == 1
    assert "end of range (7) above maximum (6): 7" in err


def test_a_schedule_that_never_fires_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "next", "--schedule", "0 0 30 2 *")

    assert code == 1
    assert "never fires" in out


def test_an_invalid_object_says_what_argo_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cron.yaml"
    path.write_text(MANIFEST.replace("Europe/Berlin", "Europe/Berlim"))

    code, _, err = said(capsys, "next", "--file", str(path))

    assert code == 1
    assert 'invalid timezone "Europe/Berlim"' in err


def test_without_a_token_the_api_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LYNCEUS_TOKEN", raising=False)

    code, _, err = said(capsys, "history", "nightly")

    assert code == 1
    assert "no token" in err


def test_an_api_that_is_not_there_is_exit_code_three(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "history", "nightly", "--token", "t", "--url", "http://127.0.0.1:9")

    assert code == 3
    assert "does not answer" in err


def test_a_backfill_without_a_yes_does_nothing_where_nobody_can_be_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lynceus.output import Output

    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert (
        Output(stdout=io.StringIO(), stderr=io.StringIO()).confirm("Make up for 3 runs?", yes=False) is False
    )


NIGHTLY = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "CronWorkflow",
    "metadata": {"name": "nightly", "namespace": "argo"},
    "spec": {"schedules": ["0 * * * *"], "workflowSpec": {"workflowTemplateRef": {"name": "build"}}},
}


def test_a_backfill_makes_backfilled_runs_of_all_that_are_missing_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World(NIGHTLY)
    words = (
        "cron",
        "backfill",
        "nightly",
        "--start",
        "2026-03-01T01:00:00Z",
        "--end",
        "2026-03-01T03:30:00Z",
    )
    with served(world) as url:
        shell = Shell(url, capsys)
        _, planned, _ = shell.run(*words, "--dry-run")
        code, said, _ = shell.run(*words, "--yes")
        world.work(cron=True)
        _, again, _ = shell.run(*words, "--yes")

    assert planned.splitlines()[0] == "3 runs, 3 of them still to be made"
    assert (code, said.splitlines()[-1]) == (0, "3 runs sent")
    assert again.splitlines() == ["3 runs, 0 of them still to be made", *again.splitlines()[1:]]
    assert len(world.workflows()) == 3
    for workflow in world.workflows():
        assert workflow["metadata"]["labels"]["workflows.argoproj.io/backfill"] == "nightly"
        assert "controller" not in workflow["metadata"]["ownerReferences"][0]


def test_the_history_shows_start_and_lateness_of_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(NIGHTLY)
    with served(world) as url:
        shell = Shell(url, capsys)
        shell.run("cron", "run", "nightly", "--at", "2026-03-02T11:00:00Z")
        world.clock.sleep(3)
        world.work(cron=True)
        _, table, _ = shell.run("cron", "history", "nightly")

    head, row = (line.split() for line in table.splitlines())
    assert head == ["SCHEDULED", "STARTED", "LATE", "STATE", "REASON", "WORKFLOW", "MESSAGE"]
    assert row[:5] == ["2026-03-02T11:00:00+00:00", "2026-03-02T12:00:03+00:00", "3.0", "s", "created"]
