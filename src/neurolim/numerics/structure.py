r"""What follows from a model's equations, derived once by calling them with symbols.

The functions of a model are called with SymPy symbols for t, x, m, c, p (`derivation`).  The
expressions they return say exactly what enters what, what is affine, of which degree a polynomial
is, and what the derivatives are.  The result is small data: booleans by name and the text of the
derivatives, kept on disk under the digest of the model's code, so that SymPy is imported once per
model and never by a job that finds it there.

A parameter counts as not zero: ``if p.f5 != 0.0`` is the general case for a symbol.  A function
that asks whether a state is positive (``if x.v > 0``) cannot be traced and says so; write
``neurolim.math.where``.
"""

from __future__ import annotations

import hashlib
import json
from collections import namedtuple
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from neurolim.core import Model
from neurolim.core.digests import model_digest
from neurolim.core.terms import arguments_of
from neurolim.kept import cache_folder, keep_text
from neurolim.numerics.symbolic import NAMING
from neurolim.provenance import code_digest


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
    noises_bend : whether the amplitudes of a noise are otherwise than affine in x, or cannot be
        traced [n_noises]
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
    noises_bend: tuple[bool, ...]
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
    def acting(self) -> tuple[str, ...]:
        """Return the names of m and c that enter a drift or what synapses pull to."""
        names = {*self.targets_depend, *(name for row in self.depends for name in row)}
        return tuple(sorted(name for name in names if name[:2] in ("m.", "c.")))

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

    nm is the number of ``Model.means``: of states, of fields, and of those that come late.

    drift_x, drift_m, drift_c : d drift_k/d x_j [d, d], d m_j and d c_j [d, nm]
    drift_xx : d^2 drift_k/d x_j^2 [d, d]
    field_x, field_xx : d field_k/d x_j, d^2 field_k/d x_j^2 [n_fields, d]
    drift_mixed, field_mixed : d^2/d x_i d x_j of the pairs of ``Structure.products``
        [d, pairs], [n_fields, pairs]
    initial_z : d initial_k/d z_j at z = x [d, d]
    pull_m, pull_c, gap_m, gap_c, current_m, current_c : d pull_k/d m_j and so on
        [d, nm], current = pull target
    drift_coefficients : of drift_k by power of x_k, lowest first, one variable after the other;
        ``Structure.powers`` says how many, none where it is no polynomial in x_k
    correction : what Stratonovich's integrals add to the drift of Ito's [d]
    milstein : the numbers of Milstein's correction, as ``Structure.milstein`` lists them
    noise_x, noise_m, noise_c : d amplitude_jk/d x_i, d m_i and d c_i of noise j on variable k
        [n_noises, d, d], [n_noises, d, nm]; not there where all noise is additive and of
        every neuron's own
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
    noise_x: Callable[..., Any]
    noise_m: Callable[..., Any]
    noise_c: Callable[..., Any]


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
    from neurolim.numerics.derivation import derive

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
