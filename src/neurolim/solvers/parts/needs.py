"""What solvers need of a model's equations: values, from which refusals and documents follow."""

from __future__ import annotations

from neurolim.core import Model, Need, Sites, StudyError
from neurolim.core.terms import arguments_of
from neurolim.numerics.structure import structure_of

#: What a model consists of, in the words of `Structure.untraceable`.
_EVERYTHING = ("drift", "coupling", "fields", "initial")


def derivatives(*places: str) -> Need:
    """Return the need for functions that can be differentiated, of all of a model by default.

    Parameters
    ----------
    *places : some of "drift", "coupling", "fields", "initial"
    """
    wanted = places or _EVERYTHING

    def fault(model: Model) -> str:
        reasons = dict(structure_of(model).untraceable)
        if model.initial is None:
            reasons.pop("initial", None)  # of laws it is the moments that are known
        return next((f"{part} {reasons[part]}" for part in wanted if part in reasons), "")

    phrase = f"derivatives of {', '.join(wanted)}" if places else "derivatives"
    return Need(phrase, fault, "a formula that can be differentiated")


def variables(least: int, most: int) -> Need:
    """Return the need for a number of state variables."""
    phrase = f"{least} to {most} variables" if least < most else f"{most} variables"

    def fault(model: Model) -> str:
        count = len(model.state)
        return "" if least <= count <= most else f"there are {count}"

    return Need(phrase, fault, phrase)


def few_nonlinear(most: int) -> Need:
    """Return the need for few variables that enter drifts or fields otherwise than affinely."""

    def fault(model: Model) -> str:
        names = structure_of(model).nonlinear
        return f"they are {', '.join(names)}" if len(names) > most else ""

    return Need(f"at most {most} variables that enter nonlinearly", fault, "a model with fewer")


def _walls(model: Model) -> str:
    walled = (v.symbol for v in model.state if v.floor is not None or v.ceiling is not None)
    return next((f"{symbol} is reflected" for symbol in walled), "")


NO_WALLS = Need("variables without walls", _walls, "State without floor and ceiling")


def _sense(model: Model) -> str:
    for noise in model.noises:
        if noise.stratonovich and any("x" in arguments_of(f) for _, f in noise.parts):
            return f"that of {noise.parts[0][0]} is Stratonovich's"
    return ""


ITO = Need(
    "Ito's integral where noise depends on the state",
    _sense,
    "stratonovich=False, with the correction as a part of the drift",
)


def no_correction(model: Model) -> str:
    """Return why Stratonovich's noise of a model cannot be made Ito's, or ""."""
    reasons = structure_of(model).untraceable
    for noise in model.noises:
        if noise.stratonovich and "noise" in reasons:
            return f"noise {reasons['noise']}"
        felt = {name for _, amplitude in noise.parts for name in arguments_of(amplitude)}
        if noise.stratonovich and noise.common and felt & {"m", "c"}:
            return "common noise whose amplitude depends on means is not taken as Stratonovich's"
    return ""


CORRECTION = Need(
    "noise that is Ito's or can be made so", no_correction, "Ito's, with its correction"
)


def _bent_start(model: Model) -> str:
    bent = structure_of(model).start_bends
    return f"{bent[0]} enters otherwise than affinely" if bent else ""


GAUSSIAN_START = Need("an initial law that is Gaussian", _bent_start, "start and spread")


def _mixed_start(model: Model) -> str:
    return "" if structure_of(model).normal else "one normal moves several variables, or bends"


NORMAL_START = Need(
    "an initial law that is a product of normal ones", _mixed_start, "start and spread"
)


def _bends(model: Model) -> str:
    structure = structure_of(model)
    if structure.linear:
        return ""
    for symbol, names, entering in zip(
        model.symbols, structure.bends, structure.depends, strict=True
    ):
        if names:
            verb = "enter" if len(names) > 1 else "enters"
            return f"{', '.join(names)} {verb} the drift of {symbol} otherwise than affinely"
        if "t" in entering:
            return f"the drift of {symbol} depends on time"
    if structure.fields_bend:
        return f"{', '.join(structure.fields_bend)} enters fields otherwise than affinely"
    return f"couplings move with {', '.join((*structure.rates_depend, *structure.rates_bend))}"


LINEAR = Need("a linear model", _bends, "a linear model")


def _coupled(model: Model) -> str:
    structure = structure_of(model)
    if any(structure.pulled):
        return f"{model.symbols[structure.pulled.index(True)]} has synapses"
    if sum(structure.gapped) > 1:
        names = [name for name, there in zip(model.symbols, structure.gapped, strict=True) if there]
        return f"couplings in {', '.join(names)}"
    if not any(structure.gapped):
        return "no couplings"
    if structure.rates_depend:
        return f"their rate depends on {', '.join(structure.rates_depend)}"
    return ""


ONE_GAP = Need("gap junctions in one variable", _coupled, "GapJunctions, of a rate of p")


def _bent_rest(model: Model) -> str:
    structure = structure_of(model)
    rest = [f"x.{s}" for s, there in zip(model.symbols, structure.gapped, strict=True) if not there]
    for symbol, names in zip(model.symbols, structure.bends, strict=True):
        bent = [name for name in rest if name in names]
        if bent:
            return f"the drift of {symbol} is not affine in {', '.join(bent)}"
    return ""


LINEAR_REST = Need(
    "all but the coupled variable to enter linearly",
    _bent_rest,
    "drifts that are affine in them, with constant coefficients",
)


def _bent_gain(model: Model) -> str:
    structure = structure_of(model)
    for symbol, names, coupled in zip(
        model.symbols, structure.bends, structure.gapped, strict=True
    ):
        bent = [name for name in names if name.startswith("x.")]
        if bent and not coupled:
            return f"the drift of {symbol} is not affine in {', '.join(bent)}"
    return ""


LINEAR_GAIN = Need("a linear drift of what is not coupled", _bent_gain, "b v + q w + c")


def _sent(model: Model) -> str:
    return f"they broadcast {model.fields[0].name}" if model.fields else ""


NO_FIELDS = Need("neurons that see means of states alone", _sent, "a model without fields")


def _open(model: Model) -> str:
    v = model.symbols[0]
    return "" if structure_of(model).pulled[0] else f"{v} has no chemical synapses"


SYNAPSES = Need("synapses in the first variable", _open, "Synapses of conductance > 0")


def _bent_synapses(model: Model) -> str:
    bent = structure_of(model).rates_bend
    return f"they bend in {', '.join(bent)}" if bent else ""


AFFINE_SYNAPSES = Need(
    "synapses that are affine in means", _bent_synapses, "conductance and current affine in m and c"
)


def one_site(sites: Sites) -> Sites:
    """Return the sites of a network that has only one.

    Raises
    ------
    StudyError
    """
    if len(sites.labels) != 1:
        raise StudyError("model", f"one site needed, got {len(sites.labels)}", "one site")
    return sites


def noise_key(model: Model, symbol: str) -> str:
    """Return the parameter that is the noise of a variable, "model" where there is none such."""
    own = {param.name for param in model.params}
    for noise in model.noises:
        for moved, amplitude in noise.parts:
            if moved == symbol and isinstance(amplitude, str) and amplitude in own:
                return amplitude
    return "model"
