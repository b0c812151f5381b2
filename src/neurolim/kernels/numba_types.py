"""Two numba types that are known by value, and how kernels read and write neurons with them.

``Code`` stands for a model's functions, known by a digest: ``code.drift(t, x, m, c, p)`` in a
kernel is a direct call, the numbers of variables, fields and noises are constants, and numba's
cache on disk finds the kernel again in another process.  ``Numbers`` are numbers with names, held
in registers: the state x of a neuron, the means m, the inputs c, the parameters p.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import NativeValue, intrinsic, models, register_model, typeof_impl, unbox

#: The functions of the models of this process, by digest.
_FUNCTIONS: dict[str, dict[str, Any]] = {}


class Code:
    """A model as the first argument of a kernel.

    Parameters
    ----------
    digest : of all that its functions depend on
    state, means, parameters : names
    n_noises : number of noises
    kept : whether kernels for it may be kept on disk
    functions : compiled, by name
    """

    def __init__(
        self,
        digest: str,
        state: tuple[str, ...],
        means: tuple[str, ...],
        parameters: tuple[str, ...],
        n_noises: int,
        kept: bool,
        functions: dict[str, Any],
    ) -> None:
        self.type = CodeType(digest, state, means, parameters, n_noises, kept)
        _FUNCTIONS[digest] = functions


class CodeType(types.Type):
    """The type of `Code`: a type per model."""

    def __init__(
        self,
        digest: str,
        state: tuple[str, ...],
        means: tuple[str, ...],
        parameters: tuple[str, ...],
        n_noises: int,
        kept: bool,
    ) -> None:
        self.digest, self.state, self.means = digest, state, means
        self.parameters, self.n_noises, self.kept = parameters, n_noises, kept
        super().__init__(name=f"Code[{digest}]")

    @property
    def key(self) -> Any:
        """Return what tells two types apart."""
        return self.digest


class NumbersType(types.Type):
    """Numbers with names, a type per list of names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        super().__init__(name=f"Numbers[{','.join(names)}]")

    @property
    def key(self) -> Any:
        """Return what tells two types apart."""
        return self.names


register_model(CodeType)(models.OpaqueModel)


@typeof_impl.register(Code)
def _type_of_code(value: Code, context: Any) -> CodeType:
    return value.type


@unbox(CodeType)
def _unbox_code(typ: Any, value: Any, context: Any) -> Any:
    return NativeValue(context.context.get_dummy_value())


@infer_getattr
class _CodeAttribute(AttributeTemplate):
    key = CodeType

    def generic_resolve(self, typ: Any, name: str) -> Any:
        function = _FUNCTIONS[typ.digest].get(name)
        return None if function is None else types.Dispatcher(function)


@lower_getattr_generic(CodeType)
def _get_function(context: Any, builder: Any, typ: Any, value: Any, name: str) -> Any:
    return context.get_dummy_value()


@register_model(NumbersType)
class _NumbersModel(models.StructModel):
    def __init__(self, manager: Any, typ: Any) -> None:
        super().__init__(manager, typ, [(name, types.float64) for name in typ.names])


@infer_getattr
class _NumbersAttribute(AttributeTemplate):
    key = NumbersType

    def generic_resolve(self, typ: Any, name: str) -> Any:
        return types.float64 if name in typ.names else None


@lower_getattr_generic(NumbersType)
def _get_number(context: Any, builder: Any, typ: Any, value: Any, name: str) -> Any:
    return builder.extract_value(value, typ.names.index(name))


def _constant(count: Callable[[Any], int], doc: str) -> Any:
    """Return an intrinsic: a number of a model's, constant when a kernel is compiled."""

    def typer(typing_context: Any, code: Any) -> Any:
        # A literal, so that it can be the size of a buffer.
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant(types.intp, count(code))

        return types.intp(code), generate

    typer.__doc__ = doc
    return intrinsic(typer)


n_variables = _constant(lambda code: len(code.state), "Return the number of state variables.")
n_means = _constant(lambda code: len(code.means), "Return the number of means: states, fields.")
n_noises = _constant(lambda code: code.n_noises, "Return the number of noises.")


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
    view = context.make_array(typ)(context, builder, array)
    stride = cgutils.unpack_tuple(builder, view.strides)[0]
    bytes_ = builder.bitcast(view.data, ir.IntType(8).as_pointer())
    row = builder.gep(bytes_, [builder.mul(stride, context.get_constant(types.intp, k))])
    return builder.gep(builder.bitcast(row, view.data.type), [i])


def _scopes(builder: Any, names: list[str]) -> Any:
    """Return a list of alias scopes by name."""
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "neurolim")])
    scopes = [
        module.add_metadata([ir.MetaDataString(module, f"neurolim {name}"), domain])
        for name in names
    ]
    return module.add_metadata(scopes)


state_at = _loader(lambda code: code.state, "Return the state of neuron i of rows [variable, i].")


