"""`python main.py CONFIG` as a person runs it: trained, stopped, continued, tried out."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from golden import recipe_pipeline

from config import load_dataset_config
from main import main
from reader.datasets import make_dataset
from reader.flow_files import write_flo
from reader.images import write_image
from reader.synthetic import generate
from tasks import start
from tasks.run_log import read_rows
from tasks.runs import checkpoints_of, find_checkpoint

REPOSITORY = Path(__file__).parents[1]
STEPS = 10
SEED = 3
PATIENCE_S = 300
NO_GEOMETRY = {
    "angle": 0,
    "zoom": [1, 1],
    "aspect": [1, 1],
    "translation": 0,
    "relative_scale": [1, 1],
}
NO_COLOR = {
    "contrast": [0, 0],
    "brightness": 0,
    "channel": [1, 1],
    "saturation": 0,
    "hue": 0,
    "noise": [0, 0],
}


@pytest.fixture
def root():
    """A folder that goes at once: checkpoints are large."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def write_dataset(folder, steps=STEPS, rate=1e-4, **changes):
    """Write a dataset config: generated pairs, the whole augmentation of the recipes."""
    settings = {
        "dataset": "synthetic",
        "batch": 2,
        "orig_shape": [64, 96],
        "target_shape": [64, 64],
        "validation_steps": 4,
        "checkpoint_steps": 5,
        "synthetic": {"size": [72, 104], "pairs": 5, "valid_pairs": 2},
        "optimizer": {"learning_rate": [[4, rate], [steps, rate / 2]]},
        **changes,
    }
    path = folder / "tiny.yaml"
    path.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items()))
    return path


def begin(root, *more, config="MaskFlownet_S", **changes):
    """Return the arguments of a new run on a dataset of its own."""
    dataset = write_dataset(root, **changes)
    return [config, "--dataset_cfg", str(dataset), "--root", str(root), *map(str, more)]


def only_run(root):
    (log,) = root.glob("logs/*.log")
    return log.stem


def rows_of(root, column="epe"):
    rows = read_rows(root / "logs" / f"{only_run(root)}.csv")
    return {int(row["steps"]): row[column] for row in rows if column in row}


def log_of(root):
    return (root / "logs" / f"{only_run(root)}.log").read_text()


class State:
    """All that a run is at a step: the bytes of its weights, and its moments and counts."""

    def __init__(self, root, step):
        checkpoint = find_checkpoint(f"{only_run(root)}:{step}", root / "weights")
        self.weights = checkpoint.path.read_bytes()
        states, optimizer = pickle.loads(checkpoint.states.read_bytes())
        self.moments = {
            index: [moment.asnumpy().tobytes() for moment in pair] for index, pair in states.items()
        }
        self.counts = (optimizer.num_update, optimizer._all_index_update_counts)

    def __eq__(self, other):
        return vars(self) == vars(other)


@pytest.fixture(scope="module")
def whole():
    """A run that nothing interrupted: its state at the end, and its folder with step 5."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        assert main(begin(root, "--seed", SEED, "--workers", 2)) == 0
        yield root, State(root, STEPS)


# Continuing.


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(whole, root):
    folder, end = whole
    shutil.copytree(folder / "logs", root / "logs")
    (root / "weights").mkdir()
    for path in folder.glob("weights/*_5.*"):
        shutil.copy(path, root / "weights")
    # Not one setting is said again, and the pairs are read by another number of processes.
    assert main(["MaskFlownet_S", "-c", only_run(root), "--root", str(root), "--workers", "1"]) == 0
    assert State(root, STEPS) == end
    for column in ("epe", "loss", "learning_rate", "val_epe"):
        assert rows_of(root, column) == rows_of(folder, column)
    assert rows_of(root, "learning_rate")[5] == 5e-5
    assert log_of(root).count("start=0,") == log_of(root).count("start=5,") == 1


def test_another_seed_is_another_run(whole, root):
    folder, end = whole
    assert main(begin(root, "--seed", SEED + 1, steps=5)) == 0
    assert State(root, 5).weights != end.weights
    assert rows_of(root)[1] != rows_of(folder)[1]


def start_program(argv):
    """Run the program in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, str(REPOSITORY / "main.py"), *argv],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_step(process, root, step, starts=1):
    """Wait until the log, which must not lag behind, has a step after so many starts."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        for log in root.glob("logs/*.log"):
            parts = log.read_text().split("] start=")[1:]
            if len(parts) == starts and f"] steps={step}, epe=" in parts[-1]:
                return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def members(group):
    """Return the ids of the processes of a group that are still there."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(process_group) == group and state != "Z":
            found.append(int(stat.parent.name))
    return found


