"""What solvers of means and covariances share: outputs, and the integration between records."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurolim.core import Model, Param, Status, Var
from neurolim.solvers.parts.needs import one_site
from neurolim.solvers.parts.times import TIME_OPTIONS, record_times

#: Evaluations of a slope after which an integration is given up; what converges needs far fewer.
_MOST_CALLS = 2_000_000
#: Of a network of n neurons on one site.
NETWORK_OPTIONS = (
    Param("n_neurons", 1000, doc="neurons of the network", kind="integer", low=1, high=2**30),
    *TIME_OPTIONS,
)


def site_outputs(mean: str, covariance: str) -> tuple[Var, ...]:
    """Return mean and covariance of a site over time, described by these words."""
    dims = ("time", "site", "variable")
    return (
        Var("state_mean", "state", mean, dims),
        Var("covariance", "state^2", covariance, (*dims, "variable_b")),
    )


def network_outputs(mean: str) -> tuple[Var, ...]:
    """Return the moments of a network of n neurons, the mean described by these words."""
    square = ("time", "site", "variable", "variable_b")
    return (
        *site_outputs(mean, "expected covariance about the mean of the site"),
        Var("mean_covariance", "state^2", "covariance of the mean of the site", square),
    )


def network_arrays(
    mean: np.ndarray, own: np.ndarray, of_mean: np.ndarray, n: int
) -> dict[str, np.ndarray]:
    """Return the arrays [1, time, site, ...] of ``network_outputs``.

    Parameters
    ----------
    mean : of the site [time, d]
    own, of_mean : covariances of a neuron about its expected mean, and of the site mean
        [time, d, d]
    n : neurons
    """
    return {
        "state_mean": mean[None, :, None],
        "covariance": (1.0 - 1.0 / n) * own[None, :, None],
        "mean_covariance": of_mean[None, :, None],
    }


def check_network(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse more than one site.

    Raises
    ------
    StudyError
    """
    one_site(model.sites(params))


def integrate(
    slope: Callable[[float, np.ndarray], np.ndarray],
    start: np.ndarray,
    options: Mapping[str, Any],
    method: Any = "LSODA",
) -> tuple[np.ndarray, Status]:
    """Return the solution of x' = slope(t, x) at the record times [time, x], and a status.

    Parameters
    ----------
    slope : may raise ArithmeticError or ValueError where numbers are no longer finite
    start : x(0)
    options : of the solver, with rtol and atol
    method : of scipy's solve_ivp

    Returns
    -------
    x, and OK; or NaN throughout, and NOT_CONVERGED if the integrator gives up, DIVERGED if x leaves
    the finite numbers
    """
    times = np.array(record_times(options))
    lost = np.full((len(times), start.size), np.nan)
    path: Any = None
    # Every study with this solver loads this module to be checked, in every job; few solve.
    from scipy.integrate import solve_ivp

    # What integrators and model functions raise once numbers are no longer finite; LinAlgError is
    # a ValueError.
    calls = itertools.count()

    def bounded(t: float, x: np.ndarray) -> np.ndarray:
        if next(calls) == _MOST_CALLS:
            raise TimeoutError
        return slope(t, x)

    with np.errstate(all="ignore"), contextlib.suppress(ArithmeticError, ValueError):
        if not np.isfinite(slope(0.0, start)).all():
            return lost, Status.DIVERGED
        try:
            path = solve_ivp(
                bounded,
                (0.0, float(times[-1])),
                start,
                method=method,
                t_eval=times,
                rtol=options["rtol"],
                atol=options["atol"],
            )
        except TimeoutError:
            return lost, Status.NOT_CONVERGED
    if path is None:
        return lost, Status.DIVERGED
    if not path.success or path.y.shape[1] != len(times):
        return lost, Status.NOT_CONVERGED
    if not np.isfinite(path.y).all():
        return lost, Status.DIVERGED
    return path.y.T, Status.OK
