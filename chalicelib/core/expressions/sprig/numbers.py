"""sprig's functions on numbers: whole ones give int64, those that end in f go through exact decimals.

Source: Masterminds/sprig v3.3.0 numeric.go; shopspring/decimal v1.4.0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from typing import Any

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.powers import power
from chalicelib.core.expressions.sprig.casts import int64_of, parse_int, to_float64, to_int64
from chalicelib.core.expressions.sprig.functions import (
    ANY,
    FLOAT64,
    INT,
    STRING,
    Function,
    Sources,
    bounded_items,
    bounded_text,
    printed,
    steps,
    table,
)
from chalicelib.core.expressions.values import Int64, Ints, float_text, wrap

_MAX_BITS = 200_000  # of an exact intermediate result; no float needs a fraction of them


def _int64(number: int) -> Int64:
    return Int64(wrap(number))


# --- whole numbers --------------------------------------------------------------------------------------


def add(*values: Any) -> Int64:
    """The sum."""
    return _int64(sum(map(to_int64, values)))


def sub(a: Any, b: Any) -> Int64:
    """The difference."""
    return _int64(to_int64(a) - to_int64(b))


def mul(first: Any, *others: Any) -> Int64:
    """The product."""
    return Int64(reduce(lambda product, value: wrap(product * to_int64(value)), others, to_int64(first)))


def div(a: Any, b: Any) -> Int64:
    """The quotient, toward zero. Raises FunctionError on 0."""
    dividend, divisor = _division(a, b)
    quotient = abs(dividend) // abs(divisor)
    return _int64(quotient if (dividend < 0) == (divisor < 0) else -quotient)


def mod(a: Any, b: Any) -> Int64:
    """The remainder, with the sign of the dividend. Raises FunctionError on 0."""
    dividend, divisor = _division(a, b)
    rest = abs(dividend) % abs(divisor)
    return Int64(-rest if dividend < 0 else rest)


def _division(a: Any, b: Any) -> tuple[int, int]:
    dividend, divisor = to_int64(a), to_int64(b)
    if divisor == 0:
        raise FunctionError("runtime error: integer divide by zero")
    return dividend, divisor


def biggest(*values: Any) -> Int64:
    """The largest."""
    return Int64(max(map(to_int64, values)))


def smallest(*values: Any) -> Int64:
    """The smallest."""
    return Int64(min(map(to_int64, values)))


def until(count: int) -> Ints:
    """0, 1, … before `count`; downward when that is negative."""
    return until_step(0, count, -1 if count < 0 else 1)


def until_step(start: int, stop: int, step: int) -> Ints:
    """From `start` on, before `stop`; nothing when the step leads away from it."""
    if step == 0 or (step > 0) != (start < stop):
        return Ints()
    numbers = range(start, stop, step)
    bounded_items(_count(numbers))
    return Ints(numbers)


def _count(numbers: range) -> int:
    # len() refuses what does not fit a C integer.
    return (numbers.stop - numbers.start) // numbers.step + 1


def seq(*values: int) -> str:
    """Numbers as the Unix command prints them, blanks between: `(last)`, `(first, last)`, `(first, step, last)`."""
    if not 1 <= len(values) <= 3:
        return ""
    start = values[0] if len(values) > 1 else 1
    end = values[-1]
    direction = -1 if end < start else 1
    step = values[1] if len(values) == 3 else direction
    if direction < 0 < step:
        return ""
    numbers = until_step(start, end + direction, step)
    text = " ".join(map(str, numbers))
    bounded_text(len(text))
    return text


def to_decimal(value: Any) -> Int64:
    """The text of a value read as an octal number, 0 when it is none."""
    return Int64(int64_of(printed(value), 8) or 0)


def rand_int(sources: Sources, low: int, high: int) -> int:
    """A whole number from `low` on, below `high`."""
    if wrap(high - low) <= 0:
        raise FunctionError("invalid argument to Intn")
    return wrap(sources.random.randrange(wrap(high - low)) + low)


# --- floats ---------------------------------------------------------------------------------------------


def floor(value: Any) -> float:
    """The next whole number downward, as a float."""
    return _whole(to_float64(value), math.floor)


def ceil(value: Any) -> float:
    """The next whole number upward, as a float."""
    return _whole(to_float64(value), math.ceil)


def _whole(number: float, rounding: Callable[[float], int]) -> float:
    if math.isnan(number) or math.isinf(number):
        return number
    return math.copysign(float(rounding(number)), number)  # keeps the sign of a zero


def rounded(value: Any, places: int, *round_on: float) -> float:
    """Rounded to decimal places; up from a fraction of `round_on`, 0.5 when not given."""
    limit = round_on[0] if round_on else 0.5
    shift = power(10.0, float(places))
    digit = _product(shift, to_float64(value))
    fraction = math.nan if math.isnan(digit) or math.isinf(digit) else math.modf(digit)[0]
    return quotient(_whole(digit, math.ceil if fraction >= limit else math.floor), shift)


def _product(a: float, b: float) -> float:
    return a * b  # Python's floats overflow to infinity like Go's, only ** raises


def quotient(a: float, b: float) -> float:
    """a / b as IEEE 754 has it: no error on zero."""
    if b != 0:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def maxf(*values: Any) -> float:
    """The largest, as a float."""
    return reduce(_larger, map(to_float64, values))


def minf(*values: Any) -> float:
    """The smallest, as a float."""
    return -reduce(_larger, (-to_float64(value) for value in values))


def _larger(a: float, b: float) -> float:
    """Go's math.Max: infinity wins over NaN, NaN over the rest, and 0 over -0."""
    if math.inf in (a, b):
        return math.inf
    if math.isnan(a) or math.isnan(b):
        return math.nan
    if a == b == 0:
        return a if math.copysign(1.0, a) > 0 else b
    return max(a, b)


