"""Programs run one after the other: begun, continued, skipped, failed and stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mxnet as mx
import pytest

from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.showcase import programs

ROOT = Path(__file__).resolve().parents[3]
RUN = "abcJan01-0000"


def put_checkpoint(root, steps):
    path = root / "weights" / f"{RUN}_{steps}.params"
    path.parent.mkdir(exist_ok=True)
    mx.nd.save(str(path), {"arg:weight": mx.nd.ones(1)})
    return Checkpoint(RUN, steps, path)


@pytest.fixture
def asked(monkeypatch):
    """What `run` is called with; it writes the checkpoint of step 9, as a training would."""
    calls = []

    def note(*command):
        calls.append(command)
        put_checkpoint(Path(command[command.index("--root") + 1]), 9)

    monkeypatch.setattr(programs, "run", note)
    return calls


COMMAND = ["MaskFlownet_S", "--dataset_cfg", "tiny"]


def test_a_training_is_begun_continued_and_skipped(asked, tmp_path):
    common = ("main.py", *COMMAND, "--root", str(tmp_path))
    finished = Checkpoint(RUN, 9, tmp_path / "weights" / f"{RUN}_9.params")
    assert programs.train(COMMAND, tmp_path, 9, begin=["--seed", "2"]) == finished
    assert asked == [(*common, "--seed", "2")]
    assert programs.train(COMMAND, tmp_path, 9, begin=["--seed", "2"]) == finished
    assert len(asked) == 1
    finished.path.unlink()
    put_checkpoint(tmp_path, 8)
    assert programs.train(COMMAND, tmp_path, 9, begin=["--seed", "2"]) == finished
    assert asked[1:] == [(*common, "-c", RUN)]


def test_a_checkpoint_is_found_only_where_there_is_one(tmp_path):
    assert programs.newest(tmp_path) is None
    put_checkpoint(tmp_path, 7)
    newest = put_checkpoint(tmp_path, 11)
    assert programs.newest(tmp_path) == newest


@pytest.mark.parametrize(
    ("end", "code"),
    [
        *((f"raise SystemExit({code})", code) for code in (1, 2, 130)),
        ("import os; os.kill(os.getpid(), 9)", 137),
    ],
)
def test_a_programs_exit_code_is_passed_on(end, code):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        programs.run("-c", end)
    assert caught.value.code == code
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_program_that_is_well_is_shown_and_run_in_the_repository(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    out = tmp_path / "a b"
    programs.run("-c", "import os, sys; open(sys.argv[1], 'w').write(os.getcwd())", str(out))
    assert out.read_text() == str(ROOT)
    assert caplog.messages[0].startswith("$ python -c ") and f"'{out}'" in caplog.messages[0]


@pytest.mark.parametrize(
    ("number", "send", "code"),
    [(signal.SIGINT, os.killpg, 3), (signal.SIGTERM, os.kill, 4)],
    ids=["Ctrl-C comes to both", "SIGTERM to the first alone"],
)
def test_a_stop_waits_until_the_program_has_ended(tmp_path, number, send, code):
    """The program takes its time, as for a checkpoint."""
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    program = f"""
import pathlib, signal, sys, time
def stop(*_):
    time.sleep(0.5)
    pathlib.Path({str(saved)!r}).touch()
    sys.exit({code})
signal.signal({int(number)}, stop)
pathlib.Path({str(ready)!r}).touch()
time.sleep(60)
"""
    caller = (
        "from maskflownet.tasks.showcase import programs; "
        f"programs.run('-c', {program!r}); print('went on')"
    )
    command = [sys.executable, "-c", caller]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **options) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        send(process.pid, number)
        output, errors = process.communicate(timeout=60)
    assert saved.exists()
    assert (process.returncode, output, errors) == (code, "", "")
