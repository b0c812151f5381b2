r"""How much of the synaptic currents is left uncancelled.

With E and I the depolarising and hyperpolarising synaptic currents, averaged over neurons and time,

    balance_index  = |E + I| / (|E| + |I|)          of the mean,
    neuron_balance = mean over neurons of |E_i + I_i| / (|E_i| + |I_i|)
    net_current    = E + I,          uncancelled_current = (|E| + |I|)/2.

All currents carry their gamma.  On the balance manifold E + I -> -f(v*), which no gamma amplifies,
so that the index of the mean falls like 1/gamma; a neuron strays from v* by O(gamma^{-1/2}), and so
does its own index.

Source: Sompolinsky & van Vreeswijk's balance as quoted by Quininao & Touboul 2025, abstract;
docs/balance.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from neurolim.core import Statistic
from neurolim.statistics.parts.balance import average, gaussian_balance, late, on_grid
from neurolim.statistics.parts.common import AFTER


def apply(dataset: xr.Dataset, *, after: float) -> xr.Dataset:
    """Return the indices and currents [grid, replica, site].

    Parameters
    ----------
    dataset : excitation, inhibition, neuron_index
    after : records later than this are averaged, time
    """
    chosen = late(dataset, after)
    excitation, inhibition = average(chosen["excitation"]), average(chosen["inhibition"])
    net, gross = excitation + inhibition, excitation - inhibition
    names = {
        "balance_index": (abs(net) / gross.where(gross > 0), "balance index of the mean", "1"),
        "neuron_balance": (average(chosen["neuron_index"]), "balance index of a neuron", "1"),
        "net_current": (net, "mean uncancelled synaptic current", "1/time"),
        "uncancelled_current": (0.5 * gross, "mean of |E| and |I|", "1/time"),
    }
    return on_grid(
        dataset,
        {
            name: array.assign_attrs(long_name=long_name, units=units)
            for name, (array, long_name, units) in names.items()
        },
    )


def exact() -> list[Any]:
    """Return made-up currents of 3 gamma against 3 gamma + 0.7."""
    dataset = gaussian_balance([10.0, 1000.0])
    checks = []
    for gamma in (10.0, 1000.0):
        at = {"gamma": gamma, "site": "P"}
        checks += [
            ("net_current", at, -0.7, 1e-9),
            ("balance_index", at, 0.7 / (6.0 * gamma + 0.7), 1e-12),
            ("neuron_balance", at, gamma**-0.5, 1e-12),
            ("uncancelled_current", at, 3.0 * gamma + 0.35, 1e-9),
        ]
    return [(dataset, {"after": 0.0}, checks)]


def needs(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables read."""
    return ("excitation", "inhibition", "neuron_index")


def gives(options: Mapping[str, Any], state: tuple[str, ...]) -> tuple[str, ...]:
    """Return the variables given."""
    return ("balance_index", "neuron_balance", "net_current", "uncancelled_current")


STATISTIC = Statistic(
    summary="Balance of excitation and inhibition: the share of the currents left uncancelled.",
    source="Quininao & Touboul 2025, abstract; docs/balance.md",
    options=(AFTER,),
    needs=needs,
    gives=gives,
    apply=apply,
    exact=exact,
)
