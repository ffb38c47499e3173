"""The augmentation of a batch: the same on whatever devices and in whatever parts."""

import pickle
from dataclasses import replace

import mxnet as mx
import numpy as np
import pytest

from maskflownet.augmentation import Augmentation
from maskflownet.config import load_dataset_config

SOURCE_HW, TARGET_HW = (72, 80), (64, 64)
COUNT = 4


@pytest.fixture(scope="module")
def config():
    return replace(load_dataset_config("chairs"), target_shape=TARGET_HW)


@pytest.fixture(scope="module")
def batch():
    """Images in [0, 1], flow and valid, as a training step hands them on."""
    rng = np.random.default_rng(0)
    image1, image2 = rng.random((2, COUNT, 3, *SOURCE_HW))
    flow = rng.normal(size=(COUNT, 2, *SOURCE_HW))
    valid = rng.random((COUNT, 1, *SOURCE_HW)) < 0.9
    return [array.astype(np.float32) for array in (image1, image2, flow, valid)]


def apply(callables, batch, ctx):
    """Return image1, image2, flow and valid as a training step gets them."""
    geo_aug, color_aug = callables
    arrays = [mx.nd.array(array, ctx) for array in batch]
    image1, image2, flow, valid = geo_aug(*arrays)
    results = (*color_aug(image1, image2), flow, valid)
    assert all(result.context == ctx for result in results)
    return [result.asnumpy() for result in results]


def whole_batch(config, batch, seed=0, step=1):
    augmentation = Augmentation(config, seed)
    return apply(augmentation.callables(augmentation.draw(step, range(COUNT))), batch, mx.cpu())


def assert_same(results, wanted):
    for result, own in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(result, own)


def test_the_results_have_the_target_size_and_range(config, batch):
    image1, image2, flow, valid = whole_batch(config, batch)
    assert image1.shape == image2.shape == (COUNT, 3, *TARGET_HW)
    assert flow.shape == (COUNT, 2, *TARGET_HW) and valid.shape == (COUNT, 1, *TARGET_HW)
    for array in (image1, image2, valid):
        assert array.min() >= 0 and array.max() <= 1 + 1e-6
    assert all(array.dtype == np.float32 for array in (image1, image2, flow, valid))


def test_a_batch_split_over_devices_gives_the_same(config, batch):
    augmentation = Augmentation(config, 0)
    callables = augmentation.callables(augmentation.draw(1, range(COUNT)))
    halves = zip(*(np.split(array, 2) for array in batch), strict=True)
    parts = [apply(callables, half, mx.cpu(i)) for i, half in enumerate(halves)]
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    assert_same(joined, whole_batch(config, batch))


@pytest.mark.parametrize("samples", [[3], [2, 0], [3, 1, 0, 2]])
def test_a_sample_comes_out_the_same_in_whatever_batch(config, batch, samples):
    augmentation = Augmentation(config, 0)
    callables = augmentation.callables(augmentation.draw(1, samples))
    results = apply(callables, [array[samples] for array in batch], mx.cpu())
    assert_same(results, [array[samples] for array in whole_batch(config, batch)])


def test_draws_survive_the_way_from_another_process(config, batch):
    augmentation = Augmentation(config, 0)
    draws = pickle.loads(pickle.dumps(augmentation.draw(1, range(COUNT))))
    results = apply(augmentation.callables(draws), batch, mx.cpu())
    assert_same(results, whole_batch(config, batch))


@pytest.mark.parametrize("change", [{"seed": 1}, {"step": 2}])
def test_another_seed_or_step_gives_something_else(config, batch, change):
    for result, own in zip(
        whole_batch(config, batch, **change), whole_batch(config, batch), strict=True
    ):
        assert not np.array_equal(result, own)


def test_more_samples_than_were_drawn_for_are_refused(config, batch):
    augmentation = Augmentation(config, 0)
    callables = augmentation.callables(augmentation.draw(1, range(COUNT)))
    apply(callables, batch, mx.cpu())
    with pytest.raises(ValueError, match="expected 4 samples as drawn for, got 8"):
        apply(callables, batch, mx.cpu())
