"""Predicting the test halves: tiny trees, a pipeline that says what it saw, once a real network."""

import dataclasses
import logging
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import mxnet as mx
import numpy as np
import pytest
from golden import golden_parameters, recipe_weight

from maskflownet.config import load_config
from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.network import get_pipeline
from maskflownet.reader.datasets import benchmark_sets
from maskflownet.reader.flow_files import read_flow, write_flow
from maskflownet.tasks.evaluation.submit import predict_benchmarks
from maskflownet.tasks.runs.checkpoints import Checkpoint

SEQUENCES = {"ambush_1": 3, "wall": 2}  # frames
SINTEL_FILES = [
    f"{render}/{name}.flo"
    for render in ("clean", "final")
    for name in ("ambush_1/frame_0001", "ambush_1/frame_0002", "wall/frame_0001")
]
KITTI_SIZES = [(5, 9), (6, 8), (5, 9)]


class Seeing:
    """A pipeline whose flow is the first image's first pixel: channel 0 as u, channel 2 as v."""

    color_order = None

    def __init__(self, stop_after=None):
        self.config = load_config("MaskFlownet_S")
        self.stop_after = stop_after
        self.calls = []
        self.pairs = 0

    def predict_pairs(self, pairs, batch_size, resize, wanted):
        self.calls.append((batch_size, resize))
        for image1, image2 in pairs:
            if self.pairs == self.stop_after:
                raise KeyboardInterrupt
            self.pairs += 1
            assert image1.shape == image2.shape
            flow = np.empty((*image1.shape[:2], 2), np.float32)
            flow[...] = image1[0, 0, [0, 2]]
            yield SimpleNamespace(flow=flow)


def picture(path, color_bgr, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), color_bgr, np.uint8))


def make_sintel(root, size=(4, 7)):
    for render in ("clean", "final"):
        for sequence, frames in SEQUENCES.items():
            for frame in range(1, frames + 1):
                path = root / "test" / render / sequence / f"frame_{frame:04d}.png"
                picture(path, (frame, 50, 100 + frame), size)


def make_kitti(root, year, images, sizes=KITTI_SIZES):
    for number, size in enumerate(sizes):
        for frame in (10, 11):
            path = root / str(year) / "testing" / images / f"{number:06d}_{frame}.png"
            picture(path, (number, 50, 100 + number), size)


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """Make complete test halves, but smaller than the published ones."""
    monkeypatch.setattr(benchmark_sets, "SINTEL_SEQUENCES", tuple(SEQUENCES))
    monkeypatch.setattr(benchmark_sets, "SINTEL_PAIRS", 3)
    monkeypatch.setattr(benchmark_sets, "KITTI_PAIRS", {2012: 3, 2015: 3})
    make_sintel(tmp_path / "sintel")
    make_kitti(tmp_path / "kitti", 2012, "colored_0")
    make_kitti(tmp_path / "kitti", 2015, "image_2")
    return {"sintel": tmp_path / "sintel", "kitti": tmp_path / "kitti"}


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "run_5.params"
    path.write_bytes(b"some weights")
    return Checkpoint("run", 5, path)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "flows" / "run_5"


def test_the_archives_hold_what_the_benchmarks_want(paths, checkpoint, out, caplog):
    caplog.set_level(logging.INFO)
    pipe = Seeing()
    assert predict_benchmarks(pipe, paths, out, checkpoint, 2, (64, 128)) == 0
    assert pipe.calls == [(2, (64, 128))] * 3
    kitti = [f"{number:06d}_10.png" for number in range(3)]
    expected = {
        "sintel.zip": SINTEL_FILES,
        "kitti_2012.zip": kitti,
        "kitti_2015.zip": [f"flow/{name}" for name in kitti],
    }
    for name, members in expected.items():
        with zipfile.ZipFile(out / name) as packed:
            assert packed.namelist() == members
            packed.extractall(out / "unpacked" / name)
    unpacked = out / "unpacked"
    flow, valid = read_flow(unpacked / "sintel.zip/final/ambush_1/frame_0002.flo")
    assert flow.shape == (4, 7, 2) and valid.all()
    assert (flow == (102, 2)).all()  # red is channel 0 of Sintel
    for number, size in enumerate(KITTI_SIZES):
        path = unpacked / "kitti_2015.zip/flow" / kitti[number]
        flow, valid = read_flow(path)
        assert flow.shape[:2] == size and valid.all()
        assert (flow == (number, 100 + number)).all()  # blue is channel 0 of KITTI
        stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint16 and (stored[..., 0] == 1).all()
    said = caplog.text
    assert f"bundler {out}/sintel/clean {out}/sintel/final" in said
    assert said.count("ready to upload: https://www.cvlibs.net") == 2


