"""How the random numbers are seeded that fresh weights are made of."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("change", ["torch", "no gluoncv"])
def test_without_gluoncv_the_same_numbers_are_drawn(change, tmp_path):
    """Beside PyTorch 2 gluoncv refuses to load; its stand-in fails if it is asked to."""
    code = (
        "import random; from maskflownet import runtime; import mxnet as mx, numpy as np; "
        "from maskflownet.tasks.training import weights; "
        "weights.seed_generators(5); "
        "print(random.random(), np.random.rand(), mx.nd.random.uniform().asscalar())"
    )
    hide = (
        "import importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *rest: None if name == 'gluoncv' else find(name, *rest); "
    )
    before = hide if change == "no gluoncv" else ""
    (tmp_path / "gluoncv.py").write_text("raise RuntimeError('Legacy torch')")
    if change == "torch":
        (tmp_path / "torch.py").touch()
    drawn = []
    for path, first in (("", ""), (str(tmp_path), before)):
        done = subprocess.run(
            [sys.executable, "-c", first + code],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        drawn.append(done.stdout)
    assert drawn[0] == drawn[1]
