"""The two stages learn: eight fixed pairs to less than a pixel, and the cascade over that."""

import itertools

import numpy as np
import pytest
from main_runs import write_dataset
from training_helpers import plan_of

from maskflownet.config import load_dataset_config
from maskflownet.reader.datasets import make_dataset
from maskflownet.tasks.training.weights import make_pipeline

RATE = 2e-4
WINDOW = 20  # steps, over which the EPE is averaged
SCENES = {
    "seed": 3,
    "size": [128, 192],
    "pairs": 8,
    "scene": {
        "shapes": [2, 5],
        "shape_size": [0.15, 0.4],
        "background_motion_px": 2,
        "shape_motion_px": 3,
        "motion_spread": 0.5,
        "bend_share": 0,
        "max_motion_px": 8,
    },
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    shape = {"orig_shape": [128, 192], "target_shape": [128, 192], "batch": 8}
    path = write_dataset(tmp_path_factory.mktemp("learning"), synthetic=SCENES, **shape)
    return list(make_dataset(load_dataset_config(path), "train"))


def new_pipeline(config):
    pipe = make_pipeline(plan_of("chairs", config=config))
    pipe.trainer.set_learning_rate(RATE)
    return pipe


def epes(pipe, pairs):
    """Train on all pairs at each step, unchanged; yield each step's EPE."""
    batch = [
        np.stack([getattr(pair, name).transpose(2, 0, 1) for pair in pairs])
        for name in ("image1", "image2", "flow")
    ]
    while True:
        figures = pipe.train_batch(*batch, lambda *arrays: arrays, lambda *images: images)
        yield figures["epe"]


def until_below(wanted, pipe, pairs, most_steps):
    """Train until the mean EPE of the last steps is that low; return that mean and the steps."""
    seen = []
    for epe in itertools.islice(epes(pipe, pairs), most_steps):
        seen.append(epe)
        if len(seen) >= WINDOW and np.mean(seen[-WINDOW:]) < wanted:
            break
    print(f"EPE {np.mean(seen[-WINDOW:]):.3f} px over the last of {len(seen)} steps")
    return np.mean(seen[-WINDOW:]), len(seen)


@pytest.mark.long
def test_eight_pairs_are_learned_and_the_cascade_does_no_worse(pairs, tmp_path):
    still = np.mean([np.linalg.norm(pair.flow, axis=-1).mean() for pair in pairs])
    assert 2 < still < 8  # predicting no motion would not do
    first = new_pipeline("MaskFlownet_S")
    epe, _ = until_below(1, first, pairs, most_steps=250)
    assert epe < 1
    columns = [[getattr(pair, name) for pair in pairs] for name in ("image1", "image2", "flow")]
    frozen = first.validate(*columns)
    print(f"no motion {still:.3f} px; first stage {frozen:.3f} px")
    first.save(tmp_path / "first")
    cascade = new_pipeline("MaskFlownet")
    cascade.load_head(tmp_path / "first.params")
    epe, _ = until_below(frozen, cascade, pairs, most_steps=60)
    assert epe < frozen
    assert cascade.network.MaskFlownet_S.conv3a[0].weight.grad_req == "null"
