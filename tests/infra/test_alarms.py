"""Every alarm, shown silent when all is well and firing when it should.

AWS evaluates alarms, so the rule is written down here (`fires`), with the lines of the journal as they are written.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chalicelib.adapters.journals import StdoutJournal
from lynceus.packaging.templates import load, resolve
from tests.infra.test_templates import as_deployed, of_kind

ROOT = Path(__file__).resolve().parents[2]
Alarm = Mapping[str, Any]
# A period's values; an empty one is missing data.
Series = Sequence[Sequence[float]]


def alarms() -> dict[str, Alarm]:
    template = load(ROOT / "infra/resources.yaml")
    found = of_kind(as_deployed(template, "dev"), "AWS::CloudWatch::Alarm")
    return {alarm["AlarmName"].removeprefix("lynceus-dev-"): alarm for alarm in found.values()}


ALARMS = alarms()


def statistic(alarm: Alarm, values: Sequence[float]) -> float:
    name = alarm.get("Statistic") or alarm["ExtendedStatistic"]
    if name == "Sum":
        return sum(values)
    if name == "Maximum":
        return max(values)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(float(name[1:]) / 100 * len(ordered)) - 1)]


def fires(alarm: Alarm, series: Series) -> bool:
    """Whether the alarm is in state ALARM after the last of these periods."""
    recent = list(series)[-alarm["EvaluationPeriods"] :]
    recent = [()] * (alarm["EvaluationPeriods"] - len(recent)) + recent
    over = {"GreaterThanThreshold": float.__gt__, "LessThanThreshold": float.__lt__}[
        alarm["ComparisonOperator"]
    ]
    breaching = 0
    for values in recent:
        if values:
            breaching += over(float(statistic(alarm, values)), float(alarm["Threshold"]))
        else:
            breaching += alarm["TreatMissingData"] == "breaching"
    return breaching >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"])


# Alarm → periods with all well, periods with the trouble it is for.
WELL_AND_ILL: dict[str, tuple[Series, Series]] = {
    "dead-letters": ([[0]], [[0], [1]]),
    "submissions-waiting": ([[5]] * 3, [[620], [680], [740]]),
    "submissions-stuck": ([[2.0, 90.0]], [[1700.0], [1860.0]]),
    "cron-waiting": ([[0]] * 3, [[310], [370], [430]]),
    "api-errors": ([[]], [[1]]),
    "api-throttles": ([[]], [[1]]),
    "tick-errors": ([[1]], [[2]]),
    "tick-throttles": ([[1]], [[6]]),
    "submit-errors": ([[0]], [[1]]),
    "submit-throttles": ([[5]], [[6]]),
    "submit-cron-errors": ([[0]], [[1]]),
    "submit-cron-throttles": ([[5]], [[6]]),
    "operator-needed": ([[]], [[1]]),
    "ledger-away": ([[]], [[1]]),
    "cron-missed": ([[]], [[1]]),
    "cron-late": ([[0.1, 2.0]] * 3, [[40.0, 50.0]] * 3),
    "submissions-late": ([[0.5, 3.0]] * 3, [[130.0, 200.0]] * 3),
    "heartbeat-plan": ([[1], [], [1], []], [[1], [], []]),  # within three minutes
    "heartbeat-snapshot": ([[1]] * 5, [[1], [], [], [], [], []]),
    "heartbeat-sweep": ([[1], [], [1], [], []], [[]]),
}


def test_every_alarm_is_shown() -> None:
    assert set(WELL_AND_ILL) == set(ALARMS)


@pytest.mark.parametrize("name", WELL_AND_ILL)
def test_an_alarm_is_silent_when_all_is_well(name: str) -> None:
    assert not fires(ALARMS[name], WELL_AND_ILL[name][0])


@pytest.mark.parametrize("name", WELL_AND_ILL)
def test_an_alarm_fires_for_what_it_is_for(name: str) -> None:
    assert fires(ALARMS[name], WELL_AND_ILL[name][1])


@pytest.mark.parametrize("name", WELL_AND_ILL)
def test_an_alarm_goes_to_the_one_topic_and_says_when_it_is_over(name: str) -> None:
    alarm = ALARMS[name]
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}]
    assert len(alarm["AlarmDescription"]) > 20


@pytest.mark.parametrize("name", WELL_AND_ILL)
def test_every_alarm_is_explained_to_operators(name: str) -> None:
    assert f"### `{name}`" in (ROOT / "docs/operate.md").read_text()


class Noon:
    """A clock that stands."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        return


OURS = sorted({alarm["MetricName"] for alarm in ALARMS.values() if alarm["Namespace"] == "Lynceus"})


@pytest.mark.parametrize("metric", OURS)
def test_an_alarm_reads_the_metric_that_the_journal_writes(metric: str) -> None:
    stream = io.StringIO()
    journal = StdoutJournal("lynceus-test", "dev", Noon(), stream)
    with journal.within(namespace="argo"):
        journal.count(metric)
    [line] = [json.loads(line) for line in stream.getvalue().splitlines()]
    [declared] = line["_aws"]["CloudWatchMetrics"]
    for alarm in ALARMS.values():
        if alarm["MetricName"] == metric:
            assert declared["Namespace"] == alarm["Namespace"]
            assert [dimension["Name"] for dimension in alarm["Dimensions"]] in declared["Dimensions"]
            assert all(line[dimension["Name"]] == dimension["Value"] for dimension in alarm["Dimensions"])
            assert metric in {one["Name"] for one in declared["Metrics"]}


def counted() -> set[str]:
    """Names that the code counts: literals, and those made of a state or of a part of the tick."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "chalicelib").rglob("*.py")))
    states = {"failed", "skipped", "expired", "missed"} if "journal.count(state)" in text else set()
    parts = {f"heartbeat_{part}" for part in ("plan", "snapshot", "sweep") if f'_part("{part}"' in text}
    return {name for name in OURS if f'count("{name}"' in text} | states | parts


@pytest.mark.parametrize("metric", OURS)
def test_an_alarm_reads_a_metric_that_somebody_counts(metric: str) -> None:
    assert metric in counted()


def test_the_dashboard_is_json_and_shows_metrics_of_this_stage() -> None:
    template = load(ROOT / "infra/resources.yaml")
    [dashboard] = of_kind(template, "AWS::CloudWatch::Dashboard").values()
    names = {"Stage": "dev", "AWS::Region": "eu-west-1"}
    body = json.loads(resolve(dashboard["DashboardBody"], names))
    assert len(body["widgets"]) == 6
    assert "lynceus-dev-submissions" in json.dumps(body)
    assert "${" not in json.dumps(body)


def test_functions_named_by_alarms_are_those_that_are_deployed() -> None:
    named: Callable[[str], set[str]] = lambda key: {  # noqa: E731
        dimension["Value"]
        for alarm in ALARMS.values()
        for dimension in alarm["Dimensions"]
        if dimension["Name"] == key
    }
    assert named("FunctionName") == {
        "lynceus-dev",
        "lynceus-dev-tick",
        "lynceus-dev-submit",
        "lynceus-dev-submit_cron",
    }
    assert named("QueueName") == {"lynceus-dev-submissions", "lynceus-dev-cron", "lynceus-dev-dead"}
