"""What --check prints and returns. It lists files only, so empty ones serve."""

import io
import logging
import os

import pytest

from tasks.check import check

NAMES = ("chairs", "things3d", "sintel", "kitti", "hd1k")
UNSET = dict.fromkeys(NAMES)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.fixture(autouse=True)
def told(caplog):
    caplog.set_level(logging.INFO)


@pytest.fixture
def kitti(tmp_path):
    for year, images, pairs in ((2012, "colored_0", 194), (2015, "image_2", 200)):
        for number in range(pairs):
            training = tmp_path / str(year) / "training"
            touch(training / f"flow_occ/{number:06d}_10.png")
            touch(training / images / f"{number:06d}_10.png")
            touch(training / images / f"{number:06d}_11.png")
    return tmp_path


def lines(caplog):
    return {line.split()[0]: line for line in caplog.messages}


def test_what_is_complete(kitti, caplog):
    assert check(UNSET | {"kitti": kitti}) == 0
    printed = lines(caplog)
    assert printed["kitti.2012"].endswith(f"{kitti}: 194 of 194 pairs")
    assert printed["kitti.2015"].endswith(f"{kitti}: 200 of 200 pairs")
    assert printed["hd1k"].split(maxsplit=1)[1] == (
        "not set: MASKFLOWNET_HD1K, or hd1k in config/paths.yaml"
    )
    assert set(printed) == {
        *("chairs", "things3d.clean", "things3d.final", "sintel.clean", "sintel.final"),
        *("kitti.2012", "kitti.2015", "hd1k"),
    }


def test_the_first_missing_file(kitti, caplog):
    missing = kitti / "2015/training/image_2/000007_11.png"
    missing.unlink()
    (kitti / "2015/training/flow_occ/000150_10.png").unlink()
    assert check(UNSET | {"kitti": kitti}) == 1
    printed = lines(caplog)
    assert printed["kitti.2015"].endswith(f": 198 of 200 pairs; first missing: {missing}")
    assert printed["kitti.2012"].endswith("194 of 194 pairs")


def test_missing_folders_and_a_bad_split_file(tmp_path, caplog):
    touch(tmp_path / "data/00001_flow.flo")
    (tmp_path / "FlyingChairs_train_val.txt").write_text("one\n")
    assert check(UNSET | {"chairs": tmp_path, "sintel": tmp_path / "gone"}) == 1
    printed = lines(caplog)
    assert "0 of 22,872 pairs; " in printed["chairs"]
    assert "line 1: expected 1 (training) or 2 (validation), got 'one'" in printed["chairs"]
    assert "0 of 1,041 pairs; " in printed["sintel.final"]
    assert "gone/training/flow is missing" in printed["sintel.final"]


def test_nothing_set_is_nothing_wrong(caplog):
    assert check(UNSET) == 0
    assert len(lines(caplog)) == 8


def test_fewer_sequences_than_published(tmp_path, caplog):
    for folder, name in (("flow", "frame_0001.flo"), ("invalid", "frame_0001.png")):
        touch(tmp_path / "training" / folder / "alley_1" / name)
    for render in ("clean", "final"):
        for name in ("frame_0001.png", "frame_0002.png"):
            touch(tmp_path / "training" / render / "alley_1" / name)
    assert check(UNSET | {"sintel": tmp_path}) == 1
    assert "1 of 1,041 pairs; the rest is missing" in lines(caplog)["sintel.clean"]


def test_a_folder_whose_name_is_no_text(tmp_path, caplog):
    strict = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict")
    root = tmp_path / os.fsdecode(b"caf\xe9")
    assert check(UNSET | {"chairs": root}) == 1
    strict.write(lines(caplog)["chairs"])
    assert "caf\\udce9: 0 of 22,872 pairs" in lines(caplog)["chairs"]
