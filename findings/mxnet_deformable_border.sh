#!/usr/bin/env bash
# MXNet's deformable convolution treats the four borders of an image in two different ways.
#
# One would guess that F.contrib.DeformableConvolution samples beside the image as the other
# implementations do (torchvision, mmcv): bilinearly, with zeros outside, the same on all four sides.
# With a kernel that only copies its middle, on an image of ones, a sample half a pixel outside should
# then be 0.5 everywhere. MXNet gives 0 above and left of the image, be the sample outside by a mere
# 0.01 of a pixel, and 1 below and right of it, where the last row and column repeat for one pixel.
# Weights trained with one rule lose accuracy under the other, and nothing says so.
# A border of zeros around the image, and pad 0 in place of 1, gives the rule that one would guess.
#
# Seen 2026-11-27 with mxnet 1.9.1 (PyPI, numpy 1.23.5, Python 3.11, Linux x86-64, CPU):
#   outside by 0.50 px: above 0.00, left 0.00, below 1.00, right 1.00
#   outside by 0.01 px: above 0.00, left 0.00, below 1.00, right 1.00
#   with a border of zeros, outside by 0.50 px: above 0.50, left 0.50, below 0.50, right 0.50
# Exits with 1 if MXNet does something else.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mxnet==1.9.1 numpy==1.23.5
cat > "$folder/border.py" <<'PYTHON'
import sys

import mxnet as mx
import numpy as np

SIZE = 5
MIDDLE = SIZE // 2
# Where to look, and in which direction (y, x) that is outside.
SIDES = {
    "above": ((0, MIDDLE), (-1, 0)),
    "left": ((MIDDLE, 0), (0, -1)),
    "below": ((SIZE - 1, MIDDLE), (1, 0)),
    "right": ((MIDDLE, SIZE - 1), (0, 1)),
}


def sampled(distance, pad):
    """Return what is sampled so far outside on each side, of an image of ones with `pad` zeros."""
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = 1
    image = np.pad(np.ones((SIZE, SIZE), np.float32), pad)[None, None]
    values = {}
    for side, (place, direction) in SIDES.items():
        offset = np.zeros((1, 9, 2, SIZE, SIZE), np.float32)  # per tap (y, x)
        offset += distance * np.reshape(direction, (1, 1, 2, 1, 1)).astype(np.float32)
        output = mx.nd.contrib.DeformableConvolution(
            mx.nd.array(image),
            mx.nd.array(offset.reshape((1, 18, SIZE, SIZE))),
            mx.nd.array(kernel),
            kernel=(3, 3),
            pad=(1 - pad, 1 - pad),
            num_filter=1,
            no_bias=True,
        )
        values[side] = float(output[0, 0, place[0], place[1]].asscalar())
    return values


def line(values):
    return ", ".join(f"{side} {value:.2f}" for side, value in values.items())


half, little, bordered = sampled(0.5, 0), sampled(0.01, 0), sampled(0.5, 1)
print("outside by 0.50 px:", line(half))
print("outside by 0.01 px:", line(little))
print("with a border of zeros, outside by 0.50 px:", line(bordered))
as_seen = {"above": 0, "left": 0, "below": 1, "right": 1}
same = all(
    np.allclose(list(values.values()), list(as_seen.values()), atol=1e-5)
    for values in (half, little)
) and np.allclose(list(bordered.values()), 0.5, atol=1e-5)
sys.exit(0 if same else 1)
PYTHON
"$folder/venv/bin/python" "$folder/border.py"
