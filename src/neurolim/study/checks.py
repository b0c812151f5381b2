"""Whether the parts of a study fit each other: names, axes, points, statistics, expectations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from neurolim.core import StudyError
from neurolim.core.stored import check_stored
from neurolim.study.axes import MAX_POINTS
from neurolim.study.choice import Choice
from neurolim.study.plan import dims_of
from neurolim.study.study import Study

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
#: What lies beside the folders of studies in the folder of all results.
_FOLDERS = ("archive", "logs", "made", "tiny")


def check(study: Study, analysis: bool = True) -> None:
    """Refuse a study whose parts do not fit.

    Parameters
    ----------
    study : the study
    analysis : look at statistics and figures, too; else only where a map is refined by one of them

    Raises
    ------
    StudyError : the first thing that does not fit
    """
    if not _NAME.fullmatch(study.name):
        raise StudyError("name", f"study name {study.name!r}", "a-z, 0-9, - and _ (file name)")
    check_stored([("name", study.name)])
    if study.name in _FOLDERS:
        raise StudyError("name", f"{study.name!r} is a folder of results", "another file name")
    _check_names(study)
    _check_points(study)
    if analysis or study.refine is not None:
        _check_statistics(study)
        _check_refine(study)


def _check_refine(study: Study) -> None:
    """Refuse a refinement along no axes, or by what gives no class."""
    if study.refine is None:
        return
    names = [axis.name for axis in study.axes]
    for name in study.refine.axes:
        if name not in names:
            raise StudyError("refine.axes", f"no axis {name!r}", names or "an axis")
    if len(set(study.refine.axes)) < len(study.refine.axes):
        raise StudyError("refine.axes", "an axis is named twice", "distinct axes")
    known = [statistic.label for statistic in study.statistics]
    classes = [each.label for each in study.statistics if each.label in study.results_of(each)]
    if study.refine.by not in classes:
        raise StudyError(
            "refine.by",
            f"{study.refine.by!r} is not a statistic of this study that gives a class",
            classes or "regime",
        )
    if study.refine.by != known[0]:
        raise StudyError("refine.by", f"{study.refine.by!r} is not the first statistic", known)


def _check_names(study: Study) -> None:
    """Refuse unknown names, and axes that are another axis, a fixed number or a dimension."""
    _ = study.model, study.solver, study.reference, study.fixed
    seen: dict[str, str] = {}
    for axis in study.axes:
        for name in axis.components:
            if name in seen:
                raise StudyError(f"grid.{axis.name}", f"{name!r} is already in grid.{seen[name]}")
            seen[name] = axis.name
            for key, given in (("params", study.spec.params), ("options", study.spec.options)):
                if name in given:
                    problem = f"{name!r} is also set in {key}"
                    raise StudyError(f"grid.{axis.name}", problem, "one of the two")
    if study.n_points > MAX_POINTS:
        raise StudyError("grid", f"{study.n_points} points", f"at most {MAX_POINTS}")
    reserved = {"replica", "time", "site", "variable", "variable_b", "bin", "status"}
    for axis in study.axes:
        if axis.name in reserved:
            raise StudyError(f"grid.{axis.name}", "reserved name", "another name")
    if study.replicas > 1 and not study.solver.stochastic:
        problem = f"{study.replicas} for the deterministic solver {study.spec.solver}"
        raise StudyError("replicas", problem, "1")


def _check_points(study: Study) -> None:
    """Refuse numbers that model or solver do not take, and axes that move other dimensions."""
    first: dict[str, Any] | None = None
    for point in study.sample():
        params, options = study.params_at(point), study.options_at(point)
        try:
            study.model.sites(params)
        except StudyError as error:
            raise error.within(_place(study, error.key, "params")) from None
        try:
            study.solver.accept(study.model, params, options)
            if study.reference is not None:
                study.reference.accept(study.model, params, study.reference_options_at(point))
        except StudyError as error:
            raise error.within(_place(study, error.key, "options")) from None
        coords = study.solver.coords(study.model, params, options)
        if study.reference is not None:
            for name, coord in study.reference.coords(
                study.model, params, study.reference_options_at(point)
            ).items():
                if name in coords and coords[name].values != coord.values:
                    raise StudyError(
                        "reference.options",
                        f"other {name} values than the study's own",
                        f"the same {name} values",
                    )
        if first is None:
            first = coords
        for name, coord in coords.items():
            if coord.values != first[name].values:
                axes = ", ".join(axis.name for axis in study.axes)
                raise StudyError(
                    "grid",
                    f"{name} differs between grid points (axes {axes})",
                    f"axes that leave {name} alone",
                )


def _place(study: Study, key: str, default: str) -> str:
    """Return the part of the file that a key refused at a point stands in."""
    if key in ("model", "solver"):
        return ""
    if any(key in axis.components for axis in study.axes):
        return "grid"
    of_solver = {param.name for param in study.solver.options}
    of_model = {param.name for param in study.model.params}
    return "params" if key in of_model - of_solver else default


def _check_statistics(study: Study) -> None:
    """Refuse statistics and figures that find not what they need, and what hangs on them."""
    outputs = {var.name: var for var in study.solver.outputs(study.model, study.fixed.options)}
    if study.reference is not None:
        outputs |= {
            f"reference_{var.name}": var
            for var in study.reference.outputs(study.model, study.fixed.reference)
        }
    # Where in the study everything comes from that a statistic or figure may need.
    there = dict.fromkeys((*outputs, "status"), "solver")
    if study.reference is not None:
        own = (*outputs, "reference_status")
        there |= {name: "reference" for name in own if name.startswith("reference_")}
    # Flags and counts are no quantities whose size goes to zero or not.
    counts = {"status", "reference_status"} | {
        name for name, var in outputs.items() if not var.dtype.startswith("float")
    }
    judged: set[str] = set()
    for choices in (study.statistics, study.figures):
        for number, choice in enumerate(choices):
            if choice.label in [other.label for other in choices[:number]]:
                other_way = " or with an alias, as: NAME" if choice.kind == "statistic" else ""
                raise StudyError(choice.key, "listed twice", f"once{other_way}")
            named = {choice.prefix + name for name in _check_needs(study, choice, there, counts)}
            if choice.kind == "statistic":
                gives = _check_results(study, choice, there)
                judged |= named or (gives if choice.plugin.tables else set())
                there |= dict.fromkeys(gives, choice.key)
    _check_axis_names(study, there)
    # Tables and figures are files, each kind in a folder of its own.
    check_stored((choice.key, name) for choice in study.statistics for name in choice.tables)
    check_stored((choice.key, choice.name) for choice in study.figures)
    _check_expectations(study, judged)


def _check_needs(
    study: Study, choice: Choice, there: Mapping[str, str], counts: set[str]
) -> set[str]:
    """Refuse a statistic or figure without what it needs.

    Parameters
    ----------
    study, choice : the study and its statistic or figure
    there, counts : quantities given so far; those that are flags and counts

    Returns
    -------
    the quantities of other origin that the study asks this one to look at
    """
    key, plugin, options = choice.key, choice.plugin, choice.options
    for param in plugin.options:
        _check_part(study, f"{key}.{param.name}", param.kind, options[param.name])
    needed = (
        plugin.needs(options)
        if choice.kind == "statistic"
        else plugin.needs(options, tuple(var.name for var in study.model.state))
    )
    missing = [name for name in needed if name not in there]
    if missing:
        problem = (
            f"needs {', '.join(missing)}, which neither the solver nor an earlier statistic gives"
        )
        allowed: Any = sorted(there)
        if study.reference is None and all(name.startswith("reference_") for name in missing):
            allowed = "a study with a reference solver, as in reference: limit"
        raise StudyError(key, problem, allowed)
    named = {
        name
        for param in plugin.options
        if param.kind == "names"
        for name in options[param.name]
        if name in needed
    }
    if named & counts:
        problem = f"{', '.join(sorted(named & counts))}: a flag or a count, not a quantity"
        raise StudyError(key, problem, sorted(there.keys() - counts))
    return named


def _check_results(study: Study, choice: Choice, there: Mapping[str, str]) -> set[str]:
    """Return what a statistic gives.

    Refuses it where it needs another model, where the dataset is too small for it, or where its
    alias makes what is there already.
    """
    model_needs = choice.plugin.model_needs
    for need in model_needs(choice.options) if model_needs else ():
        fault = need.fault(study.model)
        if fault:
            problem = f"needs {need.words} of the model: {fault}"
            raise StudyError(choice.key, problem, need.allowed)
    try:
        gives = set(study.results_of(choice))
        choice.plugin.check(_sizes(study), choice.options)
    except StudyError as error:
        raise error.within(choice.key) from None
    twice = sorted(gives & there.keys()) if choice.alias else []
    if twice:
        raise StudyError(choice.key, f"{twice[0]} is a result already", "another alias")
    return gives


def _check_axis_names(study: Study, results: Mapping[str, str]) -> None:
    """Refuse axes that are named like a result, and names by which nothing can be stored."""
    results = dict.fromkeys(dims_of(study), "solver") | dict(results)
    words = {"quantity", "level", "level_value", "sample", "verdict", "reason"}
    reserved = {*results} | words
    names = [
        (f"grid.{axis.name}", name) for axis in study.axes for name in (axis.name, *axis.components)
    ]
    for key, name in names:
        if name in reserved:
            raise StudyError(key, f"{name!r} is the name of a result", "another name")
    check_stored([*((key, name) for name, key in results.items()), *names])


def _check_expectations(study: Study, judged: set[str]) -> None:
    """Refuse expectations of what no table judges."""
    for quantity in study.spec.expect:
        if quantity not in judged:
            raise StudyError(
                f"expect.{quantity}",
                "no table compares this quantity with an expectation",
                sorted(judged) or "nothing: no statistics with tables",
            )


def _sizes(study: Study) -> dict[str, int]:
    """Return the lengths of the dimensions of the study's dataset."""
    sizes = {axis.name: axis.size for axis in study.axes} | {"replica": study.replicas}
    params, options = study.params_at(0), study.options_at(0)
    for name, coord in study.solver.coords(study.model, params, options).items():
        sizes[name] = len(coord.values)
    return sizes


def _check_part(study: Study, place: str, kind: str, value: Any) -> None:
    """Refuse an option that names a part of the study which does not exist."""
    if kind == "axis":
        usable = [
            axis.name
            for axis in study.axes
            if not axis.zipped
            and all(
                isinstance(v, (int, float)) and not isinstance(v, bool) and v > 0
                for v in axis.components[axis.name]
            )
        ]
        if value not in usable:
            problem = "no axis" if value not in study.spec.grid else "not a positive numeric axis:"
            raise StudyError(place, f"{problem} {value!r}", usable or "no such axes in this study")
    elif kind == "parameter":
        numbers = [name for name, p in study.known.items() if p.kind in ("number", "integer")]
        if value not in numbers:
            raise StudyError(place, f"no numeric parameter {value!r}", sorted(numbers))
    elif kind == "record time":
        coords = study.solver.coords(study.model, study.params_at(0), study.options_at(0))
        times = coords["time"].values if "time" in coords else ()
        if times and value >= float(times[-1]):
            raise StudyError(
                place, f"no record later than {value:g}", f"below {float(times[-1]):g}"
            )
