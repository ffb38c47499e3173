"""Checkpoints under programs that are killed and disks that are full: the newest one is whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import pytest
from checkpoint_writer import RUN, SmallPipe
from processes import no_file_over

from maskflownet.network.files.parameters import save_parameters
from maskflownet.tasks.runs.checkpoints import checkpoints_of, find_checkpoint, save_checkpoint

HERE = Path(__file__).parent
KILLS = 100


@pytest.mark.long
def test_a_hundred_kills_leave_the_newest_checkpoint_whole(tmp_path):
    done = subprocess.run(
        [sys.executable, str(HERE / "checkpoint_writer.py"), str(tmp_path), str(KILLS)],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["interrupted"] > KILLS / 10  # many came in the middle of writing
    assert result["steps"] > KILLS / 10
    # What kills left half written does not add up: one whole save, and it is gone.
    assert len(result["left"]) == 6 and not any(name.startswith(".") for name in result["left"])


def test_a_full_disk_costs_no_checkpoint(tmp_path):
    pipe = SmallPipe()
    pipe.fill(1)
    first = save_checkpoint(pipe, RUN, 1, tmp_path)
    sizes = [path.stat().st_size for path in (first.path, first.states)]
    # MXNet and the system write in blocks; the last one may be lost when the file is closed.
    limits = {0, 1, 100, 4096, 40_000}
    limits |= {size - lacking for size in sizes for lacking in (1, 2, 100, 4095, 4096, 5000)}
    for step, limit in enumerate(sorted(limits), start=2):
        pipe.fill(step)
        with no_file_over(limit), pytest.raises(OSError, match="cannot be written") as caught:
            save_checkpoint(pipe, RUN, step, tmp_path)
        assert f"{RUN}_{step}" in str(caught.value) and "\n" not in str(caught.value)
        assert find_checkpoint(RUN, tmp_path) == first
        assert not list(tmp_path.glob(".*"))
    assert checkpoints_of(RUN, tmp_path) == [first]
    reader = SmallPipe()
    reader.load(first)
    assert reader.values() == {1}
    last = save_checkpoint(pipe, RUN, step + 1, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    reader.load(last)
    assert reader.values() == {step}


@pytest.mark.parametrize("lacking", [1, 500, 4095, 4097])
def test_weights_that_are_cut_short_never_take_their_name(tmp_path, lacking):
    pipe, path = SmallPipe(), tmp_path / "a.params"
    save_parameters(pipe.network, path)
    whole = path.read_bytes()
    pipe.fill(7)
    with no_file_over(len(whole) - lacking), pytest.raises(OSError, match="whole") as caught:
        save_parameters(pipe.network, path)
    message = str(caught.value)
    assert message.startswith(f"{path}: cannot be written whole") and "\n" not in message
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_mxnet_itself_may_lose_the_end_of_a_file_without_a_word(tmp_path):
    """Why what was written is looked at: should this ever fail, the look is no longer needed."""
    path = tmp_path / "a.params"
    arrays = {"a": mx.nd.zeros((100, 100))}
    mx.nd.save(str(path), arrays)
    size = path.stat().st_size
    with no_file_over(size - 10):
        mx.nd.save(str(path), arrays)
    assert path.stat().st_size < size


def test_weights_without_a_place_to_go_are_an_error_in_one_line(tmp_path):
    (tmp_path / "weights").write_text("a file")
    with pytest.raises(OSError, match="weights") as caught:
        save_checkpoint(SmallPipe(), RUN, 1, tmp_path / "weights")
    assert "\n" not in str(caught.value)
