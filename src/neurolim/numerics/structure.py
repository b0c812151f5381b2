r"""What follows from a model's equations, derived once by calling them with symbols.

The functions of a model are called with SymPy symbols for t, x, m, c, p.  The expressions they
return say exactly what enters what, what is affine, of which degree a polynomial is, and what the
derivatives are.  The result is small data: booleans by name and the text of the derivatives, kept
on disk under the digest of the model's code, so that SymPy is imported once per model and never by
a job that finds it there.

A parameter counts as not zero: ``if p.f5 != 0.0`` is the general case for a symbol.  A function
that asks whether a state is positive (``if x.v > 0``) cannot be traced and says so; write
``neurolim.math.where``.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import namedtuple
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from neurolim.core import Model
from neurolim.core.assembly import assemble, assemble_step
from neurolim.core.digests import model_digest
from neurolim.core.model import arguments_of
from neurolim.numerics.cache import cache_folder, keep_text
from neurolim.numerics.symbolic import NAMING, Symbols
from neurolim.provenance import code_digest

#: Functions of `Equations.relax`, in the names of their derivatives.
_RATES = ("pull", "gap", "current")


@dataclass(frozen=True)
class Structure:
    """What holds for a model whatever its parameters.

    Names are those of the equations: "x.v", "m.activity", "c.v", "t".

    Parameters
    ----------
    untraceable : by function that cannot be called with symbols, the reason; what depends on it
        below is missing
    depends : names that enter the drift of each variable [d]
    bends : those of them that enter it otherwise than affinely, with constant coefficients [d]
    degree : total degree in x of the drift of each variable, None where it is no polynomial [d]
    powers : degree of the drift of each variable in that variable alone, None where it is no
        polynomial in it [d]
    means_bend : names of m and c that enter the drift otherwise than affinely at a given x
    mixes : pairs of names of x such that the slope of a drift or field in the one moves with the
        other, (v, v) where a variable enters otherwise than affinely by itself
    pulled, gapped : variables with synapses, with gap junctions [d]
    rates_depend, targets_depend : names that enter pull and gap, and the targets
    rates_bend : names that enter pull, gap or pull target otherwise than affinely
    fields_bend : names that enter the fields otherwise than affinely
    normal : the initial law is normal: affine in z, each variable in its own
    commuting : the noises of a neuron commute, and no amplitude depends on means: an exponential
        step is of strong order 1, otherwise 1/2
    milstein : (k, j, i) of the numbers of Milstein's correction: variable, and two noises among
        those that are not additive and of every neuron's own
    start_bends : names of z that enter the initial law otherwise than affinely
    texts : of the derivatives, by name
    """

    untraceable: dict[str, str]
    depends: tuple[tuple[str, ...], ...]
    bends: tuple[tuple[str, ...], ...]
    degree: tuple[int | None, ...]
    powers: tuple[int | None, ...]
    means_bend: tuple[str, ...]
    mixes: tuple[tuple[str, str], ...]
    pulled: tuple[bool, ...]
    gapped: tuple[bool, ...]
    rates_depend: tuple[str, ...]
    targets_depend: tuple[str, ...]
    rates_bend: tuple[str, ...]
    fields_bend: tuple[str, ...]
    normal: bool
    commuting: bool
    milstein: tuple[tuple[int, int, int], ...]
    start_bends: tuple[str, ...]
    texts: dict[str, str]

    @property
    def traced(self) -> bool:
        """Return whether all that matters to solvers could be derived."""
        return not set(self.untraceable) - {"initial"}

    @property
    def relaxing(self) -> tuple[bool, ...]:
        """Return which variables have a strong coupling [d]."""
        return tuple(a or b for a, b in zip(self.pulled, self.gapped, strict=True))

    @property
    def rates_move(self) -> bool:
        """Return whether pull or gap change with means or fields."""
        return bool(self.rates_depend)

    @property
    def curved(self) -> tuple[bool, ...]:
        """Return which drifts are not affine in x alone with constant coefficients [d]."""
        return tuple(
            bool(bend) or any(not name.startswith("x.") for name in names)
            for bend, names in zip(self.bends, self.depends, strict=True)
        )

    def orders(self, model: Model, scheme: str) -> tuple[float, float]:
        """Return the strong and the weak order of a scheme of the network, away from walls.

        Source: Kloeden & Platen 1992, secs 10.2, 10.3, 14.1, 15.1; docs/science.md, section 4.

        Parameters
        ----------
        model : whose structure this is
        scheme : exponential or euler_maruyama
        """
        parts = [part for noise in model.noises for part in noise.parts]
        additive = all(set(arguments_of(amplitude)) <= {"p"} for _, amplitude in parts)
        if scheme == "euler_maruyama":
            # Nothing is left of the double integrals where noise moves no amplitude.
            return (1.0 if self.commuting and not self.milstein else 0.5), 1.0
        return (1.0 if self.commuting else 0.5), (2.0 if additive else 1.0)

    @property
    def linear(self) -> bool:
        """Return whether drift, fields and currents are affine in x, m, c, the rates constant."""
        return (
            self.traced
            and not any(self.bends)
            and not any("t" in names for names in self.depends)
            and not self.rates_depend
            and not self.rates_bend
            and not self.fields_bend
        )

    @property
    def nonlinear(self) -> tuple[str, ...]:
        """Return the names of x that enter drifts or fields otherwise than affinely."""
        names = [name for pair in self.mixes for name in pair]
        return tuple(sorted(set(names), key=names.index))

    @property
    def products(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs of different variables among ``mixes``, as ``drift_mixed`` has them."""
        return tuple(pair for pair in self.mixes if pair[0] != pair[1])


