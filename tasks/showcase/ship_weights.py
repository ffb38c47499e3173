"""The weights that come with the project, made again: `make weights` (days on two cores).

It trains the course config/scenes/ as `make train-demo` trains its own, in the folder
scenes_training/, from the mean of what its last parts ended in the course config/scenes_far/, in
which the coarse levels learn far motion, and from the mean of its last parts config/scenes_mean/,
whose parts each end in a mean of their own checkpoints. What the last one ends in becomes
weights/scenes-S_STEPS.params, float16. Over it the course config/scenes_cascade/ trains a cascade,
weights/scenes-cascade_STEPS.params. It can be stopped at any time: the same command goes on where
it was. weights/README.md has the figures.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from maskflownet.config.files import ROOT
from maskflownet.tasks.command_line import OneLineParser, run_program
from maskflownet.tasks.open_pipeline import load
from maskflownet.tasks.runs.checkpoints import (
    SHIPPED,
    SHIPPED_CASCADE,
    SUFFIX,
    checkpoints_of,
)
from maskflownet.tasks.showcase import programs
from maskflownet.tasks.showcase.train_demo import NETWORK, last_step, parts_of, train_course

logger = logging.getLogger(__name__)

NEAR, FAR, MEAN = COURSES = "scenes", "scenes_far", "scenes_mean"
CASCADE, CASCADE_COURSE = "MaskFlownet", "scenes_cascade"  # the network, and what it is trained in
# So many of their last parts; each begins with a high rate and ends with a low one.
AVERAGED = {NEAR: 3, FAR: 2}


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.showcase.ship_weights",
        description=__doc__.split("\n")[0],
    )
    add = parser.add_argument
    add("-o", "--out", metavar="FOLDER", type=Path, default=ROOT / "scenes_training")
    add("--weights", metavar="DIR", type=Path, default=ROOT / "weights", help="where they go")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("ship_weights", lambda: ship(arguments.out, arguments.weights))


def ship(folder: Path, weights: Path) -> None:
    """Train the three courses and write what the last one ends in; then the cascade over it."""
    start = None
    for course, place in ((NEAR, folder), (FAR, folder / "far")):
        ends, curve = train_course(course, place, start)
        logger.info("held-out scenes: %.2f px", curve[-1][1])
        start = place / f"mean{SUFFIX}"
        write_half([end.path for end in ends[-AVERAGED[course] :]], start)
    for part in parts_of(MEAN):
        own = train_part(NETWORK, f"{MEAN}/{part}", folder / "mean" / part, start)
        start, before = folder / "mean" / f"{part}{SUFFIX}", start
        write_half([before, *own], start)
    steps = sum(last_step(f"{course}/{part}") for course in COURSES for part in parts_of(course))
    path = weights / f"{SHIPPED}_{steps}{SUFFIX}"
    write_half([start], path)
    logger.info("%s", path)
    (part,) = parts_of(CASCADE_COURSE)
    config = f"{CASCADE_COURSE}/{part}"
    own = train_part(CASCADE, config, folder / "cascade", path)
    path = weights / f"{SHIPPED_CASCADE}_{last_step(config, CASCADE)}{SUFFIX}"
    write_half(own, path)
    logger.info("%s", path)


def train_part(network: str, config: str, folder: Path, start: Path) -> list[Path]:
    """Train a part that ends in a mean; return its newest checkpoints, as many as are kept.

    At one rate each single checkpoint is worse than their mean (weights/README.md). A training that
    was stopped between two checkpoints has one more of them, so its mean is not quite the same.
    """
    begin = ["-c", str(start), "--clear_steps"]
    command = [network, "--dataset_cfg", config]
    end = programs.train(command, folder, last_step(config, network), begin)
    return [own.path for own in checkpoints_of(end.run, end.path.parent)]


def write_half(sources: Sequence[Path], path: Path) -> None:
    """Write the mean of checkpoints' arrays as float16, whole or not at all.

    Parameters
    ----------
    sources : sequence of pathlib.Path
        Parameter files of one network.
    path : pathlib.Path
        What to write; the loader makes float32 of it again.
    """
    sums: dict = {}
    for source in sources:
        pipe = load(source)
        for name, one in pipe.network._collect_params_with_prefix().items():
            own = one.data(pipe.ctx[0])
            sums[name] = sums[name] + own if name in sums else own.copy()

    from maskflownet.network.files.parameters import save_arrays

    half = {name: (one / len(sources)).astype("float16") for name, one in sums.items()}
    save_arrays(half, path)


if __name__ == "__main__":
    sys.exit(main())
