"""`.states` files: who wrote them, what they may hold, and training on as if never stopped."""

import contextlib
import lzma
import os
import pickle
import pickletools
import random
import struct
import subprocess

import mxnet as mx
import numpy as np
import pytest
from golden import DATA, NETWORKS, golden_parameters, recipe_pipeline
from mxnet import autograd, gluon
from mxnet.gluon import nn

from config import load_config
from config.errors import InputError, MissingDataError
from network import get_pipeline, trainer_states
from network.parameters import save_parameters
from network.trainer_states import load_trainer_states, save_trainer_states

VERSIONS = ("1.5.1", "1.9.1")
ONE, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]
FIXTURE_STEPS = 3


def held(trainer, folder):
    """Return {index: [mean, variance]} and the optimizer, as MXNet itself saves them."""
    trainer.save_states(str(folder / "held.states"))
    states, optimizer = pickle.loads((folder / "held.states").read_bytes())
    return {i: [moment.asnumpy() for moment in pair] for i, pair in states.items()}, optimizer


def assert_same_moments(one, other):
    assert one.keys() == other.keys()
    for index, pair in one.items():
        np.testing.assert_array_equal(pair, other[index])


# Files that MXNet 1.5.1 and 1.9.1 wrote.


def fixture_file(name, version, folder):
    path = folder / f"{name}_{version}.states"
    path.write_bytes(lzma.decompress((DATA / f"states_{name}_mxnet_{version}.xz").read_bytes()))
    return path


def fresh_pipeline(name, ctx=ONE):
    pipe = get_pipeline("MaskFlownet", ctx=ctx, config=load_config(name))
    if name == "MaskFlownet":
        pipe.fix_head()
    return pipe


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_files_of_both_versions_give_each_array_its_own_moments(name, version, tmp_path):
    pipe = fresh_pipeline(name)
    load_trainer_states(pipe.trainer, pipe.network, fixture_file(name, version, tmp_path))
    moments, optimizer = held(pipe.trainer, tmp_path)
    trained = []
    for index, entry in enumerate(golden_parameters(name)):
        if entry["structured"].startswith("MaskFlownet_S."):
            continue
        trained.append(index)
        gradient = (index + 1) / 64
        mean, variance = moments[index]
        assert mean.shape == variance.shape == tuple(entry["shape"])
        np.testing.assert_allclose(mean, gradient * (1 - 0.9**FIXTURE_STEPS), rtol=1e-5)
        np.testing.assert_allclose(variance, gradient**2 * (1 - 0.999**FIXTURE_STEPS), rtol=1e-4)
    assert list(moments) == trained
    assert optimizer._all_index_update_counts == {0: dict.fromkeys(trained, FIXTURE_STEPS)}
    assert optimizer.num_update == FIXTURE_STEPS


@pytest.mark.parametrize(("held_name", "wanted"), [NETWORKS, NETWORKS[::-1]])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_wrong_networks_file_is_refused(held_name, wanted, version, tmp_path):
    pipe = fresh_pipeline(wanted)
    path = fixture_file(held_name, version, tmp_path)
    arrays = {"MaskFlownet_S": 142, "MaskFlownet": 128}
    message = message_of(pipe, path)
    assert (
        f"the {arrays[wanted]} trained arrays of a {wanted}, got {arrays[held_name]}: " in message
    )


# Training on.


def train(pipe, step):
    rng = np.random.default_rng(step)
    count = len(pipe.ctx)
    images = [rng.integers(0, 256, (count, 3, 64, 64)).astype(np.float32) for _ in "12"]
    label = rng.normal(0, 3, (count, 2, 64, 64)).astype(np.float32)
    pipe.train_batch(*images, label, lambda *arrays: arrays, lambda *images: images)


@pytest.mark.parametrize(
    ("name", "ctx"), [("MaskFlownet_S", ONE), ("MaskFlownet", ONE), ("MaskFlownet_S", TWO)]
)
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(name, ctx, tmp_path):
    whole = recipe_pipeline(name, ctx)
    if name == "MaskFlownet":
        whole.fix_head()
    train(whole, step=1)
    save_parameters(whole.network, tmp_path / "a.params")
    save_trainer_states(whole.trainer, tmp_path / "a.states")
    train(whole, step=2)
    resumed = fresh_pipeline(name, ctx)
    resumed.load(tmp_path / "a.params")
    load_trainer_states(resumed.trainer, resumed.network, tmp_path / "a.states")
    train(resumed, step=2)
    parameters = resumed.network._collect_params_with_prefix()
    for key, parameter in whole.network._collect_params_with_prefix().items():
        for own, other in zip(parameter.list_data(), parameters[key].list_data(), strict=True):
            np.testing.assert_array_equal(own.asnumpy(), other.asnumpy(), key)
    assert_same_moments(held(whole.trainer, tmp_path)[0], held(resumed.trainer, tmp_path)[0])


