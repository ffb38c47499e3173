"""What a parameter file holds, whichever program wrote it: its arrays by our or legacy names.

Known are the forms in which MXNet saves parameters, PyTorch's (`network.files.torch_file`) and
safetensors'. What a file is shows in its first bytes and in the names of its arrays, not in the
file's name.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mxnet as mx

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.network.files.layout import LayoutError, check_layout
from maskflownet.network.files.marks import Marks, split_marks
from maskflownet.network.files.ports import is_of_mmflow, with_our_names
from maskflownet.network.files.safetensors_file import (
    is_safetensors_file,
    read_safetensors_file,
)
from maskflownet.network.files.torch_file import is_torch_file, read_torch_file

# What `export` and Module put in front of all names, and the layer that shows where a name without
# the root's own prefix begins: of a cascade, and of a MaskFlownet_S.
_KIND = re.compile(r"(arg|aux):")
_FIRST_LAYERS = ("hybridsequential0_conv1xweight", "hybridsequential0_conv1aweight")


class Held(NamedTuple):
    """The arrays of a file.

    Attributes
    ----------
    arrays : dict
        {name: NDArray or numpy.ndarray}: structured or legacy names where the file is of a network
        of this project, of the original or of one of their ports; else as in the file.
    marks : network.files.marks.Marks
        What the arrays alone do not tell. (Weights that MMFlow itself saved are told by their
        names.)
    """

    arrays: dict[str, Any]
    marks: Marks


def read_held(path: str | os.PathLike) -> Held:
    """Read a parameter file.

    Parameters
    ----------
    path : str or os.PathLike

    Raises
    ------
    InputError
        In one line: it is none, is damaged, or (PyTorch's) would need more than arrays.
    MissingDataError
        There is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"{path}: there is no such parameter file")
    reader = _reader_of_ports(path)
    if reader is not None:
        arrays = reader(path)
        marks = Marks("mmflow" if is_of_mmflow(arrays) else "original")
        return Held(with_our_names(arrays), marks)
    arrays, marks = split_marks(_without_prefixes(_read_mxnet(path)))
    return Held(arrays, marks)


def _reader_of_ports(path):
    """Return what reads a file of the ports to PyTorch, None for other files."""
    if is_torch_file(path):
        return read_torch_file
    return read_safetensors_file if is_safetensors_file(path) else None


def _read_mxnet(path):
    try:
        # Files that were written in NumPy's mode are read in it alone.
        with mx.util.np_shape(check_layout(path)):
            arrays = mx.nd.load_frombuffer(path.read_bytes())  # MXNet opens UTF-8 names alone
    except (LayoutError, mx.base.MXNetError, UnicodeDecodeError) as error:
        reason = error if isinstance(error, LayoutError) else "MXNet cannot read it"
        raise InputError(
            f"{path}: expected an MXNet parameter file or a PyTorch checkpoint, got "
            f"{path.stat().st_size} bytes that are none: {reason}; copy it again, or use another"
        ) from error
    if not isinstance(arrays, dict):
        raise InputError(f"{path}: expected named arrays, got {len(arrays)} without names")
    return arrays


def _without_prefixes(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what MXNet puts in front of names unless `save_parameters` writes the file.

    `collect_params().save()` keeps the prefix of the network itself, such as "maskflownet_s0_" (so
    a MaskFlownet_S looks like a cascade's first stage); `export()` puts "arg:" before that.
    """
    named = {_KIND.sub("", name, count=1): array for name, array in arrays.items()}
    for layer in _FIRST_LAYERS:
        root = next((name.removesuffix(layer) for name in named if name.endswith(layer)), None)
        if root is not None and all(name.startswith(root) for name in named):
            return {name.removeprefix(root): array for name, array in named.items()}
    return named