def assert_all_ended(group):
    """Python's own helper of the reading processes needs a moment longer."""
    deadline = time.monotonic() + PATIENCE_S
    while members(group) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert members(group) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_program_writes_a_checkpoint_and_goes_on_as_if_never_stopped(
    whole, root, number, code
):
    process = start_program(begin(root, "--seed", SEED, "--workers", 2))
    wait_for_step(process, root, 1)
    os.killpg(process.pid, number)  # as Ctrl-C: the reading processes get it too
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, errors
    assert errors == "\nstopping after this step and its checkpoint\n"
    assert_all_ended(process.pid)
    newest = find_checkpoint(only_run(root), root / "weights")
    assert 1 <= newest.steps < STEPS and newest.states.is_file()
    assert max(rows_of(root)) == newest.steps
    assert main(["MaskFlownet_S", "-c", only_run(root), "--root", str(root)]) == 0
    assert State(root, STEPS) == whole[1]
    assert list(rows_of(root)) == list(range(1, STEPS + 1))
    assert len(output.splitlines()) >= 3


@pytest.mark.long
def test_a_program_that_is_killed_again_and_again_ends_as_if_never_killed(whole, root):
    generator = np.random.default_rng(0)
    process = start_program(
        begin(root, "--seed", SEED, "--workers", 2, checkpoint_steps=1, validation_steps=2)
    )
    wait_for_step(process, root, 2)
    argv = ["MaskFlownet_S", "-c", only_run(root), "--root", str(root)]
    kills = 0
    while (done := newest_step(root)) < STEPS and kills < 8:
        if kills:
            process = start_program(argv)
            wait_for_step(process, root, done + 1, starts=kills + 1)
        time.sleep(generator.uniform(0, 1))
        process.kill()
        process.communicate()
        kills += 1
    assert kills > 3
    assert main(argv) == 0
    assert State(root, STEPS) == whole[1]
    assert list(rows_of(root)) == list(range(1, STEPS + 1))
    assert len(list((root / "weights").iterdir())) == 6


def newest_step(root):
    return find_checkpoint(only_run(root), root / "weights").steps


def test_a_released_checkpoint_continues_with_its_log(root, capsys):
    run, steps = "abbSep15-1037", 500_000
    pipe = recipe_pipeline("MaskFlownet_S")
    (root / "weights").mkdir()
    pipe.network.collect_params().save(
        str(root / "weights" / f"{run}_{steps}.params"), strip_prefix=pipe.network.prefix
    )
    (root / "logs").mkdir()
    old = "[2019/09/15 10:37:28] start=0, train=1, val=1, host=x, batch=8\n"
    (root / "logs" / f"{run}.log").write_text(old)
    argv = begin(root, "-c", "abbSep15", steps=steps + 2, config="MaskFlownet_S_ft")
    assert main(argv) == 0
    output = capsys.readouterr().out
    assert f"{run}_{steps}.states is not there: training continues with fresh moments" in output
    assert log_of(root).startswith(old) and f"start={steps}, " in log_of(root)
    assert list(rows_of(root)) == [steps + 1, steps + 2]
    assert [entry.steps for entry in checkpoints_of(run, root / "weights")] == [steps, steps + 2]
    # The weights were not fresh ones: those predict next to no motion.
    assert find_checkpoint(run, root / "weights").states.is_file()


# What is hard on the numbers.


def write_pairs(root, pairs):
    """Write pairs of (image1, image2, flow) and their list."""
    lines = []
    for number, (image1, image2, flow) in enumerate(pairs):
        names = [f"{number}_{part}" for part in ("1.png", "2.png", "flow.flo")]
        write_image(root / names[0], image1)
        write_image(root / names[1], image2)
        write_flo(root / names[2], flow)
        lines.append(" ".join(names))
    (root / "pairs.txt").write_text("\n".join(lines))
    return {
        "dataset": "list",
        "train_list": "pairs.txt",
        "valid_list": "pairs.txt",
        "synthetic": {},
    }


