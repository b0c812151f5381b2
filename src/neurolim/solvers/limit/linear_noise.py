r"""Mean and covariances of a network of n neurons to first order in its noise.

With M the mean of the site and b_j(x) the amplitudes of noise j, of every neuron's own,

    M' = F(M) = drift(M) + pull (target - M),
    S' = L S + S L^T + Q,             L = d drift/dx - pull - gap,
    C' = A C + C A^T + Q/n,           A = dF/dM, through means, fields and rates, too,
    Q = sum_j [ b_j b_j^T + B_j (1 - 1/n) S B_j^T + A_j C A_j^T ],

B_j the slope of b_j along the neuron's state, A_j that along the state of all of them, both zero
for a noise whose amplitude is not affine in the neuron's state.  The expected covariance about the
site mean is (1 - 1/n) S and the site mean has covariance C; of noise that is common to the site
b_j b_j^T + A_j C A_j^T moves C only, undivided, and B_j S B_j^T moves S.

Exact where drift and amplitudes are affine in x, m and c and noise is Ito's, and where what
multiplies them does not fluctuate (as of noisy conductances, docs/science.md, section 7.2);
otherwise what is left out is relatively of the order of S: noise and initial spread have to be
small, and walls far.

Source: van Kampen 2007, ch. X (linear noise approximation); Arnold 1974, sec. 8.5 (second moments
of linear equations); docs/science.md, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import Cost, Model, Param, Solution, Solver, Var
from neurolim.core.model import CEILING, COMMON, CORRELATED, LAW, MULTIPLICATIVE, TIME
from neurolim.core.terms import arguments_of
from neurolim.numerics.structure import structure_of
from neurolim.solvers.parts.laws import amplitudes, start_moments
from neurolim.solvers.parts.linear_flow import LinearFlow
from neurolim.solvers.parts.mean_and_covariance import (
    NETWORK_OPTIONS,
    check_network,
    integrate,
    network_arrays,
    network_outputs,
)
from neurolim.solvers.parts.needs import derivatives
from neurolim.solvers.parts.times import state_coords

OPTIONS = (
    *NETWORK_OPTIONS,
    Param("rtol", 1e-9, doc="relative tolerance", low=1e-13, high=1e-2),
    Param("atol", 1e-13, doc="absolute tolerance", positive=True, high=1e-2),
)


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return the mean, the expected covariance, and the covariance of the site mean."""
    return network_outputs("mean without noise")


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Return a second per hundred units of time: some ten thousand evaluations."""
    return Cost(0.05 + 0.01 * options["t_end"], 1e6)


class _Linearised(LinearFlow):
    """The network about its mean: right-hand sides of M, S and C.

    Parameters
    ----------
    model, params : the network, on one site
    n : its neurons
    """

    def __init__(self, model: Model, params: Mapping[str, Any], n: int) -> None:
        super().__init__(model, params)
        self.n, self.amplitudes = n, amplitudes(model)
        self.common = np.array([noise.common for noise in model.noises], dtype=bool)
        #: Noises whose amplitude moves with x, m or c, and is affine in x
        self.moving = [
            j
            for j, (noise, bends) in enumerate(
                zip(model.noises, structure_of(model).noises_bend, strict=True)
            )
            if not bends and any({*arguments_of(b)} & {"x", "m", "c"} for _, b in noise.parts)
        ]

    def start(self) -> np.ndarray:
        """Return M, S and C of the initial law, flat; of an initial function to first order."""
        if self.model.initial is None:
            centre, covariance = start_moments(self.model, self.p)
        else:
            d, zero = self.d, (0.0,) * len(self.model.means)
            centre = np.array(self.model.equations.initial((0.0,) * d, self.p), dtype=float)
            width = self.matrix(self.slopes.initial_z((0.0,) * d, zero, zero, self.p))
            covariance = width @ width.T
        spread = covariance.ravel()
        return np.concatenate([centre, spread, spread / self.n])

    def intensities(
        self, t: float, x: tuple[float, ...], own: np.ndarray, of_mean: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the intensities [d, d] of the noise of S and of C.

        Parameters
        ----------
        t, x : time, and M
        own, of_mean : S and C
        """
        m, c = self.means(x)
        kicks = self.amplitudes(t, x, m, c, self.p)
        each, shared = kicks[:, ~self.common], kicks[:, self.common]
        of_own = each @ each.T
        of_all = of_own / self.n + shared @ shared.T
        if not self.moving:
            return of_own, of_all
        at = (x, m, c, self.p, t)
        shape, carried = (len(self.common), self.d, -1), self.carried(at)
        by_x, by_m, by_c = (
            np.array(part(*at), dtype=float).reshape(shape)
            for part in (self.slopes.noise_x, self.slopes.noise_m, self.slopes.noise_c)
        )
        for j in self.moving:
            together = by_x[j] + (by_m[j] + self.weight * by_c[j]) @ carried
            apart = by_x[j] @ own @ by_x[j].T
            wandering = together @ of_mean @ together.T
            if self.common[j]:
                of_own, of_all = of_own + apart, of_all + wandering
            else:
                more = (1.0 - 1.0 / self.n) * apart + wandering
                of_own, of_all = of_own + more, of_all + more / self.n
        return of_own, of_all

    def slope(self, t: float, flat: np.ndarray) -> np.ndarray:
        """Return the time derivative of M, S and C, flat."""
        d = self.d
        x = tuple(flat[:d].tolist())
        own, of_mean = flat[d:].reshape(2, d, d)
        linearised = self.at(t, x)
        mean_slope, own_slope = (
            linearised.own + linearised.felt @ linearised.carried,
            linearised.own - np.diag(linearised.gap),
        )
        of_own, of_all = self.intensities(t, x, own, of_mean)
        widening = own_slope @ own
        widening = widening + widening.T + of_own
        wandering = mean_slope @ of_mean
        wandering = wandering + wandering.T + of_all
        return np.concatenate([linearised.motion, widening.ravel(), wandering.ravel()])


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Integrate mean and covariances with LSODA.

    Returns
    -------
    mean [1, time, 1, variable], covariance and mean_covariance [1, time, 1, variable, variable].
    Status NOT_CONVERGED if the integrator gives up, DIVERGED if a moment leaves the finite numbers;
    NaN throughout in both cases.

    Notes
    -----
    Accuracy is the integrator's, ``rtol`` and ``atol`` per step.
    """
    d, n = len(model.state), options["n_neurons"]
    linearised = _Linearised(model, params, n)
    moments, status = integrate(linearised.slope, linearised.start(), options)
    own, of_mean = moments[:, d:].reshape(-1, 2, d, d).swapaxes(0, 1)
    arrays = network_arrays(moments[:, :d], own, of_mean, n)
    return Solution(arrays, np.array([status], np.int8))


SOLVER = Solver(
    summary="Mean and covariances of a network of n neurons to first order in its noise.",
    source="van Kampen 2007, ch. X; docs/science.md, section 3",
    options=OPTIONS,
    outputs=outputs,
    coords=state_coords,
    cost=cost,
    solve=solve,
    check=check_network,
    stochastic=False,
    takes=frozenset({MULTIPLICATIVE, CORRELATED, COMMON, TIME, CEILING, LAW}),
    needs=(derivatives(),),
)
