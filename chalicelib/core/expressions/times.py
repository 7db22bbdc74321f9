"""Instants as Go's time.Time: Unix seconds, nanoseconds and the location they are shown in.

`parse_time` reads with a Go layout, `Time.format` writes with one, `date` makes an instant of a wall time
with Go's answer for hours that a clock change skips or repeats. `METHODS` is what an expression may call
on each of Go's time types: name → how to call it, the Go types it takes and the one it gives. Of methods
with two results an expression sees the first; Go methods with three (`Date`, `Clock`) cannot be called.

Source: Go 1.26 time/time.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.core.expressions.calendars import (
    SECONDS_PER_DAY,
    civil_from_days,
    days_from_civil,
    iso_week,
    weekday,
    year_day,
)
from chalicelib.core.expressions.durations import (
    MAX_NANOSECONDS,
    MIN_NANOSECONDS,
    SECOND,
    Duration,
    parse_duration,
    quote,
    wrap_int64,
)
from chalicelib.core.expressions.layouts import (
    MONTHS,
    RFC3339_NANO,
    WEEKDAYS,
    Civil,
    format_civil,
    read_civil,
)
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.zones import ALPHA, UTC, Location, Zone, fixed_zone, load_location

__all__ = [
    "METHODS",
    "UTC",
    "ZERO",
    "Duration",
    "Location",
    "Method",
    "Month",
    "Time",
    "Weekday",
    "date",
    "load_location",
    "parse_duration",
    "parse_time",
]

_ZERO_SECONDS = days_from_civil(1, 1, 1) * SECONDS_PER_DAY  # Go's zero time


@dataclass(frozen=True)
class Month:
    """time.Month; its own type in Go, so an expression may not compare it with a number."""

    number: int  # January is 1

    def __str__(self) -> str:
        return MONTHS[self.number - 1]


@dataclass(frozen=True)
class Weekday:
    """time.Weekday."""

    number: int  # Sunday is 0

    def __str__(self) -> str:
        return WEEKDAYS[self.number]


@dataclass(frozen=True)
class Time:
    """An instant. `==` compares the location too, as Go's does; `equal` compares instants."""

    unix_seconds: int  # int64
    nanosecond: int = 0  # 0 to 999,999,999
    location: Location = UTC

    def __str__(self) -> str:
        return self.format("2006-01-02 15:04:05.999999999 -0700 MST")

    # What a wall calendar and clock show

    def zone(self) -> Zone:
        """The zone in force at the instant, in its location."""
        return self.location.lookup(self.unix_seconds).zone

    def days(self) -> int:
        """Days since 1970-01-01 of the local date."""
        return (self.unix_seconds + self.zone().offset) // SECONDS_PER_DAY

    def civil(self) -> Civil:
        """The fields of calendar and clock."""
        zone = self.zone()
        days, second_of_day = divmod(self.unix_seconds + zone.offset, SECONDS_PER_DAY)
        year, month, day = civil_from_days(days)
        minutes, second = divmod(second_of_day, 60)
        hour, minute = divmod(minutes, 60)
        return Civil(
            year, month, day, year_day(days), weekday(days),
            hour, minute, second, self.nanosecond, zone.name, zone.offset,
        )  # fmt: skip

    def format(self, layout: str) -> str:
        """The text of the time in the form of a Go layout."""
        return format_civil(layout, self.civil())

    def rfc3339(self) -> str:
        """RFC 3339 with as many digits as needed, as in JSON. Raises FunctionError where it has no form."""
        civil = self.civil()
        if not 0 <= civil.year <= 9999:
            raise FunctionError("year outside of range [0,9999]")
        if abs(civil.offset) >= 24 * 3600:
            raise FunctionError("timezone hour outside of range [0,23]")
        return format_civil(RFC3339_NANO, civil)

    def marshal(self) -> str:
        """The text of the JSON string. Raises FunctionError in encoding/json's words."""
        try:
            return self.rfc3339()
        except FunctionError as error:
            raise FunctionError(
                f"json: error calling MarshalJSON for type time.Time: Time.MarshalJSON: {error.message}"
            ) from None

    # Instants

    def nanoseconds(self) -> int:
        """Nanoseconds since 1970, of any size."""
        return self.unix_seconds * SECOND + self.nanosecond

    def equal(self, other: Time) -> bool:
        """Whether it is the same instant, wherever it is shown."""
        return self.nanoseconds() == other.nanoseconds()

    def compare(self, other: Time) -> int:
        """-1, 0 or 1."""
        return (self.nanoseconds() > other.nanoseconds()) - (self.nanoseconds() < other.nanoseconds())

    def is_zero(self) -> bool:
        """Whether it is Go's zero time, the start of year 1."""
        return self.unix_seconds == _ZERO_SECONDS and self.nanosecond == 0

    def add(self, duration: Duration) -> Time:
        """The instant a span later; it wraps where an int64 of seconds ends."""
        seconds, nanosecond = divmod(self.nanoseconds() + duration.nanoseconds, SECOND)
        return Time(wrap_int64(seconds), nanosecond, self.location)

    def subtract(self, other: Time) -> Duration:
        """The span since `other`, clamped to what a duration holds."""
        span = self.nanoseconds() - other.nanoseconds()
        return Duration(max(MIN_NANOSECONDS, min(MAX_NANOSECONDS, span)))

    def add_date(self, years: int, months: int, days: int) -> Time:
        """The same wall time on another date; 31 January plus a month is 2 or 3 March."""
        civil = self.civil()
        return date(
            civil.year + years, civil.month + months, civil.day + days,
            civil.hour, civil.minute, civil.second, self.nanosecond, self.location,
        )  # fmt: skip

    def truncate(self, unit: Duration) -> Time:
        """Rounded down to a multiple of `unit` since Go's zero time; unchanged when that is not positive."""
        return self if unit.nanoseconds <= 0 else self._moved(-self._beyond(unit))

    def round(self, unit: Duration) -> Time:
        """Rounded to the nearest multiple of `unit` since Go's zero time, halfway up."""
        if unit.nanoseconds <= 0:
            return self
        beyond = self._beyond(unit)
        return self._moved(-beyond if 2 * beyond < unit.nanoseconds else unit.nanoseconds - beyond)

    def in_location(self, location: Location) -> Time:
        """The same instant, shown elsewhere."""
        return Time(self.unix_seconds, self.nanosecond, location)

    def _beyond(self, unit: Duration) -> int:
        return (self.nanoseconds() - _ZERO_SECONDS * SECOND) % unit.nanoseconds

    def _moved(self, nanoseconds: int) -> Time:
        return self.add(Duration(nanoseconds))


