"""The pictures of docs/predicting.md, from a generated scene.

`python -m maskflownet.tasks.showcase.sample_pictures` makes them.

The true flow, blurred as a network blurs edges, stands in for a prediction: the pictures show what
each kind of result looks like, not how good a checkpoint is.
"""

import logging
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from maskflownet.config.files import ROOT
from maskflownet.reader.flow_files import write_flo
from maskflownet.reader.images import read_image, write_image
from maskflownet.reader.sample import FlowSample
from maskflownet.reader.synthetic import generate
from maskflownet.tasks.command_line import OneLineParser, run_program
from maskflownet.tasks.prediction import Job, run
from maskflownet.tasks.prediction.files import place_results
from maskflownet.tasks.prediction.inputs import one_pair

logger = logging.getLogger(__name__)

SEED, INDEX, SIZE_HW = 3, 5, (128, 208)
BLUR_PX = 1.5
SHOWN = {  # the title of each picture, and its file
    "image 1": "1.png",
    "color": "1_color.png",
    "arrows": "1_arrows.png",
    "warped": "1_warped.png",
    "mask": "1_mask.png",
    "--flow: error map": "1_error.png",
}
GAP, TITLE = 6, 18  # px


class StandIn(NamedTuple):
    """A pipeline that knows the answer, and blurs it."""

    sample: FlowSample

    def predict_pairs(self, pairs, batch_size=1, resize=None, wanted=()):
        """Yield the blurred truth for every pair; see `network.Pipeline.predict_pairs`."""
        from maskflownet.network import Prediction

        for _, image2 in pairs:
            flow = cv2.GaussianBlur(self.sample.flow, (0, 0), BLUR_PX)
            visible = np.float32(~self.sample.occluded)
            mask = cv2.GaussianBlur(visible, (0, 0), BLUR_PX)[..., None]
            x, y = np.meshgrid(*(np.arange(size, dtype=np.float32) for size in flow.shape[1::-1]))
            warped = cv2.remap(
                image2,
                x + flow[..., 0],
                y + flow[..., 1],
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            yield Prediction(flow, mask, np.float32(warped) / 255)


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
        run(StandIn(sample), Job(one_pair(*images), files, truth=work / "truth.flo"))
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


def main(argv=None) -> int:
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
