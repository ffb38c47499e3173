"""`main.py --export`: a checkpoint in a form that runs without this project."""

import logging
from pathlib import Path
from typing import Any

from maskflownet.exporting import MXNET, ONNX, export, form_of
from maskflownet.exporting.check import check

logger = logging.getLogger(__name__)


def export_checkpoint(
    pipe: Any,
    path: str,
    images: bool = False,
    resize: tuple[int, int] | None = None,
    checked: Any = False,
) -> None:
    """Write a pipeline's network, and run what was written beside it if it shall be checked.

    Parameters are those of `maskflownet.exporting.export`.
    """
    export(pipe, path, images, resize)
    size = sum(one.stat().st_size for one in _files(Path(path)))
    logger.info("%s: %s, %.1f MB", path, pipe.config.network.class_name, size / 1e6)
    if form_of(path) in (ONNX, MXNET) and not images:
        from maskflownet.exporting.model import ABOUT_NETWORK

        logger.info(
            "%s takes %s; an ONNX model with --export_images takes images as they are",
            *(path, ABOUT_NETWORK["inputs"]),
        )
    for one in check(pipe, path, images, resize) if checked else ():
        mask = "" if one.mask is None else f" and {one.mask:.7f} of the mask"
        logger.info(
            "%s: the largest difference is %.5f px of flow%s, where flow goes up to %.0f px",
            one.runtime,
            one.flow,
            mask,
            one.largest,
        )


def _files(path):
    return [path] if path.is_file() else list(path.iterdir())
