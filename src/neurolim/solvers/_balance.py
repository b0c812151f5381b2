r"""The strong synapses of a network whose populations each sit at one point, compiled.

With every neuron of population p at x_p = (v_p, rest_p) the mean fields are m_p = (x_p,
field(x_p)), c = K m, and the network obeys

    F_p(x) = pull_p (target_p - v_p),        rest_p' = drift(x_p, m_p, c_p).

F is the strong part: its zeros are the balance points, its slope there is minus the matrix gamma M.
v is the first variable.  Everything is derived from the model's equations; slopes are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.np.unsafe.ndarray import to_fixed_tuple

from neurolim.core import Model, Sites
from neurolim.kernels.model_code import compiled_derivatives, compiled_equations, kernel_key
from neurolim.numerics.cache import keep_compiled, named
from neurolim.numerics.structure import derivatives_of
from neurolim.solvers._layout import layout

#: Steps of a tenth of the shortest relaxation time after which the layer counts as over.
_LAYER_STEPS = 20_000


class Strong(NamedTuple):
    """Compiled parts of a model at point laws.

    fields : (x [d], rows, site, out [n_fields]) fills what a neuron at x sends
    flow : (x [P, d], extra [P, n_means], rows, coupling, weak, out [P, d]) fills out[:, 0] with
        pull (target - v), plus the local drift of v if ``weak``, and out[:, 1:] with the drift of
        the rest; ``extra`` is added to the mean fields
    rates : (x, extra, rows, coupling, out [P, 3]) fills (pull, target, gap) of v
    along : (v [N], rest [d - 1], m, c, rows, site, local [N], sent [N, n_fields]) fills the local
        drift of v and the fields of neurons at voltages v
    slope : (x, rows, coupling, weak, out [P, d, P, d]) fills the slope of the flow
    """

    fields: Callable[..., Any]
    flow: Callable[..., None]
    rates: Callable[..., None]
    along: Callable[..., None]
    slope: Callable[..., None]


@lru_cache(maxsize=16)
def strong(model: Model) -> Strong:
    """Return the compiled functions of a model, built once per process."""
    d, n_fields, n_means, parameters_class, n_parameters, _ = layout(model)
    key, known = kernel_key(model, __name__)

    def inline(function: Any) -> Any:
        return njit(error_model="numpy")(named(function, key))

    drift, relax, _, field, _, _ = compiled_equations(model, key)

    @inline
    def parameters(rows, site):
        return parameters_class(*to_fixed_tuple(rows[site], n_parameters))

    @inline
    def fields(x, rows, site, out):
        """Fill out [n_fields] with what a neuron at x sends."""
        # Nothing is sent: numba cannot index an empty tuple.
        sent = field(to_fixed_tuple(x, d), parameters(rows, site)) + (0.0,)  # noqa: RUF005
        for k in range(n_fields):
            out[k] = sent[k]

    @inline
    def means(x, extra, rows, coupling, m, c):
        """Fill m and c = K m [P, n_means]."""
        count = x.shape[0]
        for s in range(count):
            m[s, :d] = x[s]
            fields(x[s], rows, s, m[s, d:])
            for k in range(n_means):
                m[s, k] += extra[s, k]
        for s in range(count):
            for k in range(n_means):
                total = 0.0
                for r in range(count):
                    total += coupling[s, r] * m[r, k]
                c[s, k] = total

    @inline
    def rates(x, extra, rows, coupling, out):
        """Fill out [P, 3] with pull, target and gap of the voltage."""
        m, c = np.empty((x.shape[0], n_means)), np.empty((x.shape[0], n_means))
        means(x, extra, rows, coupling, m, c)
        for s in range(x.shape[0]):
            pull, target, gap = relax(
                to_fixed_tuple(m[s], n_means), to_fixed_tuple(c[s], n_means), parameters(rows, s)
            )
            out[s, 0], out[s, 1], out[s, 2] = pull[0], target[0], gap[0]

    @inline
    def flow(x, extra, rows, coupling, weak, out):
        """Fill out [P, d]: strong part of v (and its drift if weak), drift of the rest."""
        m, c = np.empty((x.shape[0], n_means)), np.empty((x.shape[0], n_means))
        means(x, extra, rows, coupling, m, c)
        for s in range(x.shape[0]):
            p = parameters(rows, s)
            ms, cs = to_fixed_tuple(m[s], n_means), to_fixed_tuple(c[s], n_means)
            pull, target, _ = relax(ms, cs, p)
            local = drift(to_fixed_tuple(x[s], d), ms, cs, p)
            for k in range(d):
                out[s, k] = local[k]
            strong_part = pull[0] * (target[0] - x[s, 0])
            out[s, 0] = strong_part + (local[0] if weak else 0.0)

    return Strong(
        keep_compiled(fields, key, known),
        keep_compiled(flow, key, known),
        keep_compiled(rates, key, known),
        keep_compiled(_along(model, key, inline, parameters, fields), key, known),
        keep_compiled(_slope(model, key, inline, parameters, means), key, known),
    )


def _along(model: Model, key: str, inline: Any, parameters: Any, fields: Any) -> Any:
    """Return the compiled drift and fields of neurons at many voltages."""
    d, _, n_means, *_ = layout(model)
    drift = compiled_equations(model, key).drift

    @inline
    def along(v, rest, m, c, rows, site, local, sent):
        """Fill local [N] with the drift of v, sent [N, n_fields] with the fields, at voltages v."""
        p = parameters(rows, site)
        ms, cs = to_fixed_tuple(m, n_means), to_fixed_tuple(c, n_means)
        x = np.empty(d)
        x[1:] = rest
        for i in range(v.size):
            x[0] = v[i]
            state = to_fixed_tuple(x, d)
            local[i] = drift(state, ms, cs, p)[0]
            fields(x, rows, site, sent[i])

    return along


def _slope(model: Model, key: str, inline: Any, parameters: Any, means: Any) -> Any:
    """Return the compiled slope of the flow, by the chain rule through fields and coupling."""
    d, n_fields, n_means, *_ = layout(model)
    _, relax, *_ = compiled_equations(model, key)
    by = compiled_derivatives(model, key)
    drift_x, drift_m, drift_c, field_x = by.drift_x, by.drift_m, by.drift_c, by.field_x
    pull_m, pull_c, current_m, current_c = by.pull_m, by.pull_c, by.current_m, by.current_c

    @inline
    def changes(x, m, c, rows, out):
        """Fill out [P, n_means, d] with the slopes of the means of every site."""
        for s in range(x.shape[0]):
            here = to_fixed_tuple(x[s], d)
            ms, cs = to_fixed_tuple(m[s], n_means), to_fixed_tuple(c[s], n_means)
            sent = field_x(here, ms, cs, parameters(rows, s)) + (0.0,)  # noqa: RUF005
            for j in range(d):
                out[s, j, j] = 1.0
                for k in range(n_fields):
                    out[s, d + k, j] = sent[k * d + j]

    @inline
    def felt(x, m, c, p, weak, own, direct, carried):
        """Fill the slopes of one site's flow in its state, means and inputs."""
        along, by_m, by_c = drift_x(x, m, c, p), drift_m(x, m, c, p), drift_c(x, m, c, p)
        for k in range(d):
            share = 1.0 if weak or k > 0 else 0.0
            for j in range(d):
                own[k, j] = share * along[k * d + j]
            for i in range(n_means):
                direct[k, i] = share * by_m[k * n_means + i]
                carried[k, i] = share * by_c[k * n_means + i]
        own[0, 0] -= relax(m, c, p)[0][0]
        to_m, to_c = current_m(x, m, c, p), current_c(x, m, c, p)
        of_m, of_c = pull_m(x, m, c, p), pull_c(x, m, c, p)
        for i in range(n_means):
            direct[0, i] += to_m[i] - x[0] * of_m[i]
            carried[0, i] += to_c[i] - x[0] * of_c[i]

    @inline
    def slope(x, rows, coupling, weak, out):
        """Fill out [P, d, P, d] with the slope of the flow."""
        count = x.shape[0]
        m, c = np.empty((count, n_means)), np.empty((count, n_means))
        means(x, np.zeros((count, n_means)), rows, coupling, m, c)
        moved = np.zeros((count, n_means, d))
        changes(x, m, c, rows, moved)
        own, direct, carried = np.empty((d, d)), np.empty((d, n_means)), np.empty((d, n_means))
        for s in range(count):
            here = to_fixed_tuple(x[s], d)
            ms, cs = to_fixed_tuple(m[s], n_means), to_fixed_tuple(c[s], n_means)
            felt(here, ms, cs, parameters(rows, s), weak, own, direct, carried)
            for k in range(d):
                for r in range(count):
                    for j in range(d):
                        total = own[k, j] if r == s else 0.0
                        for i in range(n_means):
                            weight = coupling[s, r] * carried[k, i]
                            if r == s:
                                weight += direct[k, i]
                            total += weight * moved[r, i, j]
                        out[s, k, r, j] = total

    return slope


