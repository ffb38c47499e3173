"""Kill programs that write checkpoints, at random moments: `checkpoint_writer.py FOLDER KILLS`.

A process that has MXNet loaded forks children, which is cheaper than to start each anew. A child
writes checkpoint after checkpoint and says when one is done, until it is killed. After each kill
the newest checkpoint must be there and hold what it should. Prints one line of JSON.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from maskflownet import runtime  # noqa: F401  (before MXNet)

# isort: split
import mxnet as mx
from mxnet import autograd, gluon
from mxnet.gluon import nn

from maskflownet.network import Pipeline
from maskflownet.network.dialects import DIALECTS
from maskflownet.network.files.moments import load_trainer_states
from maskflownet.network.files.parameters import load_parameters
from maskflownet.tasks.runs.checkpoints import find_checkpoint, save_checkpoint

RUN = "abcJan01-0000"
UNITS = 128
SAVES = 4  # a child lives for as long as so many take, at most


class SmallPipe:
    """A layer with its Adam, saved as a pipeline is; all its numbers are the step's."""

    save, save_weights = Pipeline.save, Pipeline.save_weights

    def __init__(self):
        self.network = nn.Dense(UNITS, in_units=UNITS, prefix="small_")
        self.network.dialect, self.network.flow_multiplier = DIALECTS["original"], 1
        self.network.initialize()
        parameters = list(self.network.collect_params().values())
        self.trainer = gluon.Trainer(parameters, "adam", update_on_kvstore=False)
        with autograd.record():
            loss = self.network(mx.nd.ones((1, UNITS))).sum()
        loss.backward()
        self.trainer.step(1)

    def arrays(self):
        """Return all weights and moments."""
        weights = [parameter.data() for parameter in self.network.collect_params().values()]
        states = self.trainer._updaters[0].states
        return weights + [moment for pair in states.values() for moment in pair]

    def fill(self, step):
        for array in self.arrays():
            array[:] = step

    def load(self, checkpoint):
        load_parameters(self.network, checkpoint.path)
        load_trainer_states(self.trainer, self.network, checkpoint.states)

    def values(self):
        """Return the different numbers that it holds."""
        return {float(value) for array in self.arrays() for value in array.asnumpy().ravel()}


def write_until_killed(pipe, step, folder, done):
    while True:
        step += 1
        pipe.fill(step)
        save_checkpoint(pipe, RUN, step, folder)
        os.write(done, f"{step}\n".encode())


def killed_child(pipe, step, folder, seconds):
    """Have a child write from `step` on, kill it after a while; return the last step it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            write_until_killed(pipe, step, folder, writing)
        os._exit(1)
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the child failed by itself"
    with os.fdopen(reading) as lines:
        finished = lines.read().split()
    return int(finished[-1]) if finished else step


def main(folder, kills):
    generator = random.Random(0)
    writer, reader = SmallPipe(), SmallPipe()
    writer.fill(1)
    begin = time.monotonic()
    save_checkpoint(writer, RUN, 1, folder)
    longest = SAVES * (time.monotonic() - begin)
    step, interrupted = 1, 0
    for _ in range(kills):
        finished = killed_child(writer, step, folder, generator.uniform(0, longest))
        checkpoint = find_checkpoint(RUN, folder)
        assert checkpoint.steps in (finished, finished + 1), (checkpoint, finished)
        reader.load(checkpoint)
        assert reader.values() == {checkpoint.steps}, (checkpoint, reader.values())
        step = checkpoint.steps
        interrupted += any(path.name.startswith(".") for path in folder.iterdir())
    writer.fill(step + 1)
    save_checkpoint(writer, RUN, step + 1, folder)
    left = sorted(path.name for path in folder.iterdir())
    result = {"steps": step, "interrupted": interrupted, "left": left}
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
