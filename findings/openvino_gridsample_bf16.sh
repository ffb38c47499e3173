#!/usr/bin/env bash
# OpenVINO on a CPU with bfloat16: by default GridSample reads other pixels than those asked for.
#
# A model warps a ramp, whose values are its columns' numbers, by a flow of zero: the grid of the
# pixels' own places goes through a convolution that copies it, and into GridSample. One would guess
# that the result is the ramp, in whatever precision the convolution is computed. But OpenVINO
# computes in bfloat16 where the processor can, unasked and without a word, and the grid has 8 bits
# then: at a width of 1024 columns are off by up to a pixel. A hint to use f32 mends it.
#
# Seen 2026-11-27 with openvino 2026.4.1, onnx 1.23.2 (PyPI, numpy 2.2.6, Python 3.11, Linux x86-64,
# a Xeon with avx512_bf16):
#   default precision: bf16
#   default: columns off by up to 1.0 pixels
#   f32: columns off by up to 0.0 pixels
# A processor without bfloat16 has nothing to show: the script says so and exits with 0.
# Exits with 1 if OpenVINO does something else.
set -eu
grep -q avx512_bf16 /proc/cpuinfo || { echo "this processor has no bfloat16"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 onnx==1.23.2 numpy==2.2.6 ml_dtypes==0.5.4
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEIGHT = 1024, 8
copy = np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1)
nodes = [
    helper.make_node("Conv", ["places", "copy"], ["copied"]),
    helper.make_node("Transpose", ["copied"], ["grid"], perm=[0, 2, 3, 1]),
    helper.make_node(
        "GridSample",
        ["image", "grid"],
        ["out"],
        mode="linear",
        padding_mode="border",
        align_corners=1,
    ),
]
inputs = [
    helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, HEIGHT, WIDTH]),
    helper.make_tensor_value_info("places", TensorProto.FLOAT, [1, 2, HEIGHT, WIDTH]),
]
output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, HEIGHT, WIDTH])
graph = helper.make_graph(nodes, "warp", inputs, [output], [numpy_helper.from_array(copy, "copy")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
onnx.checker.check_model(model)
onnx.save(model, "warp.onnx")

columns = np.tile(np.arange(WIDTH, dtype=np.float32), (HEIGHT, 1))
rows = np.tile(np.arange(HEIGHT, dtype=np.float32)[:, None], (1, WIDTH))
places = np.stack([2 * columns / (WIDTH - 1) - 1, 2 * rows / (HEIGHT - 1) - 1])[None]
core = openvino.Core()
off = {}
for name, settings in {"default": {}, "f32": {"INFERENCE_PRECISION_HINT": "f32"}}.items():
    compiled = core.compile_model("warp.onnx", "CPU", settings)
    if name == "default":
        print("default precision:", compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
    result = compiled([columns[None, None], places])[0]
    off[name] = float(abs(result[0, 0] - columns).max())
    print(f"{name}: columns off by up to {off[name]:.1f} pixels")
assert off["f32"] < 0.01
assert off["default"] > 0.5, "the behaviour has changed"
PYTHON
