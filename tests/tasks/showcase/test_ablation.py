"""The comparison of variants: what is trained, skipped, continued, refused and written."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
import yaml

from maskflownet.config import load_dataset_config
from maskflownet.config.files import read_mapping
from maskflownet.reader.datasets import make_dataset
from maskflownet.tasks.showcase import ablation
from maskflownet.tasks.showcase.programs import newest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """Have the comparison run on tiny scenes of its own; return their config."""
    mapping = read_mapping(ablation.SCENES)
    mapping["synthetic"] |= {"size": [64, 64], "valid_pairs": 3}
    mapping |= {"orig_shape": [64, 64], "target_shape": [64, 64], "batch": 1}
    path = tmp_path / "scenes.yaml"
    path.write_text(yaml.safe_dump(mapping))
    monkeypatch.setattr(ablation, "SCENES", path)
    return path


class FakePrograms:
    """Stands in for main.py: notes what is asked for and writes what it would write."""

    def __init__(self, steps):
        self.steps, self.asked, self.fails_at = steps, [], None

    def __call__(self, program, config, *flags):
        assert program == "main.py"
        flags = " ".join(flags)
        root = Path(flags.split("--root ")[1].split()[0])
        kind = "valid" if "--valid" in flags else "continue" if "-c" in flags else "begin"
        variant, seed = root.name.rsplit("-", 1)
        assert config == f"ablation/{variant}"
        assert f"--dataset_cfg {root.parent / 'scenes.yaml'} " in flags
        assert (f"--seed {seed}" in flags) == (kind == "begin")
        if kind == "valid":
            assert f"-c abcJan01-0000:{self.steps} " in flags
        self.asked.append((kind, root.name))
        if root.name == self.fails_at:
            raise SystemExit(130)
        if kind != "valid":
            (root / "weights").mkdir(parents=True, exist_ok=True)
            path = root / "weights" / f"abcJan01-0000_{self.steps}.params"
            mx.nd.save(str(path), {"arg:weight": mx.nd.ones(1)})
            return
        region = {"epe_pooled": 1.5}
        figures = {"epe_pooled": 1.25, "regions": {"matched": region, "unmatched": region}}
        if "fmm" not in config:
            figures["mask"] = {"average_precision": 0.5, "best_f1": 0.625}
        report = root / "logs" / "val" / f"abcJan01-0000_{self.steps}.val.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps({"sets": {"scenes.validation": figures}}))


@pytest.fixture
def programs(monkeypatch):
    fake = FakePrograms(steps=5)
    monkeypatch.setattr("maskflownet.tasks.showcase.programs.run", fake)
    return fake


def compare(folder, *flags):
    return ablation.main(["-o", str(folder), *flags])


def table_in(folder):
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_variants_from_one_seed_and_the_default_from_three():
    plan = [tuple(training) for training in ablation.plan(ablation.MATCHINGS)]
    assert len(plan) == 10 and ("deform", 1) in plan and ("deform", 2) in plan
    assert {seed for name, seed in plan if name != "deform"} == {0}
    assert [tuple(training) for training in ablation.plan(["fmm"])] == [("fmm", 0)]


def test_what_is_finished_is_skipped_and_the_table_has_it_all(scenes, programs, tmp_path):
    out = tmp_path / "out"
    flags = ["--steps", "5", "--variants", "fmm,deform"]
    assert compare(out, *flags) == 0
    names = ["fmm-0", "deform-0", "deform-1", "deform-2"]
    assert programs.asked == [(kind, name) for name in names for kind in ("begin", "valid")]
    rows = table_in(out)
    assert [row["matching"] for row in rows] == ["no motion", "fmm", "deform", "deform", "deform"]
    assert rows[1]["AP %"] == "" and rows[2]["AP %"] == "50.0" and rows[2]["best F1 %"] == "62.5"
    assert (rows[3]["seed"], rows[3]["steps"], rows[3]["EPE"]) == ("1", "5", "1.25")
    lines = (out / "table.md").read_text().splitlines()
    assert lines[0] == "| matching | seed | steps | EPE | visible | occluded | AP % | best F1 % |"
    assert lines[3] == "| fmm | 0 | 5 | 1.250 | 1.500 | 1.500 |  |  |"
    assert compare(out, *flags) == 0
    assert len(programs.asked) == 8


def test_more_steps_continue_and_fewer_are_refused(scenes, programs, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare(out, "--steps", "5", "--variants", "fmm") == 0
    programs.steps = 9
    assert compare(out, "--steps", "9", "--variants", "fmm") == 0
    assert programs.asked[2:] == [("continue", "fmm-0"), ("valid", "fmm-0")]
    assert load_dataset_config(out / "scenes.yaml").optimizer.learning_rate == ((9, 2e-5),)
    assert compare(out, "--steps", "5", "--variants", "fmm") == 2
    assert "expected a run of at most 5 steps, got 9" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("steps", "schedule"),
    [
        (20, ((20, 2e-5),)),
        (60, ((20, 2e-5), (50, 5e-5), (60, 1e-4))),
        (4000, ((20, 2e-5), (50, 5e-5), (100, 1e-4), (4000, 2e-4))),
    ],
)
def test_the_schedule_ends_where_it_is_told_to(tmp_path, steps, schedule):
    path, said = ablation.write_scenes(tmp_path, steps)
    assert (said, load_dataset_config(path).optimizer.learning_rate) == (steps, schedule)


def test_a_full_disk_leaves_the_config_and_the_table_as_they_were(scenes, tmp_path, monkeypatch):
    path, _ = ablation.write_scenes(tmp_path / "out", 5)
    ablation.write_table([ablation.no_motion_row(path)], tmp_path / "out")
    before = {file: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    assert {file.name for file in before} == {"scenes.yaml", "table.csv", "table.md"}

    def fill_up(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_up)
    for write in (
        lambda: ablation.write_scenes(tmp_path / "out", 9),
        lambda: ablation.write_table([], tmp_path / "out"),
    ):
        with pytest.raises(OSError, match="No space"):
            write()
    assert {file: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before


def test_other_scenes_are_refused(scenes, programs, tmp_path, capsys):
    out = tmp_path / "out"
    assert compare(out, "--steps", "5", "--variants", "fmm") == 0
    scenes.write_text(scenes.read_text().replace("valid_pairs: 3", "valid_pairs: 4"))
    assert compare(out, "--steps", "5", "--variants", "fmm") == 2
    assert "expected the scenes of" in capsys.readouterr().err


def test_a_failed_training_ends_it_with_its_code(scenes, programs, tmp_path):
    out = tmp_path / "out"
    programs.fails_at = "ofmm-0"
    with pytest.raises(SystemExit) as caught:
        compare(out, "--steps", "5", "--variants", "fmm,ofmm")
    assert caught.value.code == 130
    # What is finished is in the table already.
    assert [row["matching"] for row in table_in(out)] == ["no motion", "fmm"]


def test_wrong_variants_list_the_right_ones(capsys):
    with pytest.raises(SystemExit):
        ablation.main(["--variants", "warp"])
    assert "expected a list of fmm,ofmm,sym-conv,asym-conv," in capsys.readouterr().err


def test_no_motion_is_measured_on_the_held_out_scenes(scenes):
    row = ablation.no_motion_row(scenes)
    dataset = make_dataset(load_dataset_config(scenes), "valid")
    lengths = np.stack([np.linalg.norm(sample.flow, axis=-1) for sample in dataset])
    occluded = np.stack([sample.occluded for sample in dataset])
    assert row["EPE"] == pytest.approx(lengths.mean(), rel=1e-4)
    assert row["visible"] == pytest.approx(lengths[~occluded].mean(), rel=1e-4)
    assert row["occluded"] == pytest.approx(lengths[occluded].mean(), rel=1e-4)
    assert row["AP %"] == pytest.approx(100 * occluded.mean())


@pytest.mark.long
def test_ctrl_c_and_the_same_command_again(scenes, tmp_path):
    """With the real programs: stopped within a training, then continued to its end."""
    out = tmp_path / "out"
    code = f"""
import sys
from pathlib import Path
from maskflownet.tasks.showcase import ablation
ablation.SCENES = Path({str(scenes)!r})
sys.exit(ablation.main(["-o", {str(out)!r}, "--steps", "40", "--variants", "fmm"]))
"""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True) as program:
        while not any("steps=2," in log.read_text() for log in out.glob("fmm-0/logs/*.log")):
            assert program.poll() is None
            time.sleep(0.2)
        os.killpg(program.pid, signal.SIGINT)
        assert program.wait() == 130
    stopped = newest(out / "fmm-0")
    assert 2 <= stopped.steps < 40
    again = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    assert again.returncode == 0
    finished = newest(out / "fmm-0")
    assert (finished.run, finished.steps) == (stopped.run, 40)
    assert [row["matching"] for row in table_in(out)] == ["no motion", "fmm"]
