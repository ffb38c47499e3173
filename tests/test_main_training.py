"""`python main.py CONFIG` as a person runs it: on hard data, until it has learned, tried out."""

import mxnet as mx
import numpy as np
import pytest
from golden import recipe_pipeline
from main_runs import begin, log_of, only_run, rows_of, write_pairs

from maskflownet.config import load_dataset_config
from maskflownet.main import main
from maskflownet.reader.datasets import make_dataset
from maskflownet.reader.synthetic import generate
from maskflownet.tasks.runs.checkpoints import checkpoints_of
from maskflownet.tasks.showcase import programs

pytestmark = pytest.mark.usefixtures("thin_networks")

NO_GEOMETRY = {
    "angle": 0,
    "zoom": [1, 1],
    "aspect": [1, 1],
    "translation": 0,
    "relative_scale": [1, 1],
}
NO_COLOR = {
    "contrast": [0, 0],
    "brightness": 0,
    "channel": [1, 1],
    "saturation": 0,
    "hue": 0,
    "noise": [0, 0],
}


# What is hard on the numbers.


def test_nothing_valid_black_images_and_huge_flow_train_on(root):
    size = (64, 96)
    scene = generate(0, 0, size)
    black = np.zeros((*size, 3), np.uint8)
    flow = np.zeros((*size, 2), np.float32)
    unknown = np.full_like(flow, 1e10)
    unknown[:5] = np.nan
    write_pairs(
        root,
        [
            (scene.image1, scene.image2, unknown),
            (black, black, flow + np.float32([3, -2])),
            (scene.image1, scene.image2, flow + 1000),
            (black, black, unknown),
        ],
    )
    lists = {"train_list": "pairs.txt", "valid_list": "pairs.txt"}
    argv = begin(root, "--batch", 4, steps=5, dataset="list", synthetic={}, **lists)
    assert main(argv) == 0
    assert "no update" not in log_of(root)
    for column in ("epe", "loss", "val_epe"):
        assert np.isfinite(list(rows_of(root, column).values())).all()
    arrays = mx.nd.load(str(programs.newest(root).path))
    assert all(np.isfinite(array.asnumpy()).all() for array in arrays.values())


def test_a_run_that_diverges_stops_and_keeps_what_was_good(root):
    """The first checkpoint is before the rate that breaks everything."""
    rates = {"learning_rate": [[5, 1e-4], [100, 1000]]}
    assert main(begin(root, optimizer=rates, validation_steps=1000)) == 1
    log = log_of(root)
    assert "stopped: no update was possible 10 times in a row" in log
    assert "the checkpoint of step 5 is the last good one" in log
    bad = [line for line in log.splitlines() if "no update: " in line]
    assert len(bad) == 10 and all("synthetic/0/" in line for line in bad)
    assert [entry.steps for entry in checkpoints_of(only_run(root), root / "weights")] == [5]
    assert max(rows_of(root)) == 6


# Learning.


def test_training_learns(root):
    """Two fixed pairs: to below half of the error of no motion, and of where it began."""
    size = [64, 64]
    scene = load_dataset_config("synthetic_easy").synthetic.scene
    argv = begin(
        root,
        steps=50,
        optimizer={"learning_rate": [[50, 1e-3]]},
        orig_shape=size,
        synthetic={"size": size, "pairs": 2, "valid_pairs": 1, "scene": scene},
        geometry=NO_GEOMETRY,
        color=NO_COLOR,
        validation_steps=1000,
        checkpoint_steps=1000,
    )
    pairs = make_dataset(load_dataset_config(root / "tiny.yaml"), "train")
    no_motion = np.mean([np.linalg.norm(pair.flow, axis=-1).mean() for pair in pairs])
    assert main(argv) == 0
    epe = rows_of(root)
    assert epe[50] < 0.5 * min(no_motion, epe[1])  # the mean of the last steps
    loss = rows_of(root, "loss")
    assert loss[50] < 0.5 * loss[1]


# Trying it out.


@pytest.mark.parametrize(
    ("config", "given"),
    [
        ("MaskFlownet_S", None),
        pytest.param("MaskFlownet", None, marks=pytest.mark.long),
        ("MaskFlownet", "MaskFlownet_S"),
    ],
)
def test_debug_tries_everything_and_leaves_nothing(root, capsys, config, given):
    if given:
        recipe_pipeline(given).save(root / "weights" / "abcJan01-0000_4")
    before = sorted(root.rglob("*"))
    checkpoint = ["-c", "abc", "--clear_steps"] if given else []
    assert main(begin(root, "--debug", *checkpoint, config=config)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "data, steps, validation, checkpoint and resume work"
    assert [line.split(",")[0] for line in lines if line.startswith("steps=")] == [
        *("steps=1", "steps=1", "steps=2", "steps=2", "steps=3", "steps=4", "steps=4")
    ]
    assert any("is the first stage" in line for line in lines) == bool(given)
    # Nothing of a folder that goes, and the command line is not told to who has just typed it.
    assert not [line for line in lines if "maskflownet-debug" in line or "clear_steps=" in line]
    (read,) = (line for line in lines if line.startswith("read "))
    assert read.count("synthetic/0/") == 2  # a whole batch
    assert sorted(root.rglob("*")) == sorted([*before, root / "tiny.yaml"])
