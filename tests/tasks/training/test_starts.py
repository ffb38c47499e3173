"""`start` in a dataset config: which weights a run changes before it begins, and what stays."""

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest
from golden import recipe_pipeline
from main_runs import write_dataset

from maskflownet.config import InputError, load_dataset_config
from maskflownet.main import main
from maskflownet.network import starts
from maskflownet.reader.datasets import make_dataset
from maskflownet.tasks.showcase import programs
from maskflownet.tasks.training import start
from maskflownet.tasks.training.weights import START_PAIRS, first_pairs

pytestmark = pytest.mark.usefixtures("thin_networks")

SCALED = {"start": "scaled", "learning_rate": [[6, 1e-4]]}
SAID = "the random weights are scaled by what they make of the first pairs\n"
FIRST_STAGE = "5abJan01-0000"


@pytest.fixture
def begun(monkeypatch):
    """The pipelines that would be trained, in place of a training."""
    pipes = []

    def note(pipe, *rest):
        pipes.append(pipe)
        return 0

    monkeypatch.setattr(start, "train", note)
    return pipes


@pytest.fixture(scope="module")
def first_stage():
    with tempfile.TemporaryDirectory() as folder:
        recipe_pipeline("MaskFlownet_S").save(Path(folder) / f"{FIRST_STAGE}_4")
        yield Path(folder)


def train(root, *flags, config="MaskFlownet_S", **optimizer):
    dataset = write_dataset(root, optimizer=SCALED | optimizer)
    return main([config, "--dataset_cfg", str(dataset), "--root", str(root), *map(str, flags)])


def link(folder, root):
    (root / "weights").mkdir(exist_ok=True)
    for path in folder.iterdir():
        (root / "weights" / path.name).symlink_to(path)


def is_identity(network):
    weight = network.deform2.weight.data().asnumpy()
    return np.array_equal(weight[:, :, 1, 1], np.eye(len(weight)))


def weight(network, name):
    return getattr(network, name)[0].weight.data().asnumpy()


def test_a_new_training_is_scaled_where_its_data_says_so(root, begun, capsys):
    for seed in (0, 0, 1):
        assert train(root, "--seed", seed) == 0
    assert capsys.readouterr().out.count(SAID) == 3
    assert all(is_identity(pipe.network) for pipe in begun)
    first, again, other = (weight(pipe.network, "conv3a") for pipe in begun)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert train(root, start="reference") == 0
    assert SAID not in capsys.readouterr().out and not is_identity(begun[-1].network)


def test_the_first_pairs_tell_cropped_as_for_training(root, begun, monkeypatch):
    given = []
    monkeypatch.setattr(starts, "scale", lambda pipe, *images: given.extend(images))
    dataset = write_dataset(root, optimizer=SCALED, orig_shape=[64, 80])
    assert main(["MaskFlownet_S", "--dataset_cfg", str(dataset), "--root", str(root)]) == 0
    pairs = make_dataset(load_dataset_config(dataset), "train")
    for images, name in zip(given, ("image1", "image2"), strict=True):
        wanted = [getattr(pair, name)[:64, :80] for pair in pairs]
        np.testing.assert_array_equal(images, wanted)


def test_a_bad_pair_among_the_first_is_passed_over():
    image = np.zeros((4, 6, 3), np.uint8)
    pair = SimpleNamespace(image1=image, image2=image)

    class Pairs(list):
        @property
        def names(self):
            return [f"pair {number}" for number in self]

        def __getitem__(self, index):
            if index in (0, 3, 17):
                raise InputError(f"{self.names[index]} is bad")
            return pair

    def images(count):
        config = SimpleNamespace(orig_shape=(4, 4))
        return first_pairs(SimpleNamespace(training_set=Pairs(range(count)), config=config))

    assert [len(own) for own in images(20)] == 2 * [START_PAIRS]
    assert [own.shape for own in images(5)[0]] == 3 * [(4, 4, 3)]
    with pytest.raises(InputError, match="pair 0 is bad"):
        images(1)


def test_a_new_run_from_a_checkpoint_is_not_scaled(root, begun, first_stage, capsys):
    link(first_stage, root)
    assert train(root, "-c", FIRST_STAGE, "--clear_steps") == 0
    assert SAID not in capsys.readouterr().out
    for name in ("conv3a", "conv2_4", "conv3f"):
        wanted = weight(recipe_pipeline("MaskFlownet_S").network, name)
        np.testing.assert_array_equal(weight(begun[0].network, name), wanted)


def test_over_a_first_stage_the_second_alone_is_scaled(root, begun, first_stage, capsys):
    link(first_stage, root)
    assert train(root, "-c", FIRST_STAGE, "--clear_steps", config="MaskFlownet") == 0
    assert SAID in capsys.readouterr().out
    cascade = begun[0].network
    assert is_identity(cascade)
    wanted = recipe_pipeline("MaskFlownet_S").network
    own = wanted._collect_params_with_prefix()
    for name, parameter in cascade.MaskFlownet_S._collect_params_with_prefix().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), own[name].data().asnumpy())


