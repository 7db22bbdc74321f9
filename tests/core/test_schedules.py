"""Schedules: Argo's dialect, the clock's changes, and what holds for every text and every instant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import ScheduleError
from chalicelib.core.schedules import DESCRIPTORS, FieldSchedule, Schedule, load_zone, moves_clock, parse
from tests.conformance import cron as recorded

MINUTE = timedelta(minutes=1)

# Clocks that move by whole hours and not at midnight: here robfig passes over nothing.
PLAIN_ZONES = ["UTC", "America/Los_Angeles", "Europe/Paris", "Australia/Sydney", "Asia/Kolkata"]
# Half an hour, midnight to the east and to the west, three quarters, a day left out.
ODD_ZONES = [
    "Australia/Lord_Howe", "Africa/Cairo", "America/Havana", "America/Sao_Paulo", "Pacific/Chatham", "Pacific/Apia",
    "Asia/Gaza", "America/St_Johns", "Antarctica/Troll",
]  # fmt: skip
# Instants near which these zones change their clocks.
CHANGES = [
    "2026-03-08T10:00:00Z", "2026-11-01T09:00:00Z", "2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z",
    "2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z", "2024-04-25T22:00:00Z", "2024-10-31T21:00:00Z",
    "2024-11-03T05:00:00Z", "2018-11-04T03:00:00Z", "2011-12-30T10:00:00Z", "2024-02-29T12:00:00Z",
]  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def following(schedule: Schedule, start: str, count: int) -> list[str]:
    """`count` fire times after `start`, as day and time in UTC."""
    moment, found = at(start), []
    for _ in range(count):
        answer = schedule.next(moment)
        assert answer is not None
        found.append(answer.strftime("%dT%H:%M"))
        moment = answer
    return found


def refusal(schedule: str, timezone: str = "", **options: str) -> str:
    with pytest.raises(ScheduleError) as caught:
        parse(schedule, timezone, **options)  # type: ignore[arg-type]  # the tests' options are strings
    return caught.value.message


def items(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    ranges = st.tuples(number, number).map(lambda two: f"{min(two)}-{max(two)}")
    plain = st.one_of(number.map(str), ranges, st.just("*"), st.just("?"))
    stepped = st.tuples(plain, st.integers(1, most + 2)).map(lambda two: f"{two[0]}/{two[1]}")
    return st.one_of(
        st.just("*"), st.just("*"), plain, stepped, st.lists(plain, min_size=2, max_size=3).map(",".join)
    )


SCHEDULES = st.tuples(
    items(0, 59), items(0, 23), items(1, 31), st.one_of(st.just("*"), items(1, 12)), items(0, 6)
).map(" ".join)
MOMENTS = st.tuples(st.sampled_from(CHANGES), st.integers(-2 * 86400, 2 * 86400)).map(
    lambda two: at(two[0]) + timedelta(seconds=two[1])
)


def by_hand(schedule: FieldSchedule, start: datetime, end: datetime) -> list[datetime]:
    """Every whole minute from start to end whose wall clock matches, found by looking at each."""
    calendar = schedule.calendar
    moment = start.replace(second=0, microsecond=0)
    found = []
    while moment <= end:
        wall = moment.astimezone(schedule.zone)
        if (
            moment >= start
            and wall.second == 0
            and wall.minute in calendar.minutes
            and wall.hour in calendar.hours
            and calendar.allows(wall)
        ):
            found.append(moment)
        moment += MINUTE
    return found


# --- recorded -------------------------------------------------------------------------------------------------


def test_every_recorded_schedule_fires_and_fails_as_in_argo() -> None:
    wrong = [
        (case["id"], recorded.outcome(case))
        for case in recorded.cases()
        if case.get("error") != "hang"
        and not recorded.drifted(case["timezone"])
        and recorded.outcome(case) != recorded.expected(case)
    ]
    assert wrong == []


@pytest.mark.parametrize("case", [case for case in recorded.cases() if case.get("error") == "hang"])
def test_a_day_that_the_zone_left_out_is_stepped_over_where_robfig_hangs(case: dict[str, str]) -> None:
    schedule = parse(case["schedule"], case["timezone"])
    moment = at(case["from"])
    answer = schedule.next(moment)
    assert answer is not None
    assert answer == schedule.at_or_after(moment)
    assert recorded.outcome(case) == recorded.expected(case)


# --- the dialect ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("", "empty spec string"),
        (" ", "expected exactly 5 fields, found 0: []"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("0 0 * * 7", "end of range (7) above maximum (6): 7"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ('"0 0 * * *"', 'failed to parse int from "0: strconv.Atoi: parsing "\\"0": invalid syntax'),
        ("@reboot", "unrecognized descriptor: @reboot"),
        ("@every 1d", 'failed to parse duration @every 1d: time: unknown unit "d" in duration "1d"'),
        ("CRON_TZ=Nope/Zone * * * * *", "provided bad location Nope/Zone: unknown time zone Nope/Zone"),
        (
            "TZ=../../etc/passwd * * * * *",
            "provided bad location ../../etc/passwd: time: invalid location name",
        ),
    ],
)
def test_what_argo_refuses_is_refused_in_its_words(schedule: str, message: str) -> None:
    assert refusal(schedule) == message


def test_a_zone_without_a_schedule_is_an_error_where_robfig_panics() -> None:
    assert refusal("CRON_TZ=Asia/Tokyo").startswith("no schedule after the time zone: CRON_TZ=Asia/Tokyo")


def test_a_zone_in_the_schedule_counts_when_none_is_given() -> None:
    schedule = parse("CRON_TZ=Asia/Tokyo 0 5 * * *")
    assert following(schedule, "2026-01-01T00:00:00Z", 2) == ["01T20:00", "02T20:00"]


def test_two_zones_are_one_too_many() -> None:
    assert refusal("CRON_TZ=Asia/Tokyo 0 5 * * *", "UTC").startswith("expected exactly 5 fields, found 6")


def test_a_star_in_one_of_the_day_fields_makes_both_count() -> None:
    both = parse("0 0 */1 * 5")
    assert following(both, "2026-01-01T00:00:00Z", 2) == ["02T00:00", "09T00:00"]


def test_without_a_star_either_day_field_suffices_even_if_it_says_every_day() -> None:
    assert following(parse("0 0 13 * 5"), "2026-01-08T00:00:00Z", 3) == ["09T00:00", "13T00:00", "16T00:00"]
    assert following(parse("0 0 1-31 * 5"), "2026-01-01T00:00:00Z", 2) == ["02T00:00", "03T00:00"]


@pytest.mark.parametrize("descriptor", DESCRIPTORS)
def test_a_descriptor_is_its_five_fields(descriptor: str) -> None:
    assert parse(descriptor, "Europe/Paris") == parse(DESCRIPTORS[descriptor], "Europe/Paris")


def test_nothing_matches_for_five_years_and_the_answer_is_none() -> None:
    leap = parse("0 0 29 2 *")
    assert leap.next(at("2096-02-28T00:00:00Z")) == at("2096-02-29T00:00:00Z")
    assert leap.next(at("2097-01-01T00:00:00Z")) is None
    assert parse("0 0 30 2 *").next(at("2026-01-01T00:00:00Z")) is None
    assert parse(", * * * *").at_or_after(at("2026-01-01T00:00:00Z")) is None


def test_every_counts_from_the_question_without_an_anchor() -> None:
    assert parse("@every 90s").next(at("2026-01-01T00:00:10.5Z")) == at("2026-01-01T00:01:40Z")


def test_every_counts_from_its_anchor_whenever_one_asks() -> None:
    schedule = parse("@every 90s", anchor=at("2026-01-01T00:00:10Z"))
    assert schedule.next(at("2026-01-01T00:01:39.9Z")) == at("2026-01-01T00:01:40Z")
    assert schedule.next(at("2026-01-01T00:01:40Z")) == at("2026-01-01T00:03:10Z")
    assert schedule.next(at("2025-01-01T00:00:00Z")) == at("2026-01-01T00:01:40Z")
    assert schedule.fires_at(at("2026-01-01T00:03:10Z"))
    assert not schedule.fires_at(at("2026-01-01T00:03:11Z"))


def test_less_than_a_second_is_a_second() -> None:
    for text in ("@every 0s", "@every -1h", "@every 500ms"):
        assert parse(text).next(at("2026-01-01T00:00:00Z")) == at("2026-01-01T00:00:01Z")


def test_h_is_read_only_with_a_seed() -> None:
    assert refusal("H * * * *") == 'failed to parse int from H: strconv.Atoi: parsing "H": invalid syntax'
    assert isinstance(parse("H * * * *", seed="ns/a"), FieldSchedule)


@given(st.text(min_size=1, max_size=20))
def test_h_stands_for_values_that_hang_on_the_seed_alone(seed: str) -> None:
    schedule = parse("H H(9-16)/2 H H/3 H(mon-fri)", seed=seed)
    assert isinstance(schedule, FieldSchedule)
    calendar = schedule.calendar
    assert schedule == parse("H H(9-16)/2 H H/3 H(mon-fri)", seed=seed)
    assert len(calendar.minutes) == len(calendar.days) == len(calendar.weekdays) == 1
    assert set(calendar.hours) <= set(range(9, 17))
    assert {late - early for early, late in zip(calendar.hours, calendar.hours[1:], strict=False)} == {2}
    assert calendar.days <= set(range(1, 29))
    assert len(calendar.months) == 4
    assert calendar.weekdays <= {1, 2, 3, 4, 5}


def test_h_spreads_a_crowd_over_the_hour() -> None:
    minutes = {
        parse("H * * * *", seed=f"ns/job-{number}").next(at("2026-01-01T00:00:00Z")) for number in range(500)
    }
    assert len(minutes) == 60


@pytest.mark.parametrize(
    "item", ["H(", "H(1-2", "H(5-1)", "H(0-99)", "Hx", "H/0", "H/x", "H(1-2)x", "H((1-2))", "H()"]
)
def test_a_broken_h_is_refused(item: str) -> None:
    assert refusal(f"{item} * * * *", seed="ns/a")


def test_only_two_dst_rules_exist() -> None:
    assert refusal("@daily", dst="twice") == '"twice" is not a dst rule: write argo or once'


def test_a_time_without_a_zone_is_not_guessed() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the point of the test
    for schedule in (parse("@daily"), parse("@every 1h")):
        with pytest.raises(ValueError, match="aware"):
            schedule.next(naive)


@pytest.mark.parametrize("edge", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
@pytest.mark.parametrize("text", ["* * * * *", "0 0 29 2 *", "@every 1h"])
def test_the_first_and_last_instants_get_an_answer_too(edge: datetime, zone: str, text: str) -> None:
    for schedule in (parse(text, zone), parse(text, zone, dst="once")):
        answer = schedule.next(edge)
        assert answer is None or answer > edge


# --- changes of the clock -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "zone", "start", "argo", "once"),
    [
        ("30 2 * * *", "America/Los_Angeles", "2026-03-07T22:00:00Z",
         ["09T09:30", "10T09:30"], ["08T10:30", "09T09:30"]),
        ("30 1 * * *", "America/Los_Angeles", "2026-10-31T22:00:00Z",
         ["01T08:30", "01T09:30"], ["01T08:30", "02T09:30"]),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z",
         ["05T02:00", "06T02:00"], ["04T03:00", "05T02:00"]),
        ("30 0 * * *", "America/Havana", "2024-11-02T12:00:00Z",
         ["03T04:30", "03T05:30"], ["03T04:30", "04T05:30"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2024-04-06T12:00:00Z",
         ["06T14:45", "06T15:15"], ["06T14:45", "07T15:15"]),
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z",
         ["29T22:00", "29T22:00"], ["30T22:00", "29T22:00"]),
        ("0 * * * *", "Europe/Paris", "2026-10-24T23:30:00Z",
         ["25T00:00", "25T01:00"], ["25T00:00", "25T02:00"]),
    ],
)  # fmt: skip
def test_times_left_out_and_times_twice(
    schedule: str, zone: str, start: str, argo: list[str], once: list[str]
) -> None:
    assert following(parse(schedule, zone), start, 2) == argo
    assert following(parse(schedule, zone, dst="once"), start, 2) == once


@given(SCHEDULES, st.sampled_from(PLAIN_ZONES + ODD_ZONES), MOMENTS)
@settings(max_examples=150, deadline=None)
def test_no_matching_instant_is_passed_over_and_no_other_is_given(
    text: str, zone: str, start: datetime
) -> None:
    schedule = parse(text, zone)
    assert isinstance(schedule, FieldSchedule)
    end = start + timedelta(hours=30)
    assert list(schedule.between(start, end)) == by_hand(schedule, start, end)


@given(SCHEDULES, st.sampled_from(PLAIN_ZONES), MOMENTS)
@settings(max_examples=150, deadline=None)
def test_next_gives_the_first_matching_instant_where_clocks_move_plainly(
    text: str, zone: str, start: datetime
) -> None:
    schedule = parse(text, zone)
    for _ in range(5):
        answer = schedule.next(start)
        assert answer == schedule.at_or_after(start + timedelta(microseconds=1))
        if answer is None:
            break
        start = answer


@given(SCHEDULES, st.sampled_from(PLAIN_ZONES + ODD_ZONES), MOMENTS, st.sampled_from(["argo", "once"]))
@settings(max_examples=150, deadline=None)
def test_next_is_strictly_increasing(text: str, zone: str, start: datetime, dst: str) -> None:
    schedule = parse(text, zone, dst=dst)
    for _ in range(5):
        answer = schedule.next(start)
        if answer is None:
            break
        assert answer > start
        start = answer


def walls(schedule: FieldSchedule, first: datetime, last: datetime) -> Iterator[datetime]:
    """Every wall time of the calendar from first to last, both naive, whether a clock shows it or not."""
    wall = schedule.calendar.first(first)
    while wall is not None and wall <= last:
        yield wall
        wall = schedule.calendar.first(wall + MINUTE)


@given(SCHEDULES, st.sampled_from(PLAIN_ZONES + ODD_ZONES), MOMENTS)
@settings(max_examples=150, deadline=None)
def test_once_every_wall_time_has_exactly_one_instant(text: str, zone: str, start: datetime) -> None:
    schedule = parse(text, zone, dst="once")
    assert isinstance(schedule, FieldSchedule)
    end, day = start + timedelta(hours=30), timedelta(hours=50)
    naive = [
        moment.astimezone(schedule.zone).replace(tzinfo=None, second=0, microsecond=0)
        for moment in (start, end)
    ]
    # A naive time read with fold=0 is the first of two, and goes on with the old offset in a gap: RFC 5545's rule.
    expected = {
        wall.replace(tzinfo=schedule.zone, fold=0).astimezone(UTC)
        for wall in walls(schedule, naive[0] - day, naive[1] + day)
    }
    assert list(schedule.between(start, end)) == sorted(
        moment for moment in expected if start <= moment <= end
    )


@given(SCHEDULES, st.sampled_from(PLAIN_ZONES + ODD_ZONES), MOMENTS, st.integers(1, 3 * 86400))
@settings(max_examples=150, deadline=None)
def test_latest_is_the_last_between(text: str, zone: str, start: datetime, seconds: int) -> None:
    schedule = parse(text, zone)
    before = start + timedelta(seconds=seconds)
    inside = [moment for moment in schedule.between(start, before) if start < moment < before]
    assert schedule.latest(start, before) == (inside[-1] if inside else None)


def test_latest_looks_back_over_years_in_few_steps() -> None:
    schedule = parse("0 0 29 2 *", "Europe/Paris")
    assert schedule.latest(at("2020-01-01T00:00:00Z"), at("2026-11-21T00:00:00Z")) == at(
        "2024-02-28T23:00:00Z"
    )
    every = parse("* * * * *", "Europe/Paris")
    assert every.latest(at("2000-01-01T00:00:00Z"), at("2026-11-21T00:00:30Z")) == at("2026-11-21T00:00:00Z")


# --- whatever a stranger writes -------------------------------------------------------------------------------

WORDS = st.text(alphabet="0123456789*?/-,+.HLW#()@ \tTZ=jansuCRON_evyhms\x00\u0663\xa0\ud800", max_size=40)


@given(
    st.one_of(WORDS, st.text(max_size=40), SCHEDULES),
    st.one_of(st.just(""), st.sampled_from(ODD_ZONES), WORDS),
)
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_schedule_or_a_schedule_error(text: str, zone: str) -> None:
    for seed in ("", "ns/name"):
        try:
            schedule = parse(text, zone, seed=seed)
        except ScheduleError:
            continue
        answer = schedule.next(at("2026-11-21T10:00:00Z"))
        assert answer is None or answer > at("2026-11-21T10:00:00Z")


@pytest.mark.parametrize("text", ["9" * 100_000 + " * * * *", "," * 100_000 + " * * * *", "@every " + "9" * 100_000,
                                  "1-" * 50_000 + " * * * *", "TZ=" + "x" * 100_000 + " @daily"])  # fmt: skip
def test_long_texts_are_answered_like_short_ones(text: str) -> None:
    if set(text) == {*", *"}:
        assert parse(text).next(at("2026-11-21T10:00:00Z")) is None
    else:
        assert refusal(text)


def test_local_and_no_zone_are_utc() -> None:
    assert load_zone("") is load_zone("Local") is UTC
    assert load_zone("Europe/Paris") == ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("zone", "day", "moved"),
    [
        ("America/Los_Angeles", "2026-03-07", False),
        ("America/Los_Angeles", "2026-03-08", True),
        ("America/Los_Angeles", "2026-03-09", False),
        ("America/Sao_Paulo", "2018-11-03", False),
        ("America/Sao_Paulo", "2018-11-04", True),
        ("America/Havana", "2024-11-03", True),
        ("Africa/Cairo", "2024-10-31", True),
        ("Africa/Cairo", "2024-11-01", False),
        ("UTC", "2026-03-29", False),
    ],
)
def test_the_days_on_which_a_clock_is_moved_are_known(zone: str, day: str, moved: bool) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=ZoneInfo(zone))
    assert moves_clock(load_zone(zone), noon.astimezone(UTC)) is moved
