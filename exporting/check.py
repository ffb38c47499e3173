"""Whether an exported file computes what the pipeline does: both run on the same pairs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.exporting import MXNET, ONNX, form_of
from maskflownet.network.images import checked_pair, network_inputs

# (pairs, height, width); the last three are for models of images alone.
NETWORK_CASES = ((1, 64, 64), (2, 128, 192), (1, 64, 448))
IMAGE_CASES = (*NETWORK_CASES, (2, 61, 100), (1, 150, 333), (1, 64, 65))
AGREEMENT_PX = 1e-3


class Difference(NamedTuple):
    """The largest differences between an exported file and the pipeline.

    Attributes
    ----------
    runtime : str
        What ran the file: "onnxruntime 1.32.0".
    flow : float
        Pixels.
    mask : float or None
        None for a network without a mask.
    largest : float
        The largest component of the pipeline's flow there, pixels.
    """

    runtime: str
    flow: float
    mask: float | None
    largest: float


def check(pipe, path: str | os.PathLike, images: bool = False, resize=None) -> list[Difference]:
    """Run an exported file beside the pipeline that it was made of, on pairs of several sizes.

    The pipeline runs on MXNet's own operators, which are what the file repeats: the fast ones have
    rounding of their own.

    An ONNX model runs in ONNX Runtime and in OpenVINO, whichever is installed, on the CPU in
    float32; MXNet's own form in MXNet.

    Parameters are those of `exporting.export`.

    Raises
    ------
    InputError
        The file holds weights alone; nothing is installed that runs it; or its flow is off by
        more than 0.001 px.
    """
    if form_of(path) not in (ONNX, MXNET):
        raise InputError(f"{path}: is written, but holds weights alone: nothing there can be run")
    runners = _onnx_runners if form_of(path) == ONNX else _mxnet_runners
    cases = IMAGE_CASES if images else NETWORK_CASES
    plain = pipe.on_builtin()
    differences = [
        _difference(plain, name, run, cases, images, resize) for name, run in runners(path, pipe)
    ]
    if not differences:
        raise InputError(
            f"{path}: is written, but nothing is installed to check it with: pip install "
            "onnxruntime (or openvino)"
        )
    for one in differences:
        if not one.flow <= AGREEMENT_PX:
            raise InputError(
                f"{path}: its flow in {one.runtime} is off by {one.flow:.4f} px: expected at most "
                f"{AGREEMENT_PX} px; please report it"
            )
    return differences


def _difference(pipe, name, run, cases, images, resize):
    flows, masks, largest = [], [], 0.0
    for case in cases:
        pairs = make_pairs(*case)
        expected = list(pipe.predict_pairs(pairs, case[0], resize, wanted=("flow", "mask")))
        got = run(*(_stacked(pairs) if images else _centred(pairs)))
        if not images:
            got = [output.transpose(0, 2, 3, 1) for output in got]
        flow, *mask = got
        wanted = np.stack([one.flow for one in expected])
        flows.append(np.abs(flow - wanted).max())
        largest = max(largest, np.abs(wanted).max())
        if mask:
            masks.append(np.abs(mask[0] - np.stack([one.mask for one in expected])).max())
    return Difference(name, float(max(flows)), float(max(masks)) if masks else None, float(largest))


def make_pairs(count: int, height: int, width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of textured uint8 (height, width, 3) images, the second one moved and turned."""
    rng = np.random.default_rng(height + width)
    pairs = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
        image1 = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-8, 8), 1.05)
        turn[:, 2] += rng.uniform(-6, 6, 2)
        image2 = cv2.warpAffine(image1, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
        pairs.append((image1, image2))
    return pairs


def _stacked(pairs):
    return [np.stack(images) for images in zip(*pairs, strict=True)]


def _centred(pairs):
    import mxnet as mx

    inputs = network_inputs([checked_pair(*pair, None) for pair in pairs], mx.cpu())
    return [array.asnumpy() for array in inputs]


Runner = Callable[[np.ndarray, np.ndarray], list[np.ndarray]]


def _onnx_runners(path, pipe) -> Iterator[tuple[str, Runner]]:
    """Yield the installed runtimes that run ONNX models: name, and what runs the model."""
    # As bytes, for they take no path whose bytes are not UTF-8.
    try:
        import onnxruntime
    except ImportError:
        pass
    else:
        session = onnxruntime.InferenceSession(
            Path(path).read_bytes(), providers=["CPUExecutionProvider"]
        )
        names = [one.name for one in session.get_inputs()]
        yield (
            f"onnxruntime {onnxruntime.__version__}",
            lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True))),
        )
    try:
        import openvino
    except ImportError:
        return
    core = openvino.Core()
    # Without the hint it computes in bfloat16 where the processor can.
    network = core.read_model(Path(path).read_bytes(), b"")
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    version = openvino.get_version().split("-")[0]
    yield f"openvino {version}", lambda *arrays: list(compiled(arrays).values())


def _mxnet_runners(folder, pipe) -> Iterator[tuple[str, Runner]]:
    """Yield what runs MXNet's own form."""
    import mxnet as mx

    from maskflownet.exporting.mxnet_form import INPUTS, prefix_of

    symbol, arrays, _ = mx.model.load_checkpoint(prefix_of(pipe, folder), 0)

    def run(*images):
        inputs = dict(zip(INPUTS, map(mx.nd.array, images), strict=True))
        outputs = symbol.bind(mx.cpu(), {**arrays, **inputs}).forward()
        return [output.asnumpy() for output in outputs]

    yield f"mxnet {mx.__version__}", run
