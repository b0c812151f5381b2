"""Two numba types that are known by value, and how kernels read and write neurons with them.

``Code`` stands for a model's functions, known by a digest: ``code.drift(t, x, m, c, p)`` in a
kernel is a direct call, the numbers of variables, fields and noises are constants, and numba's
cache on disk finds the kernel again in another process.  ``Numbers`` are numbers with names, held
in registers: the state x of a neuron, the means m, the inputs c, the parameters p.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
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
    n_noises : number of noises that a kernel draws one by one
    kept : whether kernels for it may be kept on disk
    functions : compiled, by name
    n_late : how many of the means, the last ones, come late
    curved : variables whose drift is not affine in x with constant coefficients [d]
    rates_move : pull or gap change with means or fields
    means_act : means enter the drift or what synapses pull to, and the rates do not move
    walled : a variable has a wall, or lives on a circle
    coupled : positions of the variables with a pull or a gap
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
        n_late: int = 0,
        curved: tuple[bool, ...] = (),
        rates_move: bool = False,
        means_act: bool = False,
        walled: bool = False,
        coupled: tuple[int, ...] = (),
    ) -> None:
        self.type = CodeType(digest, state, means, parameters, n_noises, kept)
        self.type.curved = tuple(k for k, bent in enumerate(curved) if bent)
        self.type.rates_move = rates_move
        self.type.means_act = means_act
        self.type.walled = walled
        self.type.coupled = coupled
        self.type.n_present = len(means) - n_late
        _FUNCTIONS[digest] = functions


class CodeType(types.Type):
    """The type of `Code`: a type per model."""

    #: Positions of the curved variables; whether pull or gap change with means or fields, whether
    #: means act on each other otherwise; whether there are walls or circles; positions of the
    #: variables with a pull or a gap; how many means are taken over the neurons as they are.
    curved: tuple[int, ...] = ()
    rates_move: bool = False
    means_act: bool = False
    walled: bool = False
    coupled: tuple[int, ...] = ()
    n_present: int = 0

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
    def has_fields(self) -> bool:
        """Return whether means are taken over fields."""
        return self.n_present > len(self.state)

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
n_means = _constant(
    lambda code: len(code.means),
    "Return the number of means: those that are "
    "taken over states and fields, and those that come late.",
)
n_present = _constant(
    lambda code: code.n_present, "Return the number of means that are taken over states and fields."
)
n_noises = _constant(lambda code: code.n_noises, "Return the number of noises.")
n_curved = _constant(lambda code: len(code.curved), "Return the number of curved variables.")
rates_move = _constant(lambda code: int(code.rates_move), "Return 1 where pull or gap move, or 0.")


@intrinsic
def curved_places(typing_context: Any, code: Any) -> Any:
    """Return, by variable, its place among the curved ones, or -1."""
    places = [code.curved.index(k) if k in code.curved else -1 for k in range(len(code.state))]
    result = types.UniTuple(types.intp, len(places))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [context.get_constant(types.intp, position) for position in places]
        return context.make_tuple(builder, result, values)

    return result(code), generate
