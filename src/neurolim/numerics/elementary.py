"""Elementary functions for kernels: branch-free, so loops pack.

Only +, -, *, / and reinterpreted bits, in a fixed order without contraction: the same bits on
every processor.  Errors below are the largest found against 40-digit arithmetic
(tests/numerics/test_elementary.py repeats the comparison).
"""

from __future__ import annotations

import numpy as np

from neurolim.numerics.compiled import inlined, kernel
from neurolim.numerics.lowlevel import bits_of_float64, float64_from_bits

_LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has 21 zero bits at its end, so k times it is exact.
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
# Adding and subtracting 1.5 * 2^52 rounds to the nearest integer.
_ROUND = 6755399441055744.0
_LARGEST, _SMALLEST = 709.0, -708.0


@inlined
def _power_of_two(k):
    """Return 2^k for a whole float64 k in [-1022, 1023]."""
    return float64_from_bits((np.int64(k) + 1023) << 52)


@inlined
def _reduced(x):
    """Return (2^k, e^r - 1) with x = k ln 2 + r, |r| <= ln(2)/2; x clipped to +-708."""
    x = min(max(x, _SMALLEST), _LARGEST)
    k = (x * _LOG2_E + _ROUND) - _ROUND
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    # Taylor series of (e^r - 1 - r)/r^2 to r^11: truncation below 2^-56 on the interval.
    q = 1.0 / 6227020800.0
    q = q * r + 1.0 / 479001600.0
    q = q * r + 1.0 / 39916800.0
    q = q * r + 1.0 / 3628800.0
    q = q * r + 1.0 / 362880.0
    q = q * r + 1.0 / 40320.0
    q = q * r + 1.0 / 5040.0
    q = q * r + 1.0 / 720.0
    q = q * r + 1.0 / 120.0
    q = q * r + 1.0 / 24.0
    q = q * r + 1.0 / 6.0
    q = q * r + 0.5
    return _power_of_two(k), q * r * r + r


@inlined
def exp(x):
    """Return e^x to 1.5 ulp; arguments are clipped to [-708, 709], so it never overflows."""
    scale, small = _reduced(x)
    return scale * (1.0 + small)


@inlined
def expm1(x):
    """Return e^x - 1 to 3 ulp, accurate near 0; arguments are clipped to [-708, 709]."""
    scale, small = _reduced(x)
    return scale * small + (scale - 1.0)


@inlined
def phi1(x):
    """Return (e^x - 1)/x to 4 ulp, 1 at 0: the mean growth over an exponential step."""
    return 1.0 if x == 0.0 else expm1(x) / x


@inlined
def tanh(x):
    """Return tanh(x) to 4 ulp, accurate near 0, +-1 far out: expm1(2x)/(expm1(2x) + 2)."""
    t = expm1(min(max(2.0 * x, -80.0), 80.0))
    return t / (t + 2.0)


@inlined
def sigmoid(x):
    """Return 1/(1 + e^-x) to 3 ulp for |x| < 700, between 0 and 1 always."""
    return 1.0 / (1.0 + exp(-x))


