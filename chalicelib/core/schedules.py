"""When a cron schedule fires: Argo's dialect over croniter.

A schedule is read in two steps. First the text: five fields, a descriptor such as ``@daily`` or ``@every 90s``,
before it perhaps ``CRON_TZ=zone``. What is accepted, what is refused and in which words is robfig/cron's
ParseStandard, for this is what Argo hands every schedule to. croniter reads another dialect (`7` for Sunday,
`L`, `#`, six fields), so the fields are parsed here, and croniter is asked the calendar's question alone: the
next day that suits these days, months and weekdays.

Then the clock. A schedule is about the wall clock of its zone, an answer is an instant. As long as the zone's
offset does not change between question and answer, the two differ by that offset and the wall clock decides.
Where it does change, Argo's answer is whatever its search meets on the way: it walks in months and days by the
wall clock and in hours and minutes by absolute time. This walk is followed step by step there, because people
rely on it: a wall time that is skipped does not fire, one that exists twice fires twice, and where clocks move by
half an hour (Lord Howe) or at midnight in the east (Cairo, Gaza) a fire time may be lost or come at another
minute. ``dst="once"`` is the way out: every matching wall time then fires exactly once, by RFC 5545.

Unlike robfig, a calendar day that a zone left out (Pacific/Apia, 30 December 2011) is stepped over, where robfig
never returns, and a bare ``CRON_TZ=zone`` is an error, where robfig panics.

Source: robfig/cron v3.0.1, parser.go (ParseStandard), spec.go (SpecSchedule.Next), constantdelay.go (Every).
"""

from __future__ import annotations

import copy
import hashlib
import re
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadDateError, croniter

from chalicelib.core.errors import ScheduleError
from chalicelib.core.expressions.durations import SECOND, parse_duration
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.tokens import quoted

HORIZON_YEARS = 5  # robfig gives up when the fifth year after the question's has passed

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clock and UTC are both counted from here
_MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_CHANGES_APART = 6 * 86400  # seconds; Recife's were a week apart in October 2000


_CACHED_LENGTH = 256  # characters; no schedule that means something is longer

# What Go's strings.Fields and TrimSpace take for white space (unicode.White_Space); Python's split() differs.
_WHITE = (
    "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
)
_WORD = re.compile(f"[^{_WHITE}]+")
_ATOI = re.compile(r"[+-]?[0-9]+")
_HASHED = re.compile(r"H(?:\((?P<range>[^()]*)\))?(?P<step>/.*)?", re.DOTALL)


@dataclass(frozen=True)
class Field:
    """One of the five places of a schedule: its bounds, both included, and the names it knows."""

    name: str
    least: int
    most: int
    names: Mapping[str, int] = field(default_factory=dict)
    most_hashed: int | None = None  # H stays at or below it: every month has a 28th


def _numbered(names: str, start: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), start)}


# https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format
FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of month", 1, 31, most_hashed=28),
    Field("month", 1, 12, _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    Field("day of week", 0, 6, _numbered("sun mon tue wed thu fri sat", 0)),
)

