"""How time and memory of a prediction grow with the images: the plot of docs/speed.md.

`python -m maskflownet.benchmark.growth` predicts generated pairs from 0.1 to 4 megapixels, each in
a process of its own, and draws the cost per megapixel. The plain graph is measured up to 1
megapixel: above that it takes half a minute per pair and goes on as it did.
"""

import logging
import sys
from itertools import product
from pathlib import Path

from maskflownet.benchmark.report import DEFAULT, SIDES, Report
from maskflownet.tasks.command_line import (
    OneLineParser,
    positive,
    run_program,
    set_threads,
    size_hw,
)
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

SECTION = "growth"
SIZES_HW = ((256, 448), (448, 1024), (768, 1344), (1088, 1920), (1536, 2688))
PLAIN_UP_TO = 1.1  # megapixels
PICTURE = Path("images") / "cost.png"  # beside the JSON
SIZE_INCHES = (9, 4)
DOTS_PER_INCH = 110
# Field of a figure, what it is called.
PANELS = (("seconds", "seconds per megapixel"), ("peak_mb", "peak memory per megapixel (MB)"))
NAMES = {"builtin": "plain", "auto": "fast"}


def measure(report: Report, sizes: list[tuple[int, int]]) -> None:
    """Measure every network, size and choice of kernels, and keep each figure at once."""
    from maskflownet.benchmark.cases import NETWORKS, Case
    from maskflownet.benchmark.isolated_case import measure_alone

    for network, size, side in product(NETWORKS, sizes, SIDES):
        megapixels = size[0] * size[1] / 1e6
        if side == "builtin" and megapixels > PLAIN_UP_TO:
            continue
        case = Case(network, "predict", size)
        alone = measure_alone(case, side)
        figures = {
            "network": network,
            "kernels": side,
            "megapixels": megapixels,
            "seconds": alone.seconds,
            "peak_mb": round(alone.peak_mb),
        }
        report.add(SECTION, f"{case.name}, {side}", figures)
        logger.info("%s, %s: %.2f s, %.0f MB", case.name, side, alone.seconds, alone.peak_mb)


def draw(figures: list[dict]):
    """Draw cost per megapixel over megapixels, a line for each network and choice of kernels.

    Parameters
    ----------
    figures : list of dict
        As `measure` keeps them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure  # it brings no window: pictures only

    lines = list(dict.fromkeys((figure["network"], figure["kernels"]) for figure in figures))
    picture = Figure(SIZE_INCHES, layout="constrained")
    for axis, (field, title) in zip(picture.subplots(1, len(PANELS)), PANELS, strict=True):
        for line in lines:
            points = sorted(
                (figure["megapixels"], figure[field] / figure["megapixels"])
                for figure in figures
                if (figure["network"], figure["kernels"]) == line
            )
            axis.plot(*zip(*points, strict=True), marker=".", label=f"{line[0]}, {NAMES[line[1]]}")
        axis.set_xscale("log")
        axis.set_xticks([0.1, 0.2, 0.5, 1, 2, 4], ["0.1", "0.2", "0.5", "1", "2", "4"])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel("megapixels")
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    axis.legend()
    return picture


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.benchmark.growth", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--sizes", metavar="H,W", type=size_hw, nargs="+", default=SIZES_HW, help="multiples of 64")
    add("--threads", metavar="N", type=positive, help="by default one per physical core")
    add("--json", metavar="FILE", type=Path, default=DEFAULT, help="where figures are kept")
    return parser


def main(argv=None) -> int:
    """Measure, and draw what there is."""
    arguments = make_parser().parse_args(argv)
    set_threads(arguments.threads)

    def body():
        report = Report(arguments.json)
        try:
            measure(report, arguments.sizes)
        finally:
            if figures := report.section(SECTION):
                path = arguments.json.parent / PICTURE
                path.parent.mkdir(exist_ok=True)
                with whole_file(path) as part:
                    picture = draw(list(figures.values()))
                    picture.savefig(part, format="png", dpi=DOTS_PER_INCH)

    return run_program("python -m maskflownet.benchmark.growth", body)


if __name__ == "__main__":
    sys.exit(main())