@inlined
def log(x):
    """Return log(x) to 2 ulp for normal positive x (no check: kernels only pass such).

    x = 2^e m, m in [sqrt(1/2), sqrt(2)), s = (m - 1)/(m + 1), log m = 2 artanh(s).
    """
    bits = bits_of_float64(x)
    # 0x3fe6a09e667f3bcd is sqrt(1/2).
    e = (bits - 0x3FE6A09E667F3BCD) >> 52
    f = float64_from_bits(bits - (e << 52)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    # Series of artanh to s^21; |s| < 0.1716, so truncation is below 2^-57.
    q = 1.0 / 21.0
    q = q * z + 1.0 / 19.0
    q = q * z + 1.0 / 17.0
    q = q * z + 1.0 / 15.0
    q = q * z + 1.0 / 13.0
    q = q * z + 1.0 / 11.0
    q = q * z + 1.0 / 9.0
    q = q * z + 1.0 / 7.0
    q = q * z + 1.0 / 5.0
    q = q * z + 1.0 / 3.0
    k = np.float64(e)
    return (k * _LN2_LOW + 2.0 * s * z * q) + 2.0 * s + k * _LN2_HIGH


#: The smallest number of full precision, and what smaller ones are multiplied by.
_NORMAL = 2.2250738585072014e-308
_LIFT = 2.0**54
_LOG_LIFT = 54.0 * 0.6931471805599453


@inlined
def log_of_any(x):
    """Return `log` of positive numbers, -inf at zero, inf at infinity, NaN below zero."""
    low = x < _NORMAL
    value = log(x * _LIFT if low else x) - (_LOG_LIFT if low else 0.0)
    value = value if x < np.inf else x
    return value if x > 0.0 else (-np.inf if x == 0.0 else np.nan)


# pi/2 in three parts; the first two have 20 zero bits at their ends, so k times each is exact.
_PI_HALF = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
_TWO_OVER_PI = 6.36619772367581382433e-01


@inlined
def _quarter_turns(x):
    """Return (k mod 4, sin r, cos r) with x = k pi/2 + r, |r| <= pi/4; |x| < 1.6e6."""
    k = (x * _TWO_OVER_PI + _ROUND) - _ROUND
    r = ((x - k * _PI_HALF[0]) - k * _PI_HALF[1]) - k * _PI_HALF[2]
    z = r * r
    # Taylor series, truncated below 2^-57.
    s = 1.0 / 355687428096000.0
    s = s * z - 1.0 / 1307674368000.0
    s = s * z + 1.0 / 6227020800.0
    s = s * z - 1.0 / 39916800.0
    s = s * z + 1.0 / 362880.0
    s = s * z - 1.0 / 5040.0
    s = s * z + 1.0 / 120.0
    s = s * z - 1.0 / 6.0
    c = 1.0 / 20922789888000.0
    c = c * z - 1.0 / 87178291200.0
    c = c * z + 1.0 / 479001600.0
    c = c * z - 1.0 / 3628800.0
    c = c * z + 1.0 / 40320.0
    c = c * z - 1.0 / 720.0
    c = c * z + 1.0 / 24.0
    return np.int64(k) & 3, r + r * z * s, 1.0 - (0.5 * z - z * z * c)


@inlined
def sin(x):
    """Return sin(x) with an error below 2e-16 for |x| < 1.6e6."""
    quarter, s, c = _quarter_turns(x)
    value = c if quarter & 1 else s
    return -value if quarter & 2 else value


@inlined
def cos(x):
    """Return cos(x) with an error below 2e-16 for |x| < 1.6e6."""
    quarter, s, c = _quarter_turns(x)
    value = s if quarter & 1 else c
    return -value if (quarter + 1) & 2 else value


#: Chebyshev series of (1 + x) e^(x^2/2) Phi(-x) in (x - 4)/(x + 4), x >= 0, truncated below 1e-17.
_TAIL = (
    0.4655865996963784,
    -0.06423751712334332,
    -0.011171509596721219,
    0.01263630599437623,
    -0.004828490640131744,
    0.0010793834106156014,
    -0.0001194099520285248,
    -6.8485883776766764e-06,
    4.060629718065491e-06,
    -1.9527544708338363e-07,
    -1.1345944386467565e-07,
    1.227397138426542e-08,
    3.662441203341559e-09,
    -5.088948506210621e-10,
    -1.4602402012093163e-10,
    1.8321966529064227e-11,
    6.857544400027546e-12,
    -5.077272058049455e-13,
    -3.458064365204774e-13,
    4.412922855809207e-16,
    1.7054866572266912e-14,
    1.5123653278115068e-15,
    -7.370100783416678e-16,
    -1.6124885584264884e-16,
    2.130692627650816e-17,
    1.1734807140572405e-17,
)
_ROOT_TWO_PI = 2.5066282746310002
#: No probability is taken to be less.
_LEAST = 1e-300


@kernel
def _tail(x):
    """Return e^(x^2/2) Phi(-x) for x >= 0, by Clenshaw's recurrence."""
    t = (x - 4.0) / (x + 4.0)
    after, now = 0.0, 0.0
    for j in range(len(_TAIL) - 1, 0, -1):
        after, now = now, _TAIL[j] + 2.0 * t * now - after
    return (_TAIL[0] + t * now - after) / (1.0 + x)


@kernel
def normal_cdf(x):
    """Return the standard normal distribution function, to 5e-15 + x^2 2^-52 relative, x > -37."""
    below = exp(-0.5 * x * x) * _tail(abs(x))
    return below if x < 0.0 else 1.0 - below


@kernel
def normal_quantile(x):
    """Return the inverse of `normal_cdf`, to 1e-13; x is clipped to [1e-300, 1 - 1e-16].

    Halley's method from the rational approximation of Hastings (Abramowitz & Stegun 26.2.22).
    """
    p = max(min(x, 1.0 - x), _LEAST)
    t = np.sqrt(-2.0 * log(p))
    y = t - (2.30753 + 0.27061 * t) / (1.0 + 0.99229 * t + 0.04481 * t * t)
    y = max(y, 0.0)
    for _ in range(3):
        # (Phi(-x) - p)/phi(x), with e^(x^2/2) taken into the first term.
        error = _ROOT_TWO_PI * (_tail(y) - p * exp(0.5 * y * y))
        y = max(y + error / (1.0 - 0.5 * error * y), 0.0)
    return -y if x < 0.5 else y
