"""Lines and metrics on standard output: their form, their context, and what never gets into them."""

from __future__ import annotations

import io
import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters.clocks import SystemClock
from chalicelib.adapters.journals import REDACTED, TEXT_LIMIT, StdoutJournal
from lynceus.local.memory import FakeClock

NOW = datetime(2026, 3, 2, 12, 0, 0, 123456, tzinfo=UTC)


class Written(io.StringIO):
    """A stream whose lines are read back as JSON."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        text = self.getvalue()
        assert text == "" or text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def journal(written: Written) -> StdoutJournal:
    return StdoutJournal("lynceus-api", "test", FakeClock(NOW), written)


def test_a_line_is_one_json_object_with_an_event_and_fields(journal: StdoutJournal, written: Written) -> None:
    journal.log("event.accepted", namespace="argo", size=12, bindings=3)
    assert written.lines == [
        {
            "namespace": "argo",
            "size": 12,
            "bindings": 3,
            "level": "INFO",
            "event": "event.accepted",
            "timestamp": "2026-03-02T12:00:00.123+00:00",
            "service": "lynceus-api",
            "stage": "test",
        }
    ]


def test_an_error_has_its_own_level(journal: StdoutJournal, written: Written) -> None:
    journal.error("queue.away", error="SQS queue q does not answer")
    (line,) = written.lines
    assert (line["level"], line["error"]) == ("ERROR", "SQS queue q does not answer")


def test_a_field_cannot_pose_as_the_event_or_its_level(journal: StdoutJournal, written: Written) -> None:
    journal.log("real", level="DEBUG", stage="prod", service="other", timestamp="never")
    (line,) = written.lines
    assert (line["event"], line["level"], line["stage"], line["service"]) == (
        "real",
        "INFO",
        "test",
        "lynceus-api",
    )


def test_fields_given_within_are_on_every_line_inside_and_nested_ones_join_them(
    journal: StdoutJournal, written: Written
) -> None:
    with journal.within(namespace="argo", request_id="r-1"):
        with journal.within(event_id="e-1"):
            journal.log("inner")
        journal.log("outer")
    journal.log("outside")
    inner, outer, outside = written.lines
    assert (inner["namespace"], inner["request_id"], inner["event_id"]) == ("argo", "r-1", "e-1")
    assert outer["request_id"] == "r-1"
    assert "event_id" not in outer
    assert "request_id" not in outside


def test_lines_are_written_within_though_the_work_inside_failed(
    journal: StdoutJournal, written: Written
) -> None:
    def fail() -> None:
        with journal.within(namespace="argo"):
            journal.count("events")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    journal.log("after")
    metrics, after = written.lines
    assert metrics["events"] == 1
    assert "namespace" not in after


def test_threads_do_not_see_each_others_fields(journal: StdoutJournal, written: Written) -> None:
    def one(number: int) -> None:
        with journal.within(number=number):
            for _ in range(50):
                journal.log("line", expected=number)
                journal.count("lines")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for line in written.lines if line["event"] == "line"]
    assert len(lines) == 400
    assert all(line["number"] == line["expected"] for line in lines)
    assert [line["lines"] for line in written.lines if line["event"] == "metrics"] == [50] * 8


# Metrics


def test_metrics_are_written_once_in_the_embedded_metric_format(
    journal: StdoutJournal, written: Written
) -> None:
    with journal.within(namespace="argo", binding="build"):
        journal.count("events")
        with journal.within(event_id="e-1"):
            journal.count("verdicts", 3)
            journal.count("events")
        journal.count("ack_seconds", 0.25, "Seconds")
        assert written.lines == []
    (line,) = written.lines
    assert line["_aws"] == {
        "Timestamp": int(NOW.timestamp() * 1000),
        "CloudWatchMetrics": [
            {
                "Namespace": "Lynceus",
                "Dimensions": [["stage"], ["stage", "namespace"]],
                "Metrics": [
                    {"Name": "events", "Unit": "Count"},
                    {"Name": "verdicts", "Unit": "Count"},
                    {"Name": "ack_seconds", "Unit": "Seconds"},
                ],
            }
        ],
    }
    assert (line["stage"], line["namespace"]) == ("test", "argo")
    assert (line["events"], line["verdicts"], line["ack_seconds"]) == (2, 3, 0.25)
    assert line["binding"] == "build"


def test_metrics_without_a_namespace_have_the_stage_alone(journal: StdoutJournal, written: Written) -> None:
    journal.count("heartbeat_sweep")
    journal.flush()
    journal.flush()
    (line,) = written.lines
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["stage"]]
    assert "namespace" not in line


def test_each_namespace_has_a_line_of_its_own(journal: StdoutJournal, written: Written) -> None:
    with journal.within(function="tick"):
        for namespace in ("a", "b", "a"):
            with journal.within(namespace=namespace):
                journal.count("swept")
    assert {line["namespace"]: line["swept"] for line in written.lines} == {"a": 2, "b": 1}


def test_of_durations_every_value_is_kept_a_hundred_to_a_line(
    journal: StdoutJournal, written: Written
) -> None:
    with journal.within(namespace="argo"):
        journal.count("workflows", 250)
        for number in range(250):
            journal.count("end_to_end_seconds", number, "Seconds")
    lines = written.lines
    assert [len(line["end_to_end_seconds"]) for line in lines] == [100, 100, 50]
    assert sum(line.get("workflows", 0) for line in lines) == 250
    for line in lines:
        named = [metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
        assert all(name in line for name in named)


def test_dimensions_are_never_more_than_stage_and_namespace(journal: StdoutJournal, written: Written) -> None:
    with journal.within(namespace="argo", binding="b", client="c", function="f"):
        journal.count("events")
    used = {
        name for names in written.lines[0]["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for name in names
    }
    assert used == {"stage", "namespace"}


def test_a_metric_keeps_its_value_though_a_field_has_its_name(
    journal: StdoutJournal, written: Written
) -> None:
    with journal.within(namespace="argo", events="text"):
        journal.count("events")
    assert written.lines[0]["events"] == 1


# What never gets there


@pytest.mark.parametrize(
    "name",
    ["token", "bearer_token", "secret", "secrets", "client_secret", "password", "Authorization", "cookie", "api_key",
     "x_hub_signature", "credentials", "body", "raw_body", "payload", "headers", "parameters", "arguments", "manifest"],
)  # fmt: skip
def test_a_field_named_like_a_credential_or_a_payload_is_not_written(
    journal: StdoutJournal, written: Written, name: str
) -> None:
    journal.log("mistake", **{name: "hunter2-and-more"})
    with journal.within(**{name: {"inner": "hunter2-and-more"}}):
        journal.log("within")
        journal.count("events")
    journal.log("nested", detail={"deep": {name: ["hunter2-and-more"]}})
    assert "hunter2" not in written.getvalue()
    assert written.lines[0][name] == REDACTED


def test_sizes_and_counts_of_what_is_confidential_may_be_written(
    journal: StdoutJournal, written: Written
) -> None:
    journal.log("event.accepted", body_size=1234, secrets=2, has_token=True, headers=None)
    (line,) = written.lines
    assert (line["body_size"], line["secrets"], line["has_token"], line["headers"]) == (1234, 2, True, None)


@pytest.mark.parametrize(
    "text",
    [
        "refused: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl",
        "authorization was basic dXNlcjpodW50ZXIy",
        "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl is over",
        "k8s-aws-v1.aHR0cHM6Ly9zdHM was refused",
        "https://sts.test/?X-Amz-Signature=c2lnbmF0dXJl&X-Amz-Security-Token=dXNlcjpodW50ZXIy",
    ],
)
def test_text_that_looks_like_a_credential_is_cut_out_wherever_it_stands(
    journal: StdoutJournal, written: Written, text: str
) -> None:
    journal.error("failed", error=text, also=[text], deep={"text": text})
    for trace in ("eyJhbGci", "dXNlcjpodW50ZXIy", "c2lnbmF0dXJl", "aHR0cHM6Ly9zdHM"):
        assert trace not in written.getvalue()
    assert REDACTED in written.lines[0]["error"]


def test_bytes_are_told_by_their_number(journal: StdoutJournal, written: Written) -> None:
    journal.log("odd", raw=b"\x00\x01 private")
    assert written.lines[0]["raw"] == "[10 bytes]"


def test_an_exception_and_a_moment_are_written_as_text(journal: StdoutJournal, written: Written) -> None:
    journal.error("odd", error=ValueError("broken"), at=NOW)
    assert written.lines[0]["error"] == "broken"
    assert written.lines[0]["at"] == str(NOW)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "\x00\u2028", "a\nb"])
    | st.binary()
    | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.sets(st.integers()),
    max_leaves=10,
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), VALUES, max_size=4))
def test_whatever_the_fields_are_the_line_is_one_line_of_json(fields: dict[str, Any]) -> None:
    written = Written()
    fields.pop("event", None)
    StdoutJournal("s", "test", FakeClock(), written).log("odd", **fields)
    text = written.getvalue()
    assert text.count("\n") == 1
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def test_a_line_is_bounded_whatever_it_is_given(journal: StdoutJournal, written: Written) -> None:
    deep: Any = "x" * 10_000_000
    for _ in range(50):
        deep = {"inner": deep, "many": list(range(100_000))}
    journal.log("huge", text="y" * 10_000_000, deep=deep)
    assert len(written.lines[0]["text"]) == TEXT_LIMIT
    assert len(written.getvalue()) < 20_000


def test_fields_too_large_together_are_dropped_and_the_event_stays(
    journal: StdoutJournal, written: Written
) -> None:
    journal.error("huge", many=[["z" * 1000] * 50] * 50)
    (line,) = written.lines
    assert (line["event"], line["level"]) == ("huge", "ERROR")
    assert line["dropped"] > 1_000_000
    assert "many" not in line


def test_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    StdoutJournal("s", "test", SystemClock()).log("hello")
    line = json.loads(capsys.readouterr().out)
    assert line["event"] == "hello"
    assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None


def test_the_clock_of_the_machine_is_aware_and_never_goes_back() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() >= before + 0.001
    assert clock.now().tzinfo is UTC
