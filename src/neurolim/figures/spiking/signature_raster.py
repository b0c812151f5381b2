"""Spike rasters in which the colour of a spike says how many small oscillations came before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurolim.core import Figure, Param
from neurolim.figures.parts.style import COLOURS, Picture, figure, note_failures, styled
from neurolim.numerics.events import find_events

_CLASSES = ("0", "1", "2", "3 or 4", "5 or more")
_SHADES = (COLOURS[6], COLOURS[0], COLOURS[2], COLOURS[4], COLOURS[1])
_MOST_ROWS = 8


@styled
def draw(
    dataset: xr.Dataset, expect: Mapping[str, Any], *, over: str, of: str, until: float
) -> Picture:
    """Return, per level of an axis, the signal of one replica and the spikes of several.

    Parameters
    ----------
    dataset : the signal; reference_centre, reference_turning, reference_knee
    expect : not used
    over : axis of the panels; other axes at their first value, at most five levels
    of : "trace" or "state_mean"
    until : last time drawn; 0: all
    """
    clock = "trace_time" if of == "trace" else "time"
    others = [
        dim for dim in dataset[of].dims if dim not in (over, "replica", clock, "site", "variable")
    ]
    chosen = dataset.isel(dict.fromkeys(others, 0)).isel(site=0)
    count = chosen.sizes.get(over, 1)
    levels = np.unique(np.linspace(0, count - 1, min(count, 5)).round().astype(int))
    picture, axes = figure(2 * len(levels), 1, 7.2, 2.1 * len(levels) + 0.8)
    times = chosen[clock].values
    shown = times <= until if until > 0.0 else np.ones(times.size, bool)
    for row, place in enumerate(levels):
        here = chosen.isel({over: int(place)}) if over in chosen.dims else chosen
        values = here[of].transpose("replica", clock, "variable").values[:_MOST_ROWS]
        above, below = axes[2 * row, 0], axes[2 * row + 1, 0]
        above.plot(times[shown], values[0, shown, 0], color=COLOURS[0], lw=0.6)
        label = f"{over} = {here[over].item():.6g}: " if over in here.coords else ""
        above.set_title(f"{label}mean voltage of replica 0")
        above.set_ylabel("V")
        knees = here["reference_knee"].values
        centre, omega = here["reference_centre"].values, float(here["reference_turning"])
        low = float(knees[0] - 0.1 * (knees[1] - knees[0]))
        for replica, signal in enumerate(values):
            if not np.isfinite(signal).all():
                continue
            events = find_events(
                signal[:, 0], signal[:, 1], float(knees[1]), low, tuple(centre[:2]),
                omega if omega > 0 else 1.0,
            )  # fmt: skip
            at = np.interp(events.spikes[1:], np.arange(times.size), times)
            kind = np.digitize(events.turns, [1, 2, 3, 5])
            for number, colour in enumerate(_SHADES):
                ticks = at[(kind == number) & (at <= times[shown][-1])]
                below.vlines(ticks, replica - 0.4, replica + 0.4, color=colour, lw=1.3)
        below.set_title("spikes; colour: small oscillations before each")
        below.set_ylim(len(values) - 0.4, -0.6)
        below.set_yticks([0, len(values) - 1] if len(values) > 1 else [0])
        below.set_ylabel("replica")
        below.set_xlabel("time")
        for panel in (above, below):
            panel.set_xlim(times[shown][0], times[shown][-1])
    handles = [
        axes[-1, 0].plot([], [], "|", ms=9, mew=2, color=colour, label=text)[0]
        for text, colour in zip(_CLASSES, _SHADES, strict=True)
    ]
    picture.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    note_failures(picture, dataset)
    return picture


def example() -> xr.Dataset:
    """Return a relaxation-like signal of two replicas."""
    time = np.arange(0.0, 200.0, 0.25)
    v = np.where(np.sin(0.2 * time) > 0.3, 4.0, -1.0) + 0.1 * np.sin(2 * time)
    trace = np.stack([v, np.cos(0.2 * time)], axis=-1)[None, :, None, :] * np.ones((2, 1, 1, 1))
    return xr.Dataset(
        {
            "trace": (("replica", "trace_time", "site", "variable"), trace),
            "reference_centre": ("variable", [0.0, 0.0]),
            "reference_turning": ((), 1.0),
            "reference_knee": ("side", [0.0, 2.4]),
        },
        {"trace_time": time, "site": [0.0], "variable": ["v", "w"]},
    )


FIGURE = Figure(
    summary="Spikes coloured by the small oscillations before them.",
    options=(
        Param("over", "current", doc="axis of the panels", kind="text"),
        Param("of", "trace", doc="signal", kind="choice", choices=("trace", "state_mean")),
        Param("until", 0.0, "time", "last time drawn; 0: all", low=0.0),
    ),
    needs=lambda options, state: (
        options["of"],
        "reference_centre",
        "reference_turning",
        "reference_knee",
    ),
    draw=draw,
    example=example,
)
