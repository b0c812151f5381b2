"""Every statistic keeps what statistics promise (``neurolim.testing``)."""

from __future__ import annotations

import pytest

from neurolim import core
from neurolim.testing import statistic_checks


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check}")
        for name in core.names("statistic")
        for check in statistic_checks(name)
    ],
)
def test_a_statistic_keeps_its_promises(check):
    check()
