"""Exact steps of small linear stochastic systems, for exponential integrators.

For dx = L x dt + dB with Cov(dB) = S dt over a step h, an exponential scheme needs

    P1 = h phi1(L h),  P2 = h phi2(L h),  C with C C^T = int_0^h e^{Ls} S e^{L^T s} ds,

phi1(z) = (e^z - 1)/z and phi2(z) = (e^z - 1 - z)/z^2.  All three come from Taylor series on a step
so short that they are exact to rounding, then from doubling formulas; only +, -, *, / and square
roots are used, so the bits are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import njit

from neurolim.numerics.cache import named
from neurolim.numerics.lowlevel import stack_array

_TERMS = 12
_SHORT = 0.25
#: Horner's divisors, read from a constant array: a division would wait ten times as long.
_RECIPROCALS = np.array([1.0 / k for k in range(1, _TERMS + 3)])


@cache
def propagator(size: int) -> Callable[..., None]:
    """Return the compiled function ``propagate(L, S, h, E, P1, P2, C)`` for small systems.

    A size known in advance keeps all matrices in registers; size 0 stands for any.

    The function fills, for a matrix L [size, size] (1/time), a covariance of the noise S
    [size, size] (1/time) and a step h (time):

    E : e^{L h} [size, size]
    P1, P2 : h phi1(L h) and h phi2(L h) [size, size], time
    C : lower triangular factor of the noise covariance over the step [size, size]; a direction
        without noise gets a zero column

    Relative error of every entry of P1 below 1e-11 for |L| h up to 1e12, of stiff and slow modes
    alike (tests/numerics/test_exponential.py).

    Source: Al-Mohy & Higham 2011 (phi functions by scaling); Van Loan 1978 (the covariance).
    """
    rows, columns = 4 * size, size

    def propagate(L, S, h, E, P1, P2, C):
        fill_step(size, stack_array(np.float64, rows, columns), L, S, h, E, P1, P2, C)

    def propagate_any(L, S, h, E, P1, P2, C):
        d = L.shape[0]
        fill_step(d, np.empty((4 * d, d)), L, S, h, E, P1, P2, C)

    return njit(error_model="numpy")(named(propagate if size > 0 else propagate_any, size))


# The parts are put into the step before it is compiled: compiled by themselves, size by size, they
# would cost twice as long.


@njit(error_model="numpy", inline="always")
def fill_step(d, room, L, S, h, E, P1, P2, C):
    """Fill E, P1, P2 and C of ``propagator`` for d variables, with room for work [4 d, d]."""
    A, Q, term, work = room[:d], room[d : 2 * d], room[2 * d : 3 * d], room[3 * d :]
    tau, doublings = shortened(d, L, h)
    for i in range(d):
        for j in range(d):
            A[i, j] = L[i, j] * tau
    short_phis(d, A, E, P1, P2, work)
    short_covariance(d, A, S, tau, Q, term, work)
    for _ in range(doublings):
        double(d, E, P1, P2, Q, term, work)
    for i in range(d):
        for j in range(d):
            P1[i, j] *= h
            P2[i, j] *= h
            if i == j:
                E[i, j] += 1.0
    cholesky(Q, C)


@njit(error_model="numpy", forceinline=True)
def multiply(d, out, a, b):
    """Fill out = a b [d, d]."""
    for i in range(d):
        for j in range(d):
            total = 0.0
            for k in range(d):
                total += a[i, k] * b[k, j]
            out[i, j] = total


@njit(error_model="numpy", inline="always")
def shortened(d, L, h):
    """Return a step so short that series converge, |L| tau <= 1/4, and its doublings to h."""
    norm = 0.0
    for i in range(d):
        row = 0.0
        for j in range(d):
            row += abs(L[i, j])
        norm = max(norm, row)
    doublings = 0
    tau = h
    while norm * tau > _SHORT and doublings < 1000:
        tau *= 0.5
        doublings += 1
    return tau, doublings


@njit(error_model="numpy", inline="always")
def short_phis(d, A, E, P1, P2, work):
    """Fill e^A - 1, phi1(A) and phi2(A) [d, d] of a small A: phi2 by Horner, the rest from it.

    E holds e^A - 1 until the step's end: it keeps the digits of slow modes, which 1 + (little)
    would lose beside stiff ones.
    """
    for i in range(d):
        for j in range(d):
            P2[i, j] = 0.0
    for k in range(_TERMS, 0, -1):
        multiply(d, work, A, P2)
        for i in range(d):
            for j in range(d):
                P2[i, j] = (work[i, j] + (1.0 if i == j else 0.0)) * _RECIPROCALS[k]
    multiply(d, P1, A, P2)
    for i in range(d):
        P1[i, i] += 1.0
    multiply(d, E, A, P1)


@njit(error_model="numpy", inline="always")
def short_covariance(d, A, S, tau, Q, term, work):
    """Fill Q(tau) = sum_k M_k tau/(k + 1)! [d, d], M_0 = S,  M_{k+1} = A M_k + M_k A^T."""
    for i in range(d):
        for j in range(d):
            term[i, j] = S[i, j] * tau
            Q[i, j] = term[i, j]
    for k in range(2, _TERMS + 2):
        multiply(d, work, A, term)
        for i in range(d):
            for j in range(d):
                term[i, j] = (work[i, j] + work[j, i]) * _RECIPROCALS[k - 1]
                Q[i, j] += term[i, j]


@njit(error_model="numpy", inline="always")
def double(d, E, P1, P2, Q, term, work):
    """Double the step of F = e^z - 1 (in E), phi1, phi2 and Q [d, d].

    phi2(2z) = (phi1^2 + 2 phi2)/4, phi1(2z) = phi1 (e^z + 1)/2, Q(2t) = Q + e Q e^T, with
    e^z = 1 + F: the last is 2 Q + F Q + Q F^T + F Q F^T, and F(2z) = F^2 + 2 F.
    """
    multiply(d, work, P1, P1)
    for i in range(d):
        for j in range(d):
            P2[i, j] = 0.25 * (work[i, j] + 2.0 * P2[i, j])
    multiply(d, work, P1, E)
    for i in range(d):
        for j in range(d):
            P1[i, j] += 0.5 * work[i, j]
    multiply(d, term, E, Q)
    for i in range(d):
        for j in range(d):
            total = 0.0
            for k in range(d):
                total += term[i, k] * E[j, k]
            work[i, j] = 2.0 * Q[i, j] + (term[i, j] + term[j, i]) + total
    for i in range(d):
        for j in range(d):
            Q[i, j] = 0.5 * (work[i, j] + work[j, i])
    multiply(d, work, E, E)
    for i in range(d):
        for j in range(d):
            E[i, j] = work[i, j] + 2.0 * E[i, j]


@njit(error_model="numpy", forceinline=True)
def cholesky(Q, C):
    """Fill C with the lower triangular factor of a covariance Q [d, d] that may be singular.

    A direction without variance gets a zero column.
    """
    d = Q.shape[0]
    for j in range(d):
        for i in range(d):
            C[i, j] = 0.0
        pivot = Q[j, j]
        for k in range(j):
            pivot -= C[j, k] * C[j, k]
        if pivot > 1e-15 * Q[j, j]:
            C[j, j] = np.sqrt(pivot)
            for i in range(j + 1, d):
                total = Q[i, j]
                for k in range(j):
                    total -= C[i, k] * C[j, k]
                C[i, j] = total / C[j, j]
