"""Brian2, C++ standalone: the way its manual does a mean coupling.

The network mean is a summed variable of a one-neuron group, read back through a linked variable;
method="euler", float64, compiled with -O3 -march=native -ffast-math (Brian2's default flags).
Prints nanoseconds per neuron-step of the simulation loop alone, without code generation or build.
"""

import sys

import numpy as np
from brian2 import (
    Network,
    NeuronGroup,
    Synapses,
    defaultclock,
    device,
    linked_var,
    ms,
    prefs,
    set_device,
)

n, steps, repeats = (int(word) for word in sys.argv[1:4])
set_device("cpp_standalone", build_on_run=False, directory=sys.argv[4])
prefs.devices.cpp_standalone.openmp_threads = 0
defaultclock.dt = 1 * ms  # the model's unit of time is the second

neurons = NeuronGroup(
    n,
    """
    dv/dt = (-v*(v - 4.0)*(v - 1.0) - w + 100.0*(mean - v))/second + 2**0.5*xi/second**0.5 : 1
    dw/dt = (0.1*v - 0.3*w)/second : 1
    mean : 1 (linked)
    """,
    method="euler",
)
average = NeuronGroup(1, "v : 1")
to_average = Synapses(neurons, average, "v_post = v_pre/N_pre : 1 (summed)")
to_average.connect()
neurons.mean = linked_var(average, "v", index=np.zeros(n, dtype=int))
neurons.v, neurons.w = 3.9, 1.3
network = Network(neurons, average, to_average)
network.run(steps * repeats * ms)
device.build(run=True, directory=sys.argv[4])
print(device._last_run_time / (n * steps * repeats) * 1e9)
