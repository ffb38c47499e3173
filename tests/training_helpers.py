"""A training loop's surroundings without a network and without processes."""

import dataclasses
import os
import signal
import struct
from types import SimpleNamespace

import numpy as np
from main_runs import RATE, write_dataset

from maskflownet.config import load_config, load_dataset_config
from maskflownet.network import Peers, Pipeline, Prediction
from maskflownet.reader.loading import Batch
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.runs.record import RunRecord
from maskflownet.tasks.training.data import TrainingData
from maskflownet.tasks.training.plan import RunPlan

RUN = "abcJan01-0000"
NO_ARRAYS = struct.pack("<4Q", 0x112, 0, 0, 0)  # a whole parameter file


class FakePipe:
    """Counts steps where a pipeline would train.

    The loss is 1 but at the steps of `losses`, and 0 without an error at those of `empty`. At those
    of `signals` the process gets that signal in the middle of the step.
    """

    peers = Peers()
    fast = False
    set_learning_rate = Pipeline.set_learning_rate

    def __init__(
        self, schedule=((10, RATE),), losses=(), signals=(), first_step=1, empty=(), finest_level=2
    ):
        optimizer = SimpleNamespace(learning_rate=schedule, finest_level=finest_level)
        self.config = SimpleNamespace(optimizer=optimizer)
        self.trainer = SimpleNamespace(learning_rate=None, set_learning_rate=self._note_rate)
        self.losses, self.signals = dict(losses), dict(signals)
        self.empty = set(empty)
        self.step = first_step - 1
        self.calls = []
        self.validated = []
        self.before_saving = lambda: None

    def _note_rate(self, rate):
        self.trainer.learning_rate = rate

    def train_batch(self, image1, image2, flow, geo_aug, color_aug, mask, micro_batch, **occlusion):
        self.step += 1
        self.calls.append((self.step, self.trainer.learning_rate, len(image1), micro_batch))
        if self.step in self.signals:
            os.kill(os.getpid(), self.signals[self.step])
        if self.step in self.empty:
            return {"epe": float("nan"), "loss": 0.0, "updated": True}
        loss = self.losses.get(self.step, 1.0)
        if isinstance(loss, Exception):
            raise loss
        return {"epe": 2.0 * self.step, "loss": loss, "updated": bool(np.isfinite(loss))}

    def predict_levels(self, pairs):
        count, error = 0, self.validation_error()
        for image1, _ in pairs:
            count += 1
            flow = np.zeros((*image1.shape[:2], 2), np.float32)
            flow[..., 0] = error  # all of it: the truth is zero
            yield [flow + np.float32([px, 0]) for px in (16, 12, 8, 4, 0)]
        self.validated.append((self.step, count))

    def predict_pairs(self, pairs, wanted):
        for image1, _ in pairs:
            yield Prediction(np.zeros((*image1.shape[:2], 2), np.float32), None, None)

    def validation_error(self):
        return 3.0

    def save(self, prefix):
        self.before_saving()
        prefix.parent.mkdir(parents=True, exist_ok=True)
        prefix.with_name(f"{prefix.name}.states").write_text(str(self.step))
        prefix.with_name(f"{prefix.name}.params").write_bytes(NO_ARRAYS)

    def save_weights(self, path):
        path.write_text(str(self.step))


class FakeLoader:
    """Yields batches of blank pairs; raises `failures[step]` instead of that step's batch."""

    def __init__(self, batch=2, failures=()):
        self.batch, self.failures = batch, dict(failures)
        self.is_open = False

    def batches(self, first_step=1, is_stopped=lambda: False):
        self.is_open = True
        try:
            step = first_step
            while True:
                if step in self.failures:
                    raise self.failures[step]
                image = np.zeros((self.batch, 3, 64, 64), np.uint8)
                flow = np.zeros((self.batch, 2, 64, 64), np.float32)
                names = tuple(f"pair-{step}-{sample}" for sample in range(self.batch))
                samples = tuple(range(self.batch))
                seen = np.zeros((self.batch, 1, 64, 64), bool)
                known = np.zeros(self.batch, bool)
                yield Batch(step, image, image, flow, image[:, :1], seen, known, names, samples)
                step += 1
        finally:
            self.is_open = False


class FakeSet:
    """Blank pairs to validate on; sends the process a signal when pair `signal_at` is read."""

    color_order = "BGR"

    def __init__(self, pairs=3, signal_at=None):
        self.pairs, self.signal_at = pairs, signal_at
        self.read = 0

    def __len__(self):
        return self.pairs

    def __getitem__(self, index):
        self.read += 1
        if index == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        image = np.zeros((64, 64, 3), np.uint8)
        return FlowSample(image, image, np.zeros((64, 64, 2), np.float32), image[..., :1] + 255)


def fake_run(folder, loader=None, validation_set=None, start=0, schedule=((10, RATE),), **changes):
    """Return a RunPlan, of a run that is `RUN`, and TrainingData around a FakeLoader."""
    loader = loader or FakeLoader()
    plan = plan_of(write_dataset(folder, **changes), loader.batch, schedule=schedule)
    plan = dataclasses.replace(plan, root=folder, run=RUN, start=start, said="all, arguments=1")
    return plan, TrainingData(plan.dataset, FakeSet(5), validation_set, loader)


def plan_of(dataset, batch=2, seed=0, shard=1, config="MaskFlownet_S", schedule=None, **changes):
    """Return a RunPlan for a dataset config, a name or a path."""
    config = load_config(config)
    if schedule:
        optimizer = dataclasses.replace(config.optimizer, learning_rate=schedule)
        config = dataclasses.replace(config, optimizer=optimizer)
    record = RunRecord(config.name, str(dataset), batch, batch, shard, seed)
    return RunPlan(config, load_dataset_config(dataset), record, **changes)
