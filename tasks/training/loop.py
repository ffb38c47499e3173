"""Training a network on a dataset, step by step, so that it can be stopped and continued."""

import contextlib
import itertools
import logging
import math
import socket
import time
from collections import deque
from collections.abc import Iterable

import numpy as np
from tqdm import tqdm

from maskflownet.config import InputError
from maskflownet.config.layout import LEVELS
from maskflownet.metrics import score_image, summarize
from maskflownet.network import PeersLostError, Pipeline
from maskflownet.network.memory import shortage
from maskflownet.reader.read_ahead import read_ahead
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.distributed.worker import NoLog, noting_lost_workers
from maskflownet.tasks.pipe import Pipe
from maskflownet.tasks.progress import progress
from maskflownet.tasks.runs.checkpoints import save_checkpoint
from maskflownet.tasks.runs.lock import lock_run
from maskflownet.tasks.runs.log import RunLog
from maskflownet.tasks.signals import STOPPING
from maskflownet.tasks.training.best_so_far import BestSoFar
from maskflownet.tasks.training.board import Board, NoBoard
from maskflownet.tasks.training.data import TrainingData, augmented_batches
from maskflownet.tasks.training.meter import Meter, duration
from maskflownet.tasks.training.plan import RunPlan
from maskflownet.tasks.training.stop_request import stop_request

logger = logging.getLogger(__name__)

LOG_FIRST, LOG_EVERY = 20, 50  # each of the first steps, then one in so many
A_DAY = 86400  # seconds
BAD_STEPS_IN_A_ROW = 10  # after which a run has gone wrong for good
EMPTY_STEPS_IN_A_ROW = 20  # without a pixel whose flow is known: then the data must be wrong


def train(pipe: Pipeline, plan: RunPlan, data: TrainingData) -> int:
    """Train from the plan's start to the end of the schedule, or until somebody stops it.

    Parameters
    ----------
    pipe : network.Pipeline
        With the weights, and the moments if there are any, of step `plan.start`. Where several
        workers train together (`pipe.peers`), the first writes log and checkpoints, and all stop
        alike.
    plan : RunPlan
        With the run's id: logs go to `plan.root`/logs/RUN.log and .csv, checkpoints to
        `plan.root`/weights.
    data : TrainingData

    Returns
    -------
    int
        0 at the end of the schedule; 130, 143 or 129 when stopped by SIGINT, SIGTERM or SIGHUP,
        after the step at hand and a checkpoint; 1 when too many steps in a row had a loss that is
        not finite.

    Raises
    ------
    InputError
        Too much of the data cannot be used. Here and where a reading process dies, a checkpoint
        of the steps made so far is written first. Or: a step does not fit into memory.
    OSError
        A reading process died, or a log or checkpoint cannot be written.
    PeersLostError
        Another worker cannot go on; the first one writes a checkpoint of the steps made so far.
    """
    if pipe.peers.rank:
        return _train(pipe, plan, data, NoLog())
    with contextlib.closing(lock_run(plan.root / "logs" / f"{plan.run}.log")):
        return _train(pipe, plan, data, RunLog(plan.root / "logs", plan.run, plan.start))


def _train(pipe, plan, data, log):
    peers = pipe.peers
    pairs, held_out = len(data.training_set), len(data.validation_set or ())
    host = socket.gethostname()
    batch = plan.record.batch * peers.size
    log.line(f"start={plan.start}, train={pairs}, val={held_out}, host={host}, batch={batch}")
    if plan.said:
        log.line(plan.said)
    shown = plan.board and not peers.rank
    board = Board(plan.root / "logs", plan.run, plan.start) if shown else NoBoard()
    with (
        contextlib.closing(board),
        stop_request() as stop,
        noting_lost_workers(peers),
        augmented_batches(
            *(data, plan.record.seed, plan.start + 1, lambda: stop.is_there), fast=pipe.fast
        ) as batches,
    ):
        return _Training(pipe, plan, data, log, board, stop).run(batches)


