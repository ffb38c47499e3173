"""`precision="bf16"`: products of rounded numbers, where the processor has a unit for them."""

from maskflownet import runtime  # noqa: F401  (before MXNet)

# isort: split
import mxnet as mx
import numpy as np
import pytest
from main_runs import error_of

import maskflownet
from maskflownet import kernels
from maskflownet.config import load_config, load_dataset_config
from maskflownet.config.errors import InputError
from maskflownet.network import get_pipeline
from maskflownet.reader.datasets import make_dataset

CPU = [mx.cpu()]


@pytest.fixture(scope="module")
def has_unit():
    if not kernels.use_fast("auto", CPU) or kernels.vector_unit() not in kernels.BF16_UNITS:
        pytest.skip("this processor has no unit for bf16, or the fast operators are not built")


@pytest.fixture(scope="module")
def pair():
    dataset = make_dataset(load_dataset_config("synthetic_easy"), "valid")
    return dataset[0]


def test_flow_of_trained_weights_is_nearly_the_same(has_unit, pair):
    flows = [
        next(maskflownet.load(precision=precision).predict([pair.image1], [pair.image2])).flow
        for precision in kernels.PRECISIONS
    ]
    difference = np.linalg.norm(flows[1] - flows[0], axis=-1)
    assert 1e-5 < difference.mean() < 0.02  # 1e-5: it is another computation


def test_a_training_step_is_nearly_the_same(has_unit):
    rng = np.random.default_rng(0)
    images = [mx.nd.array(rng.random((2, 3, 64, 128)) - 0.5) for _ in "12"]
    gradients = []
    for precision in kernels.PRECISIONS:
        mx.random.seed(0)
        pipe = get_pipeline("MaskFlownet", CPU, load_config("MaskFlownet_S"), precision=precision)
        with mx.autograd.record():
            loss = sum((flow**2).sum() for flow in pipe.network(*images)[0])
        loss.backward()
        arrays = [array.grad().asnumpy() for array in pipe.network.collect_params().values()]
        gradients.append(np.concatenate([array.ravel() for array in arrays]))
    scale = np.linalg.norm(gradients[0])
    assert 1e-6 < np.linalg.norm(gradients[1] - gradients[0]) / scale < 0.05


@pytest.mark.parametrize("choice", ["builtin", "auto"])
def test_where_it_cannot_be_it_is_refused(choice, monkeypatch):
    monkeypatch.setattr(kernels, "vector_unit", lambda: "avx512")
    with pytest.raises(InputError, match="precision bf16: it takes the fast operators on a"):
        get_pipeline(
            "MaskFlownet", CPU, load_config("MaskFlownet_S"), kernels=choice, precision="bf16"
        )


def test_another_precision_lists_those_that_there_are():
    with pytest.raises(InputError, match="precision 'fp16': expected one of float32, bf16"):
        get_pipeline("MaskFlownet", CPU, load_config("MaskFlownet_S"), precision="fp16")


def test_the_program_says_so_in_a_line(capsys):
    argv = ["--valid", "--dataset_cfg", "synthetic_easy", "--precision", "bf16"]
    assert "precision bf16" in error_of(capsys, [*argv, "--kernels", "builtin"])
