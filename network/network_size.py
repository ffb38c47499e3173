"""Between an image's own size and the size at which the network sees it."""

import math
from collections.abc import Sequence

import cv2
import mxnet.ndarray as F
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.config.network_size import (
    MAX_PIXELS,
    MAX_RESIZED,
    MULTIPLE,
    check_network_size,
)
from maskflownet.network.arrays import Array


def check_batch(sizes: Sequence["NetworkSize"]) -> None:
    """Raise InputError if MXNet could not count the values of pairs that are computed together.

    Parameters
    ----------
    sizes : list of NetworkSize
    """
    pixels = sum(math.prod(size.network_hw) for size in sizes)
    if pixels > MAX_PIXELS:
        fitting = max(1, MAX_PIXELS * len(sizes) // pixels)
        raise InputError(
            f"{len(sizes)} pairs at a time: expected at most {MAX_PIXELS // 10**6} million pixels, "
            f"got {pixels // 10**6}; use --batch {fitting}"
        )


class NetworkSize:
    """Stretches an image to the network's size, and its flow and mask back.

    Parameters
    ----------
    image_hw : tuple of int
        Height and width of the image.
    network_hw : tuple of int, optional
        Multiples of 64; by default the next ones that are not smaller than the image.
    half_pixel : bool
        What stays in place: the corners of the image (True), as in OpenCV and MMFlow, which resize
        the image's bytes, or the centres of its corner pixels, as in the original.

    Raises
    ------
    InputError
        The image or what the network shall see is larger than MXNet can count.
    """

    def __init__(
        self,
        image_hw: tuple[int, int],
        network_hw: tuple[int, int] | None = None,
        half_pixel: bool = False,
    ):
        if network_hw is None:
            height, width = (-(-length // MULTIPLE) * MULTIPLE for length in image_hw)
            network_hw = height, width
            _check_image(image_hw, network_hw)
        else:
            check_network_size(network_hw)
        if tuple(image_hw) != tuple(network_hw) and max(image_hw) > MAX_RESIZED:
            raise InputError(
                f"an image of {image_hw[1]}x{image_hw[0]}: expected at most {MAX_RESIZED} pixels a "
                "side, to which MXNet can resize its flow; cut it into parts or scale it down"
            )
        self.image_hw = (image_hw[0], image_hw[1])
        self.network_hw = (network_hw[0], network_hw[1])
        self._half_pixel = half_pixel

    def bytes_to_network(self, image: np.ndarray) -> np.ndarray:
        """Stretch an image, uint8 (H, W, 3), where it is resized before it is centralised."""
        if not self._half_pixel or image.shape[:2] == self.network_hw:
            return image
        return cv2.resize(image, self.network_hw[::-1], interpolation=cv2.INTER_LINEAR)

    def to_network(self, image: Array) -> Array:
        """Stretch an image (N, 3, H, W) to the network's size."""
        return stretch(image, self.network_hw, self._half_pixel)

    def flow_back(self, flow_yx: Array) -> Array:
        """Stretch (N, 2, h, w) flow to the image's size; its values grow or shrink as that does."""
        ratio = [own / seen for own, seen in zip(self.image_hw, self.network_hw, strict=True)]
        factor = F.array(ratio, ctx=flow_yx.context).reshape((1, 2, 1, 1))
        return stretch(flow_yx, self.image_hw, self._half_pixel) * factor

    def mask_back(self, mask: Array) -> Array:
        """Stretch (N, 1, h, w) to the image's size."""
        return stretch(mask, self.image_hw, self._half_pixel)


def _check_image(image_hw, network_hw):
    """Raise InputError for an image whose own size is beyond what MXNet can count."""
    if math.prod(network_hw) > MAX_PIXELS:
        height, width = image_hw
        raise InputError(
            f"an image of {width}x{height}: expected at most {MAX_PIXELS // 10**6} million pixels; "
            "name a smaller size for the network to see, such as --resize 1024,1920"
        )


def stretch(x: Array, size_hw: tuple[int, int], half_pixel: bool) -> Array:
    """Return NDArrays (N, C, H, W) stretched bilinearly to (height, width); see `NetworkSize`."""
    if x.shape[2:] == size_hw:
        return x
    height, width = size_hw
    corners = {"align_corners": not half_pixel}
    return F.contrib.BilinearResize2D(x, height=height, width=width, **corners)
