"""Tables as pages: the verdict has the colour, wherever its column stands."""

from __future__ import annotations

import pandas as pd

from neurolim.tables import write_table


def test_the_verdict_is_coloured_and_nothing_else(tmp_path):
    frame = pd.DataFrame(
        {
            "quantity": ["a", "b", "c"],
            "verdict": ["contains", "excludes: below the expected order", "disagrees: beyond 3"],
            "levels_dropped": ["", "excludes nothing", ""],
        }
    )
    page = write_table(tmp_path / "t.csv", frame, "title", "claim").with_suffix(".html").read_text()
    assert '<td class="excludes">excludes: below the expected order</td>' in page
    assert '<td class="disagrees">disagrees: beyond 3</td>' in page
    assert "<td>excludes nothing</td>" in page
    assert "td.excludes" in page
    assert "last-child" not in page
