"""How fast the modes of a network decay at the start, which limits explicit steps."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Model, Sites
from neurolim.numerics.structure import derivatives_of, structure_of
from neurolim.solvers.parts.times import at_start, largest_rate

_LARGEST = sys.float_info.max
#: Matrices have at most so many rows.
_MOST_MODES = 1000


class Slopes(NamedTuple):
    """Slopes of a network at the centre of its initial law.

    Parameters
    ----------
    own : d (drift_k - pull_k x_k)/d x_l [P, d, d]
    gap : rates of the gap junctions [P, d]
    felt, heard : d (drift_k + pull_k (target_k - x_k))/d m_j and d c_j, or d drift_k/d m_j and
        d c_j [P, d, means], without what comes late, which moves no mode at once
    sent : d m_j/d x_l, of states and fields [P, means, d]
    """

    own: np.ndarray
    gap: np.ndarray
    felt: np.ndarray
    heard: np.ndarray
    sent: np.ndarray

    @property
    def coupled(self) -> bool:
        """Return whether a mean or an input moves a variable."""
        return bool(self.felt.any() or self.heard.any())


def slopes_at_start(model: Model, sites: Sites, gain: float = 1.0, synapses: bool = True) -> Slopes:
    """Return the slopes of a network whose equations can be traced.

    Parameters
    ----------
    model, sites : the network
    gain : inputs are so many times those of all-to-all wires
    synapses : whether what synapses do is felt and heard, or drifts alone
    """
    slopes, d, P = derivatives_of(model), len(model.state), len(sites.labels)
    means = len(model.means) - len(model.delays)
    made = Slopes(
        np.zeros((P, d, d)),
        np.zeros((P, d)),
        np.zeros((P, d, means)),
        np.zeros((P, d, means)),
        np.zeros((P, means, d)),
    )

    def moved(drift: Any, current: Any, pull: Any, at: tuple[Any, ...]) -> np.ndarray:
        by_drift, by_current, by_pull = (
            np.reshape(slope(*at), (d, -1))[:, :means] for slope in (drift, current, pull)
        )
        strong = by_current - np.array(at[0])[:, None] * by_pull
        return np.asarray(by_drift + strong if synapses else by_drift)

    for s, at in enumerate(at_start(model, sites, gain)):
        pull, _, gap = model.equations.relax(*at[1:])
        made.own[s] = np.reshape(slopes.drift_x(*at), (d, d)) - np.diag(pull)
        made.gap[s] = gap
        made.felt[s] = moved(slopes.drift_m, slopes.current_m, slopes.pull_m, at)
        made.heard[s] = moved(slopes.drift_c, slopes.current_c, slopes.pull_c, at)
        made.sent[s] = np.vstack([np.eye(d), np.reshape(slopes.field_x(*at), (-1, d))])
    return made


def rate_of_modes(model: Model, params: Mapping[str, Any]) -> float:
    """Return how fast (1/time) the fastest mode of an all-to-all network decays, at the start.

    Differences of the neurons of a site, and the means of all sites, move as

        D' = (A - gap) D,       X'_s = (A_s + F_s S_s) X_s + H_s sum_r K[s, r] S_r X_r

    with the slopes A own, F felt, H heard and S sent.  The decay of each variable by itself counts,
    too, and alone where equations cannot be traced.  Means of very many sites count by a bound, the
    sum of a row.

    Parameters
    ----------
    model, params : the network
    """
    alone = largest_rate(model, params, slopes=True)
    if _unknown(model):
        return alone
    sites = model.sites(params)
    slopes, each = slopes_at_start(model, sites), np.arange(len(model.state))
    apart = slopes.own.copy()
    apart[:, each, each] -= slopes.gap
    alone = max(alone, *map(_fastest_decay, apart))
    if not slopes.coupled:
        return alone
    own, weights = slopes.own + slopes.felt @ slopes.sent, np.array(sites.coupling, dtype=float)
    if own.shape[0] * own.shape[1] > _MOST_MODES:
        reach = np.abs(weights) @ np.abs(slopes.sent).sum(axis=2)
        rows = np.abs(own).sum(axis=2) + (np.abs(slopes.heard) * reach[:, None]).sum(axis=2)
        return max(alone, float(rows.max()))
    heard = np.einsum("skj,rjl->skrl", slopes.heard, slopes.sent) * weights[:, None, :, None]
    return max(alone, _fastest_decay(_with_own(heard, own)))


def rate_bound(model: Model, params: Mapping[str, Any], gain: float, inward: float) -> float:
    """Return a rate (1/time) that no mode of a network on a graph decays faster than, at the start.

    It is the largest eigenvalue of the matrix over sites and variables [P d, P d]

        pull_k + inward gap_k - d drift_k/d x_k,  beside the diagonal |d drift_k/d x_l|,
        + gain |K[s, r]| |sum_j d drift_k/d c_j d sent_j/d x_l| + the same of m with weight 1,

    which bounds the Jacobian of drifts entry by entry (for one variable: Gershgorin's row sums).
    Where drifts feel no means, the diagonal is all that counts.

    Parameters
    ----------
    model, params : the network
    gain, inward : as `graphs.most_heard` returns them
    """
    rate = largest_rate(model, params, slopes=True, gain=gain, inward=inward)
    if _unknown(model):
        return rate
    sites, each = model.sites(params), np.arange(len(model.state))
    slopes = slopes_at_start(model, sites, gain, synapses=False)
    if not slopes.coupled:
        return rate
    own = np.abs(slopes.own)
    own[:, each, each] = inward * slopes.gap - slopes.own[:, each, each]
    own += np.abs(slopes.felt @ slopes.sent)
    weights = gain * np.abs(sites.coupling)
    heard = np.abs(np.einsum("skj,rjl->skrl", slopes.heard, slopes.sent))
    return _fastest_decay(-_with_own(heard * weights[:, None, :, None], own))


def joint_rate_at_rest(model: Model, sites: Sites) -> float:
    """Return a bound on the rate at which the means of all sites move each other, at the start.

    |B| of ``kernels.mean_slopes`` in the norm of largest rows; 0 where none acts on another.
    """
    known = structure_of(model)
    across = np.abs(np.where(np.eye(len(sites.labels)) == 1.0, 0.0, sites.coupling))
    if known.rates_move or not known.acting or not across.any():
        return 0.0
    slopes = slopes_at_start(model, sites)
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


def _fastest_decay(matrix: np.ndarray) -> float:
    """Return the largest -Re of the eigenvalues of a matrix whose entries may have overflowed."""
    finite = np.nan_to_num(matrix, nan=-_LARGEST, posinf=_LARGEST, neginf=-_LARGEST)
    return min(-float(np.linalg.eigvals(finite).real.min()), _LARGEST)
