"""How many training samples fit into memory, so that a batch can be split into parts."""

import logging

from config.errors import InputError
from runtime import free_bytes

logger = logging.getLogger(__name__)

# Bytes per pixel of one sample in a training step, by class and whether the fast operators run, and
# what a process needs besides; above the peak resident memory of steps at 320x448 with MXNet 1.9.1
# on a CPU.
BYTES_PER_PIXEL = {
    ("MaskFlownet_S", True): 3_000,
    ("MaskFlownet_S", False): 25_000,
    ("MaskFlownet", True): 4_000,
    ("MaskFlownet", False): 23_000,
}
BESIDES = 600_000_000
SHARE = 0.85  # of what is free
# What MXNet, its CPU library and CUDA say when there is none left.
SHORTAGES = ("Failed to allocate", "could not create a primitive", "out of memory")


def shortage(error: Exception, part: int) -> InputError | None:
    """Say what to do where a training step failed for want of memory.

    Parameters
    ----------
    error : Exception
        What the step raised.
    part : int
        Pairs in memory at a time.

    Returns
    -------
    config.errors.InputError or None
        None if the error is of another kind.
    """
    reason = (str(error).strip().splitlines() or [""])[-1]
    if not any(sign in reason for sign in SHORTAGES):
        return None
    return InputError(
        f"a step with {part} pairs at a time needs more memory than there is ({reason}): use a "
        "smaller --micro_batch, or a smaller target_shape in the dataset config"
    )


def micro_batch(
    batch: int, class_name: str, fast: bool, size_hw: tuple[int, int], devices: int
) -> int:
    """Return how many of a batch's samples to hold at a time on a CPU: the most that fit.

    Warns where not even one per device does.

    Parameters
    ----------
    batch : int
        A multiple of `devices`.
    class_name : str
        The network's class.
    fast : bool
        Whether the fast operators run.
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
    per_sample = BYTES_PER_PIXEL[class_name, fast] * size_hw[0] * size_hw[1]
    room = (SHARE * free - BESIDES) / per_sample
    fitting = [n for n in range(devices, batch + 1, devices) if batch % n == 0 and n <= room]
    if not fitting:
        logger.warning(
            "parts of %d at %dx%d pixels need about %.1f GB of memory, and %.1f GB are free",
            devices,
            *reversed(size_hw),
            (BESIDES + devices * per_sample) / 1e9,
            free / 1e9,
        )
    return max(fitting, default=devices)
