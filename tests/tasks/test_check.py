"""What --check prints and returns. It lists datasets' files only, so empty ones serve."""

import logging
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import environments
import mxnet as mx
import pytest

from maskflownet.config import InputError
from maskflownet.config.paths import ROOT_VARIABLES
from maskflownet.reader.datasets import published_sets
from maskflownet.tasks import check as module
from maskflownet.tasks import devices
from maskflownet.tasks.check import check, check_datasets
from maskflownet.tasks.devices import Driver, Gpu

ROOT = Path(__file__).resolve().parents[2]
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
    assert check_datasets(UNSET | {"kitti": kitti})
    printed = lines(caplog)
    assert printed["kitti.2012"].endswith(f"{kitti}: 194 of 194 pairs")
    assert printed["kitti.2015"].endswith(f"{kitti}: 200 of 200 pairs")
    assert printed["hd1k"].split(maxsplit=1)[1] == (
        "not set: MASKFLOWNET_HD1K, or hd1k in config/paths.yaml"
    )
    assert list(printed) == [
        *("chairs", "things3d.clean", "things3d.final", "sintel.clean", "sintel.final"),
        *("kitti.2012", "kitti.2015", "hd1k", "things3d_full.clean", "things3d_full.final"),
        *("monkaa.clean", "monkaa.final", "driving.clean", "driving.final", "spring", "chairs2"),
        *("chairs_sdhom", "vkitti2", "tartanair", "middlebury"),
    ]


def test_one_year_of_kitti_alone_is_complete(kitti, caplog):
    assert check_datasets(UNSET | {"kitti_2015": kitti / "2015"})
    printed = lines(caplog)
    assert printed["kitti.2015"].endswith(f"{kitti / '2015'}: 200 of 200 pairs")
    assert printed["kitti.2012"].endswith(": not there; 2015 is, which serves alone")
    caplog.clear()
    assert check_datasets(UNSET | {"kitti": kitti / "2012"})
    assert lines(caplog)["kitti.2012"].endswith("194 of 194 pairs")


def test_the_first_missing_file(kitti, caplog):
    missing = kitti / "2015/training/image_2/000007_11.png"
    missing.unlink()
    (kitti / "2015/training/flow_occ/000150_10.png").unlink()
    assert not check_datasets(UNSET | {"kitti": kitti})
    printed = lines(caplog)
    assert printed["kitti.2015"].endswith(f": 198 of 200 pairs; first missing: {missing}")
    assert printed["kitti.2012"].endswith("194 of 194 pairs")


def test_what_is_missing_counts_before_a_set_that_is_complete(kitti, caplog):
    (kitti / "2012/training/flow_occ/000003_10.png").unlink()
    assert not check_datasets(UNSET | {"kitti": kitti})
    printed = lines(caplog)
    assert ": 193 of 194 pairs; " in printed["kitti.2012"]
    assert printed["kitti.2015"].endswith("200 of 200 pairs")


def test_missing_folders_and_a_bad_split_file(tmp_path, caplog):
    touch(tmp_path / "data/00001_flow.flo")
    (tmp_path / "FlyingChairs_train_val.txt").write_text("one\n")
    assert not check_datasets(UNSET | {"chairs": tmp_path, "sintel": tmp_path / "gone"})
    printed = lines(caplog)
    assert "0 of 22,872 pairs; " in printed["chairs"]
    assert "line 1: expected 1 (training) or 2 (validation), got 'one'" in printed["chairs"]
    assert "0 of 1,041 pairs; " in printed["sintel.final"]
    assert "gone/training/flow is missing" in printed["sintel.final"]


def test_a_misspelt_variable_is_told(monkeypatch, caplog):
    monkeypatch.setenv("MASKFLOWNET_CHIARS", "/data/chairs")
    monkeypatch.setenv("MASKFLOWNET_KITTI_2015", "/data/kitti")
    monkeypatch.setenv("MASKFLOWNET_KERNELS", "auto")
    assert check_datasets(dict.fromkeys(ROOT_VARIABLES))
    told = [line for line in caplog.messages if "did you mean" in line]
    assert told == ["MASKFLOWNET_CHIARS is not read; did you mean MASKFLOWNET_CHAIRS?"]


