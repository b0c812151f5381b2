r"""The Hopf-Cole potential of the mean-field law against its limits, tails included.

With phi = eps log( sqrt(2 pi eps/rho0) f ), f = rho0 mu, D = sigma^2/2 (1 in the paper) and n the
primitive of the drift,

    potential_n    = sup over all (v, w) and t of
                     |phi + rho0 (v - V)^2/(2D) - eps n(v)/D| / (1 + v^2 + w^2)      (Theorem 1.5)
    potential_constant = the same over eps at the last record
    potential_raw  = sup over a ball about (V, W) of |phi + rho0 (v - V)^2/(2D)|
    potential_two  = sup over the same ball of |eps log(2 pi s r mu) + rho0 (v - V)^2/(2D)
                     + eps (w - W)^2/(2 r^2)|: both variables, r^2 the variance carried along,
                     eps/a where w diffuses (Quininao & Touboul 2020, sec. 6)
    psi_size       = sup over the ball of |psi|, what no closed form gives

V, W are the limit's.  All but psi is known as polynomials and n, so the first supremum runs over
the whole plane: rays to 10^4, psi continued from the edge of its box, where it is O(eps).

Source: Blaustein & Bouin 2023, eq. (1.10), Theorem 1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Param, Statistic, StudyError
from neurolim.statistics.parts.common import AFTER, parameter, window

_NAMES = ("potential_n", "potential_raw", "potential_two", "psi_size")
_NEEDS = ("state_mean", "frame", "psi", "expansion", "primitive", "reference_state_mean")
_INNER = ("variable", "offset_v", "offset_w", "term")


def _sampled(psi: np.ndarray, x: np.ndarray, z: np.ndarray, at: np.ndarray, to: np.ndarray) -> Any:
    """Return psi [x, z] at points (at, to), bilinear, held constant outside."""
    i = np.clip((at - x[0]) / (x[1] - x[0]), 0.0, len(x) - 1.000001)
    j = np.clip((to - z[0]) / (z[1] - z[0]), 0.0, len(z) - 1.000001)
    row, column = i.astype(int), j.astype(int)
    u, v = i - row, j - column
    return (
        psi[row, column] * (1 - u) * (1 - v)
        + psi[row + 1, column] * u * (1 - v)
        + psi[row, column + 1] * (1 - u) * v
        + psi[row + 1, column + 1] * u * v
    )


def _norms(
    parts: Mapping[str, np.ndarray],
    axes: tuple[np.ndarray, np.ndarray],
    first_r: float,
    eps: float,
    diffusion: float,
    radius: float,
) -> dict[str, float]:
    """Return the suprema at one time and site."""
    x, z = axes
    s, r = parts["frame"]
    gap = diffusion / s**2
    terms = parts["expansion"].copy()
    terms[0] += 0.5 * np.log(2.0 * np.pi / diffusion) + np.log(eps * gap)
    centre, limit = parts["state_mean"], parts["reference_state_mean"]
    moved = centre - limit

    def rest(v: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Return (phi + rho0 (v - V)^2/(2D))/eps - n/D, V of the limit."""
        across, y = v - centre[0], w - centre[1]
        shift = gap / (2.0 * diffusion) * moved[0] * (2.0 * across + moved[0])
        polynomial = terms[0] + across * (terms[1] + terms[2] * across + terms[3] * y)
        psi = _sampled(parts["psi"], x, z, across, y * first_r / r)
        return shift + polynomial + terms[4] * y**2 + psi

    radii = np.concatenate([np.linspace(0.0, x[-1], 60), np.geomspace(x[-1] * 1.05, 1e4, 60)])
    angle = np.linspace(0.0, 2.0 * np.pi, 361)
    v = limit[0] + radii[:, None] * np.cos(angle)
    w = limit[1] + radii[:, None] * np.sin(angle)
    whole = np.abs(rest(v, w)) / (1.0 + v**2 + w**2)
    # On the grid of v the primitive is known; w on a grid of its own, both inside the ball.
    v, w = centre[0] + x[:, None], limit[1] + np.linspace(-radius, radius, 81)
    inside = (v - limit[0]) ** 2 + (w - limit[1]) ** 2 <= radius**2
    near = rest(v, np.broadcast_to(w, (len(x), 81)).copy())
    raw = near + parts["primitive"][:, None]
    y = w - limit[1]
    # eps log(2 pi s r mu): without the constant of phi, with r; terms[4] is -1/(2 r^2).
    two = raw - terms[0] + parts["expansion"][0] + np.log(2.0 * np.pi * r) - terms[4] * y**2
    psi = _sampled(
        parts["psi"], x, z, x[:, None] + 0.0 * w, (w - centre[1]) * first_r / r + 0.0 * v
    )
    return {
        "potential_n": eps * float(whole.max()),
        "potential_raw": eps * float(np.abs(raw[inside]).max()),
        "potential_two": eps * float(np.abs(two[inside]).max()),
        "psi_size": float(np.abs(psi[inside]).max()),
    }


