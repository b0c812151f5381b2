"""Whether the tiny studies still give the numbers they gave, array by array.

    .venv/bin/python benchmarks/same_numbers.py [--write] [--results FOLDER] [STUDY ...]

Simulates and reduces the studies at test size in this process (minutes on one core) and compares
the SHA-256 of every array of data.zip and statistics.zip with benchmarks/reference/numbers.json.
The files themselves cannot be compared across commits: they carry the digest of the code.  Products
of BLAS depend on the processor, so solvers of mean fields may differ between machines; networks
must not.  `--write` replaces the reference; say in the commit why.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

import numpy as np

from neurolim import load_study
from neurolim.pipeline.analyse import analyse
from neurolim.pipeline.collect import collect
from neurolim.pipeline.layout import layout_of
from neurolim.pipeline.simulate import simulate
from neurolim.store import store
from neurolim.study import plan as chunks

STUDIES = HERE.parent / "config" / "studies"
REFERENCE = HERE / "reference" / "numbers.json"


def solved(path: Path, results: Path) -> dict[str, str]:
    """Return the digest of every array of a study at test size by name, e.g. "data.state_mean"."""
    study = load_study(path, tiny=True)
    layout = layout_of(study, results)
    for number, runs in enumerate(chunks.plan(study).chunks):
        simulate(study, runs, layout.chunk(number))
    collect(study, results)
    analyse(study, results)
    return digests(layout.home)


def digests(home: Path) -> dict[str, str]:
    """Return the digest of every array in the files of a study's folder."""
    found = {}
    for part in ("data", "statistics"):
        dataset = store.open_dataset(home / f"{part}.zip")
        for name in sorted(map(str, dataset.data_vars)):
            array = np.ascontiguousarray(dataset[name].values)
            plain = array.astype("U") if array.dtype.kind in "OT" else array
            head = f"{plain.dtype.str} {plain.shape}".encode()
            found[f"{part}.{name}"] = hashlib.sha256(head + plain.tobytes()).hexdigest()[:16]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", help="names; all by default")
    parser.add_argument("--write", action="store_true", help="replace the reference")
    parser.add_argument("--results", type=Path, help="folder to keep the results in")
    given = parser.parse_args()
    reference = json.loads(REFERENCE.read_text()) if REFERENCE.exists() else {}
    names = given.studies or sorted(p.stem for p in STUDIES.glob("*.yaml"))
    different = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            new = solved(STUDIES / f"{name}.yaml", given.results or Path(scratch))
            old = reference.get(name, {})
            changed = sorted(key for key in new.keys() | old.keys() if new.get(key) != old.get(key))
            different += bool(changed)
            print(f"{name}: {', '.join(changed) if changed else 'the same'}", flush=True)
            reference[name] = new
    if given.write:
        REFERENCE.write_text(json.dumps(reference, indent=1, sort_keys=True) + "\n")
        return 0
    print(f"{different} of {len(names)} studies differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
