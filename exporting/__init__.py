"""Writing a network for others to run: as an ONNX model, or in MXNet's own form."""

import os
from pathlib import Path

from maskflownet.config.errors import InputError

ONNX_SUFFIX = ".onnx"


def export(
    pipe,
    path: str | os.PathLike,
    images: bool = False,
    resize: tuple[int, int] | None = None,
) -> None:
    """Write a pipeline's network in a form that runs without this project.

    Parameters
    ----------
    pipe : network.Pipeline
    path : str or os.PathLike
        FILE.onnx for an ONNX model; a folder (or a name without a suffix, to make one) for MXNet's
        own form. What is there already is replaced once the new one is whole.
    images : bool
        Whether an ONNX model does what `Pipeline.predict` does: from uint8 images (N, H, W, 3) of
        any size to flow (N, H, W, 2) and mask (N, H, W, 1) of the same size. By default it is the
        network alone: from images (N, 3, H, W) in [0, 1] less the pair's mean per channel, H and W
        multiples of 64, to flow (N, 2, H, W) and mask (N, 1, H, W). Flow is float32, (x, y) in
        pixels; the mask is near 1 where image 1 is visible in image 2. A network without a mask
        (`config.NetworkConfig.has_mask`) has no such output.
    resize : tuple of int, optional
        With `images`: the (height, width) that the network sees, as in `Pipeline.predict`.

    Raises
    ------
    InputError
        See `check_target`; or the network is of MMFlow's dialect, whose steps are not written yet.
    """
    check_target(path, images, resize)
    if pipe.config.network.dialect != "original":
        raise InputError(
            f"{path}: cannot be written: a network with network.dialect: "
            f"{pipe.config.network.dialect} has no exported form yet; export one of the original's"
        )
    if is_onnx(path):
        from maskflownet.exporting.model import write_onnx

        write_onnx(pipe, path, images, resize)
    else:
        from maskflownet.exporting.mxnet_form import write_mxnet

        write_mxnet(pipe, path)


def is_onnx(path: str | os.PathLike) -> bool:
    """Return whether a path is of an ONNX model, not of a folder for MXNet's own form."""
    return Path(path).suffix == ONNX_SUFFIX


def check_target(path: str | os.PathLike, images: bool, resize: tuple[int, int] | None) -> None:
    """Say before anything is loaded whether there is such a form.

    Parameters are those of `export`.

    Raises
    ------
    InputError
        The suffix is another one; `images` of MXNet's form; `resize` without `images`; the package
        "onnx" is wanted and missing.
    """
    if not is_onnx(path) and Path(path).suffix and not Path(path).is_dir():
        raise InputError(f"{path}: expected FILE.onnx, or a folder to write MXNet's own form into")
    if images and not is_onnx(path):
        raise InputError(
            f"{path}: only an ONNX model can be of images: expected a name that ends in .onnx"
        )
    if resize is not None and not images:
        raise InputError("resize: expected only for a model of images (--export_images)")
    if is_onnx(path):
        from maskflownet.exporting.model import require_onnx

        require_onnx()
