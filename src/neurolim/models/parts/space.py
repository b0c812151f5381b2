r"""Networks in space: sites on the unit interval or square, their density, kernel and start.

A compact K of measure one is cut into equal cells, each a site at its midpoint; integrals over K
become means over sites (second order in the cell for smooth integrands).  Kernels, with
d = |x - x'| and strength A:

    exponential   A exp(-d/l)
    power_law     A d^(-p), p below the dimension; the own cell holds its exact mean (1-D) or
                  that of the disc of the same area (2-D)
    difference    A [exp(-d^2/(2 l^2)) - (l/m) exp(-d^2/(2 m^2))], m = 2 l: attraction near,
                  repulsion far

times 1 + skew sign(x - x') in the first coordinate, which makes them non-symmetric.

Source: Blaustein & Bouin 2023, assumptions (1.15), (1.16) on Psi and the kernels named there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurolim.core import Param, StudyError

#: The kernel is a full matrix: 0.2 GB here, and more sites than a network in space asks for.
MOST_SITES = 5000

SPACE_PARAMS = (
    Param("positions", (0.0,), doc="positions of the sites in K, if sites is 0", kind="vector"),
    Param(
        "sites",
        0,
        doc="cells per direction of the unit interval or square (0: positions are given)",
        kind="integer",
        low=0,
        high=1000,
    ),
    Param("dimension", 1, doc="of space, with sites", kind="integer", low=1, high=2),
    Param("density", (1.0,), doc="neuron density rho0 at each site", kind="vector", positive=True),
    Param(
        "density_wave",
        0.0,
        doc="with sites: rho0 is multiplied by 1 + density_wave cos(2 pi x)",
        low=-0.95,
        high=0.95,
    ),
    Param(
        "kernel_shape",
        "matrix",
        doc="long-range kernel Psi: given as a matrix, or a shape of the distance",
        kind="choice",
        choices=("matrix", "exponential", "power_law", "difference"),
    ),
    Param("kernel", ((0.0,),), doc="matrix Psi(x, x'), one row per site", kind="matrix"),
    Param("kernel_strength", 1.0, "1/time", "A"),
    Param("kernel_length", 0.2, doc="l", positive=True),
    Param("kernel_power", 0.5, doc="p of the power law", positive=True),
    Param("kernel_skew", 0.0, doc="skew: 0 is symmetric", low=-1.0, high=1.0),
    Param("start_pulse", 0.0, doc="added to the initial voltage at x = 0 ..."),
    Param("pulse_width", 0.1, doc="... and as exp(-(x/pulse_width)^2) elsewhere", positive=True),
)


class Space(NamedTuple):
    """The sites: coordinate labels, density, kernel matrix, and what is added to V at the start.

    labels [n] : position in one dimension, number of the site in two
    density, start [n];  kernel [n, n]
    """

    labels: tuple[float, ...]
    density: np.ndarray
    kernel: np.ndarray
    start: np.ndarray


def space(params: Mapping[str, Any]) -> Space:
    """Return the sites that the parameters describe.

    Raises
    ------
    StudyError : lengths that do not fit, positions given twice, too many sites, a power law that
        is not integrable
    """
    dimension, count = params["dimension"], params["sites"]
    if count**dimension > MOST_SITES:
        raise StudyError("sites", f"{count**dimension} sites", f"at most {MOST_SITES} in all")
    if count and tuple(params["positions"]) != (0.0,):
        raise StudyError("positions", "positions as well as sites", "one of the two")
    if count:
        line = (np.arange(count) + 0.5) / count
        mesh = np.meshgrid(*[line] * dimension, indexing="ij")
        points = np.stack([part.ravel() for part in mesh], axis=1)
    else:
        points = np.asarray(params["positions"], dtype=float)[:, None]
    n = len(points)
    density = np.asarray(params["density"], dtype=float)
    if density.size not in (1, n):
        raise StudyError("density", f"{density.size} values for {n} positions", f"1 or {n} values")
    density = np.broadcast_to(density, n)
    if count:
        density = density * (1.0 + params["density_wave"] * np.cos(2.0 * np.pi * points[:, 0]))
    start = params["start_pulse"] * np.exp(-((points[:, 0] / params["pulse_width"]) ** 2))
    labels = points[:, 0] if points.shape[1] == 1 else np.arange(n, dtype=float)
    kernel = _matrix(params, n) if params["kernel_shape"] == "matrix" else _shape(params, points)
    return Space(tuple(labels.tolist()), density, kernel, start)


def _matrix(params: Mapping[str, Any], n: int) -> np.ndarray:
    kernel = np.asarray(params["kernel"], dtype=float)
    if kernel.shape not in ((1, 1), (n, n)):
        raise StudyError("kernel", f"shape {kernel.shape} for {n} positions", f"{n} rows of {n}")
    return np.broadcast_to(kernel, (n, n))


def _shape(params: Mapping[str, Any], points: np.ndarray) -> np.ndarray:
    """Return the kernel matrix of a shape [n, n]."""
    gap = points[:, None, :] - points[None, :, :]
    distance = np.sqrt((gap**2).sum(axis=-1))
    length, power, dimension = (
        params["kernel_length"],
        params["kernel_power"],
        points.shape[1],
    )
    if params["kernel_shape"] == "exponential":
        kernel = np.exp(-distance / length)
    elif params["kernel_shape"] == "difference":
        kernel = np.exp(-(distance**2) / (2.0 * length**2))
        kernel = kernel - 0.5 * np.exp(-(distance**2) / (8.0 * length**2))
    else:
        if power >= dimension:
            raise StudyError(
                "kernel_power", f"{power:g} is not integrable", f"below the dimension {dimension}"
            )
        cell = 1.0 / len(points)
        half = cell / 2.0 if dimension == 1 else np.sqrt(cell / np.pi)
        own = dimension / (dimension - power) * half**-power
        kernel = np.where(distance > 0.0, distance, 1.0) ** -power
        np.fill_diagonal(kernel, own)
    return params["kernel_strength"] * kernel * (1.0 + params["kernel_skew"] * np.sign(gap[..., 0]))
