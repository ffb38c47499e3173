"""Real trainings by several processes on the loopback, and what they leave behind."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from main_runs import log_of, only_run, write_dataset

from maskflownet.tasks.runs.checkpoints import checkpoints_of, find_checkpoint

REPOSITORY = Path(__file__).parents[3]
RUN = "abcJan01-0000"
PATIENCE_S = 200
MARK = "MXNET_TEST_MARK"  # every process inherits it, over --rsh too


class Together:
    """A launched training: 1 scheduler, 1 server, 2 workers with a batch of 2.

    It begins at the weights of `start`, a parameter file, whose moments it does not have; or from
    nothing where that is None.
    """

    def __init__(self, root, start, steps=8, launcher=(), more=(), **changes):
        self.root, self.start, self.launcher = root, start, launcher
        self.settings = {
            "batch": 2,
            "optimizer": {"learning_rate": [[steps, 1e-4]]},
            "validation_steps": 3,
            "checkpoint_steps": 2,
            "synthetic": {"size": [64, 96], "pairs": 7, "valid_pairs": 3},
            **changes,
        }
        root.mkdir(parents=True, exist_ok=True)
        self.dataset = write_dataset(root, **self.settings)
        self.more = list(more)
        self.process = None
        self.program = str(REPOSITORY / "tests" / "thin_main.py")

    def argv(self, run=None):
        """Return main.py's arguments: to begin, or to continue a run."""
        common = ["MaskFlownet_S", "--root", self.root, "--workers", 1, *self.more]
        if run:
            return [*map(str, common), "-c", run]
        begin = ["--dataset_cfg", self.dataset]
        if self.start:
            begin += ["-c", self.start, "--clear_steps"]
        return list(map(str, common + begin))

    def launch(self, run=None):
        """Start it, in a session of its own."""
        self.mark = secrets.token_hex(8)
        launch = ["-m", "maskflownet.tasks.distributed.launch", "-n", 2, *self.launcher]
        command = [*launch, "--", self.program, *self.argv(run)]
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command), "--kvstore", "dist_sync"],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PYTHONPATH": str(REPOSITORY),
                MARK: self.mark,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def wait(self):
        """Return exit code, output and errors once it has ended and nothing of it is left."""
        try:
            output, errors = self.process.communicate(timeout=PATIENCE_S)
        finally:
            left = self.wait_for_nothing_left()
        assert left == []
        return self.process.returncode, output, errors

    def wait_for_nothing_left(self, seconds=10):
        """Return what is still there after a while; it is killed then."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return list(left.values())

    def processes(self):
        """Return {process id: (command line, environment)} of all that was started."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environ = (folder / "environ").read_text(errors="replace").split("\0")
                command = (folder / "cmdline").read_text(errors="replace").split("\0")
            except OSError:
                continue
            if f"{MARK}={self.mark}" in environ:
                found[int(folder.name)] = (command, environ)
        return found

    def pid_of(self, kind, number=0, guard=False):
        """Return the process id of a role, or of its guard."""
        (pid,) = (
            pid
            for pid, (command, environ) in self.processes().items()
            if f"DMLC_ROLE={kind}" in environ
            and f"DMLC_TASK_ID={number}" in environ
            and ("maskflownet.tasks.distributed.guard" in command) == guard
            and (
                self.program in command
                or "from maskflownet import runtime; import mxnet" in command
            )
        )
        return pid

    def wait_for_step(self, step):
        """Wait until the log has a step."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            for log in self.root.glob("logs/*.log"):
                if f"] steps={step}, epe=" in log.read_text():
                    return
            time.sleep(0.01)
        raise AssertionError(self.wait())

    def run_id(self):
        """Return the id of the only run."""
        return only_run(self.root)

    def log(self):
        return log_of(self.root)

    def steps(self):
        """Return the steps of the checkpoints, which are whole."""
        found = checkpoints_of(self.run_id(), self.root / "weights")
        assert all(checkpoint.states.is_file() for checkpoint in found)
        return [checkpoint.steps for checkpoint in found]

    def checkpoint(self, step):
        return find_checkpoint(f"{self.run_id()}:{step}", self.root / "weights")


def arrays_of(path):
    return {name: array.asnumpy() for name, array in mx.nd.load(str(path)).items()}


def distance(one, other):
    return np.sqrt(sum(np.sum((one[name] - other[name]) ** 2.0) for name in one))


@contextlib.contextmanager
def two_namespaces():
    """Make two networks with a cable between them; yield a hostfile of two such machines."""
    names = [f"flow{os.getpid()}{end}" for end in "ab"]
    try:
        for name in names:
            if ip("netns", "add", name):
                pytest.skip("network namespaces need root")
        ip("link", "add", names[0], "netns", names[0], "type", "veth", "peer", names[1])
        ip("link", "set", names[1], "netns", names[1])
        for number, name in enumerate(names, start=1):
            ip("-n", name, "addr", "add", f"10.0.0.{number}/24", "dev", name)
            for link in ("lo", name):
                assert ip("-n", name, "link", "set", link, "up") == 0
        yield f"{names[0]} 10.0.0.1\n{names[1]} 10.0.0.2\n"
    finally:
        for name in names:
            ip("netns", "del", name)


def ip(*words):
    try:
        return subprocess.run(["ip", *words], capture_output=True).returncode
    except FileNotFoundError:
        return 1
