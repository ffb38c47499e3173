"""Parameter files: legacy and structured names, and every way in which a file can be wrong."""

import contextlib
import lzma
import os
import random
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from golden import DATA, NETWORKS, fill_with_recipe, golden_parameters, recipe_pipeline, weights_of
from mxnet_1_5_1 import needs_mxnet_1_5_1, output_of

from maskflownet.config import load_config
from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.network import get_pipeline
from maskflownet.network.files.parameters import load_parameters, save_parameters
from maskflownet.network.pipeline import NETWORKS as CLASSES


def legacy_file(name, folder):
    """Unpack the file that MXNet 1.5.1 wrote: each array holds (its index + 1) / 64 throughout."""
    path = folder / f"abc0000-0000_{len(golden_parameters(name))}.params"
    path.write_bytes(lzma.decompress((DATA / f"legacy_{name}.params.xz").read_bytes()))
    return path


def fresh_network(name):
    network = CLASSES[name](load_config(name).network)
    network.initialize()
    return network


def assert_equal_weights(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def write_small(path, change=None, name="MaskFlownet_S"):
    """Write a structured file of that network after `change` was made to its dict of arrays."""
    arrays = {entry["structured"]: mx.nd.zeros(entry["shape"]) for entry in golden_parameters(name)}
    if change:
        change(arrays)
    mx.nd.save(str(path), arrays)
    return path


@pytest.fixture(scope="module")
def small():
    return fresh_network("MaskFlownet_S")


def message_of(network, path, error=InputError):
    with pytest.raises(error) as caught:
        load_parameters(network, path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", NETWORKS)
def test_a_legacy_file_written_by_mxnet_1_5_1_loads(name, tmp_path):
    network = fresh_network(name)
    load_parameters(network, legacy_file(name, tmp_path))
    loaded = weights_of(network)
    for index, entry in enumerate(golden_parameters(name)):
        assert (loaded[entry["structured"]] == (index + 1) / 64).all(), entry


def test_a_legacy_file_is_a_head_for_the_cascade(tmp_path):
    pipe = recipe_pipeline("MaskFlownet")
    before = weights_of(pipe.network)
    pipe.load_head(legacy_file("MaskFlownet_S", tmp_path))
    pipe.fix_head()
    after = weights_of(pipe.network)
    for index, entry in enumerate(golden_parameters("MaskFlownet_S")):
        assert (after[f"MaskFlownet_S.{entry['structured']}"] == (index + 1) / 64).all()
    for name, array in before.items():
        if not name.startswith("MaskFlownet_S."):
            np.testing.assert_array_equal(after[name], array)
    for name, parameter in pipe.network._collect_params_with_prefix().items():
        assert (parameter.grad_req == "null") == name.startswith("MaskFlownet_S.")


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_parameters_have_structured_names_and_load_again(name, tmp_path):
    network = fresh_network(name)
    fill_with_recipe(network)
    save_parameters(network, tmp_path / "saved.params")
    assert list(tmp_path.iterdir()) == [tmp_path / "saved.params"]
    names = mx.nd.load(str(tmp_path / "saved.params")).keys()
    assert set(names) == {entry["structured"] for entry in golden_parameters(name)}
    other = fresh_network(name)
    load_parameters(other, tmp_path / "saved.params")
    assert_equal_weights(weights_of(other), weights_of(network))


def test_pipeline_saves_weights_and_moments(tmp_path):
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
    pipe.save(tmp_path / "abc0000-0000_5")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "abc0000-0000_5.params",
        "abc0000-0000_5.states",
    ]
    recipe_pipeline("MaskFlownet_S").load(tmp_path / "abc0000-0000_5.params")


@pytest.mark.parametrize("kind", ["int32", "int8", "uint8", "int64"])
def test_weights_that_are_no_floats_are_refused(small, tmp_path, kind):
    def change(arrays):
        arrays["conv3b.0.weight"] = arrays["conv3b.0.weight"].astype(kind)

    path = write_small(tmp_path / "whole.params", change)
    assert f"conv3b.0.weight: expected floats, got {kind}" in message_of(small, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(small, tmp_path, value):
    def change(arrays):
        arrays["deform2.bias"][3] = value

    before = weights_of(small)
    path = write_small(tmp_path / "lost.params", change)
    assert "deform2.bias: expected finite numbers, got NaN or" in message_of(small, path)
    assert_equal_weights(weights_of(small), before)


def test_weights_of_other_floats_are_taken(small, tmp_path):
    def change(arrays):
        for name, kind in (("conv1a.0.bias", "float16"), ("conv1b.0.bias", "float64")):
            arrays[name] = arrays[name].astype(kind) + 0.5

    load_parameters(small, write_small(tmp_path / "half.params", change))
    assert (weights_of(small)["conv1a.0.bias"] == 0.5).all()
    assert weights_of(small)["conv1b.0.bias"].dtype == np.float32


@pytest.mark.parametrize("form", ["legacy", "structured"])
@pytest.mark.parametrize(("held", "wanted"), [NETWORKS, NETWORKS[::-1]])
def test_the_wrong_networks_file_names_the_config_that_fits(held, wanted, form, tmp_path):
    path = legacy_file(held, tmp_path)
    if form == "structured":
        path = write_small(tmp_path / "other.params", name=held)
    network = fresh_network(wanted)
    message = message_of(network, path)
    assert f"holds a {held}," in message
    assert f"of a {wanted};" in message
    assert f"such as {held}.yaml" in message


def test_missing_extra_and_misshapen_arrays_are_named(small, tmp_path):
    path = tmp_path / "x.params"
    write_small(path, lambda arrays: arrays.pop("deform5.bias"))
    assert "1 missing (first: deform5.bias)" in message_of(small, path)
    write_small(path, lambda arrays: arrays.update(extra=mx.nd.zeros(3)))
    assert "1 unknown (first: extra)" in message_of(small, path)
    write_small(path, lambda arrays: arrays.update({"dc_conv7.bias": mx.nd.zeros(3)}))
    assert "dc_conv7.bias: expected shape (2,), got (3,)" in message_of(small, path)


def test_a_wrong_file_changes_nothing(small, tmp_path):
    before = weights_of(small)
    bad = write_small(
        tmp_path / "x.params", lambda arrays: arrays.update({"dc_conv7.bias": mx.nd.zeros(3)})
    )
    message_of(small, bad)
    assert_equal_weights(weights_of(small), before)


def test_what_is_no_parameter_file_is_refused(small, tmp_path):
    path = tmp_path / "x.params"
    message_of(small, path, MissingDataError)
    for content in (b"", b"hello\n", b"\x12\x01\x00\x00\x00\x00\x00\x00", bytes(1000)):
        path.write_bytes(content)
        assert "expected an MXNet parameter file" in message_of(small, path)
    mx.nd.save(str(path), [mx.nd.zeros(3)])
    assert "without names" in message_of(small, path)


def test_truncated_and_altered_files_are_refused_or_load_whole(small, tmp_path):
    """Cut, it never loads; with a changed bit it never crashes nor eats the machine's memory."""
    path = write_small(tmp_path / "whole.params")
    content = path.read_bytes()
    generator = random.Random(0)
    cut = tmp_path / "cut.params"
    lengths = [1, 7, 8, 16, 24, 40, len(content) - 1]
    lengths += [generator.randrange(len(content)) for _ in range(20)]
    for length in lengths:
        cut.write_bytes(content[:length])
        assert "expected an MXNet parameter file" in message_of(small, cut)
    header = 16 + 8 + 12 + 4 * 8 + 12  # up to the first array's values
    for _ in range(60):
        place = generator.choice([*range(header), len(content) - generator.randrange(1, 5000)])
        with path.open("rb+") as file:
            file.seek(place)
            file.write(bytes([content[place] ^ 1 << generator.randrange(8)]))
        with contextlib.suppress(InputError):
            load_parameters(small, path)
        with path.open("rb+") as file:
            file.seek(place)
            file.write(content[place : place + 1])
    load_parameters(small, path)


# Reads a file as MXNet 1.5.1's users do: into blocks whose attributes have the structured names.
CHECK_WITH_MXNET_1_5_1 = """
import json
import sys

from maskflownet import runtime
import mxnet as mx

described, path = sys.argv[1:]
arrays = json.load(open(described))
root = mx.gluon.Block(prefix="maskflownet0_")
for array in arrays:
    block = root
    *outer, name = array["structured"].split(".")
    for part in outer:
        if part not in block._children:
            block.register_child(mx.gluon.Block(), part)
        block = block._children[part]
    block._reg_params[name] = block.params.get(name, shape=tuple(array["shape"]))
root.initialize()
root.load_parameters(path)
held = root._collect_params_with_prefix()
for number, array in enumerate(arrays, start=1):
    assert (held[array["structured"]].data().asnumpy() == number / 64).all(), array
print(mx.__version__, len(held))
"""


@needs_mxnet_1_5_1
@pytest.mark.parametrize("name", NETWORKS)
def test_mxnet_1_5_1_loads_our_files(name, tmp_path):
    network = fresh_network(name)
    for number, parameter in enumerate(network.collect_params().values(), start=1):
        parameter.set_data(mx.nd.full(parameter.shape, number / 64))
    save_parameters(network, tmp_path / "ours.params")
    arguments = DATA / f"params_{name}.json", tmp_path / "ours.params"
    output = output_of(CHECK_WITH_MXNET_1_5_1, *arguments)
    assert output == f"1.5.1 {len(golden_parameters(name))}\n"


def test_a_folder_whose_name_is_not_utf_8_can_be_read_from(small, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/w_\xb2\xe2"))
    folder.mkdir()
    path = folder / "a.params"
    path.write_bytes(write_small(tmp_path / "a.params").read_bytes())
    load_parameters(small, path)
