"""Pictures of what a dataset config gives: a contact sheet, and how far the pixels move.

`python -m maskflownet.tasks.showcase.scene_sheet [--dataset_cfg synthetic.yaml] [--chairs ROOT]`,
where ROOT holds FlyingChairs (or some of its pairs), whose motion is then drawn beside.
"""

import argparse
import itertools
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from maskflownet.config.files import ROOT
from maskflownet.reader.datasets import FlowDataset
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.command_line import OneLineParser, positive, run_program

logger = logging.getLogger(__name__)

WIDTH = 224  # px, of a picture on the sheet
GUTTER = 4  # px, between pictures
HISTOGRAM_SCENES = 300
EDGES_PX = np.array([0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, np.inf])


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.showcase.scene_sheet", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--dataset_cfg", metavar="CONFIG", default="synthetic.yaml", help="which dataset config")
    add("--pairs", metavar="N", type=positive, default=6, help="rows of the contact sheet")
    add("--chairs", metavar="ROOT", type=Path, help="FlyingChairs' folder, to compare motion with")
    add("--out", metavar="FOLDER", type=Path, default=ROOT / "docs" / "images")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("scene_sheet", lambda: draw(arguments))


def draw(arguments: argparse.Namespace) -> None:
    """Write the pictures into the folder `arguments.out`."""
    from maskflownet.config import load_dataset_config
    from maskflownet.reader.datasets import make_dataset
    from maskflownet.reader.images import write_image

    config = load_dataset_config(arguments.dataset_cfg)
    dataset = make_dataset(config, "train")
    sheet = arguments.out / f"{config.name}_sheet.png"
    samples = [dataset[index] for index in range(min(arguments.pairs, len(dataset)))]
    write_image(sheet, contact_sheet(samples, dataset.color_order))
    logger.info("%s", sheet)
    if arguments.chairs:
        histogram = arguments.out / f"{config.name}_motion.png"
        write_image(histogram, motion_histogram(config.name, dataset, arguments.chairs))
        logger.info("%s", histogram)


def contact_sheet(samples: Sequence[FlowSample], color_order: str) -> np.ndarray:
    """Return a row of pictures per sample: image 1, image 2, flow, occlusion where it is known.

    Parameters
    ----------
    samples : sequence of FlowSample
        With images of one size.
    color_order : str
        Of their images, "BGR" or "RGB".

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR. Flow is coloured by the Middlebury wheel, full at the length that
        99 % of the pixels of its pair stay below; occluded pixels are white.
    """
    return cv2.vconcat([_row(sample, color_order) for sample in samples])


def _row(sample, color_order):
    """Return the pictures of one sample, side by side."""
    from maskflownet.output.flow_color import flow_to_color

    images = [sample.image1, sample.image2]
    if color_order == "RGB":
        images = [cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in images]
    full = float(np.percentile(np.linalg.norm(sample.flow, axis=-1), 99))
    pictures = [*images, flow_to_color(sample.flow, max_flow=full)]
    if sample.occluded is not None:
        occluded = sample.occluded.astype(np.uint8) * 255
        pictures.append(cv2.cvtColor(occluded, cv2.COLOR_GRAY2BGR))
    h, w = sample.image1.shape[:2]
    size_wh = (WIDTH, round(WIDTH * h / w))
    small = [cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA) for picture in pictures]
    framed = [
        cv2.copyMakeBorder(picture, 0, GUTTER, 0, GUTTER, cv2.BORDER_CONSTANT, value=(255,) * 3)
        for picture in small
    ]
    return cv2.hconcat(framed)


def motion_histogram(name: str, dataset: FlowDataset, chairs_root: Path) -> np.ndarray:
    """Return a bar chart of how far pixels move, a dataset's beside that of FlyingChairs' pairs.

    Parameters
    ----------
    name : str
        What the dataset is called.
    dataset : FlowDataset
        Its first 300 pairs are used.
    chairs_root : pathlib.Path
        A folder with FlyingChairs' layout; all of its pairs are used, up to 300.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR.

    Raises
    ------
    MissingDataError
        Where there are no pairs of FlyingChairs.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from maskflownet.reader.datasets.chairs import FlyingChairs

    chairs = FlyingChairs({"chairs": chairs_root}, "all")
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for offset, label, source in ((-0.2, name, dataset), (0.2, "FlyingChairs", chairs)):
        shares, percentiles, pairs = motion_statistics(source)
        median, most, nearly_all = percentiles
        label = (
            f"{label}, {pairs} pairs: median {median:.1f}, "
            f"90 % below {most:.0f}, 99 % below {nearly_all:.0f} px"
        )
        axes.bar(np.arange(len(shares)) + offset, 100 * shares, width=0.4, label=label)
    ticks = [f"{low:g}-{high:g}" for low, high in itertools.pairwise(EDGES_PX[:-1])]
    ticks.append(f"{EDGES_PX[-2]:g}+")
    axes.set_xticks(np.arange(len(ticks)), ticks)
    axes.set(xlabel="displacement (px)", ylabel="share of pixels (%)")
    figure.legend(loc="outside upper center")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)


def motion_statistics(dataset: FlowDataset) -> tuple[np.ndarray, np.ndarray, int]:
    """Return how far the pixels of a dataset's first 300 pairs move.

    Returns
    -------
    shares : numpy.ndarray
        float64 (10,), the share of pixels between each two of EDGES_PX.
    percentiles : numpy.ndarray
        float64 (3,), in pixels: the median, and what 90 % and 99 % stay below.
    pairs : int
        How many pairs that is.
    """
    pairs = min(len(dataset), HISTOGRAM_SCENES)
    lengths = np.concatenate([_lengths(dataset[index]) for index in range(pairs)])
    counts, _ = np.histogram(lengths, EDGES_PX)
    return counts / lengths.size, np.percentile(lengths, [50, 90, 99]), pairs


def _lengths(sample):
    """Return the length of flow at every fourth valid pixel of every fourth row."""
    valid = sample.valid[::4, ::4, 0] > 0
    return np.linalg.norm(sample.flow[::4, ::4][valid], axis=-1)


if __name__ == "__main__":
    sys.exit(main())
