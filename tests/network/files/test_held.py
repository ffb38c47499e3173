"""Parameter files that other programs wrote: every way in which MXNet saves, and the dialects."""

import mxnet as mx
import numpy as np
import pytest
from golden import NETWORKS, fill_with_recipe, recipe_weight, weights_of
from ports import mmflow_arrays, port_arrays, write_zip

from maskflownet.config import NetworkConfig, load_config
from maskflownet.config.errors import InputError
from maskflownet.network.files.held import read_held
from maskflownet.network.files.held_config import held_config
from maskflownet.network.files.marks import MMFLOW_MARK, Marks, split_marks
from maskflownet.network.files.parameters import held_network, load_parameters, save_parameters
from maskflownet.network.pipeline import NETWORKS as CLASSES

pytestmark = pytest.mark.usefixtures("thin_networks")

OTHER = {"MaskFlownet_S": "MaskFlownet", "MaskFlownet": "MaskFlownet_S"}


def fresh(name, dialect="original", **keys):
    network = CLASSES[name](NetworkConfig(class_name=name, dialect=dialect, **keys))
    network.initialize(mx.init.Zero())
    return network


@pytest.fixture(scope="module", params=NETWORKS)
def filled(request):
    network = fresh(request.param)
    fill_with_recipe(network)
    return network


def save_with_root(network, path):
    network.collect_params().save(str(path))


def save_as_export_does(network, path):
    arrays = {f"arg:{name}": one.data() for name, one in network.collect_params().items()}
    mx.nd.save(str(path), arrays)


def save_in_numpy_mode(network, path):
    with mx.util.np_shape(True):
        network.save_parameters(str(path))


def save_of_data_parallel(network, path):
    arrays = {f"module.{name}": array for name, array in weights_of(network).items()}
    write_zip(path, arrays)


FORMS = (save_with_root, save_as_export_does, save_in_numpy_mode, save_of_data_parallel)


@pytest.mark.parametrize("save", FORMS)
def test_all_ways_of_saving_load_and_tell_the_network(filled, save, tmp_path):
    path = tmp_path / "saved.params"
    save(filled, path)
    name = type(filled).__name__
    assert held_network(path) == name
    network = fresh(name)
    load_parameters(network, path)
    for own, array in weights_of(network).items():
        np.testing.assert_array_equal(array, recipe_weight(own, array.shape))
    with pytest.raises(InputError, match=f"holds a {name}, .* such as {name}.yaml"):
        load_parameters(fresh(OTHER[name]), path)


@pytest.fixture(scope="module", params=NETWORKS)
def mmflow_file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("mmflow") / "a.pth"
    return write_zip(path, mmflow_arrays(request.param), wrap="state_dict"), request.param


def test_our_files_of_mmflows_dialect_are_marked(whole_network, mmflow_file, tmp_path):
    path, name = mmflow_file
    network = fresh(name, "mmflow")
    load_parameters(network, path)
    save_parameters(network, tmp_path / "ours.params")
    assert MMFLOW_MARK in mx.nd.load(str(tmp_path / "ours.params"))
    assert read_held(tmp_path / "ours.params").marks == Marks("mmflow")
    again = fresh(name, "mmflow")
    load_parameters(again, tmp_path / "ours.params")
    wanted = weights_of(network)
    for own, array in weights_of(again).items():
        np.testing.assert_array_equal(array, wanted[own])
    for file in (path, tmp_path / "ours.params"):
        refused = f"network.dialect mmflow, .* such as mmflow/{name}_things3d.yaml"
        with pytest.raises(InputError, match=refused):
            load_parameters(fresh(name), file)


def test_our_files_of_another_unit_of_flow_are_marked(filled, tmp_path):
    """Such weights were once read as the original's are: flow of the wrong length."""
    path, name = tmp_path / "ours.params", type(filled).__name__
    network = fresh(name, flow_multiplier=1.7)
    fill_with_recipe(network)
    save_parameters(network, path)
    assert read_held(path).marks == Marks(flow_multiplier=1.7)
    base = {one: load_config(one) for one in NETWORKS}
    assert held_config(path, base).network.flow_multiplier == 1.7
    with pytest.raises(
        InputError, match=r"ours.params: holds a .*flow_multiplier 1.7, .* has 1; use"
    ):
        load_parameters(fresh(name), path)
    again = fresh(name, flow_multiplier=1.7)
    load_parameters(again, path)
    wanted = weights_of(filled)
    for own, array in weights_of(again).items():
        np.testing.assert_array_equal(array, wanted[own])
    # What has no mark may be the original's, whose files tell nothing of their unit.
    save_parameters(filled, path)
    assert not any(name.startswith("network.") for name in mx.nd.load(str(path)))
    load_parameters(again, path)


def test_marks_stand_alone_or_before_names():
    marked = {f"{MMFLOW_MARK}/network.flow_multiplier.0.5/a.weight": 1, "other/b": 2}
    assert split_marks(marked) == ({"a.weight": 1, "other/b": 2}, Marks("mmflow", 0.5))
    assert split_marks({"a": 1, MMFLOW_MARK: 0}) == ({"a": 1}, Marks("mmflow"))
    assert split_marks({"a": 1}) == ({"a": 1}, Marks())


def test_weights_of_the_original_are_refused_by_mmflows_dialect(tmp_path):
    path = write_zip(tmp_path / "a.ckpt", port_arrays("MaskFlownet_S"))
    with pytest.raises(InputError, match=r"network.dialect original, .* such as MaskFlownet_S"):
        load_parameters(fresh("MaskFlownet_S", "mmflow"), path)


def test_half_precision_of_pytorch_loads_and_other_values_do_not(whole_network, tmp_path):
    arrays = {name: array.astype("f2") for name, array in port_arrays("MaskFlownet_S").items()}
    path = write_zip(tmp_path / "half.pth", arrays, types={"f2": "HalfStorage"})
    network = fresh("MaskFlownet_S")
    load_parameters(network, path)
    wanted = arrays["upfeat5.weight"].astype("f4")
    np.testing.assert_array_equal(weights_of(network)["upfeat5.0.weight"], wanted)
    arrays["upfeat5.weight"][0, 0, 0, 0] = np.nan
    write_zip(path, arrays, types={"f2": "HalfStorage"})
    with pytest.raises(InputError, match=r"upfeat5.0.weight: expected finite numbers"):
        load_parameters(network, path)


def test_networks_of_other_programs_are_called_unknown(tmp_path):
    arrays = {"backbone.conv1.weight": np.zeros((3, 3), "f4")}
    path = write_zip(tmp_path / "resnet.pth", arrays)
    assert held_network(path) is None
    with pytest.raises(InputError, match=r"1 unknown \(first: backbone.conv1.weight\)"):
        load_parameters(fresh("MaskFlownet_S"), path)
