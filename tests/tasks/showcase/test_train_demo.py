"""`make train-demo`: its parts, where it goes on, its curve and what that is compared with."""

import csv
import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from maskflownet.config import load_dataset_config
from maskflownet.config.files import CONFIG_DIR, read_mapping
from maskflownet.reader.datasets import make_dataset
from maskflownet.reader.images import read_image
from maskflownet.tasks.showcase import baselines, train_demo
from maskflownet.tasks.showcase.programs import newest

STEPS = {"1_a": 2, "2_b": 3}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Have two parts of a few steps on tiny scenes."""
    for name, steps in STEPS.items():
        mapping = read_mapping(CONFIG_DIR / train_demo.COURSE / "1_short.yaml")
        mapping["synthetic"] |= {"size": [64, 64], "valid_pairs": 2, "valid_size": [64, 64]}
        mapping |= {"orig_shape": [64, 64], "target_shape": [64, 64], "batch": 1}
        mapping |= {"validation_steps": 1, "checkpoint_steps": 1}
        mapping["optimizer"] = {"learning_rate": [[steps, 1e-4]]}
        if name == "1_a":
            mapping["optimizer"]["start"] = "scaled"
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(mapping))
    monkeypatch.setattr(train_demo, "COURSE", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


class FakePrograms:
    """Stands in for main.py: notes what is asked for and writes what it would write."""

    def __init__(self):
        self.asked, self.fails_at = [], None

    def __call__(self, program, network, *flags):
        assert (program, network, flags[0], flags[2]) == (
            *("main.py", "MaskFlownet_S", "--dataset_cfg", "--root"),
        )
        config, root = Path(flags[1]), Path(flags[3])
        assert config.name == root.name
        self.asked.append((root.name, flags[4:]))
        if root.name == self.fails_at:
            raise SystemExit(130)
        steps = STEPS[root.name]
        for folder in ("weights", "logs"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "weights" / f"{root.name}Jan01_{steps}.params").touch()
        rows = ["steps,epe,loss,learning_rate,samples_per_second,data_wait,total_time,val_epe"]
        for step in range(1, steps + 1):
            rows += [f"{step},9,1,1e-4,1,0,1,", f"{step},,,,,,,{5 - 0.5 * step}"]
        (root / "logs" / f"{root.name}Jan01.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def programs(monkeypatch):
    fake = FakePrograms()
    monkeypatch.setattr("maskflownet.tasks.showcase.programs.run", fake)
    return fake


def curve_in(folder):
    with (folder / "curve.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def demo(folder):
    return train_demo.main(["-o", str(folder)])


def test_each_part_begins_at_the_weights_of_the_one_before(parts, programs, tmp_path):
    out = tmp_path / "out"
    assert demo(out) == 0
    weights = out / "1_a" / "weights" / "1_aJan01_2.params"
    assert programs.asked == [("1_a", ()), ("2_b", ("-c", str(weights), "--clear_steps"))]
    rows = curve_in(out)
    assert [(row["steps"], row["MaskFlownet_S"]) for row in rows] == [
        *(("1", "4.5"), ("2", "4.0"), ("3", "4.5"), ("4", "4.0"), ("5", "3.5"))
    ]
    assert list(rows[0]) == ["steps", "MaskFlownet_S", "no motion", "OpenCV's DIS"]
    assert len({row["no motion"] for row in rows}) == 1
    picture = read_image(out / "curve.png")
    assert picture.shape == (495, 880, 3) and picture.std() > 10


def test_it_goes_on_where_it_was_stopped(parts, programs, tmp_path):
    out = tmp_path / "out"
    programs.fails_at = "2_b"
    with pytest.raises(SystemExit) as caught:
        demo(out)
    assert caught.value.code == 130
    assert len(curve_in(out)) == 2  # the first part is drawn already
    programs.fails_at = None
    assert demo(out) == demo(out) == 0
    assert [part for part, _ in programs.asked] == ["1_a", "2_b", "2_b"]
    assert len(curve_in(out)) == 5


def test_what_is_wrong_with_a_part_is_one_line_and_code_2(parts, programs, tmp_path, capsys):
    (parts / "2_b.yaml").write_text("dataset: nowhere\n")
    assert demo(tmp_path / "out") == 2
    errors = capsys.readouterr().err
    assert errors.startswith("train_demo: error: ") and errors.count("\n") == 1


@pytest.mark.parametrize("place", [0, 1], ids=["curve.csv", "curve.png"])
def test_what_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch, place):
    files = tmp_path / "curve.csv", tmp_path / "curve.png"
    references = {baselines.NO_MOTION: 5.0, baselines.DIS: 1.0}
    train_demo.write_curve([(1, 4.0)], references, tmp_path)
    before = files[place].read_bytes()
    synced = []

    def fill_up(descriptor):
        synced.append(descriptor)
        if len(synced) > place:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(OSError, match="No space"):
        train_demo.write_curve([(1, 4.0), (2, 3.0)], references, tmp_path)
    assert files[place].read_bytes() == before
    assert set(tmp_path.iterdir()) == set(files)


@pytest.mark.long
def test_the_real_programs_train_part_after_part(parts, tmp_path):
    out = tmp_path / "out"
    assert demo(out) == 0
    assert [newest(out / name).steps for name in STEPS] == list(STEPS.values())
    (log,) = (out / "2_b" / "logs").glob("*.log")
    first = newest(out / "1_a")
    assert f"checkpoint={first.path}, clear_steps=True" in log.read_text()
    rows = curve_in(out)
    assert [int(row["steps"]) for row in rows] == [1, 2, 3, 4, 5]
    values = [float(row["MaskFlownet_S"]) for row in rows]
    assert np.isfinite(values).all() and len(set(values)) > 1


def test_references_are_errors_over_the_held_out_scenes(parts):
    dataset = make_dataset(load_dataset_config(parts / "1_a.yaml"), "valid")
    errors = baselines.reference_errors(dataset)
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    wanted = []
    for sample in dataset:
        one, other = (cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in sample[:2])
        off = dis.calc(one, other, None) - sample.flow
        wanted.append((np.hypot(*sample.flow.T).mean(), np.hypot(*off.T).mean()))
    assert len(wanted) == 2
    assert list(errors.values()) == pytest.approx(np.mean(wanted, axis=0), rel=1e-5)
    assert 0 < errors[baselines.DIS] < errors[baselines.NO_MOTION]


def test_the_parts_grow_more_difficult_over_the_same_held_out_scenes():
    parts = [f"{train_demo.COURSE}/{part}" for part in train_demo.parts_of(train_demo.COURSE)]
    configs = [load_dataset_config(part) for part in parts]
    assert len(configs) == 3
    assert [config.optimizer.start for config in configs] == ["scaled", "reference", "reference"]
    longest = [config.synthetic.scene["max_motion_px"] for config in configs]
    assert longest == sorted(set(longest))
    held_out = [make_dataset(config, "valid") for config in configs]
    for dataset in held_out[:-1]:
        assert dataset.scene_config == held_out[-1].scene_config
        assert dataset.size_hw == held_out[-1].size_hw and dataset.seed == held_out[-1].seed
        assert dataset.names == held_out[-1].names
    for part in train_demo.parts_of(train_demo.COURSE):
        last = train_demo.last_step(f"{train_demo.COURSE}/{part}")
        config = load_dataset_config(f"{train_demo.COURSE}/{part}")
        assert last % config.validation_steps == 0  # the curve's end is the training's
