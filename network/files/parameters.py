"""Parameter files: the released checkpoints' form, ours and the ports', checked name by name.

Files written by Gluon's `save_parameters` use structured names (`conv1a.0.weight`). The released
checkpoints use legacy names, the Gluon names without the root's prefix
(`hybridsequential0_conv1aweight`). Both load, and what `network.files.held` knows besides; ours are
written with structured names.
"""

import os
from typing import Any

import mxnet as mx
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.network.files.held import read_held
from maskflownet.network.files.layout import LayoutError, check_layout
from maskflownet.network.files.marks import marks_of
from maskflownet.network.files.variant import network_keys, network_of
from maskflownet.whole_file import whole_file


def load_parameters(network: Any, path: str | os.PathLike) -> None:
    """Fill `network` with the arrays of a parameter file; nothing is changed on an error.

    Parameters
    ----------
    network : HybridBlock
        Initialised; a `MaskFlownet_S` or `MaskFlownet`.
    path : str or os.PathLike
        MXNet's or PyTorch's; see `network.files.held.read_held`.

    Raises
    ------
    InputError
        In one line: the file is no parameter file or cut short, holds another network, lacks an
        array, has one too many or one of another shape, is of the other dialect, or holds others
        than finite floats.
    MissingDataError
        There is no such file.
    """
    held = read_held(path)
    parameters = network._collect_params_with_prefix()
    arrays = _with_structured_names(held.arrays, network, parameters)
    _check_marks(path, network, held)
    _check(path, network, parameters, arrays)
    _check_values(path, arrays)
    for name, parameter in parameters.items():
        parameter.set_data(_as_ndarray(arrays[name], parameter.dtype))


def save_parameters(network: Any, path: str | os.PathLike) -> None:
    """Write the network's arrays to `path`, with structured names, whole or not at all.

    Parameters
    ----------
    network : HybridBlock
        Initialised.
    path : str or os.PathLike

    Raises
    ------
    OSError
        As `save_arrays`.
    """
    save_arrays(_arrays_to_save(network), path)


def save_arrays(arrays: dict[str, Any], path: str | os.PathLike) -> None:
    """Write NDArrays by name to `path` in MXNet's form, whole or not at all.

    Wherever they are, the file is of arrays on a CPU: MXNet notes the device, and wants it back.

    Raises
    ------
    InputError
        The path is not in UTF-8.
    OSError
        In one line: not all could be written; what was at `path` before is still there.
    """
    check_name(path)
    with whole_file(path) as part:
        try:
            on_cpu = {name: array.as_in_context(mx.cpu()) for name, array in arrays.items()}
            mx.nd.save(os.fspath(part), on_cpu)
            # MXNet says nothing where the last bytes fail to reach a full disk.
            check_layout(part)
        except (LayoutError, mx.base.MXNetError) as error:
            written = part.stat().st_size if part.exists() else 0
            raise OSError(
                f"{path}: cannot be written whole: the disk took {written} bytes and then no more"
            ) from error


def check_name(path: str | os.PathLike) -> None:
    """Raise InputError where MXNet cannot write to a path because its bytes are not UTF-8."""
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        shown = os.fspath(path).encode("utf-8", "backslashreplace").decode()
        raise InputError(
            f"{shown}: expected a name in UTF-8, for MXNet writes to no other; give another one"
        ) from None


def _arrays_to_save(network):
    """Return the network's arrays by structured names, and its marks."""
    arrays = {
        name: parameter.data(parameter.list_ctx()[0])
        for name, parameter in network._collect_params_with_prefix().items()
    }
    return arrays | {mark: mx.nd.zeros(1) for mark in marks_of(network)}


def _as_ndarray(array, dtype):
    """Return an array of a file, whichever library read it, as an NDArray of that type."""
    if isinstance(array, mx.nd.NDArray):
        return array.astype(dtype)
    return mx.nd.array(np.asarray(array), mx.cpu(), dtype)


