"""The processes that read samples into memory that they share with the process that trains.

They are fresh interpreters ("spawn"): a forked copy of a process in which MXNet or OpenCV runs
threads may hang. No lock is shared, so that a reader which dies takes nothing with it but its own
pipe, and the end of that pipe tells of its death. The other way round, a reader whose pipe ends
ends too: nothing outlives the training process, however that ends.
"""

import atexit
import contextlib
import ctypes
import math
import multiprocessing
import os
import signal
import tempfile
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing import connection, heap, resource_tracker
from typing import NamedTuple

import cv2
import numpy as np

from maskflownet.reader import patience
from maskflownet.reader.loading.sampling import BadPair, Sampler
from maskflownet.reader.sample import FlowSample

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_M_TOP_PAD = -2  # in malloc.h


class Outcome(NamedTuple):
    """What became of a sample.

    Attributes
    ----------
    name : str or None
        The pair that was read; None where none could be.
    bad : sequence of BadPair
        Those that could not be used.
    traceback : str or None
        Of an exception that is no fault of the data.
    """

    name: str | None
    bad: Sequence[BadPair] = ()
    traceback: str | None = None


class _Reader(NamedTuple):
    """A process, our end of its pipe, and the steps that it has not answered yet."""

    process: multiprocessing.Process
    pipe: connection.Connection
    steps: deque


class Readers:
    """Processes that share the samples of each step that is requested.

    Parameters
    ----------
    sampler : Sampler
        What they read.
    samples : sequence of int
        The samples of a step.
    count : int
        How many processes.
    ahead : int
        How many steps are held in memory: so many may be requested before one is collected.

    Attributes
    ----------
    arrays : numpy.ndarray
        `sample_dtype` (ahead, len(samples)), in shared memory: step i is in row i % ahead.
    """

    def __init__(self, sampler: Sampler, samples: Sequence[int], count: int, ahead: int):
        context = multiprocessing.get_context("spawn")
        self._sampler = sampler
        self._samples = samples
        self._readers = []
        shape = (ahead, len(samples))
        memory = _shared_memory(sample_dtype(sampler.crop_hw).itemsize * math.prod(shape))
        self.arrays = _as_samples(memory, sampler.crop_hw, shape)
        atexit.register(self.close)
        try:
            with _signals_held_back():
                for _ in range(count):
                    self._start(context, memory, shape)
            # Sent when all are starting already; each begins to listen when it has started.
            for number, reader in enumerate(self._readers):
                self._send(reader, (sampler, samples, number, count))
        except BaseException:
            self.close()
            raise

    def _start(self, context, memory, shape):
        pipe, far_end = context.Pipe()
        with far_end:
            process = context.Process(target=_work, args=(far_end, memory, shape), daemon=True)
            process.start()
        self._readers.append(_Reader(process, pipe, deque()))

    def request(self, step: int) -> None:
        """Have the readers read a step's samples.

        Raises
        ------
        ChildProcessError
            A reader died.
        """
        for reader in self._readers:
            reader.steps.append(step)
            self._send(reader, step)

    def collect(self, is_stopped: Callable[[], bool] = lambda: False) -> list[Outcome]:
        """Wait for the oldest step requested and return the outcome of each of its samples.

        Each minute of waiting is told.

        Parameters
        ----------
        is_stopped : callable
            Asked every moment; True ends the waiting.

        Raises
        ------
        WaitBrokenOffError
            The waiting was ended.
        ChildProcessError
            A reader died, whichever it is.
        RuntimeError
            A sample failed for a reason that is no fault of the data; with the traceback.
        """
        outcomes = {}
        for reader in self._readers:
            outcomes.update(self._receive(reader, is_stopped))
        for outcome in outcomes.values():
            if outcome.traceback:
                raise RuntimeError(f"reading {outcome.name} failed:\n{outcome.traceback}")
        return [outcomes[place] for place in range(len(self._samples))]

    def _send(self, reader, message):
        try:
            reader.pipe.send(message)
        except OSError:
            raise self._death_of(reader) from None

    def _receive(self, reader, is_stopped):
        """Return the answer to the oldest request, as soon as it is there; see to it that all live.

        The end of a pipe tells of a death as does the sentinel, perhaps a little earlier.
        """
        sentinels = {other.process.sentinel: other for other in self._readers}
        own = patience.Patience(
            lambda: f"a reader (process {reader.process.pid}){self._task_of(reader)}", is_stopped
        )
        while not (found := connection.wait([reader.pipe, *sentinels], patience.LOOK_S)):
            own.look()
        for ready in found:
            if ready in sentinels:
                raise self._death_of(sentinels[ready])
        try:
            answer = reader.pipe.recv()
        except (EOFError, OSError):
            raise self._death_of(reader) from None
        reader.steps.popleft()
        return answer

    def _death_of(self, reader):
        """Return the error that says how a reader died and at what."""
        with contextlib.suppress(EOFError, OSError):
            while reader.pipe.poll():
                reader.pipe.recv()
                reader.steps.popleft()
        at = self._task_of(reader)
        reader.process.join()
        code = reader.process.exitcode
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}{at}"
            remedy = "if the system ran out of memory, use fewer --workers"
        else:
            how = f"ended with exit code {code}{at}"
            remedy = "what it printed says why"
        return ChildProcessError(f"a reader (process {reader.process.pid}) {how}; {remedy}")

    def _task_of(self, reader):
        """Return words for what a reader has to read first of all that it has not answered."""
        names = []
        if reader.steps:
            step, number = reader.steps[0], self._readers.index(reader)
            places = share(step, len(self._samples), number, len(self._readers))
            names = [self._sampler.first_choice(step, self._samples[place]) for place in places]
        return f" while it had to read {' and '.join(names)}" if names else ""

    def close(self) -> None:
        """End the processes at once: there is nothing that they could leave half done."""
        for reader in self._readers:
            reader.process.kill()
        for reader in self._readers:
            # One that hangs in the system's hands cannot be killed.
            reader.process.join(patience.LEAVING_S)
            reader.pipe.close()
        self._readers.clear()
        atexit.unregister(self.close)


