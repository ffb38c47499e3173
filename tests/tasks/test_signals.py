"""Requests to stop, as programs get them, and output that nobody reads."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maskflownet.tasks import signals
from maskflownet.tasks.signals import STOPPING, Stopped, on_request, stop

REPOSITORY = Path(__file__).parents[2]


def test_repeats_within_seconds_are_one_request(monkeypatch):
    noted = []
    with on_request(noted.append):
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)
        assert noted == [signal.SIGTERM]
        monkeypatch.setattr(signals, "REPEAT_S", 0)
        os.kill(os.getpid(), signal.SIGINT)
    assert noted == [signal.SIGTERM, signal.SIGINT]


def test_all_is_as_before_behind_the_block():
    before = [signal.getsignal(number) for number in STOPPING]
    with pytest.raises(Stopped, match="SIGTERM"), on_request(stop):
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_a_terminals_end_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with on_request(stop):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_it_changes_nothing():
    def enter():
        with on_request(stop):
            done.append(signal.getsignal(signal.SIGTERM))

    done, before = [], signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert done == [before]


def program(body):
    """Start Python on a program's body; it says "ready" on stdout when it waits."""
    code = (
        "import sys, time\nfrom maskflownet.tasks.command_line import run_program\n"
        f"def body():\n{body}\nsys.exit(run_program('prog', body))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


WAIT = """
    try:
        print('ready', flush=True)
        time.sleep(60)
    finally:
        print('tidied up', flush=True)
"""


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGINT, "prog: interrupted\n"),
        (signal.SIGTERM, "prog: stopped by SIGTERM\n"),
        (signal.SIGHUP, "prog: stopped by SIGHUP\n"),
    ],
)
def test_a_program_that_is_stopped_tidies_up_and_says_so_in_a_line(number, said):
    with program(WAIT) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (128 + number, said)
    assert output.endswith("tidied up\n")


def test_a_full_disk_behind_stdout_is_an_error():
    code = (
        "import logging, sys\nfrom maskflownet.tasks.command_line import run_program\n"
        "sys.exit(run_program('prog', lambda: logging.info('words')))"
    )
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 2
    assert done.stderr.decode().startswith("prog: error: [Errno 28] No space left on device")