def apply(dataset: xr.Dataset, *, after: float, radius: float) -> xr.Dataset:
    """Return the quantities of the module docstring [grid].

    Parameters
    ----------
    dataset : of the solver ``hopf_cole`` with reference ``limit``
    after : records later than this count, time
    radius : of the ball for the local suprema; inside the solver's box

    Raises
    ------
    StudyError : the ball reaches beyond the box, which in w moves with r
    """
    first = dataset["frame"].isel(time=0, variable=1, drop=True)
    dataset = window(dataset, after)
    ratio = (dataset["frame"].isel(variable=1, drop=True) / first).min(skipna=True)
    box = float(min(dataset["offset_v"].max(), dataset["offset_w"].max() * ratio))
    if radius > box:
        raise StudyError(
            "radius", f"{radius:g} reaches beyond the solver's box", f"below {box:.4g}"
        )
    dims = [str(d) for d in dataset["psi"].dims if d not in _INNER]
    lead = [d for d in dims if d not in ("time", "site")]
    shape = tuple(dataset.sizes[d] for d in dims)
    arrays = {}
    for name in _NEEDS:
        part = dataset[name].drop_vars(set(dataset[name].coords))
        inner = [d for d in part.dims if d in _INNER]
        missing = {d: dataset.sizes[d] for d in dims if d not in part.dims}
        arrays[name] = part.expand_dims(missing).transpose(*dims, *inner).values
    template = xr.zeros_like(dataset["psi"].isel(offset_v=0, offset_w=0, drop=True))
    numbers = {
        name: (template + array).transpose(*dims).values
        for name, array in (
            ("first", first),
            ("eps", parameter(dataset, "eps")),
            ("sigma", parameter(dataset, "sigma")),
        )
    }
    axes = (dataset["offset_v"].values, dataset["offset_w"].values)
    found = {name: np.full(shape, np.nan) for name in _NAMES}
    for place in np.ndindex(shape):
        parts = {name: arrays[name][place] for name in _NEEDS}
        if all(np.isfinite(part).all() for part in parts.values()):
            first_r, eps, sigma = (float(numbers[name][place]) for name in numbers)
            values = _norms(parts, axes, first_r, eps, 0.5 * sigma**2, radius)
            for name, value in values.items():
                found[name][place] = value
    coords = {d: dataset[d] for d in dims if d in dataset.coords}
    arrays_of = {name: xr.DataArray(array, coords, dims) for name, array in found.items()}
    result = {name: array.max(("time", "site"), skipna=False) for name, array in arrays_of.items()}
    last = arrays_of["potential_n"].isel(time=-1).max("site", skipna=False)
    result["potential_constant"] = last / parameter(dataset, "eps")
    texts = {
        "potential_n": "weighted supremum of the potential minus its expansion",
        "potential_raw": "local supremum of the potential minus its limit",
        "potential_two": "local supremum of the two-variable potential minus its limit",
        "psi_size": "local supremum of psi",
        "potential_constant": "weighted supremum over eps at the last record",
    }
    return xr.Dataset(
        {
            name: array.transpose(*lead)
            .drop_vars([c for c in array.coords if c not in array.dims])
            .assign_attrs(long_name=texts[name], units="1")
            for name, array in result.items()
        }
    )


def exact() -> list[Any]:
    """Return the potential of a normal law without drift, displaced from its limit."""
    eps, r, shift = np.array([0.1, 0.01]), 0.7, 0.3
    x, z = np.linspace(-3, 3, 41), np.linspace(-2, 2, 21)
    dims = ("eps", "time", "site")
    shape = (2, 2, 1)
    mean = np.zeros((*shape, 2))
    mean[..., 0] = shift * eps[:, None, None]
    frame = np.stack([np.sqrt(eps), np.full(2, r)], axis=-1)[:, None, None]
    terms = np.array([-np.log(2.0 * np.pi * r), 0.0, 0.0, 0.0, -0.5 / r**2])
    dataset = xr.Dataset(
        {
            "state_mean": ((*dims, "variable"), mean),
            "frame": ((*dims, "variable"), np.broadcast_to(frame, (*shape, 2)).copy()),
            "psi": ((*dims, "offset_v", "offset_w"), np.zeros((*shape, 41, 21))),
            "expansion": ((*dims, "term"), np.broadcast_to(terms, (*shape, 5)).copy()),
            "primitive": ((*dims, "offset_v"), np.zeros((*shape, 41))),
            "reference_state_mean": ((*dims, "variable"), np.zeros((*shape, 2))),
        },
        {"eps": eps, "time": [0.0, 1.0], "site": [0.0], "offset_v": x, "offset_w": z},
        {"params": '{"sigma": 1.4142135623730951}', "options": "{}"},
    )
    # Far along the w-axis the weighted ratio tends to 1/(2 r^2).
    checks = [
        ("potential_constant", {"eps": 0.01}, 0.5 / r**2, 1e-6),
        ("potential_n", {"eps": 0.01}, 0.005 / r**2, 1e-8),
        # shift (v - V) + shift^2 eps/2 over a ball of radius 1, v on the grid (next point: 0.95).
        ("potential_two", {"eps": 0.1}, 0.1 * (shift * 0.93 - shift**2 * 0.05), 4e-3),
        ("psi_size", {"eps": 0.1}, 0.0, 0.0),
    ]
    return [(dataset, {"after": 0.0, "radius": 1.0}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return _NEEDS


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return (*_NAMES, "potential_constant")


STATISTIC = Statistic(
    summary="Hopf-Cole potential of the mean-field law against its limits.",
    source="Blaustein & Bouin 2023, eq. (1.10), Theorem 1.5",
    options=(
        AFTER,
        Param("radius", 1.0, doc="radius of the ball for local suprema", positive=True),
    ),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
