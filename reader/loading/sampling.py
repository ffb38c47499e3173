"""One training sample: the pair whose turn it is, cropped and flipped at random."""

from typing import NamedTuple

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.datasets import FlowDataset
from maskflownet.reader.loading.order import Order
from maskflownet.reader.sample import FlowSample

DRAWS = 10  # pairs tried for one sample before giving up
FLIPPED_SHARE = 0.5


class BadPair(NamedTuple):
    """A pair that cannot be used: what it is called, and why in one line."""

    name: str
    reason: str


class Sampler(NamedTuple):
    """All that it takes to make any sample of any step.

    Attributes
    ----------
    dataset : FlowDataset
    order : Order
    crop_hw : tuple of int
        (height, width) of the samples.
    """

    dataset: FlowDataset
    order: Order
    crop_hw: tuple[int, int]

    def make(self, step: int, sample: int) -> tuple[FlowSample | None, list[BadPair]]:
        """Return a sample, and the pairs that were tried for it first and cannot be used.

        The sample is None where not one of `DRAWS` pairs can be used.
        """
        bad = []
        for attempt in range(DRAWS):
            index = self.order.index(step, sample, attempt)
            try:
                pair = self.dataset[index]
                return random_cut(pair, self.crop_hw, self.order.cutting_rng(step, sample)), bad
            except InputError as error:
                bad.append(BadPair(self.dataset.names[index], str(error)))
        return None, bad

    def first_choice(self, step: int, sample: int) -> str:
        """Return what the pair is called whose turn it is."""
        return self.dataset.names[self.order.index(step, sample)]


def random_cut(
    sample: FlowSample, crop_hw: tuple[int, int], rng: np.random.Generator
) -> FlowSample:
    """Crop a sample at a random place, and mirror every second one left to right.

    Parameters
    ----------
    sample : FlowSample
    crop_hw : tuple of int
        (height, width).
    rng : numpy.random.Generator
        Three numbers are drawn, whatever the sizes.

    Returns
    -------
    FlowSample
        Of the size `crop_hw`, its arrays views of the sample's where possible.

    Raises
    ------
    InputError
        The sample is smaller.
    """
    size_hw = sample.image1.shape[:2]
    if size_hw[0] < crop_hw[0] or size_hw[1] < crop_hw[1]:
        raise InputError(
            f"{sample.name}: expected at least {crop_hw[1]}x{crop_hw[0]} pixels (orig_shape), got "
            f"{size_hw[1]}x{size_hw[0]}; set a smaller orig_shape, or leave this pair out"
        )
    rows, columns = (
        slice(start, start + length)
        for start, length in (
            (rng.integers(size - length + 1), length)
            for size, length in zip(size_hw, crop_hw, strict=True)
        )
    )
    mirror = -1 if rng.random() < FLIPPED_SHARE else 1

    def cut(array):
        return array[rows, columns][:, ::mirror]

    return sample._replace(
        image1=cut(sample.image1),
        image2=cut(sample.image2),
        flow=cut(sample.flow) * np.float32([mirror, 1]),
        valid=cut(sample.valid),
        occluded=None if sample.occluded is None else cut(sample.occluded),
    )
