"""Solver x model: a run, or one refusal; never anything else (``neurolim.testing``)."""

from __future__ import annotations

import pytest
from tests.conformance.test_models import OUTSIDE

from neurolim import core
from neurolim.testing import solver_checks
from neurolim.testing.pairs import Pair, check_pairs

#: Those that compile a network for every model.
NETWORKS = [name for name in core.names("solver") if core.get("solver", name).stochastic]
EVERY = [name for name in core.names("solver") if name not in NETWORKS]


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            check,
            id=f"{name}-{check}",
            marks=[pytest.mark.slow] if check.minutes and name in NETWORKS else [],
        )
        for name in core.names("solver")
        for check in solver_checks(name)
    ],
)
def test_a_solver_keeps_its_promises(check):
    check()


def test_solvers_run_or_refuse_the_models_of_a_stranger():
    check_pairs([Pair(name, word) for name in EVERY for word in OUTSIDE])


#: Networks that the sample of slow tests takes; pairs take the longest to compile.
SAMPLED = tuple(name for name in NETWORKS if name != "pairs")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.ci) if n in SAMPLED else n for n in NETWORKS]
)
def test_a_network_runs_or_refuses_some_of_the_models(name):
    every = [*core.names("model"), *OUTSIDE]
    check_pairs([Pair(name, word) for word in every[NETWORKS.index(name) :: 7]])
