r"""The strong synapses of a network whose populations each sit at one point.

With every neuron of population p at x_p = (v_p, rest_p) the mean fields are m_p = (x_p,
field(x_p)), c = K m, and the network obeys

    F_p(x) = pull_p (target_p - v_p),        rest_p' = drift(x_p, m_p, c_p).

F is the strong part: its zeros are the balance points, its slope there is minus the matrix gamma M.
v is the first variable.  Everything is derived from the model's equations (``kernels.points``);
slopes are exact.
"""

from __future__ import annotations

import numpy as np

from neurolim.core import Model, Sites
from neurolim.kernels import points
from neurolim.kernels.model_code import exponential_code
from neurolim.numerics.structure import derivatives_of

#: Steps of a tenth of the shortest relaxation time after which the layer counts as over.
_LAYER_STEPS = 20_000


class Network:
    """A network whose populations each sit at one point: its numbers, flow and slopes.

    Parameters
    ----------
    model : the model
    sites : its populations
    """

    def __init__(self, model: Model, sites: Sites) -> None:
        self.code, self.model, self.sites = exponential_code(model), model, sites
        self.rows = np.array([[float(value) for value in p] for p in sites.params])
        self.coupling = np.ascontiguousarray(sites.coupling, dtype=float)
        self.count = len(sites.labels)
        self.d, self.n_fields = len(model.state), len(model.fields)
        self.noise = np.array([model.equations.noise(p)[0] for p in sites.params])
        self.still = np.zeros((self.count, len(model.means)))
        self.curvature = derivatives_of(model).field_xx

    def flow(
        self, x: np.ndarray, weak: bool = False, extra: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the flow [P, d] of point laws at x [P, d] (module equation).

        Parameters
        ----------
        x : states [P, d]
        weak : with the local drift of v
        extra : added to the mean fields [P, d + n_fields]
        """
        out = np.empty((self.count, self.d))
        extra = self.still if extra is None else extra
        x = np.ascontiguousarray(x)
        points.fill_flow(self.code, x, extra, self.rows, self.coupling, weak, out)
        return out

    def rates(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pull (1/time), target (voltage) and gap (1/time) of v, [P] each."""
        out = np.empty((self.count, 3))
        x = np.ascontiguousarray(x)
        points.fill_rates(self.code, x, self.still, self.rows, self.coupling, out)
        return out[:, 0], out[:, 1], out[:, 2]

    def fields(self, x: np.ndarray) -> np.ndarray:
        """Return what neurons at x [P, d] send [P, n_fields]."""
        out = np.empty((self.count, self.n_fields))
        points.send(self.code, np.ascontiguousarray(x), self.rows, out)
        return out

    def along(
        self, s: int, v: np.ndarray, rest: np.ndarray, m: np.ndarray, c: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return drifts of v [N] and fields [N, n_fields] of neurons of population s at v [N].

        Parameters
        ----------
        s : the population
        v, rest : voltages [N], and the other variables of all of them [d - 1]
        m, c : means and inputs of the population [d + n_fields]
        """
        local, sent = np.empty(v.size), np.empty((v.size, self.n_fields))
        v, row = np.ascontiguousarray(v), self.rows[s : s + 1]
        points.fill_along(self.code, v, rest, m[None], c[None], row, local, sent)
        return local, sent

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Return d flow / d x [P d, P d], not ``weak``, rows and columns ordered as x.ravel()."""
        size = self.count * self.d
        out = np.empty((self.count, self.d, self.count, self.d))
        x = np.ascontiguousarray(x)
        points.fill_slope(self.code, x, self.rows, self.coupling, out)
        return out.reshape(size, size)

    def bend(self, x: np.ndarray) -> np.ndarray:
        """Return d^2 field / d v^2 [P, n_fields]."""
        zero = tuple(self.still[0])
        slopes = [
            self.curvature(tuple(row), zero, zero, p)[:: self.d]
            for row, p in zip(x.tolist(), self.sites.params, strict=True)
        ]
        return np.array(slopes, dtype=float).reshape(self.count, self.n_fields)


def layer_end(network: Network, x: np.ndarray) -> np.ndarray:
    """Return where the strong flow takes v from x [P, d] with the rest at rest, after long.

    Parameters
    ----------
    network : the network
    x : state at which the layer begins

    Notes
    -----
    Exponential Euler steps a tenth of the shortest relaxation time, until nothing moves any more;
    where that does not come (no point attracts), the state after 20000 of them.
    """
    x = x.copy()
    for _ in range(_LAYER_STEPS):
        pull, target, _ = network.rates(x)
        away = x[:, 0] - target
        if np.abs(away).max() < 1e-13 * (1.0 + np.abs(target).max()):
            break
        x[:, 0] = target + away * np.exp(-0.1 * pull / pull.max())
    return x
