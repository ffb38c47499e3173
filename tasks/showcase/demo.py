"""The first thing to run: data, training, evaluation and pictures, in a few minutes.

`make demo` first predicts frames that no network has seen, with the weights that come with the
project: demo/frames and demo/first. Then it makes four pairs of generated scenes as a person's own
data, trains a MaskFlownet_S on them until it knows them by heart, writes its weights in the form of
the released checkpoints (legacy names), evaluates that file and predicts the pairs' flow with it.
Four pairs teach nothing about other images; they show that every part works.
"""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np

from maskflownet.config import load_config, load_dataset_config
from maskflownet.config.files import ROOT
from maskflownet.output.flow_color import flow_to_color, largest_length
from maskflownet.reader.datasets import make_dataset
from maskflownet.reader.flow_files import write_flo
from maskflownet.reader.images import write_image
from maskflownet.tasks.command_line import run_program
from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.runs.log import read_rows
from maskflownet.tasks.showcase.programs import newest, run

logger = logging.getLogger(__name__)

CONFIG = "MaskFlownet_S"
SCENES = "demo"  # the dataset config of the scenes
UNSEEN = "synthetic"  # and of those that the shipped weights are shown
FIRST_PAIRS = 2
LEGACY_RUN = "demo"
STEPS = 200
DATASET_CONFIG = """\
# Written by `make demo`: four generated pairs as a person's own data.
dataset: list
train_list: pairs/list.txt
valid_list: pairs/list.txt
batch: {batch}
orig_shape: {shape}
target_shape: {shape}
validation_steps: 1000
checkpoint_steps: 1000
optimizer:
  learning_rate: [[{steps}, 2.0e-4]]
# The same four pairs at every step, never changed.
geometry: {{angle: 0, zoom: [1, 1], aspect: [1, 1], translation: 0, relative_scale: [1, 1]}}
color:
  {{contrast: [0, 0], brightness: 0, channel: [1, 1], saturation: 0, hue: 0, noise: [0, 0]}}
"""


def write_pairs(folder: Path) -> float:
    """Write the pairs, their list and their config; return the EPE of predicting no motion."""
    scenes = load_dataset_config(SCENES)
    samples = list(make_dataset(scenes, "train"))
    lines = []
    for number, sample in enumerate(samples, start=1):
        names = [f"{number}_{part}" for part in ("img1.png", "img2.png", "flow.flo")]
        write_image(folder / "pairs" / names[0], sample.image1)
        write_image(folder / "pairs" / names[1], sample.image2)
        write_flo(folder / "pairs" / names[2], sample.flow)
        truth = flow_to_color(sample.flow, largest_length(sample.flow))
        write_image(folder / "flow" / f"{number}_img1_truth.png", truth)
        lines.append(" ".join(names))
    (folder / "pairs" / "list.txt").write_text("\n".join(lines) + "\n")
    images = [" ".join(line.split()[:2]) for line in lines]
    (folder / "pairs" / "images.txt").write_text("\n".join(images) + "\n")
    config = DATASET_CONFIG.format(
        steps=STEPS, batch=len(samples), shape=list(scenes.synthetic.size)
    )
    (folder / "pairs.yaml").write_text(config)
    return float(np.mean([np.linalg.norm(sample.flow, axis=-1).mean() for sample in samples]))


def predict_unseen(folder: Path) -> None:
    """Predict pairs of frames with the weights that come with the project."""
    dataset = make_dataset(load_dataset_config(UNSEEN), "valid")
    lines = []
    for number in range(1, FIRST_PAIRS + 1):
        sample = dataset[number]
        names = [f"{number}_{part}.png" for part in ("img1", "img2")]
        for name, image in zip(names, (sample.image1, sample.image2), strict=True):
            write_image(folder / "frames" / name, image)
        lines.append(" ".join(names))
    (folder / "frames" / "images.txt").write_text("\n".join(lines) + "\n")
    pairs = str(folder / "frames" / "images.txt")
    kinds = "flo,color,arrows,warped,mask"
    run("predict_new_data.py", str(folder / "first"), "--pairs", pairs, "--save", kinds)


def write_legacy(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint again under the legacy names that the released ones have."""
    from maskflownet import runtime  # noqa: F401  (before MXNet)

    # isort: split
    import mxnet as mx

    from maskflownet.network import get_pipeline
    from maskflownet.network.files.parameters import save_arrays

    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config(CONFIG))
    pipe.load(checkpoint.path)
    arrays = {
        name.removeprefix(pipe.network.prefix): parameter.data()
        for name, parameter in pipe.network.collect_params().items()
    }
    save_arrays(arrays, path)


def demo(folder: Path) -> int:
    """Do it all in `folder`, which is made anew; return the exit code."""
    if folder.exists():
        shutil.rmtree(folder)
    predict_unseen(folder)
    logger.info("flow of frames that the network has not seen: %s", folder / "first")
    no_motion = write_pairs(folder)
    logger.info("%d training steps follow: a minute or more on two cores", STEPS)
    root = ["--root", str(folder)]
    run("main.py", CONFIG, "--dataset_cfg", str(folder / "pairs.yaml"), *root)
    checkpoint = newest(folder)
    legacy = folder / "weights" / f"{LEGACY_RUN}_{checkpoint.steps}.params"
    write_legacy(checkpoint, legacy)
    logger.info(
        "-c %s is what run %s has learned, its arrays named as in the released checkpoints: %s",
        *(LEGACY_RUN, checkpoint.run, legacy),
    )
    common = [CONFIG, "-c", LEGACY_RUN, *root]
    run("main.py", *common, "--valid", "--dataset_cfg", str(folder / "pairs.yaml"))
    pairs = str(folder / "pairs" / "images.txt")
    kinds = "flo,color,warped"
    run("predict_new_data.py", str(folder / "flow"), *common, "--pairs", pairs, "--save", kinds)
    return report(folder, checkpoint, no_motion)


def report(folder: Path, checkpoint: Checkpoint, no_motion: float) -> int:
    """Say how far the training came; return 1 where that is not below half of no motion's EPE."""
    rows = read_rows(folder / "logs" / f"{checkpoint.run}.csv")
    epe = [row["epe"] for row in rows if "epe" in row][-1]
    logger.info(
        "training EPE %.2f px after %d steps; predicting no motion: %.2f px",
        epe,
        checkpoint.steps,
        no_motion,
    )
    logger.info("flow and pictures, beside the true flow, are in %s", folder / "flow")
    if epe < no_motion / 2:
        return 0
    logger.error("expected a training EPE below half of no motion's")
    return 1


def main() -> int:
    """Run the demo in the repository's folder demo/ and return the exit code."""
    return run_program("demo", lambda: demo(ROOT / "demo"))


if __name__ == "__main__":
    sys.exit(main())
