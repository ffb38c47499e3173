"""Whether a prediction fits into the memory of a CPU, asked before it is begun."""

import math
from typing import NamedTuple

from config.errors import InputError
from network.resizing import MULTIPLE
from runtime import free_bytes


class Cost(NamedTuple):
    """Bytes that a network takes: weights and libraries, and per pixel that it sees of a pair."""

    besides: int
    per_pixel: int


# By class and whether the fast operators run: lines above the peak resident memory of predictions
# from 0.1 to 4 megapixels with MXNet 1.9.1 (`python -m benchmark.growth` measures it).
COSTS = {
    ("MaskFlownet_S", True): Cost(160_000_000, 460),
    ("MaskFlownet_S", False): Cost(160_000_000, 790),
    ("MaskFlownet", True): Cost(250_000_000, 590),
    ("MaskFlownet", False): Cost(280_000_000, 970),
}
PER_OWN_PIXEL = 100  # of the images before they are resized, and of the flow after
SHARE = 0.9  # of what is free, for a size that is sure to fit


class Room:
    """Says whether pairs fit, for one network.

    Parameters
    ----------
    class_name : str
        The network's class.
    fast : bool
        Whether the fast operators run.
    """

    def __init__(self, class_name, fast):
        self._cost = COSTS[class_name, fast]
        self._proven = 0  # bytes for which there was room already, which MXNet keeps in part

    def check(self, sizes):
        """Raise InputError if pairs of these sizes would not fit together.

        Parameters
        ----------
        sizes : list of network.resizing.NetworkSize
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
