"""NumPy, tuned: everything in place, one generator call a step (SFC64, ziggurat normals).

Prints nanoseconds per neuron-step, the median of the repeats.
"""

import statistics
import sys
import time

import numpy as np

n, steps, repeats = (int(word) for word in sys.argv[1:4])
h, gap, lam, a, b = 1e-3, 100.0, 4.0, 0.3, 0.1
scale = np.sqrt(2 * h)
generator = np.random.Generator(np.random.SFC64(1))
v, w = np.full(n, 3.9), np.full(n, 1.3)
slope, other, noise = np.empty(n), np.empty(n), np.empty(n)
times = []
for _ in range(repeats):
    begin = time.perf_counter()
    for _ in range(steps):
        mean = v.mean()
        np.subtract(lam + 1.0, v, out=slope)  # f(v) = ((1 + lam - v) v - lam) v
        slope *= v
        slope -= lam + gap
        slope *= v
        slope += gap * mean
        slope -= w
        slope *= h
        generator.standard_normal(out=noise)
        noise *= scale
        slope += noise
        np.multiply(v, h * b, out=other)
        w *= 1.0 - h * a
        w += other
        v += slope
    times.append(time.perf_counter() - begin)
print(statistics.median(times) / (n * steps) * 1e9)
