"""The Trainer's `.states` files: Adam's moments, with which a training goes on as if never stopped.

Such a file is a pickle of ({index: (mean, variance)}, optimizer), as `gluon.Trainer.save_states`
writes it. What the index means depends on who wrote the file: MXNet up to 1.5, given a dict of
parameters, numbers them in the order of their creation; from 1.6 it sorts them by name first. Ours
are numbered in the order of creation under any version, since our Trainer gets a list. A parameter
that was not trained (the cascade's frozen first stage) has an index, but no entry.

A pickle can run any code. So this one is read with stand-ins for the three classes that it needs,
which do nothing but keep what they are given, and any other class is refused.
"""

import io
import os
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import mxnet as mx
import numpy as np

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.network.files.layout import ARRAY_MAGIC, DENSE
from maskflownet.network.files.pickles import check_pickle
from maskflownet.whole_file import whole_file

MAX_BYTES = 1 << 30  # six times the moments of the larger network; what is larger is no such file
MAX_UPDATES = 1 << 31
PROTOCOL = 4  # of pickle: from Python 3.4 on; 3.14's own choice is one that MXNet 1.5 cannot read
FLOAT32 = 0  # as MXNet numbers types
# What the optimizer in a file of ours has beside Adam's own: which weights the moments belong to.
OF_WEIGHTS = "maskflownet_weights_crc32"


class Loaded(NamedTuple):
    """What was loaded.

    Attributes
    ----------
    updates : int
        How many updates the moments have seen.
    are_tied : bool
        Whether the file says which weights it belongs to.
    """

    updates: int
    are_tied: bool


def save_trainer_states(trainer: Any, path: str | os.PathLike) -> None:
    """Write Adam's moments and update counts to `path`, whole or not at all.

    MXNet 1.5 and later load the file with `Trainer.load_states`; there as here the parameters must
    be in the order of their creation, so from 1.6 on the Trainer must be given a list. The file
    also tells to which weights the moments belong.

    Parameters
    ----------
    trainer : mxnet.gluon.Trainer
    path : str or os.PathLike
    """
    optimizer = trainer.optimizer
    setattr(optimizer, OF_WEIGHTS, _fingerprint(trainer._params))
    try:
        updater = _updaters(trainer)[0]
        with whole_file(path) as part:
            # As Trainer.save_states, but there the version of Python decides on the protocol.
            part.write_bytes(pickle.dumps((updater.states, updater.optimizer), PROTOCOL))
    finally:
        delattr(optimizer, OF_WEIGHTS)


def _fingerprint(parameters):
    """Return what tells weights apart: the CRC-32 of their values, in order, as 8 hex digits."""
    checksum = 0
    for parameter in parameters:
        checksum = zlib.crc32(parameter.data(parameter.list_ctx()[0]).asnumpy(), checksum)
    return f"{checksum:08x}"


def load_trainer_states(
    trainer: Any, network: Any, path: str | os.PathLike, check_weights: bool = False
) -> Loaded:
    """Give `trainer` the moments and update counts of a file; nothing is changed on an error.

    Everything else stays as the trainer has it: learning rate, weight decay and Adam's constants
    are the configuration's business, whatever the file says of them.

    The file may be numbered by creation or by name. The order whose shapes (and, under a frozen
    first stage, whose missing entries) fit is taken; if both fit, the order of creation, which is
    ours. The two networks have shapes that leave no doubt. A file from before the first step holds
    no moments: the training then begins anew.

    Load the weights first: with several devices MXNet drops what its key-value store holds, the
    moments too, whenever it is given weights.

    Parameters
    ----------
    trainer : mxnet.gluon.Trainer
        Adam over `list(network.collect_params().values())`, on any number of devices.
    network : HybridBlock
        Initialised, its first stage frozen already if it shall be.
    path : str or os.PathLike
        Written by `save_trainer_states`, or by the Trainer of any MXNet 1.x.
    check_weights : bool
        Refuse a file that tells that it belongs to other weights than the network has.

    Returns
    -------
    Loaded

    Raises
    ------
    InputError
        In one line: the file is cut short, damaged or of another kind; unpickling it would need a
        class that is not Adam's; it lacks a trained parameter or has another shape for it; it
        holds what is not finite, or the moments of other weights than the network has.
    MissingDataError
        There is no such file.
    """
    path = Path(path)
    moments, counts, of_weights = _read(path)
    parameters = network._collect_params_with_prefix()
    if check_weights and of_weights not in (None, _fingerprint(parameters.values())):
        raise InputError(
            f"{path}: expected the moments that belong to the weights at hand, got those of "
            "another run or step; copy the file that was written with them, or remove this one to "
            "go on with fresh moments"
        )
    indices = _matched(path, network, parameters, moments) if moments else {}
    contexts = {ctx for parameter in parameters.values() for ctx in parameter.list_ctx()}
    _hand_over(
        trainer,
        states={
            own: tuple(mx.nd.array(moment, mx.cpu(), np.float32) for moment in moments[index])
            for own, index in indices.items()
        },
        counts={own: counts[index] for own, index in indices.items()},
        devices={ctx.device_id for ctx in contexts},
    )
    return Loaded(max(counts.values(), default=0), of_weights is not None)