def test_a_cascade_that_was_trained_is_not_scaled(root, begun, capsys):
    recipe_pipeline("MaskFlownet").save(root / "weights" / "ca5Jan01-0000_4")
    assert train(root, "-c", "ca5", "--clear_steps", config="MaskFlownet") == 0
    assert SAID not in capsys.readouterr().out and not is_identity(begun[0].network)


@pytest.mark.parametrize(
    "part", [{}, {"finest_level": 4}, pytest.param({"mask_weight": 0.1}, marks=pytest.mark.long)]
)
def test_a_resumed_run_equals_an_uninterrupted_one(root, part, capsys):
    whole, resumed = root / "whole", root / "resumed"
    for folder in (whole, resumed):
        folder.mkdir()
    assert train(whole, **part) == 0
    run = programs.newest(whole).run
    shutil.copytree(whole / "logs", resumed / "logs")
    (resumed / "weights").mkdir()
    for path in (whole / "weights").glob("*_4.*"):
        shutil.copy(path, resumed / "weights")
    assert capsys.readouterr().out.count(SAID) == 1
    assert main(["MaskFlownet_S", "-c", run, "--root", str(resumed)]) == 0
    assert SAID not in capsys.readouterr().out
    ends = [mx.nd.load(str(folder / "weights" / f"{run}_6.params")) for folder in (whole, resumed)]
    for name, array in ends[0].items():
        np.testing.assert_array_equal(array.asnumpy(), ends[1][name].asnumpy())


@pytest.mark.parametrize(
    "config", [pytest.param("MaskFlownet_S", marks=pytest.mark.long), "MaskFlownet"]
)
def test_debug_tries_it_too(root, config, monkeypatch, capsys):
    scaled = []
    monkeypatch.setattr(starts, "scale", lambda pipe, *images: scaled.append(images))
    assert train(root, "--debug", config=config) == 0
    # A cascade is tried without a first stage, which a real training needs.
    assert len(scaled) == (config == "MaskFlownet_S")
    assert "resume work" in capsys.readouterr().out


def test_another_start_is_refused_in_one_line(root, capsys):
    assert train(root, start="fast") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    choices = "reference, scaled, uniform, lifted, copied"
    assert f"optimizer.start: expected one of {choices}, got 'fast'" in error


def test_a_new_run_lifts_a_checkpoints_coarse_levels_and_a_continued_one_keeps_them(
    root, first_stage, begun, capsys
):
    link(first_stage, root)
    assert train(root, "-c", FIRST_STAGE, "--clear_steps", start="lifted") == 0
    assert "levels 6 to 4 begin as copies of level 3\n" in capsys.readouterr().out
    wanted = recipe_pipeline("MaskFlownet_S").network
    for name, stays in (("conv3a", True), ("conv2_4", True), ("conv4a", False), ("conv5_2", False)):
        is_alike = np.array_equal(weight(begun[0].network, name), weight(wanted, name))
        assert is_alike == stays, name
    assert train(root, "-c", FIRST_STAGE, start="lifted", learning_rate=[[9, 1e-4]]) == 0
    np.testing.assert_array_equal(weight(begun[1].network, "conv4a"), weight(wanted, "conv4a"))


def test_there_is_nothing_to_lift_without_a_checkpoint(root, capsys):
    assert train(root, start="lifted") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "tiny.yaml: optimizer.start: lifted: expected a checkpoint to begin with" in error
    assert "-c" in error and not list((root / "logs").glob("*"))


def test_a_second_stage_is_copied_from_the_first_where_it_begins_from_nothing(
    root, first_stage, begun, capsys
):
    link(first_stage, root)
    said = "the second stage begins as a copy of the first\n"
    copied = {"config": "MaskFlownet", "start": "copied"}
    assert train(root, "-c", FIRST_STAGE, "--clear_steps", **copied) == 0
    assert said in capsys.readouterr().out
    cascade = begun[0].network
    wanted = weight(cascade.MaskFlownet_S, "conv3c")
    np.testing.assert_array_equal(weight(cascade, "conv3z"), wanted)
    cascade.conv3z[0].weight.set_data(mx.nd.zeros(cascade.conv3z[0].weight.shape))
    begun[0].save(root / "weights" / "cb6Jan01-0000_4")
    assert train(root, "-c", "cb6", "--clear_steps", **copied) == 0  # its second stage is trained
    output = capsys.readouterr().out
    assert said not in output
    assert f"start: copied: the second stage of {root / 'weights' / 'cb6'}" in output
    assert not weight(begun[1].network, "conv3z").any()


def test_a_run_whose_levels_change_says_that_its_moments_do_not_fit(root, capsys):
    assert train(root, finest_level=4) == 0
    run = programs.newest(root).run
    assert train(root, "-c", run, learning_rate=[[9, 1e-4]]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "_6.states: expected moments of the 142 trained arrays" in error
    assert "optimizer.finest_level" in error and "--clear_steps begins" in error