def _with_structured_names(arrays, network, parameters):
    """Rename legacy names of this network; whatever else is there stays, to be complained of."""
    legacy = {parameter.name[len(network.prefix) :]: name for name, parameter in parameters.items()}
    return {legacy.get(name, name): array for name, array in arrays.items()}


def held_network(path: str | os.PathLike) -> str | None:
    """Return the name of the network that a parameter file is of, or None if it is of neither.

    Raises
    ------
    InputError, MissingDataError
        As `load_parameters`.
    """
    return network_of(read_held(path).arrays)


def _check(path, network, parameters, arrays):
    wanted = type(network).__name__
    missing = [name for name in parameters if name not in arrays]
    extra = [name for name in arrays if name not in parameters]
    misshapen = [
        name
        for name, parameter in parameters.items()
        if name not in missing and arrays[name].shape != parameter.shape
    ]
    if not (missing or extra or misshapen):
        return
    held = network_of(arrays)
    if missing and held not in (wanted, None):
        raise InputError(
            f"{path}: holds a {held}, but the configuration is of a {wanted}; "
            f"use a configuration of class {held}, such as "
            f"{fitting_config(held, network.dialect.name)}"
        )
    if held == wanted:
        _check_variant(path, wanted, parameters, arrays)
    if missing or extra:
        parts = [
            f"{len(names)} {what} (first: {names[0]})"
            for what, names in (("missing", missing), ("unknown", extra))
            if names
        ]
        raise InputError(
            f"{path}: expected the {len(parameters)} arrays of a {wanted}, got {len(arrays)}: "
            f"{', '.join(parts)}; was it trained with another `network` section?"
        )
    name = misshapen[0]
    raise InputError(
        f"{path}: {name}: expected shape {parameters[name].shape}, got {arrays[name].shape}; "
        "was it trained with another `network` section?"
    )


def _check_values(path, arrays):
    """Raise InputError unless all values are floats and finite: no flow comes of others."""
    for name, array in arrays.items():
        values = array.asnumpy() if isinstance(array, mx.nd.NDArray) else array
        if values.dtype.kind != "f":
            raise InputError(
                f"{path}: {name}: expected floats, got {values.dtype}; were they made smaller for "
                "another program? Use the checkpoint that they were made from"
            )
        if not np.isfinite(values).all():
            raise InputError(
                f"{path}: {name}: expected finite numbers, got NaN or infinity; the training that "
                "wrote it had lost its loss: use an earlier checkpoint"
            )


def _check_marks(path, network, held):
    """Raise InputError where the weights were trained in another dialect or unit of flow."""
    name, (dialect, multiplier) = network_of(held.arrays), held.marks
    if name is not None and dialect != network.dialect.name:
        raise InputError(
            f"{path}: holds a {name} of network.dialect {dialect}, but the configuration has "
            f"{network.dialect.name}; use one of that dialect, such as "
            f"{fitting_config(name, dialect)}"
        )
    if name is not None and multiplier not in (1, network.flow_multiplier):
        raise InputError(
            f"{path}: holds a {name} of network.flow_multiplier {multiplier:g}, but the "
            f"configuration has {network.flow_multiplier:g}; use one that has {multiplier:g}"
        )


def fitting_config(name: str, dialect: str) -> str:
    """Return a config of a network and dialect."""
    return f"mmflow/{name}_things3d.yaml" if dialect == "mmflow" else f"{name}.yaml"


def _check_variant(path, network, parameters, arrays):
    """Raise InputError where the arrays tell that a key of the config was another."""
    wanted, held = (
        network_keys({name: array.shape for name, array in named.items()})
        for named in (parameters, arrays)
    )
    differing = {key: value for key, value in held.items() if wanted.get(key) != value}
    if differing:
        was, now = (
            ", ".join(f"network.{key}: {_yaml(keys.get(key))}" for key in differing)
            for keys in (held, wanted)
        )
        raise InputError(
            f"{path}: holds a {network} with {was}, but the configuration is of one with {now}; "
            f"use a configuration with {was} (config/ablation/ has some)"
        )


def _yaml(value):
    """Return a key's value as it stands in a config file."""
    return str(value).lower() if isinstance(value, bool) else value
