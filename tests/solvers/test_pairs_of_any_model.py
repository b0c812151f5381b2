"""Pairs of networks with any noise, walls, circles and time, against closed forms."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.linalg import expm
from scipy.stats import norm

from neurolim import core
from neurolim.core import Field, GapJunctions, Model, Noise, Param, Sites, State, Status, StudyError
from neurolim.kernels.ties import spread_means, take_images
from neurolim.laws import Uniform
from neurolim.math import cos, sqrt
from neurolim.numerics.columns import TILE
from neurolim.solvers.parts.ties import _groups

SOLVER = core.get("solver", "pairs")
COUPLINGS = ("synchronous", "mirror", "independent", "maximal")
PARAMS = (
    Param("start", 1.0, doc="where x starts"),
    Param("end", 0.5, doc="where y starts"),
    Param("size", 0.5, doc="of the noise"),
)


def model_of(drift, noise, state="x", **more: Any) -> Model:
    """Return a model of given variables, or of x, which starts at ``start``, and y, at ``end``."""
    if isinstance(state, str):
        starts = zip(state, ("start", "end"), strict=False)
        state = tuple(State(symbol, start=start) for symbol, start in starts)
    given = {"state": state, "params": PARAMS, "drift": drift, "noise": noise, **more}
    return Model(summary="A model of this test.", source="this test", name="sample", **given)


def run(model, replicas=1, given=None, other=None, **options):
    core.check_model(model)
    params = core.resolve(model.params, given or {})
    names = {"other": [*other], "other_values": [*other.values()]} if other else {}
    chosen = core.resolve(SOLVER.options, {"t_end": 1.0, "records": 1, **names, **options})
    SOLVER.accept(model, params, chosen)
    found = SOLVER.solve(model, params, chosen, 7, range(replicas))
    assert (found.status == Status.OK).all()
    return found.arrays


def agree(values, expected, bias=0.0):
    """Assert that the mean over the first axis is what is expected, to 4 standard errors."""
    error = values.std(axis=0, ddof=1) / len(values) ** 0.5
    assert (np.abs(values.mean(axis=0) - expected) <= 4.0 * error + bias).all()


@pytest.mark.parametrize("stratonovich", [False, True], ids=["Ito", "Stratonovich"])
def test_synchronous_geometric_brownian_motions_contract_at_their_rate(stratonovich):
    # d log|x - x'| = -(a + s^2/2) dt + s dW of Ito's, -a dt + s dW of Stratonovich's.
    a, s, h, t = 0.3, 0.5, 0.02, 2.0
    noise = Noise("x", lambda x, p: p.size * x.x, stratonovich=stratonovich)
    size = {"n_pairs": 4000, "samples": 4000, "dt": h, "t_end": t, "other": {"start": 3.0}}
    sample = run(model_of(lambda x: (-0.3 * x.x,), noise), **size)["sample"][0, :, -1, 0, 0]
    rates = np.log(np.abs(sample[0] - sample[1]) / 2.0) / t
    rate = -a if stratonovich else -a - 0.5 * s * s
    # Milstein's steps have the log of |1 + s r z + s^2 h (z^2 - 1)/2|, r^2 = h.
    z, weights = np.polynomial.hermite_e.hermegauss(60)
    logs = np.log(np.abs(1.0 + s * h**0.5 * z + 0.5 * s * s * h * (z * z - 1.0)))
    scheme = rate + weights @ logs / weights.sum() / h + 0.5 * s * s
    agree(rates, scheme)
    assert abs(scheme - rate) < s**4 * h
    assert rates.var() == pytest.approx(s * s / t, rel=5 * (2 / 4000) ** 0.5 + s * s * h)


def slow(x):
    return (-0.5 * x.x + 0.2 * x.y, -x.y)


#: One noise on both variables, and a second that commutes with it.
COMMUTING = (
    Noise(("x", "y"), (lambda x, p: p.size * x.x, lambda x, p: p.size * x.y)),
    Noise("y", lambda x: 0.7 * x.y, stratonovich=True),
)


@pytest.mark.parametrize(
    ("noise", "order"),
    [
        (COMMUTING, 1.0),
        # The first moves what the size of the second depends on.
        ((Noise("x", 0.5), Noise("y", lambda x: 0.7 * x.x)), 0.5),
        (Noise(("x", "y"), (lambda t: 1.0 + t, 0.3)), 1.0),
    ],
    ids=["commuting", "not commuting", "additive"],
)
def test_paths_converge_with_the_strong_order_of_their_noise(noise, order):
    model = model_of(slow, noise, "xy")
    steps = [2**k for k in range(3, 9)]
    size = {"n_pairs": 4096, "samples": 4096, "other": {"start": 1.7}}
    ends = [
        run(model, dt=1.0 / k, brownian_refinement=steps[-1] // k, **size)["sample"][0, :, -1, 0]
        for k in steps
    ]
    errors = [np.sqrt(((a - b) ** 2).sum(axis=1).mean()) for a, b in itertools.pairwise(ends)]
    found = -np.polyfit(np.log2(steps[:-1]), np.log2(errors), 1)[0]
    # A root mean square over 8192 paths is known to 1 %; the next order tilts the fit by < .05.
    assert found == pytest.approx(order, abs=0.08)


def test_means_of_squares_converge_with_weak_order_one_for_noise_of_the_state():
    # d E x^2 = (-2a + b^2) E x^2 + b^2 c of dx = -a x dt + b sqrt(c + x^2) dW.
    noise = Noise("x", lambda x: 0.8 * sqrt(1.0 + x.x * x.x))
    model = model_of(lambda x: (-0.9 * x.x,), noise)
    size = {"n_pairs": 20000, "samples": 20000, "t_end": 1.6}
    squares = [
        run(model, 8, dt=1.6 / k, brownian_refinement=32 // k, **size)["sample"][:, 0, -1, 0, 0]
        ** 2
        for k in (4, 8, 16, 32)
    ]
    growth = 0.8**2 - 1.8
    exact = np.exp(1.6 * growth) * (1.0 + 0.64 / growth) - 0.64 / growth
    # On the same paths differences have little noise.
    gaps = [(a - b).mean(axis=1) for a, b in itertools.pairwise(squares)]
    ratios = [coarse.mean() / fine.mean() for coarse, fine in itertools.pairwise(gaps)]
    noise_of = [gap.std(ddof=1) / 8**0.5 / abs(gap.mean()) for gap in gaps]
    for ratio, *errors in zip(ratios, noise_of, noise_of[1:], strict=False):
        # Twice, to the next order in h.
        assert ratio == pytest.approx(2.0, rel=4.0 * np.hypot(*errors) + 0.1)
    # Of order one, what is left is the last gap once more.
    agree(squares[-1].mean(axis=1), exact + gaps[-1].mean(), bias=0.1 * abs(gaps[-1].mean()))


def test_additive_noise_has_its_exact_variance_in_time_and_second_order_drift():
    # dx = cos(3 t) - x^2, dy = -y dt + cos t dW.
    model = model_of(
        lambda t, x: (cos(3.0 * t) - x.x * x.x, -x.y), Noise("y", lambda t: cos(t)), "xy"
    )
    exact = solve_ivp(lambda t, x: np.cos(3.0 * t) - x * x, (0, 2), [1.0], rtol=1e-12, atol=1e-12)
    errors = []
    for steps in (64, 128, 256):
        found = run(model, 16, n_pairs=2000, dt=2.0 / steps, t_end=2.0, coupling="independent")
        errors.append(abs(found["copy_mean"][0, 0, -1, 0, 0] - exact.y[0, -1]))
    orders = np.log2(errors[:-1] / np.array(errors[1:]))
    assert np.abs(orders - 2.0).max() < 0.1
    # Noise at the middle of its step, and exact decay from there.
    middles = (np.arange(steps) + 0.5) * 2.0 / steps
    variance = np.sum(np.exp(-2.0 * (2.0 - middles)) * np.cos(middles) ** 2) * 2.0 / steps
    for copy in range(2):
        agree(found["copy_covariance"][:, copy, -1, 0, 1, 1] * 2000 / 1999, variance)
    integral = quad(lambda t: np.exp(-2.0 * (2.0 - t)) * np.cos(t) ** 2, 0.0, 2.0)[0]
    assert abs(variance / integral - 1.0) < (2.0 / steps) ** 2


OWN_AND_COMMON = model_of(
    lambda x: (-0.7 * x.x,), (Noise("x", "size"), Noise("x", 0.8, common=True))
)


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_common_noise_is_shared_by_copies_and_pairs_under_every_coupling(coupling):
    k, s, h, t, replicas = 0.7, 0.5, 0.1, 2.0, 200
    size = {"n_pairs": 200, "dt": h, "t_end": t, "coupling": coupling, "switch_scale": 1e-9}
    found = run(OWN_AND_COMMON, replicas, other={"start": 2.0}, **size)
    decay = np.exp(-k * t)
    # Of the splitting, 1 + O(h^2) of (1 - decay^2)/(2 k).
    memory = h * np.exp(-k * h) * (1.0 - decay**2) / (1.0 - np.exp(-2.0 * k * h))
    # The law given the common path has the variance of own noise; its mean moves with the path.
    inside = found["copy_covariance"][:, :, -1, 0, 0, 0] * 200 / 199
    means = found["copy_mean"][:, :, -1, 0, 0]
    for copy, start in enumerate((1.0, 2.0)):
        agree(inside[:, copy], s * s * memory)
        agree(means[:, copy], start * decay)
        agree((means[:, copy] - start * decay) ** 2, (0.64 + s * s / 200) * memory)
    if coupling == "synchronous":
        np.testing.assert_allclose(found["log_worst"][:, -1], -k * t, rtol=1e-12)
    if coupling == "independent":
        # Without the common path, which cancels.
        agree(found["distance_squared"][:, -1, 0, 0], decay**2 + 2.0 * s * s * memory)


def test_copies_of_a_law_follow_its_common_noise():
    # e = x - x' of a network and solutions of its conditional limit equation on the same noise:
    # de = -(1 + g) e + g f, df = -f + s dB/sqrt(n), f the mean of the network less that of the law.
    g, s, n, t = 2.0, 0.5, 5, 1.0
    model = model_of(
        lambda x: (-x.x,),
        (Noise("x", "size"), Noise("x", 0.8, common=True)),
        coupling=GapJunctions("x", 2.0),
    )
    size = {"n_neurons": n, "n_pairs": 400, "limit_copy": True, "dt": 0.01, "t_end": t}
    found = run(model, 16, **size)
    kernel = quad(lambda u: (np.exp(-u) - np.exp(-(1.0 + g) * u)) ** 2, 0.0, t)[0]
    expected = s * s / n * kernel
    # A mean over 2000 neurons stands for the law; the splitting is of second order.
    agree(found["distance_squared"][:, -1, 0, 0], expected, bias=expected * (n / 2000 + 0.01))


#: Two noises on a phase, together of size 1/2.
PHASE = model_of(
    lambda x: (0.0,),
    (Noise("x", 0.3), Noise("x", 0.4)),
    state=(State("x", start="start", period=2.0 * np.pi),),
)


def test_distances_on_a_circle_are_the_shortest_and_maximal_copies_meet_from_both_sides():
    s, t, pairs = 0.5, 4.0, 4000
    size = {"n_pairs": pairs, "dt": 0.05, "t_end": t, "records": 4}
    same = run(PHASE, other={"start": 6.0}, **size)
    np.testing.assert_allclose(same["distance"], 2.0 * np.pi - 5.0, rtol=1e-12)
    np.testing.assert_allclose(same["log_worst"], 0.0, atol=1e-12)
    # Mirrored phases differ by a Brownian motion of size 2 s that ends at 0 and 2 pi.
    found = run(PHASE, other={"start": 4.0}, coupling="maximal", **size)
    n, times = np.arange(1, 200, 2)[:, None], np.arange(5) * 1.0
    apart = (4.0 / (np.pi * n) * np.sin(1.5 * n) * np.exp(-0.5 * (s * n) ** 2 * times)).sum(axis=0)
    met = found["met"][0, 1:]
    error = np.sqrt(met * (1.0 - met) / pairs)
    assert (np.abs(met - (1.0 - apart[1:])) < 4.0 * error).all()


def test_maximal_copies_meet_along_one_noise_on_two_variables_and_only_there():
    # (1, 1/2) and (4, 2) differ by 3 in units of the noise (1, 1/2); (4, 2.5) does not lie there.
    model = model_of(
        lambda x: (0.0, 0.0),
        Noise(("x", "y"), (1.0, 0.5)),
        "xy",
        initial=lambda z, p: (p.start, p.end),
    )
    size = {"n_pairs": 4000, "dt": 0.25, "t_end": 4.0, "records": 4, "coupling": "maximal"}
    found = run(model, other={"start": 4.0, "end": 2.0}, **size)
    met, times = found["met"][0, 1:], np.arange(1, 5)
    # Mirrored copies meet when a Brownian motion first passes half of their distance.
    expected = 2.0 * norm.sf(1.5 / np.sqrt(times))
    assert (np.abs(met - expected) < 4.0 * np.sqrt(expected * (1.0 - expected) / 4000)).all()
    beside = run(model, other={"start": 4.0, "end": 2.5}, samples=4000, **size)
    assert not beside["met"].any()
    for start, end, copy in ((1.0, 0.5, 0), (4.0, 2.5, 1)):
        across = beside["sample"][0, copy, :, 0]
        np.testing.assert_allclose(across[:, 1] - 0.5 * across[:, 0], end - 0.5 * start, atol=1e-12)


BETWEEN_WALLS = model_of(
    lambda x: (0.0,),
    Noise("x", "size"),
    state=(State("x", start="start", floor=0.0, ceiling=1.0),),
)


@pytest.mark.parametrize("coupling", COUPLINGS)
def test_copies_between_two_walls_have_the_law_of_a_reflected_brownian_motion(coupling):
    size = {"n_pairs": 500, "dt": 0.01, "coupling": coupling, "t_end": 0.4, "records": 2}
    found = run(BETWEEN_WALLS, 40, {"start": 0.2}, {"start": 0.7}, **size)
    n = np.arange(1, 60)
    for copy, start in enumerate((0.2, 0.7)):
        for t, time in ((1, 0.2), (2, 0.4)):
            waves = np.cos(n * np.pi * start) * np.exp(-0.5 * (0.5 * np.pi * n) ** 2 * time)
            power = (np.pi * n) ** 2
            mean = 0.5 + (2.0 * ((-1.0) ** n - 1.0) / power * waves).sum()
            square = 1.0 / 3.0 + (4.0 * (-1.0) ** n / power * waves).sum()
            agree(found["copy_mean"][:, copy, t, 0, 0], mean)
            own = found["copy_covariance"][:, copy, t, 0, 0, 0]
            agree(own + found["copy_mean"][:, copy, t, 0, 0] ** 2, square)


def test_a_drift_against_a_wall_ends_there_and_copies_meet():
    model = model_of(lambda x: (1.0,), (), state=(State("x", start="start", ceiling=2.0),))
    found = run(model, other={"start": 1.5}, t_end=2.0, records=4, dt=0.05)
    np.testing.assert_allclose(found["copy_mean"][0, 0, :, 0, 0], [1.0, 1.5, 2.0, 2.0, 2.0])
    assert found["met"][0].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]


def test_eight_variables_start_from_their_laws_and_follow_their_drift():
    A = -np.eye(8) + np.diag(np.full(7, 0.5), 1) - np.diag(np.full(7, 0.3), -1)

    def drift(x):
        return (
            -x.a + 0.5 * x.b,
            -0.3 * x.a - x.b + 0.5 * x.c,
            -0.3 * x.b - x.c + 0.5 * x.d,
            -0.3 * x.c - x.d + 0.5 * x.e,
            -0.3 * x.d - x.e + 0.5 * x.f,
            -0.3 * x.e - x.f + 0.5 * x.g,
            -0.3 * x.f - x.g + 0.5 * x.h,
            -0.3 * x.g - x.h,
        )

    state = tuple(State(s, law=Uniform(float(k), k + 2.0)) for k, s in enumerate("abcdefgh"))
    model = model_of(drift, (), state=state)
    found = run(model, 20, n_pairs=500, dt=0.01, start="independent")
    starts = found["copy_mean"][:, :, 0, 0]
    for copy in range(2):
        agree(starts[:, copy], np.arange(8) + 1.0)
        agree(found["copy_covariance"][:, copy, 0, 0, 0, 0] * 500 / 499, 1.0 / 3.0)
        exact = starts[:, copy] @ expm(A).T
        np.testing.assert_allclose(found["copy_mean"][:, copy, -1, 0], exact, rtol=1e-4)
    agree(found["distance_squared"][:, 0, 0, 3], 2.0 / 3.0)


def test_noise_of_the_mean_drives_a_network_as_its_moments_say():
    # dx = [-x + g (m - x)] dt + s m dW: d E m^2 = (s^2/n - 2) E m^2,
    # d E V = -2 (1 + g) E V + s^2 (1 - 1/n) E m^2 for the variance V about the mean.
    g, s, n, t = 2.0, 0.5, 8, 1.0
    noise = Noise("x", lambda m, p: p.size * m.x)
    model = model_of(lambda x: (-x.x,), noise, coupling=GapJunctions("x", 2.0))
    size = {"n_neurons": n, "n_pairs": 500, "samples": 0, "dt": 0.005, "t_end": t}
    found = run(model, 40, coupling="independent", **size)
    rate = s * s / n - 2.0
    square = np.exp(rate * t)
    inside = s * s * (1.0 - 1.0 / n) * (square - np.exp(-2.0 * (1.0 + g) * t))
    inside /= rate + 2.0 * (1.0 + g)
    # Networks are independent: the variance over all neurons is that inside and that of the means.
    whole = inside + square - np.exp(-2.0 * t)
    for copy in range(2):
        mean, variance = (
            found[f"copy_{w}"][:, copy, -1, 0].ravel() for w in ("mean", "covariance")
        )
        agree(mean, np.exp(-t))
        # First order: rates up to 2 (1 + g) over steps of h.
        agree(variance * 500 / 499, whole, bias=2.0 * (1.0 + g) * 0.005 * whole)


def two_sites(params):
    gain = params["size"]
    return Sites(("a", "b"), gain * np.array([[0.0, 1.0], [-1.0, 0.0]]), ({}, {}))


TWO_SITES = model_of(
    lambda x, c: (c.sent - x.x,),
    Noise("x", "end"),
    fields=(Field("sent", lambda x: x.x * x.x),),
    prepare=two_sites,
)


def test_a_second_copy_with_other_weights_is_the_network_with_these():
    size = {"n_neurons": 4, "n_pairs": 20, "dt": 0.05}
    both = run(TWO_SITES, other={"size": 0.9}, **size)["copy_mean"]
    alone = run(TWO_SITES, given={"size": 0.9}, **size)["copy_mean"]
    np.testing.assert_array_equal(both[:, 1], alone[:, 0])
    assert (both[:, 0, -1] != both[:, 1, -1]).all()


def test_a_drift_that_feels_means_of_its_own_variable_is_followed_to_first_order():
    exact = solve_ivp(
        lambda t, x: [0.5 * x[1] ** 2 - x[0], -0.5 * x[0] ** 2 - x[1]],
        (0, 1), [1.0, 1.0], rtol=1e-12, atol=1e-12,
    ).y[:, -1]  # fmt: skip
    size = {"n_neurons": 4, "n_pairs": 1, "given": {"end": 0.0}}
    errors = [
        np.abs(run(TWO_SITES, dt=1.0 / k, **size)["copy_mean"][0, 0, -1, :, 0] - exact).max()
        for k in (16, 32, 64)
    ]
    orders = np.log2(errors[:-1] / np.array(errors[1:]))
    assert np.abs(orders - 1.0).max() < 0.1


@pytest.mark.parametrize(
    ("noise", "coupling", "words"),
    [
        (Noise("x", lambda x: x.x), "maximal", "noise on x depends on x"),
        (
            (Noise("x", 1.0), Noise(("x", "y"), (1.0, lambda t, m: t * m.x))),
            "maximal",
            "noise on x and y depends on m, t",
        ),
        (Noise("x", 1.0, common=True), "independent", "needs noise of every neuron's own"),
        ((), "mirror", "mirror needs noise"),
    ],
)
def test_noise_that_a_coupling_cannot_take_is_refused_by_name(noise, coupling, words):
    with pytest.raises(StudyError, match=words):
        run(model_of(slow, noise, "xy"), coupling=coupling)


@pytest.mark.parametrize(
    ("drift", "noise", "words"),
    [
        (
            lambda x: (-x.x if x.x > 0 else x.x,),
            Noise("x", 1.0),
            "derivatives of drift: drift asks `if` of a state",
        ),
        (
            lambda x: (-x.x,),
            Noise("x", lambda x: x.x if x.x > 0 else 1.0, stratonovich=True),
            "noise asks `if` of a state",
        ),
        (
            lambda x: (-x.x,),
            Noise("x", lambda m: m.x, stratonovich=True, common=True),
            "common noise whose amplitude depends on means",
        ),
    ],
)
def test_what_has_no_derivatives_is_refused(drift, noise, words):
    with pytest.raises(StudyError, match=words):
        run(model_of(drift, noise))


@pytest.mark.parametrize("n", [1, 2, 7, 100, 600])
def test_every_neuron_of_a_tile_is_given_the_mean_of_its_own_network(n):
    means, out = np.arange(24.0).reshape(2, 12), np.zeros((3, TILE))
    for first in range(0, 12 * n, TILE):
        spread_means(means, n, first, out)
        neurons = np.minimum((first + np.arange(TILE)) // n, 11)
        np.testing.assert_array_equal(out[:2], means[:, neurons])


def test_images_are_the_nearest_points_on_the_line():
    rng = np.random.default_rng(0)
    one, two, out = rng.uniform(0, 3, TILE), rng.uniform(0, 3, TILE), np.zeros(TILE)
    take_images(one, two, 3.0, out)
    assert np.abs(out - two).max() <= 1.5
    turns = (out - one) / 3.0
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-12)
    take_images(one, two, 0.0, out)
    np.testing.assert_array_equal(out, one)


def test_noises_are_grouped_by_the_variables_that_link_them():
    moves = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1]], dtype=bool)
    assert _groups(moves).tolist() == [0, 1, 0, -1, 0]
    assert _groups(np.zeros((0, 2), dtype=bool)).tolist() == []