def test_nothing_set_is_nothing_wrong(caplog):
    assert check_datasets(UNSET)
    assert len(lines(caplog)) == len(published_sets())
    assert all("not set: MASKFLOWNET_" in line for line in lines(caplog).values())


def test_fewer_sequences_than_published(tmp_path, caplog):
    for folder, name in (("flow", "frame_0001.flo"), ("invalid", "frame_0001.png")):
        touch(tmp_path / "training" / folder / "alley_1" / name)
    for render in ("clean", "final"):
        for name in ("frame_0001.png", "frame_0002.png"):
            touch(tmp_path / "training" / render / "alley_1" / name)
    assert not check_datasets(UNSET | {"sintel": tmp_path})
    assert "1 of 1,041 pairs; the rest is missing" in lines(caplog)["sintel.clean"]


# --- The machine ----------------------------------------------------------------------------------


def ask_nothing():
    return None


@pytest.fixture
def driver(monkeypatch):
    """Return a function that puts a driver in place of this machine's."""
    monkeypatch.setattr(module, "ask_driver", ask_nothing)
    return lambda answer: monkeypatch.setattr(module, "ask_driver", answer)


def test_versions_build_and_checkpoints(tmp_path, driver, caplog):
    for name in ("abcJan01-0000_9.params", "abcJan01-0000_1000.params", "5adNov03-0005_7.params"):
        touch(tmp_path / name)
    assert check(UNSET, tmp_path) == 0
    printed = lines(caplog)
    assert printed["Python"].split() == ["Python", platform.python_version()]
    assert printed["MXNet"].endswith("1.9.1, built for CPUs; threads on the CPU: 1")
    assert printed["driver"].endswith("none (libcuda.so.1), and without NVIDIA's driver no GPUs")
    assert printed["libraries"].endswith("none is missing")
    assert printed["checkpoints"].endswith(
        f"{tmp_path}: 5adNov03-0005 (step 7), abcJan01-0000 (step 1,000)"
    )
    assert "scenes-S (step " in printed["its"] and printed["its"].endswith(", the default")


@pytest.mark.parametrize(
    ("numpy", "said"),
    [
        ("1.23.5", "within what the tests run with"),
        ("2.0.2", "within what the tests run with"),
        ("2.5.5", "within what the tests run with"),
        ("2.5.6", "NumPy 2.5.6 is newer than all that were tried (up to 2.5.5)"),
        ("3.0.0rc1", "NumPy 3.0.0rc1 is newer than all that were tried (up to 2.5.5)"),
        ("1.22.4", "NumPy 1.22.4 is older than all that were tried (from 1.23.5)"),
    ],
)
def test_what_is_known_of_the_packages(numpy, said, monkeypatch, caplog):
    monkeypatch.setattr(module.np, "__version__", numpy)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    module.check_packages()
    assert lines(caplog)["set"].split(maxsplit=1)[1] == said


def test_what_was_tried_is_what_the_sets_of_packages_hold():
    held = {name: set() for name in ("numpy", "opencv-python")}
    for path in ROOT.glob("constraints*.txt"):
        for name, version in re.findall(r"^([\w-]+)==([\d.]+)", path.read_text(), re.M):
            held.get(name, set()).add(tuple(map(int, version.split(".")[:3])))
    for name, package in (("NumPy", "numpy"), ("OpenCV", "opencv-python")):
        ends = [tuple(map(int, version.split("."))) for version in module.TRIED[name]]
        assert ends == [min(held[package]), max(held[package])]


def test_pythons_that_were_tried_are_those_of_the_sets_and_make_takes_them():
    minors = [one.minor for one in environments.SETS.values()]
    oldest, newest = (int(version.removeprefix("3.")) for version in module.TRIED["Python"])
    assert oldest == min(minors)
    assert newest >= max(minors)  # 3.14 was tried by hand: docs/platforms.md
    bounds = re.search(r"\(3, (\d+)\) <= .* < \(3, (\d+)\)", (ROOT / "Makefile").read_text())
    assert int(bounds[1]) <= oldest and newest < int(bounds[2])


