"""Resizing a sample: images, flow and masks together."""

import cv2
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.sample import FlowSample


def resize_sample(sample: FlowSample, size_hw: tuple[int, int]) -> FlowSample:
    """Resize images, flow and masks bilinearly, corner pixel onto corner pixel.

    Positions p become p (new - 1) / (old - 1) per axis, so flow values are multiplied by the same
    ratios and warping stays right (OpenCV interpolates at steps of 1/32 pixel). Flow, and whether
    a pixel is occluded, are averaged over the neighbours where they are known: flow * valid is
    resized and divided by the resized mask.

    Parameters
    ----------
    sample : FlowSample
        Any size from 2x2 on.
    size_hw : tuple of int
        The new (height, width).

    Returns
    -------
    FlowSample
        Of the new size; valid, and occluded, where that holds for at least half of the weight of
        the neighbours, or of those that are known. The same sample if it has that size already.

    Raises
    ------
    InputError
        The sample is smaller than 2x2.
    """
    old_hw = sample.image1.shape[:2]
    if old_hw == tuple(size_hw):
        return sample
    if min(old_hw) < 2:
        raise InputError(
            f"{sample.name}: expected at least 2x2 pixels to resize, got {old_hw[1]}x{old_hw[0]}; "
            "leave the pair out"
        )
    resize = _resizer(old_hw, size_hw)
    known = (sample.valid > 0).astype(np.float32)
    weight = resize(known)
    valid = weight >= 0.5
    ratio_xy = [(new - 1) / (old - 1) for new, old in zip(size_hw, old_hw, strict=True)][::-1]
    flow = resize(sample.flow * known) * np.float32(ratio_xy)
    flow = np.divide(flow, weight[..., None], out=np.zeros_like(flow), where=valid[..., None])
    occluded = sample.occluded
    if occluded is not None:
        hidden = resize(occluded * known[..., 0])
        occluded = (hidden > 0) & (hidden >= 0.5 * weight)
    return sample._replace(
        image1=resize(sample.image1),
        image2=resize(sample.image2),
        flow=flow,
        valid=np.where(valid, np.uint8(255), np.uint8(0))[..., None],
        occluded=occluded,
    )


def _resizer(old_hw, new_hw):
    """Return the function that samples an array (H, W, ...) at the new pixels' old positions."""
    y, x = (
        np.linspace(0, old - 1, new, dtype=np.float32)
        for old, new in zip(old_hw, new_hw, strict=True)
    )
    x, y = np.meshgrid(x, y)
    # The border rule only matters where rounding puts a position a hair outside.
    return lambda array: cv2.remap(array, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
