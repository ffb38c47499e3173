"""Cost volumes in PyTorch: by their definition, and the GPU's kernels in Triton's interpreter."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from maskflownet.config.files import ROOT

torch = pytest.importorskip("torch")

from maskflownet.torch_training.cost_volume import CostVolume  # noqa: E402

SHAPES = [(4, 6, 7, 10), (2, 33, 5, 20)]  # reach, channels, height, width
# The interpreter must be asked for before Triton is imported.
ON_A_GPU = """
import torch
from maskflownet.torch_training import cost_volume as module

torch.manual_seed(0)
for reach, channels, height, width in {shapes}:
    one, other = (torch.randn(2, height, width, channels) for _ in "12")
    wanted = module._volume(one, other, reach)
    block, pixels = module._blocks(width, channels)
    programs = 2 * height, module.triton.cdiv(width, pixels)
    sizes = height, width, channels
    volume = torch.full_like(wanted, 9)
    module._volume_kernel[programs](one, other, volume, *sizes, reach, block, pixels)
    torch.testing.assert_close(volume, wanted, atol=1e-5, rtol=0)
    given = torch.randn_like(wanted)
    for sign, features in ((1, other), (-1, one)):
        wanted = module._gradient(given, features, reach, sign)
        gradient = torch.full_like(features, 9)
        last = sign, reach, block, pixels
        module._gradient_kernel[programs](given, features, gradient, *sizes, *last)
        torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=0)
print("equal")
"""


@pytest.mark.parametrize(("reach", "channels", "height", "width"), SHAPES)
def test_volume_and_gradients_are_those_of_the_definition(reach, channels, height, width):
    torch.manual_seed(0)
    one, other = (torch.randn(2, height, width, channels, requires_grad=True) for _ in "12")
    padded = torch.nn.functional.pad(other, (0, 0, reach, reach, reach, reach))
    steps = range(2 * reach + 1)
    maps = [padded[:, dy : dy + height, dx : dx + width] for dy in steps for dx in steps]
    wanted = torch.stack([(one * at).mean(3) for at in maps], 3)
    got = CostVolume.apply(one, other, reach)
    torch.testing.assert_close(got, wanted)
    given = torch.randn_like(wanted)
    for pair in zip(
        torch.autograd.grad((got * given).sum(), (one, other)),
        torch.autograd.grad((wanted * given).sum(), (one, other)),
        strict=True,
    ):
        torch.testing.assert_close(*pair, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_the_kernels_for_gpus_do_the_same():
    result = subprocess.run(
        [sys.executable, "-c", ON_A_GPU.format(shapes=SHAPES)],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert result.stdout == "equal\n", result.stderr
