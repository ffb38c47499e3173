"""Write legacy-named checkpoints with MXNet 1.5.1 itself, so small that they can lie in tests/data.

Usage, with a Python that holds MXNet 1.5.1 (README.md beside this file says how to get one):
    python make_legacy_fixtures.py params_MaskFlownet_S.json params_MaskFlownet.json

For each params_NET.json (a list of arrays in creation order) this makes legacy_NET.params.xz beside
it. Array number i (from 0) is filled with (i + 1) / 64: exact in float32, so that a mix-up shows,
and constant, so that tens of megabytes compress to kilobytes.
"""

import sys

import mxnet as mx
from fixture_files import make_fixtures
from mxnet import gluon


def save_legacy(arrays, path):
    """Save one parameter per entry of `arrays` under its legacy name, as MXNet 1.5.1 writes it."""
    root = gluon.nn.HybridBlock(prefix="maskflownet0_")
    for number, array in enumerate(arrays, start=1):
        # The block puts its own prefix in front; save() takes it off again, as for a real network.
        root.params.get(
            array["legacy"], shape=tuple(array["shape"]), init=mx.init.Constant(number / 64)
        )
    parameters = root.collect_params()
    for parameter in parameters.values():
        # An own initializer is obeyed whatever the name ends in ("bias" would otherwise mean 0).
        parameter.initialize(ctx=mx.cpu())
    parameters.save(str(path), strip_prefix=root.prefix)


def main(argv=None):
    """Make the fixture of every list of arrays that is named."""
    if mx.__version__ != "1.5.1":
        sys.exit(f"MXNet is {mx.__version__}: only files written by MXNet 1.5.1 serve as fixtures")
    make_fixtures(argv, __doc__, save_legacy, "legacy_{}.params.xz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
