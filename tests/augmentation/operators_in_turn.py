"""Tests that run twice, with MXNet's operators and with the fast ones."""

import mxnet as mx
import pytest

from maskflownet.kernels import use_fast

IN_USE = {"fast": False}


@pytest.fixture(autouse=True, params=["builtin", "auto"])
def each_kind_of_operators(request, monkeypatch):
    fast = use_fast(request.param, [mx.cpu()])
    if request.param == "auto" and not fast:
        pytest.skip("the fast operators cannot run here")
    monkeypatch.setitem(IN_USE, "fast", fast)
