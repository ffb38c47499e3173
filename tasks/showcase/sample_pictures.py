"""The pictures of docs/predicting.md, from a generated scene.

`python -m maskflownet.tasks.showcase.sample_pictures` makes them.

They are what the weights that come with the project make of a scene that they have not seen.
"""

import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2

from maskflownet.config.files import ROOT
from maskflownet.reader.flow_files import write_flo
from maskflownet.reader.images import read_image, write_image
from maskflownet.reader.synthetic import generate
from maskflownet.tasks.command_line import OneLineParser, run_program
from maskflownet.tasks.open_pipeline import load
from maskflownet.tasks.prediction import Job, run
from maskflownet.tasks.prediction.files import place_results
from maskflownet.tasks.prediction.inputs import one_pair
from maskflownet.tasks.runs.shipped import shipped_weights

logger = logging.getLogger(__name__)

SEED, INDEX, SIZE_HW = 3, 5, (256, 384)
SHOWN = {  # the title of each picture, and its file
    "image 1": "1.png",
    "color": "1_color.png",
    "arrows": "1_arrows.png",
    "warped": "1_warped.png",
    "mask": "1_mask.png",
    "--flow: error map": "1_error.png",
}
GAP, TITLE = 6, 18  # px


def draw(folder: Path) -> None:
    """Write predict-kinds.png and predict-legend.png into `folder`."""
    sample = generate(SEED, INDEX, SIZE_HW)
    with tempfile.TemporaryDirectory() as text:
        work = Path(text)
        images = [work / "1.png", work / "2.png"]
        for path, image in zip(images, (sample.image1, sample.image2), strict=True):
            write_image(path, image)
        write_flo(work / "truth.flo", sample.flow)
        kinds = frozenset({"color", "arrows", "mask", "warped"})
        files = place_results(work / "flow", kinds, legend=True)
        run(load(shipped_weights().path), Job(one_pair(*images), files, truth=work / "truth.flo"))
        pictures = [
            read_image(work / (name if title == "image 1" else f"flow/{name}"))
            for title, name in SHOWN.items()
        ]
        legend = read_image(work / "flow" / "legend.png")
    tiles = [_titled(title, picture) for title, picture in zip(SHOWN, pictures, strict=True)]
    rows = [cv2.hconcat(tiles[start : start + 3]) for start in (0, 3)]
    for name, picture in (("kinds", cv2.vconcat(rows)), ("legend", legend)):
        path = folder / f"predict-{name}.png"
        write_image(path, picture)
        logger.info("%s", path)


def _titled(title, picture):
    white = (255, 255, 255)
    tile = cv2.copyMakeBorder(picture, TITLE, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=white)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(tile, title, (2, TITLE - 5), font, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.showcase.sample_pictures",
        description=__doc__.split("\n")[0],
    )
    parser.add_argument("--out", metavar="DIR", type=Path, default=ROOT / "docs" / "images")
    arguments = parser.parse_args(argv)
    return run_program("sample_pictures", lambda: draw(arguments.out))


if __name__ == "__main__":
    sys.exit(main())
