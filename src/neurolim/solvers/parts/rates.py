"""How fast the modes of a network decay at the start, which limits explicit steps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Sites
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.times import at_start, largest_rate

_LARGEST = sys.float_info.max
#: Matrices have at most so many rows.
_MOST_MODES = 1000
#: A run amplifies no mode so many times that its equations damp.
_GROWTH = 10.0
#: No scheme damps a mode lambda with |lambda| h beyond this; halvings of it to rounding.
_WIDEST, _HALVINGS = 4.0, 60

#: (|R|^2 - 1)/s of a scheme whose step multiplies a mode lambda by R, for s = |lambda| h and the
#: damping c = -Re lambda/|lambda|; it grows with s.
Amplification = Callable[[np.ndarray, np.ndarray], np.ndarray]


def of_euler(s: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the amplification of R = 1 + z, z = lambda h."""
    return s - 2.0 * c


def of_second_order(s: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the amplification of R = 1 + z + z^2/2, z = lambda h."""
    return ((0.25 * s - c) * s + 2.0 * c**2) * s - 2.0 * c


class Slopes(NamedTuple):
    """Slopes of a network at the centre of its initial law.

    Parameters
    ----------
    own : d (drift_k - pull_k x_k)/d x_l [P, d, d]
    pull, gap : rates of the synapses and of the gap junctions [P, d]
    felt, heard : d (drift_k + pull_k (target_k - x_k))/d m_j and d c_j [P, d, means]
    sent : d m_j/d x_l, of states and fields, and of what they were where means come late
        [P, means, d]
    """

    own: np.ndarray
    pull: np.ndarray
    gap: np.ndarray
    felt: np.ndarray
    heard: np.ndarray
    sent: np.ndarray

    @property
    def coupled(self) -> bool:
        """Return whether a mean or an input moves a variable."""
        return bool(self.felt.any() or self.heard.any())

    def late(self, weight: float, count: int) -> Slopes:
        """Return the slopes with the last ``count`` means, which come late, times a weight."""
        weights = np.ones(self.sent.shape[1])
        weights[len(weights) - count :] = weight
        return self._replace(felt=self.felt * weights, heard=self.heard * weights)


def slopes_at_start(model: Model, sites: Sites, gain: float = 1.0) -> Slopes:
    """Return the slopes of a network whose equations can be traced.

    Parameters
    ----------
    model, sites : the network
    gain : inputs are so many times those of all-to-all wires
    """
    slopes, d, P = derivatives_of(model), len(model.state), len(sites.labels)
    means = len(model.means)
    made = Slopes(
        np.zeros((P, d, d)),
        np.zeros((P, d)),
        np.zeros((P, d)),
        np.zeros((P, d, means)),
        np.zeros((P, d, means)),
        np.zeros((P, means, d)),
    )

    def moved(drift: Any, current: Any, pull: Any, at: tuple[Any, ...]) -> np.ndarray:
        by_drift, by_current, by_pull = (
            np.reshape(slope(*at), (d, means)) for slope in (drift, current, pull)
        )
        return np.asarray(by_drift + by_current - np.array(at[0])[:, None] * by_pull)

    for s, at in enumerate(at_start(model, sites, gain)):
        pull, _, gap = model.equations.relax(*at[1:])
        made.own[s] = np.reshape(slopes.drift_x(*at), (d, d)) - np.diag(pull)
        made.pull[s], made.gap[s] = pull, gap
        made.felt[s] = moved(slopes.drift_m, slopes.current_m, slopes.pull_m, at)
        made.heard[s] = moved(slopes.drift_c, slopes.current_c, slopes.pull_c, at)
        now = np.vstack([np.eye(d), np.reshape(slopes.field_x(*at), (-1, d))])
        made.sent[s] = np.vstack([now, now[list(model.late)]])
    return made


def modes_at_start(
    model: Model, params: Mapping[str, Any], n: int, late: float = 0.0
) -> np.ndarray:
    """Return the modes (1/time) of an all-to-all network at the start, complex [mode].

    Differences of the neurons of a site, and the means of all sites, move as

        D' = (A - gap) D,       X'_s = (A_s + F_s S_s) X_s + H_s sum_r K[s, r] S_r X_r

    with the slopes A own, F felt, H heard and S sent.  Where equations cannot be traced, a mode is
    the pull and gap of the variable that relaxes fastest.  Means of very many sites are one mode by
    a bound, the sum of a row.

    Parameters
    ----------
    model, params : the network
    n : neurons per site; a single one has no differences
    late : weight of what comes late, as if it came at once
    """
    if _unknown(model):
        return np.array([-largest_rate(model, params, slopes=True)], dtype=complex)
    sites = model.sites(params)
    slopes = slopes_at_start(model, sites).late(late, len(model.delays))
    apart = slopes.own - slopes.gap[:, :, None] * np.eye(len(model.state))
    modes = [_eigenvalues(apart).ravel()] if n > 1 else []
    if not slopes.coupled:
        return np.concatenate([*modes, _eigenvalues(slopes.own).ravel()])
    own, weights = slopes.own + slopes.felt @ slopes.sent, np.array(sites.coupling, dtype=float)
    if own.shape[0] * own.shape[1] > _MOST_MODES:
        reach = np.abs(weights) @ np.abs(slopes.sent).sum(axis=2)
        rows = np.abs(own).sum(axis=2) + (np.abs(slopes.heard) * reach[:, None]).sum(axis=2)
        return np.concatenate([*modes, [-rows.max()]])
    heard = np.einsum("skj,rjl->skrl", slopes.heard, slopes.sent) * weights[:, None, :, None]
    return np.concatenate([*modes, _eigenvalues(_with_own(heard, own))])


def longest_step(modes: np.ndarray, amplification: Amplification, t_end: float) -> float:
    r"""Return up to which step no mode that the equations damp within a run grows instead.

    A mode lambda is damped within the run if -Re lambda t_end >= 1.  Its step is the longest with
    |R| <= 1, or, where the step resolves it, |lambda| h <= 1, with |R|^(t_end/h) <= 10: an explicit
    scheme amplifies a weakly damped spiral a little at any step in use, which a run that leaves
    its start before long does not notice.

    Parameters
    ----------
    modes : lambda (1/time), complex [mode]
    amplification : of the scheme
    t_end : end of the run

    Returns
    -------
    a step (time), infinite where no mode is damped within the run
    """
    damped = modes[-modes.real * t_end >= 1.0]
    if damped.size == 0:
        return np.inf
    size = np.minimum(np.abs(damped), _LARGEST)
    damping = np.minimum(-damped.real / size, 1.0)
    # |R|^(t_end/h) <= exp((|R|^2 - 1) t_end/(2 h)).
    slack = 2.0 * np.log(_GROWTH) / t_end / size
    low, high = np.zeros(size.shape), np.full(size.shape, _WIDEST)
    for _ in range(_HALVINGS):
        s = 0.5 * (low + high)
        held = amplification(s, damping) <= np.where(s <= 1.0, slack, 0.0)
        low, high = np.where(held, s, low), np.where(held, high, s)
    return float((low / size).min())


def longest_euler_step(model: Model, params: Mapping[str, Any], n: int, t_end: float) -> float:
    """Return ``longest_step`` of Euler's scheme for an all-to-all network.

    What comes late counts as if it came at once with either sign: an explicit step of a delayed
    decay alternates, whatever the delay.

    Parameters
    ----------
    model, params : the network
    n, t_end : neurons per site, end of the run
    """
    signs = (-1.0, 1.0) if model.delays else (0.0,)
    return min(
        longest_step(modes_at_start(model, params, n, sign), of_euler, t_end) for sign in signs
    )


def rate_bound(model: Model, params: Mapping[str, Any], gain: float, inward: float) -> float:
    """Return a rate (1/time) up to which what a graph steps explicitly damps a mode, at the start.

    It is the largest eigenvalue of the matrix over sites and variables [P d, P d]

        inward gap_k - d drift_k/d x_k,  beside the diagonal |d drift_k/d x_l|,
        + gain |K[s, r]| |sum_j d force_k/d c_j d sent_j/d x_l| + the same of m with weight 1,

    force being drift + pull (target - x), which bounds the Jacobian entry by entry (for one
    variable: Gershgorin's row sums) but for the pull of a neuron's own, which is exact: a mode
    -(l + rate) of which l is exact is damped if h rate < 1/phi2(-l h), which is at least 2.  It is
    0 where wires carry gap junctions alone, of which steps of 1/(pull + gap) are stable, and the
    largest pull + gap for equations that cannot be traced.  What comes late does not count.

    Parameters
    ----------
    model, params : the network
    gain, inward : as `graphs.most_heard` returns them
    """
    if _unknown(model):
        return largest_rate(model, params, slopes=True, gain=gain, inward=inward)
    sites, each = model.sites(params), np.arange(len(model.state))
    slopes = slopes_at_start(model, sites, gain).late(0.0, len(model.delays))
    if not slopes.coupled:
        return 0.0
    own = np.abs(slopes.own)
    own[:, each, each] = inward * slopes.gap - slopes.pull - slopes.own[:, each, each]
    own += np.abs(slopes.felt @ slopes.sent)
    weights = gain * np.abs(sites.coupling)
    heard = np.abs(np.einsum("skj,rjl->skrl", slopes.heard, slopes.sent))
    matrix = _with_own(heard * weights[:, None, :, None], own)
    return min(-float(_eigenvalues(-matrix).real.min()), _LARGEST)


def joint_rate_at_rest(model: Model, sites: Sites) -> float:
    """Return a bound on the rate at which the means of all sites move each other, at the start.

    |B| of ``kernels.mean_slopes`` in the norm of largest rows; 0 where none acts on another.
    """
    known = structure_of(model)
    across = np.abs(np.where(np.eye(len(sites.labels)) == 1.0, 0.0, sites.coupling))
    if known.rates_move or not known.acting or not across.any():
        return 0.0
    slopes = slopes_at_start(model, sites).late(0.0, len(model.delays))
    reach = np.abs(slopes.sent).sum(axis=2)
    of_means = np.abs(slopes.felt + np.diag(sites.coupling)[:, None, None] * slopes.heard)
    own = np.abs(slopes.own).sum(axis=2) + (of_means * reach[:, None]).sum(axis=2)
    steepest = np.abs(slopes.heard).max(axis=(0, 1))
    return float(own.max() + (across @ reach).max(axis=0) @ steepest)


def _unknown(model: Model) -> bool:
    """Return whether equations that slopes are taken of cannot be traced."""
    return bool({"drift", "fields", "coupling"} & set(structure_of(model).untraceable))


def _with_own(heard: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the matrix of all sites [P d, P d]: what is heard [P, d, P, d], and a site's own."""
    each = np.arange(len(own))
    heard[each, :, each] += own
    return heard.reshape(own.shape[0] * own.shape[1], -1)


def _eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of matrices whose entries may have overflowed."""
    finite = np.nan_to_num(matrices, nan=-_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
    return np.asarray(np.linalg.eigvals(finite), dtype=complex)
