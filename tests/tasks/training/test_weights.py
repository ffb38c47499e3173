"""How the random numbers are seeded that fresh weights are made of."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def test_beside_pytorch_the_same_numbers_are_drawn(tmp_path):
    """PyTorch 2 is stood in for by what gluoncv asks of it: its version."""
    code = (
        "import random; from maskflownet import runtime; import mxnet as mx, numpy as np; "
        "from maskflownet.tasks.training import weights; "
        "weights.seed_generators(5); "
        "print(random.random(), np.random.rand(), mx.nd.random.uniform().asscalar())"
    )
    (tmp_path / "torch.py").write_text("__version__ = '2.1.0'")
    drawn = []
    for path in ("", str(tmp_path)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        drawn.append(done.stdout)
    assert drawn[0] == drawn[1]
