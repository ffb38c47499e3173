"""Parameter files: the released checkpoints' form and ours, checked name by name.

Files written by Gluon's `save_parameters` use structured names (`conv1a.0.weight`). The released
checkpoints use legacy names, the Gluon names without the root's prefix
(`hybridsequential0_conv1aweight`). Both load; ours are written with structured names.
"""

import os
from pathlib import Path

import mxnet as mx

from config.errors import InputError, MissingDataError
from network.parameter_file import LayoutError, check_layout
from reader.whole_file import whole_file

# An array that only files of that network have, in the structured and in the legacy form.
_SIGNATURES = {
    "MaskFlownet": (
        "MaskFlownet_S.conv1a.0.weight",
        "maskflownet_s0_hybridsequential0_conv1aweight",
    ),
    "MaskFlownet_S": ("conv1a.0.weight", "hybridsequential0_conv1aweight"),
}


def load_parameters(network, path):
    """Fill `network` with the arrays of a parameter file; nothing is changed on an error.

    Parameters
    ----------
    network : HybridBlock
        Initialised; a `MaskFlownet_S` or `MaskFlownet`.
    path : str or os.PathLike
        Structured or legacy names.

    Raises
    ------
    InputError
        In one line: the file is no parameter file or cut short, holds another network, lacks an
        array, has one too many or one of another shape.
    MissingDataError
        There is no such file.
    """
    arrays = _read_arrays(path)
    parameters = network._collect_params_with_prefix()
    arrays = _with_structured_names(arrays, network, parameters)
    _check(path, network, parameters, arrays)
    for name, parameter in parameters.items():
        parameter.set_data(arrays[name].astype(parameter.dtype))


def save_parameters(network, path):
    """Write the network's arrays to `path`, with structured names, whole or not at all.

    Parameters
    ----------
    network : HybridBlock
        Initialised.
    path : str or os.PathLike

    Raises
    ------
    OSError
        In one line: not all could be written; what was at `path` before is still there.
    """
    with whole_file(path) as part:
        try:
            network.save_parameters(str(part))
            # MXNet says nothing where the last bytes fail to reach a full disk.
            check_layout(part)
        except (LayoutError, mx.base.MXNetError) as error:
            written = part.stat().st_size if part.exists() else 0
            raise OSError(
                f"{path}: cannot be written whole: the disk took {written} bytes and then no more"
            ) from error


def _read_arrays(path):
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"{path}: there is no such parameter file")
    try:
        check_layout(path)
        arrays = mx.nd.load(os.fspath(path))
    except (LayoutError, mx.base.MXNetError, UnicodeDecodeError) as error:
        reason = error if isinstance(error, LayoutError) else "MXNet cannot read it"
        raise InputError(
            f"{path}: expected an MXNet parameter file, got {path.stat().st_size} bytes that are "
            f"none: {reason}; copy or download it again"
        ) from error
    if not isinstance(arrays, dict):
        raise InputError(f"{path}: expected named arrays, got {len(arrays)} without names")
    return arrays


def _with_structured_names(arrays, network, parameters):
    """Rename legacy names of this network; whatever else is there stays, to be complained of."""
    legacy = {parameter.name[len(network.prefix) :]: name for name, parameter in parameters.items()}
    return {legacy.get(name, name): array for name, array in arrays.items()}


def held_network(path):
    """Return the name of the network that a parameter file is of, or None if it is of neither.

    Raises
    ------
    InputError, MissingDataError
        As `load_parameters`.
    """
    return _network_of(_read_arrays(path))


def _network_of(names):
    """Return which network a file with these array names is of, or None."""
    for network, signatures in _SIGNATURES.items():
        if any(signature in names for signature in signatures):
            return network
    return None


def _check(path, network, parameters, arrays):
    wanted = type(network).__name__
    missing = [name for name in parameters if name not in arrays]
    extra = [name for name in arrays if name not in parameters]
    held = _network_of(arrays)
    if missing and held not in (wanted, None):
        raise InputError(
            f"{path}: holds a {held}, but the configuration is of a {wanted}; "
            f"use a configuration of class {held}, such as {held}.yaml"
        )
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
    for name, parameter in parameters.items():
        if arrays[name].shape != parameter.shape:
            raise InputError(
                f"{path}: {name}: expected shape {parameter.shape}, got {arrays[name].shape}; "
                "was it trained with another `network` section?"
            )