def test_nothing_valid_black_images_and_huge_flow_train_on(root):
    size = (64, 96)
    scene = generate(0, 0, size)
    black = np.zeros((*size, 3), np.uint8)
    flow = np.zeros((*size, 2), np.float32)
    unknown = np.full_like(flow, 1e10)
    unknown[:5] = np.nan
    data = write_pairs(
        root,
        [
            (scene.image1, scene.image2, unknown),
            (black, black, flow + np.float32([3, -2])),
            (scene.image1, scene.image2, flow + 1000),
            (black, black, unknown),
        ],
    )
    assert main(begin(root, "--batch", 4, steps=5, **data)) == 0
    assert "no update" not in log_of(root)
    for column in ("epe", "loss", "val_epe"):
        assert np.isfinite(list(rows_of(root, column).values())).all()
    arrays = mx.nd.load(str(find_checkpoint("", root / "weights").path))
    assert all(np.isfinite(array.asnumpy()).all() for array in arrays.values())


def test_a_run_that_diverges_stops_and_keeps_what_was_good(root):
    """The first checkpoint is before the rate that breaks everything."""
    rates = {"learning_rate": [[5, 1e-4], [100, 1e30]]}
    assert main(begin(root, optimizer=rates, validation_steps=1000)) == 1
    log = log_of(root)
    assert "stopped: no update was possible 10 times in a row" in log
    assert "the checkpoint of step 5 is the last good one" in log
    bad = [line for line in log.splitlines() if "no update: " in line]
    assert len(bad) == 10 and all("synthetic/0/" in line for line in bad)
    assert [entry.steps for entry in checkpoints_of(only_run(root), root / "weights")] == [5]
    assert max(rows_of(root)) == 6


# Devices, parts, learning.


def test_two_devices_and_parts_train_as_one_device_at_once(whole, root, monkeypatch):
    monkeypatch.setattr(start, "devices", lambda ids: [mx.cpu(number) for number in ids or [0]])
    folder, _ = whole
    for name, flags in {"two": ["-g", "0,1"], "parts": ["--micro_batch", 1]}.items():
        own = root / name
        own.mkdir()
        assert main(begin(own, "--seed", SEED, *flags, steps=5)) == 0
        for step in range(1, 5):
            assert rows_of(own)[step] == pytest.approx(rows_of(folder)[step], rel=1e-3)
        assert rows_of(own, "val_epe")[1] == pytest.approx(rows_of(folder, "val_epe")[1], rel=1e-3)


def test_training_learns(root):
    """Two fixed pairs: from worse than predicting no motion to below half of its error."""
    size = [64, 64]
    scene = load_dataset_config("synthetic_easy").synthetic.scene
    argv = begin(
        root,
        steps=40,
        optimizer={"learning_rate": [[40, 2e-4]]},
        orig_shape=size,
        synthetic={"size": size, "pairs": 2, "valid_pairs": 1, "scene": scene},
        geometry=NO_GEOMETRY,
        color=NO_COLOR,
        validation_steps=1000,
        checkpoint_steps=1000,
    )
    pairs = make_dataset(load_dataset_config(root / "tiny.yaml"), "train")
    no_motion = np.mean([np.linalg.norm(pair.flow, axis=-1).mean() for pair in pairs])
    assert main(argv) == 0
    epe = rows_of(root)
    assert epe[1] > no_motion
    assert epe[40] < 0.5 * no_motion  # the mean of the last 20 steps
    loss = rows_of(root, "loss")
    assert loss[40] < 0.5 * loss[1]


# Trying it out.


@pytest.mark.parametrize(
    ("config", "given"),
    [("MaskFlownet_S", None), ("MaskFlownet", None), ("MaskFlownet", "MaskFlownet_S")],
)
def test_debug_tries_everything_and_leaves_nothing(root, capsys, config, given):
    if given:
        recipe_pipeline(given).save(root / "weights" / "abcJan01-0000_4")
    before = sorted(root.rglob("*"))
    checkpoint = ["-c", "abc", "--clear_steps"] if given else []
    assert main(begin(root, "--debug", *checkpoint, config=config)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "data, steps, validation, checkpoint and resume work"
    assert [line.split(",")[0] for line in lines if line.startswith("steps=")] == [
        *("steps=1", "steps=1", "steps=2", "steps=2", "steps=3", "steps=4", "steps=4")
    ]
    assert any("is the first stage" in line for line in lines) == bool(given)
    (read,) = (line for line in lines if line.startswith("read "))
    assert read.count("synthetic/0/") == 2  # a whole batch
    assert sorted(root.rglob("*")) == sorted([*before, root / "tiny.yaml"])