# Reading without running.


class _Array:
    """Stands in for MXNet's NDArray and keeps its bytes."""

    def __init__(self, handle):
        """NDArray is called with None; the bytes come with `__setstate__`."""

    def __setstate__(self, state):
        self._content = state["handle"]

    def to_numpy(self):
        """Return the float32 array; which device it was saved from is of no interest."""
        magic, storage, dimensions = struct.unpack_from("<IiI", self._content)
        *shape, _, _, kind = struct.unpack_from(f"<{dimensions}qiii", self._content, 12)
        if (magic, storage, kind) != (ARRAY_MAGIC, DENSE, FLOAT32):
            raise ValueError("no dense array of float32")
        return np.frombuffer(self._content, "<f4", offset=24 + 8 * dimensions).reshape(shape)


class _Adam:
    """Stands in for the optimizer and keeps its attributes."""

    def __setstate__(self, state):
        self._attributes = state

    def attribute(self, name):
        """Return one of its attributes, None where it has none of that name."""
        return self._attributes.get(name)

    def update_counts(self):
        """Return [{index: number of updates}], one per device, which counts what it updates."""
        if "_all_index_update_counts" in self._attributes:
            return list(self._attributes["_all_index_update_counts"].values())
        return [self._attributes["_index_update_count"]]  # up to MXNet 1.4


class _Buffer:
    """Stands in for bytearray, which would make one of any size if given a number."""

    def __new__(cls, content):
        if not isinstance(content, bytes):
            raise TypeError("not bytes")
        return content


_STAND_INS = {
    "mxnet.ndarray.ndarray.NDArray": _Array,
    "mxnet.optimizer.optimizer.Adam": _Adam,
    "builtins.bytearray": _Buffer,
}


class _Unpickler(pickle.Unpickler):
    """Makes stand-ins; refuses every other class or function by name."""

    def __init__(self, file, path):
        super().__init__(file)
        self._path = path

    def find_class(self, module, name):
        """Return what stands in for module.name."""
        full_name = f"{module}.{name}"
        if full_name not in _STAND_INS:
            raise InputError(
                f"{self._path}: refused, since to unpickle it needs {full_name!r}: the moments of "
                f"Adam need only {', '.join(_STAND_INS)}; nothing of the file was run"
            )
        # A class of its own: a pickle can set attributes of whatever it is given.
        return type(name, (_STAND_INS[full_name],), {})


