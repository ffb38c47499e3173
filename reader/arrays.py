"""Images as people have them in Python: arrays, Pillow's images, PyTorch's tensors, paths."""

import os
import sys
from typing import Any

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.images import read_image

COLOR_ORDERS = ("bgr", "rgb")
# What Pillow converts to 8-bit RGB as one would expect; of 16 bits and floats it clips values.
_PILLOW_MODES = ("RGB", "RGBA", "RGBX", "RGBa", "L", "LA", "La", "P", "PA", "1", "CMYK", "YCbCr")


def check_color_order(color_order: str) -> None:
    """Raise InputError unless an order of colours is one of COLOR_ORDERS."""
    if color_order not in COLOR_ORDERS:
        raise InputError(f"color_order {color_order!r}: expected 'bgr' or 'rgb'")


def as_image(image: Any, color_order: str = "bgr") -> np.ndarray:
    """Return an image as the networks take it in.

    Parameters
    ----------
    image : array, PIL.Image.Image, str or os.PathLike
        An array (NumPy's, MXNet's, or one on the CPU that offers DLPack, as PyTorch's tensors do):
        (H, W, 3), or grey as (H, W) or (H, W, 1), of uint8 in 0..255 or floats in [0, 1]. Or an
        image of Pillow, or a file that `reader.images.read_image` reads.
    color_order : {"bgr", "rgb"}
        Of an array. OpenCV reads BGR; Pillow, imageio, scikit-image and torchvision read RGB. A
        Pillow image and a file say it themselves.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR, contiguous; where `image` is such an array it is returned as it is.
        Floats are rounded to 8 bits.

    Raises
    ------
    InputError
        Anything else, in one line that says how to convert it.
    """
    if isinstance(image, (str, os.PathLike)):
        return read_image(image)
    pillow = sys.modules.get("PIL.Image")
    if pillow and isinstance(image, pillow.Image):
        pixels, color_order = _of_pillow(image), "rgb"
    else:
        pixels = _as_bytes(_with_channels(_as_numpy(image)))
    return np.ascontiguousarray(pixels if color_order == "bgr" else pixels[..., ::-1])


def in_order(image_bgr: np.ndarray, color_order: str) -> np.ndarray:
    """Return a BGR image (H, W, 3) in another order of colours, contiguous."""
    return image_bgr if color_order == "bgr" else np.ascontiguousarray(image_bgr[..., ::-1])


def _of_pillow(image):
    if image.mode not in _PILLOW_MODES:
        raise InputError(
            f"image: expected one of 8 bits per channel, got Pillow's mode {image.mode!r}; give "
            "the file's path instead, or an array scaled to uint8"
        )
    return np.asarray(image.convert("RGB"))


def _as_numpy(image):
    """Return an array of another library as NumPy's, without a copy where that can be."""
    if isinstance(image, np.ndarray):
        return np.asarray(image)
    if hasattr(image, "asnumpy"):  # MXNet's
        return image.asnumpy()
    if not hasattr(image, "__dlpack__"):
        kind = type(image)
        raise InputError(
            "image: expected an array (H, W, 3), a Pillow image or a path, got "
            f"{kind.__module__}.{kind.__qualname__}; convert it with numpy.asarray"
        )
    try:
        return np.from_dlpack(image)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            "image: expected a tensor of the CPU that needs no gradient, got one that DLPack "
            f"refuses ({str(error).splitlines()[0]}); convert it with .detach().cpu()"
        ) from None


def _with_channels(pixels):
    """Return pixels (H, W, 3) of an array of that shape or of a grey one."""
    shape = pixels.shape
    if 0 in shape:
        raise InputError(f"image: expected pixels, got none: the shape is {shape}")
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    if pixels.ndim == 3 and shape[2] in (1, 3):
        return pixels if shape[2] == 3 else np.repeat(pixels, 3, axis=2)
    remedy = "give one image, as rows, columns and three colours"
    if pixels.ndim == 4:
        remedy = "give the images one by one"
    elif pixels.ndim == 3 and shape[2] == 4:
        remedy = "drop the alpha channel with image[..., :3]"
    elif pixels.ndim == 3 and shape[0] in (1, 3):
        remedy = "move the colours last with .transpose(1, 2, 0), or .permute(1, 2, 0) in PyTorch"
    raise InputError(f"image: expected the shape (H, W, 3), got {shape}; {remedy}")


def _as_bytes(pixels):
    """Return pixels as uint8; floats in [0, 1] are scaled and rounded."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        remedy = "scale 16 bits with (image / 257).round().astype('uint8')"
    elif pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if low >= 0 and high <= 1:  # false for NaN
            return np.rint(pixels.astype(np.float32) * 255).astype(np.uint8)
        said = f"got {pixels.dtype} in {low:g}..{high:g}"
        remedy = "scale it to [0, 1], or convert 0..255 with .round().astype('uint8')"
        raise InputError(f"image: expected uint8, or floats in [0, 1], {said}; {remedy}")
    else:
        remedy = "convert it with .astype('uint8') if its values are 0..255"
    raise InputError(f"image: expected uint8, or floats in [0, 1], got {pixels.dtype}; {remedy}")
