"""Networks on graphs: any model, fields and gap junctions along weighted wires."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.sparse import coo_matrix

import neurolim
from neurolim import core
from neurolim.core import (
    Delay,
    Field,
    GapJunctions,
    Model,
    Noise,
    Param,
    Sites,
    State,
    Status,
    StudyError,
    Synapses,
)
from neurolim.core.wires import Graph, read_wires
from neurolim.math import cos, pi, sin
from neurolim.solvers.parts.graphs import most_heard
from neurolim.solvers.parts.rates import rate_bound

KEY = 7


def simulate(model, replicas=1, given=None, **options):
    solver = core.get("solver", "graph")
    core.check_model(model)
    params = core.resolve(model.params, given or {})
    resolved = core.resolve(solver.options, {"records": 1, "states": True, **options})
    solver.accept(model, params, resolved)
    found = solver.solve(model, params, resolved, KEY, range(replicas))
    assert (found.status == Status.OK).all()
    return found.arrays


def random_graph(n, share=0.3, least=-1.0):
    """Return weights W[to, from], and the wires in an order of their own."""
    rng = np.random.default_rng(3)
    W = rng.uniform(least, 1.0, (n, n)) * (rng.random((n, n)) < share)
    wires = [(int(i), int(j), float(W[i, j])) for i, j in np.argwhere(W)]
    rng.shuffle(wires)
    return W, [tuple(wire) for wire in wires]


LINEAR = Model(
    summary="Linear neurons on gap junctions.",
    source="this test",
    name="ohm",
    state=(State("v", spread=1.0), State("w", spread=0.5)),
    params=(Param("gap", 1.5, doc="g"), Param("size", 0.0, doc="sigma")),
    drift=lambda x: (-0.3 * x.v - x.w, 0.2 * x.v - 0.1 * x.w),
    coupling=GapJunctions("v", "gap"),
    noise=Noise("v", "size"),
)


def generator(W, gap=1.5):
    """Return the matrix of the linear network on a graph, (v, w) of neuron after neuron."""
    n = len(W)
    laplacian = W - np.diag(W.sum(axis=1))
    own = np.array([[-0.3, -1.0], [0.2, -0.1]])
    return np.kron(np.eye(n), own) + gap * np.kron(laplacian, np.diag([1.0, 0.0]))


def test_gap_junctions_along_given_wires_follow_the_exponential_of_their_matrix():
    W, wires = random_graph(12, least=0.0)
    errors = []
    for dt in (0.05, 0.025):
        state = simulate(
            LINEAR, wires="given", graph=wires, junctions="wires", n_neurons=12, dt=dt, t_end=2.0
        )["state"][0, :, 0]
        start, end = state[0].T.ravel(), state[1].T.ravel()
        errors.append(np.abs(end - expm(2.0 * generator(W)) @ start).max())
    assert errors[1] < 1e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.2)


def test_neighbours_on_a_ring_covary_as_the_fourier_modes_of_the_ring_say():
    # v only: dv = -(a + g) v + g/k sum of k neighbours + s dW; modes q relax at
    # a + g (1 - (2/k) sum_j cos(2 pi q j/n)).
    n, k, a, g, s = 24, 4, 0.5, 3.0, 0.8
    model = Model(
        summary="A ring of linear neurons.", source="this test", name="ring",
        state=(State("v"),), params=(), drift=lambda x: (-0.5 * x.v,),
        coupling=GapJunctions("v", 3.0), noise=Noise("v", 0.8),
    )  # fmt: skip
    replicas = 3000
    v = simulate(
        model, replicas, wires="ring", in_degree=k, junctions="wires", n_neurons=n, dt=0.05,
        t_end=10.0,
    )["state"][:, -1, 0, 0]  # fmt: skip
    q = np.arange(n)
    cosines = np.cos(2 * np.pi * q / n) + np.cos(4 * np.pi * q / n)
    variance = s * s / (2.0 * (a + g * (1.0 - (2.0 / k) * cosines)))
    for distance in (0, 1, 2, 5):
        expected = (variance * np.cos(2 * np.pi * q * distance / n)).mean()
        found = (v * np.roll(v, distance, axis=1)).mean(axis=1)
        error = found.std(ddof=1) / np.sqrt(replicas)
        # Weak order 2: (h (a + g))^2/12 of the variance of what does not move together.
        assert found.mean() == pytest.approx(expected, abs=4.0 * error + 0.003 * variance.mean())


OSCILLATORS = Model(
    summary="Oscillators that hear each other along wires.",
    source="Kuramoto 1984",
    name="phases",
    state=(State("phi", spread=1.0, period=2.0 * pi), State("omega", spread=0.5)),
    params=(),
    drift=lambda x, c: (x.omega + c.sine * cos(x.phi) - c.cosine * sin(x.phi), 0.0),
    fields=(Field("cosine", lambda x: cos(x.phi)), Field("sine", lambda x: sin(x.phi))),
    prepare=lambda params: Sites((0.0, 1.0), np.array([[1.0, -0.5], [0.7, 1.2]]), ({}, {})),
)


def test_fields_arrive_along_given_wires_with_their_weights():
    n = 9
    W, wires = random_graph(2 * n)
    K = np.kron(np.array([[1.0, -0.5], [0.7, 1.2]]), np.ones((n, n)))
    errors = []
    for dt in (0.05, 0.025):
        state = simulate(
            OSCILLATORS, wires="given", graph=wires, n_neurons=n, dt=dt, t_end=2.0
        )["state"][0]  # fmt: skip
        phi, omega = state[:, :, 0].reshape(2, -1), state[0, :, 1].ravel()

        def flow(t, y, omega=omega):
            sine, cosine = (K * W) @ np.sin(y), (K * W) @ np.cos(y)
            return omega + np.cos(y) * sine - np.sin(y) * cosine

        exact = solve_ivp(flow, (0.0, 2.0), phi[0], rtol=1e-10, atol=1e-10).y[:, -1]
        errors.append(np.abs(np.angle(np.exp(1j * (phi[1] - exact)))).max())
    assert errors[1] < 5e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.25)


def test_what_comes_late_comes_late_along_the_wires():
    # Two neurons that hear each other late, and nothing of themselves: the method of steps.
    model = Model(
        summary="A late loop.", source="this test", name="loop",
        state=(State("v", start=0.4, spread=0.3),), params=(),
        drift=lambda x, c: (-0.5 * x.v - c.before,), delay=Delay("before", "v", 1.3),
    )  # fmt: skip
    graph = [(0, 1, 2.0), (1, 0, 0.5)]
    errors = []
    for dt in (0.1, 0.05):
        state = simulate(model, wires="given", graph=graph, n_neurons=2, dt=dt, t_end=3.9)
        start, end = state["state"][0, :, 0, 0]
        pieces: list[Any] = [lambda t, start=start: start]
        y = start
        for k in range(3):
            before = pieces[-1]
            piece = solve_ivp(
                lambda t, u: -0.5 * u - np.array([2.0, 0.5]) * before(t - 1.3)[::-1],  # noqa: B023
                (1.3 * k, 1.3 * (k + 1)), y, rtol=1e-11, atol=1e-12, dense_output=True,
            )  # fmt: skip
            pieces.append(piece.sol)
            y = piece.y[:, -1]
        errors.append(np.abs(end - y).max())
    assert errors[1] < 1e-3
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.2)


def test_all_to_all_is_the_network_of_particles():
    # Three sites, synapses, fields, gap junctions; two schemes with nothing in common.
    model = Model(
        summary="Neurons with synapses.", source="this test", name="mixed",
        state=(State("v", start=0.3, spread=0.2), State("w")), params=(),
        drift=lambda x: (x.v - x.v**3 - x.w, 0.2 * (x.v - x.w)),
        fields=(Field("sent", lambda x: x.v * x.v),),
        coupling=(Synapses("v", lambda c: 1.0 + c.sent, lambda c: c.sent), GapJunctions("v", 1.0)),
        prepare=lambda params: Sites(
            (0.0, 1.0, 2.0), np.array([[1.0, 0.2, 0.0], [0.5, 0.5, 0.1], [0.0, 0.3, 1.0]]),
            ({}, {}, {}),
        ),
    )  # fmt: skip
    shared = {"n_neurons": 300, "t_end": 1.0, "records": 1}
    differences = []
    for dt in (0.02, 0.005):
        one = neurolim.solve(model, "graph", {}, {**shared, "dt": dt})
        other = neurolim.solve(
            model, "particles", {}, {**shared, "dt": dt, "scheme": "euler_maruyama"}
        )
        differences.append(float(np.abs(one["state_mean"] - other["state_mean"]).max()))
    # The difference is the error of Euler-Maruyama, of first order.
    assert differences[1] < 2e-3
    assert differences[0] / differences[1] == pytest.approx(4.0, abs=1.0)


def test_currents_are_those_of_the_synapses_at_the_start_too():
    # Three sites that hear .1 v of each, v = .5: c = .15; a conductance that is not zero without
    # input counts once.  What comes late is at the start what the network starts with.
    K = np.full((3, 3), 0.1)
    model = Model(
        summary="Synapses that leak.", source="this test", name="leaking",
        state=(State("v", start=0.5),), params=(), drift=lambda x: (0.0,),
        delay=Delay("past", "v", 0.5), noise=Noise("v", 0.1),
        coupling=Synapses("v", lambda c: 1.0 + c.past, lambda c: 2.0 * (1.0 + c.past)),
        prepare=lambda params: Sites((0.0, 1.0, 2.0), K, ({}, {}, {})),
    )  # fmt: skip
    for wires in ("all", "fixed"):
        found = simulate(model, wires=wires, in_degree=4, n_neurons=8, dt=0.1, t_end=0.1)
        np.testing.assert_allclose(found["excitation"][0, 0], 1.15 * (2.0 - 0.5))
        np.testing.assert_allclose(found["inhibition"][0, 0], 0.0)
        np.testing.assert_allclose(found["target_mean"][0, 0], 2.0)
        np.testing.assert_allclose(found["scale"][0, 0], 0.1 / np.sqrt(2.0 * 1.15))


def test_a_sparse_matrix_is_a_graph():
    W, wires = random_graph(12, least=0.0)
    options = {"wires": "given", "junctions": "wires", "n_neurons": 12, "dt": 0.1, "t_end": 1.0}
    one = neurolim.solve(LINEAR, "graph", {}, {**options, "graph": coo_matrix(W), "records": 1})
    other = neurolim.solve(LINEAR, "graph", {}, {**options, "graph": wires, "records": 1})
    np.testing.assert_array_equal(one["state_mean"], other["state_mean"])
    there = neurolim.solve(
        LINEAR, "graph", {}, {**options, "graph": coo_matrix(W > 0), "dt": 0.05, "records": 1}
    )
    assert np.isfinite(there["state_mean"]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wires": "given", "graph": [[0, 10]]}, "graph: wire 1 ends at node 10 of 10"),
        ({"wires": "given", "graph": [[0, 1], [-1, 2]]}, "graph: wire 2: out of range: -1"),
        ({"wires": "given", "graph": [[0, 1, 1, 1]]}, "graph: wire 1 is [0, 1, 1, 1]"),
        ({"wires": "given", "graph": [[0, 1.5]]}, "graph: wire 1: not an integer: 1.5"),
        ({"wires": "given", "graph": [[0, 1, float("nan")]]}, "graph: wire 1: not finite"),
        ({"wires": "given", "graph": "edges"}, "graph: wrong type: got 'edges'"),
        ({"wires": "given"}, "graph: no wires"),
        ({"wires": "ring", "in_degree": 4, "graph": [[0, 1]]}, "1 wires beside wires: ring"),
        ({"wires": "ring", "in_degree": 3}, "in_degree: 3 neighbours on a ring of 10 neurons"),
        ({"wires": "ring", "in_degree": 10}, "in_degree: 10 neighbours on a ring of 10 neurons"),
        ({"wires": "fixed", "in_degree": 11}, "in_degree: 11 wires from 10 neurons"),
        ({"wires": "given", "graph": "edges"}, "graph: wrong type"),
        (
            {"wires": "given", "graph": [[0, 1, 9.0], [0, 2, 9.0]], "junctions": "wires"},
            "dt: 0.1 is longer than the relaxation time",
        ),
    ],
)
def test_graphs_that_do_not_fit_are_refused(options, words):
    with pytest.raises(StudyError) as refusal:
        simulate(LINEAR, n_neurons=10, dt=0.1, t_end=1.0, **options)
    assert words in str(refusal.value)


STUDY = """
title: Neurons on the graph of a file
model:
  state: {v: {spread: 1.0}}
  drift: {v: -0.3*v}
  gap_junctions: {v: 1.5}
