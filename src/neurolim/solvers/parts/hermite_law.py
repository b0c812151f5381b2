r"""The mean-field equation in a moving frame, cut to Hermite polynomials: one substep in time.

The equations are those of ``kinetic``.
"""

from __future__ import annotations

import itertools

import numpy as np
from numba import njit

from neurolim.numerics import hermite
from neurolim.numerics.cache import keep_compiled
from neurolim.numerics.structure import structure_of
from neurolim.provenance import code_digest
from neurolim.solvers.parts.gap_network import GapNetwork

#: Squared width of a law without width, relative to that which noise gives it within 1/(2 gap).
_SHARP = 1e-10


def total_degrees(count: int, modes: int) -> np.ndarray:
    """Return the degrees [J, count] of all Hermite polynomials of y of total degree < modes."""
    grid = itertools.product(range(modes), repeat=count)
    rows = [degrees for degrees in grid if sum(degrees) < modes]
    return np.array(rows, dtype=int).reshape(len(rows), count)


class Rest:
    """Multiplication and raising of degrees in y, on coefficients [.., J].

    Parameters
    ----------
    count : variables of y
    modes : total degrees
    """

    def __init__(self, count: int, modes: int) -> None:
        self.degrees = total_degrees(count, modes)
        numbers = {tuple(row): j for j, row in enumerate(self.degrees.tolist())}
        size = len(numbers)
        #: Where the degree one lower and one higher in a variable stands, -1 where nowhere.
        self.below, self.above = np.full((2, count, size), -1)
        self.up, self.first = np.zeros((count, size, size)), np.zeros(count, dtype=int)
        for j, row in enumerate(self.degrees.tolist()):
            for i in range(count):
                low, high = list(row), list(row)
                low[i] -= 1
                high[i] += 1
                self.below[i, j] = numbers.get(tuple(low), -1)
                self.above[i, j] = numbers.get(tuple(high), -1)
                if self.below[i, j] >= 0:
                    self.up[i, self.below[i, j], j] = np.sqrt(row[i])
                if sum(row) == row[i] == 1:
                    self.first[i] = j
        self.last = self.degrees.sum(axis=1) >= modes - 2 if count else np.zeros(1, bool)

    def box(self, law: np.ndarray, modes: int) -> np.ndarray:
        """Return coefficients [.., J] by the degrees of every variable [.., modes ..]."""
        full = np.zeros((*law.shape[:-1], *(modes,) * self.degrees.shape[1]))
        full[(..., *self.degrees.T)] = law if self.degrees.shape[1] else law[..., 0]
        return full


