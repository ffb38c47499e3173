"""From images to what the networks take in."""

import mxnet as mx
import numpy as np

FINEST_STRIDE = 4  # of the finest prediction


def centralise(image1, image2):
    """Subtract the mean per channel over both images of each pair; (N, 3, H, W) each."""
    mean = mx.nd.concat(image1, image2, dim=2).mean(axis=(2, 3), keepdims=True)
    return image1 - mean, image2 - mean


def to_device(image, ctx):
    """Bring uint8 (N, H, W, 3) to a device as float32 (N, 3, H, W) in [0, 1]."""
    return mx.nd.array(image, ctx, np.uint8).transpose((0, 3, 1, 2)).astype(np.float32) / 255
