"""A run's batches: augmented by their own step's draws, and closed whatever ends the block."""

import contextlib
import time

import mxnet as mx
import numpy as np
import pytest
from main_runs import write_dataset, write_pairs
from training_helpers import FakeLoader, fake_run, plan_of

from maskflownet.augmentation import Augmentation
from maskflownet.config import InputError, MissingDataError
from maskflownet.reader import patience
from maskflownet.reader.datasets.lists import ListDataset
from maskflownet.reader.flow_files import write_flo
from maskflownet.reader.images import write_image
from maskflownet.tasks.training.data import augmented_batches, open_data

SEED = 5
RAMP = np.linspace(0, 1, 64 * 96, dtype=np.float32).reshape(1, 1, 64, 96)


def augmented(geo_aug, color_aug, count=2):
    """Return what both make of ramps."""
    ramp = mx.nd.array(np.broadcast_to(RAMP, (count, 3, 64, 96)))
    image1, image2, _, _ = geo_aug(ramp, ramp, ramp[:, :2] * 0, ramp[:, :1] * 0 + 1)
    return np.stack([image.asnumpy() for image in color_aug(image1, image2)])


def test_each_step_has_its_own_augmentation_whatever_step_reading_began_at(tmp_path):
    _, data = fake_run(tmp_path)
    seen = {}
    for first in (1, 3):
        with augmented_batches(data, SEED, first) as batches:
            for step in range(first, 5):
                batch, callables = next(batches)
                assert batch.step == step
                result = augmented(*callables)
                np.testing.assert_array_equal(result, seen.setdefault(step, result))
    own = Augmentation(data.config, SEED)
    wanted = augmented(*own.callables(own.draw(3, (0, 1))))
    np.testing.assert_array_equal(seen[3], wanted)
    assert (seen[3] != seen[4]).any() and (seen[3][:, 0] != seen[3][:, 1]).any()
    other = Augmentation(data.config, SEED + 1)
    assert (augmented(*other.callables(other.draw(3, (0, 1)))) != wanted).any()


def test_what_augments_is_what_is_said(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(
        "maskflownet.tasks.training.data.Augmentation", lambda *how: made.append(how)
    )
    _, data = fake_run(tmp_path)
    for fast in (False, True):
        with augmented_batches(data, SEED, 1, fast=fast):
            pass
    assert made == [(data.config, SEED, False), (data.config, SEED, True)]


def test_early_stopping_wants_something_to_validate_on(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    write_pairs(tmp_path, [(image, image, np.zeros((64, 96, 2), np.float32))])
    own = {"dataset": "list", "train_list": "pairs.txt"}
    for optimizer, said in (
        ({}, None),
        ({"early_stopping": 2}, "early_stopping: expected"),
    ):
        plan = plan_of(write_dataset(tmp_path, **own, optimizer=optimizer))
        with pytest.raises(InputError, match=said) if said else contextlib.nullcontext():
            assert open_data(plan).validation_set is None


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, InputError])
def test_whatever_ends_the_block_the_loader_is_closed(tmp_path, error):
    loader = FakeLoader()
    _, data = fake_run(tmp_path, loader)

    def use():
        with augmented_batches(data, SEED, 1) as batches:
            next(batches)
            assert loader.is_open
            if error:
                raise error

    if error:
        with pytest.raises(error):
            use()
    else:
        use()
    assert not loader.is_open


def own_data(folder, **lists):
    """Write a dataset config of a person's own pair, and return a plan for it."""
    image = np.zeros((64, 96, 3), np.uint8)
    write_pairs(folder, [(image, image, np.zeros((64, 96, 2), np.float32))])
    return plan_of(write_dataset(folder, dataset="list", synthetic={}, **lists))


def test_a_persons_own_data_need_not_have_a_part_to_validate_on(tmp_path):
    data = open_data(own_data(tmp_path, train_list="pairs.txt"))
    assert (len(data.training_set), data.validation_set) == (1, None)
    plan = own_data(tmp_path, train_list="pairs.txt", valid_list="pairs.txt")
    assert len(open_data(plan).validation_set) == 1
    with pytest.raises(InputError, match="train_list"):
        open_data(own_data(tmp_path, valid_list="pairs.txt"))


def test_a_missing_validation_part_is_told_and_training_goes_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MASKFLOWNET_CHAIRS", str(tmp_path))
    plan = plan_of("chairs", batch=4)
    with pytest.raises(MissingDataError, match="chairs"):
        open_data(plan)
    (tmp_path / "FlyingChairs_train_val.txt").write_text("1\n")
    image = np.zeros((384, 512, 3), np.uint8)
    for name in ("img1.ppm", "img2.ppm"):
        write_image(tmp_path / "data" / f"00001_{name}", image)
    write_flo(tmp_path / "data/00001_flow.flo", np.zeros((384, 512, 2), np.float32))
    data = open_data(plan)
    assert len(data.training_set) == 1 and data.validation_set is None
    (message,) = caplog.messages
    assert message.startswith("nothing is validated: ") and str(tmp_path) in message


def test_waiting_for_the_first_pairs_is_told(tmp_path, monkeypatch, caplog):
    for name, seconds in {"LOOK_S": 0.02, "TOLD_AFTER_S": 0.2}.items():
        monkeypatch.setattr(patience, name, seconds)
    plan, read = own_data(tmp_path, train_list="pairs.txt"), ListDataset.__getitem__

    def late(*arguments):
        time.sleep(0.5)
        return read(*arguments)

    monkeypatch.setattr(ListDataset, "__getitem__", late)
    assert len(open_data(plan).training_set) == 1
    assert caplog.messages[0].startswith("waiting since 0 s for pairs.txt:1 0_1.png: see to the ")


def test_the_plan_reaches_the_loader(tmp_path):
    dataset = write_dataset(tmp_path, synthetic={"size": [64, 96], "pairs": 9})
    data = open_data(plan_of(dataset, 4, SEED, shard=3, readers=1))
    batches = data.loader.batches()
    seen = {name for _ in range(3) for name in next(batches).names}
    batches.close()
    assert data.loader.workers == 1
    assert seen == {f"synthetic/0/{scene}" for scene in (0, 3, 6)}