solver: graph
options: {wires: given, junctions: wires, graph: GRAPH, n_neurons: 6, dt: 0.1, t_end: 1, records: 1}
"""
ROWS = ((0, 1, 1.5), (1, 2, 0.25), (2, 0, 1.0), (4, 5, -0.5))
LINES = "from, weight, to\n" + "".join(f"{j}, {w}, {i}\n" for i, j, w in ROWS)


def study_on(folder, graph):
    """Return the study file in a folder, on a graph that it names or says wire by wire."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(STUDY.replace("GRAPH", graph))
    return path


def test_a_study_may_name_a_file_of_wires_beside_it(tmp_path):
    named, told = (
        study_on(tmp_path / "named", "wires.csv"),
        study_on(tmp_path / "told", str([*map(list, ROWS)])),
    )
    (named.parent / "wires.csv").write_text(LINES)
    one, other = (neurolim.load_study(path) for path in (named, told))
    assert one.options_at(0) == other.options_at(0)
    assert one.digest(0, 1) == other.digest(0, 1)
    found = [neurolim.run_study(path, path.parent / "results") for path in (named, told)]
    np.testing.assert_array_equal(found[0]["state_mean"], found[1]["state_mean"])
    # Another weight is another simulation.
    (named.parent / "wires.csv").write_text(LINES.replace("0.25", "0.26"))
    changed = neurolim.load_study(named)
    assert changed.digest(0, 1) != one.digest(0, 1)
    assert changed.definition() != one.definition()
    again = neurolim.run_study(named, named.parent / "results")
    assert (again["state_mean"] != found[0]["state_mean"]).any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "wires.csv: cannot be read: No such file"),
        (b"\xff\xfe", "wires.csv:1: not UTF-8 text"),
        (b"to,from,weight\n0,1,1\n1,2,\xff\n", "wires.csv:3: not UTF-8 text"),
        ("", "wires.csv:1: no column 'to' in the header ''"),
        ("0,1,1.0\n", "wires.csv:1: no column 'to' in the header '0,1,1.0'"),
        ("to,from\n0,1\n", "wires.csv:1: no column 'weight'"),
        ("to,from,weight,to\n", "wires.csv:1: two columns 'to'"),
        (
            "to,from,weight,wieght\n",
            "wires.csv:1: unknown column 'wieght' (did you mean 'weight'?)",
        ),
        ("to,from,weight\n", "wires.csv:1: no wires below the header"),
        ("to,from,weight\n0,1,1\n\n1,2,1\n", "wires.csv:3: '' has 1 cells, not 3"),
        ("to,from,weight\n0,1,1\n,2,1\n", "wires.csv:3: to: '' is no number of a node"),
        ("to,from,weight\n0,-1,1\n", "wires.csv:2: from: '-1' is no number of a node"),
        ("to,from,weight\n0,1.5,1\n", "wires.csv:2: from: '1.5' is no number of a node"),
        ("to,from,weight\n0,1,1\n5,6,1\n", "wires.csv:3 ends at node 6 of 6"),
        ("to,from,weight\n0,1,much\n", "wires.csv:2: weight: 'much' is no finite number"),
        ("to,from,weight\n0,1,1\n1,2,1_0\n", "wires.csv:3: weight: '1_0' is no finite number"),
        ("to,from,weight\n0,1,1\n1,2,1e999\n", "wires.csv:3: weight: '1e999' is no finite number"),
        ("to,from,weight\n0,1,1\n1,2,1#\n", "wires.csv:3: weight: '1#' is no finite number"),
        ("to,from,weight\n0,1_0,1\n", "wires.csv:2: from: '1_0' is no number of a node"),
        (
            "to,from,weight\n0,1,1\n1,0,1e308\n1,2,-1.7e308\n",
            "wires.csv:4: the weights |w| of node 1 add up to no finite number",
        ),
        ("to,from,weight\n0,1,nan\n", "wires.csv:2: weight: 'nan' is no finite number"),
        ("to,from,weight\n0,1,1\n1,0,1\n0,1,2\n", "wires.csv:4: the wire from 1 to 0 is in line 2"),
    ],
)
def test_a_file_of_wires_that_does_not_fit_is_refused_with_its_line(tmp_path, text, words):
    study = study_on(tmp_path, "wires.csv")
    if text is not None:
        (tmp_path / "wires.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(StudyError) as refusal:
        neurolim.load_study(study)
    assert words in str(refusal.value)
    line = 1 + study.read_text().split("graph:")[0].count("\n")
    assert str(refusal.value).startswith(f"{study}:{line}: options.graph: {tmp_path}")


def test_a_file_of_wires_may_end_in_blank_lines_and_have_spaces(tmp_path):
    path = tmp_path / "wires.csv"
    path.write_bytes(b"\xef\xbb\xbfweight, to ,from\r\n 1.5e-1 ,0,\t1\r\n-.5,2,0 \r\n\r\n \n")
    assert list(read_wires(str(path))) == [(0, 1, 0.15), (2, 0, -0.5)]


def test_a_graph_is_the_same_wherever_its_wires_come_from_and_another_with_another_weight(tmp_path):
    path = tmp_path / "wires.csv"
    path.write_text(LINES)
    param = Param("graph", Graph(), kind="graph")
    graphs = [param.check(value) for value in (str(path), ROWS, [*map(list, ROWS)])]
    assert list(graphs[0]) == list(ROWS)
    assert len({graph.digest for graph in graphs}) == 1
    for column in range(3):
        other = [list(wire) for wire in ROWS]
        other[1][column] += 1
        assert param.check(other) != graphs[0]


@pytest.mark.parametrize(("n_sites", "n"), [(1, 24), (3, 8)])
def test_the_heaviest_sums_of_weights_are_those_of_the_matrix(n_sites, n):
    W, wires = random_graph(n_sites * n)
    options = {"wires": "given", "graph": Graph(*zip(*wires, strict=True)), "in_degree": 1}
    blocks = np.abs(W).reshape(n_sites, n, n_sites, n).sum(axis=3)
    own = np.array([blocks[s, :, s] for s in range(n_sites)])
    for junctions, inward in (("mean", 1.0), ("wires", own.max())):
        heard = most_heard(options | {"junctions": junctions}, n_sites, n)
        assert heard == pytest.approx((blocks.max(), inward), rel=1e-14)


def test_a_drift_too_fast_for_the_step_is_refused():
    model = Model(
        summary="Fast.", source="this test", name="fast", state=(State("v"),), params=(),
        drift=lambda x: (-50.0 * x.v,),
    )  # fmt: skip
    with pytest.raises(StudyError, match=r"beyond the stability limit 0\.04;"):
        simulate(model, n_neurons=10, dt=0.1, t_end=1.0)


def spread_along_wires(drift, weight, **more):
    """Return a model whose drift hears along wires what gap junctions would, and its graph."""
    model = Model(
        summary="Neurons that are drawn to each other by their drift.", source="this test",
        name="drawn", state=(State("v", spread=1.0),), params=(), drift=drift, **more,
    )  # fmt: skip
    return model, {"wires": "given", "graph": [(0, 1, weight), (1, 0, weight)], "n_neurons": 2}


def test_weights_that_the_drift_hears_limit_the_step_where_two_neurons_become_unstable():
    # x_i' = w (x_j - x_i): the difference decays at 2 w, and steps of the second order take 1/w.
    model, graph = spread_along_wires(lambda x, c: (c.v - 40.0 * x.v,), 40.0)
    with pytest.raises(StudyError) as refusal:
        simulate(model, dt=0.0255, t_end=0.255, **graph)
    assert str(refusal.value) == (
        "dt: 0.0255 is beyond the stability limit 0.025; allowed: dt < 0.025, or weaker couplings"
    )
    solver = core.get("solver", "graph")
    apart = {}
    for dt in (0.0245, 0.0255):  # without the refusal
        options = {"dt": dt, "t_end": 100 * dt, "records": 1, "states": True, **graph}
        options = core.resolve(solver.options, options)
        state = solver.solve(model, {}, options, KEY, range(1)).arrays["state"][0, :, 0, 0]
        start, end = state[:, 1] - state[:, 0]
        apart[dt] = abs(end / start)
        z = 2.0 * 40.0 * dt
        assert apart[dt] == pytest.approx((1.0 - z + z * z / 2.0) ** 100, rel=1e-9)
    assert apart[0.0245] < 1.0 < apart[0.0255]


def test_weights_that_are_heard_late_do_not_limit_the_step():
    late = {"delay": Delay("past", "v", 1.0)}
    model, graph = spread_along_wires(lambda x, c: (c.past - x.v,), 40.0, **late)
    assert simulate(model, dt=0.1, t_end=0.5, **graph)["state"].shape == (1, 2, 1, 1, 2)


def drift_of_two(x, m, c):
    return (c.sent - x.v + 0.1 * x.w * c.w, 3.0 * x.v - m.v - 2.0 * x.w)


@pytest.mark.parametrize("n", [1, 5])
def test_no_mode_of_a_network_decays_faster_than_the_step_allows(n):
    # Random weights of two sites, two variables, a field: the Jacobian by central differences.
    K, n_sites = np.array([[1.0, -0.5], [0.7, 1.2]]), 2
    W, wires = random_graph(n_sites * n, share=1.0)
    model = Model(
        summary="Two variables.", source="this test", name="two",
        state=(State("v", start=0.3), State("w", start=-0.8)), params=(), drift=drift_of_two,
        fields=(Field("sent", lambda x: 20.0 * sin(x.v) + x.w * x.w),),
        prepare=lambda params: Sites((0.0, 1.0), K, ({}, {})),
    )  # fmt: skip
    weights = np.kron(K, np.ones((n, n))) * W

    def flow(y):
        v, w = y.reshape(2, -1)
        mean = np.repeat(v.reshape(n_sites, n).mean(axis=1), n)
        sent, heard = weights @ (20.0 * np.sin(v) + w * w), weights @ w
        return np.concatenate([sent - v + 0.1 * w * heard, 3.0 * v - mean - 2.0 * w])

    # What neurons hear at the start is bounded by the sums of weights; the slopes take the bound.
    gain, inward = most_heard(
        {
            "wires": "given",
            "graph": Graph(*zip(*wires, strict=True)),
            "junctions": "mean",
            "in_degree": 1,
        },
        2,
        n,
    )
    rate = rate_bound(model, {}, gain, inward)
    y = np.repeat([0.3, -0.8], n_sites * n)
    steps = 1e-6 * np.eye(len(y))
    jacobian = np.array([(flow(y + h) - flow(y - h)) / 2e-6 for h in steps]).T
    fastest = -np.linalg.eigvals(jacobian).real.min()
    assert fastest < rate < 6.0 * fastest
    with pytest.raises(StudyError, match=f"stability limit {2.0 / rate:g};"):
        simulate(model, wires="given", graph=wires, n_neurons=n, dt=2.01 / rate, t_end=2.01 / rate)


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (
            1e308,
            "graph: wire 1: the weights |w| of node 1 add up to no finite number; allowed: ",
        ),
        (8e307, "dt: 0.1 is beyond the stability limit 1.1"),
    ],
)
def test_weights_that_overflow_are_refused(weight, words):
    drift = lambda x, c: (c.v * 40.0 - x.v,)  # noqa: E731
    model, graph = spread_along_wires(drift, 1.0)
    graph["graph"] = [(1, 0, weight), (1, 1, -weight), (0, 1, 1.0)]
    with pytest.raises(StudyError) as refusal:
        simulate(model, dt=0.1, t_end=1.0, **graph)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
