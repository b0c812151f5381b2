"""Every model keeps what models promise (``neurolim.testing``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurolim import core
from neurolim.testing import model_checks
from neurolim.testing.models import is_solved_or_refused

STRANGERS = Path(__file__).with_name("strangers.py")
#: Models in the file of a stranger.
OUTSIDE = [
    f"{STRANGERS}:{name}"
    for name in ("FOUR", "CIRCLE", "WALLS", "COMMON", "SILENT", "STILL", "ONE", "EIGHT", "LAW")
]


# The solvers of registered models are called model by model in ``test_solvers``.
@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check}")
        for name in core.names("model")
        for check in model_checks(name)
        if check.function is not is_solved_or_refused
    ],
)
def test_a_model_keeps_its_promises(check):
    check()


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(
            check,
            id=f"{word.rpartition(':')[2]}-{check}",
            marks=[pytest.mark.slow] if check.minutes else [],
        )
        for word in OUTSIDE
        for check in model_checks(word)
    ],
)
def test_a_strangers_model_keeps_its_promises(check):
    check()
