"""sprig's functions on dates. Local time is UTC, as in Argo's container.

Where a date is asked for and something else comes, sprig takes the present: so do we, from `sources`.

Source: Masterminds/sprig v3.3.0 date.go.
"""

from __future__ import annotations

from typing import Any

from chalicelib.core.expressions.durations import HOUR, MINUTE, SECOND, Duration, parse_duration, wrap_int64
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.casts import parse_int
from chalicelib.core.expressions.sprig.functions import (
    ANY,
    STRING,
    TIME,
    Function,
    Sources,
    aliases,
    table,
)
from chalicelib.core.expressions.times import UTC, ZERO, Time, load_location, parse_time
from chalicelib.core.expressions.values import Int64

_DAY = 24 * HOUR
_ROUNDED_UNITS = (
    (365 * _DAY, "y"),
    (30 * _DAY, "mo"),
    (_DAY, "d"),
    (HOUR, "h"),
    (MINUTE, "m"),
    (SECOND, "s"),
)


def _time_of(sources: Sources, value: Any) -> Time:
    if isinstance(value, Time):
        return value
    return Time(int(value)) if type(value) in (int, Int64) else sources.now()


def date_in_zone(sources: Sources, layout: str, value: Any, zone: str) -> str:
    """The date in the form of a layout, in a zone; in UTC when there is no such zone."""
    try:
        location = load_location(zone)
    except FunctionError:
        location = UTC
    return _time_of(sources, value).in_location(location).format(layout)


def date(sources: Sources, layout: str, value: Any) -> str:
    """The date in the form of a layout, in UTC."""
    return date_in_zone(sources, layout, value, "Local")


def html_date(sources: Sources, value: Any) -> str:
    """The date as an HTML date picker has it: "2006-01-02"."""
    return date_in_zone(sources, "2006-01-02", value, "Local")


def html_date_in_zone(sources: Sources, value: Any, zone: str) -> str:
    """The same in a zone."""
    return date_in_zone(sources, "2006-01-02", value, zone)


def ago(sources: Sources, value: Any) -> str:
    """How long ago, to the second."""
    return str(sources.now().subtract(_time_of(sources, value)).round(Duration(SECOND)))


def date_modify(span: str, value: Time) -> Time:
    """The date moved by a duration; as it is when the text is no duration."""
    try:
        return must_date_modify(span, value)
    except FunctionError:
        return value


def must_date_modify(span: str, value: Time) -> Time:
    """The date moved by a duration. Raises FunctionError when the text is none."""
    return value.add(parse_duration(span))


def duration(value: Any) -> str:
    """A number of seconds, as text or int64, as a duration: "95" is "1m35s"."""
    seconds = 0
    if isinstance(value, str):
        seconds = parse_int(value, 10) or 0
    elif isinstance(value, Int64):
        seconds = int(value)
    return str(Duration(wrap_int64(seconds * SECOND)))


def duration_round(sources: Sources, value: Any) -> str:
    """A duration, or the time since a date, in its largest unit: "2h10m5s" is "2h"."""
    span = 0
    if isinstance(value, str):
        try:
            span = parse_duration(value).nanoseconds
        except FunctionError:
            span = 0
    elif isinstance(value, Int64):
        span = int(value)
    elif isinstance(value, Time):
        span = sources.now().subtract(value).nanoseconds
    for unit, name in _ROUNDED_UNITS:
        if abs(span) > unit:
            return f"{abs(span) // unit}{name}"
    return "0s"


def to_date(layout: str, value: str) -> Time:
    """The date a text means in the form of a layout; Go's zero time when it does not fit."""
    try:
        return must_to_date(layout, value)
    except FunctionError:
        return ZERO


def must_to_date(layout: str, value: str) -> Time:
    """The date a text means in the form of a layout. Raises FunctionError when it does not fit."""
    return parse_time(value, layout, UTC)


FUNCTIONS = table(
    Function("ago", (ANY,), ago, needs_sources=True),
    Function("date", (STRING, ANY), date, needs_sources=True),
    Function("dateInZone", (STRING, ANY, STRING), date_in_zone, needs_sources=True),
    Function("date_in_zone", (STRING, ANY, STRING), date_in_zone, needs_sources=True),
    *aliases(date_modify, (STRING, TIME), "dateModify", "date_modify"),
    Function("duration", (ANY,), duration),
    Function("durationRound", (ANY,), duration_round, needs_sources=True),
    Function("htmlDate", (ANY,), html_date, needs_sources=True),
    Function("htmlDateInZone", (ANY, STRING), html_date_in_zone, needs_sources=True),
    *aliases(must_date_modify, (STRING, TIME), "mustDateModify", "must_date_modify"),
    Function("mustToDate", (STRING, STRING), must_to_date),
    Function("now", (), lambda sources: sources.now(), needs_sources=True),
    Function("toDate", (STRING, STRING), to_date),
    Function("unixEpoch", (TIME,), lambda value: str(value.unix_seconds)),
)
