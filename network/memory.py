"""What fits into the memory of a CPU: pairs of a prediction, samples of a training step."""

import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

from maskflownet.config.errors import InputError
from maskflownet.config.network_size import MULTIPLE
from maskflownet.network.network_size import NetworkSize
from maskflownet.runtime import free_bytes

logger = logging.getLogger(__name__)


class Cost(NamedTuple):
    """Bytes that a network takes: weights and libraries, and per pixel that it sees of a pair."""

    besides: int
    per_pixel: int


# By class and whether the fast operators run: lines above the peak resident memory of predictions
# from 0.1 to 4 megapixels with MXNet 1.9.1 (`python -m maskflownet.benchmark.growth` measures it).
COSTS = {
    ("MaskFlownet_S", True): Cost(160_000_000, 460),
    ("MaskFlownet_S", False): Cost(160_000_000, 790),
    ("MaskFlownet", True): Cost(250_000_000, 590),
    ("MaskFlownet", False): Cost(280_000_000, 970),
}
PER_OWN_PIXEL = 100  # of the images before they are resized, and of the flow after
SHARE = 0.9  # of what is free, for a size that is sure to fit

# Bytes per pixel of one sample in a training step, by class and whether the fast operators run, and
# what a process needs besides; above the peak resident memory of steps at 320x448 with MXNet 1.9.1
# on a CPU.
STEP_BYTES_PER_PIXEL = {
    ("MaskFlownet_S", True): 3_000,
    ("MaskFlownet_S", False): 25_000,
    ("MaskFlownet", True): 4_000,
    ("MaskFlownet", False): 23_000,
}
STEP_BESIDES = 600_000_000
STEP_SHARE = 0.85  # of what is free
# What MXNet, its CPU library and CUDA say when there is none left.
SHORTAGES = ("Failed to allocate", "could not create a primitive", "out of memory")


class Room:
    """Says whether pairs fit, for one network.

    Parameters
    ----------
    class_name : str
        The network's class.
    fast : bool
        Whether the fast operators run.
    """

    def __init__(self, class_name: str, fast: bool):
        self._cost = COSTS[class_name, fast]
        self._proven = 0  # bytes for which there was room already, which MXNet keeps in part

    def check(self, sizes: Sequence[NetworkSize]) -> None:
        """Raise InputError if pairs of these sizes would not fit together.

        Parameters
        ----------
        sizes : list of network.network_size.NetworkSize
            Of the pairs of a batch.

        Raises
        ------
        InputError
            One line with what would fit.
        """
        need = self._cost.besides + sum(self._need(size, size.network_hw) for size in sizes)
        if need <= self._proven:
            return
        free = free_bytes()
        if free is not None and need > free:
            height, width = sizes[0].network_hw
            pairs = "a pair" if len(sizes) == 1 else f"{len(sizes)} pairs at a time"
            raise InputError(
                f"{pairs} of {height},{width} would need about {need / 1e9:.1f} GB of memory, and "
                f"{free / 1e9:.1f} GB are free: {self._remedy(sizes, SHARE * free)}"
            )
        self._proven = need

    def _need(self, size, network_hw):
        """Return the bytes that one pair takes if the network sees it at that size."""
        own, seen = math.prod(size.image_hw), math.prod(network_hw)
        return self._cost.per_pixel * seen + PER_OWN_PIXEL * max(0, own - seen)

    def _remedy(self, sizes, room):
        """Return what would fit into so many bytes."""
        room -= self._cost.besides
        size = max(sizes, key=lambda size: math.prod(size.image_hw))
        fitting = int(room / self._need(size, size.network_hw))
        if fitting >= 1 and len(sizes) > 1:
            return f"use --batch {fitting}"
        longer = max(size.network_hw) // MULTIPLE
        for steps in range(longer, 0, -1):
            # About the same aspect, in steps of MULTIPLE.
            lengths = [max(1, round(n / MULTIPLE * steps / longer)) for n in size.network_hw]
            height, width = (MULTIPLE * length for length in lengths)
            if self._need(size, (height, width)) <= room:
                return f"use --resize {height},{width}"
        return "no size would fit; free some memory, or scale the images down"


def shortage(error: Exception, pairs: int) -> InputError | None:
    """Say what to do where a training step failed for want of memory.

    Parameters
    ----------
    error : Exception
        What the step raised.
    pairs : int
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
        f"a step with {pairs} pairs at a time needs more memory than there is ({reason}): use a "
        "smaller --micro_batch, or a smaller target_shape in the dataset config"
    )


def micro_batch(
    batch: int,
    class_name: str,
    fast: bool,
    size_hw: tuple[int, int],
    devices: int,
    first_stage: bool = False,
) -> int:
    """Return how many of a batch's samples to hold at a time on a CPU: the most that fit.

    Warns where not even one per device may fit.

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
    first_stage : bool
        Whether a cascade's first stage is trained too.

    Returns
    -------
    int
        A divisor of `batch` and multiple of `devices`, at least `devices`.

    Raises
    ------
    InputError
        Not even one per device fits.
    """
    free = free_bytes()
    if free is None:
        return batch
    trained = {class_name, "MaskFlownet_S"} if first_stage else {class_name}
    per_pixel = sum(STEP_BYTES_PER_PIXEL[name, fast] for name in trained)
    per_sample = per_pixel * size_hw[0] * size_hw[1]
    room = (STEP_SHARE * free - STEP_BESIDES) / per_sample
    fitting = [n for n in range(devices, batch + 1, devices) if batch % n == 0 and n <= room]
    if not fitting:
        need = STEP_BESIDES + devices * per_sample
        line = (
            f"micro-batches of {devices} at {size_hw[1]}x{size_hw[0]} pixels need about "
            f"{need / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
        )
        if STEP_SHARE * need > free:  # the bytes per pixel are a little more than a step takes
            raise InputError(f"{line}: use a smaller target_shape, or free some memory")
        logger.warning("%s", line)
    return max(fitting, default=devices)
