"""Go's time package, against what Go 1.26.8 answered with TZ=UTC and the zones of the tzdata package.

tests/vectors/times.jsonl.gz holds one case a line: `parse`, `format`, `date`, `location`, `duration` and
`method`, with random layouts, values with a byte dropped or replaced, and wall times near changes of the clock.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.expressions.durations import format_duration
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.times import (
    METHODS,
    UTC,
    Duration,
    Location,
    Month,
    Time,
    Weekday,
    date,
    load_location,
    parse_duration,
    parse_time,
)

RECORDED = Path(__file__).parents[2] / "vectors" / "times.jsonl.gz"


def recorded(kind: str) -> Iterator[dict[str, Any]]:
    with gzip.open(RECORDED, "rt", encoding="utf-8") as lines:
        for line in lines:
            case = json.loads(line)
            if case.get("kind") == kind:
                yield case


def differences(kind: str, answer: Any) -> list[str]:
    """One line for each case of a kind that our answer differs on; a FunctionError is `{"error": …}`."""
    found = []
    for case in recorded(kind):
        try:
            ours = answer(case)
        except FunctionError as error:
            ours = {"error": error.message}
        wanted = {key: case[key] for key in ("error", *ours) if key in case}
        # Where Go fails on a directory it names the file system's trouble; to us it is an unknown zone.
        if "is a directory" in case.get("error", ""):
            wanted = {"error": f"unknown time zone {case['name']}"}
        if ours != wanted:
            found.append(f"{case}: {ours}")
    return found


def fields(time: Time) -> dict[str, Any]:
    zone = time.zone()
    return {
        "unix": str(time.unix_seconds),
        "nanosecond": time.nanosecond,
        "zone": zone.name,
        "offset": zone.offset,
        "text": str(time),
    }


def time_of(described: dict[str, Any]) -> Time:
    return Time(int(described["unix"]), described["nanosecond"], load_location(described["location"]))


def parsed(case: dict[str, Any]) -> dict[str, Any]:
    location = load_location(case["location"]) if "location" in case else None
    return fields(parse_time(case["value"], case["layout"], location))


def duration_of(case: dict[str, Any]) -> dict[str, Any]:
    duration = parse_duration(case["value"])
    return {"nanoseconds": str(duration.nanoseconds), "text": str(duration)}


def argument_of(described: Any) -> Any:
    match described:
        case int():
            return described
        case {"duration": nanoseconds}:
            return Duration(int(nanoseconds))
        case {"bytes": text}:
            return text.encode()
        case {"unix": _}:
            return time_of(described)
        case {"location": name}:
            return load_location(name)
        case str():
            return described
    raise AssertionError(described)


GO_TYPES: dict[type, set[str]] = {
    int: {"int", "int64"},
    bool: {"bool"},
    float: {"float64"},
    str: {"string"},
    bytes: {"[]uint8"},
    Time: {"time.Time"},
    Duration: {"time.Duration"},
    Month: {"time.Month"},
    Weekday: {"time.Weekday"},
    Location: {"*time.Location"},
}


def shown(value: Any) -> str:
    match value:
        case bytes():
            return value.hex()
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.17g}"
    return str(value)


def called(case: dict[str, Any]) -> dict[str, Any]:
    method = METHODS[case["type"]][case["name"]]
    if case["type"] == "time.Duration":
        receiver: Any = Duration(int(case["receiver"]))
        arguments = [Duration(int(argument)) for argument in case["arguments"]]
    else:
        receiver = time_of(case["receiver"])
        arguments = [argument_of(argument) for argument in case["arguments"]]
    assert len(arguments) == len(method.parameters)
    value = method.call(receiver, *arguments)
    assert method.result in GO_TYPES[type(value)]
    if isinstance(value, float):
        assert value == float(case["text"]), case
        return {"gotype": method.result}
    return {"gotype": method.result, "text": shown(value)}


# What we answer to each kind of recorded case.
ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "parse": parsed,
    "format": lambda case: {"text": time_of(case).format(case["layout"])},
    "date": lambda case: fields(date(*case["fields"], load_location(case["location"]))),
    "location": lambda case: {"text": str(load_location(case["name"]))},
    "duration": duration_of,
    "method": called,
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_recorded_times_answer_as_in_go(kind: str) -> None:
    assert differences(kind, ANSWERS[kind]) == []


def test_the_tables_hold_every_method_that_an_expression_can_call() -> None:
    recorded_names = {(case["type"], case["name"]) for case in recorded("method")}
    assert recorded_names == {
        (type_, name) for type_ in ("time.Time", "time.Duration") for name in METHODS[type_]
    }


def test_named_months_and_days_print_their_names() -> None:
    assert " ".join(str(Month(number))[:3] for number in (1, 2, 9, 12)) == "Jan Feb Sep Dec"
    assert " ".join(str(Weekday(number)) for number in (0, 6)) == "Sunday Saturday"


def test_years_beyond_four_digits_have_no_json() -> None:
    with pytest.raises(FunctionError, match=r"Time.MarshalJSON: year outside of range \[0,9999\]$"):
        date(10000, 1, 1).marshal()


def test_a_time_is_not_shown_nowhere() -> None:
    with pytest.raises(FunctionError, match="missing Location"):
        METHODS["time.Time"]["In"].call(date(2024, 1, 1), None)


def test_a_layout_of_any_length_is_read_in_bounded_time() -> None:
    with pytest.raises(FunctionError, match="longer than"):
        parse_time("1" * 20_000, "1" * 20_000)
    with pytest.raises(FunctionError, match="longer than"):
        date(2024, 1, 1).format("2" * 20_000)


texts = st.text(
    st.one_of(st.sampled_from("0123456789 -+:.,ZTJanMon_PMpmUTCS"), st.characters(exclude_categories=["Cs"])),
    max_size=40,
)


@given(layout=texts, value=texts, zone=st.sampled_from([None, "Europe/Zurich", "America/St_Johns"]))
def test_any_layout_and_value_give_a_time_or_our_error(layout: str, value: str, zone: str | None) -> None:
    try:
        time = parse_time(value, layout, load_location(zone) if zone else None)
    except FunctionError:
        return
    assert isinstance(time.format(layout), str)


@given(texts)
def test_any_text_is_a_duration_or_our_error(text: str) -> None:
    try:
        duration = parse_duration(text)
    except FunctionError:
        return
    assert parse_duration(str(duration)) == duration


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_duration_is_read_back_from_its_own_text(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == Duration(nanoseconds)


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["UTC", "Europe/Dublin", "Australia/Lord_Howe"]))
def test_every_instant_of_an_int64_has_a_wall_time(seconds: int, zone: str) -> None:
    time = Time(seconds, 0, load_location(zone))
    civil = time.civil()
    assert 1 <= civil.month <= 12
    assert 1 <= civil.year_day <= 366
    assert METHODS["time.Time"]["ZoneBounds"].call(time).unix_seconds <= max(seconds, -62135596800)


@given(st.text())
def test_any_zone_name_is_a_location_or_our_error(name: str) -> None:
    try:
        location = load_location(name)
    except FunctionError:
        return
    assert location.zones


def test_the_local_zone_is_utc() -> None:
    assert load_location("Local") is UTC