def test_an_interrupted_run_keeps_what_is_done(paths, checkpoint, out, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(KeyboardInterrupt):
        predict_benchmarks(Seeing(stop_after=8), paths, out, checkpoint)
    assert (out / "sintel.zip").exists() and not (out / "kitti_2012.zip").exists()
    done = sorted((out / "kitti_2012").iterdir())
    assert [path.name for path in done] == ["000000_10.png", "000001_10.png"]
    times = [path.stat().st_mtime_ns for path in done]
    pipe = Seeing()
    assert predict_benchmarks(pipe, paths, out, checkpoint) == 0
    assert pipe.pairs == 1 + 3
    assert [path.stat().st_mtime_ns for path in done] == times
    assert "kitti.2012: 2 of 3 pairs are done already" in caplog.text
    pipe = Seeing()
    assert predict_benchmarks(pipe, paths, out, checkpoint) == 0
    assert pipe.pairs == 0
    assert f"kitti.2015: {out}/kitti_2015.zip is there already" in caplog.text


def test_flow_of_other_settings_is_not_mixed_in(paths, checkpoint, out):
    assert predict_benchmarks(Seeing(), paths, out, checkpoint) == 0
    with pytest.raises(InputError, match=r"settings\.json: .* got another resize_hw: "):
        predict_benchmarks(Seeing(), paths, out, checkpoint, resize=(64, 64))
    with pytest.raises(InputError, match=r"settings\.json: .* got another precision: "):
        predict_benchmarks(Seeing(), paths, out, checkpoint, precision="bf16")
    other = Seeing()
    config = other.config
    other.config = dataclasses.replace(
        config, network=dataclasses.replace(config.network, mw=(1,) * 5)
    )
    assert (
        predict_benchmarks(other, paths, out, checkpoint) == 0
    )  # weights of the loss do not count
    other.config = load_config("MaskFlownet")
    with pytest.raises(InputError, match="got another network: "):
        predict_benchmarks(other, paths, out, checkpoint)
    checkpoint.path.write_bytes(b"more training")
    with pytest.raises(InputError, match="got another git_blob_id: "):
        predict_benchmarks(Seeing(), paths, out, checkpoint)
    (out / "settings.json").write_text("{")
    with pytest.raises(InputError, match="got another parameter_file and git_blob_id"):
        predict_benchmarks(Seeing(), paths, out, checkpoint)


def test_a_folder_with_other_files_is_left_alone(paths, checkpoint, out):
    write_flow(out / "kitti_2015/flow/000000_10.png", np.zeros((5, 9, 2), np.float32))
    with pytest.raises(InputError, match=r"expected an empty folder .* move them away"):
        predict_benchmarks(Seeing(), paths, out, checkpoint)
    assert [path.name for path in out.iterdir()] == ["kitti_2015"]


def test_an_incomplete_set_gets_no_archive(paths, checkpoint, out, caplog):
    missing = paths["kitti"] / "2012/testing/colored_0/000001_11.png"
    missing.unlink()
    assert predict_benchmarks(Seeing(), paths, out, checkpoint) == 1
    assert not (out / "kitti_2012.zip").exists()
    assert (out / "kitti_2015.zip").exists() and (out / "sintel.zip").exists()
    names = sorted(path.name for path in (out / "kitti_2012").iterdir())
    assert names == ["000000_10.png", "000002_10.png"]
    said = f"kitti.2012: no archive: 2 of 3 pairs are there; first missing: {missing}"
    assert said in caplog.messages
    # The rest arrives: it alone is predicted, and the archive made.
    shutil.copy(missing.with_name("000001_10.png"), missing)
    pipe = Seeing()
    assert predict_benchmarks(pipe, paths, out, checkpoint) == 0
    assert pipe.pairs == 1 and (out / "kitti_2012.zip").exists()


@pytest.mark.parametrize(("published", "said"), [(4, "the last frames"), (2, "more than were")])
def test_sintel_with_another_number_of_pairs(
    paths, checkpoint, out, monkeypatch, caplog, published, said
):
    monkeypatch.setattr(benchmark_sets, "SINTEL_PAIRS", published)
    assert predict_benchmarks(Seeing(), paths, out, checkpoint) == 1
    assert said in caplog.text and not (out / "sintel.zip").exists()


def test_which_sets_are_left_out(paths, checkpoint, out, caplog):
    caplog.set_level(logging.INFO)
    shutil.rmtree(paths["kitti"] / "2012")
    assert predict_benchmarks(Seeing(), paths | {"sintel": None}, out, checkpoint) == 0
    assert "left out: sintel; no folder is set: set MASKFLOWNET_SINTEL, or write" in caplog.text
    assert "left out: kitti.2012; " in caplog.text
    assert {path.name for path in out.glob("*.zip")} == {"kitti_2015.zip"}
    with pytest.raises(MissingDataError, match="no test set to predict"):
        predict_benchmarks(Seeing(), {"sintel": None, "kitti": None}, out, checkpoint)


def test_a_damaged_flow_file_of_an_earlier_run_is_named(paths, checkpoint, out):
    with pytest.raises(KeyboardInterrupt):
        predict_benchmarks(Seeing(stop_after=8), paths, out, checkpoint)
    damaged = out / "kitti_2012/000001_10.png"
    write_flow(damaged, np.zeros((64, 64, 2), np.float32))
    with pytest.raises(InputError, match=r"000001_10\.png: expected 8x6 pixels .* got 64x64"):
        predict_benchmarks(Seeing(), paths, out, checkpoint)
    assert not (out / "kitti_2012.zip").exists()
    damaged.unlink()
    assert predict_benchmarks(Seeing(), paths, out, checkpoint) == 0


def test_pairs_are_read_as_they_are_needed(paths, checkpoint, out, monkeypatch):
    pairs = 40
    make_kitti(paths["kitti"], 2015, "image_2", [(5, 9)] * pairs)
    monkeypatch.setattr(benchmark_sets, "KITTI_PAIRS", {2012: 3, 2015: pairs})
    read = []
    original = benchmark_sets.read_pair
    monkeypatch.setattr(
        benchmark_sets, "read_pair", lambda *files: read.append(files) or original(*files)
    )

    class Watching(Seeing):
        def predict_pairs(self, *arguments, **wanted):
            begun = len(read)
            for count, prediction in enumerate(
                super().predict_pairs(*arguments, **wanted), start=1
            ):
                assert len(read) - begun <= count + 2 * 4
                yield prediction

    assert predict_benchmarks(Watching(), paths, out, checkpoint, batch_size=4) == 0
    assert len(read) == 6 + 3 + pairs


def test_with_a_real_network(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark_sets, "KITTI_PAIRS", {2012: 195, 2015: 2})
    make_kitti(tmp_path / "kitti", 2015, "image_2", [(50, 60), (64, 64)])
    path = tmp_path / "run_1.params"
    arrays = {
        entry["structured"]: mx.nd.array(recipe_weight(entry["structured"], entry["shape"]))
        for entry in golden_parameters("MaskFlownet_S")
    }
    mx.nd.save(str(path), arrays)
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
    pipe.load(path)
    paths = {"kitti": tmp_path / "kitti", "sintel": None}
    out = tmp_path / "flows"
    assert predict_benchmarks(pipe, paths, out, Checkpoint("run", 1, path), 2, (64, 64)) == 0
    with zipfile.ZipFile(out / "kitti_2015.zip") as packed:
        packed.extractall(out / "unpacked")
    images = [cv2.imread(file) for file in benchmark_sets.kitti_test(paths, 2015).pairs[0][1:]]
    expected = next(iter(pipe.predict(images[:1], images[1:], resize=(64, 64)))).flow
    flow, valid = read_flow(Path(out, "unpacked/flow/000000_10.png"))
    assert flow.shape == (50, 60, 2) and valid.all()
    np.testing.assert_allclose(flow, expected, atol=1 / 128 + 1e-4)  # the format's half step
