"""Time zones as Go's time package sees them: a list of zones, a list of transitions, and a rule for later.

`zoneinfo.ZoneInfo` answers only for years 1 to 9999 and cannot name its abbreviations, which Go needs to
read "CET" in a text. So the TZif files of the tzdata package (a requirement: Lambda's images carry no
zone database) are read here, and looked up as Go does: a `Location` answers `lookup(seconds)` with the
`Zone` in force and the instants between which it is.

The local zone is UTC. Argo's server runs in a container without /etc/localtime, and an answer that
depends on the machine would be no answer.

Source: Go 1.26 time/zoneinfo.go, time/zoneinfo_read.go; RFC 9636 for the file.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

from chalicelib.core.expressions.calendars import SECONDS_PER_DAY, civil_from_days, days_from_civil, is_leap
from chalicelib.core.expressions.panics import FunctionError

ALPHA = -(2**63)  # no start: the zone was always in force
OMEGA = 2**63 - 1  # no end


@dataclass(frozen=True)
class Zone:
    """One kind of local time."""

    name: str  # abbreviation, "CET"
    offset: int  # seconds east of UTC
    is_dst: bool = False


@dataclass(frozen=True)
class Span:
    """A zone in force from `start` until before `end`, both in Unix seconds."""

    zone: Zone
    start: int = ALPHA
    end: int = OMEGA


@dataclass(frozen=True)
class Location:
    """A place's history of zones. Two locations are equal by name and zones, as Go's pointers cannot be."""

    name: str
    zones: tuple[Zone, ...]
    starts: tuple[int, ...] = field(default=(ALPHA,), repr=False)  # Unix seconds, ascending
    indexes: tuple[int, ...] = field(default=(0,), repr=False)  # the zone that begins at each start
    rule: str = field(default="", repr=False)  # POSIX TZ for what follows the last start

    def lookup(self, seconds: int) -> Span:
        """The zone in force at an instant, and how long."""
        position = bisect_right(self.starts, seconds) - 1
        if position < 0:
            return Span(self.zones[self._first_zone()], end=self.starts[0])
        last = position == len(self.starts) - 1
        start = self.starts[position]
        if last and self.rule:
            span = span_by_rule(self.rule, start, seconds)
            if span is not None:
                return span
        return Span(self.zones[self.indexes[position]], start, OMEGA if last else self.starts[position + 1])

    def offset_of(self, abbreviation: str, wall_seconds: int) -> int | None:
        """Seconds east of UTC that an abbreviation means at a wall time; None when unknown here."""
        named = [zone for zone in self.zones if zone.name == abbreviation]
        for zone in named:
            span = self.lookup(wall_seconds - zone.offset)
            if span.zone.name == abbreviation:
                return span.zone.offset
        return named[0].offset if named else None

    def _first_zone(self) -> int:
        if 0 not in self.indexes:
            return 0
        if self.zones[self.indexes[0]].is_dst:
            for index in range(self.indexes[0] - 1, -1, -1):
                if not self.zones[index].is_dst:
                    return index
        return next((index for index, zone in enumerate(self.zones) if not zone.is_dst), 0)

    def __str__(self) -> str:
        return self.name


UTC = Location("UTC", (Zone("UTC", 0),))


def fixed_zone(name: str, offset: int) -> Location:
    """A location that is always `offset` seconds east of UTC."""
    return Location(name, (Zone(name, offset),))


@lru_cache(maxsize=1024)
def load_location(name: str) -> Location:
    """The location of an IANA name; "", "UTC" and "Local" are UTC. Raises FunctionError in Go's words."""
    if name in ("", "UTC", "Local"):
        return UTC
    if ".." in name or name[0] in "/\\":
        raise FunctionError("time: invalid location name")
    try:
        data = (files("tzdata") / "zoneinfo").joinpath(*name.split("/")).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: NUL or a lone surrogate in the name
        raise FunctionError(f"unknown time zone {name}") from error
    try:
        return _location(name, data)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise FunctionError("malformed time zone information") from error


def _location(name: str, data: bytes) -> Location:
    counts = _counts(data, 0)
    wide = data[4] >= ord("2")
    begin = 44
    if wide:  # the same again with 64-bit instants
        begin = 44 + _size(counts, 4) + 44
        counts = _counts(data, begin - 44)
    width = 8 if wide else 4
    transitions, zones, characters = counts[3], counts[4], counts[5]
    if not zones:
        raise ValueError("no zones")
    starts = struct.unpack_from(f">{transitions}{'q' if wide else 'i'}", data, begin)
    position = begin + transitions * width
    indexes = tuple(data[position : position + transitions])
    position += transitions
    kinds = [struct.unpack_from(">iBB", data, position + 6 * index) for index in range(zones)]
    position += 6 * zones
    names = data[position : position + characters]
    rest = data[begin + _size(counts, width) :] if wide else b""
    return Location(
        name,
        tuple(
            Zone(names[at : names.index(b"\0", at)].decode(), offset, bool(is_dst))
            for offset, is_dst, at in kinds
        ),
        starts or (ALPHA,),
        indexes or (0,),
        rest.strip(b"\n").decode("ascii"),
    )


