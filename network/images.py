"""From images to what the networks take in, and back to arrays."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import mxnet as mx
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.network.arrays import Array
from maskflownet.network.network_size import NetworkSize
from maskflownet.reader.arrays import as_image


class Pair(NamedTuple):
    """Two uint8 (H, W, 3) images and the size at which the network shall see them."""

    image1: np.ndarray
    image2: np.ndarray
    size: NetworkSize


def checked_pair(
    image1: Any,
    image2: Any,
    resize: tuple[int, int] | None,
    half_pixel: bool = False,
    color_order: str = "bgr",
) -> Pair:
    """Return a `Pair` of two images.

    Parameters
    ----------
    image1, image2, color_order
        Of one size, as `reader.arrays.as_image` takes them.
    resize : tuple of int or None
        (height, width) for the network; None for the next multiples of 64.
    half_pixel : bool
        How images are resized; see `NetworkSize`.

    Raises
    ------
    InputError
        The images are no such ones or differ in size.
    """
    image1, image2 = as_image(image1, color_order), as_image(image2, color_order)
    if image1.shape != image2.shape:
        raise InputError(
            f"the images of a pair differ in size: {image1.shape[:2]} and {image2.shape[:2]}"
        )
    return Pair(image1, image2, NetworkSize(image1.shape[:2], resize, half_pixel))


def pair_up(images1: Iterable[Any], images2: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield (image1, image2) for two lists of images, or other iterables.

    Raises
    ------
    InputError
        At once, where one is an image itself, whose rows would pass for images; later, where one
        ends before the other.
    """
    for name, images in (("images1", images1), ("images2", images2)):
        check_is_list(images, name)
    return in_step(images1=images1, images2=images2)


def check_is_list(images: Any, name: str) -> None:
    """Raise InputError for one image, (H, W, 3), (H, W) or a path, in the place of a list."""
    shape = tuple(getattr(images, "shape", ()))
    got = f"one of shape {shape}"
    if isinstance(images, (str, os.PathLike)):
        got = f"the path {os.fspath(images)}"
    elif not _can_be_iterated(images):
        got = f"one {type(images).__name__}"
    elif not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))):
        return
    raise InputError(f"{name}: expected a list of images, got {got}; put it in a list, [image]")


def _can_be_iterated(images):
    try:
        iter(images)
    except TypeError:
        return False
    return True


def in_step(**named: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    """Yield what iterables have in common places, as `zip` does.

    Raises
    ------
    InputError
        One ends before another; the message has their names.
    """
    end = object()
    for values in itertools.zip_longest(*named.values(), fillvalue=end):
        if any(value is end for value in values):
            ended = [value is end for value in values]
            shorter, longer = list(named)[ended.index(True)], list(named)[ended.index(False)]
            raise InputError(f"{shorter} has fewer entries than {longer}: expected as many of both")
        yield values


def network_inputs(pairs: Sequence[Pair], ctx: Any) -> tuple[Array, Array]:
    """Return the two images of pairs as the network wants them, two NDArrays (N, 3, H, W)."""
    inputs = []
    for *images, size in pairs:
        images = [size.bytes_to_network(image) for image in images]
        # As in `centralise`; of bytes OpenCV has it exactly, and in a fraction of MXNet's time.
        mean = np.mean([cv2.mean(image)[:3] for image in images], axis=0) / 255
        inputs.append(
            [size.to_network(mx.nd.array(_less(image, mean)[None], ctx)) for image in images]
        )
    first, second = (
        images[0] if len(images) == 1 else mx.nd.concat(*images, dim=0)
        for images in zip(*inputs, strict=True)
    )
    return first, second


def _less(image, mean):
    """Return uint8 (H, W, 3) in [0, 1] less a mean (3,), as float32 (3, H, W).

    A table has all values that there are: one pass, where MXNet takes five.
    """
    result = np.empty((3, *image.shape[:2]), np.float32)
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    for channel, plane, own_mean in zip(result, cv2.split(image), mean, strict=True):
        cv2.LUT(plane, levels - np.float32(own_mean), dst=channel)
    return result


def centralise(image1: Array, image2: Array) -> tuple[Array, Array]:
    """Subtract the mean per channel over both images of each pair; (N, 3, H, W) each."""
    mean = mx.nd.concat(image1, image2, dim=2).mean(axis=(2, 3), keepdims=True)
    return image1 - mean, image2 - mean


def to_device(image: np.ndarray, ctx: Any) -> Array:
    """Bring uint8 (N, H, W, 3) to a device as float32 (N, 3, H, W) in [0, 1]."""
    # Not transposed first: MXNet takes ten times as long for that of bytes.
    return mx.nd.array(image, ctx, np.uint8).astype(np.float32).transpose((0, 3, 1, 2)) / 255


def to_numpy(output: Array | None) -> np.ndarray | None:
    """Return an NDArray (1, C, H, W) as numpy.ndarray (H, W, C), and None as it is."""
    return None if output is None else output[0].transpose((1, 2, 0)).asnumpy()
