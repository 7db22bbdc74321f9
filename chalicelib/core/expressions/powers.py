"""Powers to the last digit as Go has them on amd64, where Argo is mostly run and the vectors were recorded.

Go squares the mantissa for the whole part of the exponent and goes through logarithm and exponential for the rest; the
C library, and so Python, rounds otherwise now and then, and a selector may compare the outcome. On arm64 the last
digit of such a power differs in Go, too.

Sources: math/pow.go, math/log_amd64.s, math/exp_amd64.s (go1.26), the latter with fused multiply-add.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_ODD: Final = (
    6.666666666666735130e-01,
    2.857142874366239149e-01,
    1.818357216161805012e-01,
    1.479819860511658591e-01,
)
_EVEN: Final = (3.999999999940941908e-01, 2.222219843214978396e-01, 1.531383769920937332e-01)
_LN2_UPPER, _LN2_REST = (
    0.69314718055966295651160180568695068359375,
    0.28235290563031577122588448175013436025525412068e-12,
)
_TAYLOR: Final = (
    1.9841269841269841270e-4, 1.3888888888888888889e-3, 8.3333333333333333333e-3, 4.1666666666666666667e-2,
    1.6666666666666666667e-1, 0.5, 1.0,
)  # fmt: skip


def power(x: float, y: float) -> float:
    """Go's math.Pow, with its special cases; raises nothing."""
    if y == 0.0 or x == 1.0:
        return 1.0
    if y == 1.0:
        return x
    if math.isnan(x) or math.isnan(y):
        return math.nan
    if x == 0.0:
        odd = math.copysign(1.0, x) < 0 and _is_odd(y)
        if y < 0:
            return -math.inf if odd else math.inf
        return x if odd else 0.0
    if math.isinf(y):
        if x == -1.0:
            return 1.0
        return 0.0 if (abs(x) < 1) == (y > 0) else math.inf
    if math.isinf(x):
        if x < 0:
            return power(1.0 / x, -y)
        return 0.0 if y < 0 else math.inf
    if y == 0.5:
        return math.sqrt(x) if x >= 0 else math.nan
    if y == -0.5:
        return 1.0 / math.sqrt(x) if x > 0 else math.nan
    return _power_of_finite(x, y)


def _power_of_finite(x: float, y: float) -> float:
    fraction, whole = math.modf(abs(y))
    if fraction != 0.0 and x < 0:
        return math.nan
    if whole >= 2.0**63:
        if x == -1.0:
            return 1.0
        return 0.0 if (abs(x) < 1) == (y > 0) else math.inf
    mantissa, exponent = 1.0, 0
    if fraction != 0.0:
        if fraction > 0.5:
            fraction -= 1
            whole += 1
        mantissa = _exp(fraction * _log(x))
    square, square_exponent = math.frexp(x)
    bits = int(whole)
    while bits:
        if not -4096 <= square_exponent <= 4096:
            exponent += square_exponent
            break
        if bits & 1:
            mantissa *= square
            exponent += square_exponent
        square *= square
        square_exponent <<= 1
        if square < 0.5:
            square += square
            square_exponent -= 1
        bits >>= 1
    if y < 0:
        mantissa, exponent = 1.0 / mantissa, -exponent
    try:
        return math.ldexp(mantissa, exponent)
    except OverflowError:
        return math.copysign(math.inf, mantissa)


def _is_odd(y: float) -> bool:
    return abs(y) < 2.0**53 and y == math.trunc(y) and int(y) % 2 == 1


def _log(x: float) -> float:
    """The natural logarithm of a positive finite number."""
    mantissa, exponent = math.frexp(x)
    if x < 2.0**-1022:  # the assembly reads a subnormal number as if it were a normal one
        mantissa, exponent = 0.5 + x * 2.0**1021, -1022
    if mantissa < math.sqrt(2) / 2:
        mantissa, exponent = mantissa * 2, exponent - 1
    f, k = mantissa - 1, float(exponent)
    s = f / (2 + f)
    s2 = s * s
    s4 = s2 * s2
    odd = s2 * (_ODD[0] + s4 * (_ODD[1] + s4 * (_ODD[2] + s4 * _ODD[3])))
    even = s4 * (_EVEN[0] + s4 * (_EVEN[1] + s4 * _EVEN[2]))
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + (odd + even)) + k * _LN2_LOW)) - f)


def _exp(x: float) -> float:
    """e to the power of a number so small that nothing overflows: at most half the logarithm of a float64."""
    exponent = round(x * 1.4426950408889634073599246810018920)
    x = _fused(-float(exponent), _LN2_UPPER, x)
    x = _fused(-float(exponent), _LN2_REST, x) * 0.0625
    series = 2.4801587301587301587e-5
    for term in _TAYLOR:
        series = _fused(x, series, term)
    x *= series
    for _ in range(3):
        x *= x + 2.0
    return math.ldexp(_fused(x + 2.0, x, 1.0), exponent)


def _fused(a: float, b: float, c: float) -> float:
    """a * b + c, rounded once (math.fma, which is Python 3.13's)."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))
