"""The hot loops of every model are packed: looked up in the generated machine code."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from neurolim import solve
from neurolim.kernels import euler, exponential, noise
name, scheme = sys.argv[1:]
solve(name, "particles", {}, {"n_neurons": 600, "t_end": 0.01, "records": 1, "dt": 0.01,
                              "scheme": scheme})
exact = scheme == "exponential"
step, draw = (
    (exponential.predict_site, noise.draw_variables) if exact else (euler.step_site, noise.draw)
)
print("\\n".join([*step.inspect_asm().values(), *draw.inspect_asm().values()]))
"""


def blocks(assembly):
    """Return the instructions between one label and the next; hot loops are single blocks."""
    found: list[list[str]] = [[]]
    for line in map(str.strip, assembly.splitlines()):
        if re.match(r"[.\w]+:", line):
            found.append([])
        elif line and line[0] not in ".#":
            found[-1].append(line.split()[0])
    return found


def products(block, suffix):
    """Return the number of multiplications, fused or not; sums over neurons have none."""
    pattern = re.compile(rf"v?(mul|div|fn?m(add|sub)\d+){suffix}$")
    return sum(1 for instruction in block if pattern.match(instruction))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 machine code")
@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        pytest.param("fitzhugh_nagumo", "euler_maruyama", marks=pytest.mark.ci),
        ("morris_lecar", "euler_maruyama"),
        ("linear", "euler_maruyama"),
        ("balanced", "euler_maruyama"),
        ("fitzhugh_nagumo", "exponential"),
    ],
)
def test_the_heaviest_loop_of_a_model_is_packed(name, scheme, tmp_path):
    text = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, scheme],
        # A fresh folder: code loaded from disk can not be inspected.
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    ).stdout
    found = blocks(text)
    packed = max(products(block, "pd") for block in found)
    if scheme == "euler_maruyama":
        # The loop exists a second time, neuron by neuron, for what is left over, and is unrolled
        # there up to four times.  Were it not packed, at most the uniforms' eight products were.
        scalar = max(products(block, "sd") for block in found)
        assert packed >= max(5, scalar / 4), (packed, scalar)
    else:
        # Predictor: drift, force, P1 G and C z.
        assert packed >= 12
    assert max(products(block, "ps") for block in found) >= 20, "Box-Muller is not packed"
