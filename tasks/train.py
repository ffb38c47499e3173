"""Training a network on a dataset, step by step, so that it can be stopped and continued."""

import itertools
import logging
import math
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from augmentation import Augmentation
from config import DatasetConfig
from reader.datasets import FlowDataset, make_dataset
from reader.loading import Loader
from reader.read_ahead import read_ahead
from tasks.interrupts import stop_request
from tasks.progress import progress
from tasks.run_log import RunLog
from tasks.runs import save_checkpoint

logger = logging.getLogger(__name__)

LOG_FIRST, LOG_EVERY = 20, 50  # each of the first steps, then one in so many
BAD_LOSSES_IN_A_ROW = 10  # after which a run has gone wrong for good


class TrainSettings(NamedTuple):
    """How a run is made, beyond its configs.

    Attributes
    ----------
    batch : int
        Pairs per step over all devices.
    micro_batch : int or None
        Pairs in memory at a time; None for the whole batch.
    seed : int
        Of the order of the pairs and of the augmentation.
    shard : int
        Train on one pair in so many.
    workers : int or None
        Processes that read pairs; None for as many as there are cores, within reason.
    validation_pairs : int or None
        At most so many pairs are validated on.
    """

    batch: int
    micro_batch: int | None = None
    seed: int = 0
    shard: int = 1
    workers: int | None = None
    validation_pairs: int | None = None


def train(
    pipe,
    run: str,
    start: int,
    data: DatasetConfig,
    settings: TrainSettings,
    root: Path,
    arguments: str = "",
) -> int:
    """Train from step `start` + 1 to the end of the schedule, or until somebody stops it.

    Parameters
    ----------
    pipe : network.Pipeline
        With the weights, and the moments if there are any, of step `start`.
    run : str
        The run's id: logs go to `root`/logs/RUN.log and .csv, checkpoints to `root`/weights.
    start : int
    data : config.DatasetConfig
    settings : TrainSettings
    root : pathlib.Path
    arguments : str
        What the run was started with, for the log.

    Returns
    -------
    int
        0 at the end of the schedule; 130 or 143 when stopped by SIGINT or SIGTERM, after the step
        at hand and a checkpoint; 1 when too many losses in a row were not finite.
    """
    training_set, validation_set = make_dataset(data, "train"), _validation_set(data)
    log = RunLog(root / "logs", run, start)
    count = 0 if validation_set is None else len(validation_set)
    log.line(
        f"start={start}, train={len(training_set)}, val={count}, host={socket.gethostname()}, "
        f"batch={settings.batch}"
    )
    log.line(arguments)
    loader = Loader(
        training_set,
        settings.batch,
        data.orig_shape,
        settings.seed,
        workers=settings.workers,
        shard=settings.shard,
    )
    training = _Training(pipe, run, start, data, settings, root / "weights", log, validation_set)
    with stop_request() as stop, closing(loader.batches(start + 1)) as batches:
        return training.run(_augmented(batches, data, settings.seed), stop)


def _validation_set(data: DatasetConfig) -> FlowDataset | None:
    """Return what to validate on; None where a person's own data has no such part."""
    own_data = {"list": data.valid_list, "folder": data.valid_folder}
    if own_data.get(data.dataset, data.dataset) is None:
        logger.info("%s: no valid_%s, so nothing is validated", data.path, data.dataset)
        return None
    return make_dataset(data, "valid")


def _augmented(batches, data, seed) -> Iterator:
    """Yield (batch, (geo_aug, color_aug)), the random numbers of the next one drawn meanwhile."""
    augmentation = Augmentation(data, seed)

    def augmented(batch):
        return batch, augmentation.callables(augmentation.draw(batch.step, batch.samples))

    return read_ahead(augmented, batches, ahead=1)