def _shared_memory(size):
    """Return so many bytes that spawned processes can share, all of them there for sure.

    They lie in a file that has no name any more: nothing can be left behind. A file of that size
    alone would be a promise: the first touch of what is not there ends a program ("Bus error").
    """
    try:
        memory = heap.Arena(size)  # in /dev/shm or, if that has no room, in the temporary folder
        os.posix_fallocate(memory.fd, 0, size)
    except OSError as error:
        raise OSError(
            f"reading ahead takes {size / 1e6:.0f} MB of shared memory, which neither /dev/shm nor "
            f"{tempfile.gettempdir()} has ({error.strerror}): enlarge /dev/shm (docker run "
            "--shm-size), point TMPDIR to a folder with room, or use a smaller batch or orig_shape"
        ) from error
    return memory


def share(step: int, batch: int, reader: int, readers: int) -> range:
    """Return the places in a step's batch that are one reader's to fill.

    They are dealt out in turn, over all steps: more readers than samples are of use too.
    """
    return range((reader - step * batch) % readers, batch, readers)


def sample_dtype(crop_hw: tuple[int, int]) -> np.dtype:
    """Return the layout of a sample in memory: channels first, as the network takes it."""
    fields = {"flow": (np.float32, 2), "image1": (np.uint8, 3), "image2": (np.uint8, 3)}
    fields |= {"valid": (np.uint8, 1), "occluded": (np.bool_, 1)}
    arrays = [(name, kind, (channels, *crop_hw)) for name, (kind, channels) in fields.items()]
    return np.dtype([*arrays, ("knows_occluded", np.bool_)], align=True)


def _as_samples(memory, crop_hw, shape):
    return np.frombuffer(memory.buffer, sample_dtype(crop_hw)).reshape(shape)


@contextlib.contextmanager
def _signals_held_back():
    """Have the processes that are started here be deaf to Ctrl-C, SIGTERM and SIGHUP.

    They often go to a whole group of processes. The training process decides then what to do, and
    may need the readers a little longer. Not even the start of a reader is disturbed this way.

    Nor is Python's resource tracker, which all of them share: it ignores the first two by itself,
    but SIGHUP would end it, and Python would say on stderr that it died.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        resource_tracker.ensure_running()  # when first started it lets some through again
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(pipe, memory, shape):
    """Fill this reader's share of each step that is requested, until the pipe ends."""
    cv2.setNumThreads(1)  # the readers are the parallelism
    _keep_freed_memory()
    with contextlib.suppress(EOFError, OSError):
        sampler, samples, number, count = pipe.recv()
        arrays = _as_samples(memory, sampler.crop_hw, shape)
        while True:
            step = pipe.recv()
            row = arrays[step % len(arrays)]
            places = share(step, len(samples), number, count)
            pipe.send({p: _fill(row[p], sampler, step, samples[p]) for p in places})


def _keep_freed_memory():
    """Have glibc keep up to 64 MB of freed memory rather than fetch it anew for every pair.

    The system clears what it hands out: that took a fifth to a third of a reader's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TOP_PAD, 64 << 20)


def _fill(target, sampler, step, sample_number):
    """Read a sample into its place and return its outcome."""
    try:
        sample, bad = sampler.make(step, sample_number)
        if sample is None:
            return Outcome(None, bad)
        fill(target, sample)
        return Outcome(sample.name, bad)
    except Exception:  # to be raised where somebody sees it
        name = sampler.first_choice(step, sample_number)
        return Outcome(name, traceback=traceback.format_exc())


def fill(target: np.void, sample: FlowSample) -> None:
    """Copy a sample of the right size to its place in an array of `sample_dtype`."""
    for name in ("image1", "image2", "flow", "valid"):
        target[name] = getattr(sample, name).transpose(2, 0, 1)
    target["knows_occluded"] = sample.occluded is not None
    target["occluded"] = False if sample.occluded is None else sample.occluded
