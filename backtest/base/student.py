"""Student's t distribution at a single number: `scipy.special` takes longer to import than what asks for it."""

from __future__ import annotations

import math
from functools import lru_cache

from backtest.base.normal import normal_cdf, normal_quantile

_TINY = 1e-300
_CLOSE = 1e-16
_STEPS = 10_000
# From here on the fraction loses digits, and the normal deviate has more of them.
_MANY = 500.0


def student_tail(value: float, degrees: float) -> float:
    """P(T > `value`) for `value` >= 0, zero where its square overflows, NaN of NaN or where `degrees` is not positive.

    The relative error is below 1e-12 down to tails of 1e-20 (a test compares it with `scipy.special`).

    Half the incomplete beta function I_x(degrees / 2, 1 / 2), x = degrees / (degrees + value^2), by the continued
    fraction 26.5.8 of Abramowitz and Stegun (1964), evaluated as in Lentz, Applied Optics 15(3) (1976), 668-671.
    """
    if not (degrees > 0 and value >= 0):
        return math.nan
    # At one degree of freedom or more, a square that overflows has a tail below 1e-154.
    if math.isinf(value * value / degrees):
        return 0.0
    if degrees > _MANY:
        return normal_cdf(-_normal_deviate(value, degrees))
    a, square = degrees / 2.0, value * value / degrees
    power = math.exp(-a * math.log1p(square))
    factor = power * math.sqrt(square / (1.0 + square)) * _gamma_ratio(a) / math.sqrt(math.pi)
    x = 1.0 / (1.0 + square)
    if x < (a + 1.0) / (a + 2.5):
        return 0.5 * factor * _fraction(a, 0.5, x) / a
    return 0.5 * (1.0 - factor * _fraction(0.5, a, square / (1.0 + square)) / 0.5)


@lru_cache(maxsize=4_096)
def student_quantile(share: float, degrees: float) -> float:
    """The value below which Student's t lies with probability `share`, at least a half; NaN as in `student_tail`.

    Newton's method from the normal quantile, which lies below: the tail is convex, so no step passes the solution, and
    the first that does not lead upwards is rounding.
    """
    if not (degrees > 0 and 0.5 <= share < 1.0):
        return math.nan
    wanted, value = 1.0 - share, normal_quantile(share)
    scale = _gamma_ratio(degrees / 2.0) / math.sqrt(degrees * math.pi)
    for _ in range(_STEPS):
        density = scale * math.exp(-(degrees + 1.0) / 2.0 * math.log1p(value * value / degrees))
        step = (student_tail(value, degrees) - wanted) / density
        value += step
        if step <= 1e-15 * value:
            break
    return value


def _normal_deviate(value: float, degrees: float) -> float:
    """The normal deviate with the same tail: Hill, Algorithm 395, Communications of the ACM 13(10) (1970), 617-619."""
    a = degrees - 0.5
    b, y = 48.0 * a * a, a * math.log1p(value * value / degrees)
    bracket = ((((-0.4 * y - 3.3) * y - 24.0) * y - 85.5) / (0.8 * y * y + 100.0 + b) + y + 3.0) / b + 1.0
    return bracket * math.sqrt(y)


def _gamma_ratio(z: float) -> float:
    """Gamma(z + 1/2) / Gamma(z); from 100 on by its series, see Tricomi and Erdelyi, Pacific J. Math. 1 (1951), 133."""
    if z < 100.0:
        return math.gamma(z + 0.5) / math.gamma(z)
    w = 1.0 / z
    series = 1 - w / 8 + w**2 / 128 + 5 * w**3 / 1_024 - 21 * w**4 / 32_768 - 399 * w**5 / 262_144
    return math.sqrt(z) * series


def _fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function."""
    c = 1.0
    d = 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1.0))
    total = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / _nonzero(1.0 + even * d)
        c = _nonzero(1.0 + even / c)
        total *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / _nonzero(1.0 + odd * d)
        c = _nonzero(1.0 + odd / c)
        total *= d * c
        if abs(d * c - 1.0) <= _CLOSE * 8:
            break
    return total


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
