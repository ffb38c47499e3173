"""Small ONNX graphs, run in ONNX Runtime."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from maskflownet.exporting.graph import Graph, Value
from maskflownet.exporting.model import IR_VERSION, OPSET


def run_graph(write, *arrays):
    """Return what a graph computes of float32 arrays (N, C, H, W), all but C of any size.

    Parameters
    ----------
    write : callable
        (graph, *values) -> Value; it adds the nodes.
    """
    graph = Graph()
    values = [Value(graph, f"input{i}", array.shape[1]) for i, array in enumerate(arrays)]
    output = write(graph, *values)
    inputs = [
        helper.make_tensor_value_info(
            value.name, TensorProto.FLOAT, [f"n{i}", value.channels, f"h{i}", f"w{i}"]
        )
        for i, value in enumerate(values)
    ]
    result = helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [None] * 4)
    model = helper.make_model(
        helper.make_graph(graph.nodes, "test", inputs, [result], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {value.name: array for value, array in zip(values, arrays, strict=True)}
    (got,) = session.run(None, feed)
    assert got.shape[1] == output.channels
    return got.astype(np.float32)
