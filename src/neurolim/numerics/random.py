"""Counter-based random numbers: noise as a pure function of (key, replica, neuron, step, stream).

Philox4x32-10 turns a 128-bit counter and a 64-bit key into four random words (Salmon et al. 2011).
The counter is (neuron group, replica, step, stream), so any number can be computed at any time by
anyone: results do not depend on chunks, threads, restarts or the order of work.

Neurons come in blocks of 64 = 4 words x 16 lanes: word k of lane l serves neuron 16 k + l of its
block.  Every loop below runs over the 16 lanes of one block, without branches, so the compiler
packs it; float32 arithmetic uses only correctly rounded operations (+, -, *, sqrt), hence the
same bits on every processor.

Resolution: normals are float32, 2^-32 in the uniform that sets the radius; |z| < 6.77.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit

from neurolim.numerics.lowlevel import bits_of_float32, float32_from_bits, stack_array

LANES = 16
BLOCK = 4 * LANES

#: Streams keep uses of randomness apart; add the index of the state variable.
STREAM_NOISE = 0
STREAM_BRIDGE = 16
STREAM_INITIAL = 32

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_32, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@njit(error_model="numpy", forceinline=True)
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


@njit(error_model="numpy", forceinline=True)
def unit_interval(word):
    """Return a float32 in (0, 1] from a uint32: word 2^-32 + 2^-33."""
    return np.float32(word) * np.float32(2.0**-32) + np.float32(2.0**-33)


@njit(error_model="numpy", forceinline=True)
def log_float32(u):
    """Return log(u) for a normal positive float32, to 1.5 ulp, without branches.

    u = 2^e m with m in [sqrt(1/2), sqrt(2)); log m by a minimax polynomial in m - 1
    (coefficients of Cephes ``logf``).
    """
    bits = bits_of_float32(u)
    # 0x3f3504f3 is sqrt(1/2): taking it off first puts m, not e, in charge of the rounding.
    shifted = np.int32(bits - np.int32(0x3F3504F3))
    e = np.int32(shifted >> np.int32(23))
    m = float32_from_bits(np.int32(bits - np.int32(e << np.int32(23))))
    x = m - np.float32(1.0)
    z = x * x
    y = np.float32(7.0376836292e-2)
    y = y * x - np.float32(1.1514610310e-1)
    y = y * x + np.float32(1.1676998740e-1)
    y = y * x - np.float32(1.2420140846e-1)
    y = y * x + np.float32(1.4249322787e-1)
    y = y * x - np.float32(1.6668057665e-1)
    y = y * x + np.float32(2.0000714765e-1)
    y = y * x - np.float32(2.4999993993e-1)
    y = y * x + np.float32(3.3333331174e-1)
    y = y * x * z
    fe = np.float32(e)
    y = y - np.float32(2.12194440e-4) * fe
    y = y - np.float32(0.5) * z
    return (x + y) + np.float32(0.693359375) * fe


@njit(error_model="numpy", forceinline=True)
def sincos_turn(word):
    """Return (sin, cos) of the angle 2 pi word / 2^32 as float32, to 1.5 ulp, without branches.

    The two leading bits choose the quadrant exactly; sin and cos on [-pi/4, pi/4] by Taylor-like
    minimax polynomials (coefficients of Cephes ``sinf``, ``cosf``).
    """
    rounded = np.uint32(word + np.uint32(0x20000000))
    quadrant = np.int32(rounded >> np.uint32(30))
    rest = np.int32(np.uint32(word - np.uint32(rounded & np.uint32(0xC0000000))))
    t = np.float32(rest) * np.float32(2.0 * np.pi / 2.0**32)
    z = t * t
    s = np.float32(-1.9515295891e-4) * z + np.float32(8.3321608736e-3)
    s = (s * z - np.float32(1.6666654611e-1)) * z * t + t
    c = np.float32(2.443315711809948e-5) * z - np.float32(1.388731625493765e-3)
    c = (c * z + np.float32(4.166664568298827e-2)) * z * z
    c = c - np.float32(0.5) * z + np.float32(1.0)
    swap = (quadrant & np.int32(1)) != 0
    sine = c if swap else s
    cosine = s if swap else c
    sine = -sine if (quadrant & np.int32(2)) != 0 else sine
    cosine = -cosine if ((quadrant + np.int32(1)) & np.int32(2)) != 0 else cosine
    return sine, cosine


@njit(error_model="numpy", forceinline=True)
def _words(words, group, replica, step, stream, key):
    """Fill words [4, 16] with the Philox output of 16 counters, one per lane."""
    k0, k1 = np.uint64(key) & _LOW, np.uint64(key) >> _32
    c1, c2, c3 = np.uint64(replica), np.uint64(step), np.uint64(stream)
    for lane in range(LANES):
        x0, x1, x2, x3 = philox4x32(np.uint64(group + lane), c1, c2, c3, k0, k1)
        words[0, lane] = np.uint32(x0)
        words[1, lane] = np.uint32(x1)
        words[2, lane] = np.uint32(x2)
        words[3, lane] = np.uint32(x3)


@njit(error_model="numpy")
def normals(out, first, key, replica, step, stream):
    """Fill ``out`` with standard normals of neurons first, first + 1, ... by Box-Muller.

    Parameters
    ----------
    out : [n], n a multiple of 64, float64
    first : number of the first neuron, a multiple of 64
    key : 64-bit integer
    replica, step, stream : counters below 2^32
    """
    words = stack_array(np.uint32, 4, LANES)
    for start in range(0, out.size, BLOCK):
        _words(words, (first + start) // 4, replica, step, stream, key)
        for pair in range(2):
            cosines = out[start + 2 * pair * LANES :]
            sines = out[start + (2 * pair + 1) * LANES :]
            for lane in range(LANES):
                uniform = unit_interval(words[2 * pair, lane])
                radius = np.sqrt(np.float32(-2.0) * log_float32(uniform))
                sine, cosine = sincos_turn(words[2 * pair + 1, lane])
                cosines[lane] = radius * cosine
                sines[lane] = radius * sine


@njit(error_model="numpy")
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
