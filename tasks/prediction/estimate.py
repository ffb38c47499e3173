"""Flow of arrays, for use from Python; predict_new_data.py does the same with files.

Images are uint8 (H, W, 3), BGR as OpenCV reads them; `color_order="rgb"` takes those of Pillow,
imageio and most others. What else may be given `reader.arrays.as_image` says: floats in [0, 1],
tensors, Pillow's images, paths. Of a pair, both images have one size. `pipe` is what
`network.get_pipeline` returns, with a checkpoint loaded. What the results look like is drawn by the
functions of `output`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.output import consistency_mask
from maskflownet.tasks.pipe import Pipe

if TYPE_CHECKING:
    from maskflownet.network import Prediction


class BothWays(NamedTuple):
    """Flow between two images, forth and back.

    Attributes
    ----------
    flow : numpy.ndarray
        float32 (H, W, 2), from image 1 to image 2, (u, v) = (x, y) in pixels.
    backward : numpy.ndarray
        float32 (H, W, 2), from image 2 to image 1.
    consistent : numpy.ndarray
        bool (H, W), True for pixels of image 1 that flow forth and back brings home; see
        `output.consistency_mask`.
    """

    flow: np.ndarray
    backward: np.ndarray
    consistent: np.ndarray


def estimate_flow(
    pipe: Pipe,
    image1: Any,
    image2: Any,
    resize: tuple[int, int] | None = None,
    color_order: str = "bgr",
) -> "Prediction":
    """Estimate the flow from one image to another.

    Parameters
    ----------
    pipe : network.Pipeline
    image1, image2 : numpy.ndarray
        uint8 (H, W, 3), or what else `reader.arrays.as_image` takes.
    resize : tuple of int, optional
        (height, width) that the network sees, multiples of 64; by default the next multiples of 64.
    color_order : {"bgr", "rgb"}
        Of the arrays that are given, and of `warped`.

    Returns
    -------
    network.Prediction
        flow: float32 (H, W, 2), (u, v) = (x, y) in pixels; mask: float32 (H, W, 1), near 1 where
        image 1 is visible in image 2 and near 0 where it is occluded, or None of a network without
        one; warped: float32 (H, W, 3) in [0, 1], image 2 brought to image 1. All of the
        images' own size.

    Raises
    ------
    InputError
        The images are no images or differ in size; `resize` is no multiple of 64.
    """
    return next(pipe.predict_pairs([(image1, image2)], 1, resize, color_order=color_order))


def estimate_both_ways(
    pipe: Pipe,
    image1: Any,
    image2: Any,
    resize: tuple[int, int] | None = None,
    color_order: str = "bgr",
) -> BothWays:
    """Estimate the flow between two images in both directions, and where they agree.

    Parameters
    ----------
    pipe, image1, image2, resize, color_order
        As for `estimate_flow`.

    Returns
    -------
    BothWays
        flow, backward, consistent.

    Raises
    ------
    InputError
        As `estimate_flow`.
    """
    pairs = [(image1, image2), (image2, image1)]
    predictions = pipe.predict_pairs(pairs, 2, resize, ("flow",), color_order)
    forth, back = (prediction.flow for prediction in predictions)
    return BothWays(forth, back, consistency_mask(forth, back))


def estimate_sequence(
    pipe: Pipe,
    frames: Iterable[np.ndarray],
    stride: int = 1,
    batch_size: int = 1,
    resize: tuple[int, int] | None = None,
    color_order: str = "bgr",
) -> Iterator[np.ndarray]:
    """Estimate the flow from each frame to the one `stride` later.

    Frames are taken as they are needed, so there may be any number of them.

    Parameters
    ----------
    pipe : network.Pipeline
    frames : iterable of numpy.ndarray
        All of one size, each as `estimate_flow` takes it.
    stride : int
        How many frames lie between the images of a pair, the second one counted.
    batch_size : int
        Pairs per step.
    resize, color_order
        As for `estimate_flow`.

    Yields
    ------
    numpy.ndarray
        float32 (H, W, 2), (u, v) = (x, y) in pixels.

    Raises
    ------
    InputError
        As `estimate_flow`.
    """
    from maskflownet.network.images import check_is_list  # here, for it brings MXNet

    check_is_list(frames, "frames")
    if not isinstance(stride, Integral) or stride < 1:
        raise InputError(f"stride: expected a whole number of 1 or more, got {stride!r}")
    pairs = _pairs(frames, stride)
    predictions = pipe.predict_pairs(pairs, batch_size, resize, ("flow",), color_order)
    return (prediction.flow for prediction in predictions)


def _pairs(frames, stride):
    held = deque(maxlen=stride + 1)
    for frame in frames:
        held.append(frame)
        if len(held) > stride:
            yield held[0], frame
