"""The skeleton against AUTO-07p, where Debian's auto-07p and gfortran are installed."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurolim.bifurcation import closure, cycles
from neurolim.bifurcation import plane as planar
from neurolim.bifurcation.plane import Plane

LIBRARY = Path("/usr/lib/auto-07p/lib")
pytestmark = pytest.mark.skipif(
    shutil.which("gfortran") is None or not LIBRARY.is_dir(),
    reason="needs Debian's auto-07p and gfortran",
)

#: Both systems as AUTO wants them: the limit (2 equations) and the Gaussian closure (5).
FORTRAN = """
subroutine func(ndim, u, icp, par, ijac, f, dfdu, dfdp)
  integer ndim, icp(*), ijac
  double precision u(ndim), par(*), f(ndim), dfdu(ndim, *), dfdp(ndim, *), rate
  f(1) = -u(1)*(u(1) - par(4))*(u(1) - 1d0) + par(1) - u(2)
  f(2) = par(3)*u(1) - par(2)*u(2)
  if (ndim == 5) then
    rate = -3d0*u(1)**2 + 2d0*(1d0 + par(4))*u(1) - par(4) - 3d0*u(3) - par(5)
    f(1) = f(1) + (1d0 + par(4) - 3d0*u(1))*u(3)
    f(3) = 2d0*rate*u(3) - 2d0*u(4) + par(6)**2
    f(4) = (rate - par(2))*u(4) - u(5) + par(3)*u(3)
    f(5) = -2d0*par(2)*u(5) + 2d0*par(3)*u(4)
  end if
end subroutine
subroutine stpnt(ndim, u, par, t)
  integer ndim
  double precision u(ndim), par(*), t
  open(17, file='start')
  read(17, *) u, par(1:6)
  close(17)
end subroutine
subroutine bcnd
end subroutine
subroutine icnd
end subroutine
subroutine fopt
end subroutine
subroutine pvls
end subroutine
"""

CONSTANTS = {
    "ILP": 1, "ISW": 1, "IPLT": 0, "NBC": 0, "NINT": 0, "MXBF": 0, "IID": 2, "ITMX": 20, "ITNW": 9,
    "NWTN": 5, "JAC": 0, "EPSL": 1e-10, "EPSU": 1e-10, "EPSS": 1e-9, "NCOL": 4, "IADS": 1,
}  # fmt: skip
BIFURCATIONS = {"fold": 2, "hopf": 3}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Return AUTO linked with the equations."""
    home = tmp_path_factory.mktemp("auto")
    (home / "equations.f90").write_text(FORTRAN)
    objects = sorted(map(str, LIBRARY.glob("*.o")))
    subprocess.run(
        ["gfortran", "-w", "-fopenmp", "-o", "auto", "equations.f90", *objects],
        cwd=home, check=True, capture_output=True,
    )  # fmt: skip
    return home / "auto"


