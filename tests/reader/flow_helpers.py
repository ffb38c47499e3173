"""A flow and a mask that every format can hold."""

import numpy as np

# 2 rows of 3 pixels.
FLOW = np.array(
    [[[1, -2], [0.5, 0.25], [300, -511]], [[-0.015625, 7], [0, 0], [128.5, 64]]], np.float32
)
VALID = np.array([[255, 0, 255], [255, 255, 0]], np.uint8)[..., None]
