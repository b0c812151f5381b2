"""A model's functions for numba: the author's own text, compiled with what it calls."""

from __future__ import annotations

from collections.abc import Callable
from dis import get_instructions
from functools import lru_cache, wraps
from threading import Lock
from types import FunctionType, ModuleType
from typing import Any

from neurolim.core import Equations, Model, StudyError
from neurolim.core.assembly import (
    assemble,
    assemble_noise,
    assemble_own,
    assemble_step,
    assemble_sweeps,
)
from neurolim.core.digests import model_digest
from neurolim.kernels.numba_types import Code
from neurolim.numerics.cache import named
from neurolim.numerics.compiled import inlined
from neurolim.numerics.elementary import phi1
from neurolim.numerics.lowlevel import fma
from neurolim.numerics.structure import derivatives_of, structure_digest, structure_of
from neurolim.provenance import code_digest


def kernel_key(model: Model, *modules: str) -> tuple[str, bool]:
    """Return (name of all that a kernel depends on, whether it may be kept on disk).

    Parameters
    ----------
    model : compiled in
    *modules : in which the kernel is written
    """
    digest = model_digest(model)
    known = digest is not None
    if not known:
        # Held for ever, so that no other model gets its address and its kernels.
        _uncovered[id(model)] = model
    own = digest if known else f"{id(model):x}"
    return f"{code_digest(__name__, 'neurolim.laws', *modules)}_{own}", known


#: Models whose functions no digest covers, by the number that stands for them in this process.
_uncovered: dict[int, Model] = {}


def compiled_equations(model: Model, tag: object) -> Equations:
    """Return `Equations` whose functions numba compiles into their callers."""
    take = compiler(tag)
    parts: list[Any] = [part and take(part) for part in assemble(model, take)]
    return Equations(*parts)


def compiler(tag: object) -> Callable[[Any], Any]:
    """Return what compiles a function of a model, and the plain functions it calls, into callers.

    Parameters
    ----------
    tag : names the functions of one model, so that equal names of two models stay apart
    """
    made: dict[int, Any] = {}

    def take(function: Any) -> Any:
        if id(function) not in made:
            made[id(function)] = None
            copy = _with_compiled_helpers(function, take)
            made[id(function)] = inlined(named(copy, tag))
        elif made[id(function)] is None:
            raise StudyError("model", f"{function.__name__} calls itself", "a formula")
        return made[id(function)]

    return take


