"""Shared settings and studies of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neurolim.processor import VARIABLES

# One thread per library, so runs are comparable everywhere.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# What numpy is loaded with: tests may import it before neurolim.
for _name, _value in VARIABLES.items():
    os.environ.setdefault(_name, _value)
# Of hundreds of processes that tests start, the first compiles the sources for all others.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

ROOT = Path(__file__).parent.parent
#: Files whose tests take minutes: side by side with others they have to start first.
LONGEST = (
    "test_workflow",
    "test_faults",
    "test_networks",
    "test_cluster",
    "test_solvers",
    "test_cache",
    "test_figures",
    "test_wheel",
    "test_graphs",
    "test_models",
    "test_general",
    "test_delays",
    "test_any_noise",
    "test_archive",
    "test_pairs_of_any_model",
    "test_scheme_orders",
    "test_odd_studies",
    "test_kinetic",
)


def pytest_collection_modifyitems(items):
    """Put the longest files first; the order within a file stays."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture
def root():
    """Return the project's folder."""
    return ROOT


@pytest.fixture
def mapping():
    """Return a small valid study as a mapping, fresh for every test."""
    return {
        "title": "A small study",
        "claim": "none",
        "model": "fitzhugh_nagumo",
        "solver": "particles",
        "reference": "limit",
        "params": {"a": 0.3, "recovery_noise": 1.0},
        "options": {"n_neurons": 80, "dt": 0.05, "t_end": 1.0, "records": 4},
        "grid": {"eps": {"inverse": [10, 20, 50]}, "sigma": [1.0, 2.0]},
        "replicas": 3,
        "seed": 7,
        "statistics": [
            {"concentration": {"after": 0.2}},
            {"convergence_rate": {"of": ["voltage_mean", "voltage_variance"], "over": "eps"}},
        ],
        "expect": {"voltage_mean": {"order": 1.0}},
        "figures": ["rate_plot"],
    }