# https://pkg.go.dev/github.com/robfig/cron/v3#hdr-Predefined_schedules
DESCRIPTORS: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Schedule(ABC):
    """Fire times. Frozen, hashable and safe to share.

    There are two ways to ask. `next` is robfig's answer, which hangs on where one asks from: around a change of
    the clock it may pass over a time. `at_or_after`, `between`, `latest` and `fires_at` go by the wall clock
    alone: a time is one of theirs when the fields match it, and with these `next` agrees everywhere else.
    """

    @abstractmethod
    def next(self, after: datetime) -> datetime | None:
        """The first fire time strictly after `after` (aware), in UTC.

        None when there is none up to the end of the fifth year after `after`'s in the schedule's zone.
        """

    @abstractmethod
    def at_or_after(self, moment: datetime) -> datetime | None:
        """The first time at or after `moment` (aware) at which the wall clock matches, in UTC; None as in `next`."""

    def fires_at(self, moment: datetime) -> bool:
        """Whether the wall clock matches at `moment` (aware)."""
        return self.at_or_after(moment) == moment

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The times from `start` to `end` (aware, both included) at which the wall clock matches, in order."""
        moment = self.at_or_after(start)
        while moment is not None and moment <= end:
            yield moment
            moment = self.at_or_after(moment + _SECOND)

    def latest(self, start: datetime, before: datetime) -> datetime | None:
        """The last time strictly between `start` and `before` (aware) at which the wall clock matches, or None.

        It halves the stretch in question instead of stepping through it, so years cost no more than days.
        """
        found = self.at_or_after(start + _SECOND)
        if found is None or found >= before:
            return None
        unknown = before  # nothing from here up to `before`
        while True:
            following = self.at_or_after(found + _SECOND)
            if following is None or following >= unknown:
                return found
            middle = following + (unknown - following) // 2
            later = self.at_or_after(middle + _MICROSECOND)
            if later is not None and later < unknown:
                found = later
            else:
                found, unknown = following, min(unknown, middle + _MICROSECOND)


def parse(
    schedule: str,
    timezone: str = "",
    *,
    anchor: datetime | None = None,
    seed: str = "",
    dst: str = "argo",
) -> Schedule:
    """The Schedule that the text means, as Argo reads it; raises ScheduleError in robfig's words.

    `timezone` is an IANA name; empty is UTC, which is the local zone of Argo's controller. `@every` counts from
    `anchor` (aware), without one from the instant that `next` is asked about. With a `seed` the fields may hold
    Jenkins's `H`: `H`, `H/15`, `H(0-29)`, `H(0-29)/10` stand for values that hang on the seed and the field alone.
    `dst` is ``argo`` or ``once`` and says what becomes of wall times that do not exist or exist twice.
    """
    if dst not in ("argo", "once"):
        raise ScheduleError(f'"{dst}" is not a dst rule: write argo or once')
    spec = f"CRON_TZ={timezone} {schedule}" if timezone else schedule
    if not spec:
        raise ScheduleError("empty spec string")
    # Only what can matter is part of the cache's key: most schedules are the same for many objects.
    key = (spec, anchor if "@every" in schedule else None, seed if "H" in schedule else "", dst == "once")
    return _parsed(*key) if len(spec) <= _CACHED_LENGTH else _parsed.__wrapped__(*key)


@lru_cache(maxsize=16384)
def _parsed(spec: str, anchor: datetime | None, seed: str, once: bool) -> Schedule:
    zone = load_zone("")
    if spec.startswith(("TZ=", "CRON_TZ=")):
        name, blank, rest = spec.partition("=")[2].partition(" ")
        if not blank:
            raise ScheduleError(
                f"no schedule after the time zone: {spec}: write a blank and the schedule behind it"
            )
        try:
            zone = load_zone(name)
        except ScheduleError as error:
            raise ScheduleError(f"provided bad location {name}: {error}") from error
        spec = rest.strip(_WHITE)
    if spec.startswith("@every "):
        return _every(spec, anchor)
    if spec.startswith("@"):
        if spec not in DESCRIPTORS:
            raise ScheduleError(f"unrecognized descriptor: {spec}")
        spec = DESCRIPTORS[spec]
    return FieldSchedule(_calendar(spec, seed), zone, once=once)


def load_zone(name: str) -> tzinfo:
    """The time zone of that IANA name; raises ScheduleError in the words of Go's time.LoadLocation.

    Empty and ``Local`` are UTC: the local zone of the controller's container. As in Go the system's zone database
    comes first, and without one the tzdata package's. Deployed functions read the package alone (PYTHONTZPATH is empty
    in .chalice/config.json), so that a runtime's image does not decide what a zone's rules are.
    """
    if name in ("", "UTC", "Local"):
        return UTC
    if ".." in name or name[0] in "/\\":
        raise ScheduleError("time: invalid location name")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        # ValueError: a NUL or "a/./b"; OSError: a directory such as "America", or a name the system finds too long
        raise ScheduleError(f"unknown time zone {name}") from error


def moves_clock(zone: tzinfo, moment: datetime) -> bool:
    """Whether the zone's clock is moved on the local day of `moment` (aware)."""
    midnight = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return midnight.utcoffset() != (midnight + _DAY).utcoffset()  # a day of the wall clock


