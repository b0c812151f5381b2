"""Conformance: what models, solvers, statistics and figures promise, as checks to call.

A check is a function without arguments that returns, or raises one StudyError in words of the
plug-in's author, with file and line.  In a test suite:

    import pytest
    from neurolim.testing import model_checks

    @pytest.mark.parametrize("check", model_checks("my_model.py"), ids=str)
    def test_model(check):
        check()

``neurolim check FILE`` calls those that take seconds.
"""

from typing import Any

from neurolim.testing._checks import Check
from neurolim.testing.figures import figure_checks
from neurolim.testing.models import model_checks
from neurolim.testing.solvers import solver_checks
from neurolim.testing.statistics import statistic_checks

_CHECKS = {
    "model": model_checks,
    "solver": solver_checks,
    "statistic": statistic_checks,
    "figure": figure_checks,
}


def checks(kind: str, plug_in: Any) -> list[Check]:
    """Return the checks of a plug-in.

    Parameters
    ----------
    kind : "model", "solver", "statistic", "figure"
    plug_in : a registered name, ``file.py``, ``file.py:NAME``, or the plug-in itself
    """
    return _CHECKS[kind](plug_in)


__all__ = ["Check", "checks", "figure_checks", "model_checks", "solver_checks", "statistic_checks"]
