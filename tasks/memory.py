"""How many training samples fit into memory, so that a batch can be split into parts."""

from pathlib import Path

# Bytes per pixel of one sample in a training step, and what a process needs besides; measured as
# the peak resident memory of steps at 320x448 with MXNet 1.9.1 on a CPU.
BYTES_PER_PIXEL = {"MaskFlownet_S": 25_000, "MaskFlownet": 23_000}
BESIDES = 600_000_000
SHARE = 0.85  # of what is free


def free_bytes() -> int | None:
    """Return how much memory this process may still take, or None where that is not known."""
    free = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free.append(int(fields["MemAvailable"].split()[0]) * 1024)
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and limit.read_text().strip() != "max":
        free.append(int(limit.read_text()) - int(used.read_text()))
    return min(free, default=None)


def micro_batch(batch: int, class_name: str, size_hw: tuple[int, int], devices: int) -> int:
    """Return how many of a batch's samples to hold at a time on a CPU: the most that fit.

    Parameters
    ----------
    batch : int
        A multiple of `devices`.
    class_name : str
        The network's class.
    size_hw : tuple of int
        Of the samples after augmentation.
    devices : int
        That share the machine's memory.

    Returns
    -------
    int
        A divisor of `batch` and multiple of `devices`, at least `devices`.
    """
    free = free_bytes()
    if free is None:
        return batch
    pixels = size_hw[0] * size_hw[1]
    room = (SHARE * free - BESIDES) / (BYTES_PER_PIXEL[class_name] * pixels)
    fitting = [n for n in range(devices, batch + 1, devices) if batch % n == 0 and n <= room]
    return max(fitting, default=devices)