# --- fields ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Calendar:
    """What the five fields allow, on any wall clock. Sorted tuples, for the search asks for the next one."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # 0 is Sunday
    either: bool  # day of month or day of week suffices; with a star in one of them both must hold

    def allows(self, day: date) -> bool:
        """Whether something may fire on that day."""
        return day.month in self.months and self.allows_in_its_month(day)

    def allows_in_its_month(self, day: date) -> bool:
        """Whether day of month and day of week suit; the month is not looked at."""
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_day or by_weekday if self.either else by_day and by_weekday

    def first(self, wall: datetime) -> datetime | None:
        """The first matching wall time at or after `wall`, which is naive and a whole minute."""
        if not self.minutes or not self.hours:
            return None
        if self.allows(wall):
            hour = bisect_left(self.hours, wall.hour)
            if hour < len(self.hours) and self.hours[hour] == wall.hour:
                minute = bisect_left(self.minutes, wall.minute)
                if minute < len(self.minutes):
                    return wall.replace(minute=self.minutes[minute])
                hour += 1
            if hour < len(self.hours):
                return wall.replace(hour=self.hours[hour], minute=self.minutes[0])
        day = wall.date() + _DAY
        following = day if self.allows(day) else _day_after(self, day)
        if following is None:
            return None
        return datetime(  # noqa: DTZ001 - a wall clock
            following.year, following.month, following.day, self.hours[0], self.minutes[0]
        )


def _calendar(spec: str, seed: str) -> Calendar:
    words = _WORD.findall(spec)
    if len(words) != len(FIELDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]")
    values: list[frozenset[int]] = []
    stars: list[bool] = []
    for word, place in zip(words, FIELDS, strict=True):
        found, star = _values(word, place, seed)
        values.append(found)
        stars.append(star)
    minutes, hours, days, months, weekdays = values
    return Calendar(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        weekdays,
        either=not (stars[2] or stars[4]),
    )


def _values(word: str, place: Field, seed: str) -> tuple[frozenset[int], bool]:
    """list = range { "," range }; empty ranges count for nothing, and the star of one is the star of all"""
    values: set[int] = set()
    star = False
    for item in word.split(","):
        if not item:
            continue
        if seed and item.startswith("H"):
            values |= _hashed(item, place, seed)
            continue
        found, is_star = _range(item, place)
        values.update(found)
        star = star or is_star
    return frozenset(values), star


def _range(item: str, place: Field) -> tuple[range, bool]:
    """range = ( "*" | "?" | number [ "-" number ] ) [ "/" step ]; "N/step" runs to the end of the field"""
    span, *steps = item.split("/")
    low, *highs = span.split("-")
    star = low in ("*", "?")  # whatever follows the star before the slash is never looked at
    if star:
        least, most = place.least, place.most
    else:
        least = _number(low, place)
        if len(highs) > 1:
            raise ScheduleError(f"too many hyphens: {item}")
        most = _number(highs[0], place) if highs else least
    step = 1
    if len(steps) > 1:
        raise ScheduleError(f"too many slashes: {item}")
    if steps:
        step = _integer(steps[0])
        if not highs:
            most = place.most
        star = star and step <= 1
    if least < place.least:
        raise ScheduleError(f"beginning of range ({least}) below minimum ({place.least}): {item}")
    if most > place.most:
        raise ScheduleError(f"end of range ({most}) above maximum ({place.most}): {item}")
    if least > most:
        raise ScheduleError(f"beginning of range ({least}) beyond end of range ({most}): {item}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {item}")
    return range(least, most + 1, step), star


def _hashed(item: str, place: Field, seed: str) -> frozenset[int]:
    """hashed = "H" [ "(" number "-" number ")" ] [ "/" step ], as Jenkins reads it

    https://www.jenkins.io/doc/book/pipeline/syntax/#cron-syntax
    """
    match = _HASHED.fullmatch(item)
    if match is None:
        raise ScheduleError(f"{item} is not H, H/step, H(from-to) or H(from-to)/step")
    least, most = place.least, place.most_hashed or place.most
    if match["range"] is not None:
        bounds, _ = _range(match["range"], place)
        if "/" in match["range"] or not bounds:
            raise ScheduleError(f"{item} is not H, H/step, H(from-to) or H(from-to)/step")
        least, most = bounds[0], bounds[-1]
    digest = hashlib.sha256(f"{place.name}\0{seed}".encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest[:8], "big")
    if match["step"] is None:
        return frozenset((least + number % (most - least + 1),))
    step = _integer(match["step"][1:])
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {item}")
    return frozenset(range(least + number % min(step, most - least + 1), most + 1, step))


def _number(word: str, place: Field) -> int:
    named = place.names.get(word.lower())
    return _integer(word) if named is None else named


def _integer(word: str) -> int:
    """The number as Go's strconv.Atoi reads it; a negative one is refused by name."""
    if not _ATOI.fullmatch(word):
        raise ScheduleError(
            f"failed to parse int from {word}: strconv.Atoi: parsing {quoted(word)}: invalid syntax"
        )
    digits = word.lstrip("+-").lstrip("0")
    number = int(digits or "0") if len(digits) < 20 else 1 << 64  # int() refuses thousands of digits
    number = -number if word.startswith("-") else number
    if not -(1 << 63) <= number < 1 << 63:
        raise ScheduleError(
            f"failed to parse int from {word}: strconv.Atoi: parsing {quoted(word)}: value out of range"
        )
    if number < 0:
        raise ScheduleError(f"negative number ({number}) not allowed: {word}")
    return number


