"""How kernels read and write what a neuron has: tuples with names from arrays, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from neurolim.core.model import MAX_VARIABLES
from neurolim.kernels.numba_types import NumbersType
from neurolim.numerics.lowlevel import row_address


def _loader(
    names: Callable[[Any], tuple[str, ...]],
    doc: str,
    mark: Callable[[Any, Any], None] | None = None,
) -> Any:
    """Return an intrinsic (code, array [row, site], i) -> numbers array[k, .., i] with names.

    The array is of two dimensions [variable, neuron], its rows contiguous.
    """

    def typer(typing_context: Any, code: Any, array: Any, i: Any) -> Any:
        numbers = NumbersType(names(code))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = cgutils.create_struct_proxy(numbers)(context, builder)
            for k, name in enumerate(numbers.names):
                value = builder.load(_pointer(context, builder, array, args[1], k, args[2]))
                if mark is not None:
                    mark(builder, value)
                setattr(values, name, _as_float64(context, builder, array.dtype, value))
            return values._getvalue()

        return numbers(code, array, i), generate

    typer.__doc__ = doc
    return intrinsic(typer)


def _as_float64(context: Any, builder: Any, dtype: Any, value: Any) -> Any:
    return context.cast(builder, value, dtype, types.float64)


def _pointer(context: Any, builder: Any, typ: Any, array: Any, k: int, i: Any) -> Any:
    """Return the address of array[k, i], the last index contiguous, or of array[k, 0] + i."""
    row = row_address(context, builder, typ, array, context.get_constant(types.intp, k))
    return builder.gep(row, [i])


def _scopes(builder: Any, names: list[str]) -> Any:
    """Return a list of alias scopes by name."""
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "neurolim")])
    scopes = [
        module.add_metadata([ir.MetaDataString(module, f"neurolim {name}"), domain])
        for name in names
    ]
    return module.add_metadata(scopes)


def _marked_read(builder: Any, load: Any) -> None:
    load.set_metadata("alias.scope", _scopes(builder, ["read"]))


#: Rows that a loop over neurons writes: of the state, beside it, and of a buffer on the stack.
_WRITTEN = ("state", "beside", "buffer")


def _writer(own: str, doc: str) -> Any:
    """Return an intrinsic (array, i, values) that writes rows marked as ``own``."""

    def typer(typing_context: Any, array: Any, i: Any, values: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            for k, typ in enumerate(signature.args[2]):
                number = context.cast(
                    builder, builder.extract_value(args[2], k), typ, types.float64
                )
                at = _pointer(context, builder, signature.args[0], args[0], k, args[1])
                store = builder.store(number, at)
                rows = [f"{kind} {j}" for kind in _WRITTEN for j in range(MAX_VARIABLES)]
                others = [row for row in rows if row != f"{own} {k}"]
                store.set_metadata("alias.scope", _scopes(builder, [f"{own} {k}"]))
                store.set_metadata("noalias", _scopes(builder, ["read", *others]))
            return context.get_dummy_value()

        return types.none(array, i, values), generate

    typer.__doc__ = doc
    return intrinsic(typer)


state_at = _loader(lambda code: code.state, "Return the state of neuron i of rows [variable, i].")


inputs_at = _loader(lambda code: code.means, "Return the inputs of neuron i of rows [mean, i].")


state_to_replace = _loader(
    lambda code: code.state,
    """Return the state of neuron i of rows [variable, i] that ``replace`` is about to write.

    Only for a loop that reads a neuron, computes its new state from it and replaces it: loads and
    stores are marked not to overlap, so that the loop becomes vector code.  Every new x_k has to be
    made from the x_k that was read, as it is in every step.
    """,
    _marked_read,
)


means_of = _loader(
    lambda code: code.means, "Return the means of neuron i of rows [mean, i].", _marked_read
)


replace = _writer(
    "state",
    "Write the new state of neuron i of rows [variable, i]; see ``state_to_replace``.",
)


put_beside = _writer(
    "beside",
    "Write numbers of neuron i to rows [number, i] that overlap with nothing else in the loop.",
)


put_buffer = _writer(
    "buffer",
    "Write numbers of neuron i to a buffer [number, i] on the stack, which the loop does not read.",
)


def _row_loader(names: Callable[[Any], tuple[str, ...]], doc: str) -> Any:
    """Return an intrinsic (code, array [site, ...], s) -> first numbers of array[s] with names."""

    def typer(typing_context: Any, code: Any, array: Any, s: Any) -> Any:
        numbers = NumbersType(names(code))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            row = row_address(context, builder, signature.args[1], args[1], args[2])
            values = cgutils.create_struct_proxy(numbers)(context, builder)
            for k, name in enumerate(numbers.names):
                at = builder.gep(row, [context.get_constant(types.intp, k)])
                setattr(values, name, builder.load(at))
            return values._getvalue()

        return numbers(code, array, s), generate

    typer.__doc__ = doc
    return intrinsic(typer)


state_in = _row_loader(lambda code: code.state, "Return a state, the first numbers of row s.")


means_at = _row_loader(lambda code: code.means, "Return the means of site s of rows [site, mean].")


parameters_at = _row_loader(
    lambda code: code.parameters, "Return the parameters of site s of rows [site, parameter]."
)


def _row_tuple(size: Callable[[Any], int], doc: str) -> Any:
    """Return an intrinsic (code, array [site, ...], s) -> tuple of the numbers of array[s]."""

    def typer(typing_context: Any, code: Any, array: Any, s: Any) -> Any:
        result = types.UniTuple(types.float64, size(code))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            row = row_address(context, builder, signature.args[1], args[1], args[2])
            values = [
                builder.load(builder.gep(row, [context.get_constant(types.intp, k)]))
                for k in range(len(result))
            ]
            return context.make_tuple(builder, result, values)

        return result(code, array, s), generate

    typer.__doc__ = doc
    return intrinsic(typer)


vector_at = _row_tuple(lambda code: len(code.state), "Return array[s], a vector over variables.")


matrix_at = _row_tuple(
    lambda code: len(code.state) ** 2, "Return array[s], a matrix over variables, row by row."
)


@intrinsic
def write(typing_context: Any, array: Any, s: Any, values: Any) -> Any:
    """Write a tuple of numbers to array[s], row by row."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        row = row_address(context, builder, signature.args[0], args[0], args[1])
        for k, typ in enumerate(signature.args[2]):
            number = context.cast(builder, builder.extract_value(args[2], k), typ, types.float64)
            builder.store(number, builder.gep(row, [context.get_constant(types.intp, k)]))
        return context.get_dummy_value()

    return types.none(array, s, values), generate


