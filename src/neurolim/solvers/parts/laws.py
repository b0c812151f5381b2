r"""What solvers of laws ask a model for: moments of its initial law, intensity of its noise."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from neurolim.core import Model, Need
from neurolim.core.assembly import assemble_step
from neurolim.core.terms import value_of
from neurolim.numerics import hermite
from neurolim.numerics.structure import derivatives_of, structure_of

#: Most normals that may enter an initial law otherwise than affinely, and Gauss nodes for each.
_MOST_BENT = 3
_NODES = (1, 40, 40, 16)


def _many_bent(model: Model) -> str:
    bent = () if model.initial is None else structure_of(model).start_bends
    return f"they are {', '.join(bent)}" if len(bent) > _MOST_BENT else ""


#: For solvers that call ``start_moments``.
START_MOMENTS = Need(
    f"at most {_MOST_BENT} normals that enter the initial law otherwise than affinely", _many_bent
)


def start_moments(model: Model, p: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return mean [d] and covariance [d, d] of the initial law of a site.

    Exact where variables are independent or affine in normals; the others by a Gauss rule, 40 nodes
    each (16 where three bend).

    Parameters
    ----------
    model, p : the model and the numbers of the site
    """
    if model.initial is None:
        return _moments_of_product(model, p)
    d, zero = len(model.state), (0.0,) * len(model.means)
    origin = (0.0,) * d
    slopes = np.array(derivatives_of(model).initial_z(origin, zero, zero, p), dtype=float)
    slopes = slopes.reshape(d, d)
    bent = [model.symbols.index(name[2:]) for name in structure_of(model).start_bends]
    if not bent:
        return np.array(model.equations.initial(origin, p), dtype=float), slopes @ slopes.T
    nodes, weights = hermite.nodes(_NODES[len(bent)])
    states, shares = [], []
    for places in itertools.product(range(nodes.size), repeat=len(bent)):
        z = np.zeros(d)
        z[bent] = nodes[list(places)]
        states.append(model.equations.initial(tuple(z.tolist()), p))
        shares.append(float(np.prod(weights[list(places)])))
    x, share = np.array(states, dtype=float), np.array(shares)
    mean = share @ x
    plain = np.delete(slopes, bent, axis=1)
    return mean, (x - mean).T @ ((x - mean) * share[:, None]) + plain @ plain.T


def _moments_of_product(model: Model, p: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of variables that start independently."""
    moments = [
        (value_of(var.start, p), value_of(var.spread, p) ** 2)
        if var.law is None
        else var.law.moments(p)
        for var in model.state
    ]
    mean, variance = np.array(moments, dtype=float).T
    return mean, np.diag(variance)


@lru_cache(maxsize=64)
def amplitudes(model: Model) -> Callable[..., np.ndarray]:
    """Return (t, x, m, c, p) -> amplitudes [d, n_noises] of a model's noises.

    Parameters
    ----------
    model : with any noise
    """
    kick, d, count = assemble_step(model).kick, len(model.state), len(model.noises)
    units = [tuple(float(i == j) for i in range(count)) for j in range(count)]
    still = (0.0,) * d

    def columns_at(t: float, x: Any, m: Any, c: Any, p: Any) -> np.ndarray:
        columns = [kick(t, x, m, c, p, unit, 1.0, still) for unit in units]
        return np.array(columns, dtype=float).reshape(count, d).T

    return columns_at


def intensity(model: Model, p: Any, common: bool = False) -> np.ndarray:
    """Return the covariance per time [d, d] of additive noise: of every neuron's own, or common.

    Parameters
    ----------
    model, p : the model and the numbers of the site
    common : of the noises that all neurons of a site share, otherwise of the others
    """
    d, zero = len(model.state), (0.0,) * len(model.means)
    chosen = [noise.common == common for noise in model.noises]
    columns = amplitudes(model)(0.0, (0.0,) * d, zero, zero, p)[:, np.array(chosen, dtype=bool)]
    matrix: np.ndarray = columns @ columns.T
    return matrix


class AtOnce:
    """Functions of a model at points of all sites, evaluated together where its author allows.

    Parameters
    ----------
    params : numbers of the sites
    """

    def __init__(self, params: tuple[Any, ...]) -> None:
        self.params = params
        columns = [np.array(column, dtype=float) for column in zip(*params, strict=True)]
        # What is the same for all sites stays a plain number, of which a model may ask `if`.
        self.together = type(params[0])(
            *(float(c[0]) if np.ptp(c) == 0.0 else c[:, None] for c in columns)
        )

    def __call__(
        self, function: Callable[..., Any], x: np.ndarray, *means: np.ndarray, **more: Any
    ) -> np.ndarray:
        """Return the values [values, site, n] of a function.

        Parameters
        ----------
        function : of (x, means .., p), a tuple [values]
        x : points [d, site, n]
        *means : [.., site, 1] each
        **more : handed on
        """
        shape = x.shape[1:]
        try:
            rows = function((*x,), *((*m,) for m in means), self.together, **more)
            parts = [np.broadcast_to(part, shape) for part in rows]
            return np.array(parts, dtype=float).reshape(len(rows), *shape)
        except ValueError:  # an `if` on a number that differs between sites
            by_site = [
                function(tuple(x[:, s]), *(tuple(m[:, s]) for m in means), p, **more)
                for s, p in enumerate(self.params)
            ]
            columns = [[np.broadcast_to(part, shape[1:]) for part in row] for row in by_site]
            return np.array(columns, dtype=float).transpose(1, 0, 2)
