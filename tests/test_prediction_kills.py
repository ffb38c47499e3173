"""predict_new_data.py killed at random moments and started again: as if nothing had happened."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np
import pytest

from maskflownet.config import load_config
from maskflownet.network import get_pipeline
from maskflownet.reader.synthetic import generate

REPOSITORY = Path(__file__).parents[1]
FRAMES = 30
KILLS = 30
PATIENCE_S = 300


@pytest.fixture(name="source")
def fixture_source(root):
    """Return a folder with weights/ and frames/."""
    mx.random.seed(0)
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
    (root / "weights").mkdir()
    pipe.save_weights(root / "weights/abcJan01-0000_1.params")
    image = generate(0, 0, (66, 98)).image1
    (root / "frames").mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(root / f"frames/{number}.png"), np.roll(image, 2 * number, axis=1))
    return root


def start(source, output):
    words = ["predict_new_data.py", output, "-c", "abc", "--root", source]
    words += ["--folder", source / "frames", "--save", "flo,color,mask", "--backward", "--legend"]
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Wait for the end of a process that nothing disturbs."""
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, ""), output


def contents(folder):
    """Return {name: bytes} of a folder's files; one that is being written has another name."""
    paths = [path for path in folder.glob("*") if not path.name.endswith(".part")]
    return {path.name: path.read_bytes() for path in paths}


def kill(process, output, generator):
    """Kill a process at a random moment: while it starts, or at its work; return whether it ran."""
    longest_wait_s = 4
    if generator.random() < 0.7:
        before = contents(output).keys()
        while process.poll() is None and contents(output).keys() == before:
            time.sleep(0.01)
        longest_wait_s = 1
    time.sleep(generator.uniform(0, longest_wait_s))
    ran = process.poll() is None
    process.kill()
    process.communicate()
    return ran


@pytest.mark.long
def test_predictions_that_are_killed_thirty_times_end_as_if_never_killed(source, tmp_path):
    generator = np.random.default_rng(0)
    finish(start(source, tmp_path / "whole"))
    whole = contents(tmp_path / "whole")
    assert len(whole) == 5 * (FRAMES - 1) + 2  # a pair has five files; legend and record
    kills = 0
    while kills < KILLS:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "out"
            while contents(output).keys() != whole.keys() and kills < KILLS:
                kills += kill(start(source, output), output, generator)
                assert contents(output).items() <= whole.items()  # each is whole or not there
            finish(start(source, output))
            assert contents(output) == whole
            assert sorted(path.name for path in output.iterdir()) == sorted(whole)  # no part of one
