"""The weights that come with the project, made again: `make weights` (days on two cores).

It trains the course config/scenes/ as `make train-demo` trains its own, in the folder
scenes_training/, and then writes the mean of what its last parts ended in as float16,
weights/scenes-S_STEPS.params. It can be stopped at any time: the same command goes on where it was.
weights/README.md has the figures.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from maskflownet.config.files import ROOT
from maskflownet.tasks.command_line import OneLineParser, run_program
from maskflownet.tasks.open_pipeline import load
from maskflownet.tasks.runs.checkpoints import SUFFIX
from maskflownet.tasks.runs.shipped import RUN
from maskflownet.tasks.showcase.train_demo import last_step, parts_of, train_course
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

COURSE = "scenes"
AVERAGED = 3  # parts; each begins with a high rate and ends with a low one


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
    """Train the course and write the mean of the weights that its last parts ended in."""
    ends, curve = train_course(COURSE, folder)
    logger.info("held-out scenes: %.2f px", curve[-1][1])
    steps = sum(last_step(f"{COURSE}/{part}") for part in parts_of(COURSE))
    path = weights / f"{RUN}_{steps}{SUFFIX}"
    write_half([checkpoint.path for checkpoint in ends[-AVERAGED:]], path)
    logger.info("%s", path)


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

    from mxnet import nd

    half = {name: (one / len(sources)).astype("float16") for name, one in sums.items()}
    with whole_file(path) as part:
        nd.save(str(part), half)


if __name__ == "__main__":
    sys.exit(main())
