"""The loader: endless training batches, read ahead by processes."""

import itertools
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.datasets import FlowDataset
from maskflownet.reader.loading.order import Order
from maskflownet.reader.loading.readers import Readers
from maskflownet.reader.loading.sampling import DRAWS, Sampler
from maskflownet.reader.patience import WaitBrokenOffError
from maskflownet.runtime import usable_cores

logger = logging.getLogger(__name__)

DEFAULT_WORKERS = 4  # at most; more than a training step consumes is of no use
ALWAYS_TOLERATED = 3  # bad pairs, in however small a dataset


class Batch(NamedTuple):
    """What one training step takes.

    Attributes
    ----------
    step : int
        The step, from 1.
    image1, image2 : numpy.ndarray
        uint8 (N, 3, H, W), in the colour order of the dataset.
    flow : numpy.ndarray
        float32 (N, 2, H, W), (u, v) = (x, y) in pixels.
    valid : numpy.ndarray
        uint8 (N, 1, H, W), 255 where the flow is known and 0 elsewhere.
    occluded : numpy.ndarray
        bool (N, 1, H, W), True for pixels of image 1 that image 2 does not show.
    knows_occluded : numpy.ndarray
        bool (N,), whether the data tells what is occluded; where it does not, nothing is.
    names : tuple of str
        What the pairs are called.
    samples : tuple of int
        The samples' numbers in the step's whole batch, over all ranks: with seed and step the key
        for whatever else is drawn for a sample.
    """

    step: int
    image1: np.ndarray
    image2: np.ndarray
    flow: np.ndarray
    valid: np.ndarray
    occluded: np.ndarray
    knows_occluded: np.ndarray
    names: tuple[str, ...]
    samples: tuple[int, ...]


class Loader:
    """Batches of randomly cropped and mirrored pairs, read ahead by processes.

    Which pair a sample is and how it is cut depends on (seed, step, sample) alone, neither on the
    number of workers nor on the step at which reading began. A few batches are read ahead; memory
    does not grow with the dataset. A pair that cannot be read is named in the log and replaced by
    another. The reader processes are fresh interpreters that import the main script: it must start
    what it does under `if __name__ == "__main__":`.

    Parameters
    ----------
    dataset : FlowDataset
        It is pickled for the reader processes.
    batch : int
        Pairs per step.
    crop_hw : tuple of int
        (height, width) of the samples; no pair may be smaller.
    seed : int
        0 or more.
    workers : int, optional
        Reading processes; by default one per core, four at most.
    shard : int
        Use one pair in so many.
    rank, size : int
        This is the loader `rank` (from 0) of `size` that each read their share of a step:
        together they read what one loader with `size` times the batch would.
    max_bad_share : float
        The share of pairs that may be bad before it is an error; a few always may, unless it is 0.

    Attributes
    ----------
    left_out : dict of str to str
        The pairs met so far that cannot be used, with the reason.

    Raises
    ------
    InputError
        A mixture cannot be shared out over such a batch.
    """

    def __init__(
        self,
        dataset: FlowDataset,
        batch: int,
        crop_hw: tuple[int, int],
        seed: int,
        workers: int | None = None,
        shard: int = 1,
        rank: int = 0,
        size: int = 1,
        max_bad_share: float = 0.01,
    ):
        ranges = [indices[::shard] for indices in dataset.index_ranges(batch * size)]
        self.samples = tuple(range(rank, batch * size, size))
        self.workers = min(usable_cores(), DEFAULT_WORKERS) if workers is None else workers
        self.left_out = {}
        self._sampler = Sampler(dataset, Order(seed, ranges), (crop_hw[0], crop_hw[1]))
        self._pairs = sum(map(len, set(ranges)))
        at_least = ALWAYS_TOLERATED if max_bad_share else 0
        self._tolerated = max(at_least, int(max_bad_share * self._pairs))
        # Enough for every worker to have a task and another in hand.
        self._ahead = max(2, -(-2 * self.workers // batch))

    def batches(
        self, first_step: int = 1, is_stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[Batch]:
        """Yield the batches of `first_step`, the next step and so on, without end.

        While they are waited for, `is_stopped` is asked every moment: True ends the iterator.

        The workers start with the first batch and end when the iterator is closed or let go.

        Raises
        ------
        InputError
            More pairs than tolerated cannot be used.
        ChildProcessError
            A reader process died.
        RuntimeError
            Reading failed for a reason that is no fault of the data; with its traceback.
        """
        readers = Readers(self._sampler, self.samples, self.workers, self._ahead)
        try:
            for step in range(first_step, first_step + self._ahead):
                readers.request(step)
            for step in itertools.count(first_step):
                try:
                    batch = self._collect(readers, step, is_stopped)
                except WaitBrokenOffError:
                    return
                readers.request(step + self._ahead)
                yield batch
        finally:
            readers.close()

    def _collect(self, readers, step, is_stopped):
        """Wait for a step's samples and return a copy of them as a batch."""
        outcomes = readers.collect(is_stopped)
        for outcome in outcomes:
            self._note(outcome)
        arrays = readers.arrays[step % self._ahead]
        return Batch(
            step,
            **{name: arrays[name].copy() for name in arrays.dtype.names},
            names=tuple(outcome.name for outcome in outcomes),
            samples=self.samples,
        )

    def _note(self, outcome):
        """Name the bad pairs that are new; raise InputError if there are too many."""
        for name, reason in outcome.bad:
            if name not in self.left_out:
                self.left_out[name] = reason
                logger.warning("%s is left out: %s", name, reason)
        if len(self.left_out) > self._tolerated:
            what = (
                f"{len(self.left_out)} of {self._pairs} pairs cannot be used, where "
                f"{self._tolerated} would be tolerated"
            )
        elif outcome.name is None:
            what = f"{DRAWS} pairs drawn one after the other cannot be used"
        else:
            return
        raise InputError(f"{what}; the last: {list(self.left_out.values())[-1]}")
