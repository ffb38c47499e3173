"""Several datasets in one, with a fixed share of each in every batch."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from maskflownet.config import InputError
from maskflownet.reader.datasets.base import FlowDataset


class Mixture(FlowDataset):
    """The pairs of several datasets, one dataset after the other.

    Parameters
    ----------
    parts : sequence of (FlowDataset, int)
        The datasets, and how many pairs of each batch come from each.
    """

    color_order = "mixed"

    def __init__(self, parts: Sequence[tuple[FlowDataset, int]]):
        self.parts = list(parts)
        self._ends = list(accumulate(len(dataset) for dataset, _ in self.parts))

    def __len__(self):
        return self._ends[-1]

    @property
    def names(self) -> list[str]:
        """What each pair is called, in the order of the pairs."""
        return [name for dataset, _ in self.parts for name in dataset.names]

    def __getitem__(self, index):
        index = range(len(self))[index]
        part = bisect_right(self._ends, index)
        dataset, _ = self.parts[part]
        return dataset[index - self._ends[part] + len(dataset)]

    def index_ranges(self, batch: int) -> list[range]:
        """Return, for each pair of a batch, the indices from which it is to be drawn.

        Raises
        ------
        InputError
            Where the batch cannot be shared out as the mixture wants it.
        """
        total = sum(count for _, count in self.parts)
        if batch % total:
            raise InputError(f"a batch of {batch} pairs: this mixture needs a multiple of {total}")
        return [
            range(end - len(dataset), end)
            for (dataset, count), end in zip(self.parts, self._ends, strict=True)
            for _ in range(count * batch // total)
        ]
