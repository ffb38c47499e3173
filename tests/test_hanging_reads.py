"""Programs asked to stop while a read never returns, as on a network folder that is gone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from main_runs import begin, only_run, write_dataset
from processes import assert_all_ended

from maskflownet.tasks.runs.checkpoints import find_checkpoint

REPOSITORY = Path(__file__).parents[1]
PATIENCE_S = 90

# A program in which a read stands still once a condition on its arguments holds, and says so.
PROGRAM = """
import pathlib, sys, time
from maskflownet.{program} import main
from {module} import {owner}

def standing_still(*args, read={owner}{function}):
    if {condition}:
        pathlib.Path({said!r}).touch()
        time.sleep(600)
    return read(*args)

{target} = standing_still
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


class Hanging:
    """Runs a program until it stands still, sends it a signal, and gives what it ended with."""

    def __init__(self, folder):
        self.folder = folder

    def stop(self, number, argv, **parts):
        said, path = self.folder / "stands-still", self.folder / "program.py"
        path.write_text(PROGRAM.format(said=str(said), **parts))
        process = subprocess.Popen(
            [sys.executable, str(path), *map(str, argv)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        while not said.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        said.unlink()
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        assert_all_ended(process.pid, PATIENCE_S)
        return process.returncode, errors


# Of the scenes of `begin` the last two are for validation.
VALIDATION = {
    "program": "main",
    "module": "maskflownet.reader.datasets.synthetic",
    "owner": "Synthetic",
    "function": ".__getitem__",
    "target": "Synthetic.__getitem__",
    "condition": "args[0].scenes[0] == 5 and args[1] == 1",
}
FRAMES = {
    "program": "predict_new_data",
    "module": "maskflownet.tasks.prediction",
    "owner": "frames",
    "function": ".read_image",
    "target": "frames.read_image",
    "condition": "args[0].name == '3.png'",
}


numbers = pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM]
)
SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM"}


@numbers
def test_a_read_that_never_returns_does_not_hold_up_a_training(root, number):
    code, errors = Hanging(root).stop(number, begin(root), **VALIDATION)
    assert (code, errors) == (128 + number, "\nstopping after this step and its checkpoint\n")
    assert find_checkpoint(only_run(root), root / "weights").steps == 1


@numbers
def test_nor_an_evaluation(root, number):
    dataset = write_dataset(root, synthetic={"size": [64, 96], "pairs": 5, "valid_pairs": 2})
    evaluation = ["--valid", "--dataset_cfg", dataset, "-c", "scenes-S", "--root", root]
    ended = Hanging(root).stop(number, evaluation, **VALIDATION)
    assert ended == (128 + number, f"main.py: {SAID[number]}\n")


@numbers
def test_nor_a_prediction(root, number):
    (root / "frames").mkdir()
    for frame in range(6):
        cv2.imwrite(str(root / f"frames/{frame}.png"), np.zeros((64, 64, 3), np.uint8))
    prediction = [root / "flow", "--folder", root / "frames"]
    ended = Hanging(root).stop(number, prediction, **FRAMES)
    assert ended == (128 + number, f"predict_new_data.py: {SAID[number]}\n")
    assert not list((root / "flow").glob("*.part"))
