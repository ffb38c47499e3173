"""The one type of sample that every dataset yields."""

from typing import NamedTuple

import numpy as np


class FlowSample(NamedTuple):
    """A pair of images with its ground truth.

    Attributes
    ----------
    image1, image2 : numpy.ndarray
        uint8 (H, W, 3), in the colour order of the dataset (see its class).
    flow : numpy.ndarray
        float32 (H, W, 2), (u, v) = (x, y) in pixels: the point at p in image 1 is at p + flow(p)
        in image 2.
    valid : numpy.ndarray
        uint8 (H, W, 1), 255 where `flow` is known and 0 elsewhere.
    occluded : numpy.ndarray or None
        bool (H, W), True for pixels of image 1 that are covered or out of the frame in image 2,
        where the dataset knows it.
    name : str
        What messages and logs call this pair, such as "training/clean/alley_1/frame_0001".
    """

    image1: np.ndarray
    image2: np.ndarray
    flow: np.ndarray
    valid: np.ndarray
    occluded: np.ndarray | None = None
    name: str = ""
