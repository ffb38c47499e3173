"""`.states` files that are refused: each in one line, and nothing is changed by the attempt."""

import contextlib
import lzma
import os
import pickle
import random
import struct

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from states_helpers import Small, load, message_of, rewrite, saved

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.network.files import moments
from maskflownet.network.files.moments import save_trainer_states

# What NumPy pickles its scalars by: numpy.core.multiarray.scalar, and another place from 2 on.
SCALAR = f"{np.float64(1).__reduce__()[0].__module__}.scalar"


@pytest.fixture(scope="module")
def small():
    return Small().train(1)


class Call:
    """Something that pickles into a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def put(value):
    """Return a change that hides `value` among the optimizer's attributes."""
    return lambda states, optimizer: setattr(optimizer, "hidden", value)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (put(Call(os.mkdir, "made")), "posix.mkdir"),
        (put(Call(eval, "__import__('os').mkdir('made')")), "builtins.eval"),
        (put(Call(getattr, "", "join")), "builtins.getattr"),
        (put(np.float64(1)), SCALAR),
        (put(mx.lr_scheduler.FactorScheduler(1)), "mxnet.lr_scheduler.FactorScheduler"),
    ],
)
def test_a_file_that_needs_another_class_is_refused_by_its_name(
    small, change, name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path)
    rewrite(path, change)
    message = message_of(small, path)
    assert f"needs '{name}'" in message
    assert not (tmp_path / "made").exists()


def test_another_optimizers_file_is_refused(small, tmp_path):
    other = Small()
    trainer = gluon.Trainer(other.parameters, "sgd", {"momentum": 0.9})
    other.trainer = trainer
    save_trainer_states(other.train(1).trainer, tmp_path / "a.states")
    assert "needs 'mxnet.optimizer.optimizer.SGD'" in message_of(small, tmp_path / "a.states")


def test_a_name_with_a_line_break_or_a_dotted_one_is_refused_in_one_line(small, tmp_path):
    path = tmp_path / "a.states"
    for name in ("a\nb", "NDArray.__init__.__globals__"):
        content = pickle.PROTO + b"\x04"
        for text in ("mxnet.ndarray.ndarray", name):
            content += pickle.SHORT_BINUNICODE + bytes([len(text)]) + text.encode()
        path.write_bytes(content + pickle.STACK_GLOBAL + pickle.STOP)
        assert repr(f"mxnet.ndarray.ndarray.{name}") in message_of(small, path)


def test_a_file_can_not_alter_what_reads_the_next_one(small, tmp_path):
    path = tmp_path / "a.states"
    # Sets __new__ of what bytearray stands for to None.
    content = pickle.GLOBAL + b"builtins\nbytearray\nN}U\x07__new__Ns\x86b."
    path.write_bytes(content)
    assert f"got {len(content)} bytes that are none" in message_of(small, path)
    load(Small(), saved(tmp_path))


def replaced(index, pair):
    return lambda states, optimizer: states.update({index: pair})


def array(*shape, dtype="float32"):
    return mx.nd.zeros(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda states, optimizer: states.pop(1), "got 3: none for late.bias;"),
        (replaced(4, (array(3), array(3))), "got 5: one for array number 4;"),
        (
            replaced(1, (array(5), array(3))),
            r"got 4: late.bias has shape (3,), its moment (5,);",
        ),
        (replaced(1, (array(3), array(5))), "its moment (5,);"),
    ],
)
def test_what_does_not_fit_the_network_is_named(small, change, message, tmp_path):
    path = saved(tmp_path)

    def with_counts(states, optimizer):
        change(states, optimizer)
        optimizer._all_index_update_counts = {0: dict.fromkeys(states, 2)}

    rewrite(path, with_counts)
    assert message in message_of(small, path)


@pytest.mark.parametrize(
    "change",
    [
        replaced(1, None),
        replaced(1, (array(3),)),
        replaced(1, (array(3), None)),
        replaced(1, (array(3), {})),
        replaced(1, (array(3, dtype="int32"), array(3))),
        replaced(1, (array(3).tostype("row_sparse"), array(3))),
        replaced("1", (array(3), array(3))),
        lambda states, optimizer: optimizer._all_index_update_counts[0].pop(1),
        lambda states, optimizer: optimizer._all_index_update_counts[0].update({1: -1}),
        lambda states, optimizer: optimizer._all_index_update_counts[0].update({1: 1.5}),
        lambda states, optimizer: optimizer._all_index_update_counts[0].update({1: 10**400}),
        lambda states, optimizer: (
            optimizer.__dict__.pop("_all_index_update_counts")
            and optimizer.__dict__.pop("_index_update_count")
        ),
    ],
)
def test_what_adam_does_not_write_is_refused(small, change, tmp_path):
    path = saved(tmp_path)
    rewrite(path, change)
    message = message_of(small, path)
    assert "expected Adam's moments" in message or "mxnet.ndarray.sparse" in message


def test_what_is_no_such_file_is_refused(small, tmp_path):
    path = tmp_path / "x.states"
    message_of(small, path, MissingDataError)
    contents = [b"", b"hello\n", bytes(1000), lzma.compress(b"hello")]
    contents += [pickle.dumps(value) for value in (None, {}, (1, 2), [{}, {}], ({}, {}))]
    contents += [saved(tmp_path).read_bytes() + b"."]
    for content in contents:
        path.write_bytes(content)
        assert f"got {len(content)} bytes that are none" in message_of(small, path)


def test_sizes_that_are_not_sane_take_no_memory(small, tmp_path, monkeypatch):
    path = tmp_path / "x.states"
    size = saved(tmp_path).stat().st_size
    with monkeypatch.context() as patch:
        patch.setattr(moments, "MAX_BYTES", size - 1)
        assert f"got {size} bytes that are none" in message_of(small, saved(tmp_path))
    empty = pickle.dumps(({}, small.trainer.optimizer), 4)
    for extra in (
        pickle.LONG_BINPUT + struct.pack("<I", 50_000_000),
        pickle.GLOBAL + b"builtins\nbytearray\nJ" + struct.pack("<i", 1 << 30) + b"\x85R0",
    ):
        path.write_bytes(empty[:2] + b"N" + extra + b"0" + empty[2:])
        assert "bytes that are none" in message_of(small, path)


@pytest.mark.parametrize("protocol", [3, 4])
def test_truncated_and_altered_files_are_refused_or_load_whole(small, protocol, tmp_path):
    whole = saved(tmp_path)
    rewrite(whole, protocol=protocol)
    content = whole.read_bytes()
    path = tmp_path / "x.states"
    generator = random.Random(0)
    for length in [*range(100), *generator.sample(range(len(content)), 100)]:
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="are none: cut short"):
            load(small, path)
    other = Small()
    for place in [*range(100), *generator.sample(range(len(content)), 300)]:
        changed = bytearray(content)
        changed[place] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        with contextlib.suppress(InputError):
            load(other, path)
    other.train(1)
    load(small, whole)
