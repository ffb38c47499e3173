"""Processes in tests: what Linux tells of them and forbids them, and what a fresh one prints."""

import contextlib
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_python(code, **environment):
    """Run code in a fresh interpreter in the project's root; return the finished process."""
    inherited = {
        k: v
        for k, v in os.environ.items()
        if k not in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "PYTHONWARNINGS")
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def printed_numbers(code, folder=ROOT):
    """Run code in a fresh interpreter, in a folder; return the numbers that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [float(number) for number in done.stdout.split()]


def group_of(pid):
    """Return a process's group; None where it has ended, even if nobody has collected it yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, _, group = stat.rpartition(")")[2].split()[:3]
    return None if state == "Z" else int(group)


def members(group):
    """Return the ids of the processes of a group that are still there."""
    pids = (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if group_of(pid) == group]


def assert_all_ended(group, patience_s):
    """Wait until a group is empty: a process's own helpers may need a moment longer than it."""
    deadline = time.monotonic() + patience_s
    while members(group) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert members(group) == []


def children(pid):
    """Return the ids of the processes that a process's first thread has started."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


@contextlib.contextmanager
def no_file_over(size):
    """Let every write of this process beyond so many bytes of a file fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
