"""Calls by address: what is called this way is compiled once per machine, never inside its callers.

numba links what a kernel calls into the kernel and optimises it again, for every model and at
every level of calls.  A function that no model changes is compiled alone here, kept on disk, and
called through a symbol whose address every process fills in before it loads a kernel.
"""

from __future__ import annotations

import inspect
from typing import Any

import llvmlite.binding as llvm
from numba.core import cgutils
from numba.extending import intrinsic

#: By what kernels call: compiled function, types of its arguments, symbol.
_FUNCTIONS: dict[Any, tuple[Any, tuple[Any, ...], str]] = {}
_provided: set[Any] = set()


def with_arity(typer: Any, arity: int) -> Any:
    """Return the typing function of an intrinsic, said to take so many arguments.

    numba hands the arguments of ``*args`` over as a tuple, and asks the signature about them.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = ["typing_context", *(f"argument{k}" for k in range(arity))]
    typer.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])
    return typer


def by_address(function: Any, *arguments: Any) -> Any:
    """Return what a kernel calls in the place of a compiled function.

    Parameters
    ----------
    function : compiled by numba; its machine code is to be kept on disk by its module
    *arguments : numba types, to which a kernel's arguments are cast
    """
    symbol = ".".join(
        [function.py_func.__module__, function.py_func.__qualname__, *map(str, arguments)]
    )

    def typer(typing_context: Any, *given: Any) -> Any:
        result = function.overloads[arguments].signature.return_type

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = context.call_conv.get_function_type(signature.return_type, signature.args)
            called = cgutils.get_or_insert_function(builder.module, kind, symbol)
            status, value = context.call_conv.call_function(
                builder, called, signature.return_type, signature.args, args
            )
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return value

        return result(*arguments), generate

    typer.__doc__ = function.__doc__
    call = intrinsic(with_arity(typer, len(arguments)))
    _FUNCTIONS[call] = (function, arguments, symbol)
    return call


def provide(*calls: Any) -> None:
    """Fill in addresses; a process does so before it compiles or loads a kernel with these calls.

    Parameters
    ----------
    *calls : as `by_address` returns them
    """
    for call in calls:
        if call not in _provided:
            function, arguments, symbol = _FUNCTIONS[call]
            function.compile(arguments)
            compiled = function.overloads[arguments]
            address = compiled.library.get_pointer_to_function(compiled.fndesc.mangled_name)
            llvm.add_symbol(symbol, address)
            _provided.add(call)
