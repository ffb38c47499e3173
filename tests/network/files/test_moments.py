"""`.states` files: who wrote them, what they may hold, and training on as if never stopped."""

import pickletools
import struct

import mxnet as mx
import numpy as np
import pytest
from golden import DATA, NETWORKS, golden_parameters, recipe_pipeline
from mxnet.gluon import nn
from mxnet_1_5_1 import needs_mxnet_1_5_1, output_of
from states_helpers import (
    ONE,
    TWO,
    Small,
    assert_same_moments,
    fixture_file,
    fresh_pipeline,
    held,
    load,
    message_of,
    rewrite,
    saved,
)

from maskflownet.network.files.moments import load_trainer_states, save_trainer_states
from maskflownet.network.files.parameters import save_parameters

pytestmark = pytest.mark.usefixtures("thin_networks")

VERSIONS = ("1.5.1", "1.9.1")
FIXTURE_STEPS = 3


# Files that MXNet 1.5.1 and 1.9.1 wrote.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_files_of_both_versions_give_each_array_its_own_moments(
    whole_network, name, version, tmp_path
):
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
    assert ours[:2] == b"\x80\x04"  # protocol 4, whichever Python writes
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


@needs_mxnet_1_5_1
@pytest.mark.parametrize("name", NETWORKS)
def test_mxnet_1_5_1_loads_our_files(name, tmp_path):
    pipe = fresh_pipeline(name)
    load_trainer_states(pipe.trainer, pipe.network, fixture_file(name, "1.9.1", tmp_path))
    save_trainer_states(pipe.trainer, tmp_path / "ours.states")
    arguments = DATA / f"params_{name}.json", tmp_path / "ours.states"
    assert output_of(CHECK_WITH_MXNET_1_5_1, *arguments) == "1.5.1\n"
