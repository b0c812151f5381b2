r"""The network of n neurons per site on a graph: all to all, drawn at random, a ring, or given.

Neuron i of site s hears from site r

    c_i = sum_r K[s, r] sum_{j in wires(i, r)} w_ij (x_j, field(x_j)),

with ``all`` the mean over the whole site (as ``particles``), with ``fixed`` over k neurons drawn
with replacement, with ``binomial`` over a number of neurons drawn from Binomial(n, k/n), with
``ring`` over the k nearest on a ring, all of weight 1/k; with ``given`` along the wires of
``graph``.  Gap junctions act on the mean of the whole site, or along the wires of the own site:

    rate sum_j w_ij (x_j - x_i).

Steps: ``kernels/graph.py``, weak order 2 for additive noise, otherwise 1.  The means of the
populations act on each other at rates of the size of l = pull + gap: longer steps than 1/l (at the
start) could settle on false cycles and are refused.  Drifts are explicit, with what is heard along
the wires: steps are refused from `parts.rates.longest_step` on, and along wires from 2/rate on with
rate that of `parts.rates.rate_bound`.

Unlike ``particles`` it records currents: what excites and inhibits the neurons, what is left of it,
and where each neuron's own balance lies; they are those of the first variable with synapses.

Source: Quininao & Touboul 2025, abstract; scheme after Hochbruck & Ostermann 2010; docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolim.core import (
    FEATURES,
    Coord,
    Cost,
    Model,
    Param,
    Sites,
    Solution,
    Solver,
    Status,
    StudyError,
    Synapses,
    Var,
)
from neurolim.core.terms import arguments_of
from neurolim.core.wires import Graph
from neurolim.kernels import graph
from neurolim.kernels.delays import make_delays
from neurolim.kernels.model_code import step_code
from neurolim.numerics.columns import aligned
from neurolim.numerics.random import BLOCK
from neurolim.solvers.parts.compiled import COMPILED
from neurolim.solvers.parts.graphs import KINDS, check_graph, lay_wires, most_heard
from neurolim.solvers.parts.rates import (
    longest_step,
    modes_at_start,
    of_second_order,
    rate_bound,
)
from neurolim.solvers.parts.steps import (
    check_lags,
    check_traced,
    lags,
    noises_of,
    remembered,
    walls_of,
)
from neurolim.solvers.parts.times import (
    TIME_OPTIONS,
    largest_rate,
    record_times,
    state_coords,
    steps_per_record,
)

OPTIONS = (
    Param("n_neurons", 1000, doc="neurons per site", kind="integer", low=1, high=2**24),
    Param("dt", 0.005, "time", "time step h", positive=True),
    *TIME_OPTIONS,
    Param(
        "wires",
        "all",
        doc="who hears whom: all, a fixed number of neurons per site, a binomial number, the "
        "nearest on a ring, or a given graph",
        kind="choice",
        choices=KINDS,
    ),
    Param("in_degree", 100, doc="wires k per neuron and site", kind="integer", low=1, high=2**20),
    Param(
        "graph",
        Graph(),
        doc="wires of a given graph, [to, from] or [to, from, weight], or a .csv file of them; "
        "nodes are the neurons 0, 1, ..., site after site",
        kind="graph",
    ),
    Param(
        "junctions",
        "mean",
        doc="gap junctions act on the mean of the site, or along the wires within it",
        kind="choice",
        choices=("mean", "wires"),
    ),
    Param("states", False, doc="record the state of every neuron, too", kind="boolean"),
    Param("bins", 60, doc="histogram bins", kind="integer", low=1, high=10_000),
    Param("bin_range", 6.0, doc="histogram covers +- this many scales", positive=True),
)

#: What `graph.record_currents` measures.
_CURRENTS = ("excitation", "inhibition", "neuron_index", "target_mean", "target_variance")
#: Steps longer than this many relaxation times 1/(pull + gap) of a neuron are refused.
_LONGEST = 1.0
#: Core-nanoseconds per neuron, state variable and step, and per wire and step: measured.
_NANOSECONDS, _PER_WIRE = 75.0, 6.0


def _excited(model: Model) -> int | None:
    """Return the first variable with synapses, by position."""
    places = [k.variable for k in model.couplings if isinstance(k, Synapses)]
    return model.symbols.index(places[0]) if places else None


def _scaled(model: Model) -> int | None:
    """Return the variable whose histogram is recorded: coupled, with noise of constant size."""
    coupled = [model.symbols.index(k.variable) for k in model.couplings]
    if not model.plain_noise or not coupled:
        return None
    excited = _excited(model)
    return coupled[0] if excited is None else excited


def outputs(model: Model, options: Mapping[str, Any]) -> tuple[Var, ...]:
    """Return moments; currents where there are synapses; a histogram where there is a scale."""
    site = ("time", "site")
    quantities = [
        Var("state_mean", "state", "mean of the site", (*site, "variable")),
        Var(
            "covariance",
            "state^2",
            "covariance about the mean of the site (divided by n)",
            (*site, "variable", "variable_b"),
        ),
    ]
    if _excited(model) is not None:
        quantities += [
            Var("excitation", "1/time", "mean depolarising synaptic current", site),
            Var("inhibition", "1/time", "mean hyperpolarising synaptic current", site),
            Var("neuron_index", "1", "mean over neurons of |E+I|/(|E|+|I|)", site),
            Var("target_mean", "1", "mean over neurons of their own balance voltage", site),
            Var("target_variance", "1", "variance over neurons of their own balance voltage", site),
        ]
    if _scaled(model) is not None:
        quantities += [
            Var(
                "scale",
                "1",
                "noise/sqrt(2 (pull + gap)), unit of the histogram; none where nothing holds",
                site,
                gaps=True,
            ),
            Var(
                "histogram",
                "1",
                "neurons per bin of (v - site mean)/scale",
                (*site, "bin"),
                "int32",
            ),
        ]
    if options["states"]:
        quantities.append(Var("state", "state", "every neuron", (*site, "variable", "neuron")))
    return tuple(quantities)


def coords(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Coord]:
    """Return time, site, variable and bin coordinates."""
    axes = state_coords(model, params, options)
    if _scaled(model) is not None:
        width = 2.0 * options["bin_range"] / options["bins"]
        centres = (-options["bin_range"] + (i + 0.5) * width for i in range(options["bins"]))
        axes["bin"] = Coord(tuple(centres), "scale", "bin centre of (v - site mean)/scale")
    if options["states"]:
        axes["neuron"] = Coord(tuple(float(i) for i in range(options["n_neurons"])), "1", "neuron")
    return axes


def cost(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> Cost:
    """Predict the cost of one replica from the measured time per neuron-step and wire."""
    sites = model.sites(params)
    count = len(sites.labels)
    neurons = count * options["n_neurons"]
    wires = {"all": 0, "given": len(options["graph"])}.get(
        options["wires"], neurons * count * options["in_degree"]
    )
    nanoseconds = neurons * _NANOSECONDS * len(model.state) + 2 * _PER_WIRE * wires
    steps = options["t_end"] / options["dt"]
    n, d, nm = options["n_neurons"], len(model.state), len(model.means)
    past = 8.0 * remembered(lags(model, sites, options["dt"]), n) if model.delays else 0.0
    kept = 8.0 * (options["records"] + 1) * neurons * d * options["states"]
    graph_bytes = 0.0 if options["wires"] == "all" else 24.0 * count**2 * n + 29.0 * wires
    memory = neurons * (40.0 * d + 16.0 * nm) + graph_bytes + past + kept
    return Cost(steps * nanoseconds * 1e-9, memory)


def check(model: Model, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuse steps that do not fit the records or the coupling, and graphs that do not fit.

    Raises
    ------
    StudyError
    """
    steps_per_record(options)
    sites, n = model.sites(params), options["n_neurons"]
    check_graph(len(sites.labels), n, options)
    gain, inward = most_heard(options, len(sites.labels), n)
    # Products of large weights may overflow, which is a large rate.
    with np.errstate(over="ignore", invalid="ignore"):
        relaxing = largest_rate(model, params, gain=gain, inward=inward)
        modes = modes_at_start(model, params, n)
        limit = longest_step(modes, of_second_order, options["t_end"])
        rate = 0.0 if options["wires"] == "all" else rate_bound(model, params, gain, inward)
    if options["dt"] * relaxing > _LONGEST:
        relaxation = f"the relaxation time 1/(pull + gap) = {1.0 / relaxing:g}"
        problem = f"{options['dt']:g} is longer than {relaxation}"
        raise StudyError("dt", problem, f"dt <= {_LONGEST / relaxing:g}")
    limit = min(limit, 2.0 / rate if rate > 0.0 else limit)
    if options["dt"] >= limit:
        problem = f"{options['dt']:g} is beyond the stability limit {limit:g}"
        raise StudyError("dt", problem, f"dt < {limit:g}, or weaker couplings")
    check_lags(model, sites, options["dt"], least=1.0, each=n)
    check_traced(model, "euler_maruyama")
    if options["wires"] != "all":
        for noise in model.noises:
            felt = {name for _, amplitude in noise.parts for name in arguments_of(amplitude)}
            if noise.stratonovich and "c" in felt:
                # A neuron that hears itself moves its own amplitude, which no correction knows.
                problem = "Stratonovich's noise whose amplitude depends on what a neuron hears"
                raise StudyError("model", f"{model.name}: {problem}", "Ito's, or wires: all")


