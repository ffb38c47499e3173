"""Writing a network for others: as an ONNX model, in MXNet's own form, or weights for PyTorch."""

import os
from pathlib import Path

from maskflownet.config.errors import InputError

ONNX, MXNET = ".onnx", ""
SAFETENSORS = ".safetensors"
FORMS = (ONNX, MXNET, ".pth", ".ckpt", SAFETENSORS)  # by suffix


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
        own form; FILE.pth, FILE.ckpt or FILE.safetensors for the weights alone, as PyTorch's ports
        name them. What is there already is replaced once the new one is whole.
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
        See `check_target`; or a network of MMFlow's dialect, or of another unit of flow than the
        original's, has no such form.
    """
    check_target(path, images, resize)
    form = form_of(path)
    if pipe.network.dialect.name == "mmflow":
        _check_mmflow(path, form, images)
    if form not in (ONNX, MXNET) and pipe.network.flow_multiplier != 1:
        raise InputError(
            f"{path}: the ports whose names a {form} has know network.flow_multiplier 1 alone, and "
            f"{pipe.config.name} has {pipe.network.flow_multiplier:g}: export to .onnx or a folder"
        )
    if form == ONNX:
        from maskflownet.exporting.model import write_onnx

        write_onnx(pipe, path, images, resize)
    elif form == MXNET:
        from maskflownet.exporting.mxnet_form import write_mxnet

        write_mxnet(pipe, path)
    else:
        from maskflownet.exporting.torch_form import write_safetensors, write_torch

        (write_safetensors if form == SAFETENSORS else write_torch)(pipe, path)


def _check_mmflow(path, form, images):
    """Raise InputError for what a network of MMFlow's dialect has no form of."""
    if images:
        raise InputError(
            f"{path}: MMFlow resizes images as bytes, which no ONNX operator does to the bit: "
            "export the network alone, without --export_images"
        )
    if form not in (ONNX, MXNET):
        raise InputError(
            f"{path}: weights of MMFlow's dialect would mean something else to the ports of the "
            f"original, whose names a {form} has: export to .onnx or a folder"
        )


def form_of(path: str | os.PathLike) -> str:
    """Return which of FORMS a path asks for.

    Raises
    ------
    InputError
        None of them.
    """
    suffix, is_folder = Path(path).suffix, Path(path).is_dir()
    if suffix in FORMS and suffix != MXNET and is_folder:
        raise InputError(
            f"{path}: expected the name of a file, got a folder; name a file, or for MXNet's own "
            f"form a folder whose name does not end in {suffix}"
        )
    if suffix in FORMS:
        return suffix
    if is_folder:
        return MXNET
    raise InputError(
        f"{path}: expected FILE.onnx, a folder to write MXNet's own form into, or FILE.pth, "
        "FILE.ckpt or FILE.safetensors for PyTorch"
    )


def check_target(
    path: str | os.PathLike,
    images: bool,
    resize: tuple[int, int] | None,
    checked: bool = False,
) -> None:
    """Say before anything is loaded whether there is such a form.

    Parameters are those of `export`; `checked` tells whether what is written shall be run too.

    Raises
    ------
    InputError
        The suffix is another one; `images` of another form than ONNX; `resize` without `images`;
        the package "onnx" is wanted and missing; `checked` of weights alone.
    """
    form = form_of(path)
    if checked and form not in (ONNX, MXNET):
        raise InputError(f"{path}: --check runs what is written, and weights alone cannot be run")
    if images and form != ONNX:
        raise InputError(
            f"{path}: only an ONNX model can be of images: expected a name that ends in .onnx"
        )
    if resize is not None and not images:
        raise InputError("resize: expected only for a model of images (--export_images)")
    if form == ONNX:
        from maskflownet.exporting.model import require_onnx

        require_onnx()