ZERO = Time(_ZERO_SECONDS)


def date(
    year: int,
    month: int,
    day: int,
    hour: int = 0,
    minute: int = 0,
    second: int = 0,
    nanosecond: int = 0,
    location: Location = UTC,
) -> Time:
    """The instant of a wall time; fields outside their range carry over.

    A time that a clock change skips or repeats gives an instant of one of the two zones, the one that Go picks.
    """
    years, month_index = divmod(month - 1, 12)
    days = days_from_civil(year + years, month_index + 1, 1) + day - 1
    carry, nanosecond = divmod(nanosecond, SECOND)
    wall = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second + carry
    # Go asks for the zone of the wall time as if that were UTC. Where this says no offset it stops;
    # otherwise it asks once more at the instant it got.
    offset = location.lookup(wall).zone.offset
    if offset:
        offset = location.lookup(wall - offset).zone.offset
    return Time(wrap_int64(wall - offset), nanosecond, location)


def parse_time(value: str, layout: str, location: Location | None = None) -> Time:
    """The instant a text means in the form of a layout. Raises FunctionError with Go's text.

    With a location as Go's ParseInLocation: it is where the text counts when it names no zone, and
    where abbreviations are looked up. Without one as Parse: both are UTC.
    """
    place = location or UTC
    reading = read_civil(layout, value)
    fields = (
        reading.year, reading.month, reading.day,
        reading.hour, reading.minute, reading.second, reading.nanosecond,
    )  # fmt: skip
    if reading.utc:
        return date(*fields)
    if reading.offset != -1:
        instant = date(*fields).add(Duration(-reading.offset * SECOND))
        zone = place.lookup(instant.unix_seconds).zone
        if zone.offset == reading.offset and reading.zone in ("", zone.name):
            return instant.in_location(place)
        return instant.in_location(fixed_zone(reading.zone, reading.offset))
    if reading.zone:
        wall = date(*fields)
        offset = place.offset_of(reading.zone, wall.unix_seconds)
        if offset is not None:
            return wall.add(Duration(-offset * SECOND)).in_location(place)
        # Unknown: the text is kept, the instant counts as UTC. GMT+3 alone says what it means, and even
        # then the wall time is not moved.
        offset = int(reading.zone[3:]) * 3600 if reading.zone[:3] == "GMT" and reading.zone[3:] else 0
        return wall.in_location(fixed_zone(reading.zone, offset))
    return date(*fields, location=place)


