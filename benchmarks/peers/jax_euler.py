"""JAX on one core: a jitted scan over the steps, one fused update, threefry normals.

The other kinds of keys, rbg and unsafe_rbg, were tried and are slower on a CPU.

Prints nanoseconds per neuron-step, the median of the repeats after one for compilation.
"""

import os
import statistics
import sys
import time

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp

n, steps, repeats, precision = (int(word) for word in sys.argv[1:5])
jax.config.update("jax_enable_x64", precision == 64)
dtype = jnp.float64 if precision == 64 else jnp.float32
h, gap = dtype(1e-3), dtype(100.0)
scale = jnp.sqrt(2 * h)


def step(state, key):
    v, w = state
    slope = -v * (v - 4) * (v - 1) - w + gap * (v.mean() - v)
    fresh = v + h * slope + scale * jax.random.normal(key, (n,), dtype)
    return (fresh, w + h * (dtype(0.1) * v - dtype(0.3) * w)), None


@jax.jit
def run(state, key):
    return jax.lax.scan(step, state, jax.random.split(key, steps))[0]


state = (jnp.full(n, 3.9, dtype), jnp.full(n, 1.3, dtype))
times = []
for k in range(repeats + 1):
    begin = time.perf_counter()
    state = jax.block_until_ready(run(state, jax.random.key(k)))
    times.append(time.perf_counter() - begin)
print(statistics.median(times[1:]) / (n * steps) * 1e9)
