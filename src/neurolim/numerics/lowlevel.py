"""The few things numba cannot say in Python: reinterpreted bits, fused multiply-add, stack buffers.

Everything else in the kernels is ordinary Python.  Each intrinsic here is a handful of LLVM
instructions; all of them mean the same on every processor.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj


def _bitcast(source: Any, target: Any, name: str, doc: str) -> Any:
    """Return an intrinsic that reinterprets the bits of ``source`` as ``target``."""

    def typer(typing_context: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(target))

        return target(source), generate

    typer.__name__ = name
    typer.__doc__ = doc
    return intrinsic(typer)


float32_from_bits = _bitcast(
    types.int32, types.float32, "float32_from_bits", "Return the float32 with these bits."
)
bits_of_float32 = _bitcast(
    types.float32, types.int32, "bits_of_float32", "Return the bits of a float32 as int32."
)
float64_from_bits = _bitcast(
    types.int64, types.float64, "float64_from_bits", "Return the float64 with these bits."
)
bits_of_float64 = _bitcast(
    types.float64, types.int64, "bits_of_float64", "Return the bits of a float64 as int64."
)


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a b + c rounded once, for three float32 or three float64.

    One instruction where the processor has it, the C library's exact routine where not: slow
    there, but the same bits.
    """
    if not (a == b == c and a in (types.float32, types.float64)):
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return a(a, b, c), generate


@intrinsic
def stack_array(typing_context: Any, dtype: Any, rows: Any, columns: Any) -> Any:
    """Return an uninitialised array [rows, columns], literal integers, that lives on the stack.

    The optimiser knows that two such buffers never overlap, so loops over them vectorise without
    run-time checks; a heap array gives no such promise.  The buffer dies with the function.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    shape = (rows.literal_value, columns.literal_value)
    # A type, or a number whose type is meant.
    element = getattr(dtype, "dtype", dtype)
    array_type = types.Array(element, 2, "C")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        item = context.get_data_type(element)
        itemsize = context.get_abi_sizeof(item)
        # numba's own way to the stack would fill it with zeros at every call.
        with builder.goto_entry_block():
            storage = builder.alloca(ir.ArrayType(item, shape[0] * shape[1]))
        storage.align = 64

        def constant(value: int) -> Any:
            return context.get_constant(types.intp, value)

        array = arrayobj.make_array(array_type)(context, builder)
        arrayobj.populate_array(
            array,
            data=builder.bitcast(storage, item.as_pointer()),
            shape=[constant(length) for length in shape],
            strides=[constant(shape[1] * itemsize), constant(itemsize)],
            itemsize=constant(itemsize),
            meminfo=None,
        )
        return array._getvalue()

    return array_type(dtype, rows, columns), generate


@intrinsic
def unowned(typing_context: Any, array: Any) -> Any:
    """Return the array without its owner, for a kernel whose caller holds it all the while.

    Views of an owned array count their owner's references, with atomic instructions: about
    100 ns for a tile of neurons, as long as half of its arithmetic.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source = arrayobj.make_array(signature.args[0])(context, builder, args[0])
        array = arrayobj.make_array(signature.return_type)(context, builder)
        arrayobj.populate_array(
            array,
            data=source.data,
            shape=source.shape,
            strides=source.strides,
            itemsize=source.itemsize,
            meminfo=None,
        )
        return array._getvalue()

    return array(array), generate
