"""scikit-image, pandas and matplotlib in the same process, imported before MXNet or after it."""

from importlib.util import find_spec

import pytest
from processes import printed_numbers

MXNET = "from maskflownet import runtime\nimport mxnet as mx\n"
OTHERS = """
import matplotlib
matplotlib.use("Agg")
import pandas
import scipy.ndimage
import skimage.io, skimage.transform, skimage.util
from matplotlib import pyplot
"""
# A prediction, training steps and a prediction, between work of the others: on the images that
# scikit-image read, of which it makes floats, and on the flow. The numbers are those without them.
WORK = """
import cv2
import numpy as np
from maskflownet import flow_to_color, get_pipeline, load_config
from maskflownet.tasks.training.weights import seed_generators

seed_generators(3)
pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
order = {}
if OTHERS:
    for name, image in zip("ab", images):
        cv2.imwrite(name + ".png", image)
    read = [skimage.io.imread(name + ".png") for name in "ab"]
    given = [skimage.util.img_as_float(image) for image in read]
    order["color_order"] = "rgb"
else:
    given = list(images)


def predicted():
    (prediction,) = pipe.predict(given[:1], given[1:], **order)
    return prediction.flow


first = predicted()
print(*first.mean(axis=(0, 1)))
if OTHERS:
    table = pandas.DataFrame(first.reshape(-1, 2), columns=["x", "y"])
    np.testing.assert_allclose(table.mean(), first.mean(axis=(0, 1)), rtol=1e-3)
    grid = np.stack(np.mgrid[:64, :64]).astype(float)
    back = grid + first.transpose(2, 0, 1)[::-1]
    warped = skimage.transform.warp(given[1][..., 0], back)
    same = scipy.ndimage.map_coordinates(given[1][..., 0], back, order=1, mode="grid-constant")
    np.testing.assert_allclose(warped, same, atol=1e-6)
    figure, axes = pyplot.subplots()
    axes.imshow(flow_to_color(first, color_order="rgb"))
    axes.quiver(*first[::8, ::8].transpose(2, 0, 1))
    figure.savefig("flow.png")
batch = images.transpose(0, 3, 1, 2)
for _ in range(2):
    figures = pipe.train_batch(
        batch, batch, np.ones((2, 2, 64, 64), np.float32), lambda *all: all, lambda *both: both
    )
    assert figures["updated"], figures
print(figures["loss"])
print(*predicted().mean(axis=(0, 1)))
"""


def numbers(first, others, folder):
    return printed_numbers(first + f"OTHERS = {others}\n" + WORK, folder)


@pytest.mark.skipif(find_spec("skimage") is None, reason="scikit-image is not installed")
@pytest.mark.parametrize(
    "first", [OTHERS + MXNET, pytest.param(MXNET + OTHERS, marks=pytest.mark.long)]
)
def test_flow_and_training_are_the_same_beside_them(tmp_path, first):
    alone = numbers(MXNET, others=False, folder=tmp_path)
    beside = numbers(first, others=True, folder=tmp_path)
    assert beside == pytest.approx(alone, rel=1e-3, abs=1e-4)
