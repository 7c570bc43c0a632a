"""How much memory there is, and how much this process holds, in bytes."""

import os
from pathlib import Path

import torch

_CGROUPS = (  # version 2 and 1: limit, and what cannot be given back
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.stat", "anon"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.stat", "total_rss"),
)


def free_memory(device: torch.device, most: int | None = None) -> int:
    """Return how much more memory a device has for this process.

    Args:
        device: a CPU or a GPU.
        most: what the process may hold in all, resident on a CPU or allocated on a GPU; None: as much as is free.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        return free if most is None else min(free, most - torch.cuda.memory_allocated(device))
    free = available_memory()
    return free if most is None else min(free, most - resident_memory())


def resident_memory() -> int:
    """Return what this process holds in memory; where the system does not say, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        import resource
        import sys

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> int:
    """Return what programs can still take of this machine, or of this container if that is less."""
    kib = _figure(Path("/proc/meminfo"), "MemAvailable:")
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 if kib is None else 1024 * kib]
    for limit, figures, held in _CGROUPS:
        try:
            most = int(Path(limit).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such group, or "max"
            continue
        free.append(most - (_figure(Path(figures), held) or 0))
    return max(0, min(free))


def _figure(file: Path, name: str) -> int | None:
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.split()[0] == name), None)
