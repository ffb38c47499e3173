"""A pipeline by its checkpoint alone, and what is said where a config or checkpoint is missing."""

import logging
from pathlib import Path

import numpy as np
import pytest

import maskflownet
from maskflownet import predict_new_data
from maskflownet.config import InputError, MissingDataError, load_config
from maskflownet.main import main
from maskflownet.network import get_pipeline
from maskflownet.tasks.open_pipeline import config_of, devices, find
from maskflownet.tasks.runs import checkpoints, shipped

VARIANTS = sorted(
    f"ablation/{path.stem}"
    for path in (Path(__file__).parents[2] / "config" / "ablation").glob("*.yaml")
    if path.stem != "scenes"
)


def saved(config, path):
    """Write the fresh weights of a network and return its pipeline."""
    pipe = get_pipeline("MaskFlownet", devices([]), config, kernels="builtin")
    pipe.save(path.with_suffix(""))
    return pipe


@pytest.fixture
def images():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in "12"]


@pytest.mark.parametrize("name", ["MaskFlownet_S", "MaskFlownet", *VARIANTS])
def test_the_network_is_read_off_the_file(thin_network, name, root):
    config = load_config(name)
    saved(config, root / "it_7.params")
    held = config_of(root / "it_7.params").network
    # Whether deformable convolutions have a bias means nothing where there are none.
    assert held.class_name == config.network.class_name
    assert (held.matching, held.upfeat_ch) == (config.network.matching, config.network.upfeat_ch)
    assert (held.pyramids, held.mask_channel) == (
        config.network.pyramids,
        config.network.mask_channel,
    )
    get_pipeline("MaskFlownet", devices([]), config_of(root / "it_7.params")).load(
        root / "it_7.params"
    )


def test_load_gives_what_a_config_would(root, images):
    config = root / "wide.yaml"
    config.write_text(
        "network: {class: MaskFlownet_S, deform_bias: false, upfeat_ch: [8, 9, 10, 11]}\n"
        "optimizer: {learning_rate: [[1, 1.0e-4]]}\n"
    )
    (root / "weights").mkdir()
    pipe = saved(load_config(config), root / "weights" / "it_7.params")
    (wanted,) = pipe.predict(*[[image] for image in images])
    for name in ("it", root / "weights" / "it_7.params", "it:7"):
        loaded = maskflownet.load(name, root=root, kernels="builtin")
        assert loaded.config.network == load_config(config).network
        (got,) = loaded.predict(*[[image] for image in images])
        np.testing.assert_array_equal(got.flow, wanted.flow)


def test_a_file_of_neither_network_is_refused(tmp_path):
    import mxnet as mx

    mx.nd.save(str(tmp_path / "other.params"), {"weight": mx.nd.zeros((2, 2))})
    with pytest.raises(InputError, match="expected the arrays of a MaskFlownet_S or a MaskFlownet"):
        maskflownet.load(tmp_path / "other.params")


def test_with_nothing_named_the_newest_of_the_shipped_weights_serves(root, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(shipped, "SHIPPED_FOLDER", root)
    with pytest.raises(MissingDataError, match=r"has no scenes-S_STEPS\.params"):
        shipped.shipped_weights()
    for steps in (900, 1000):
        (root / f"scenes-S_{steps}.params").touch()
    assert shipped.shipped_weights().path == root / "scenes-S_1000.params"
    assert "scenes-S_1000.params" in caplog.text and "dbbSep30" in caplog.text


@pytest.mark.parametrize("run", ["scenes-S", "scenes-cascade"])
def test_the_shipped_weights_are_found_by_name_from_any_root(root, run, monkeypatch):
    monkeypatch.setattr(checkpoints, "SHIPPED_FOLDER", root / "shipped")
    with pytest.raises(MissingDataError, match=rf"has no {run}.* there are none of any run"):
        find(run, root / "empty")
    for folder in ("shipped", "own/weights"):
        (root / folder).mkdir(parents=True)
        (root / folder / f"{run}_900.params").touch()
    assert find(run, root / "empty").path.parent == root / "shipped"
    assert find(f"{run}:900", root / "empty").path.parent == root / "shipped"
    assert find(run, root / "own").path.parent == root / "own" / "weights"


def test_a_config_alone_is_not_enough(tmp_path, capsys):
    arguments = [str(tmp_path / "out"), "MaskFlownet_S", "--folder", str(tmp_path)]
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    assert predict_new_data.main(arguments) == 2
    assert main(["MaskFlownet_S", "--valid"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and all("-c is missing" in line for line in errors)


def test_a_training_from_nothing_needs_a_config(capsys):
    assert main([]) == 2
    assert "CONFIG is missing" in capsys.readouterr().err


def test_a_training_from_a_file_without_a_record_needs_a_config(root, capsys):
    saved(load_config("MaskFlownet_S"), root / "it_7.params")
    assert main(["-c", str(root / "it_7.params"), "--root", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "CONFIG is missing: nothing says with which schedule" in error