# --- days, by croniter ----------------------------------------------------------------------------------------


@lru_cache(maxsize=16384)
def _day_after(calendar: Calendar, day: date) -> date | None:
    """The first day after `day` that the calendar allows, None within the horizon.

    Cached, since a tick asks it for every object that is not due today, minute by minute.
    """
    days = _days(calendar.days, calendar.months, calendar.weekdays, calendar.either)
    if days is None:
        return None
    search = copy.copy(days)  # croniter keeps its place in itself; schedules are shared between threads
    try:
        search.set_current(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - croniter's own arithmetic is naive
        found: datetime = search.get_next(datetime)
    except (CroniterBadDateError, ValueError, OverflowError):
        return None  # none in these years, or the year 10000
    return found.date()


@lru_cache(maxsize=4096)
def _days(
    days: frozenset[int], months: frozenset[int], weekdays: frozenset[int], either: bool
) -> croniter | None:
    """croniter over the midnights of the days that match; None where no day can.

    croniter joins days and weekdays by "or" only where both are restricted, so what is always true is left to it
    as a star and what is never true is taken out here.
    """
    if not months:
        return None
    if either:
        if len(days) == 31 or len(weekdays) == 7:
            days, weekdays = frozenset(), frozenset()  # two stars
        elif not days and not weekdays:
            return None
    elif not days or not weekdays:
        return None
    expression = " ".join(
        ("0 0", _listed(days, 31), _listed(months, 12), _listed(weekdays, 7)),
    )
    return croniter(expression, _EPOCH, day_or=either, max_years_between_matches=HORIZON_YEARS + 1)


def _listed(values: frozenset[int], all_of_them: int) -> str:
    return ",".join(map(str, sorted(values))) if 0 < len(values) < all_of_them else "*"


# --- the zone's clock -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Offsets:
    """How far a zone is ahead of UTC, from each of its changes on. Seconds since 1970, and seconds."""

    starts: tuple[int, ...]
    offsets: tuple[int, ...]  # offsets[i] holds from starts[i] on
    end: int  # of the last one, as far as anybody looks

    def at(self, moment: int) -> tuple[int, int, int, int]:
        """Offset at the moment, when it began, when it ends, and by how much the clock was moved when it began."""
        index = max(bisect_right(self.starts, moment) - 1, 0)
        end = self.starts[index + 1] if index + 1 < len(self.starts) else self.end
        moved = self.offsets[index] - self.offsets[index - 1] if index else 0
        return self.offsets[index], self.starts[index], end, moved

    def instant(self, wall: int) -> int:
        """When the wall clock shows that: the first time of two, and where it never does as if it had gone on.

        https://www.rfc-editor.org/rfc/rfc5545#section-3.3.5
        """
        index = bisect_right(self._shown_last, wall)
        if index and wall < self.starts[index] + self.offsets[index]:
            index -= 1  # left out: the offset before the change counts
        return wall - self.offsets[index]

    @cached_property
    def _shown_last(self) -> tuple[int, ...]:
        """What the wall clock had come to when each offset but the last ended."""
        return tuple(start + offset for start, offset in zip(self.starts[1:], self.offsets, strict=False))

    @cached_property
    def longest_move(self) -> int:
        """By how much the clock was moved at the most."""
        return max((abs(b - a) for a, b in zip(self.offsets, self.offsets[1:], strict=False)), default=0)


@lru_cache(maxsize=2048)
def _offsets(zone: tzinfo, year: int) -> Offsets:
    """The zone's offsets from the year before `year` to the horizon's end.

    zoneinfo tells an offset, not the changes: they are found by asking every few days and halving the time between
    two answers that differ. No zone has gone to and fro within less than `_CHANGES_APART` since 1970.
    """
    # Two days from the edges of what a datetime holds.
    first = _seconds(datetime(max(year - 1, 1), 1, 3))  # noqa: DTZ001 - UTC
    last = _seconds(datetime(min(year + HORIZON_YEARS + 2, 9999), 12, 29))  # noqa: DTZ001 - UTC
    starts, offsets = [first], [_offset(zone, first)]
    for known in range(first, last, _CHANGES_APART) if zone is not UTC else ():
        early, late = known, min(known + _CHANGES_APART, last)
        offset = _offset(zone, late)
        if offset == offsets[-1]:
            continue
        while late - early > 1:
            middle = (early + late) // 2
            if _offset(zone, middle) == offsets[-1]:
                early = middle
            else:
                late = middle
        starts.append(late)
        offsets.append(offset)
    return Offsets(tuple(starts), tuple(offsets), last)


def _offset(zone: tzinfo, moment: int) -> int:
    utc = (_EPOCH + timedelta(seconds=moment)).replace(tzinfo=UTC)
    return int((utc.astimezone(zone).utcoffset() or timedelta()).total_seconds())


def _seconds(naive: datetime) -> int:
    between = naive - _EPOCH
    return between.days * 86400 + between.seconds


# --- schedules of fields --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FieldSchedule(Schedule):
    """Five fields in a zone."""

    calendar: Calendar
    zone: tzinfo
    once: bool = False  # a wall time that does not exist or exists twice fires exactly once

    def next(self, after: datetime) -> datetime | None:
        """The first fire time strictly after `after` (aware), in UTC; None when there is none for five years."""
        return self._asked(self._next, after, 1)  # robfig begins at the upcoming second

    def at_or_after(self, moment: datetime) -> datetime | None:
        """The first time at or after `moment` (aware) at which the wall clock matches, in UTC; None as in `next`."""
        return self._asked(self._matching, moment, 1 if moment.microsecond else 0)

    def _asked(self, search: Callable[[int], int | None], moment: datetime, later: int) -> datetime | None:
        if moment.tzinfo is None:
            raise ValueError("a schedule is asked about aware datetimes")
        try:
            found = search(_seconds(moment.astimezone(UTC).replace(tzinfo=None)) + later)
            return None if found is None else (_EPOCH + timedelta(seconds=found)).replace(tzinfo=UTC)
        except (OverflowError, ValueError):
            return None  # the search left the years that a datetime holds

    def _next(self, moment: int) -> int | None:
        if self.once:
            return self._matching(moment)
        offsets = _offsets(self.zone, (_EPOCH + timedelta(seconds=moment)).year)
        offset, start, end, _ = offsets.at(moment)
        wall = _EPOCH + timedelta(seconds=moment + offset)
        found = self.calendar.first(_whole_minute(wall))
        if found is None or found.year > wall.year + HORIZON_YEARS:
            return None
        answer = _seconds(found) - offset
        # A day's margin: where a midnight or an hour comes twice, robfig steps to the one that Go chooses.
        undisturbed = answer + 86400 < end
        if undisturbed and (
            moment - start > 31 * 86400 or _seconds(_set_back(wall, found)) - offset >= start
        ):
            return answer
        walked = self._walk(moment, offsets)
        if walked is not None and walked < moment:  # St John's until 2011, in the minute that came twice
            return self._matching(moment)
        return walked

    def _matching(self, moment: int) -> int | None:
        """The first instant from `moment` on at which the wall clock matches."""
        offsets = _offsets(self.zone, (_EPOCH + timedelta(seconds=moment)).year)
        limit = (_EPOCH + timedelta(seconds=moment + offsets.at(moment)[0])).year + HORIZON_YEARS
        while moment < offsets.end:
            offset, start, end, moved = offsets.at(moment)
            wall = _EPOCH + timedelta(seconds=moment + offset)
            found = self.calendar.first(_whole_minute(wall))
            if found is None or found.year > limit:
                return None
            answer = _seconds(found) - offset
            if self.once and (moment < start + abs(moved) or answer >= end):
                return self._once(moment, wall, offsets)
            if answer < end:
                return answer
            moment = end  # the clock is moved before that
        return None

    def _once(self, moment: int, wall: datetime, offsets: Offsets) -> int | None:
        """The first instant from `moment` on that is the one instant of a matching wall time.

        Around a change the instants are not in the order of the wall times, so `margin` seconds to both sides are
        looked through.
        """
        best: int | None = None
        margin = offsets.longest_move
        limit = wall.year + HORIZON_YEARS
        candidate = self.calendar.first(wall.replace(second=0) - timedelta(seconds=2 * margin))
        while candidate is not None and candidate.year <= limit:
            seconds = offsets.instant(_seconds(candidate))
            if best is not None and seconds > best + margin:
                break
            if seconds >= moment and (best is None or seconds < best):
                best = seconds
            candidate = self.calendar.first(candidate + _MINUTE)
        return best

    def _walk(self, moment: int, offsets: Offsets) -> int | None:
        """The answer of robfig's search, step by step; see the module's docstring for why.

        Months and days are steps of the wall clock from a midnight, hours and minutes are steps of time. What a
        change of the clock does to a step is what it does to robfig's.
        """
        here = _Walk(offsets, moment)
        limit = here.wall.year + HORIZON_YEARS
        while here.wall.year <= limit:
            if self._month(here) and self._day(here) and self._hour(here) and self._minute(here):
                return here.moment
        return None

    # Each of the four moves on until its field matches; False says that the field above it began anew.

    def _month(self, here: _Walk) -> bool:
        while here.wall.month not in self.calendar.months:
            here.set_back(here.wall.replace(day=1, hour=0, minute=0, second=0))
            here.step_months()
            if here.wall.month == 1:
                return False
        return True

    def _day(self, here: _Walk) -> bool:
        while not self.calendar.allows_in_its_month(here.wall):
            here.set_back(here.wall.replace(hour=0, minute=0, second=0))
            here.step_days()
            if here.wall.hour:  # midnight was left out: robfig takes the nearest one, be it yesterday's
                here.step(((24 if here.wall.hour > 12 else 0) - here.wall.hour) * 3600)
            if here.wall.day == 1:
                return False
        return True

    def _hour(self, here: _Walk) -> bool:
        while here.wall.hour not in self.calendar.hours:
            here.set_back(here.wall.replace(minute=0, second=0))
            here.step(3600)
            if here.wall.hour == 0:
                return False
        return True

    def _minute(self, here: _Walk) -> bool:
        while here.wall.minute not in self.calendar.minutes:
            here.step(60 - here.wall.second)
            # Not a new hour unless it is minute 0: after a move by half an hour the hour is not looked at again.
            if here.wall.minute == 0:
                return False
        if here.wall.second:
            here.step(60 - here.wall.second)
            return False
        return True


class _Walk:
    """Where robfig's search stands: an instant, and the wall clock then."""

    def __init__(self, offsets: Offsets, moment: int) -> None:
        self._offsets = offsets
        self._stepped = False  # the first step starts from the beginning of its unit
        self._stand(moment)

    def _stand(self, moment: int) -> None:
        self.moment = moment
        self.wall = _EPOCH + timedelta(seconds=moment + self._offsets.at(moment)[0])

    def set_back(self, wall: datetime) -> None:
        """Go to the beginning of a month, day or hour, if no step was made yet."""
        if not self._stepped:
            self._stepped = True
            self._stand(self._instant(wall))

    def step(self, seconds: int) -> None:
        """Move by time."""
        self._stepped = True
        self._stand(self.moment + seconds)

    def step_months(self) -> None:
        """Move by a month of the wall clock."""
        self._step_date(lambda count: _normal(self.wall, months=count))

    def step_days(self) -> None:
        """Move by a day of the wall clock."""
        self._step_date(lambda count: self.wall + count * _DAY)

    def _step_date(self, date_after: Callable[[int], datetime]) -> None:
        before = self.moment
        target = date_after(1)
        self._stand(self._instant(target))
        if self.moment <= before:  # the zone left that day out: robfig would stay here for ever
            self._stand(self._instant(target + _DAY))

    def _instant(self, wall: datetime) -> int:
        """What Go's time.Date makes of a wall time, also of one that does not exist or exists twice.

        Source: Go time/time.go, Date.
        """
        seconds = _seconds(wall)
        guess = seconds - self._offsets.at(seconds)[0]
        return seconds - self._offsets.at(guess)[0]


def _normal(wall: datetime, *, months: int) -> datetime:
    """The wall time some months later; a day that the month lacks runs over into the next, as in Go."""
    years, month = divmod(wall.month - 1 + months, 12)
    return wall.replace(year=wall.year + years, month=month + 1, day=1) + (wall.day - 1) * _DAY


def _whole_minute(wall: datetime) -> datetime:
    """The wall time, or the next that is a whole minute."""
    return wall if wall.second == 0 else wall.replace(second=0) + _MINUTE


def _set_back(wall: datetime, found: datetime) -> datetime:
    """How far before `wall` robfig's search begins if it ends at `found`: the largest unit in which they differ."""
    if (wall.year, wall.month) != (found.year, found.month):
        return wall.replace(day=1, hour=0, minute=0, second=0)
    if wall.day != found.day:
        return wall.replace(hour=0, minute=0, second=0)
    return wall.replace(minute=0, second=0)


# --- @every ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Interval(Schedule):
    """`@every`: whole seconds apart, counted from the anchor or, without one, from the question."""

    seconds: int
    anchor: datetime | None = None

    def next(self, after: datetime) -> datetime | None:
        """The anchor plus the least multiple of the interval that is after `after` (aware), in UTC."""
        if after.tzinfo is None:
            raise ValueError("a schedule is asked about aware datetimes")
        try:
            start = (self.anchor or after).astimezone(UTC).replace(microsecond=0)
            passed = (after.astimezone(UTC) - start) // timedelta(seconds=self.seconds)
            return start + timedelta(seconds=self.seconds * (max(passed, 0) + 1))
        except OverflowError:
            return None

    def at_or_after(self, moment: datetime) -> datetime | None:
        """The same from an anchor, `moment` included; without one as `next`, since every question is a beginning."""
        return self.next(moment - _SECOND if moment.microsecond == 0 and self.anchor else moment)

    def latest(self, start: datetime, before: datetime) -> datetime | None:
        """The last time strictly between `start` and `before`; without an anchor counted from `start`."""
        if self.anchor is None:
            return Interval(self.seconds, start).latest(start, before)
        return super().latest(start, before)


def _every(spec: str, anchor: datetime | None) -> Interval:
    try:
        seconds = parse_duration(spec.removeprefix("@every ")).nanoseconds // SECOND
    except FunctionError as error:
        raise ScheduleError(f"failed to parse duration {spec}: {error.message}") from error
    if anchor is not None and anchor.tzinfo is None:
        raise ValueError("the anchor of a schedule is an aware datetime")
    return Interval(max(seconds, 1), anchor)
