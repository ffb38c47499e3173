"""A pipeline's network in MXNet's own form: a graph and its arrays, for MXNet without this project.

`mxnet.model.load_checkpoint`, `mxnet.gluon.SymbolBlock.imports` and MXNet's C interface read it.
"""

import json
import os
from pathlib import Path

import mxnet as mx

from maskflownet.config.layout import FINEST_STRIDE
from maskflownet.network.files.marks import marks_of
from maskflownet.network.files.parameters import check_name, save_arrays
from maskflownet.network.layers import flip_axes, upsample
from maskflownet.whole_file import make_folder, whole_file

INPUTS = ("image1", "image2")


def prefix_of(pipe, folder: str | os.PathLike) -> str:
    """Return with what the names of both files begin: FOLDER/NAME, the class of the network."""
    return os.fspath(Path(folder, pipe.config.network.class_name))


def write_mxnet(pipe, folder: str | os.PathLike) -> None:
    """Write NAME-symbol.json and NAME-0000.params, NAME the network's class, into a folder.

    All operators are MXNet's own.

    Parameters
    ----------
    pipe : network.Pipeline
    folder : str or os.PathLike
        Made where it is missing.
    """
    prefix = prefix_of(pipe, folder)
    check_name(prefix)
    make_folder(Path(folder))
    parameters = pipe.network._collect_params_with_prefix()
    names = {
        parameter.name: "/".join([*marks_of(pipe.network), name])
        for name, parameter in parameters.items()
    }
    graph = json.loads(_symbol(pipe).tojson())
    for node in graph["nodes"]:
        if node["op"] == "null":  # an input or an array, which gets its structured name
            node["name"] = names.get(node["name"], node["name"])
    arrays = {
        f"arg:{names[parameter.name]}": parameter.data(parameter.list_ctx()[0])
        for parameter in parameters.values()
    }
    save_arrays(arrays, f"{prefix}-0000.params")
    with whole_file(f"{prefix}-symbol.json") as part:
        part.write_text(json.dumps(graph, indent=1))


def _symbol(pipe):
    """Return the graph from two images to flow and mask of their size."""
    outputs = pipe.plain_network()(*map(mx.sym.var, INPUTS))
    finest = {"flow": flip_axes(mx.sym, outputs[0][-1])}
    if outputs[-1]:
        finest["mask"] = outputs[-1][0]
    half_pixel = pipe.network.dialect.half_pixel
    return mx.sym.Group(
        [mx.sym.identity(_enlarged(one, half_pixel), name=name) for name, one in finest.items()]
    )


def _enlarged(value, half_pixel):
    """Return what the network says at a quarter of its size, at its size."""
    if not half_pixel:
        return upsample(mx.sym, value, FINEST_STRIDE)
    factors = {"scale_height": FINEST_STRIDE, "scale_width": FINEST_STRIDE}
    return mx.sym.contrib.BilinearResize2D(value, **factors, align_corners=False)