# --- decimals -------------------------------------------------------------------------------------------


def _decimal(number: float) -> Fraction:
    """The shortest decimal that reads back as the number, exactly."""
    if math.isnan(number) or math.isinf(number):
        raise FunctionError(f"Cannot create a Decimal from {float_text(number)}")
    return Fraction(repr(number))


def _on_decimals(
    operation: Callable[[Fraction, Fraction], Fraction], first: Any, others: tuple[Any, ...]
) -> float:
    result = _decimal(to_float64(first))
    for other in others:
        result = operation(result, _decimal(to_float64(other)))
        if result.numerator.bit_length() + result.denominator.bit_length() > _MAX_BITS:
            raise FunctionError("the decimal has too many digits")
        steps().spend(20 + result.denominator.bit_length() // 16)
    try:
        return float(result)
    except OverflowError:
        return math.inf if result > 0 else -math.inf


def _divided(a: Fraction, b: Fraction) -> Fraction:
    """The quotient with 16 digits after the point, halfway away from zero."""
    if b == 0:
        raise FunctionError("decimal division by 0")
    scaled = abs(a / b) * 10**16
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return Fraction(whole if (a < 0) == (b < 0) else -whole, 10**16)


FUNCTIONS = table(
    Function("add", (ANY,), add, variadic=True),
    Function("add1", (ANY,), lambda value: add(value, 1)),
    Function("add1f", (ANY,), lambda value: _on_decimals(Fraction.__add__, value, (1,))),
    Function("addf", (ANY,), lambda *values: _on_decimals(Fraction.__add__, 0, values), variadic=True),
    Function("atoi", (STRING,), lambda text: parse_int(text, 10) or 0),
    Function("biggest", (ANY, ANY), biggest, variadic=True),
    Function("ceil", (ANY,), ceil),
    Function("div", (ANY, ANY), div),
    Function("divf", (ANY, ANY), lambda first, *rest: _on_decimals(_divided, first, rest), variadic=True),
    Function("float64", (ANY,), to_float64),
    Function("floor", (ANY,), floor),
    Function("int", (ANY,), to_int64),
    Function("int64", (ANY,), lambda value: Int64(to_int64(value))),
    Function("max", (ANY, ANY), biggest, variadic=True),
    Function("maxf", (ANY, ANY), maxf, variadic=True),
    Function("min", (ANY, ANY), smallest, variadic=True),
    Function("minf", (ANY, ANY), minf, variadic=True),
    Function("mod", (ANY, ANY), mod),
    Function("mul", (ANY, ANY), mul, variadic=True),
    Function(
        "mulf", (ANY, ANY), lambda first, *rest: _on_decimals(Fraction.__mul__, first, rest), variadic=True
    ),
    Function("randInt", (INT, INT), rand_int, needs_sources=True),
    Function("round", (ANY, INT, FLOAT64), rounded, variadic=True),
    Function("seq", (INT,), seq, variadic=True),
    Function("sub", (ANY, ANY), sub),
    Function(
        "subf", (ANY, ANY), lambda first, *rest: _on_decimals(Fraction.__sub__, first, rest), variadic=True
    ),
    Function("toDecimal", (ANY,), to_decimal),
    Function("until", (INT,), until),
    Function("untilStep", (INT, INT, INT), until_step),
)
