"""The few things numba cannot say in Python: reinterpreted bits, fused multiply-add, stack buffers.

Everything else in the kernels is ordinary Python.  Each intrinsic here is a handful of LLVM
instructions; all of them mean the same on every processor.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
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


def row_address(context: Any, builder: Any, typ: Any, array: Any, k: Any) -> Any:
    """Return the address of array[k, 0, ...]."""
    view = arrayobj.make_array(typ)(context, builder, array)
    stride = builder.extract_value(view.strides, 0)
    return _moved(builder, view.data, builder.mul(stride, k))


def _moved(builder: Any, pointer: Any, offset: Any) -> Any:
    """Return a pointer moved by so many bytes."""
    plain = builder.bitcast(pointer, ir.IntType(8).as_pointer())
    return builder.bitcast(builder.gep(plain, [offset]), pointer.type)


def _view(context: Any, builder: Any, typ: Any, data: Any, shape: Any, strides: Any) -> Any:
    """Return an array without owner."""
    view = arrayobj.make_array(typ)(context, builder)
    itemsize = context.get_constant(
        types.intp, context.get_abi_sizeof(context.get_data_type(typ.dtype))
    )
    arrayobj.populate_array(
        view, data=data, shape=shape, strides=[*strides, itemsize], itemsize=itemsize, meminfo=None
    )
    return view._getvalue()


@intrinsic
def tile_of(typing_context: Any, array: Any, s: Any, first: Any, size: Any) -> Any:
    """Return array[:, s, first : first + size] of an array [row, site, neuron], without owner."""
    result = types.Array(array.dtype, 2, "A")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = arrayobj.make_array(signature.args[0])(context, builder, args[0])
        stride, by_site = (builder.extract_value(view.strides, axis) for axis in (0, 1))
        site = _moved(builder, view.data, builder.mul(by_site, args[1]))
        shape = [builder.extract_value(view.shape, 0), args[3]]
        return _view(context, builder, result, builder.gep(site, [args[2]]), shape, [stride])

    return result(array, types.intp, types.intp, types.intp), generate


@intrinsic
def columns_of(typing_context: Any, rows: Any, first: Any, size: Any) -> Any:
    """Return rows[:, first : first + size] of an array [row, neuron], without owner."""
    result = types.Array(rows.dtype, 2, "A")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = arrayobj.make_array(signature.args[0])(context, builder, args[0])
        count, stride = builder.extract_value(view.shape, 0), builder.extract_value(view.strides, 0)
        data = builder.gep(view.data, [args[1]])
        return _view(context, builder, result, data, [count, args[2]], [stride])

    return result(rows, types.intp, types.intp), generate


@intrinsic
def row_of(typing_context: Any, rows: Any, k: Any, count: Any) -> Any:
    """Return rows[k, :count] of an array [row, neuron] with contiguous rows, without owner."""
    result = types.Array(rows.dtype, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = row_address(context, builder, signature.args[0], args[0], args[1])
        return _view(context, builder, result, data, [args[2]], [])

    return result(rows, types.intp, types.intp), generate


@intrinsic
def shaped(typing_context: Any, row: Any, first: Any, shape: Any) -> Any:
    """Return the numbers of a row from ``first`` on as an array of this shape, without owner."""
    result = types.Array(row.dtype, len(shape), "C")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = arrayobj.make_array(signature.args[0])(context, builder, args[0])
        sizes = cgutils.unpack_tuple(builder, args[2])
        step = context.get_constant(types.intp, context.get_abi_sizeof(view.data.type.pointee))
        strides: list[Any] = []
        for size in reversed(sizes[1:]):
            step = builder.mul(step, size)
            strides.insert(0, step)
        data = builder.gep(view.data, [args[1]])
        return _view(context, builder, result, data, sizes, strides)

    return result(row, types.intp, types.UniTuple(types.intp, len(shape))), generate
