"""What tests of verdicts share."""

from __future__ import annotations

from neurolim.core import Row, Verdict


def verdict_of(row: Row) -> Verdict:
    """Return the verdict of a row that has one."""
    assert row.verdict is not None
    return row.verdict
