"""A network that learns, on a CPU: `make train-demo` trains a MaskFlownet_S on unseen scenes.

The scenes are generated, and grow more difficult in three parts (config/train_demo/). After each
hundred steps the network is tried on the same held-out scenes of the last kind; curve.png and
curve.csv show its error beside that of predicting no motion and of OpenCV's DIS. It can be stopped
at any time: the same command goes on where it was.
"""

import csv
import io
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from maskflownet.config import load_config, load_dataset_config
from maskflownet.config.files import CONFIG_DIR, ROOT
from maskflownet.config.schedule import with_schedule
from maskflownet.reader.datasets import make_dataset
from maskflownet.tasks.command_line import OneLineParser, run_program
from maskflownet.tasks.runs.log import read_rows
from maskflownet.tasks.showcase import programs
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

NETWORK = "MaskFlownet_S"
CONFIGS = "train_demo"  # where the parts' dataset configs lie in config/
PARTS = sorted(path.stem for path in (CONFIG_DIR / CONFIGS).glob("*.yaml"))
NO_MOTION, DIS = "no motion", "OpenCV's DIS"
SIZE_INCHES, DOTS_PER_INCH = (8, 4.5), 110


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.showcase.train_demo", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="FOLDER",
        type=Path,
        default=ROOT / "train_demo",
        help="where runs and curve lie, and where it goes on (default: train_demo/ in this "
        "repository)",
    )
    return parser


def main(argv=None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("train_demo", lambda: train_demo(arguments.out))


def train_demo(folder: Path) -> None:
    """Train what is not trained yet, one part after the other, and draw the curve after each."""
    held_out = make_dataset(load_dataset_config(f"{CONFIGS}/{PARTS[-1]}"), "valid")
    references = reference_errors(held_out)
    for name, error in references.items():
        logger.info("held-out scenes, %s: %.2f px", name, error)
    begin, curve = [], []
    for part in PARTS:
        command = [NETWORK, "--dataset_cfg", f"{CONFIGS}/{part}"]
        checkpoint = programs.train(command, folder / part, last_step(part), begin)
        begin = ["-c", str(checkpoint.path), "--clear_steps"]
        log = folder / part / "logs" / f"{checkpoint.run}.csv"
        curve += points(log, before=curve[-1][0] if curve else 0)
        write_curve(curve, references, folder)
    logger.info("held-out scenes, %s: %.2f px", NETWORK, curve[-1][1])
    logger.info("%s", folder / "curve.png")


def last_step(part: str) -> int:
    """Return the step at which a part ends."""
    config = with_schedule(load_config(NETWORK), load_dataset_config(f"{CONFIGS}/{part}"))
    return config.optimizer.learning_rate[-1][0]


def points(path: Path, before: int) -> list[tuple[int, float]]:
    """Return (step, validation EPE in pixels) of a part, steps counted from the first part's."""
    rows = read_rows(path)
    return [(before + int(row["steps"]), row["val_epe"]) for row in rows if "val_epe" in row]


def reference_errors(dataset) -> dict[str, float]:
    """Return the mean EPE in pixels of what has learned nothing, over a dataset."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    errors = {NO_MOTION: [], DIS: []}
    for sample in dataset:
        gray = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (sample.image1, sample.image2)]
        for name, flow in ((NO_MOTION, 0), (DIS, dis.calc(*gray, None))):
            errors[name].append(np.linalg.norm(flow - sample.flow, axis=-1).mean())
    return {name: float(np.mean(values)) for name, values in errors.items()}


def write_curve(
    curve: Sequence[tuple[int, float]], references: dict[str, float], folder: Path
) -> None:
    """Write curve.csv and curve.png, each whole."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["steps", NETWORK, *references])
    writer.writerows([step, error, *references.values()] for step, error in curve)
    with whole_file(folder / "curve.csv") as part:
        part.write_text(text.getvalue())
    with whole_file(folder / "curve.png") as part:
        draw(curve, references).savefig(part, format="png", dpi=DOTS_PER_INCH)


def draw(curve, references):
    """Return the curve, with a level line for each reference, as a matplotlib figure."""
    from matplotlib.figure import Figure  # it brings no window: pictures only

    figure = Figure(SIZE_INCHES, layout="constrained")
    axis = figure.subplots()
    axis.plot(*zip(*curve, strict=True), label=NETWORK)
    for (name, error), style in zip(references.items(), ("--", ":"), strict=True):
        axis.axhline(error, color="black", linestyle=style, linewidth=1, label=name)
    axis.set(xlabel="steps", ylabel="EPE on held-out scenes (px)", ylim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main())