def _with_compiled_helpers(function: Any, take: Callable[[Any], Any]) -> Any:
    """Return the function with its plain helpers replaced by compiled ones.

    numba calls compiled functions only.  Helpers are called by their name, or as an attribute of a
    module; those of ``neurolim.math`` numba knows by themselves.
    """
    names = function.__code__.co_names
    space = dict(function.__globals__)
    # A parameter ``p.drift`` is a name, too, but not the function of that name.
    called = {
        step.argval for step in get_instructions(function.__code__) if step.opname == "LOAD_GLOBAL"
    }
    for name in called:
        value = space.get(name)
        if _is_helper(value):
            space[name] = take(value)
        elif isinstance(value, ModuleType):
            helpers = {key: part for key, part in vars(value).items() if key in names}
            if any(_is_helper(part) for part in helpers.values()):
                space[name] = ModuleType(value.__name__)
                for key, part in helpers.items():
                    setattr(space[name], key, take(part) if _is_helper(part) else part)
    copy = FunctionType(
        function.__code__,
        space,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy


def _is_helper(value: Any) -> bool:
    """Return whether a name of an equation stands for a plain function of its author."""
    return (
        isinstance(value, FunctionType)
        and value.__module__.split(".")[0] != "numpy"
        and (value.__module__ != "neurolim.math")
    )


def one_at_a_time(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function for one thread at a time, so that a second one finds what is cached.

    Of two codes of one digest the later takes the place of the earlier, whose functions may vanish
    while a kernel is compiled with them.

    Parameters
    ----------
    make : returns the code of a model, and keeps it
    """
    lock = Lock()

    @wraps(make)
    def locked(model: Model, *options: Any) -> Any:
        with lock:
            return make(model, *options)

    return locked


@one_at_a_time
@lru_cache(maxsize=64)
def step_code(model: Model, live: tuple[bool, ...] = ()) -> Code:
    """Return a model as the first argument of the kernels of time steps.

    Parameters
    ----------
    model : the model
    live : which of its noises are drawn; all by default
    """
    key, kept = kernel_key(model)
    if not all(live):
        key += "_noises" + "".join(str(j) for j, drawn in enumerate(live) if drawn)
    if any(noise.stratonovich for noise in model.noises):
        key = f"{key}_{structure_digest(model)}"
    functions = _step_functions(model, compiler(key), key, live)
    coupled = tuple(model.symbols.index(term.variable) for term in model.couplings)
    return Code(
        key, model.symbols, model.means, model.numbers._fields,
        sum(live) if live else len(model.noises), kept, functions, len(model.delays),
        walled=_is_walled(model), coupled=coupled,
    )  # fmt: skip


@one_at_a_time
@lru_cache(maxsize=64)
def exponential_code(model: Model, coupled: bool = True) -> Code:
    """Return a model as the first argument of the kernels of exponential steps.

    Its drift, coupling, fields and noise are traced.

    Parameters
    ----------
    model : the model
    coupled : the weights K do not all vanish
    """
    key, kept = kernel_key(model)
    acting = {name[0] for name in structure_of(model).acting}
    means_act = "m" in acting or (coupled and "c" in acting)
    means_act = means_act and not structure_of(model).rates_move
    key = f"{key}_exponential_{structure_digest(model)}{'_together' if means_act else ''}"
    shape, slopes, take = structure_of(model), derivatives_of(model, name=False), compiler(key)
    milstein = take(slopes.milstein) if shape.milstein else None
    noise = assemble_noise(model, take, milstein, shape.milstein)
    more = {**slopes._asdict(), **noise._asdict()}
    functions = _step_functions(model, take, key) | {name: take(f) for name, f in more.items()}
    numbers = model.numbers._fields
    loose = sum(not noise.exact for noise in model.noises)
    # Ito's drift of Stratonovich noise is not the one whose slopes are known.
    moved = {symbol for noise in model.noises if noise.stratonovich for symbol, _ in noise.parts}
    curved = tuple(
        bent or symbol in moved for bent, symbol in zip(shape.curved, model.symbols, strict=True)
    )
    return Code(
        key, model.symbols, model.means, numbers, loose, kept, functions, len(model.delays),
        curved, shape.rates_move, means_act, _is_walled(model),
    )  # fmt: skip


def _is_walled(model: Model) -> bool:
    """Return whether a variable has a wall, or lives on a circle."""
    return any(
        var.floor is not None or var.ceiling is not None or bool(var.period) for var in model.state
    )


@one_at_a_time
@lru_cache(maxsize=64)
def pair_codes(model: Model) -> tuple[Code, tuple[Code, ...]]:
    """Return a model as the first argument of the kernels of pairs, and by variable of its sweeps.

    Its drift is traced.
    """
    key, kept = kernel_key(model)
    key = f"{key}_pairs_{structure_digest(model)}"
    shape, slopes, take = structure_of(model), derivatives_of(model, name=False), compiler(key)
    milstein = take(slopes.milstein) if shape.milstein else None
    noise = assemble_noise(model, take, milstein, shape.milstein, exact=False)
    functions = _step_functions(model, take, key)
    own = assemble_own(model, take)
    functions |= {"push": take(noise.push), "own": take(own)}
    sweeps = assemble_sweeps(model, functions["drift"], take(slopes.drift_x), phi1)

    def code(tag: str, more: dict[str, Any]) -> Code:
        sizes = (model.symbols, model.means, model.numbers._fields, len(model.noises))
        return Code(f"{key}{tag}", *sizes, kept, functions | more, len(model.delays))

    return code("", {}), tuple(
        code(f"_{k}", {"sweep": inlined(named(sweep, f"{key}_{k}"))})
        for k, sweep in enumerate(sweeps)
    )


def _step_functions(
    model: Model, take: Callable[[Any], Any], key: str, live: tuple[bool, ...] = ()
) -> dict[str, Any]:
    """Return the functions of `StepEquations` by name, compiled."""
    correction = None
    if any(noise.stratonovich for noise in model.noises):
        correction = take(derivatives_of(model, name=False).correction)
    equations = assemble_step(model, take, fma, False, correction, live)
    return {name: inlined(named(function, key)) for name, function in equations._asdict().items()}
