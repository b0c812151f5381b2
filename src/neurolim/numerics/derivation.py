"""A model's structure, derived by calling its functions with symbols; imports SymPy.

What is derived, and where it is kept: `neurolim.numerics.structure`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from neurolim.core import Model
from neurolim.core.assembly import assemble, assemble_step
from neurolim.numerics.structure import Structure
from neurolim.numerics.symbolic import Symbols

#: Functions of `Equations.relax`, in the names of their derivatives.
_RATES = ("pull", "gap", "current")


def derive(model: Model) -> Structure:
    """Return the structure of a model by calling its functions with symbols."""
    symbols = Symbols(model)
    equations = assemble(model)
    x, m, c, p, t = symbols.x, symbols.m, symbols.c, symbols.p, symbols.t
    reasons: dict[str, str] = {}

    def traced(name: str, call: Callable[[], Any]) -> tuple[Any, ...] | None:
        try:
            parts = tuple(symbols.numbers(part) for part in call())
            symbols.check_smooth(parts)
            return parts
        except Exception as error:  # whatever a stranger's function does with a symbol
            reasons[name] = _reason(error)
            return None

    d = len(x)
    drift = traced("drift", lambda: equations.drift(x, m, c, p, t))
    relaxed: tuple[Any, ...] = (0,) * (3 * d)
    relaxed = traced("coupling", lambda: sum(equations.relax(m, c, p), ())) or relaxed
    pull, target, gap = relaxed[:d], relaxed[d : 2 * d], relaxed[2 * d :]
    sent = traced("fields", lambda: equations.field(x, p))
    start = traced("initial", lambda: equations.initial(symbols.z, p))
    variables = (*x, *m, *c, t)
    powers = tuple(symbols.power(f, v) for f, v in zip(drift or (), x, strict=bool(drift)))
    current = tuple(symbols.numbers(a * b) for a, b in zip(pull, target, strict=True))
    mixes = symbols.mixing([*(drift or ()), *(sent or ())])
    texts = _texts(symbols, drift, sent, start, mixes) | {
        f"{name}_{key}": symbols.text(f"{name}_{key}", [f.diff(v) for f in rates for v in means])
        for name, rates in (("pull", pull), ("gap", gap), ("current", current))
        for key, means in (("m", m), ("c", c))
    }
    if any(noise.stratonovich for noise in model.noises):
        terms = traced("noise", lambda: _correction(symbols, model))
        if terms is not None:
            texts["correction"] = symbols.text("correction", list(terms))
    commuting, noises_bend = True, (False,) * len(model.noises)
    milstein: tuple[tuple[int, int, int], ...] = ()
    if not all(noise.exact for noise in model.noises):
        terms = traced("noise", lambda: _amplitudes(symbols, model))
        commuting, noises_bend = False, (True,) * len(model.noises)
        if terms is not None:
            commuting, milstein, values = _milstein(symbols, model, terms)
            texts["milstein"] = symbols.text("milstein", values)
            rows = [terms[j * d : (j + 1) * d] for j in range(len(model.noises))]
            noises_bend = tuple(bool(symbols.bending(row, x)) for row in rows)
            for key, means in (("x", x), ("m", m), ("c", c)):
                slopes = [f.diff(v) for f in terms for v in means]
                texts[f"noise_{key}"] = symbols.text(f"noise_{key}", slopes)
    if "coupling" in reasons:
        texts = {name: text for name, text in texts.items() if name.split("_")[0] not in _RATES}
    return Structure(
        untraceable=reasons,
        depends=tuple(symbols.entering([f], variables) for f in drift or ()),
        bends=tuple(symbols.bending([f], variables) for f in drift or ()),
        degree=tuple(symbols.degree(f) for f in drift or ()),
        powers=powers,
        means_bend=symbols.bending(drift or (), (*m, *c)),
        mixes=tuple((a.name, b.name) for a, b in mixes),
        pulled=tuple(f != 0 for f in pull),
        gapped=tuple(f != 0 for f in gap),
        rates_depend=symbols.entering([*pull, *gap], variables),
        targets_depend=symbols.entering(
            [f for f, rate in zip(target, pull, strict=True) if rate != 0], variables
        ),
        rates_bend=symbols.bending([*pull, *gap, *current], variables),
        fields_bend=symbols.bending(sent or (), variables),
        normal=start is not None and symbols.normal(start),
        commuting=commuting,
        milstein=milstein,
        noises_bend=noises_bend,
        start_bends=symbols.bending(start or (), symbols.z),
        texts=texts,
    )


def _amplitudes(symbols: Symbols, model: Model) -> tuple[Any, ...]:
    """Return the amplitudes b_kj, noise after noise [n_noises d]."""
    kick, d, count = assemble_step(model).kick, len(model.state), len(model.noises)
    found: list[Any] = []
    for j in range(count):
        unit = tuple(float(i == j) for i in range(count))
        at = (symbols.t, symbols.x, symbols.m, symbols.c, symbols.p)
        found += kick(*at, unit, 1.0, (0.0,) * d)
    return tuple(found)


def _along(symbols: Symbols, b: Any, of: Any) -> list[Any]:
    """Return (b . grad) of each entry of a vector, means held."""
    slopes = [[rate * entry.diff(v) for rate, v in zip(b, symbols.x, strict=True)] for entry in of]
    return [symbols.numbers(sum(row)) for row in slopes]


def _correction(symbols: Symbols, model: Model) -> tuple[Any, ...]:
    """Return (1/2) sum_jl b_lj d b_kj/d x_l over Stratonovich noises j, means held [d].

    Added to the drift it makes their integrals Ito's (Kloeden & Platen 1992, sec. 4.9).
    """
    d = len(model.state)
    flat = [symbols.numbers(part) for part in _amplitudes(symbols, model)]
    found = [symbols.numbers(0)] * d
    for j, noise in enumerate(model.noises):
        if noise.stratonovich:
            b = flat[j * d : (j + 1) * d]
            found = [
                known + more / 2 for known, more in zip(found, _along(symbols, b, b), strict=True)
            ]
    return tuple(found)


def _milstein(
    symbols: Symbols, model: Model, flat: tuple[Any, ...]
) -> tuple[bool, tuple[tuple[int, int, int], ...], list[Any]]:
    """Return whether the noises commute, and Milstein's correction: its places and numbers.

    With L_j b_i = (b_j . grad) b_i the step adds (1/2) sum_ji L_j b_i (z_j z_i - delta_ji) h, which
    is all of the double integrals if L_j b_i = L_i b_j (Kloeden & Platen 1992, sec. 10.3).
    Amplitudes that depend on means do not commute with the noise of other neurons.
    """
    d = len(model.state)
    b = [flat[j * d : (j + 1) * d] for j in range(len(model.noises))]
    lifted = [[_along(symbols, one, other) for other in b] for one in b]
    means = {*symbols.m, *symbols.c}
    commuting = not any(entry.free_symbols & means for entry in flat) and all(
        symbols.vanishes(up - down)
        for j in range(len(b))
        for i in range(j)
        for up, down in zip(lifted[j][i], lifted[i][j], strict=True)
    )
    loose = [j for j, noise in enumerate(model.noises) if not noise.exact]
    places: list[tuple[int, int, int]] = []
    values = []
    for j, i in itertools.combinations_with_replacement(loose, 2):
        for k in range(d):
            both = lifted[j][i][k] + (lifted[i][j][k] if j != i else 0)
            if not symbols.vanishes(both):
                places.append((k, loose.index(j), loose.index(i)))
                values.append(both / 2)
    return commuting, tuple(places), values


def _texts(symbols: Symbols, drift: Any, sent: Any, start: Any, mixes: Any) -> dict[str, str]:
    """Return the texts of the derivatives of drift, fields and initial law, where known."""
    x, m, c = symbols.x, symbols.m, symbols.c
    products = [(a, b) for a, b in mixes if a != b]
    texts: dict[str, str] = {}
    if drift is not None:
        mixed = [f.diff(*pair) for f in drift for pair in products]
        taylor = [a for f, v in zip(drift, x, strict=True) for a in symbols.coefficients(f, v)]
        texts |= {
            "drift_x": symbols.text("drift_x", [f.diff(v) for f in drift for v in x]),
            "drift_m": symbols.text("drift_m", [f.diff(v) for f in drift for v in m]),
            "drift_c": symbols.text("drift_c", [f.diff(v) for f in drift for v in c]),
            "drift_xx": symbols.text("drift_xx", [f.diff(v, 2) for f in drift for v in x]),
            "drift_mixed": symbols.text("drift_mixed", mixed),
            "drift_coefficients": symbols.text("drift_coefficients", taylor),
        }
    if sent is not None:
        texts |= {
            "field_x": symbols.text("field_x", [f.diff(v) for f in sent for v in x]),
            "field_xx": symbols.text("field_xx", [f.diff(v, 2) for f in sent for v in x]),
            "field_mixed": symbols.text(
                "field_mixed", [f.diff(*pair) for f in sent for pair in products]
            ),
        }
    if start is not None:
        at_x = dict(zip(symbols.z, x, strict=True))
        slopes = [f.diff(v).subs(at_x) for f in start for v in symbols.z]
        texts["initial_z"] = symbols.text("initial_z", slopes)
    return texts


def entering(model: Model, p: Any, variable: int) -> tuple[str, ...]:
    """Return the names that enter the drift of a variable with the numbers p of a site.

    Exact, by algebra: for what neither `Structure.depends` (whatever the parameters) nor a slope
    at one point can say.  Imports SymPy.

    Parameters
    ----------
    model, p : the model and the numbers of a site
    variable : position of the state variable
    """
    symbols = Symbols(model)
    x, m, c, t = symbols.x, symbols.m, symbols.c, symbols.t
    drift = assemble(model).drift(x, m, c, p, t)[variable]
    return symbols.entering([symbols.numbers(drift)], (*x, *m, *c, t))


def _reason(error: Exception) -> str:
    """Return why a function cannot be traced, in words of its author."""
    if isinstance(error, TypeError) and "truth value of Relational" in str(error):
        of = "a state, a mean or a number's size"
        return f"asks `if` of {of}: write neurolim.math.where(condition, a, b)"
    words = " ".join(str(error).split())
    if isinstance(error, ArithmeticError):
        return words
    if "ufunc" in words or "Cannot convert expression to float" in words:
        words += "; functions of numpy and math take no symbols, those of neurolim.math do"
    return f"cannot be called with symbols: {type(error).__name__}: {words}"
