"""Calls by address: what is called this way is compiled by itself, never again inside its callers.

numba links what a kernel calls into the kernel and optimises it again, at every level of calls; of
the 30 seconds that a kernel once took to compile, two thirds went there.  A function called by
address is compiled alone, kept on disk, and reached through a symbol whose address every process
fills in before it compiles or loads a caller.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neurolim.numerics.cache import keep_compiled
from neurolim.provenance import code_digest


class _Called(NamedTuple):
    """What stands behind a call; see `by_address`."""

    function: Any
    signatures: tuple[tuple[Any, ...], ...]
    needed: Callable[[Any], bool] | None


#: By what kernels call.
_CALLS: dict[Any, _Called] = {}
_provided: set[str] = set()


def array_type(dimensions: int, element: Any = types.float64, layout: str = "C") -> Any:
    """Return the type of an array, contiguous unless its layout is "A"."""
    return types.Array(element, dimensions, layout)


def with_arity(typer: Any, arity: int) -> Any:
    """Return the typing function of an intrinsic, said to take so many arguments.

    numba hands the arguments of ``*args`` over as a tuple, and asks the signature about them.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = ["typing_context", *(f"argument{k}" for k in range(arity))]
    typer.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    return typer


def by_address(
    function: Any, *signatures: tuple[Any, ...], needed: Callable[[Any], bool] | None = None
) -> Any:
    """Return what a kernel calls in the place of a compiled function.

    Parameters
    ----------
    function : compiled by numba; its machine code is to be kept on disk by its module
    *signatures : numba types to which a kernel's arguments are cast; of several, those whose
        arrays hold the same.  None for the kernels of a model, which are provided for the types
        they are called with
    needed : type of a model -> whether its kernels need the call, which does nothing for others.
        Such a call has the model as its first argument, which only kernels of a model are given
    """
    dropped = int(needed is not None and bool(signatures))

    def typer(typing_context: Any, *given: Any) -> Any:
        if needed is not None and not needed(given[0]):
            return types.none(*given), lambda context, *_: context.get_dummy_value()
        taken = tuple(types.unliteral(part) for part in given[dropped:])
        if signatures:
            taken = next(known for known in signatures if _fits(taken, known))
        result = function.overloads[taken].signature.return_type

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = context.call_conv.get_function_type(result, taken)
            called = cgutils.get_or_insert_function(builder.module, kind, _symbol(function, taken))
            status, value = context.call_conv.call_function(
                builder, called, result, taken, args[dropped:]
            )
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return value

        return result(*given[:dropped], *taken), generate

    typer.__doc__ = function.__doc__
    arity = len(inspect.signature(function.py_func).parameters) + dropped
    call = intrinsic(with_arity(typer, arity))
    _CALLS[call] = _Called(function, signatures, needed)
    return call


def kept_by_address(function: Any, *signatures: tuple[Any, ...], **options: Any) -> Any:
    """Return `by_address` of a function that no model changes, kept on disk."""
    key = code_digest(function.py_func.__module__)
    return by_address(keep_compiled(function, key), *signatures, **options)


def provide(
    *calls: Any, given: tuple[Any, ...] = (), element: Any = None, code: Any = None
) -> None:
    """Fill in addresses; a process does so before it compiles or loads a kernel with these calls.

    Parameters
    ----------
    *calls : as `by_address` returns them
    given : types of the arguments, for the kernels of a model
    element : of several signatures, only that whose first array holds this
    code : type of the model, for calls that some need
    """
    for call in calls:
        function, signatures, needed = _CALLS[call]
        if needed is not None and not needed(given[0] if given else code):
            continue
        for arguments in signatures or (given,):
            symbol = _symbol(function, arguments)
            wanted = element is None or arguments[0].dtype == element
            if wanted and symbol not in _provided:
                function.compile(arguments)
                compiled = function.overloads[arguments]
                address = compiled.library.get_pointer_to_function(compiled.fndesc.mangled_name)
                llvm.add_symbol(symbol, address)
                _provided.add(symbol)


def _fits(given: tuple[Any, ...], known: tuple[Any, ...]) -> bool:
    """Return whether arrays hold what is asked for."""
    return all(
        isinstance(argument, types.Array) and argument.dtype == other.dtype
        for argument, other in zip(given, known, strict=True)
        if isinstance(other, types.Array)
    )


def _symbol(function: Any, arguments: tuple[Any, ...]) -> str:
    python = function.py_func
    digest = hashlib.sha256(",".join(map(str, arguments)).encode()).hexdigest()
    return f"{python.__module__}.{python.__qualname__}.{digest[:32]}"
