"""Which pair comes when: a pure function of (seed, step, sample), whoever asks and in what order.

So a run that is resumed, or read with other numbers of workers, sees what it would have seen.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# What random numbers are drawn for; each has its own stream.
_SHUFFLING, _REPLACING, _CUTTING = range(3)


class _Turn(NamedTuple):
    """A sample's place in the stream of those that are drawn from the same indices."""

    stream: int
    place: int
    per_step: int


class Order:
    """The order of the pairs.

    Samples that are drawn from the same indices share a stream, which visits every index once per
    epoch, each epoch shuffled anew. Epochs follow each other without a gap, so a batch may hold the
    end of one and the beginning of the next.

    Parameters
    ----------
    seed : int
        0 or more; another seed is another order.
    ranges : sequence of range
        For each sample of a batch, the indices from which it is drawn.
    """

    def __init__(self, seed: int, ranges: Sequence[range]):
        self.seed = seed
        self.ranges = list(ranges)
        streams = defaultdict(list)
        for sample, indices in enumerate(self.ranges):
            streams[indices].append(sample)
        self._turns = {
            sample: _Turn(stream, place, len(samples))
            for stream, samples in enumerate(streams.values())
            for place, sample in enumerate(samples)
        }
        self._epochs = {}  # the epoch that each stream is in, shuffled

    def index(self, step: int, sample: int, attempt: int = 0) -> int:
        """Return the index of a pair in the dataset.

        Parameters
        ----------
        step : int
            From 1.
        sample : int
            The place in the batch, from 0.
        attempt : int
            0 for the pair whose turn it is. If that cannot be read, 1, 2, ... name others to put in
            its place, drawn from all that could stand there.
        """
        indices = self.ranges[sample]
        if attempt:
            rng = self._rng(_REPLACING, step, sample, attempt)
            return indices[rng.integers(len(indices))]
        turn = self._turns[sample]
        epoch, place = divmod((step - 1) * turn.per_step + turn.place, len(indices))
        return indices[self._shuffled(turn.stream, epoch, len(indices))[place]]

    def cutting_rng(self, step: int, sample: int) -> np.random.Generator:
        """Return the generator that decides how a sample is cropped and flipped."""
        return self._rng(_CUTTING, step, sample)

    def _shuffled(self, stream, epoch, count):
        """Return the numbers 0 ... count - 1 in an epoch's order."""
        current, shuffled = self._epochs.get(stream, (None, None))
        if current != epoch:
            shuffled = self._rng(_SHUFFLING, stream, epoch).permutation(count)
            self._epochs[stream] = epoch, shuffled
        return shuffled

    def _rng(self, *key):
        # spawn_key, not seed + step: neighbouring seeds must not share their draws.
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