class Tiny(nn.HybridBlock):
    """Two layers whose order by name is not the one in which they were made."""

    def __init__(self, in_units=2, units=3):
        super().__init__(prefix="tiny_")
        with self.name_scope():
            self.late = nn.Dense(units, in_units=in_units, prefix="z_")
            self.early = nn.Dense(in_units, in_units=units, prefix="a_")


class Small:
    """A tiny network and its trainer, under gradients that do not depend on its devices."""

    def __init__(self, ctx=ONE, network=None, learning_rate=0.01, frozen=(), **options):
        self.network = network or Tiny()
        self.network.initialize(mx.init.One(), ctx=ctx)
        self.ctx = ctx
        for layer in frozen:
            getattr(self.network, layer).collect_params().setattr("grad_req", "null")
        self.parameters = list(self.network.collect_params().values())
        settings = {"learning_rate": learning_rate, "wd": 0.5}
        self.trainer = gluon.Trainer(self.parameters, "adam", settings, **options)

    def train(self, steps):
        for step in range(steps):
            with autograd.record():
                losses = [
                    (parameter.data(ctx) * (2.0**number * (step + 1) / len(self.ctx))).sum()
                    for number, parameter in enumerate(self.parameters)
                    if parameter.grad_req != "null"
                    for ctx in self.ctx
                ]
            autograd.backward(losses)
            self.trainer.step(1)
        return self

    def weights(self):
        return [[data.asnumpy() for data in p.list_data()] for p in self.parameters]

    def copy_weights(self, other):
        for own, parameter in zip(self.parameters, other.parameters, strict=True):
            own.set_data(parameter.data(other.ctx[0]))


def load(small, path):
    load_trainer_states(small.trainer, small.network, path)


def saved(folder, **options):
    """Return a file after two steps of a tiny training."""
    save_trainer_states(Small(**options).train(2).trainer, folder / "saved.states")
    return folder / "saved.states"


@pytest.mark.parametrize("update_on_kvstore", [True, False])
@pytest.mark.parametrize("after", [ONE, TWO, [mx.cpu(2)], [mx.cpu(3), mx.cpu(1)]])
@pytest.mark.parametrize("before", [ONE, TWO, [mx.cpu(2)]])
def test_a_training_goes_on_with_other_devices(before, after, update_on_kvstore, tmp_path):
    options = [
        {"ctx": ctx, "update_on_kvstore": update_on_kvstore and len(ctx) > 1}
        for ctx in (before, after)
    ]
    whole = Small(**options[0]).train(3)
    save_trainer_states(whole.trainer, tmp_path / "a.states")
    resumed = Small(**options[1])
    resumed.copy_weights(whole)
    load(resumed, tmp_path / "a.states")
    whole.train(2)
    resumed.train(2)
    for own, others in zip(whole.weights(), resumed.weights(), strict=True):
        for other in others:
            np.testing.assert_array_equal(own[0], other)
    moments, optimizer = held(resumed.trainer, tmp_path)
    assert_same_moments(moments, held(whole.trainer, tmp_path)[0])
    assert optimizer.num_update == 5


def test_all_but_moments_and_counts_stays_as_configured(tmp_path):
    path = saved(tmp_path, learning_rate=0.5)
    small = Small(learning_rate=0.125)
    small.trainer.optimizer.wd = 0.25
    load(small, path)
    assert small.trainer.learning_rate == 0.125
    assert small.trainer.optimizer.wd == 0.25
    small.trainer.set_learning_rate(0)
    before = small.weights()
    small.train(1)
    np.testing.assert_equal(small.weights(), before)


def test_a_file_of_before_the_first_step_starts_anew(tmp_path):
    path = tmp_path / "a.states"
    save_trainer_states(Small().trainer, path)
    small = Small().train(3)
    load(small, path)
    small.copy_weights(Small())
    small.train(2)
    np.testing.assert_equal(small.weights(), Small().train(2).weights())


def test_where_both_orders_fit_a_file_is_numbered_by_creation(tmp_path):
    def alike():
        network = nn.HybridSequential()
        for prefix in "za":
            network.add(nn.Dense(2, in_units=2, use_bias=False, prefix=prefix))
        return Small(network=network)

    whole = alike().train(2)
    save_trainer_states(whole.trainer, tmp_path / "a.states")
    small = alike()
    load(small, tmp_path / "a.states")
    assert_same_moments(held(small.trainer, tmp_path)[0], held(whole.trainer, tmp_path)[0])


def test_what_is_frozen_needs_no_moments_but_what_is_trained_does(tmp_path):
    small = Small(frozen=["late"])
    load(small, saved(tmp_path))
    assert list(held(small.trainer, tmp_path)[0]) == [2, 3]
    load(small, saved(tmp_path, frozen=["late"]))
    assert list(held(small.trainer, tmp_path)[0]) == [2, 3]
    message = message_of(Small(), saved(tmp_path, frozen=["late"]))
    assert "the 4 trained arrays of a Tiny, got 2: none for late.weight;" in message


# How files differ that are alike.


def rewrite(path, change=lambda states, optimizer: None, protocol=4):
    """Write the file's objects again after `change` was made to them."""
    content = pickle.loads(path.read_bytes())
    change(*content)
    path.write_bytes(pickle.dumps(content, protocol))