class _Training:
    """A run from step to step, with what is due now and then."""

    def __init__(self, pipe, plan, data, log, board, stop):
        self._pipe = pipe
        self._peers = pipe.peers
        self._plan = plan
        self._steps = self._saved = plan.start
        self._data = data
        self._log = log
        self._board = board
        self._stop = stop
        self._bad_steps = self._empty_steps = 0
        self._checkpoint_is_due = False
        self._meter = Meter()
        patience = data.config.optimizer.early_stopping
        self._best = BestSoFar(
            *(plan.run, plan.start, plan.root / "weights", patience, plan.record.dataset_cfg),
            keeps=not self._peers.rank,
        )

    def run(self, batches) -> int:
        """Train until the schedule ends, somebody stops it or the loss is lost; return the code."""
        last = self._plan.last_step
        with tqdm(total=last, initial=self._plan.start, unit="step", disable=None) as bar:
            while self._pipe.set_learning_rate(self._steps + 1):
                asked = time.monotonic()
                work = self._next_work(batches)
                if work is None:
                    break
                batch, augmentation = work
                self._take_step(batch, augmentation, asked)
                if self._bad_steps == BAD_STEPS_IN_A_ROW:
                    return self._give_up()
                if self._empty_steps >= EMPTY_STEPS_IN_A_ROW and not self._bad_steps:
                    raise self._nothing_to_learn(work[0])
                self._do_what_is_due(last)
                bar.update()
                if self._best.has_stalled:
                    self._log.line(f"steps={self._steps}, stopped: {self._best.why_stalled}")
                    break
        self._report(last)
        self._save_if_new()
        return self._stop.exit_code or 0

    def _next_work(self, batches):
        """Return a batch with its augmentation, or None where any worker was asked to stop."""
        with self._saving_on_failure():
            try:
                # They end where a stop is asked for while they are waited for.
                work = None if self._stop.is_there else next(batches, None)
            except Exception:
                with contextlib.suppress(PeersLostError):
                    self._peers.total([*[0] * len(STOPPING), True])
                raise
            wishes = [self._stop.exit_code == 128 + number for number in STOPPING]
            *stops, failed = self._peers.total([*wishes, False])
            if failed:
                raise PeersLostError("another worker cannot go on; it says why")
        if self._stop.exit_code is None and any(stops):
            self._stop.exit_code = 128 + STOPPING[int(np.argmax(stops))]
        return None if any(stops) else work

    def _take_step(self, batch, augmentation, asked):
        came = time.monotonic()
        with self._saving_on_failure(PeersLostError):
            figures = self._train_on(batch, *augmentation)
        self._steps += 1
        self._empty_steps = self._empty_steps + 1 if math.isnan(figures["epe"]) else 0
        if figures["updated"]:
            self._bad_steps = 0
            self._meter.add(figures, came - asked, time.monotonic() - asked)
        else:
            self._bad_steps += 1
            line = (
                f"steps={self._steps}, loss={figures['loss']}, no update: the loss or its gradient "
                f"is not finite: {', '.join(batch.names)}"
            )
            if self._peers.size > 1:
                line += "; or another worker's is, which names its own pairs"
            if self._peers.rank:
                logger.warning("%s", line)
            self._log.line(line)

    def _train_on(self, batch, geo_aug, color_aug):
        images, part = (batch.image1, batch.image2), self._plan.record.micro_batch
        try:
            return self._pipe.train_batch(
                *images,
                batch.flow,
                geo_aug,
                color_aug,
                batch.valid,
                part,
                occluded=batch.occluded,
                knows_occluded=batch.knows_occluded,
            )
        except RuntimeError as error:
            explanation = shortage(error, part)
            if explanation is None:
                raise
            raise explanation from error

    def _do_what_is_due(self, last):
        """Report, validate and write a checkpoint, each in its own interval."""
        config = self._data.config
        with self._saving_on_failure():
            if self._steps - self._plan.start <= LOG_FIRST or self._steps % LOG_EVERY == 0:
                self._report(last)
            if self._steps == 1 or self._steps % config.validation_steps == 0:
                self._validate()
        if self._steps % config.checkpoint_steps == 0:
            self._checkpoint_is_due = True
        # Weights whose loss is not finite may be what is wrong: such a checkpoint waits.
        if self._checkpoint_is_due and not self._bad_steps:
            self._save_if_new()

    @contextlib.contextmanager
    def _saving_on_failure(self, kind=Exception):
        """Do not let what fails beside the training cost the steps made so far."""
        try:
            yield
        except kind:
            if not self._bad_steps:
                self._save_if_new()
            raise

    def _give_up(self):
        kept = (
            f"the checkpoint of step {self._saved} is the last good one"
            if self._saved
            else "there is no checkpoint yet"
        )
        self._log.line(
            f"steps={self._steps}, stopped: no update was possible {self._bad_steps} times in a "
            f"row; {kept}"
        )
        return 1

    def _nothing_to_learn(self, batch):
        """Return the error of a training whose data holds nothing, such as with black masks."""
        return InputError(
            f"{self._data.config.path}: {self._empty_steps} steps in a row had no pixel whose flow "
            f"is known; see to masks and flow files, the last were those of {batch.names[0]}; a "
            "mask is 0 where the flow is not known and anything else where it is"
        )

    def _report(self, last):
        """Log the means since the last report, if there are any."""
        if not self._meter.steps:
            return
        batch = self._plan.record.batch * self._peers.size
        figures = self._meter.take(batch)
        seconds_left = (last - self._steps) * batch / figures["samples_per_second"]
        row = {
            "steps": self._steps,
            "epe": round(figures["epe"], 4),
            "total_time": round(self._meter.total_time, 2),
            "loss": float(f"{figures['loss']:.6g}"),
            "learning_rate": self._pipe.trainer.learning_rate,
            "samples_per_second": float(f"{figures['samples_per_second']:.3g}"),
            "data_wait": round(figures["data_wait"], 3),
        }
        words = [f"{name}={value}" for name, value in row.items()]
        self._log.line(", ".join([*words, f"time_left={duration(seconds_left)}"]))
        self._log.row(row)
        self._board.scalars(row)
        # The first steps are slower than the rest, so not before the last of them.
        if self._steps - self._plan.start == LOG_FIRST and seconds_left > A_DAY:
            logger.warning(
                "at this speed the %d steps that are left take %s; optimizer.learning_rate in the "
                "dataset config makes a shorter schedule",
                *(last - self._steps, duration(seconds_left)),
            )

    def _validate(self):
        """Log the validation error, each worker having done its share of the pairs.

        A stop breaks it off and then there is none.
        """
        dataset = self._data.validation_set
        if dataset is None:
            return
        limit = self._data.config.validation_pairs
        spacing = math.ceil(len(dataset) / limit) if limit else 1
        own = range(0, len(dataset), spacing)[self._peers.rank :: self._peers.size]
        with self._reading(own) as samples:
            wanted = itertools.takewhile(lambda _: not self._is_broken_off(), samples)
            errors = validation_epe(self._pipe, progress(wanted, len(own), "validation"))
        epe = errors[self._pipe.config.optimizer.finest_level]
        if not self._peers.total([self._is_broken_off()]).any():
            by_level = "/".join(f"{error:.2f}" for error in errors.values())
            self._log.line(f"steps={self._steps}, val_epe={epe:.4f}, levels_6_to_2={by_level}")
            row = {"steps": self._steps, "val_epe": round(epe, 4)}
            self._log.row(row)
            self._board.scalars(row)
            with self._reading([0]) as samples:
                self._board.pictures(self._pipe, samples, dataset.color_order, self._steps)
            self._best.note(self._pipe, self._steps, epe)

    def _reading(self, indices):
        """Return a block within which pairs for validation are read; a stop ends the waiting."""
        dataset = self._data.validation_set
        samples = read_ahead(
            *(dataset.__getitem__, indices, 1),
            called=lambda index: dataset.names[index],
            is_stopped=self._is_broken_off,
        )
        return contextlib.closing(samples)

    def _is_broken_off(self):
        return self._stop.exit_code is not None or self._peers.lost

    def _save_if_new(self):
        if self._steps > self._saved:
            if self._peers.rank == 0:
                save_checkpoint(
                    *(self._pipe, self._plan.run, self._steps, self._plan.root / "weights"),
                    kept=self._data.config.kept_checkpoints,
                )
            self._saved = self._steps
        self._checkpoint_is_due = False


def validation_epe(pipe: Pipe, samples: Iterable[FlowSample]) -> dict[int, float]:
    """Return each level's mean endpoint error over the FlowSamples of all workers together.

    Each has an iterable of its own share, which is taken lazily. A level that is no better than no
    motion has learned nothing, and what it should find is lost to the finer ones.
    """
    truths: deque = deque()  # of the pair that the pipeline has taken

    def images():
        for sample in samples:
            truths.append((sample.flow, sample.valid[..., 0] > 0))
            yield sample.image1, sample.image2

    scores: list = []
    for flows in pipe.predict_levels(images()):
        truth = truths.popleft()
        scores.append([score_image(flow, *truth) for flow in flows])
    errors = {}
    for number, level in enumerate(LEVELS):
        own = summarize([pair[number] for pair in scores])
        errors[level] = pipe.peers.mean(own["epe"], own["images"])
    return errors
