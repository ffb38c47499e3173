"""The golden numbers: weights by a fixed recipe and what the reference computed with them."""

import functools
import json
import zlib
from pathlib import Path

import mxnet as mx
import numpy as np

from maskflownet.config import load_config
from maskflownet.network import get_pipeline

DATA = Path(__file__).parent / "data"
NETWORKS = ("MaskFlownet_S", "MaskFlownet")


def golden(name):
    """Return the arrays of tests/data/oracle/NAME.npz."""
    with np.load(DATA / "oracle" / f"{name}.npz") as arrays:
        return dict(arrays)


def golden_parameters(network):
    """Return [{"structured": ..., "legacy": ..., "shape": [...]}] in the order of creation."""
    return json.loads((DATA / f"params_{network}.json").read_text())


def recipe_weight(structured_name, shape):
    """Return the float32 array that the golden numbers' network holds under that name."""
    return _recipe_weight(structured_name, tuple(shape)).copy()


@functools.cache  # to draw them takes longer than anything else that makes a network
def _recipe_weight(structured_name, shape):
    rng = np.random.RandomState(zlib.crc32(structured_name.encode()) & 0x7FFFFFFF)
    values = rng.standard_normal(shape)
    if structured_name.endswith("bias"):
        return (0.05 * values).astype("float32")
    values *= np.sqrt(2.0 / (1.01 * np.prod(shape[1:])))
    if "pred_flow" in structured_name or "dc_conv7" in structured_name:
        values *= 0.5
    return values.astype("float32")


def fill_with_recipe(network):
    """Give every parameter of a network the recipe's weights."""
    for name, parameter in network._collect_params_with_prefix().items():
        parameter.set_data(mx.nd.array(recipe_weight(name, parameter.shape)))


def weights_of(network):
    """Return what a network holds: {structured name: array}."""
    return {
        name: parameter.list_data()[0].asnumpy()
        for name, parameter in network._collect_params_with_prefix().items()
    }


def recipe_pipeline(config_name, ctx=None):
    """Return a pipeline of that config with the recipe's weights."""
    config = load_config(config_name)
    pipe = get_pipeline("MaskFlownet", ctx=ctx or [mx.cpu()], config=config)
    fill_with_recipe(pipe.network)
    return pipe
