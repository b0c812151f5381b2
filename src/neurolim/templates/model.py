"""Hindmarsh-Rose neurons on strong gap junctions.

    dx = [ y - x^3 + 3 x^2 + current - z + (X - x)/eps ] dt + sigma dW,    X the mean of x
    dy = [ 1 - 5 x^2 - y ] dt
    dz = r [ 4 (x + 1.6) - z ] dt

Write your own equations here, and below.  Then

    neurolim check {name}.py        what is wrong, or what follows from the equations

and in a study beside this file:  model: {name}.py
"""

from neurolim import GapJunctions, Model, Noise, Number, State


# What neurons do by themselves.  Take any of t (time), x (state), m (means over the site), c (what
# arrives from other sites), p (numbers); use neurolim.math for exp, tanh, where(condition, a, b).
def drift(x, p):
    """Return dx/dt, dy/dt, dz/dt without coupling and noise, in the order of the states."""
    return (
        x.y - x.x**3 + 3.0 * x.x**2 + p.current - x.z,
        1.0 - 5.0 * x.x**2 - x.y,
        p.r * (4.0 * (x.x + 1.6) - x.z),
    )


def rate(p):
    """Return how fast gap junctions pull x to its mean."""
    return 1.0 / p.eps


MODEL = Model(
    summary="Hindmarsh-Rose neurons on strong gap junctions.",
    source="Hindmarsh & Rose 1984, eqs (2)-(4)",
    # Up to eight variables; start and spread are mean and standard deviation at time zero.
    state=(
        State("x", "voltage", start=-1.0, spread=0.1),
        State("y", "recovery"),
        State("z", "adaptation", start=2.0),
    ),
    # Numbers that a study may set, with their defaults; in the equations they are p.eps, p.r ...
    params=(
        Number("eps", 0.01, "time", "inverse coupling strength", positive=True),
        Number("r", 0.006, "1/time", "rate of the adaptation", positive=True),
        Number("current", 3.2, "1/time", "applied current"),
        Number("sigma", 0.1, "1/sqrt(time)", "noise", low=0.0),
    ),
    drift=drift,
    # Strong and linear in the state: every solver takes it exactly, at any strength.
    coupling=GapJunctions("x", rate),
    # An amplitude is a number, the name of one in p, or a function.
    noise=Noise("x", "sigma"),
)