class Derivatives(NamedTuple):
    """Derivatives of a model's functions, of (x, m, c, p, t=0), row by row in one flat tuple.

    drift_x, drift_m, drift_c : d drift_k/d x_j [d, d], d m_j and d c_j [d, d + n_fields]
    drift_xx : d^2 drift_k/d x_j^2 [d, d]
    field_x, field_xx : d field_k/d x_j, d^2 field_k/d x_j^2 [n_fields, d]
    drift_mixed, field_mixed : d^2/d x_i d x_j of the pairs of ``Structure.products``
        [d, pairs], [n_fields, pairs]
    initial_z : d initial_k/d z_j at z = x [d, d]
    pull_m, pull_c, gap_m, gap_c, current_m, current_c : d pull_k/d m_j and so on
        [d, d + n_fields], current = pull target
    drift_coefficients : of drift_k by power of x_k, lowest first, one variable after the other;
        ``Structure.powers`` says how many, none where it is no polynomial in x_k
    correction : what Stratonovich's integrals add to the drift of Ito's [d]
    milstein : the numbers of Milstein's correction, as ``Structure.milstein`` lists them
    """

    drift_x: Callable[..., Any]
    drift_m: Callable[..., Any]
    drift_c: Callable[..., Any]
    drift_xx: Callable[..., Any]
    field_x: Callable[..., Any]
    field_xx: Callable[..., Any]
    drift_mixed: Callable[..., Any]
    field_mixed: Callable[..., Any]
    initial_z: Callable[..., Any]
    pull_m: Callable[..., Any]
    pull_c: Callable[..., Any]
    gap_m: Callable[..., Any]
    gap_c: Callable[..., Any]
    current_m: Callable[..., Any]
    current_c: Callable[..., Any]
    drift_coefficients: Callable[..., Any]
    correction: Callable[..., Any]
    milstein: Callable[..., Any]


@lru_cache(maxsize=256)
def structure_of(model: Model) -> Structure:
    """Return the structure of a model, from disk where it was derived before."""
    digest = model_digest(model)
    path = None if digest is None else cache_folder() / f"structure-{digest}-{_own_digest()}.json"
    if path is not None:
        try:
            return _read(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not there, or spoilt: derived again
    found = derive(model)
    if path is not None:
        keep_text(path, json.dumps(asdict(found)))
    return found


def structure_digest(model: Model) -> str:
    """Return a digest of what was derived, which another SymPy may write otherwise."""
    text = json.dumps(asdict(structure_of(model)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@lru_cache(maxsize=64)
def derivatives_of(
    model: Model, take: Callable[[Any], Any] = lambda function: function, name: bool = True
) -> Derivatives:
    """Return the derivatives of a model as functions.

    Parameters
    ----------
    model : the model
    take : turns a function that is called into what is called: itself, or compiled
    name : x, m, c are plain sequences, to be given their names
    """
    from neurolim import math as names

    space: dict[str, Any] = {
        "__name__": __name__,
        "State": namedtuple("State", model.symbols),
        "Means": namedtuple("Means", model.means),
    }
    space |= {name: getattr(names, name) for name in names.__all__}
    for text in structure_of(model).texts.values():
        exec(text if name else text.replace(NAMING, ""), space)  # text printed by this module
    return Derivatives(*(space.get(part, _missing(model, part)) for part in Derivatives._fields))


def _missing(model: Model, name: str) -> Callable[..., Any]:
    def fail(*arguments: Any, **more: Any) -> Any:
        raise ArithmeticError(f"{model.name}: {name} is not known")

    return fail


@lru_cache(maxsize=1)
def _own_digest() -> str:
    from importlib.metadata import version

    return f"{code_digest(__name__)}-{version('sympy')}"


def _read(text: str) -> Structure:
    raw = json.loads(text)

    def frozen(value: Any) -> Any:
        return tuple(frozen(part) for part in value) if isinstance(value, list) else value

    return Structure(**{name: frozen(value) for name, value in raw.items()})


def derive(model: Model) -> Structure:
    """Return the structure of a model by calling its functions with symbols."""
    symbols = Symbols(model)
    equations = assemble(model)
    x, m, c, p, t = symbols.x, symbols.m, symbols.c, symbols.p, symbols.t
    reasons: dict[str, str] = {}

    def traced(name: str, call: Callable[[], Any]) -> tuple[Any, ...] | None:
        try:
            return tuple(symbols.numbers(part) for part in call())
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
    commuting = True
    milstein: tuple[tuple[int, int, int], ...] = ()
    if not all(noise.exact for noise in model.noises):
        terms = traced("noise", lambda: _amplitudes(symbols, model))
        commuting = False
        if terms is not None:
            commuting, milstein, values = _milstein(symbols, model, terms)
            texts["milstein"] = symbols.text("milstein", values)
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
    return f"cannot be called with symbols: {type(error).__name__}: {' '.join(str(error).split())}"
