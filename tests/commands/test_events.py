"""`lynceus events` and `lynceus dlq`: what happened, and running it again, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chalicelib.flow import replay
from chalicelib.ports import Refusal
from lynceus import savings
from lynceus.commands import events as events_command
from tests.commands.systems import Shell, served
from tests.world import PUSH, World, binding, template

LONG_AGO = "2026-01-01T00:00:00Z"


@pytest.fixture
def world() -> World:
    return World(binding("on-push"), binding("release", 'payload.ref == "refs/heads/release"'))


@pytest.fixture
def shell(world: World, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with served(world) as url:
        yield Shell(url, capsys)


def test_list_shows_the_newest_first_with_counts(shell: Shell, world: World) -> None:
    for number in range(3):
        world.receive(world.delivery(guid=f"guid-{number}"))
        world.clock.sleep(1)

    code, out, _ = shell.run("events", "list", "--limit", "2")

    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["ID", "RECEIVED", "CLIENT", "EVENT", "DELIVERY", "VERDICTS"]
    assert ["guid-2" in lines[1], "guid-1" in lines[2], len(lines)] == [True, True, 3]
    assert "1 matched" in lines[1]


@pytest.mark.parametrize(
    "words",
    [
        ("list", "--limit", "0"),
        ("list", "--day", "2026-13-01"),
        ("list", "--since", "yesterday"),
        ("list", "--reason", "render_error"),
        ("tail", "--every", "-1"),
        ("tail", "--every", "nan"),
        ("replay", "--since", "1h", "--rate", "0"),
        ("replay", "--since", "1h", "--rate", "nan"),
        ("replay", "--resume", "pyproject.toml"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_of_few_words(shell: Shell, words: tuple[str, ...]) -> None:
    code, out, err = shell.run("events", *words)

    assert (code, out) == (2, "")
    assert "Traceback" not in err


def test_a_reason_that_does_not_exist_is_answered_with_the_one_that_was_meant(shell: Shell) -> None:
    assert 'did you mean "render-error"?' in shell.run("events", "list", "--reason", "render_error")[2]


@pytest.mark.parametrize("token", ["abc\ndef", "tökèn", "a\x00b"])
def test_a_token_that_no_header_can_carry_is_a_usage_error(
    token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from lynceus.__main__ import main

    assert main(["events", "list", "--token", token]) == 2
    assert "token" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["notaurl", "ftp://x", "http:///x", "argo.example.com:2746"])
def test_what_is_no_url_is_a_usage_error(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    from lynceus.__main__ import main

    assert main(["events", "list", "--token", "t", "--url", url]) == 2
    assert "https://" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(shell: Shell, world: World) -> None:
    world.receive()

    code, _, err = shell.run("events", "save", "--to", "/no/such/directory/x.json")

    assert (code, err) == (1, "error: /no/such/directory/x.json: No such file or directory\n")


def test_an_unknown_binding_is_said_to_be_unknown(shell: Shell) -> None:
    _, out, _ = shell.run("events", "binding", "on-pusch")

    assert 'there is no WorkflowEventBinding "on-pusch"' in out


def test_a_comparison_that_can_never_be_true_is_answered_with_one_that_can(
    shell: Shell, world: World
) -> None:
    world.cluster.apply(binding("never", 'metadata["x-github-event"] == "push"'))
    world.clock.sleep(60)
    world.receive()

    _, out, _ = shell.run("events", "explain", "--binding", "never")

    assert 'do: write metadata["x-github-event"] == ["push"]' in out


def test_an_explanation_without_the_body_tells_what_was_recorded(shell: Shell, world: World) -> None:
    event = world.receive().headers["Lynceus-Event-Id"]
    shell.run("events", "erase", event, "--yes")

    code, out, _ = shell.run("events", "explain", event)

    assert (code, "is not kept" in out, "on-push: matched" in out) == (0, True, True)


def test_an_interrupted_replay_says_how_to_go_on(
    shell: Shell, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        world.receive(world.delivery(guid=f"guid-{number}"))
    world.work()
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"namespace": "argo", "replay": "r1", "force": False, "left": ["a", "b"]}))
    world.cluster.deny("ada", "create", "replays")

    code, _, err = shell.run("events", "replay", "--resume", str(plan))

    assert code == 1
    assert f"lynceus events replay -n argo --resume {plan}" in err


def test_list_goes_back_day_by_day(shell: Shell, world: World) -> None:
    world.receive(world.delivery(guid="yesterday"))
    world.clock.sleep(86400)
    world.receive(world.delivery(guid="today"))

    found = shell.data("events", "list", "--since", LONG_AGO)["items"]

    assert [item["delivery_id"] for item in found] == ["today", "yesterday"]
    day = shell.data("events", "list", "--day", found[1]["receivedAt"][:10])["items"]
    assert [item["delivery_id"] for item in day] == ["yesterday"]


def test_tail_prints_each_event_once_and_oldest_first(shell: Shell, world: World) -> None:
    for number in range(2):
        world.receive(world.delivery(guid=f"guid-{number}"))
        world.clock.sleep(1)

    _, out, _ = shell.run("events", "tail", "--since", LONG_AGO, "--looks", "3", "--every", "0")

    ids = [listed["id"] for listed in shell.data("events", "list")["items"]]
    assert [line.split()[1] for line in out.splitlines()] == ids[::-1]


def test_tail_prints_json_of_a_line_each(shell: Shell, world: World) -> None:
    for number in range(2):
        world.receive(world.delivery(guid=f"guid-{number}"))

    _, out, _ = shell.run("events", "tail", "--since", LONG_AGO, "--looks", "1", "-o", "json")

    assert sorted(json.loads(line)["delivery_id"] for line in out.splitlines()) == ["guid-0", "guid-1"]


def test_explain_without_an_id_takes_the_newest_and_prints_the_anchor_of_each_reason(
    shell: Shell, world: World
) -> None:
    world.receive()

    code, out, _ = shell.run("events", "explain")

    assert code == 0
    assert 'because payload.ref == "refs/heads/release" is false' in out
    assert "docs/why-did-it-not-run.md#selector-false" in out
    assert "on-push: matched" in out


def test_explain_of_a_namespace_without_events_says_what_to_do(shell: Shell) -> None:
    code, _, err = shell.run("events", "explain")

    assert code == 1
    assert "lynceus send" in err


def test_show_tells_verdicts_submissions_and_notes(shell: Shell, world: World) -> None:
    world.receive()
    world.receive()
    world.work()

    _, out, _ = shell.run("events", "show", "--body")

    assert f"Workflow {world.names()[0]}: created" in out
    assert "duplicate" in out
    assert PUSH["after"] in out


def test_a_replay_asks_first_and_does_nothing_where_nobody_can_be_asked(shell: Shell, world: World) -> None:
    world.receive()
    world.work()

    code, out, err = shell.run("events", "replay", "--since", LONG_AGO, "--force")
    world.work()

    assert (code, len(world.names())) == (1, 1)
    assert "1 Workflows to run" in out
    assert "--yes" in err


def test_one_command_replays_what_a_broken_binding_missed(shell: Shell, world: World) -> None:
    world.cluster.apply(binding("on-push", "payload.a.b == 1"))
    for number in range(replay.BATCH + 5):
        world.receive(world.delivery(guid=f"guid-{number}"))
    world.cluster.apply(binding("on-push"))
    world.clock.sleep(60)

    told = shell.data("events", "replay", "--since", LONG_AGO, "--yes", "--rate", "1000")
    world.work()

    assert (told["runs"], told["errors"]) == (replay.BATCH + 5, 0)
    assert len(world.names()) == replay.BATCH + 5
    assert shell.data("events", "replay", "--since", LONG_AGO, "--yes")["runs"] == 0


def test_a_dry_run_of_a_replay_starts_nothing(shell: Shell, world: World) -> None:
    event = world.receive().headers["Lynceus-Event-Id"]
    world.work()

    told = shell.data("events", "replay", event, "--force", "--dry-run")
    world.work()

    assert (told["runs"], len(world.names())) == (1, 1)


def test_an_interrupted_replay_goes_on_where_it_was_and_runs_nothing_twice(
    shell: Shell, world: World, tmp_path: Path
) -> None:
    ids = [world.receive(world.delivery(guid=f"guid-{n}")).headers["Lynceus-Event-Id"] for n in range(4)]
    world.work()
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"namespace": "argo", "replay": "r1", "force": True, "left": ids[:2]}))
    first = shell.data("events", "replay", "--resume", str(plan))
    plan.write_text(json.dumps({"namespace": "argo", "replay": "r1", "force": True, "left": ids}))
    second = shell.data("events", "replay", "--resume", str(plan))
    world.work()

    assert (first["runs"], second["runs"]) == (2, 2)
    assert len(world.names()) == 8
    assert not plan.exists()


def test_a_plan_of_another_namespace_is_refused(shell: Shell, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"namespace": "other", "replay": "r1", "force": True, "left": []}))

    code, _, err = shell.run("events", "replay", "--resume", str(plan))

    assert (code, "-n other" in err) == (2, True)


def test_a_replay_of_nothing_in_particular_is_a_usage_error(shell: Shell) -> None:
    assert shell.run("events", "replay")[0] == 2


def test_rule_37_a_saved_event_holds_no_credential(shell: Shell, world: World, tmp_path: Path) -> None:
    body = {
        **PUSH,
        "token": "crown jewels",
        "hook": {
            "config": {"secret": "crown jewels", "url": "https://ada:crown@example.com/?sig=jewels&a=1"}
        },
        "text": "use ghp_" + "a1B2" * 10 + " for it",
    }
    world.receive(world.delivery(body))
    path = tmp_path / "push.json"

    shell.run("events", "save", "--to", str(path))

    saved = path.read_text()
    assert not any(secret in saved for secret in ("crown", "jewels", "ghp_"))
    fixture = json.loads(saved)
    assert fixture["payload"]["after"] == PUSH["after"]
    assert savings.event_of_fixture(fixture, "push.json").metadata["x-github-event"] == ["push"]


def test_without_the_right_the_roles_to_bind_are_named(shell: Shell, world: World) -> None:
    world.cluster.deny("ada", "list", "events")

    code, _, err = shell.run("events", "list")

    assert code == 1
    assert "lynceus-viewer" in err


def test_without_a_token_the_api_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lynceus.__main__ import main

    monkeypatch.delenv("LYNCEUS_TOKEN", raising=False)

    assert main(["events", "list"]) == 1
    assert "--token" in capsys.readouterr().err


def test_an_api_that_does_not_answer_is_exit_code_three(capsys: pytest.CaptureFixture[str]) -> None:
    from lynceus.__main__ import main

    assert main(["events", "list", "--token", "t", "--url", "http://127.0.0.1:9"]) == 3


@pytest.mark.parametrize("text", ["", "yesterday", "5 minutes", "-1h", "9" * 40 + "d"])
def test_a_time_is_written_as_a_moment_or_how_long_ago(text: str) -> None:
    from datetime import UTC, datetime

    from chalicelib.core.errors import BadRequest
    from lynceus.api import moment_of

    now = datetime(2026, 3, 2, tzinfo=UTC)
    assert moment_of("6h", now) == datetime(2026, 3, 1, 18, tzinfo=UTC)
    assert moment_of("2026-03-01", now) == datetime(2026, 3, 1, tzinfo=UTC)
    if text:
        with pytest.raises(BadRequest):
            moment_of(text, now)
    else:
        assert moment_of(text, now) is None


def test_an_event_is_found_by_its_binding_its_workflow_and_its_delivery(shell: Shell, world: World) -> None:
    event = world.receive().headers["Lynceus-Event-Id"]
    world.work()

    health = shell.data("events", "binding", "on-push")
    made = shell.data("events", "workflow", world.names()[0])
    came = shell.data("events", "delivery", "guid-1", "--client", "github.com", "--hook", "77")

    assert (health["rates"], health["lastMatch"]["cause"]) == ({"hour": 1, "day": 1}, event)
    assert [item["cause"] for item in made["items"]] == [event]
    assert [item["id"] for item in came["items"]] == [event]
    assert "1 matches in the last hour" in shell.run("events", "binding", "on-push")[1]


def test_refused_requests_are_listed_with_their_reason(shell: Shell, world: World) -> None:
    world.archive.refuse(Refusal("argo", "no-match", world.clock.now(), 12, {"status": "401"}))

    code, out, _ = shell.run("events", "refused")

    assert code == 0
    assert out.splitlines()[1].split()[1:] == ["12", "no-match", "401"]


def test_a_body_is_erased_only_after_a_yes(shell: Shell, world: World) -> None:
    event = world.receive().headers["Lynceus-Event-Id"]

    assert shell.run("events", "erase", event)[0] == 1
    assert world.ledger.bodies
    assert shell.run("events", "erase", event, "--yes")[0] == 0
    assert not world.ledger.bodies


def failed(world: World) -> None:
    world.cluster.apply(binding("on-push", template="later"))
    world.clock.sleep(60)
    world.receive()
    world.work()
    world.pass_time(5)


def test_dlq_lists_what_failed_and_exits_one(shell: Shell, world: World) -> None:
    assert shell.run("dlq", "list")[0] == 0
    failed(world)
    world.queue.bury("{", "no JSON")

    code, out, _ = shell.run("dlq", "list")

    assert code == 1
    assert "docs/why-did-it-not-run.md#template-not-found" in out
    assert "no JSON" in out


def test_dlq_redrives_what_failed_after_a_yes(shell: Shell, world: World) -> None:
    failed(world)
    world.cluster.apply(template("later"))

    refused, _, _ = shell.run("dlq", "redrive", "--all")
    code, out, _ = shell.run("dlq", "redrive", "--all", "--yes")
    world.work()

    assert (refused, code, len(world.names())) == (1, 0, 1)
    assert "1 tried again" in out


def test_dlq_redrive_of_what_has_not_failed_names_it(shell: Shell) -> None:
    code, _, err = shell.run("dlq", "redrive", "no-such-workflow", "--yes")

    assert (code, "no-such-workflow" in err) == (1, True)


def test_dlq_sends_dead_letters_again(shell: Shell, world: World) -> None:
    world.queue.bury('{"v": 1, "kind": "match", "event": "e"}', "the ledger was away")

    code, out, _ = shell.run("dlq", "redrive", "--letters", "--yes")

    assert (code, world.queue.dead) == (0, [])
    assert "1 sent again" in out


def test_the_batch_of_the_command_is_the_batch_of_the_api() -> None:
    assert events_command.BATCH == replay.BATCH
