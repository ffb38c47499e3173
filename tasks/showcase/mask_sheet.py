"""Pictures of what a checkpoint's occlusion mask does, beside the truth.

`python -m maskflownet.tasks.showcase.mask_sheet CONFIG -c RUN [--dataset_cfg D] [-o FOLDER]` writes
FOLDER/ RUN_STEPS_mask.png: for each of the first validation pairs of a dataset, image 1, the
estimated flow, the true occlusion and the mask, image 2's features brought to image 1 before and
after the mask, and the trade-off term.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from maskflownet.config.files import ROOT
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.command_line import OneLineParser, positive, run_program
from maskflownet.tasks.open_pipeline import load_pipeline

logger = logging.getLogger(__name__)

LEVEL = 2  # whose features are shown: the finest
WIDTH = 192  # px, of a picture on the sheet
GUTTER, TITLE = 4, 18  # px
GREY = (200, 200, 200)  # between pictures


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.showcase.mask_sheet", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", help="network config: a name in config/ or a path")
    add("-c", "--checkpoint", metavar="RUN", help="run id or its beginning, RUN:STEPS, or a path")
    add("--dataset_cfg", metavar="D", default="synthetic_easy", help="whose validation pairs")
    add("--pairs", metavar="N", type=positive, default=6, help="rows of the sheet")
    add("-o", "--out", metavar="FOLDER", type=Path, default=ROOT / "flows")
    add("--root", metavar="DIR", type=Path, default=ROOT, help="where weights/ lies")
    # With MXNet's own operators the network that predicts is `pipe.network`, which is watched.
    parser.set_defaults(gpu_device=[], network="MaskFlownet", resize=None)
    parser.set_defaults(kernels="builtin", precision="float32")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("mask_sheet", lambda: draw(arguments))


def draw(arguments: argparse.Namespace) -> None:
    """Write the sheet that the arguments describe.

    Raises
    ------
    InputError
        The network has no mask, or something is wrong with a config or the checkpoint.
    """
    from maskflownet.config import InputError, load_config, load_dataset_config
    from maskflownet.reader.datasets import make_dataset
    from maskflownet.reader.images import write_image

    config = load_config(arguments.config)
    if not config.network.has_mask:
        raise InputError(
            f"{config.name} has network.matching {config.network.matching}, which predicts no "
            "mask: there is nothing to show"
        )
    dataset = make_dataset(load_dataset_config(arguments.dataset_cfg), "valid")
    checkpoint, pipe = load_pipeline(arguments)
    dataset.color_order = pipe.color_order or dataset.color_order
    watch = Watch(pipe.network)
    rows = []
    for index in range(min(arguments.pairs, len(dataset))):
        sample = dataset[index]
        (prediction,) = pipe.predict_pairs([(sample.image1, sample.image2)])
        rows.append(pictures(sample, dataset.color_order, prediction, watch.matched()))
    path = arguments.out / f"{checkpoint.run}_{checkpoint.steps}_mask.png"
    write_image(path, sheet(rows))
    logger.info("%s", path)


class Matched(NamedTuple):
    """How image 2's features were matched at a level; NDArrays (1, C, h, w).

    Attributes
    ----------
    brought : mxnet.nd.NDArray
        Image 2's features brought to image 1.
    visible : mxnet.nd.NDArray
        The same times the occlusion mask.
    tradeoff : mxnet.nd.NDArray or None
        The trade-off term, or None where there is none.
    """

    brought: Any
    visible: Any
    tradeoff: Any


class Watch:
    """What a network's layers gave for the last pair, by the layer's name.

    Parameters
    ----------
    network : network.MaskFlownet_S or network.MaskFlownet
        Of a cascade its first stage is watched.
    """

    def __init__(self, network: Any):
        network.hybridize(active=False)  # a compiled graph would keep nothing
        stage = getattr(network, "MaskFlownet_S", network)
        self._outputs = {}
        names = [f"pred_mask{LEVEL + 1}"]
        if stage.matching.tradeoff:
            names.append(f"conv{LEVEL}f")
        for name in names:
            getattr(stage, name).register_forward_hook(self._keep(name))
        self._way, stage.way = stage.way, self

    def _keep(self, name):
        def hook(block, inputs, output):
            del block, inputs
            self._outputs[name] = output

        return hook

    def bring(self, F: Any, network: Any, level: int, *maps: Any) -> tuple[Any, Any]:
        """Bring features to image 1 as the way that is watched does; see `network.matching`."""
        compared, brought = self._way.bring(F, network, level, *maps)
        if level == LEVEL:
            self._outputs["brought"] = brought
        return compared, brought

    def matched(self) -> Matched:
        """Return how the last pair was matched at `LEVEL`."""
        from mxnet import nd

        from maskflownet.network.layers import upsample

        brought = self._outputs["brought"]
        mask = nd.sigmoid(upsample(nd, self._outputs[f"pred_mask{LEVEL + 1}"], 2))
        visible = nd.broadcast_mul(brought, mask)
        return Matched(brought, visible, self._outputs.get(f"conv{LEVEL}f"))


def pictures(
    sample: FlowSample, color_order: str, prediction: Any, matched: Matched
) -> dict[str, np.ndarray]:
    """Return the pictures of a pair by their titles.

    Parameters
    ----------
    sample : reader.sample.FlowSample
    color_order : str
        Of its images, "BGR" or "RGB".
    prediction : network.Prediction
        Of the pair, with a mask.
    matched : Matched

    Returns
    -------
    dict
        Title to uint8 (H, W, 3), BGR. Occluded pixels are black, in the truth and in the mask, and
        those of which the truth is not known are grey. The truth is left out where the dataset
        does not know it, and the trade-off term where the network has none. Features are drawn as
        their root mean square over channels, all with the scale of those before the mask.
    """
    from maskflownet.output import flow_to_color

    image1 = sample.image1
    if color_order == "RGB":
        image1 = cv2.cvtColor(image1, cv2.COLOR_RGB2BGR)
    shown = {"image 1": image1, "flow": flow_to_color(prediction.flow)}
    if sample.occluded is not None:
        shown["visible (truth)"] = _grey(~sample.occluded)
        shown["visible (truth)"][sample.valid[..., 0] == 0] = GREY
    shown["mask"] = _grey(prediction.mask[..., 0])
    maps = {
        "features 2": matched.brought,
        "times the mask": matched.visible,
        "trade-off term": matched.tradeoff,
    }
    strengths = {
        title: np.sqrt(np.mean(features[0].asnumpy() ** 2, axis=0))
        for title, features in maps.items()
        if features is not None
    }
    full = max(float(np.percentile(strengths["features 2"], 99)), np.finfo(np.float32).tiny)
    return shown | {title: _grey(strength / full) for title, strength in strengths.items()}


def _grey(values):
    """Return (H, W) in 0..1, clipped, as a uint8 (H, W, 3) picture."""
    grey = np.round(255 * np.clip(np.nan_to_num(values), 0, 1)).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def sheet(rows: Sequence[dict[str, np.ndarray]]) -> np.ndarray:
    """Return a contact sheet with a row of pictures for each of `rows`, titles on top.

    Parameters
    ----------
    rows : sequence of dict
        What `pictures` gives for each pair; where one lacks a picture, its place is grey.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR.
    """
    fullest = max(rows, key=len)
    titles = list(fullest)
    lines = [cv2.hconcat([_title(title) for title in titles])]
    for row in rows:
        h, w = row["image 1"].shape[:2]
        size_wh = (WIDTH, round(WIDTH * h / w))
        empty = np.full((h, w, 3), GREY, np.uint8)
        tiles = [_tile(row.get(title, empty), size_wh) for title in titles]
        lines.append(cv2.hconcat(tiles))
    return cv2.vconcat(lines)


def _tile(picture, size_wh):
    # Few large pixels stay to be seen as such; many are averaged.
    smaller = picture.shape[1] > size_wh[0]
    how = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
    small = cv2.resize(picture, size_wh, interpolation=how)
    return cv2.copyMakeBorder(small, 0, GUTTER, 0, GUTTER, cv2.BORDER_CONSTANT, value=GREY)


def _title(text):
    tile = np.full((TITLE, WIDTH + GUTTER, 3), GREY, np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX
    return cv2.putText(tile, text, (2, TITLE - 5), font, 0.45, (0, 0, 0), 1, cv2.LINE_AA)


if __name__ == "__main__":
    sys.exit(main())
