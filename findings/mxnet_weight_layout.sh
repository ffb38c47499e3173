#!/bin/sh
# MXNet 1.9.1 (mxnet==1.9.1, numpy==1.23.5, Python 3.11, Linux x86-64), 2026-11-27.
#
# A convolution's weight cannot be assigned from NumPy any more once the convolution has run for
# prediction: on a CPU oneDNN then reorders the weight in place, into a layout of its own, and
# `weight[:] = array` raises "We can't generate TBlob for MKLDNN data". One would guess that a call
# that only reads its weight leaves it as it was, and that an assignment works at any time. Nor does
# a copy from another NDArray bring the plain layout back; writing a constant first does. Within
# autograd.record() the weight stays as it is.
#
# Seen (the script's output):
#   before prediction: assigned
#   after training: assigned
#   after prediction: refused
#   after prediction and a copy: refused
#   after prediction and zero: assigned
#
# Ends with 0 while it is so, else with 1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q mxnet==1.9.1 numpy==1.23.5
cat > "$folder/assign.py" <<'PROGRAM'
import mxnet as mx
import numpy as np
from mxnet import autograd

VALUES = np.arange(16 * 16 * 9, dtype=np.float32).reshape(16, 16, 3, 3)
IMAGE = mx.nd.ones((1, 16, 32, 32))


def weight_after(train, then=lambda weight: None):
    weight = mx.nd.array(VALUES)
    weight.attach_grad()
    with autograd.record() if train else autograd.pause():
        result = mx.nd.Convolution(
            IMAGE, weight, kernel=(3, 3), pad=(1, 1), num_filter=16, no_bias=True
        )
    result.wait_to_read()
    mx.nd.waitall()
    assert (weight.asnumpy() == VALUES).all()  # what it holds is the same in any layout
    then(weight)
    mx.nd.waitall()
    return weight


def copy_itself(weight):
    weight[:] = mx.nd.array(weight.asnumpy())


def zero(weight):
    weight[:] = 0


def assign(weight):
    try:
        weight[:] = VALUES
        weight.wait_to_read()
    except mx.base.MXNetError:
        return "refused"
    return "assigned"


found = {
    "before prediction": assign(mx.nd.array(VALUES)),
    "after training": assign(weight_after(train=True)),
    "after prediction": assign(weight_after(train=False)),
    "after prediction and a copy": assign(weight_after(False, copy_itself)),
    "after prediction and zero": assign(weight_after(False, zero)),
}
for when, outcome in found.items():
    print(f"{when}: {outcome}")
wanted = ["assigned", "assigned", "refused", "refused", "assigned"]
raise SystemExit(list(found.values()) != wanted)
PROGRAM
"$folder/venv/bin/python" "$folder/assign.py"
