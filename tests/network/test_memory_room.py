"""Predictions that would not fit into memory are refused with a size that fits."""

import mxnet as mx
import numpy as np
import pytest

from maskflownet.config import load_config
from maskflownet.config.errors import InputError
from maskflownet.kernels import use_fast
from maskflownet.network import get_pipeline, memory
from maskflownet.network.memory import COSTS, PER_OWN_PIXEL, SHARE, Room
from maskflownet.network.network_size import NetworkSize

BESIDES, PER_PIXEL = COSTS["MaskFlownet_S", False]


@pytest.fixture
def free(monkeypatch):
    """Return a function that sets how many bytes are said to be free."""
    return lambda bytes_: monkeypatch.setattr(memory, "free_bytes", lambda: bytes_)


def refusal(room, *sizes):
    with pytest.raises(InputError) as error:
        room.check(list(sizes))
    assert "\n" not in str(error.value)
    return str(error.value)


def room():
    return Room("MaskFlownet_S", fast=False)


def needed(height, width):
    return BESIDES + PER_PIXEL * height * width


def test_what_fits_just_so_passes_and_a_byte_less_does_not(free):
    size = NetworkSize((448, 1024))
    free(needed(448, 1024))
    room().check([size])
    free(needed(448, 1024) - 1)
    message = refusal(room(), size)
    assert message.startswith("a pair of 448,1024 would need about")
    assert f"{needed(448, 1024) / 1e9:.1f} GB of memory" in message


@pytest.mark.parametrize(
    ("image_hw", "fitting"),
    [((1088, 1920), (512, 896)), ((1920, 1088), (896, 512)), ((64, 6400), (64, 3200))],
)
def test_the_size_that_is_named_fits_and_the_next_does_not(free, image_hw, fitting):
    own = PER_OWN_PIXEL * (np.prod(image_hw) - np.prod(fitting))
    enough = (needed(*fitting) + own) / SHARE + 1
    size = NetworkSize(image_hw)
    free(enough)
    assert refusal(room(), size).endswith("use --resize {},{}".format(*fitting))
    room().check([NetworkSize(image_hw, fitting)])
    free(enough - 2)
    assert "{},{}".format(*fitting) not in refusal(room(), size).rpartition("use")[2]


def test_a_batch_is_made_smaller_before_its_images_are(free):
    size = NetworkSize((448, 1024))
    free((BESIDES + 3 * PER_PIXEL * 448 * 1024) / SHARE + 1)
    message = refusal(room(), *8 * [size])
    assert message.startswith("8 pairs at a time") and message.endswith("use --batch 3")
    free((BESIDES + 0.9 * PER_PIXEL * 448 * 1024) / SHARE)
    assert "use --resize" in refusal(room(), *8 * [size])


def test_the_size_that_is_named_fits_the_largest_of_a_batch(free):
    sizes = [NetworkSize(image_hw, (448, 1024)) for image_hw in ((448, 1024), (2160, 3840))]
    free((BESIDES + PER_PIXEL * 64 * 64 + PER_OWN_PIXEL * 2160 * 3840) / SHARE)
    assert "no size would fit" not in refusal(room(), *sizes)
    height, width = map(int, refusal(room(), *sizes).rpartition(" ")[2].split(","))
    room().check([NetworkSize((2160, 3840), (height, width))])


def test_where_nothing_fits_it_says_so(free):
    free(BESIDES)
    assert "no size would fit" in refusal(room(), NetworkSize((448, 1024)))


def test_what_went_well_is_not_refused_when_its_memory_is_kept(free):
    kept = room()
    free(needed(448, 1024))
    kept.check([NetworkSize((448, 1024))])
    free(0)
    kept.check([NetworkSize((448, 1024))])
    refusal(kept, NetworkSize((512, 1024)))


def test_what_is_not_known_refuses_nothing(free):
    free(None)
    room().check([NetworkSize((6400, 6400))])


@pytest.mark.parametrize("kernels", ["auto", "builtin"])
@pytest.mark.parametrize("network", ["MaskFlownet_S", "MaskFlownet"])
def test_a_pipeline_asks_before_it_predicts(free, network, kernels):
    config = load_config(network)
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=config, kernels=kernels)
    images = 2 * [np.zeros((64, 64, 3), np.uint8)]
    besides, per_pixel = COSTS[network, use_fast(kernels, pipe.ctx)]
    enough = besides + 2 * per_pixel * 64 * 64
    free(enough - 1)
    with pytest.raises(InputError, match="2 pairs at a time of 64,64 would need about"):
        next(pipe.predict(images, images, batch_size=2))
    free(enough)
    flows = [prediction.flow for prediction in pipe.predict(images, images, batch_size=2)]
    assert [flow.shape for flow in flows] == 2 * [(64, 64, 2)]
