"""What Linux tells of the processes that a test has started."""

import time
from pathlib import Path


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