def without_counts_per_device(states, optimizer):
    """Do as MXNet up to 1.4, which had one count for all devices."""
    del optimizer._all_index_update_counts


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("change", [lambda states, optimizer: None, without_counts_per_device])
def test_every_pythons_pickle_loads(change, protocol, tmp_path):
    path = saved(tmp_path)
    rewrite(path, change, protocol)
    small = Small()
    load(small, path)
    moments, optimizer = held(small.trainer, tmp_path)
    assert_same_moments(moments, held(Small().train(2).trainer, tmp_path)[0])
    assert optimizer._all_index_update_counts == {0: dict.fromkeys(range(4), 2)}


def test_a_file_from_a_gpu_loads_without_one(tmp_path):
    path = saved(tmp_path)
    on_cpu, on_gpu = struct.pack("<iii", 1, 0, 0), struct.pack("<iii", 2, 3, 0)
    content = path.read_bytes()
    assert content.count(on_cpu) == 8
    path.write_bytes(content.replace(on_cpu, on_gpu))
    small = Small()
    load(small, path)
    wanted = held(Small().train(2).trainer, tmp_path)[0]
    assert_same_moments(held(small.trainer, tmp_path)[0], wanted)


def needed_names(content):
    """Return the names of classes that a pickle of protocol 4 asks for."""
    names, texts = set(), []
    for opcode, argument, _ in pickletools.genops(content):
        if "UNICODE" in opcode.name:
            texts.append(argument)
        elif opcode.name == "STACK_GLOBAL":
            names.add(".".join(texts[-2:]))
    return names


def test_our_files_need_no_other_classes_than_those_of_mxnet_1_5_1(tmp_path):
    recorded = fixture_file("MaskFlownet_S", "1.5.1", tmp_path).read_bytes()
    ours = saved(tmp_path).read_bytes()
    assert needed_names(ours) == needed_names(recorded)
    assert len(needed_names(ours)) == 3


CHECK_WITH_MXNET_1_5_1 = """
import json, sys
import make_states_fixtures as fixtures
import mxnet as mx
import numpy as np
arrays, path = json.load(open(sys.argv[1])), sys.argv[2]
root = fixtures.make_block(arrays)
trainer = mx.gluon.Trainer(root.collect_params(), "adam")
trainer.load_states(path)
means = {}
for index, (mean, variance) in trainer._updaters[0].states.items():
    means[trainer._params[index].name[len(root.prefix):]] = mean.asnumpy()
for number, array in enumerate(arrays, start=1):
    if array["legacy"].startswith(fixtures.FIRST_STAGE):
        assert array["legacy"] not in means
        continue
    mean = means.pop(array["legacy"])
    assert mean.shape == tuple(array["shape"])
    np.testing.assert_allclose(mean, number / 64 * (1 - 0.9**fixtures.STEPS), rtol=1e-5)
assert not means
fixtures.train(trainer, [root.params.get(array["legacy"]) for array in arrays])
assert trainer._optimizer.num_update == 2 * fixtures.STEPS
print(mx.__version__)
"""


@pytest.mark.skipif(
    "MXNET_1_5_1" not in os.environ, reason="MXNET_1_5_1 does not name a Python with that MXNet"
)
@pytest.mark.parametrize("name", NETWORKS)
def test_mxnet_1_5_1_loads_our_files(name, tmp_path):
    pipe = fresh_pipeline(name)
    load_trainer_states(pipe.trainer, pipe.network, fixture_file(name, "1.9.1", tmp_path))
    save_trainer_states(pipe.trainer, tmp_path / "ours.states")
    checked = subprocess.run(
        [
            os.environ["MXNET_1_5_1"],
            "-c",
            CHECK_WITH_MXNET_1_5_1,
            str(DATA / f"params_{name}.json"),
            str(tmp_path / "ours.states"),
        ],
        env={**os.environ, "PYTHONPATH": f"{DATA.parents[1]}{os.pathsep}{DATA}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.stdout == "1.5.1\n", checked.stderr


# What is wrong with a file.


def message_of(pipe, path, error=InputError):
    """Return why `path` does not load, after a look that nothing was changed by the attempt."""
    before = held(pipe.trainer, path.parent)
    with pytest.raises(error) as caught:
        load_trainer_states(pipe.trainer, pipe.network, path)
    after = held(pipe.trainer, path.parent)
    assert_same_moments(before[0], after[0])
    assert before[1].__dict__ == after[1].__dict__
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


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
        (put(np.float64(1)), "numpy.core.multiarray.scalar"),
        (put(mx.lr_scheduler.FactorScheduler(1)), "mxnet.lr_scheduler.FactorScheduler"),
    ],
)
def test_a_file_that_needs_another_class_is_refused_by_its_name(
    small, change, name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path)
    content = pickle.loads(path.read_bytes())
    change(*content)
    path.write_bytes(pickle.dumps(content))
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
        patch.setattr(trainer_states, "MAX_BYTES", size - 1)
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
