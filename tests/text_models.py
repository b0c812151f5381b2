"""The package's models as texts, written as they would stand in a study."""

from __future__ import annotations

from tests.texts import said_by

_RECOVERY = """
  source: the package's own file
  terms:
    gap: 1/eps
    v_spread: sigma*sqrt(eps/2)
    w_spread: recovery_noise/sqrt(2*a)
    f2: 1 + lam
    v_start_std: voltage_spread*v_spread
    w_start_std: recovery_spread*w_spread
  state:
    v: {name: voltage, start: voltage_start, spread: v_start_std, profile: v_spread}
    w: {name: recovery, start: recovery_start, spread: w_start_std, profile: w_spread}
  gap_junctions: {v: gap}
  noise: {v: sigma, w: recovery_noise}
  params:
    eps: {default: 0.01, unit: time, positive: true}
    current: 0
    a: {default: 0.3, positive: true}
    b: 0.1
    c: 0
    sigma: {default: 1.4142135623730951, positive: true}
    recovery_noise: {default: 0, low: 0}
    voltage_start: 0
    recovery_start: 0
    voltage_spread: 1
    recovery_spread: 1
"""
_POPULATIONS = """
  sites: [E, I]
  weights:
    - [weight_ee, 2*weight_ei]
    - [1.5*weight_ie, weight_ii]
  gap_junctions: {v: electrical}
  noise: {v: sigma}
  params:
    gamma: {default: 100, low: 0}
    weight_ee: 1
    weight_ei: 1
    weight_ie: 1
    weight_ii: 1
    reversal: [3, -1]
    threshold: [0.5, 0.5]
    slope: {default: [0.8, 0.8], positive: true}
    electrical: {default: [0, 0], low: 0}
    drift_constant: [0.5, 0.2]
    drift_linear: [-1]
    drift_cubic: {default: [0], high: 0}
    a: {default: [1], positive: true}
    b: [0]
    sigma: [1]
    voltage_start: [0]
    recovery_start: [0]
    voltage_spread: [0]
"""
_TEXTS = {
    "fitzhugh_nagumo": f"""{_RECOVERY}
    lam: 4
  sites: [0]
  weights: [[0]]
  drift:
    v: ((-v + f2)*v - lam)*v + (current + sum(v)) - w
    w: b*v + (c - a*w)
""",
    "linear": f"""{_RECOVERY}
    lam: 0
    leak: 1
  drift: {{v: current - leak*v - w, w: b*v - a*w + c}}
""",
    "morris_lecar": """
  terms:
    s: 0.5*(1 + tanh(steepness*(v - midpoint)))
    target: base + amplitude*s + (interaction + joint*s)*field(activation)
    v_any: voltage_start + voltage_spread*normal(v)
    v_above: where(v_any < leak_voltage, leak_voltage, v_any)
    g_any: conductance_start + conductance_spread*normal(g)
    sigma: 1.4142135623730951*noise
  state:
    v: {name: voltage, range: [leak_voltage, excitatory_voltage]}
    g: {name: conductance, unit: 1/time, floor: 0}
  fields: {activation: s}
  drift:
    v: leak*(leak_voltage - v) + g*(excitatory_voltage - v)
    g: rate*(target - g)
  noise: {g: sigma}
  initial:
    v: where(v_above > excitatory_voltage, excitatory_voltage, v_above)
    g: where(g_any < 0, -g_any, g_any)
  params: {leak: 1, leak_voltage: 1, excitatory_voltage: 2, rate: 1, base: 0.2, amplitude: 1,
    interaction: 0, joint: 0, steepness: 1, midpoint: 1.5, noise: 0.2, voltage_start: 1.5,
    conductance_start: 0.7, voltage_spread: 0, conductance_spread: 0}
""",
    "balanced": f"""{_POPULATIONS}
  terms: {{s: sigmoid((v - threshold)/slope)}}
  state:
    v: {{name: voltage, start: voltage_start, spread: voltage_spread}}
    w: {{name: recovery, start: recovery_start}}
  fields: {{activity: s, drive: s*reversal}}
  synapses: {{v: {{conductance: gamma*sum(activity), current: gamma*sum(drive)}}}}
  drift:
    v: (drift_cubic*v*v + drift_linear)*v + drift_constant - w
    w: b*v - a*w
""",
    "balanced_dynamic": f"""{_POPULATIONS}
    rise: {{default: [2], positive: true}}
    decay: {{default: [1], positive: true}}
    synapse_start: [0.3]
  terms: {{s: sigmoid((v - threshold)/slope)}}
  state:
    v: {{name: voltage, start: voltage_start, spread: voltage_spread}}
    w: {{name: recovery, start: recovery_start}}
    y: {{name: synapse, start: synapse_start}}
  fields: {{drive: y*reversal}}
  synapses: {{v: {{conductance: gamma*sum(y), current: gamma*sum(drive)}}}}
  drift:
    v: (drift_cubic*v*v + drift_linear)*v + drift_constant - w
    w: b*v - a*w
    y: rise*s*(1 - y) - decay*y
""",
}
#: Of every model of the package what a study says under ``model``.
TEXTS = {name: said_by(f"model:\n{text}")["model"] for name, text in _TEXTS.items()}
