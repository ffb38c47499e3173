"""A network beside what has learned nothing: predicting no motion, and OpenCV's DIS.

`python -m maskflownet.tasks.showcase.baselines [CONFIG] [-c RUN] --dataset_cfg D` scores all three
on the validation pairs of a dataset, and the flow that the network has at each coarser pyramid
level (docs/training.md says why), and prints a table. DIS (dense inverse search, Kroeger et al.,
ECCV 2016) is OpenCV's own, in its medium preset on grey images.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskflownet import metrics
from maskflownet.config import load_dataset_config
from maskflownet.config.files import ROOT
from maskflownet.config.layout import LEVELS
from maskflownet.kernels import PRECISIONS
from maskflownet.reader.datasets import make_dataset
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.command_line import OneLineParser, positive, run_program

logger = logging.getLogger(__name__)

NO_MOTION, DIS = "no motion", "OpenCV's DIS"


def no_motion(image1: np.ndarray, image2: np.ndarray) -> np.ndarray:
    """Return zero flow, float32 (H, W, 2)."""
    del image2
    return np.zeros((*image1.shape[:2], 2), np.float32)


def dis(image1: np.ndarray, image2: np.ndarray) -> np.ndarray:
    """Return the flow of OpenCV's DIS, float32 (H, W, 2), (u, v) in pixels.

    Parameters
    ----------
    image1, image2 : numpy.ndarray
        uint8 (H, W, 3), BGR.
    """
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (image1, image2)]
    return method.calc(*grey, None)


BASELINES: dict[str, Callable] = {NO_MOTION: no_motion, DIS: dis}


def reference_errors(samples: Iterable[FlowSample]) -> dict[str, float]:
    """Return the mean EPE in pixels of what has learned nothing, over all pixels of samples."""
    errors: dict[str, list] = {name: [] for name in BASELINES}
    for sample in samples:
        for name, method in BASELINES.items():
            flow = method(sample.image1, sample.image2)
            errors[name].append(np.linalg.norm(flow - sample.flow, axis=-1).mean())
    return {name: float(np.mean(values)) for name, values in errors.items()}


def compare(pipe: Any, samples: Iterable[FlowSample]) -> dict[str, dict[str, float]]:
    """Score a network and the baselines on the same pairs.

    Parameters
    ----------
    pipe : network.Pipeline
    samples : iterable of FlowSample

    Returns
    -------
    dict
        For each method, each pyramid level's flow and the network's the figures of
        `metrics.summarize`: means over pairs of each pair's mean.
    """
    coarse = [f"  level {level}" for level in LEVELS[:-1]]
    names = [*BASELINES, *coarse, pipe.config.network.class_name]
    scores: dict[str, list] = {name: [] for name in names}
    for sample in samples:
        images = sample.image1, sample.image2
        valid = sample.valid.reshape(sample.flow.shape[:2]) > 0
        flows = [method(*images) for method in BASELINES.values()]
        flows += next(pipe.predict_levels([images]))
        for name, flow in zip(names, flows, strict=True):
            scores[name].append(metrics.score_image(flow, sample.flow, valid))
    return {name: metrics.summarize(values) for name, values in scores.items()}


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.showcase.baselines", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", nargs="?", help="network config; default: read off the file")
    add("-c", "--checkpoint", metavar="RUN", help="run id or its beginning, RUN:STEPS, or a path")
    add("--dataset_cfg", metavar="D", default="synthetic", help="whose validation pairs")
    add("--pairs", metavar="N", type=positive, help="so many of them; default: all")
    add("--root", metavar="DIR", type=Path, default=ROOT, help="where weights/ lies")
    add("--precision", choices=PRECISIONS, default="float32", help="as that of main.py")
    parser.set_defaults(gpu_device=[], network="MaskFlownet", resize=None, kernels=None)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("baselines", lambda: report(arguments))


def report(arguments: argparse.Namespace) -> None:
    """Print the table that the arguments ask for."""
    from maskflownet.tasks.open_pipeline import load_pipeline

    dataset = make_dataset(load_dataset_config(arguments.dataset_cfg), "valid")
    checkpoint, pipe = load_pipeline(arguments)
    dataset.color_order = pipe.color_order or dataset.color_order
    count = min(arguments.pairs or len(dataset), len(dataset))
    figures = compare(pipe, (dataset[index] for index in range(count)))
    logger.info("%s on %d pairs of %s", checkpoint.path.name, count, arguments.dataset_cfg)
    logger.info("%-16s %8s %8s %8s", "", "EPE", ">1px %", "Fl %")
    for name, row in figures.items():
        shares = (100 * row[key] for key in ("over_1px", "fl"))
        logger.info("%-16s %8.3f %8.2f %8.2f", name, row["epe"], *shares)


if __name__ == "__main__":
    sys.exit(main())
