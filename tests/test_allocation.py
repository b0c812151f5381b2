"""What of a machine may be used, in the files of bare Linux, containers and schedulers' jobs."""

from __future__ import annotations

import os

import pytest

from neurolim import allocation

GIB = 2**30
MACHINE = {
    "proc/meminfo": f"MemTotal:       {64 * 2**20} kB\nMemFree:  17 kB\n",
    "proc/self/status": "Name:\tpython\nCpus_allowed:\tff\nCpus_allowed_list:\t0-5,8,10-11\n",
}
SECOND = {
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
}
FIRST = {
    "proc/self/mountinfo": (
        "22 27 0:21 / /proc rw - proc proc rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / /sys/fs/cgroup/memory rw master:9 - cgroup cgroup rw,memory\n"
    ),
}


def root(folder, *many):
    """Return a folder as the root of a file system with these files."""
    for files in many:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "cores", "memory"),
    [
        ([], 9, 64 * GIB),
        # Version 2: a job of Slurm, bound by its own group and by one around it.
        (
            [
                SECOND,
                {
                    "proc/self/cgroup": "0::/system.slice/job_7/step_0\n",
                    "sys/fs/cgroup/system.slice/job_7/step_0/cpu.max": "max 100000\n",
                    "sys/fs/cgroup/system.slice/job_7/step_0/memory.max": "max\n",
                    "sys/fs/cgroup/system.slice/job_7/cpu.max": "450000 100000\n",
                    "sys/fs/cgroup/system.slice/job_7/memory.max": f"{4 * GIB}\n",
                    "sys/fs/cgroup/system.slice/memory.max": f"{40 * GIB}\n",
                },
            ],
            4,
            4 * GIB,
        ),
        # A container, whose own group is the top of what it sees.
        (
            [
                SECOND,
                {
                    "proc/self/cgroup": "0::/\n",
                    "sys/fs/cgroup/cpu.max": "50000 100000\n",
                    "sys/fs/cgroup/memory.max": f"{2 * GIB}\n",
                },
            ],
            1,
            2 * GIB,
        ),
        # Version 1, no limit: the number that stands for none is larger than the machine.
        (
            [
                FIRST,
                {
                    "proc/self/cgroup": "9:memory:/\n4:cpu,cpuacct:/\n1:name=systemd:/a:b\n",
                    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                },
            ],
            9,
            64 * GIB,
        ),
        # Version 1 in a container that is told its path outside.
        (
            [
                FIRST,
                {
                    "proc/self/cgroup": "9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",
                    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000\n",
                    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{3 * GIB}\n",
                },
            ],
            3,
            3 * GIB,
        ),
        # Version 1 with a part of the hierarchy mounted.
        (
            [
                {
                    "proc/self/mountinfo": (
                        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
                    ),
                    "proc/self/cgroup": "9:memory:/docker/abc/inner\n",
                    "sys/fs/cgroup/memory/inner/memory.limit_in_bytes": f"{GIB}\n",
                    "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{3 * GIB}\n",
                }
            ],
            9,
            GIB,
        ),
    ],
)
def test_cores_and_memory_are_those_of_the_allocation(tmp_path, files, cores, memory):
    folder = root(tmp_path, MACHINE, *files)
    assert allocation.cores(folder) == cores
    assert allocation.memory(folder) == memory


def test_a_system_without_such_files_has_what_the_library_says(tmp_path):
    assert allocation.cores(tmp_path) == os.cpu_count()
    assert allocation.memory(tmp_path) > 2**28
    assert allocation.killed_for_memory(tmp_path) == 0


def test_here_it_is_no_more_than_the_machine():
    assert 1 <= allocation.cores() <= len(os.sched_getaffinity(0))
    assert 2**28 < allocation.memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_who_was_killed_for_memory_is_counted_in_its_group_or_on_the_machine(tmp_path):
    folder = root(tmp_path, MACHINE, SECOND, {"proc/vmstat": "pgfault 7\noom_kill 5\n"})
    assert allocation.killed_for_memory(folder) == 5
    group = {"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.events": "oom 9\noom_kill 2\n"}
    assert allocation.killed_for_memory(root(folder, group)) == 2