def _tuple_loader(
    size: Callable[[Any], int], doc: str, mark: Callable[[Any, Any], None] | None = None
) -> Any:
    """Return an intrinsic (code, array [row, n], i) -> tuple of array[k, i]."""

    def typer(typing_context: Any, code: Any, array: Any, i: Any) -> Any:
        count = size(code)
        result = types.UniTuple(types.float64, count)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = []
            for k in range(count):
                at = _pointer(context, builder, signature.args[1], args[1], k, args[2])
                value = builder.load(at)
                if mark is not None:
                    mark(builder, value)
                values.append(_as_float64(context, builder, array.dtype, value))
            return context.make_tuple(builder, result, values)

        return result(code, array, i), generate

    typer.__doc__ = doc
    return intrinsic(typer)


noises_at = _tuple_loader(
    lambda code: code.n_noises, "Return the normals of neuron i, a tuple.", _marked_read
)


present_at = _tuple_loader(
    lambda code: code.n_present,
    "Return what neuron i adds to the means that are taken over states and fields, a tuple.",
    _marked_read,
)


normals_at = _tuple_loader(
    lambda code: len(code.state),
    "Return the normals of neuron i, one per variable, a tuple.",
    _marked_read,
)


numbers_at = _tuple_loader(
    lambda code: len(code.state), "Return the numbers of neuron i, one per variable, a tuple."
)


bends_at = _tuple_loader(
    lambda code: len(code.curved), "Return what curved variables of neuron i have.", _marked_read
)


def _giver(names: Callable[[Any], tuple[str, ...]], doc: str) -> Any:
    """Return an intrinsic (code, tuple) -> the same numbers with names."""

    def typer(typing_context: Any, code: Any, values: Any) -> Any:
        numbers = NumbersType(names(code))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            named = cgutils.create_struct_proxy(numbers)(context, builder)
            for k, name in enumerate(numbers.names):
                setattr(named, name, builder.extract_value(args[1], k))
            return named._getvalue()

        return numbers(code, values), generate

    typer.__doc__ = doc
    return intrinsic(typer)


as_state = _giver(lambda code: code.state, "Return a tuple as a state, with names.")


as_means = _giver(lambda code: code.means, "Return a tuple as means, with names.")


@intrinsic
def put(typing_context: Any, array: Any, i: Any, values: Any) -> Any:
    """Write a tuple of numbers to column i of rows [number, i]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for k, typ in enumerate(signature.args[2]):
            number = context.cast(builder, builder.extract_value(args[2], k), typ, types.float64)
            at = _pointer(context, builder, signature.args[0], args[0], k, args[1])
            builder.store(number, at)
        return context.get_dummy_value()

    return types.none(array, i, values), generate
