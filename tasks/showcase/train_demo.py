"""A network that learns, on a CPU: `make train-demo` trains a MaskFlownet_S on unseen scenes.

A course is a folder of dataset configs in config/, whose parts are trained one after the other,
each from the weights of the one before. Here the scenes are generated and grow more difficult in
three parts (config/train_demo/). While it trains the network is tried on held-out scenes; curve.png
and curve.csv show its error beside that of predicting no motion and of OpenCV's DIS on those of the
last part. It can be stopped at any time: the same command goes on where it was.
"""

import csv
import io
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskflownet.config import load_config, load_dataset_config
from maskflownet.config.files import CONFIG_DIR, ROOT
from maskflownet.config.schedule import with_schedule
from maskflownet.reader.datasets import make_dataset
from maskflownet.tasks.command_line import OneLineParser, run_program
from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.runs.log import read_rows
from maskflownet.tasks.showcase import programs
from maskflownet.tasks.showcase.baselines import reference_errors
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

NETWORK = "MaskFlownet_S"
COURSE = "train_demo"
SIZE_INCHES, DOTS_PER_INCH = (8, 4.5), 110


def make_parser() -> OneLineParser:
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("train_demo", lambda: train_demo(arguments.out))


def train_demo(folder: Path) -> None:
    """Train the course of `make train-demo` and say where its curve is."""
    _, curve = train_course(COURSE, folder)
    logger.info("held-out scenes, %s: %.2f px", NETWORK, curve[-1][1])
    logger.info("%s", folder / "curve.png")


def parts_of(course: str) -> list[str]:
    """Return the names of a course's dataset configs, in the order of training."""
    return sorted(path.stem for path in (CONFIG_DIR / course).glob("*.yaml"))


def train_course(
    course: str, folder: Path, weights: Path | None = None
) -> tuple[list[Checkpoint], list[tuple[int, float]]]:
    """Train what is not trained yet, one part after the other, and draw the curve after each.

    Parameters
    ----------
    course : str
        A folder in config/.
    folder : pathlib.Path
        Where runs and curve lie.
    weights : pathlib.Path, optional
        What the first part begins with; by default nothing.

    Returns
    -------
    ends : list of Checkpoint
        Each part's last.
    curve : list of (int, float)
        Steps from the first part's first on, and the EPE in pixels on that part's held-out scenes;
        without parts that train coarse levels alone.
    """
    parts = parts_of(course)
    held_out = make_dataset(load_dataset_config(f"{course}/{parts[-1]}"), "valid")
    references = reference_errors(held_out)
    for name, error in references.items():
        logger.info("held-out scenes, %s: %.2f px", name, error)
    curve, ends = [], []
    begin = ["-c", str(weights), "--clear_steps"] if weights else []
    for part in parts:
        command = [NETWORK, "--dataset_cfg", f"{course}/{part}"]
        checkpoint = programs.train(command, folder / part, last_step(f"{course}/{part}"), begin)
        begin = ["-c", str(checkpoint.path), "--clear_steps"]
        ends.append(checkpoint)
        log = folder / part / "logs" / f"{checkpoint.run}.csv"
        if not load_dataset_config(f"{course}/{part}").optimizer.finest_level:
            curve += points(log, before=curve[-1][0] if curve else 0)
            write_curve(curve, references, folder)
    return ends, curve


def last_step(dataset_config: str, network: str = NETWORK) -> int:
    """Return the step at which a part ends."""
    config = with_schedule(load_config(network), load_dataset_config(dataset_config))
    return config.optimizer.learning_rate[-1][0]


def points(path: Path, before: int) -> list[tuple[int, float]]:
    """Return (step, validation EPE in pixels) of a part, steps counted from the first part's."""
    rows = read_rows(path)
    return [(before + int(row["steps"]), row["val_epe"]) for row in rows if "val_epe" in row]


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


def draw(curve: Sequence[tuple[int, float]], references: dict[str, float]) -> Any:
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