class Galerkin:
    """The equation cut to K x J modes: one Euler substep, explicit and implicit part.

    The state is [site, d + d (d - 1)/2 + K J]: V, Y, P row by row up to its diagonal and the
    coefficients.
    """

    def __init__(
        self, network: GapNetwork, modes: tuple[int, int], theta_start: float = 0.0
    ) -> None:
        self.network = network
        self.sites, self.d = network.mean.shape
        self.rest = Rest(self.d - 1, modes[1])
        self.modes = (modes[0], len(self.rest.degrees))
        self.lower = np.tril_indices(self.d - 1)
        self.head = self.d + len(self.lower[0])
        least = _SHARP * network.sigma**2 / (2.0 * network.gap)
        data = np.maximum(network.width[:, 0] ** 2, least)
        #: Squared widths of the initial law of v, and of the frame.
        self.data, self.first = data, data
        if theta_start > 0.0:
            self.first = np.full_like(data, theta_start**2)
        k = modes[0]
        # Exact for h_j h_k times a polynomial drift of degree 7, or that of the model.
        degree = max(n or 7 for n in structure_of(network.model).degree)
        self.nodes, self.weights = hermite.nodes(k + max(4, degree // 2 + 1))
        self.basis = hermite.values(self.nodes, k)
        self.up_k = np.sqrt(np.arange(k))

    def flat(self, moments: float, law: float) -> np.ndarray:
        """Return a flat state with one number for all moments and one for all coefficients."""
        state = np.full((self.sites, self.head + self.modes[0] * self.modes[1]), law)
        state[:, : self.head] = moments
        return state.ravel()

    def start(self) -> np.ndarray:
        """Return the initial state, flat."""
        network = self.network
        state = self.flat(0.0, 0.0).reshape(self.sites, -1)
        state[:, : self.d] = network.mean
        least = _SHARP * network.sigma_y**2 / (2.0 * network.gap[:, None])
        own = np.maximum(network.width[:, 1:] ** 2, least)
        state[:, self.d : self.head] = np.where(
            self.lower[0] == self.lower[1], own[:, self.lower[0]], 0.0
        )
        # A centred normal law of relative variance 1 + 2 x has c_2m = x^m sqrt((2 m)!)/m!.
        half = 0.5 * (self.data / self.first - 1.0)
        even = np.ones(len(half))
        for k in range(0, self.modes[0], 2):
            state[:, self.head + k * self.modes[1]] = even
            even = even * half * np.sqrt((k + 1.0) * (k + 2.0)) / (k / 2 + 1.0)
        return state.ravel()

    def tail(self, flat: np.ndarray) -> np.ndarray:
        """Return the share of the norm in the last two modes of v or y [..., site]."""
        law = self.split(flat)[1]
        ends = law.copy()
        ends[..., :-2, ~self.rest.last] = 0.0
        return np.sqrt((ends**2).sum(axis=(-2, -1)) / (law**2).sum(axis=(-2, -1)))

    def split(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return views [..., site, head] and [..., site, K, J] of flat states [..., n]."""
        state = flat.reshape(*flat.shape[:-1], self.sites, -1)
        law = state[..., self.head :].reshape(*state.shape[:-1], *self.modes)
        return state[..., : self.head], law

    def covariance(self, moments: np.ndarray) -> np.ndarray:
        """Return P [..., d - 1, d - 1] of moments [..., head]."""
        matrix = np.empty((*moments.shape[:-1], self.d - 1, self.d - 1))
        matrix[(..., *self.lower)] = moments[..., self.d :]
        matrix[(..., *self.lower[::-1])] = moments[..., self.d :]
        return matrix

    def excess(
        self, mean: np.ndarray, s: np.ndarray, marginal: np.ndarray, t: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the drift at the means [site, d], its rise at V + s u [d, site, n], <rise>."""
        points = np.concatenate([mean[:, :1], mean[:, :1] + s[:, None] * self.nodes], axis=1)
        drift = self.network.drift(points, mean, t)
        rise = drift[:, :, 1:] - drift[:, :, :1]
        error = (rise * (self.weights * (marginal @ self.basis.T))).sum(axis=2)
        return drift[:, :, 0].T, rise, error.T

    def between(self, function: np.ndarray) -> np.ndarray:
        """Return <function h_j h_k> [site, K, K] of a function at the nodes [site, n]."""
        matrix: np.ndarray = (self.basis.T * (function * self.weights)[:, None, :]) @ self.basis
        return matrix

    def substep(self, flat: np.ndarray, t: float, h: float) -> np.ndarray:
        """Return the state after an Euler substep of size h, implicit in all that is stiff."""
        network, rest = self.network, self.rest
        moments, law = self.split(flat)
        mean, variance = moments[:, : self.d], self.covariance(moments)
        s = np.sqrt(network.frame_variance(t, self.first))
        try:
            root = np.linalg.cholesky(variance)
        except np.linalg.LinAlgError:  # the step was too long
            return np.full_like(flat, np.nan)
        velocity, rise, error = self.excess(mean, s, law[:, :, 0], t)
        away = rise - error.T[:, :, None]
        right = law.copy()
        # <F h_{k-1} h_j> as a matrix, then raised by sqrt(k).
        steep = self.between(away[0] / s[:, None])
        right[:, 1:] += h * self.up_k[1:, None] * (steep @ law)[:, :-1]

        inverse = np.linalg.inv(root)
        fed = inverse @ away[1:].transpose(1, 0, 2)
        # <R^-1 (g - <g>) eta^T>, R^-1 q R, R^-1 diag(sigma^2) R^-T and what is left of H and N.
        levels = law[:, :, rest.first].transpose(0, 2, 1) @ self.basis.T * self.weights
        felt = fed @ levels.transpose(0, 2, 1)
        both = felt + felt.transpose(0, 2, 1)
        own = inverse @ network.q @ root
        noise = (inverse * network.sigma_y[:, None, :] ** 2) @ inverse.transpose(0, 2, 1)
        left = own - _half(own + own.transpose(0, 2, 1) + both) - np.tril(noise, -1)
        for i in range(self.d - 1):
            gained = self.between(fed[:, i]) @ law
            for j in range(self.d - 1):
                lowered, raised = law @ rest.up[j].T, law @ rest.up[j]
                gained += left[:, i, j, None, None] * lowered
                gained -= 0.5 * both[:, i, j, None, None] * raised
            right += h * (gained @ rest.up[i])

        new = np.empty_like(flat)
        new_moments, new_law = self.split(new)
        new_moments[:, : self.d] = mean + h * velocity
        new_moments[:, : self.d] += h * error
        turned = network.q @ variance + root @ felt @ root.transpose(0, 2, 1)
        change = turned + turned.transpose(0, 2, 1)
        change[:, range(self.d - 1), range(self.d - 1)] += network.sigma_y**2
        new_moments[:, self.d :] = (variance + h * change)[:, *self.lower]
        later = network.frame_variance(t + h, self.first)
        stiff = h * network.sigma**2 / (2.0 * later)
        slow = 0.5 * h * np.diagonal(noise, axis1=1, axis2=2) @ rest.degrees.T
        lift = h * (network.e[:, None, :] @ root)[:, 0] / np.sqrt(later)[:, None]
        _substitute(new_law, right, stiff, slow, lift, rest.degrees, rest.below, rest.above)
        return new


def _half(matrices: np.ndarray) -> np.ndarray:
    """Return the lower triangles of matrices, half of their diagonals."""
    return np.tril(matrices) * (1.0 - 0.5 * np.eye(matrices.shape[-1]))


@njit(nogil=True)
def _substitute(new, right, stiff, slow, lift, degrees, below, above):
    """Solve (1 + stiff k + slow) C_k = right_k + sqrt(k) sum_i lift_i J_i C_{k-1} for C, k by k."""
    sites, modes, width = new.shape
    for s in range(sites):
        for k in range(modes):
            for j in range(width):
                value = right[s, k, j]
                if k > 0:
                    for i in range(lift.shape[1]):
                        source = 0.0
                        if below[i, j] >= 0:
                            source += np.sqrt(degrees[j, i]) * new[s, k - 1, below[i, j]]
                        if above[i, j] >= 0:
                            source += np.sqrt(degrees[j, i] + 1.0) * new[s, k - 1, above[i, j]]
                        value += lift[s, i] * np.sqrt(k) * source
                new[s, k, j] = value / (1.0 + stiff[s] * k + slow[s, j])


keep_compiled(_substitute, code_digest(__name__))