class _Training:
    """A run from step to step, with what is due now and then."""

    def __init__(self, pipe, run, start, data, settings, weights, log, validation_set):
        self._pipe = pipe
        self._run = run
        self._steps = self._start = self._saved = start
        self._data = data
        self._settings = settings
        self._weights = weights
        self._log = log
        self._validation_set = validation_set
        self._bad_losses = 0
        self._meter = Meter()

    def run(self, batches, stop) -> int:
        """Train until the schedule ends, `stop` is set or the loss is lost; return the code."""
        last = self._pipe.config.optimizer.learning_rate[-1][0]
        with tqdm(total=last, initial=self._start, unit="step", disable=None) as bar:
            while stop.exit_code is None and self._pipe.set_learning_rate(self._steps + 1):
                self._take_step(batches)
                if self._bad_losses == BAD_LOSSES_IN_A_ROW:
                    return self._give_up()
                if self._steps - self._start <= LOG_FIRST or self._steps % LOG_EVERY == 0:
                    self._report(last)
                if self._steps == 1 or self._steps % self._data.validation_steps == 0:
                    self._validate()
                if self._steps % self._data.checkpoint_steps == 0:
                    self._save()
                bar.update()
        if self._steps > self._saved:
            self._save()
        return stop.exit_code or 0

    def _take_step(self, batches):
        asked = time.monotonic()
        batch, (geo_aug, color_aug) = next(batches)
        came = time.monotonic()
        figures = self._pipe.train_batch(
            batch.image1,
            batch.image2,
            batch.flow,
            geo_aug,
            color_aug,
            batch.valid,
            self._settings.micro_batch,
        )
        self._steps += 1
        if math.isfinite(figures["loss"]):
            self._bad_losses = 0
            self._meter.add(figures, came - asked, time.monotonic() - asked)
        else:
            self._bad_losses += 1
            names = ", ".join(batch.names)
            self._log.line(f"steps={self._steps}, loss={figures['loss']}, no update: {names}")

    def _give_up(self):
        self._log.line(
            f"steps={self._steps}, stopped: the loss was not finite {self._bad_losses} times in a "
            f"row; the checkpoint of step {self._saved} is the last good one"
        )
        return 1

    def _report(self, last):
        """Log the means since the last report."""
        if not self._meter.steps:
            return
        figures = self._meter.take(self._settings.batch)
        seconds_left = (last - self._steps) * self._settings.batch / figures["samples_per_second"]
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

    def _validate(self):
        if self._validation_set is None:
            return
        count = min(len(self._validation_set), self._settings.validation_pairs or math.inf)
        samples = read_ahead(self._validation_set.__getitem__, range(int(count)), ahead=1)
        epe = validation_epe(self._pipe, progress(samples, int(count), "validation"))
        self._log.line(f"steps={self._steps}, val_epe={epe:.4f}")
        self._log.row({"steps": self._steps, "val_epe": round(epe, 4)})

    def _save(self):
        save_checkpoint(self._pipe, self._run, self._steps, self._weights)
        self._saved = self._steps


class Meter:
    """Means of figures over some steps.

    Attributes
    ----------
    steps : int
        Since the last `take`.
    total_time : float
        Seconds since the beginning.
    """

    def __init__(self):
        self._begin = time.monotonic()
        self._clear()

    def _clear(self):
        self.steps = 0
        self._epe = self._loss = self._waited = self._seconds = 0.0

    @property
    def total_time(self):
        """Return the seconds since the meter was made."""
        return time.monotonic() - self._begin

    def add(self, figures, waited, seconds):
        """Count a step in: its figures, the seconds waited for data, and all its seconds."""
        self.steps += 1
        self._epe += figures["epe"]
        self._loss += figures["loss"]
        self._waited += waited
        self._seconds += seconds

    def take(self, batch):
        """Return the means since the last `take`, of steps with `batch` samples, and begin anew."""
        means = {
            "epe": self._epe / self.steps,
            "loss": self._loss / self.steps,
            "samples_per_second": batch * self.steps / self._seconds,
            "data_wait": self._waited / self._seconds,
        }
        self._clear()
        return means


def validation_epe(pipe, samples) -> float:
    """Return the mean endpoint error over an iterable of FlowSample, which is taken lazily."""
    ones, others, flows, valids = itertools.tee(samples, 4)
    return pipe.validate(
        (sample.image1 for sample in ones),
        (sample.image2 for sample in others),
        (sample.flow for sample in flows),
        (sample.valid for sample in valids),
    )


def duration(seconds: float) -> str:
    """Return seconds as "3d04:05:06" or "04:05:06"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}d" * bool(days) + f"{hour:02}:{minute:02}:{second:02}"
