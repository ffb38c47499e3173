"""One program at a time trains a run; one that was killed stands in nobody's way."""

import subprocess
import sys
from pathlib import Path

import pytest

from maskflownet.config.errors import InputError
from maskflownet.tasks.runs.lock import lock_run

REPOSITORY = Path(__file__).parents[3]


def holder(log):
    """Start a program that holds a run; it says "held" when it does."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from maskflownet.tasks.runs.lock import lock_run\n"
        "file = lock_run(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(log)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_run_that_another_program_trains_is_refused_until_that_is_killed(tmp_path):
    log = tmp_path / "logs" / "abcJan01-0000.log"
    with holder(log) as process:
        with pytest.raises(InputError, match="run abcJan01-0000: another program trains") as caught:
            lock_run(log)
        assert "\n" not in str(caught.value)
        lock_run(log.with_name("other.log")).close()
        process.kill()
        process.wait()
    lock_run(log).close()
    lock_run(log).close()


def test_the_log_keeps_its_lines(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("a line\n")
    lock_run(log).close()
    assert log.read_text() == "a line\n"


def test_a_log_that_cannot_be_written(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(OSError, match=r"run\.log: cannot be written"):
        lock_run(tmp_path / "logs" / "run.log")