def _read(path):
    """Return {index: (mean, variance)}, {index: number of updates} and the weights' fingerprint.

    The indices are those of the file; the fingerprint is None where it has none.
    """
    if not path.is_file():
        raise MissingDataError(f"{path}: there is no such file of Adam's moments")
    size = path.stat().st_size
    try:
        if size > MAX_BYTES:
            raise ValueError("too large")
        content = io.BytesIO(path.read_bytes())
        check_pickle(content, MAX_BYTES)
        if content.tell() != size:
            raise ValueError("bytes follow its end")
        content.seek(0)
        moments, counts, of_weights = _contents(*_Unpickler(content, path).load())
    except InputError:
        raise
    except Exception as error:  # what damaged bytes raise depends on what they happen to mean
        raise InputError(
            f"{path}: expected Adam's moments as MXNet's Trainer saves them, got {size} bytes that "
            "are none: cut short, damaged or of another kind; copy the file again, or remove it to "
            "go on with fresh moments, or the weights beside it too to go on from the checkpoint "
            "before"
        ) from error
    for index, pair in moments.items():
        if not all(np.isfinite(moment).all() for moment in pair):
            raise InputError(
                f"{path}: expected finite moments, got NaN or infinity for array number {index}; "
                "remove the file to go on with fresh moments"
            )
    return moments, counts, of_weights


def _contents(states, optimizer):
    """Return moments, counts and fingerprint, or raise anything at all if they are none."""
    if not isinstance(optimizer, _Adam):
        raise TypeError("no optimizer")
    moments, counts = {}, {}
    for index, (mean, variance) in states.items():
        moments[index] = (mean.to_numpy(), variance.to_numpy())
        counts[index] = max(own[index] for own in optimizer.update_counts() if index in own)
    numbers = [*moments, *counts.values()]
    if not all(type(number) is int and 0 <= number < MAX_UPDATES for number in numbers):
        raise ValueError("no counts")
    return moments, counts, optimizer.attribute(OF_WEIGHTS)


# Which moments are whose.


def _matched(path, network, parameters, moments):
    """Return {index by creation: index in the file} of the trained parameters."""
    by_creation = list(parameters)
    by_name = sorted(parameters, key=lambda name: parameters[name].name)
    # The first of equals: by creation where both fit.
    order = min(by_creation, by_name, key=lambda names: len(_misfits(names, parameters, moments)))
    misfits = _misfits(order, parameters, moments)
    trained = [name for name in parameters if parameters[name].grad_req != "null"]
    if misfits:
        raise InputError(
            f"{path}: expected moments of the {len(trained)} trained arrays of a "
            f"{type(network).__name__}, got {len(moments)}: {misfits[0]}; was it written for "
            "another network or `network` section, or with another stage or levels frozen "
            "(optimizer.finest_level)? --clear_steps begins a new run with its weights"
        )
    return {by_creation.index(name): order.index(name) for name in trained}


def _misfits(names, parameters, moments):
    """Return what is wrong if moment i belongs to the i-th of these names, a line each."""
    misfits = [
        f"none for {name}"
        for index, name in enumerate(names)
        if parameters[name].grad_req != "null" and index not in moments
    ]
    for index, pair in moments.items():
        if index >= len(names):
            misfits.append(f"one for array number {index}")
            continue
        wanted = parameters[names[index]].shape
        misfits += [
            f"{names[index]} has shape {wanted}, its moment {moment.shape}"
            for moment in pair
            if moment.shape != wanted
        ]
    return misfits


def _hand_over(trainer, states, counts, devices):
    """Put moments (NDArrays) and update counts, both under the trainer's numbers, in their place.

    Trainer.load_states would do so from a file, but takes the optimizer from there as well, and
    counts on devices that the file has not heard of would begin at zero.
    """
    content = pickle.dumps(states)
    for updater in _updaters(trainer):
        updater.set_states(content)  # a copy for each
    optimizer = trainer.optimizer
    # Each device counts its own updates. Number 0 is also where MXNet may keep weights of its own.
    optimizer._all_index_update_counts = {device: dict(counts) for device in {0, *devices}}
    optimizer._index_update_count = optimizer._all_index_update_counts[0]
    optimizer.num_update = max(counts.values(), default=0)


def _updaters(trainer):
    """Return what holds the moments: one per device, or that of the key-value store alone."""
    if not trainer._kv_initialized:
        trainer._init_kvstore()
    if trainer._params_to_init:
        trainer._init_params()
    return [trainer._kvstore._updater] if trainer._update_on_kvstore else trainer._updaters
