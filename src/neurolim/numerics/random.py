"""Counter-based random numbers: noise as a pure function of (key, replica, neuron, step, stream).

Philox4x32-10 turns a 128-bit counter and a 64-bit key into four random words (Salmon et al. 2011).
The counter is (neuron group, replica, step, stream), so any number can be computed at any time by
anyone: results do not depend on chunks, threads, restarts or the order of work.

Neurons come in blocks of 256 = 4 words x 64 lanes: word k of lane l serves neuron 64 k + l of its
block.  Every loop below runs over the 64 lanes of one block, without branches, so the compiler
packs it into the widest registers there are; only correctly rounded operations are used (+, -, *,
fused multiply-add, square root), hence the same bits on every processor.

The angle of a pair of normals leaves seven bits of its word unused.  They make a second number per
neuron, a four-point variable with the moments of a normal to order 5, for noise that enters a
variable only through another one (see ``points_float32``).

Two resolutions.  ``float32``: one word per normal, float32 arithmetic, |z| < 6.67; relative steps
of 2^-24.  ``float64``: two words per normal, float64 arithmetic, |z| < 9.5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.numerics.compiled import inlined, kernel
from neurolim.numerics.elementary import log
from neurolim.numerics.lowlevel import bits_of_float32, float32_from_bits, fma, stack_array

LANES = 64
BLOCK = 4 * LANES

#: Streams keep uses of randomness apart; add the index of the state variable.
STREAM_NOISE = 0
STREAM_BRIDGE = 16
STREAM_INITIAL = 32
#: Added to the stream by normals of float64, whose first and second pair need a counter each.
_WIDE = 64
#: Every site of a network has its own streams.
STREAMS_PER_SITE = 256

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_32, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@inlined
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Return the four words of Philox4x32-10 for one counter and key.

    All arguments and results are uint64 of which only the low 32 bits count: the packed multiply
    of every processor reads just those, so masking costs nothing and narrowing is saved.

    Source: Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    for _ in range(10):
        p0 = (c0 & _LOW) * _M0
        p1 = (c2 & _LOW) * _M1
        c0, c2 = (p1 >> _32) ^ c1 ^ k0, (p0 >> _32) ^ c3 ^ k1
        c1, c3 = p1, p0
        k0 = k0 + _W0
        k1 = k1 + _W1
    return c0, c1, c2, c3


@inlined
def minus_log_float32(word):
    """Return -log(u), u = (word | 1) / 2^32 rounded to float32, to 2 ulp, without branches.

    u = 2^e m with m in [sqrt(1/2), sqrt(2)), x = m - 1: -log m = -x + x^2 Q(x), Q the minimax
    polynomial of degree 7 (relative error 3e-8 of the logarithm).
    """
    # Subtracting 32 from the exponent divides by 2^32; 0x3f3504f3 is sqrt(1/2), taken off so
    # that m, not e, is in charge of the rounding.
    bits = np.int32(
        bits_of_float32(np.float32(np.uint32(word | np.uint32(1)))) - np.int32(0x10000000)
    )
    e = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
    x = float32_from_bits(np.int32(bits - np.int32(e << np.int32(23)))) - np.float32(1.0)
    q = np.float32(-0.08734836429357529)
    q = fma(q, x, np.float32(0.14307518303394318))
    q = fma(q, x, np.float32(-0.14917974174022675))
    q = fma(q, x, np.float32(0.16570508480072021))
    q = fma(q, x, np.float32(-0.19962072372436523))
    q = fma(q, x, np.float32(0.25001755356788635))
    q = fma(q, x, np.float32(-0.33333951234817505))
    q = fma(q, x, np.float32(0.49999991059303284))
    return fma(np.float32(e), np.float32(-0.6931471805599453), fma(x * x, q, -x))


@inlined
def direction_float32(word):
    """Return sqrt(2) (cos, sin) of a random angle as float32, exactly symmetric, to 1e-7.

    The two leading bits are the signs.  The rest is t in [-1/2, 1/2): with (c, s) the cosine and
    sine of pi t/2, by minimax polynomials, (c - s, c + s)/sqrt(2) is the direction at the angle
    pi/4 + pi t/2 of the first quadrant.
    """
    mantissa = np.int32(np.uint32(np.uint32(word >> np.uint32(7)) & np.uint32(0x007FFFFF)))
    t = float32_from_bits(np.int32(mantissa | np.int32(0x3F800000))) - np.float32(1.5)
    z = t * t
    s = fma(np.float32(-0.004601661115884781), z, np.float32(0.07968003302812576))
    s = fma(s, z, np.float32(-0.6459634900093079))
    s = fma(s, z, np.float32(1.5707963705062866)) * t
    c = fma(np.float32(-0.020408371463418007), z, np.float32(0.2535986602306366))
    c = fma(c, z, np.float32(-1.2336970567703247))
    c = fma(c, z, np.float32(1.0))
    sign, other = np.int32(word), np.int32(np.uint32(word << np.uint32(1)))
    return _with_sign_of(c - s, sign), _with_sign_of(c + s, other)


@inlined
def _with_sign_of(x, bits):
    """Return x with its sign flipped where the leading bit of ``bits`` is set."""
    return float32_from_bits(np.int32(bits_of_float32(x) ^ np.int32(bits & np.int32(-(2**31)))))


#: Squares of the two magnitudes, 1 - sqrt(2/3) with probability 3/4 and 1 + 3 sqrt(2/3) with 1/4:
#: they give E[x^2] = 1 and E[x^4] = 3.
_SMALL = np.float32(np.sqrt(1.0 - np.sqrt(2.0 / 3.0)))
_LARGE = np.float32(np.sqrt(1.0 + 3.0 * np.sqrt(2.0 / 3.0)))


@inlined
def points_float32(word):
    """Return two four-point variables from the six last bits of an angle's word.

    P(+-a) = 3/8, P(+-b) = 1/8, a^2 = 1 - sqrt(2/3), b^2 = 1 + 3 sqrt(2/3): mean 0, variance 1,
    third and fifth moment 0, fourth moment 3, which is what weak order 2 asks of a step's noise.
    Independent of the direction, which ``direction_float32`` takes from the other bits.

    Source: Kloeden & Platen 1992, sec. 14.2 (discrete variables for weak schemes).
    """
    first = _LARGE if (word & np.uint32(0x3)) == np.uint32(0) else _SMALL
    second = _LARGE if (word & np.uint32(0x18)) == np.uint32(0) else _SMALL
    return (
        _with_sign_of(first, np.int32(np.uint32(word << np.uint32(29)))),
        _with_sign_of(second, np.int32(np.uint32(word << np.uint32(26)))),
    )


@inlined
def _words(words, group, replica, step, stream, key):
    """Fill words [4, 64] with the Philox output of 64 counters, one per lane."""
    k0, k1 = np.uint64(key) & _LOW, np.uint64(key) >> _32
    c1, c2, c3 = np.uint64(replica), np.uint64(step), np.uint64(stream)
    half = LANES // 2
    # Two counters at a time: independent work that fills the pauses of the other.
    for lane in range(half):
        x0, x1, x2, x3 = philox4x32(np.uint64(group + lane), c1, c2, c3, k0, k1)
        y0, y1, y2, y3 = philox4x32(np.uint64(group + lane + half), c1, c2, c3, k0, k1)
        words[0, lane] = np.uint32(x0)
        words[1, lane] = np.uint32(x1)
        words[2, lane] = np.uint32(x2)
        words[3, lane] = np.uint32(x3)
        words[0, lane + half] = np.uint32(y0)
        words[1, lane + half] = np.uint32(y1)
        words[2, lane + half] = np.uint32(y2)
        words[3, lane + half] = np.uint32(y3)


@inlined
def _fill_radii(radii, words):
    """Fill radii [2, 64] of two pairs, sqrt(-log u): -2 log u times the 1/2 directions lack.

    Apart from the directions, so that a processor has several of these long chains at hand.
    """
    for lane in range(LANES):
        radii[0, lane] = np.sqrt(minus_log_float32(words[0, lane]))
        radii[1, lane] = np.sqrt(minus_log_float32(words[2, lane]))


@kernel
def normals(out, first, key, replica, step, stream):
    """Fill ``out`` with standard normals of neurons first, first + 1, ... by Box-Muller.

    Parameters
    ----------
    out : [n], n a multiple of BLOCK, float32 (fastest) or float64 (same numbers)
    first : number of the first neuron, a multiple of BLOCK
    key : 64-bit integer
    replica, step, stream : counters below 2^32
    """
    words = stack_array(np.uint32, 4, LANES)
    radii = stack_array(np.float32, 2, LANES)
    for start in range(0, out.size, BLOCK):
        _words(words, (first + start) // 4, replica, step, stream, key)
        _fill_radii(radii, words)
        for pair in range(2):
            cosines = out[start + 2 * pair * LANES :]
            sines = out[start + (2 * pair + 1) * LANES :]
            for lane in range(LANES):
                cosine, sine = direction_float32(words[2 * pair + 1, lane])
                cosines[lane] = radii[pair, lane] * cosine
                sines[lane] = radii[pair, lane] * sine


@kernel
def normals_and_points(out, points, first, key, replica, step, stream):
    """Fill ``out`` as ``normals`` does, and ``points`` with four-point variables for nothing more.

    Parameters
    ----------
    out, points : [n], n a multiple of BLOCK
    first, key, replica, step, stream : as in ``normals``
    """
    words = stack_array(np.uint32, 4, LANES)
    radii = stack_array(np.float32, 2, LANES)
    for start in range(0, out.size, BLOCK):
        _words(words, (first + start) // 4, replica, step, stream, key)
        _fill_radii(radii, words)
        for pair in range(2):
            at = start + 2 * pair * LANES
            cosines, sines = out[at:], out[at + LANES :]
            ones, others = points[at:], points[at + LANES :]
            for lane in range(LANES):
                cosine, sine = direction_float32(words[2 * pair + 1, lane])
                cosines[lane] = radii[pair, lane] * cosine
                sines[lane] = radii[pair, lane] * sine
            for lane in range(LANES):
                ones[lane], others[lane] = points_float32(words[2 * pair + 1, lane])


@kernel
def wide_normals(out, first, key, replica, step, stream):
    """Fill ``out`` with standard normals of float64 resolution; arguments as in ``normals``.

    Box-Muller with 64-bit uniforms: words 0 and 1 of a counter set the radius, 2 and 3 the angle.
    """
    words = stack_array(np.uint32, 4, LANES)
    for start in range(0, out.size, BLOCK):
        for pair in range(2):
            wide = stream + _WIDE * (1 + pair)
            _words(words, (first + start) // 4, replica, step, wide, key)
            cosines = out[start + 2 * pair * LANES :]
            sines = out[start + (2 * pair + 1) * LANES :]
            for lane in range(LANES):
                high, low = np.float64(words[0, lane]), np.float64(words[1, lane])
                uniform = (high * 2.0**32 + (low + 0.5)) * 2.0**-64
                radius = np.sqrt(-log(uniform))
                cosine, sine = direction(words[2, lane], words[3, lane])
                cosines[lane] = radius * cosine
                sines[lane] = radius * sine


@inlined
def direction(high, low):
    """Return sqrt(2) (cos, sin) of a random angle as float64, to 4e-16; see direction_float32.

    Taylor series of sin and cos on [-pi/4, pi/4], truncated below 2^-57.
    """
    rest = np.float64(np.uint32(high & np.uint32(0x3FFFFFFF)))
    x = ((rest * 2.0**32 + (np.float64(low) + 0.5)) * 2.0**-62 - 0.5) * (0.5 * np.pi)
    z = x * x
    s = 1.0 / 355687428096000.0
    s = s * z - 1.0 / 1307674368000.0
    s = s * z + 1.0 / 6227020800.0
    s = s * z - 1.0 / 39916800.0
    s = s * z + 1.0 / 362880.0
    s = s * z - 1.0 / 5040.0
    s = s * z + 1.0 / 120.0
    s = s * z - 1.0 / 6.0
    s = s * z * x + x
    c = -1.0 / 6402373705728000.0
    c = c * z + 1.0 / 20922789888000.0
    c = c * z - 1.0 / 87178291200.0
    c = c * z + 1.0 / 479001600.0
    c = c * z - 1.0 / 3628800.0
    c = c * z + 1.0 / 40320.0
    c = c * z - 1.0 / 720.0
    c = c * z + 1.0 / 24.0
    c = c * z - 0.5
    c = c * z + 1.0
    sign = 1.0 if np.uint32(high >> np.uint32(31)) == np.uint32(0) else -1.0
    other = 1.0 if np.uint32(high & np.uint32(0x40000000)) == np.uint32(0) else -1.0
    return sign * (c - s), other * (c + s)


@kernel
def uniforms(out, first, key, replica, step, stream):
    """Fill ``out`` with uniforms in (0, 1) of resolution 2^-32; arguments as in ``normals``."""
    words = stack_array(np.uint32, 4, LANES)
    for start in range(0, out.size, BLOCK):
        _words(words, (first + start) // 4, replica, step, stream, key)
        for k in range(4):
            place = out[start + k * LANES :]
            for lane in range(LANES):
                place[lane] = (np.float64(words[k, lane]) + 0.5) * 2.0**-32


def noise_key(seed: int, independent: Mapping[str, Any]) -> int:
    """Return the 64-bit key of one grid point: a hash of the seed and its independent coordinates.

    Coordinates on common-noise axes are left out, so points that differ only there share noise.

    Parameters
    ----------
    seed : of the study
    independent : value of every parameter that lies on an axis with independent noise
    """
    canonical = [
        [name, value.hex() if isinstance(value, float) else value]
        for name, value in sorted(independent.items())
    ]
    text = json.dumps([int(seed), canonical], separators=(",", ":"), sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