# ---------------------------------------------------------------------------------------------------------
# What expressions may call


@dataclass(frozen=True)
class Method:
    """A method of a Go type: `call(receiver, *arguments)`; types in Go's spelling."""

    call: Callable[..., Any]  # Any: whatever the Go method gives
    parameters: tuple[str, ...]
    result: str


def _in(time: Time, location: Location | None) -> Time:
    if location is None:
        raise FunctionError("time: missing Location in call to Time.In")
    return time.in_location(location)


def _zone_start(time: Time) -> Time:
    start = time.location.lookup(time.unix_seconds).start
    return ZERO if start == ALPHA else Time(start, 0, time.location)


def _go_string(time: Time) -> str:
    civil = time.civil()
    if time.location == UTC:
        place = "time.UTC"
    else:
        place = f"time.Location({quote(time.location.name)})"
    return (
        f"time.Date({civil.year}, time.{MONTHS[civil.month - 1]}, {civil.day}, "
        f"{civil.hour}, {civil.minute}, {civil.second}, {civil.nanosecond}, {place})"
    )


def _rfc3339(method: str, time: Time) -> bytes:
    try:
        return time.rfc3339().encode()
    except FunctionError as error:
        raise FunctionError(f"Time.{method}: {error.message}") from None


def _marshal_binary(time: Time) -> bytes:
    """Go's binary form: version, seconds since year 1, nanoseconds, offset in minutes and its rest."""
    version, minutes, rest = 1, -1, b""
    if time.location != UTC:
        offset = time.zone().offset
        minutes = int(offset / 60)
        if offset % 60:
            version, rest = 2, int(offset - minutes * 60).to_bytes(1, "big", signed=True)
        if not -32768 <= minutes <= 32767 or minutes == -1:
            raise FunctionError("Time.MarshalBinary: unexpected zone offset")
    seconds = wrap_int64(time.unix_seconds - _ZERO_SECONDS)
    return (
        bytes([version])
        + seconds.to_bytes(8, "big", signed=True)
        + time.nanosecond.to_bytes(4, "big")
        + minutes.to_bytes(2, "big", signed=True)
        + rest
    )


