"""Write `.states` files with the MXNet that runs this, so small that they can lie in tests/data.

Usage, in the root of the repository and with each of two Pythons, of which one holds MXNet 1.5.1
and the other MXNet 1.9.1 (tests/data/README.md says how to get them):
    PYTHONPATH=. python tests/data/make_states_fixtures.py tests/data/params_*.json

For each params_NET.json (a list of arrays in creation order) this makes states_NET_mxnet_VERSION.xz
beside it: what a Trainer saves that was given `collect_params()`, after three steps of Adam under a
gradient of (i + 1) / 64 for array number i (from 0). So each moment is constant, which compresses
well, and a mix-up shows. The first stage of a cascade is frozen.
"""

import sys

from maskflownet import runtime  # noqa: F401  (before anything imports MXNet)

# isort: split
import mxnet as mx
from fixture_files import make_fixtures
from mxnet import autograd, gluon

VERSIONS = ("1.5.1", "1.9.1")
STEPS = 3
FIRST_STAGE = "maskflownet_s0_"


def make_block(arrays):
    """Return a block with one parameter per entry of `arrays`, under its legacy name."""
    root = gluon.nn.HybridBlock(prefix="maskflownet0_")
    for array in arrays:
        frozen = array["legacy"].startswith(FIRST_STAGE)
        root.params.get(
            array["legacy"], shape=tuple(array["shape"]), grad_req="null" if frozen else "write"
        )
    root.collect_params().initialize(mx.init.Zero())
    return root


def train(trainer, parameters):
    """Take the steps; the gradient of array number i (from 0) is (i + 1) / 64."""
    for _ in range(STEPS):
        with autograd.record():
            losses = [
                (parameter.data() * (number / 64)).sum()
                for number, parameter in enumerate(parameters, start=1)
                if parameter.grad_req != "null"
            ]
        autograd.backward(losses)
        trainer.step(1)


def save_states(arrays, path):
    """Train and save what the Trainer then holds."""
    root = make_block(arrays)
    trainer = gluon.Trainer(root.collect_params(), "adam", {"learning_rate": 1e-4})
    train(trainer, [root.params.get(array["legacy"]) for array in arrays])
    trainer.save_states(str(path))


def main(argv=None):
    """Make the fixture of every list of arrays that is named."""
    if mx.__version__ not in VERSIONS:
        sys.exit(f"MXNet is {mx.__version__}: the fixtures are of {' and '.join(VERSIONS)}")
    make_fixtures(argv, __doc__, save_states, f"states_{{}}_mxnet_{mx.__version__}.xz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
