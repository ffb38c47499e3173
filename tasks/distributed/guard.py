"""Runs one process of a training on several machines, and lets it outlive nobody.

`tasks.distributed.launch` starts one of these for each process, on the machine where that shall
run, and tells it on its standard input, a line each, which signals to pass on: INT, TERM, USR1, or
KILL for all that the process has started too. Where the input ends, or falls silent for longer than
agreed, the launcher or the connection to it is gone: workers are then asked to stop, everything is
killed after a while, and nothing is left behind. Only Python's own modules are imported: this must
be quick.
"""

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

LOOK_S = 0.1
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # in linux/prctl.h


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command to its end; return its exit code, or 128 + n if signal n ended it."""
    parser = argparse.ArgumentParser(
        prog="python -m maskflownet.tasks.distributed.guard", description=__doc__
    )
    add = parser.add_argument
    add("--grace", type=float, required=True, help="seconds from being asked to being killed")
    add("--silence", type=float, help="after so many seconds without a line launcher is gone")
    add("command", nargs="+")
    arguments = parser.parse_args(argv)
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    process = subprocess.Popen(
        arguments.command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal is the launcher's to pass on
        preexec_fn=_die_with(os.getpid()),  # this process has no threads
    )
    try:
        code = _watch(process, arguments)
    finally:
        _kill_all(process)
    return code if code >= 0 else 128 - code


def _die_with(parent):
    """Return what has a new process killed by the system when this one dies, however it dies."""
    libc = ctypes.CDLL(None)

    def ask():
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if _is_worker():
            for number in STOPPING:
                signal.signal(number, signal.SIG_DFL)
        if os.getppid() != parent:  # it has died already
            os._exit(1)

    return ask


def _watch(process, arguments):
    """Pass signals on until the process ends; return its exit code, negative for a signal."""
    heard, deadline = time.monotonic(), None
    while (code := process.poll()) is None:
        now = time.monotonic()
        if deadline is not None:
            if now > deadline:
                _kill_all(process)
            time.sleep(LOOK_S)
            continue
        is_gone = arguments.silence is not None and now - heard > arguments.silence
        if select.select([sys.stdin], [], [], LOOK_S)[0]:
            heard, text = now, os.read(sys.stdin.fileno(), 4096)
            is_gone = not text
            for word in text.decode().split():
                _pass_on(process, word)
        if is_gone:
            deadline = now + arguments.grace
            if _is_worker():  # the others are needed for its last step
                _pass_on(process, "TERM")
    return code


def _is_worker():
    return os.environ.get("DMLC_ROLE") == "worker"


def _pass_on(process, word):
    if word == "KILL" or (word == "TERM" and not _is_worker()):
        _kill_all(process)
    elif word in ("INT", "TERM", "USR1"):
        process.send_signal(signal.Signals[f"SIG{word}"])


def _kill_all(process):
    """Kill a process and all that belongs to its session's first group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