def test_each_gpu_and_whether_mxnet_runs_on_it(tmp_path, driver, monkeypatch, caplog):
    monkeypatch.setattr(devices, "cuda_library_files", lambda: {"libcudart.so.11.0": "somewhere"})
    gpus = Gpu("NVIDIA A10", (8, 6)), Gpu("NVIDIA H200", (9, 0))
    driver(lambda: Driver((12, 4), gpus))
    assert check(UNSET, tmp_path) == 0
    assert [line.split(maxsplit=2)[2] for line in caplog.messages if line.startswith("GPU")] == [
        "NVIDIA A10, compute capability 8.6: MXNet runs on it with -g 0",
        "NVIDIA H200, compute capability 9.0: MXNet 1.9.1 cannot run on it, for it has code for "
        "compute capability 5.0 to 8.9 and this GPU has 9.0; use another GPU, or leave -g out to "
        "run on the CPU",
    ]
    printed = lines(caplog)
    assert printed["driver"].endswith("serves CUDA up to 12.4")
    assert printed["checkpoints"].endswith("--fetch dbbSep30")


def test_mxnet_for_gpus_is_said(tmp_path, driver, monkeypatch, caplog):
    features = SimpleNamespace(is_enabled=lambda name: name == "CUDA")
    monkeypatch.setattr(mx.runtime, "Features", lambda: features)
    check(UNSET, tmp_path)
    assert "1.9.1, built for GPUs; " in lines(caplog)["MXNet"]


def test_a_driver_without_gpus_is_no_mistake(tmp_path, driver, caplog):
    driver(lambda: Driver((12, 4), ()))
    assert check(UNSET, tmp_path) == 0
    assert lines(caplog)["GPU"].endswith("none that this process may use")


def test_a_driver_that_does_not_work_does_not_end_the_check(tmp_path, driver, caplog):
    def fail():
        raise InputError("NVIDIA's driver does not work")

    driver(fail)
    assert check(UNSET, tmp_path) == 0
    assert "driver does not work" in lines(caplog)["driver"]
    assert "chairs" in lines(caplog)


def test_missing_libraries_are_named_with_their_packages(tmp_path, driver, monkeypatch, caplog):
    monkeypatch.setattr(module.runtime, "SYSTEM_LIBRARIES", {"libnone.so.1": "libnone1"})
    monkeypatch.setattr(module.runtime, "cuda_library_files", lambda: {"a library": "a file"})
    check(UNSET, tmp_path)
    line = lines(caplog)["libraries"]
    assert "missing: libnone.so.1 (in libnone1), " in line
    assert "libcudnn.so.8 (in nvidia-cudnn-cu11)" in line


def run_main(*flags, **environment):
    """Run `main.py --check` in a process of its own, with no dataset set; return it finished."""
    inherited = {key: value for key, value in os.environ.items() if "MASKFLOWNET" not in key}
    return subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "--check", *flags],
        env=inherited | environment,
        capture_output=True,
        timeout=120,
    )


def test_mxnet_that_cannot_be_loaded_is_said_and_the_rest_too(tmp_path):
    (tmp_path / "mxnet.py").write_text(
        "raise OSError('libcuda.so.1: cannot open shared object file: No such file or directory')"
    )
    done = run_main("--root", str(tmp_path), PYTHONPATH=str(tmp_path))
    printed = done.stdout.decode()
    assert (done.returncode, done.stderr) == (1, b"")
    assert re.search(r"^MXNet +cannot be loaded: NVIDIA's driver is missing", printed, re.MULTILINE)
    assert f"checkpoints          {tmp_path}/weights: none" in printed
    assert "hd1k                 not set" in printed


def test_folders_that_the_terminal_cannot_show(tmp_path):
    name = os.fsdecode("é".encode() + b"\xe9")
    done = run_main(MASKFLOWNET_CHAIRS=str(tmp_path / name), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (1, b"")
    assert rf"{tmp_path}/\xe9\udce9: 0 of 22,872 pairs".encode() in done.stdout