state_to_replace = _loader(
    lambda code: code.state,
    """Return the state of neuron i of rows [variable, i] that ``replace`` is about to write.

    Only for a loop that reads a neuron, computes its new state from it and replaces it: loads and
    stores are marked not to overlap, so that the loop becomes vector code.
    """,
    lambda builder, load: load.set_metadata("alias.scope", _scopes(builder, ["read"])),
)


@intrinsic
def replace(typing_context: Any, array: Any, i: Any, values: Any) -> Any:
    """Write the new state of neuron i of rows [variable, i]; see ``state_to_replace``."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = [f"row {k}" for k in range(len(signature.args[2]))]
        for k, typ in enumerate(signature.args[2]):
            number = context.cast(builder, builder.extract_value(args[2], k), typ, types.float64)
            at = _pointer(context, builder, signature.args[0], args[0], k, args[1])
            store = builder.store(number, at)
            store.set_metadata("alias.scope", _scopes(builder, [rows[k]]))
            others = [row for row in rows if row != rows[k]]
            store.set_metadata("noalias", _scopes(builder, ["read", *others]))
        return context.get_dummy_value()

    return types.none(array, i, values), generate


def _row_loader(names: Callable[[Any], tuple[str, ...]], doc: str) -> Any:
    """Return an intrinsic (code, array [site, name], s) -> numbers array[s] with names."""

    def typer(typing_context: Any, code: Any, array: Any, s: Any) -> Any:
        numbers = NumbersType(names(code))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            view = context.make_array(signature.args[1])(context, builder, args[1])
            size = context.get_constant(types.intp, len(numbers.names))
            first = builder.mul(args[2], size)
            values = cgutils.create_struct_proxy(numbers)(context, builder)
            for k, name in enumerate(numbers.names):
                at = builder.add(first, context.get_constant(types.intp, k))
                setattr(values, name, builder.load(builder.gep(view.data, [at])))
            return values._getvalue()

        return numbers(code, array, s), generate

    typer.__doc__ = doc
    return intrinsic(typer)


means_at = _row_loader(lambda code: code.means, "Return the means of site s of rows [site, mean].")
parameters_at = _row_loader(
    lambda code: code.parameters, "Return the parameters of site s of rows [site, parameter]."
)


def _tuple_loader(size: Callable[[Any], int], doc: str) -> Any:
    """Return an intrinsic (code, array [row, n], i) -> tuple of array[k, i]."""

    def typer(typing_context: Any, code: Any, array: Any, i: Any) -> Any:
        count = size(code)
        result = types.UniTuple(types.float64, count)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = [
                _as_float64(
                    context,
                    builder,
                    array.dtype,
                    builder.load(
                        _pointer(context, builder, signature.args[1], args[1], k, args[2])
                    ),
                )
                for k in range(count)
            ]
            return context.make_tuple(builder, result, values)

        return result(code, array, i), generate

    typer.__doc__ = doc
    return intrinsic(typer)


noises_at = _tuple_loader(lambda code: code.n_noises, "Return the normals of neuron i, a tuple.")


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


def _each(name: str, doc: str, combine: Callable[..., Any]) -> Any:
    """Return an intrinsic that combines numbers, tuples and numbers with names entry by entry.

    The result is as long as the shortest of them.
    """

    def size(typ: Any) -> int:
        if isinstance(typ, NumbersType):
            return len(typ.names)
        return len(typ) if isinstance(typ, types.BaseTuple) else 1 << 30

    def part(context: Any, builder: Any, typ: Any, value: Any, k: int) -> Any:
        if isinstance(typ, NumbersType):
            return builder.extract_value(value, k)
        if isinstance(typ, types.BaseTuple):
            value, typ = builder.extract_value(value, k), typ[k]
        return context.cast(builder, value, typ, types.float64)

    def generator(count: int) -> Any:
        result = types.UniTuple(types.float64, count)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            numbers = [
                combine(
                    builder,
                    *(
                        part(context, builder, typ, value, k)
                        for typ, value in zip(signature.args, args, strict=True)
                    ),
                )
                for k in range(count)
            ]
            return context.make_tuple(builder, result, numbers)

        return result, generate

    if name == "each_fma":

        def typer(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
            result, generate = generator(min(map(size, (a, b, c))))
            return result(a, b, c), generate

    else:

        def typer(typing_context: Any, a: Any, b: Any) -> Any:  # type: ignore[misc]
            result, generate = generator(min(map(size, (a, b))))
            return result(a, b), generate

    typer.__name__, typer.__doc__ = name, doc
    return intrinsic(typer)


each_add = _each("each_add", "Return a_k + b_k.", lambda builder, a, b: builder.fadd(a, b))
each_less = _each("each_less", "Return a_k - b_k.", lambda builder, a, b: builder.fsub(a, b))
each_times = _each("each_times", "Return a_k b_k.", lambda builder, a, b: builder.fmul(a, b))
each_fma = _each(
    "each_fma", "Return a_k b_k + c_k, rounded once.", lambda builder, *abc: builder.fma(*abc)
)
