"""`python main.py CONFIG` stopped, killed, continued or shared out: as if nothing had happened."""

import contextlib
import os
import pty
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
from main_runs import STEPS, begin, log_of, moments_of, only_run, rows_of
from processes import assert_all_ended

from maskflownet.main import main
from maskflownet.tasks.runs.checkpoints import checkpoints_of, find_checkpoint
from maskflownet.tasks.runs.lock import lock_run
from maskflownet.tasks.training import plan as planning

pytestmark = pytest.mark.usefixtures("thin_networks")

PROGRAM = Path(__file__).parent / "thin_main.py"
SEED = 3
KILLS = 20
PATIENCE_S = 300


class State:
    """All that a run is at a step: the bytes of its weights, and its moments and counts."""

    def __init__(self, root, step):
        checkpoint = find_checkpoint(f"{only_run(root)}:{step}", root / "weights")
        self.weights = checkpoint.path.read_bytes()
        self.moments = moments_of(checkpoint)

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
        [sys.executable, str(PROGRAM), *argv],
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


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_stopped_program_writes_a_checkpoint_and_goes_on_as_if_never_stopped(
    whole, root, number, code
):
    process = start_program(begin(root, "--seed", SEED, "--workers", 2))
    wait_for_step(process, root, 1)
    for _ in range(2):  # as Ctrl-C or a batch system: the reading processes get it too
        os.killpg(process.pid, number)
        process.send_signal(number)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, errors
    assert errors == "\nstopping after this step and its checkpoint\n"
    assert_all_ended(process.pid, PATIENCE_S)  # Python's own helper of the readers too
    newest = find_checkpoint(only_run(root), root / "weights")
    assert 1 <= newest.steps < STEPS and newest.states.is_file()
    assert max(rows_of(root)) == newest.steps
    assert main(["MaskFlownet_S", "-c", only_run(root), "--root", str(root)]) == 0
    assert State(root, STEPS) == whole[1]
    assert list(rows_of(root)) == list(range(1, STEPS + 1))
    assert len(output.splitlines()) >= 3


def test_a_closed_terminal_does_not_stop_what_was_started_by_nohup(root):
    terminal, far_end = pty.openpty()
    process = subprocess.Popen(
        ["nohup", sys.executable, str(PROGRAM), *begin(root, steps=6)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=far_end,
        start_new_session=True,
    )
    os.close(far_end)
    wait_for_step(process, root, 1)
    os.close(terminal)  # from now on the progress bar has nowhere to go
    process.stdout.close()
    process.send_signal(signal.SIGHUP)
    assert process.wait(PATIENCE_S) == 0
    assert list(rows_of(root)) == list(range(1, 7))


@pytest.mark.long
def test_programs_that_are_killed_twenty_times_end_as_if_never_killed(whole):
    """At random moments: while they start, train, validate or write, in run after run."""
    generator = np.random.default_rng(0)
    kills = 0
    while kills < KILLS:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            kills += kill_again_and_again(root, KILLS - kills, generator)
            assert State(root, STEPS) == whole[1]
            assert list(rows_of(root)) == list(range(1, STEPS + 1))
            # Three checkpoints of two files, and the best weights with their note: no part of one.
            assert len(list((root / "weights").iterdir())) == 3 * 2 + 2


def kill_again_and_again(root, most, generator):
    """Train to the end, up to so many processes killed at some moment; return how many were."""
    process = start_program(
        begin(root, "--seed", SEED, "--workers", 2, checkpoint_steps=1, validation_steps=2)
    )
    wait_for_step(process, root, 2)
    argv = ["MaskFlownet_S", "-c", only_run(root), "--root", str(root)]
    kills, longest_wait_s = 0, 2
    while True:
        time.sleep(generator.uniform(0, longest_wait_s))
        kills += process.poll() is None
        process.kill()
        process.communicate()
        if kills == most or (done := newest_step(root)) == STEPS:
            break
        starts = log_of(root).count("] start=") + 1
        process, longest_wait_s = start_program(argv), 6
        if generator.random() < 0.7:  # else it is killed while it starts, or soon after
            wait_for_step(process, root, done + 1, starts)
            longest_wait_s = 2
    assert main(argv) == 0
    return kills


def newest_step(root):
    return find_checkpoint(only_run(root), root / "weights").steps


def copy_of(folder, root, steps=(5,)):
    """Copy logs and checkpoints of the whole run to another root."""
    shutil.copytree(folder / "logs", root / "logs")
    (root / "weights").mkdir()
    for step in steps:
        for path in folder.glob(f"weights/*_{step}.*"):
            shutil.copy(path, root / "weights")


def continued(root, *flags):
    return main(["MaskFlownet_S", "-c", only_run(root), "--root", str(root), *flags])


def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(whole, root, capsys):
    folder, end = whole
    copy_of(folder, root, (5, STEPS))
    (damaged,) = root.glob(f"weights/*_{STEPS}.params")
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    assert continued(root) == 0
    assert f"{damaged.name} is damaged (it is cut short" in capsys.readouterr().out
    assert State(root, STEPS) == end


def test_moments_of_another_run_or_step_are_refused(whole, root, capsys):
    folder, _ = whole
    copy_of(folder, root)
    (states,) = root.glob("weights/*_5.states")
    (other,) = folder.glob(f"weights/*_{STEPS}.states")
    shutil.copy(other, states)
    assert continued(root) == 2
    assert f"{states}: expected the moments that belong to the weights" in capsys.readouterr().err
    states.unlink()
    assert continued(root) == 0


def test_a_run_is_not_continued_by_two_programs_at_once(whole, root, capsys):
    folder, _ = whole
    copy_of(folder, root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with contextlib.closing(lock_run(root / "logs" / f"{only_run(root)}.log")):
        assert continued(root, "--batch", "1") == 2
    assert "another program trains it at this moment" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


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


# Devices and parts.


def test_two_devices_and_parts_train_as_one_device_at_once(whole, root, monkeypatch):
    monkeypatch.setattr(planning, "devices", lambda ids: [mx.cpu(number) for number in ids or [0]])
    folder, _ = whole
    for name, flags in {"two": ["-g", "0,1"], "parts": ["--micro_batch", 1]}.items():
        own = root / name
        own.mkdir()
        assert main(begin(own, "--seed", SEED, *flags, steps=5)) == 0
        for step in range(1, 5):
            assert rows_of(own)[step] == pytest.approx(rows_of(folder)[step], rel=1e-3)
        assert rows_of(own, "val_epe")[1] == pytest.approx(rows_of(folder, "val_epe")[1], rel=1e-3)
