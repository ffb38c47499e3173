"""Pictures of the mask: what stands where, and what is left out or refused."""

from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from main_runs import write_dataset

from maskflownet.config import load_config, load_dataset_config
from maskflownet.network import Prediction, get_pipeline
from maskflownet.output import flow_to_color
from maskflownet.reader.datasets import make_dataset
from maskflownet.reader.images import read_image
from maskflownet.reader.synthetic import generate
from maskflownet.tasks.showcase import mask_sheet

SIZE_HW = (64, 96)


def save(config, folder: Path):
    """Write a checkpoint with random weights and return the pipeline."""
    mx.random.seed(0)
    pipe = get_pipeline("MaskFlownet", [mx.cpu()], load_config(config), kernels="builtin")
    folder.mkdir(parents=True, exist_ok=True)
    pipe.save(folder / "abcJan01-0000_3")
    return pipe


@pytest.mark.parametrize("config", ["MaskFlownet_S", "MaskFlownet"])
def test_the_sheet_is_written(config, tmp_path, monkeypatch):
    shown, draw = [], mask_sheet.pictures
    monkeypatch.setattr(mask_sheet, "pictures", lambda *pair: shown.append(pair) or draw(*pair))
    pipe = save(config, tmp_path / "weights")
    dataset = str(write_dataset(tmp_path))
    arguments = [config, "-c", "abc", "--dataset_cfg", dataset, "--root", str(tmp_path)]
    assert mask_sheet.main([*arguments, "-o", str(tmp_path / "out")]) == 0
    picture = read_image(tmp_path / "out" / "abcJan01-0000_3_mask.png")
    row = mask_sheet.WIDTH * SIZE_HW[0] // SIZE_HW[1] + mask_sheet.GUTTER
    columns = 7 * (mask_sheet.WIDTH + mask_sheet.GUTTER)
    assert picture.shape == (mask_sheet.TITLE + 2 * row, columns, 3)
    held_out = make_dataset(load_dataset_config(dataset), "valid")
    for wanted, (sample, _, prediction, matched) in zip(held_out, shown, strict=True):
        np.testing.assert_array_equal(sample.image1, wanted.image1)
        (flow,) = (each.flow for each in pipe.predict([wanted.image1], [wanted.image2]))
        np.testing.assert_allclose(prediction.flow, flow, atol=1e-4)
        assert matched.visible.shape == (1, 32, 16, 32)  # the finest level's, enlarged to 64x128


def test_a_network_that_takes_one_color_order_is_shown_a_dataset_in_it(tmp_path, monkeypatch):
    shown, draw = [], mask_sheet.pictures
    monkeypatch.setattr(mask_sheet, "pictures", lambda *pair: shown.append(pair) or draw(*pair))
    config = "mmflow/MaskFlownet_S_chairs"
    save(config, tmp_path / "weights")
    dataset = str(write_dataset(tmp_path, color_order="RGB"))
    arguments = [config, "-c", "abc", "--dataset_cfg", dataset, "--root", str(tmp_path)]
    assert mask_sheet.main([*arguments, "-o", str(tmp_path / "out")]) == 0
    rgb = make_dataset(load_dataset_config(dataset), "valid")[0].image1
    sample, order, *_ = shown[0]
    assert order == "BGR" and not np.array_equal(rgb, rgb[..., ::-1])
    np.testing.assert_array_equal(sample.image1, rgb[..., ::-1])


def test_a_network_without_a_mask_is_refused_by_name(tmp_path, capsys):
    assert mask_sheet.main(["ablation/fmm", "-c", "abc", "--root", str(tmp_path)]) == 2
    assert "fmm has network.matching fmm, which predicts no mask" in capsys.readouterr().err


def test_what_is_watched_is_what_the_network_computes(tmp_path):
    pipe = save("MaskFlownet_S", tmp_path)
    sample = generate(0, 0, SIZE_HW)
    pair = [(sample.image1, sample.image2)]
    (before,) = pipe.predict_pairs(pair)
    watch = mask_sheet.Watch(pipe.network)
    (after,) = pipe.predict_pairs(pair)
    np.testing.assert_allclose(after.mask, before.mask, atol=1e-5)
    finest = watch.matched()
    assert finest.brought.shape == (1, 32, 16, 32)
    share = (finest.visible / finest.brought).asnumpy()
    assert np.ptp(share, axis=1).max() < 1e-3 and 0 < share.min() < share.max() < 1


def fakes(tradeoff=True):
    sample = generate(0, 0, SIZE_HW)
    mask = np.linspace(0, 1, 64 * 96, dtype=np.float32).reshape(64, 96, 1)
    prediction = Prediction(-sample.flow, mask, None)
    brought = mx.nd.ones((1, 4, 16, 24))
    term = brought / 4 if tradeoff else None
    return sample, prediction, mask_sheet.Matched(brought, brought / 2, term)


def test_each_picture_shows_what_its_title_says():
    sample, prediction, matched = fakes()
    shown = mask_sheet.pictures(sample, "BGR", prediction, matched)
    assert list(shown) == [
        *("image 1", "flow", "visible (truth)", "mask"),
        *("features 2", "times the mask", "trade-off term"),
    ]
    assert (shown["image 1"] == sample.image1).all()
    assert (shown["flow"] == flow_to_color(-sample.flow)).all()
    assert ((shown["visible (truth)"][..., 0] == 0) == sample.occluded).all()
    assert shown["mask"][0, 0, 0] == 0 and shown["mask"][-1, -1, 0] == 255
    greys = [shown[title][3, 3, 0] for title in list(shown)[4:]]
    assert greys == [255, 128, 64]
    swapped = sample._replace(image1=sample.image1[..., ::-1])
    assert (
        mask_sheet.pictures(swapped, "RGB", prediction, matched)["image 1"] == sample.image1
    ).all()


def test_what_is_not_known_or_not_there_is_left_out():
    sample, prediction, matched = fakes(tradeoff=False)
    shown = mask_sheet.pictures(sample._replace(occluded=None), "BGR", prediction, matched)
    assert "visible (truth)" not in shown and "trade-off term" not in shown
    width = mask_sheet.WIDTH + mask_sheet.GUTTER
    assert mask_sheet.sheet([shown]).shape[1] == 5 * width
    known = np.zeros((*SIZE_HW, 1), np.uint8)
    known[:, 48:] = 255
    half = mask_sheet.pictures(sample._replace(valid=known), "BGR", prediction, matched)
    truth = half["visible (truth)"]
    assert (truth[:, :48] == mask_sheet.GREY).all() and set(np.unique(truth[:, 48:])) <= {0, 255}
    both = mask_sheet.sheet([shown, half])
    assert both.shape[1] == 6 * width
    assert (both[mask_sheet.TITLE + 64, 2 * width : 3 * width] == mask_sheet.GREY).all()