def solve(
    model: Model,
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    key: int,
    replicas: range,
) -> Solution:
    """Simulate the network once per replica; each replica has wires of its own.

    Returns
    -------
    arrays [replica, ...] as in ``outputs``; a replica that leaves the finite numbers is DIVERGED
    and holds NaN (0 counts) everywhere.
    """
    sites = model.sites(params)
    sizes = {name: len(coord.values) for name, coord in coords(model, params, options).items()}
    arrays = {
        var.name: np.zeros((len(replicas), *(sizes[dim] for dim in var.dims)), var.dtype)
        for var in outputs(model, options)
    }
    status = np.zeros(len(replicas), np.int8)
    for i, replica in enumerate(replicas):
        record = {name: array[i] for name, array in arrays.items()}
        if not _run(model, sites, options, key, replica, record):
            status[i] = Status.DIVERGED
            for array in record.values():
                array[...] = np.nan if array.dtype.kind == "f" else 0
    return Solution(arrays, status)


def _network(
    model: Model, sites: Sites, options: Mapping[str, Any], key: int, replica: int
) -> graph.GraphNetwork:
    """Return a network that has yet to start."""
    d, P, nm, n = len(model.state), len(sites.labels), len(model.means), options["n_neurons"]
    padded = -(-n // BLOCK) * BLOCK
    return graph.GraphNetwork(
        aligned((d, P, padded)),
        aligned((3 * d, P, padded)),
        np.array([[float(value) for value in p] for p in sites.params]).reshape(P, -1),
        np.array(sites.coupling, dtype=float, order="C"),
        np.empty((P, nm)),
        np.empty((P, n, nm)),
        aligned((nm, P, padded)),
        aligned((d, P, padded)),
        n,
        float(options["dt"]),
        np.uint64(key),
        replica,
        make_delays(model.late, lags(model, sites, options["dt"]), each=(n,)),
    )


def _run(
    model: Model,
    sites: Sites,
    options: Mapping[str, Any],
    key: int,
    replica: int,
    record: Mapping[str, np.ndarray],
) -> bool:
    """Fill one replica's arrays [time, ...]; return whether all numbers are finite."""
    n, steps, n_sites = options["n_neurons"], steps_per_record(options), len(sites.labels)
    network = _network(model, sites, options, key, replica)
    wires = lay_wires(n_sites, n, options, key, replica)
    code, more = step_code(model), (noises_of(model, sites), walls_of(model, sites))
    graph.prepare(code, network, wires, *more)
    currents, rates = np.empty((n_sites, len(_CURRENTS))), np.empty(n_sites)
    edges = np.linspace(-options["bin_range"], options["bin_range"], options["bins"] + 1)
    excited, scaled = _excited(model), _scaled(model)
    graph.advance(code, network, wires, *more, 0, 0)
    for t in range(len(record_times(options))):
        if t > 0:
            graph.advance(code, network, wires, *more, (t - 1) * steps, t * steps)
        X = network.X[:, :, :n]
        if not np.isfinite(X).all():
            return False
        record["state_mean"][t] = mean = X.mean(axis=2).T
        away = X - mean.T[:, :, None]
        record["covariance"][t] = np.einsum("ksi,jsi->skj", away, away) / n
        if options["states"]:
            record["state"][t] = X.transpose(1, 0, 2)
        if excited is not None:
            graph.record_currents(code, network, wires, t * steps, excited, currents)
            for name, column in zip(_CURRENTS, currents.T, strict=True):
                record[name][t] = column
        if scaled is not None:
            graph.record_rates(code, network, wires, t * steps, scaled, rates)
            noise = np.array([model.equations.noise(p)[scaled] for p in sites.params])
            held = np.where(rates > 0.0, rates, np.nan)
            record["scale"][t] = noise / np.sqrt(2.0 * held)
            for s, scale in enumerate(record["scale"][t]):
                unit = scale if scale > 0.0 and np.isfinite(scale) else 1.0
                record["histogram"][t, s] = np.histogram(away[scaled, s] / unit, edges)[0]
    return True


SOLVER = Solver(
    summary="The network of n neurons per site on a graph: all to all, random, a ring or given.",
    source="Quininao & Touboul 2025, abstract; Hochbruck & Ostermann 2010; docs/balance.md",
    options=OPTIONS,
    outputs=outputs,
    coords=coords,
    cost=cost,
    solve=solve,
    check=check,
    stochastic=True,
    takes=FEATURES,
    needs=(COMPILED,),
)