def _unix(time: Time, per_second: int) -> int:
    return wrap_int64(time.nanoseconds() * per_second // SECOND)


_TIME: Mapping[str, Method] = {
    "Add": Method(Time.add, ("time.Duration",), "time.Time"),
    "AddDate": Method(Time.add_date, ("int", "int", "int"), "time.Time"),
    "After": Method(lambda time, other: time.compare(other) > 0, ("time.Time",), "bool"),
    "AppendBinary": Method(lambda time, before: before + _marshal_binary(time), ("[]uint8",), "[]uint8"),
    "AppendFormat": Method(
        lambda time, before, layout: before + time.format(layout).encode("utf-8", "surrogateescape"),
        ("[]uint8", "string"),
        "[]uint8",
    ),
    "AppendText": Method(lambda time, before: before + _rfc3339("AppendText", time), ("[]uint8",), "[]uint8"),
    "Before": Method(lambda time, other: time.compare(other) < 0, ("time.Time",), "bool"),
    "Compare": Method(Time.compare, ("time.Time",), "int"),
    "Day": Method(lambda time: time.civil().day, (), "int"),
    "Equal": Method(Time.equal, ("time.Time",), "bool"),
    "Format": Method(Time.format, ("string",), "string"),
    "GoString": Method(_go_string, (), "string"),
    "GobEncode": Method(_marshal_binary, (), "[]uint8"),
    "Hour": Method(lambda time: time.civil().hour, (), "int"),
    "ISOWeek": Method(lambda time: iso_week(time.days())[0], (), "int"),  # the year; the week is out of reach
    "In": Method(_in, ("*time.Location",), "time.Time"),
    "IsDST": Method(lambda time: time.zone().is_dst, (), "bool"),
    "IsZero": Method(Time.is_zero, (), "bool"),
    "Local": Method(lambda time: time.in_location(UTC), (), "time.Time"),
    "Location": Method(lambda time: time.location, (), "*time.Location"),
    "MarshalBinary": Method(_marshal_binary, (), "[]uint8"),
    "MarshalJSON": Method(lambda time: b'"%s"' % _rfc3339("MarshalJSON", time), (), "[]uint8"),
    "MarshalText": Method(lambda time: _rfc3339("MarshalText", time), (), "[]uint8"),
    "Minute": Method(lambda time: time.civil().minute, (), "int"),
    "Month": Method(lambda time: Month(time.civil().month), (), "time.Month"),
    "Nanosecond": Method(lambda time: time.nanosecond, (), "int"),
    "Round": Method(Time.round, ("time.Duration",), "time.Time"),
    "Second": Method(lambda time: time.civil().second, (), "int"),
    "String": Method(str, (), "string"),
    "Sub": Method(Time.subtract, ("time.Time",), "time.Duration"),
    "Truncate": Method(Time.truncate, ("time.Duration",), "time.Time"),
    "UTC": Method(lambda time: time.in_location(UTC), (), "time.Time"),
    "Unix": Method(lambda time: time.unix_seconds, (), "int64"),
    "UnixMicro": Method(lambda time: _unix(time, 1_000_000), (), "int64"),
    "UnixMilli": Method(lambda time: _unix(time, 1_000), (), "int64"),
    "UnixNano": Method(lambda time: _unix(time, SECOND), (), "int64"),
    "Weekday": Method(lambda time: Weekday(time.civil().weekday), (), "time.Weekday"),
    "Year": Method(lambda time: time.civil().year, (), "int"),
    "YearDay": Method(lambda time: time.civil().year_day, (), "int"),
    "Zone": Method(lambda time: time.zone().name, (), "string"),
    "ZoneBounds": Method(_zone_start, (), "time.Time"),
}

_DURATION: Mapping[str, Method] = {
    "Abs": Method(Duration.absolute, (), "time.Duration"),
    "Hours": Method(Duration.hours, (), "float64"),
    "Microseconds": Method(Duration.microseconds, (), "int64"),
    "Milliseconds": Method(Duration.milliseconds, (), "int64"),
    "Minutes": Method(Duration.minutes, (), "float64"),
    "Nanoseconds": Method(lambda duration: duration.nanoseconds, (), "int64"),
    "Round": Method(Duration.round, ("time.Duration",), "time.Duration"),
    "Seconds": Method(Duration.seconds, (), "float64"),
    "String": Method(str, (), "string"),
    "Truncate": Method(Duration.truncate, ("time.Duration",), "time.Duration"),
}

_STRING: Mapping[str, Method] = {"String": Method(str, (), "string")}

#: Go type → method name → method.
METHODS: Mapping[str, Mapping[str, Method]] = {
    "time.Time": _TIME,
    "time.Duration": _DURATION,
    "time.Month": _STRING,
    "time.Weekday": _STRING,
    "*time.Location": _STRING,
}
