"""Whose operators the networks run on: tests of what the networks compute run with both."""

import mxnet as mx
import pytest

from maskflownet import kernels


@pytest.fixture(scope="module", params=kernels.CHOICES)
def operators(request):
    """Have every pipeline that says nothing else run on these operators; "auto" or "builtin"."""
    if request.param == "auto" and not kernels.use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators are not built or cannot run here: try `make kernels`")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(kernels.VARIABLE, request.param)
        yield request.param
