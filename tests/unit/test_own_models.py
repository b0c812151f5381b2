"""Solvers take a model for its equations: its names are its author's."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurolim.core import (
    Field,
    GapJunctions,
    Model,
    Noise,
    Param,
    Sites,
    State,
    get,
    resolve,
)

TIMES = {"t_end": 1.0, "records": 4}


def run(model: Any, solver: str, params: Any = None, options: Any = None) -> Any:
    """Return the solution of a model that is in no registry."""
    found, model = get("solver", solver), get("model", model) if isinstance(model, str) else model
    values = resolve(model.params, params or {})
    chosen = resolve(found.options, options or {})
    found.check(model, values, chosen)
    solution = found.solve(model, values, chosen, 1, range(1))
    assert solution.status[0] == 0
    return solution.arrays


def two_variables(**parts: Any) -> Model:
    """Return a network of (u, y) with gap junctions in u, changed as told."""
    given: dict[str, Any] = {
        "summary": "a network of this test",
        "source": "this test",
        "state": (State("u", start=0.3, spread=0.4), State("y", start=-0.2, spread=0.5)),
        "params": (Param("k", 0.7), Param("strength", 20.0)),
        "drift": lambda x, p: (p.k - x.u - x.y, 0.5 * x.u - 0.3 * x.y),
        "coupling": GapJunctions("u", "strength"),
        "noise": (Noise("u", 0.8), Noise("y", 0.3)),
    }
    return Model(**(given | parts))


def test_moments_are_exact_with_fields_and_long_range_coupling():
    # With v = (u, y) and the field s = 2 u - y, c = 1.5 m: an equation for the mean of the site.
    network = two_variables(
        fields=(Field("s", lambda x: 2.0 * x.u - x.y),),
        prepare=lambda params: Sites((0.0,), np.array([[1.5]]), ({},)),
        drift=lambda x, m, c: (0.3 - x.u + 0.2 * m.s - 0.1 * c.s, x.u - x.y + 0.1 * c.u),
    )
    found = run(network, "moments", {}, TIMES | {"records": 1, "n_neurons": 10})
    slope = np.array([[-1.0 + 0.4 - 0.3, -0.2 + 0.15], [1.0 + 0.15, -1.0]])
    values, vectors = np.linalg.eig(slope)
    rest = -np.linalg.solve(slope, [0.3, 0.0])
    growth = ((vectors * np.exp(values)) @ np.linalg.inv(vectors)).real
    exact = rest + growth @ (np.array([0.3, -0.2]) - rest)
    np.testing.assert_allclose(found["mean"][0, -1, 0], exact, rtol=1e-12)
