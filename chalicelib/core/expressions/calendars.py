"""Days and dates of the proleptic Gregorian calendar, for every year an int64 of seconds can reach.

Python's datetime ends at year 9999; Go's time does not, and an expression can get there by adding.
Day 0 is 1970-01-01.
"""

from __future__ import annotations

SECONDS_PER_DAY = 86400
_DAYS_IN = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def is_leap(year: int) -> bool:
    """Whether the year has a 29 February."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def days_in(month: int, year: int) -> int:
    """Days of a month, 1 to 12."""
    return 29 if month == 2 and is_leap(year) else _DAYS_IN[month - 1]


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01; `day` may lie outside its month."""
    # Years begin in March, so that the leap day is the last of its year.
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month and day of the month of a day since 1970-01-01."""
    era, of_era = divmod(days + 719468, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march_based = (5 * of_year + 2) // 153
    day = of_year - (153 * march_based + 2) // 5 + 1
    month = march_based + 3 if march_based < 10 else march_based - 9
    return year + era * 400 + (month <= 2), month, day


def year_day(days: int) -> int:
    """Day of its year, from 1."""
    return days - days_from_civil(civil_from_days(days)[0], 1, 1) + 1


def weekday(days: int) -> int:
    """Day of its week, Sunday is 0."""
    return (days + 4) % 7


def iso_week(days: int) -> tuple[int, int]:
    """ISO 8601 year and week: those of the week's Thursday."""
    thursday = days - (weekday(days) - 1) % 7 + 3
    return civil_from_days(thursday)[0], (year_day(thursday) - 1) // 7 + 1
