"""A picture of a training run, from its CSV.

`python -m maskflownet.tasks.showcase.plot RUN_OR_CSV [-o picture.png]` draws it.
"""

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.config.files import ROOT
from maskflownet.tasks.command_line import OneLineParser, run_program
from maskflownet.tasks.runs.log import CSV_SUFFIX, read_rows
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

SIZE_INCHES = (9, 10)
DOTS_PER_INCH = 110
# Column of the CSV, title, scale.
PANELS = (
    ("epe", "training EPE (px)", "linear"),
    ("val_epe", "validation EPE (px)", "linear"),
    ("loss", "training loss", "log"),
    ("learning_rate", "learning rate", "linear"),
)
ABOVE = 1.05  # how far a panel reaches, in times of its largest value
FEW = 50  # values, which are marked each


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.showcase.plot",
        description="Draw the curves of a training run.",
    )
    add = parser.add_argument
    add("run", metavar="RUN_OR_CSV", help="run id or its beginning, or the path of its CSV")
    add("-o", "--output", metavar="FILE", type=Path, help="the picture (default: beside the CSV)")
    add("--root", metavar="DIR", type=Path, default=ROOT, help="where logs/ lies")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("plot", lambda: plot(arguments))


def plot(arguments: argparse.Namespace) -> None:
    """Write the picture of the run that the arguments name."""
    path = find_csv(arguments.run, arguments.root / "logs")
    output = arguments.output or path.with_suffix(".png")
    rows = read_rows(path)
    if not rows:
        raise InputError(f"{path}: expected the rows of a training run, got none")
    figure = draw(rows, path.stem)
    kind = output.suffix.lstrip(".").lower()
    kinds = figure.canvas.get_supported_filetypes()
    if kind not in kinds:
        raise InputError(f"-o {output}: expected a name that ends in one of .{', .'.join(kinds)}")
    with whole_file(output) as part:
        figure.savefig(part, format=kind, dpi=DOTS_PER_INCH)
    logger.info("%s", output)


def find_csv(text: str, folder: Path) -> Path:
    """Return the CSV that `text` means: a path, or the beginning of a run's id.

    Raises
    ------
    InputError
        Several runs begin with `text`: the message lists them.
    MissingDataError
        There is none; the message lists the runs that have one.
    """
    if text.endswith(CSV_SUFFIX) or Path(text).is_file():
        if not Path(text).is_file():
            raise MissingDataError(f"{text}: there is no such file")
        return Path(text)
    runs = sorted(path.stem for path in folder.glob(f"*{CSV_SUFFIX}"))
    found = [text] if text in runs else [run for run in runs if run.startswith(text)]
    if not found:
        there = f"but of: {', '.join(runs)}" if runs else "nor of another"
        raise MissingDataError(
            f"{text}: {folder} has no CSV of such a run, {there}; "
            "name the CSV, or the folder of its logs/ with --root"
        )
    if len(found) > 1:
        raise InputError(f"{text}: expected the beginning of one run, got {', '.join(found)}")
    return folder / f"{found[0]}{CSV_SUFFIX}"


def draw(rows: list[dict[str, float]], title: str) -> Any:
    """Draw each of PANELS over the steps, those without a value left out.

    Parameters
    ----------
    rows : list of dict
        As `tasks.runs.log.read_rows` gives them.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure  # it brings no window: pictures only

    panels = [panel for panel in PANELS if any(panel[0] in row for row in rows)]
    figure: Any = Figure(SIZE_INCHES, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axis, (column, name, scale) in zip(axes, panels, strict=True):
        steps, values = zip(
            *((row["steps"], row[column]) for row in rows if column in row), strict=True
        )
        axis.plot(steps, values, linewidth=1, marker="." if len(steps) <= FEW else "")
        axis.set_yscale(scale)
        if scale == "linear":
            top = max(filter(math.isfinite, values), default=0)
            axis.set_ylim(0, ABOVE * top or None)
            axis.ticklabel_format(axis="y", scilimits=(-3, 4))
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("steps")
    return figure


if __name__ == "__main__":
    sys.exit(main())
