"""Models of a stranger, each with something that no registered model has, or has alone."""

from math import tau

from neurolim import Field, GapJunctions, Model, Noise, Number, State, Synapses
from neurolim.laws import Mixture, Uniform
from neurolim.math import exp, sin, tanh


def model(state, drift, summary, **parts):
    """Return a model of this file."""
    return Model(
        summary=summary, source="conformance", state=state, params=_PARAMS, drift=drift, **parts
    )


_PARAMS = (
    Number("eps", 0.1, "time", "inverse coupling strength", positive=True),
    Number("sigma", 0.3, "1/sqrt(time)", "noise", low=0.0),
)


def rate(p):
    """Return how fast gap junctions pull."""
    return 1.0 / p.eps


def conducting(x):
    """Return a channel whose noise grows with how open it is."""
    return (x.v - x.v**3 - x.w - x.g * x.v, x.v - x.w, 0.5 * tanh(x.v) - x.g, -x.s * exp(-(x.s**2)))


FOUR = model(
    (State("v", spread=0.1), State("w"), State("g", start=0.5), State("s", start=1.0)),
    conducting,
    "Four variables with noise that grows with a conductance.",
    coupling=GapJunctions("v", rate),
    noise=(
        Noise("g", lambda x, p: p.sigma * x.g),
        Noise(("v", "w"), ("sigma", lambda x: 0.1 * x.w)),
    ),
)
CIRCLE = model(
    (State("phase", law=Uniform(0.0, tau), period=tau), State("pace", start=1.0, spread=0.1)),
    lambda x: (x.pace + 0.3 * sin(x.phase), 0.0),
    "Phases on a circle, each with a pace of its own.",
    noise=Noise("phase", "sigma"),
)
WALLS = model(
    (State("v", start=0.5, spread=0.1, floor=0.0, ceiling=1.0), State("w")),
    lambda x, m: (0.4 - x.v + 0.1 * m.w, x.v - x.w),
    "A variable between two walls.",
    coupling=GapJunctions("v", rate),
    noise=Noise("v", "sigma"),
)
COMMON = model(
    (State("v", spread=0.2), State("w")),
    lambda x, t: (sin(t) - x.v - x.w, x.v - x.w),
    "A common noise, and a drift that depends on time.",
    coupling=GapJunctions("v", rate),
    noise=(Noise("v", "sigma", common=True), Noise("w", 0.1)),
)
SILENT = model(
    (State("v", spread=0.2), State("w")),
    lambda x: (x.v - x.v**3 - x.w, 0.5 * x.v - x.w),
    "No noise at all.",
    coupling=GapJunctions("v", rate),
)
STILL = model(
    (State("v", spread=0.2),),
    lambda: (0.0,),
    "Brownian motions that nothing holds.",
    noise=Noise("v", "sigma"),
)
ONE = model(
    (State("v", start=1.0, spread=0.2),),
    lambda x: (-x.v,),
    "One variable, with synapses that its own mean opens.",
    coupling=Synapses("v", lambda m, p: m.open / p.eps, lambda m, p: 0.5 * m.open / p.eps),
    fields=(Field("open", lambda x: 1.0 / (1.0 + exp(-x.v))),),
    noise=Noise("v", "sigma"),
)
EIGHT = model(
    (State("a0", spread=0.1), *(State(f"a{k}") for k in range(1, 8))),
    lambda x: (
        *(-x.a7 - x.a0, x.a0 - x.a1, x.a1 - x.a2, x.a2 - x.a3),
        *(x.a3 - x.a4, x.a4 - x.a5, x.a5 - x.a6, x.a6 - x.a7),
    ),
    "Eight variables in a ring.",
    coupling=GapJunctions("a0", rate),
    noise=Noise("a0", "sigma"),
)
LAW = model(
    (State("v", law=Mixture((1.0, -1.0, 0.1), (2.0, 1.0, 0.2))), State("w", spread=0.1)),
    lambda x: (x.v - x.v**3 - x.w, x.v - x.w),
    "An initial law of two parts.",
    coupling=GapJunctions("v", rate),
    noise=(Noise("v", "sigma"), Noise("w", "sigma")),
)