def _counts(data: bytes, at: int) -> tuple[int, ...]:
    if data[at : at + 4] != b"TZif":
        raise ValueError("not a TZif file")
    return struct.unpack_from(">6I", data, at + 20)


def _size(counts: tuple[int, ...], width: int) -> int:
    is_utc, is_standard, leaps, transitions, zones, characters = counts
    return transitions * (width + 1) + zones * 6 + characters + leaps * (width + 4) + is_standard + is_utc


@dataclass(frozen=True)
class _Rule:
    """When in a year a switch happens, in wall time: `Jn`, `n` or `Mm.w.d`, then `/time`."""

    kind: str
    day: int
    week: int = 0
    month: int = 0
    time: int = 2 * 3600

    def seconds_into(self, year: int, offset: int) -> int:
        """Seconds from the start of the year in UTC, when `offset` is in force before the switch."""
        if self.kind == "J":
            days = self.day - 1 + (1 if is_leap(year) and self.day >= 60 else 0)
        elif self.kind == "M":
            first = days_from_civil(year, self.month, 1)
            following = days_from_civil(year + self.month // 12, self.month % 12 + 1, 1)
            day = first + (self.day - (first + 4)) % 7 + 7 * (self.week - 1)  # day 0 was a Thursday
            while day >= following:
                day -= 7
            days = day - days_from_civil(year, 1, 1)
        else:
            days = self.day
        return days * SECONDS_PER_DAY + self.time - offset


@lru_cache(maxsize=512)
def _parse_rule(text: str) -> tuple[Zone, Zone | None, _Rule | None, _Rule | None]:
    """A POSIX TZ string: ``CET-1CEST,M3.5.0,M10.5.0/3``. ValueError when it is none."""
    standard, rest = _rule_name(text)
    offset, rest = _rule_offset(rest)
    zone = Zone(standard, -offset)
    if not rest or rest[0] == ",":
        return zone, None, None, None
    summer, rest = _rule_name(rest)
    if rest and rest[0] != ",":
        offset, rest = _rule_offset(rest)
        summer_zone = Zone(summer, -offset, is_dst=True)
    else:
        summer_zone = Zone(summer, zone.offset + 3600, is_dst=True)
    parts = (rest or ",M3.2.0,M11.1.0").split(",")
    if len(parts) != 3 or parts[0]:
        raise ValueError(text)
    return zone, summer_zone, _rule(parts[1]), _rule(parts[2])


def _rule_name(text: str) -> tuple[str, str]:
    if text[:1] == "<":
        end = text.index(">")
        return text[1:end], text[end + 1 :]
    end = next((at for at, character in enumerate(text) if character in "0123456789,-+"), len(text))
    if end < 3:
        raise ValueError(text)
    return text[:end], text[end:]


def _rule_offset(text: str) -> tuple[int, str]:
    sign = -1 if text[:1] == "-" else 1
    text = text[1:] if text[:1] in ("+", "-") else text
    end = next((at for at, character in enumerate(text) if character not in "0123456789:"), len(text))
    hours, _, rest = text[:end].partition(":")
    minutes, _, seconds = rest.partition(":")
    return sign * (int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)), text[end:]


def _rule(text: str) -> _Rule:
    day, _, time = text.partition("/")
    seconds = _rule_offset(time)[0] if time else 2 * 3600
    if day[:1] == "M":
        month, week, weekday = (int(part) for part in day[1:].split("."))
        return _Rule("M", weekday, week, month, seconds)
    if day[:1] == "J":
        return _Rule("J", int(day[1:]), time=seconds)
    return _Rule("n", int(day), time=seconds)


def span_by_rule(rule: str, last_start: int, seconds: int) -> Span | None:
    """The zone in force by a POSIX rule; None when the rule cannot be read.

    Its ends are exact only near a switch, as in Go: at the edges of a year they are the year's.
    """
    try:
        zone, summer, begin, end = _parse_rule(rule)
    except (ValueError, IndexError):
        return None
    if summer is None or begin is None or end is None:
        return Span(zone, last_start)
    year = civil_from_days(seconds // SECONDS_PER_DAY)[0]
    year_start = days_from_civil(year, 1, 1) * SECONDS_PER_DAY
    within = seconds - year_start
    first, second = begin.seconds_into(year, zone.offset), end.seconds_into(year, summer.offset)
    outside, inside = zone, summer
    if second < first:  # the southern summer spans the new year
        first, second, outside, inside = second, first, summer, zone
    if within < first:
        return Span(outside, year_start, year_start + first)
    if within >= second:
        return Span(outside, year_start + second, year_start + 365 * SECONDS_PER_DAY)
    return Span(inside, year_start + first, year_start + second)
