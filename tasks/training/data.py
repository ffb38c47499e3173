"""What a training run reads: its batches, augmented, and what it is validated on."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from maskflownet.augmentation import Augmentation
from maskflownet.config import DatasetConfig, InputError, MissingDataError
from maskflownet.config.network_size import MULTIPLE
from maskflownet.reader.datasets import FlowDataset, make_dataset
from maskflownet.reader.loading import Batch, Loader
from maskflownet.reader.read_ahead import read_ahead
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.training.plan import RunPlan

logger = logging.getLogger(__name__)

LOOKED_AT = 4  # pairs whose sizes are compared with the crop


class TrainingData(NamedTuple):
    """The data of a run.

    Attributes
    ----------
    config : config.DatasetConfig
    training_set : FlowDataset
    validation_set : FlowDataset or None
        None where that part is not there.
    loader : reader.loading.Loader
        Of the training set; its processes start with the first batch.
    """

    config: DatasetConfig
    training_set: FlowDataset
    validation_set: FlowDataset | None
    loader: Loader


def open_data(plan: RunPlan) -> TrainingData:
    """Find the data of a run; few images are read yet.

    Raises
    ------
    InputError
        The batch cannot be shared out over a mixture, or the config names no data, or none to
        validate on and `early_stopping`.
    MissingDataError
        The training data is not there.
    """
    config = plan.dataset
    training_set = make_dataset(config, "train")
    check_sizes(training_set, config)
    if plan.config.optimizer.mask_weight:
        check_occlusion(training_set, config)
    validation_set = _validation_set(config)
    if validation_set is None and config.optimizer.early_stopping:
        raise InputError(
            f"{config.path}: optimizer.early_stopping: expected data to validate on, got none (see "
            "above): give some, or leave it out"
        )
    loader = Loader(
        training_set,
        plan.record.batch,
        config.orig_shape,
        plan.record.seed,
        workers=plan.readers,
        shard=plan.record.shard,
        rank=plan.place.rank,
        size=plan.place.size,
    )
    return TrainingData(config, training_set, validation_set, loader)


def check_sizes(training_set: FlowDataset, config: DatasetConfig) -> None:
    """Warn of pairs that are smaller than the crop, going by a few of them, and of magnified ones.

    Raises
    ------
    InputError
        All of those few are smaller, or cannot be read.
    """
    crop, seen = config.orig_shape, config.target_shape
    if seen[0] > crop[0] or seen[1] > crop[1]:
        logger.warning(
            "%s: target_shape, %s, is larger than orig_shape, %s (height, width): all pairs are "
            "magnified, and their motion with them",
            *(config.path, list(seen), list(crop)),
        )
    if config.dataset == "synthetic":  # whose size stands in the config
        return

    sizes = [sample.image1.shape[:2] for sample in _some_samples(training_set)]
    too_small = [size for size in sizes if size[0] < crop[0] or size[1] < crop[1]]
    if not too_small:
        return
    lowest, narrowest = map(min, zip(*sizes, strict=True))
    fitting = [max(size // MULTIPLE * MULTIPLE, MULTIPLE) for size in (lowest, narrowest)]
    line = (
        f"{config.path}: {len(too_small)} of {len(sizes)} pairs that were looked at are smaller "
        f"than orig_shape, {list(crop)} (height, width), the smallest {lowest} high and "
        f"{narrowest} wide; write orig_shape: [{lowest}, {narrowest}] and target_shape: {fitting} "
        "or less"
    )
    if len(too_small) == len(sizes):
        raise InputError(line)
    logger.warning("%s, or such pairs are left out", line)


def check_occlusion(training_set: FlowDataset, config: DatasetConfig) -> None:
    """Raise InputError where masks shall learn what is occluded and a few pairs do not tell it."""
    if all(sample.occluded is None for sample in _some_samples(training_set)):
        raise InputError(
            f"{config.path}: optimizer.mask_weight: expected data that knows what is occluded "
            "(generated scenes, Sintel with its folder occlusions, KITTI with ground_truth: occ, "
            "FlyingChairs2), got pairs that do not: leave it out"
        )


def _some_samples(training_set):
    """Return a few pairs, spread over a set, of which some may be bad; InputError if all are."""
    looked_at = range(0, len(training_set), math.ceil(len(training_set) / LOOKED_AT))
    return good_samples(training_set, looked_at, len(looked_at))


def good_samples(dataset: FlowDataset, indices: Iterable[int], count: int) -> list[FlowSample]:
    """Return the first `count` of some pairs that can be read, or as many as there are.

    Raises
    ------
    InputError
        None of them can be read; the line is that of the last.
    """

    def sample_or_error(index):
        try:
            return dataset[index]
        except InputError as error:  # if it is not the only one, named when its turn comes
            return error

    samples, error = [], None
    reading = read_ahead(sample_or_error, indices, 1, lambda index: dataset.names[index])
    with contextlib.closing(reading):
        for one in reading:
            if isinstance(one, InputError):
                error = one
                continue
            samples.append(one)
            if len(samples) == count:
                break
    if error and not samples:
        raise error
    return samples


def _validation_set(config):
    """Return what to validate on; a person may well have the training part alone."""
    own_data = {"list": config.valid_list, "folder": config.valid_folder}
    named = own_data.get(config.dataset, config.dataset)
    if named is None and config.valid_share is None:
        logger.info(
            "%s: neither valid_%s nor valid_share, so nothing is validated",
            *(config.path, config.dataset),
        )
        return None
    try:
        return make_dataset(config, "valid")
    except MissingDataError as error:
        logger.warning("nothing is validated: %s", error)
        return None


@contextlib.contextmanager
def augmented_batches(
    data: TrainingData,
    seed: int,
    first_step: int,
    is_stopped: Callable[[], bool] = lambda: False,
    fast: bool = False,
) -> Iterator[Iterator]:
    """Within the block, read the batches of `first_step` and the steps after it.

    Whatever ends the block, no process and no thread is left. While batches are waited for,
    `is_stopped` is asked every moment: True ends the iterator. `fast` is whether the operators of
    `kernels` augment.

    Yields
    ------
    iterator of (reader.loading.Batch, (callable, callable))
        Batches with their geo_aug and color_aug (see `augmentation.Augmentation`). The random
        numbers of the next one are drawn while this one is used.
    """
    augmentation = Augmentation(data.config, seed, fast)

    def augmented(batch: Batch):
        return batch, augmentation.callables(augmentation.draw(batch.step, batch.samples))

    with (
        contextlib.closing(data.loader.batches(first_step, is_stopped)) as batches,
        contextlib.closing(read_ahead(augmented, batches, ahead=1)) as ready,
    ):
        yield ready
