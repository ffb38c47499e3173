"""What the loader's processes leave behind, and what they cost, seen from outside."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import assert_all_ended, members

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60

BEGIN = """
import os, signal, sys, time
from multiprocessing import active_children
from test_loader import Painted
from maskflownet.reader.loading import Loader

print("begun", flush=True)
batches = Loader(Painted({pairs}, size=(64, 64)), 4, (64, 64), 0, workers=2).batches()
next(batches)
print(*[process.pid for process in active_children()], flush=True)
sys.stdin.readline()  # until they have been looked at
"""
READ_ON = """
for batch in batches:
    time.sleep(0.01)
"""
# As a training run would: finish what it is at.
FINISH = """
stopped = False
def stop(*_):
    global stopped
    stopped = True
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
while not stopped:
    next(batches)
steps = [next(batches).step for _ in range(10)]
print("finished", len(steps), flush=True)
"""
MEASURE = """
for batch in batches:
    if 4 * batch.step >= {pairs}:
        break
for pid in ("self", *[process.pid for process in active_children()]):
    print(open(f"/proc/{{pid}}/status").read())
"""


@pytest.fixture(name="start")
def fixture_start():
    """Give a function that runs a script in a process group of its own; end what is left of it."""
    started = []

    def start(*parts, pairs=20):
        process = subprocess.Popen(
            [sys.executable, "-c", "".join(parts).format(pairs=pairs)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def errors_of(process):
    """Wait for the process and all that it started; return what it printed on stderr."""
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert_all_ended(process.pid, PATIENCE_S)
    assert not list(Path("/dev/shm").glob(f"pym-{process.pid}-*"))
    return errors


def running(process):
    """Wait until the first batch is there, see that the workers are in its group, let it go on."""
    assert process.stdout.readline() == "begun\n"
    workers = {int(pid) for pid in process.stdout.readline().split()}
    assert len(workers) == 2
    assert workers < set(members(process.pid))
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("end", ["", "raise ValueError('the end')"])
def test_loader_that_was_never_closed(start, end):
    process = start(BEGIN, end)
    running(process)
    errors = errors_of(process)
    assert process.returncode == (1 if end else 0)
    assert errors.endswith("ValueError: the end\n" if end else "")


def test_killed_training_takes_its_workers_along(start):
    process = start(BEGIN, READ_ON)
    running(process)
    process.kill()
    assert errors_of(process) == ""


@pytest.mark.parametrize("starting", [False, True])
def test_ctrl_c(start, starting):
    """It reaches the workers too, which must not add tracebacks of their own."""
    process = start(BEGIN, READ_ON)
    if starting:
        assert process.stdout.readline() == "begun\n"
        while len(members(process.pid)) < 3:
            time.sleep(0.01)
    else:
        running(process)
    os.killpg(process.pid, signal.SIGINT)
    errors = errors_of(process)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == errors.count("KeyboardInterrupt\n") == 1


def test_workers_serve_on_after_sigterm(start):
    """A scheduler sends it to all; the training process still finishes its step."""
    process = start(BEGIN, FINISH)
    running(process)
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGTERM)
    assert process.stdout.readline() == "finished 10\n"
    assert errors_of(process) == ""


def test_peak_memory_does_not_grow_with_the_dataset(start):
    """Were the pairs kept, 3000 would take 180 MB."""
    peaks = []
    for pairs in (100, 3000):
        process = start(BEGIN, MEASURE, pairs=pairs)
        running(process)
        output, _ = process.communicate(timeout=PATIENCE_S)
        peaks.append([int(kb) for kb in re.findall(r"VmHWM:\s*(\d+) kB", output)])
    small, large = peaks
    assert len(small) == len(large) == 3
    assert max(b - a for a, b in zip(small, large, strict=True)) < 30_000, peaks


def test_no_stop_of_the_group_reaches_the_helpers(start):
    """Python's resource tracker neither: it would be said on stderr that it died."""
    program = start(BEGIN)
    assert program.stdout.readline() == "begun\n"
    readers = {int(pid) for pid in program.stdout.readline().split()}
    others = set(members(program.pid)) - readers - {program.pid}
    assert len(readers) == 2 and len(others) == 1
    for pid in readers | others:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    time.sleep(0.5)
    assert readers | others <= set(members(program.pid))
