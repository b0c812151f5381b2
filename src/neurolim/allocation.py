"""What of a machine this process may use: a container or a scheduler's job has a part of it.

Cores are those of the affinity, less where a quota of time is; memory is the machine's, less where
a limit is.  Linux says both in files, which control groups of either version lay out in their own
way; a group is bound by what bounds the groups around it, too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

#: Where the files of the system begin; another folder in tests.
ROOT = Path("/")


def cores(root: Path = ROOT) -> int:
    """Return how many cores this process may keep busy, at least one."""
    allowed = _allowed_cores(root) or os.cpu_count() or 1
    for folder in _groups(root, "cpu"):
        quota, period = _numbers(folder / "cpu.max")[:2] or [0, 0]
        if not period:
            quota, period = (
                next(iter(_numbers(folder / f"cpu.cfs_{word}_us")), 0)
                for word in ("quota", "period")
            )
        if quota > 0 and period > 0:
            allowed = min(allowed, max(1, quota // period))
    return allowed


def memory(root: Path = ROOT) -> int:
    """Return how many bytes of memory this process may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for line in _lines(root / "proc/meminfo"):
        name, _, words = line.partition(":")
        if name == "MemTotal":
            total = int(words.split()[0]) * 1024
    limits = [
        limit
        for folder in _groups(root, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        for limit in _numbers(folder / name)[:1]
        if limit > 0
    ]
    return min([total, *limits])


def killed_for_memory(root: Path = ROOT) -> int:
    """Return how many processes the system has killed so far because memory was full.

    Those of the control group are counted where it counts them, else those of the machine.
    """
    for folder in _groups(root, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            if counted := _count(folder / name):
                return counted
    return _count(root / "proc/vmstat")


def _count(path: Path) -> int:
    words = dict(line.split(maxsplit=1) for line in _lines(path) if " " in line)
    return int(words.get("oom_kill", 0))


def _allowed_cores(root: Path) -> int:
    """Return the number of cores in a list as 0-3,8; 0 if there is none."""
    count = 0
    for line in _lines(root / "proc/self/status"):
        name, _, words = line.partition(":")
        if name == "Cpus_allowed_list":
            for part in words.split(","):
                first, _, last = part.strip().partition("-")
                count += int(last or first) - int(first) + 1
    return count


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups of a controller, innermost first."""
    groups: dict[str, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        # In the second version all controllers share one hierarchy, which has no name.
        groups |= dict.fromkeys(controllers.split(","), group)
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        top, mount = before.split()[3:5]
        kind, _, options = after.split(maxsplit=2)
        if kind == "cgroup2" and "" in groups:
            group = groups[""]
        elif kind == "cgroup" and controller in options.split(",") and controller in groups:
            group = groups[controller]
        else:
            continue
        # A container sees the groups from its own one, which is the top of what is mounted.
        folder = root / mount.lstrip("/")
        inside = Path(group).relative_to(top) if Path(group).is_relative_to(top) else Path()
        yield from (folder / part for part in (inside, *inside.parents))


def _numbers(path: Path) -> list[int]:
    """Return the numbers of the first line of a file; "max" is no number and counts as none."""
    words = next(iter(_lines(path)), "").split()
    return [int(word) if word.lstrip("-").isdecimal() else 0 for word in words]


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    return []
