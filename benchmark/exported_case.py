"""A network in other runtimes beside the project's own paths, from two images to flow and mask."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from maskflownet import runtime  # noqa: F401  (before MXNet)
from maskflownet.config.layout import FINEST_STRIDE

# isort: split
import mxnet as mx
import numpy as np

from maskflownet.exporting import export
from maskflownet.network.layers import flip_axes, upsample

ONNXRUNTIME = "onnxruntime"
OPENVINO = {"openvino f32": "f32", "openvino bf16": "bf16"}


def exported_runner(pipe, case, side: str) -> Callable:
    """Return what runs a case once on one of the sides, and returns the flow (N, 2, H, W).

    Parameters
    ----------
    pipe : network.Pipeline
    case : benchmark.cases.Case
    side : str
        ONNXRUNTIME, one of OPENVINO, "torch", or that of the project that the pipeline is of.
    """
    rng = np.random.default_rng(0)
    shape = (case.batch, 3, *case.size_hw)
    images = [rng.uniform(-0.5, 0.5, shape).astype(np.float32) for _ in "12"]
    if side == "torch":
        from maskflownet.benchmark import torch_case

        return torch_case.forward_runner(pipe, images)
    if side not in (ONNXRUNTIME, *OPENVINO):
        return _own(pipe, images)
    threads = int(os.environ["OMP_NUM_THREADS"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export(pipe, path)
        if side in OPENVINO:
            return _openvino(path, images, threads, OPENVINO[side])
        return _onnxruntime(path, images, threads)


def _own(pipe, images):
    images = [mx.nd.array(image, pipe.ctx[0]) for image in images]

    def run():
        outputs = pipe.predictor(*images)
        flow = flip_axes(mx.nd, upsample(mx.nd, outputs[0][-1], FINEST_STRIDE))
        masks = [upsample(mx.nd, mask, FINEST_STRIDE) for mask in outputs[-1]]
        mx.nd.waitall()
        del masks  # made as the exported file makes it
        return flow.asnumpy()

    return run


def _onnxruntime(path, images, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for more by spinning would take time from the side that runs next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = dict(zip(("image1", "image2"), images, strict=True))
    return lambda: session.run(None, feed)[0]


def _openvino(path, images, threads, precision):
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    model = openvino.Core().compile_model(path, "CPU", settings)
    return lambda: model(images)[0]