class Network:
    """The compiled functions of a model with the numbers of one network filled in.

    Parameters
    ----------
    model : the model
    sites : its populations
    """

    def __init__(self, model: Model, sites: Sites) -> None:
        self.compiled, self.model, self.sites = strong(model), model, sites
        self.rows = np.array([[float(value) for value in p] for p in sites.params])
        self.coupling = np.ascontiguousarray(sites.coupling, dtype=float)
        self.count = len(sites.labels)
        self.d, self.n_fields, n_means, *_ = layout(model)
        self.noise = np.array([model.equations.noise(p)[0] for p in sites.params])
        self.still = np.zeros((self.count, n_means))
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
        self.compiled.flow(
            np.ascontiguousarray(x),
            self.still if extra is None else extra,
            self.rows,
            self.coupling,
            weak,
            out,
        )
        return out

    def rates(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pull (1/time), target (voltage) and gap (1/time) of v, [P] each."""
        out = np.empty((self.count, 3))
        self.compiled.rates(np.ascontiguousarray(x), self.still, self.rows, self.coupling, out)
        return out[:, 0], out[:, 1], out[:, 2]

    def fields(self, x: np.ndarray) -> np.ndarray:
        """Return what neurons at x [P, d] send [P, n_fields]."""
        out = np.empty((self.count, self.n_fields))
        for s in range(self.count):
            self.compiled.fields(np.ascontiguousarray(x[s]), self.rows, s, out[s])
        return out

    def slope(self, x: np.ndarray, weak: bool = False) -> np.ndarray:
        """Return d flow / d x [P d, P d], rows and columns ordered as x.ravel()."""
        size = self.count * self.d
        out = np.empty((self.count, self.d, self.count, self.d))
        self.compiled.slope(np.ascontiguousarray(x), self.rows, self.coupling, weak, out)
        return out.reshape(size, size)

    def bend(self, x: np.ndarray) -> np.ndarray:
        """Return d^2 field / d v^2 [P, n_fields]."""
        zero = tuple(self.still[0])
        found = [
            self.curvature(tuple(row), zero, zero, p)[:: self.d]
            for row, p in zip(x.tolist(), self.sites.params, strict=True)
        ]
        return np.array(found, dtype=float).reshape(self.count, self.n_fields)


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
