"""PyTorch 2 in the same process, where it is installed: either may be imported first."""

from importlib.util import find_spec

import pytest
from processes import printed_numbers

FIRST = {
    "PyTorch": "import torch\nfrom maskflownet import runtime\nimport mxnet as mx\n",
    "MXNet": "from maskflownet import runtime\nimport mxnet as mx\nimport torch\n",
}
# A prediction, steps of both libraries in turn, and the same prediction as one without PyTorch.
WORK = """
import numpy as np
from maskflownet import get_pipeline, load_config
from maskflownet.tasks.training.weights import seed_generators

seed_generators(3)
pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
(prediction,) = pipe.predict(*images[:, None])
print(*prediction.flow.mean(axis=(0, 1)))
batch = images.transpose(0, 3, 1, 2)
layer = torch.nn.Conv2d(3, 2, 3) if TORCH else None
for _ in range(3):
    figures = pipe.train_batch(
        batch, batch, np.ones((2, 2, 64, 64), np.float32), lambda *all: all, lambda *both: both
    )
    assert figures["updated"], figures
    if TORCH:
        layer(torch.from_dlpack(batch).float()).square().mean().backward()
print(figures["loss"])
(tensors,) = pipe.predict(*map(list, (torch.from_numpy(images) if TORCH else images)[:, None]))
print(*tensors.flow.mean(axis=(0, 1)))
"""


def numbers(first, torch):
    return printed_numbers(first + f"TORCH = {torch}\n" + WORK)


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("first", FIRST)
def test_flow_and_training_are_the_same_beside_pytorch(first):
    alone = numbers("from maskflownet import runtime\nimport mxnet as mx\n", torch=False)
    assert numbers(FIRST[first], torch=True) == pytest.approx(alone, rel=1e-3, abs=1e-4)
