"""A pipeline's network as an ONNX model."""

import os

from maskflownet.config.errors import InputError
from maskflownet.config.layout import FINEST_STRIDE
from maskflownet.exporting import images
from maskflownet.exporting.graph import Graph, Value
from maskflownet.exporting.operators import Operators
from maskflownet.exporting.steps import OnnxSteps
from maskflownet.exporting.tracing import Traced
from maskflownet.network.network_size import MULTIPLE
from maskflownet.whole_file import whole_file

# Read by what was current two years before; newer ones would say nothing that is needed here.
OPSET, IR_VERSION = 20, 9
INPUTS = ("image1", "image2")
ABOUT_NETWORK = {
    "inputs": "image1, image2: float32 (batch, 3, height, width), values / 255 less the mean of "
    f"each channel (new images: BGR) over both images of a pair; height and width multiples of "
    f"{MULTIPLE}",
    "outputs": "flow: float32 (batch, 2, height, width), (x, y) pixels from image1 to image2; "
    "mask, where the network has one: float32 (batch, 1, height, width), near 1 where a pixel of "
    "image1 is visible in image2, near 0 where it is occluded",
}
ABOUT_IMAGES = {
    "inputs": "image1, image2: uint8 (batch, height, width, 3), any size, in the colour order of "
    "the training data (new images: BGR)",
    "outputs": "flow: float32 (batch, height, width, 2), (x, y) pixels from image1 to image2; "
    "mask, where the network has one: float32 (batch, height, width, 1), near 1 where a pixel of "
    "image1 is visible in image2, near 0 where it is occluded",
}


def require_onnx() -> None:
    """Raise InputError where the package that writes models is missing."""
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise InputError(
            'to export to .onnx the package "onnx" is needed, which is not installed: '
            "pip install onnx"
        ) from error


def write_onnx(pipe, path: str | os.PathLike, of_images: bool, resize) -> None:
    """Write a pipeline's network as an ONNX model, whole or not at all.

    Parameters are those of `exporting.export`.
    """
    model = make_model(pipe, of_images, resize)
    with whole_file(path) as part:
        part.write_bytes(model.SerializeToString())


def make_model(pipe, of_images: bool = False, resize: tuple[int, int] | None = None):
    """Return the onnx.ModelProto of a pipeline's network.

    Parameters are those of `exporting.export`.
    """
    from onnx import checker, helper

    graph = Graph()
    outputs = _images_outputs(pipe, graph, resize) if of_images else _network_outputs(pipe, graph)
    for name, value in outputs.items():
        graph.nodes.append(helper.make_node("Identity", [value], [name]))
    network = pipe.config.network.class_name
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network,
            [_tensor(name, 3, of_images, is_image=True) for name in INPUTS],
            [_tensor(name, CHANNELS[name], of_images) for name in outputs],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="maskflownet",
    )
    about = ABOUT_IMAGES if of_images else ABOUT_NETWORK
    helper.set_model_props(model, {"network": network, "config": pipe.config.name, **about})
    checker.check_model(model)
    return model


CHANNELS = {"flow": 2, "mask": 1}


def _tensor(name, channels, last, is_image=False):
    """Describe an input or output: its type, and its shape with the channels last or not."""
    from onnx import TensorProto, helper

    kind = TensorProto.UINT8 if last and is_image else TensorProto.FLOAT
    shape = ["batch", "height", "width"]
    shape.insert(3 if last else 1, channels)
    return helper.make_tensor_value_info(name, kind, shape)


def _network_outputs(pipe, graph):
    """Write the network; return {output: name}."""
    outputs = _run(pipe, graph, [Value(graph, name, 3) for name in INPUTS])
    return {name: value.name for name, value in outputs.items()}


def _images_outputs(pipe, graph, resize):
    """Write the network and what is around it; return {output: name}."""
    sizes = images.sizes_of(graph, INPUTS[0], resize)
    outputs = _run(pipe, graph, images.network_inputs(graph, INPUTS, sizes))
    back = {"flow": images.flow_back, "mask": images.mask_back}
    return {name: back[name](value, sizes) for name, value in outputs.items()}


def _run(pipe, graph, inputs):
    """Run the network's forward pass on two values; return {"flow": ..., "mask": ...} of them."""
    steps, operators = OnnxSteps(), Operators(graph)
    outputs = Traced(pipe.network, graph, steps).hybrid_forward(operators, *inputs)
    finest = {"flow": operators.flip(outputs[0][-1], axis=1)}
    if outputs[-1]:  # the last is the occlusion mask, if any; the cascade's second one is not
        finest["mask"] = outputs[-1][0]
    between = "half_pixel" if pipe.network.dialect.half_pixel else "asymmetric"
    return {name: steps.enlarge(value, FINEST_STRIDE, between) for name, value in finest.items()}