def auto(program, home, **constants):
    """Return AUTO's branch [points, columns] with the columns type, label, parameter, ..."""
    words = (CONSTANTS | constants).items()
    text = "".join(f"{name}={value}\n".replace("'", "") for name, value in words)
    subprocess.run(
        [program], cwd=home, input=text, text=True, check=True, capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    rows = [line.split() for line in (home / "fort.7").read_text().splitlines()]
    return np.array([[float(word) for word in row[2:]] for row in rows if row[0] != "0"])


def equilibria(program, home, plane, v, network=None, step=0.02):
    """Return AUTO's branch of equilibria from voltage v on, currents increasing."""
    state, current = [v, plane.recovery(v)], plane.current(v)
    strengths = (1.0, 0.0)
    if network is not None:
        x, current = closure.equilibrium(plane, network, v)
        state, strengths = x.tolist(), (network.coupling, network.sigma)
    numbers = [*state, current, plane.a, plane.b, 4.0, *strengths]
    (home / "start").write_text(" ".join(f"{number:.17e}" for number in numbers))
    return auto(
        program, home, NDIM=len(state), IPS=1, IRS=0, ICP=[1], NTST=50, IAD=3, ISP=2, NMX=2000,
        NPR=2000, DS=0.5 * step, DSMIN=1e-6, DSMAX=step,
    )  # fmt: skip


def first(branch, kind):
    """Return the first point of a kind."""
    return branch[branch[:, 0] == BIFURCATIONS[kind]][0]


def cycles_from(program, home, label, intervals, points):
    """Return AUTO's branch of cycles from a Hopf point: type, label, current, norm, maxima, T."""
    shutil.copy(home / "fort.8", home / "fort.3")
    return auto(
        program, home, NDIM=2, IPS=2, IRS=int(label), ICP=[1, 11], NTST=intervals, IAD=1, ISP=0,
        NMX=points, NPR=points, DS=1e-3, DSMIN=1e-8, DSMAX=0.3,
    )  # fmt: skip


def cubic(a, b):
    return Plane((0.0, -4.0, 5.0, -1.0), a, b)


def test_folds_and_hopf_points(program, tmp_path):
    plane = cubic(0.3, 0.1)
    branch = equilibria(program, tmp_path, plane, 0.2)
    assert first(branch, "fold")[2] == pytest.approx(planar.saddle_nodes(plane)[0][0], abs=1e-8)
    # At (.3, .1) fold and Hopf point are 8e-5 apart in current, .005 in voltage: shorter steps.
    for a, b, v, step in ((0.3, 0.1, 0.45, 1e-3), (0.005, 0.05, 0.2, 0.02)):
        branch = equilibria(program, tmp_path, cubic(a, b), v, step=step)
        hopf = planar.hopf_points(cubic(a, b))[0]
        assert first(branch, "hopf")[2] == pytest.approx(hopf.current, abs=1e-8)


@pytest.mark.parametrize("coupling", [100, 50, 25, 10])
def test_hopf_point_of_the_closure(program, tmp_path, coupling):
    plane, network = cubic(0.01, 0.1), closure.Network(float(coupling), 1.0)
    branch = equilibria(program, tmp_path, plane, 0.3, network)
    found = closure.hopf_currents(plane, network)[0]
    assert first(branch, "hopf")[2] == pytest.approx(found, abs=1e-8)


def test_canard_explosion(program, tmp_path):
    plane = cubic(0.005, 0.05)
    hopf = first(equilibria(program, tmp_path, plane, 0.4), "hopf")
    branch = cycles_from(program, tmp_path, hopf[1], 200, 120)
    # Cycles through half of the explosion, where the branch is vertical to 1e-9.
    middle = branch[(branch[:, 4] > 1.0) & (branch[:, 4] < 2.0), 2]
    assert len(middle) > 3
    point = planar.hopf_points(plane)[0]
    centre = np.array([point.v, plane.recovery(point.v)])

    def field(x, current):
        return planar.velocity(plane, current, x)

    start = cycles.from_hopf(field, centre, point.current, 0.01, 100)
    along = cycles.along(field, start, step=0.02, until=lambda cycle: cycle.extent()[1] > 1.2)
    found = list(along)[-1].parameter
    np.testing.assert_allclose(middle, found, rtol=0.0, atol=1e-8)


def test_fold_of_cycles(program, tmp_path):
    plane = cubic(0.03, 0.1)
    hopf = first(equilibria(program, tmp_path, plane, 0.4), "hopf")
    # AUTO needs the mesh: 25 intervals end 6e-3, 50 intervals 5e-5 away.
    least = cycles_from(program, tmp_path, hopf[1], 200, 200)[:, 2].min()
    assert least == pytest.approx(2.43838575, abs=1e-8)


def test_homoclinic_orbit(program, tmp_path):
    plane = cubic(0.3, 0.1)
    hopf = first(equilibria(program, tmp_path, plane, 0.45, step=1e-3), "hopf")
    branch = cycles_from(program, tmp_path, hopf[1], 200, 200)
    period = branch[:, 6]
    grown = next(itertools.compress(branch, period > 200.0))
    assert grown[2] == pytest.approx(planar.homoclinic_current(plane, 1.0415, 1.04216), abs=1e-6)
