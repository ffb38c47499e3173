"""The plan of a run: all that its command line and configs decide, checked before it begins."""

import argparse
import dataclasses
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskflownet.config import Config, DatasetConfig, InputError, load_config, load_dataset_config
from maskflownet.config.files import ROOT
from maskflownet.config.schedule import with_schedule
from maskflownet.kernels import use_fast
from maskflownet.network import held_network
from maskflownet.network.dialects import DIALECTS
from maskflownet.network.memory import micro_batch
from maskflownet.network.training_step import check_division
from maskflownet.tasks.distributed.worker import Place, place_of
from maskflownet.tasks.open_pipeline import devices
from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.runs.record import RunRecord, config_reference, report_changes
from maskflownet.tasks.training.board import check_board
from maskflownet.tasks.training.origin import Origin, find_origin

logger = logging.getLogger(__name__)

DEFAULT_DATASET = "chairs"
DEBUG_STEPS = 2  # before a resume, and again after it


@dataclass(frozen=True)
class RunPlan:
    """What a run is made with, from its first step to its last.

    Attributes
    ----------
    config : config.Config
        The network's, with the dataset's schedule where that has its own.
    dataset : config.DatasetConfig
    record : RunRecord
        Batch, micro-batch, seed and shard, as they are written down beside the log.
    origin : Origin
        Whose weights, and moments, it begins with.
    place : Place
        Which worker this process is, of how many that train together.
    contexts : tuple of mxnet.Context
        The devices of this process; by default the CPU.
    network : str
        The pipeline's name.
    kernels : {"auto", "builtin"} or None
        See `kernels.use_fast`.
    precision : {"float32", "bf16"}
        See `kernels.check_precision`.
    readers : int or None
        Reader processes; None for as many as there are cores, within reason.
    board : bool
        Whether curves and pictures are written for TensorBoard.
    root : pathlib.Path
        Where weights/ and logs/ lie.
    run : str or None
        The run's id; None for a new run that has not begun.
    start : int
        How many steps of the schedule are behind it.
    said : str
        The command line, as the log's second line holds it; there is none where it is empty.
    """

    config: Config
    dataset: DatasetConfig
    record: RunRecord
    origin: Origin = field(default_factory=Origin)
    place: Place = field(default_factory=Place)
    contexts: tuple[Any, ...] = field(default_factory=lambda: tuple(devices([])))
    network: str = "MaskFlownet"
    kernels: str | None = None
    precision: str = "float32"
    readers: int | None = None
    board: bool = False
    root: Path = ROOT
    run: str | None = None
    start: int = 0
    said: str = ""

    @property
    def last_step(self) -> int:
        """The step with which the schedule ends."""
        return self.config.optimizer.learning_rate[-1][0]

    @property
    def is_finished(self) -> bool:
        """Whether a run that goes on has made all steps of its schedule."""
        return self.run is not None and self.start >= self.last_step


def plan_run(arguments: argparse.Namespace) -> RunPlan:
    """Return the plan of the run that the command line asks for; nothing is written.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of `main.make_parser`.

    Raises
    ------
    InputError
        Whatever is wrong with a config, the checkpoint, the devices or the batch.
    """
    place = place_of(arguments.kvstore)
    origin = find_origin(arguments)
    dataset = load_dataset_config(_dataset_name(arguments, origin))
    config = with_schedule(load_config(_config_name(arguments, origin)), dataset)
    if dataset.color_order is None:
        order = DIALECTS[config.network.dialect].color_order
        dataset = dataclasses.replace(dataset, color_order=order)
    if not arguments.debug:
        _check_origin(origin, config)
    if arguments.tensorboard:
        check_board()
    contexts = tuple(devices(arguments.gpu_device))
    return RunPlan(
        config,
        dataset,
        _make_record(arguments, origin, config, dataset, place),
        origin,
        place,
        contexts,
        network=arguments.network,
        kernels=arguments.kernels,
        precision=arguments.precision,
        readers=arguments.workers,
        board=arguments.tensorboard,
        root=arguments.root,
        run=origin.run,
        start=origin.step,
        said=", ".join(f"{name}={value}" for name, value in sorted(vars(arguments).items())),
    )


def debug_plan(plan: RunPlan, root: Path, checkpoint: Checkpoint | None = None) -> RunPlan:
    """Return a plan of two steps, with a pair per device, that tries what `plan` will do.

    Parameters
    ----------
    plan : RunPlan
    root : pathlib.Path
        Of what it writes.
    checkpoint : Checkpoint, optional
        Of such a plan, to resume; without it the run begins as `plan` does.
    """
    start = checkpoint.steps if checkpoint else 0
    batch = len(plan.contexts)
    schedule = ((start + DEBUG_STEPS, plan.config.optimizer.learning_rate[0][1]),)
    optimizer = dataclasses.replace(plan.config.optimizer, learning_rate=schedule)
    return dataclasses.replace(
        plan,
        config=dataclasses.replace(plan.config, optimizer=optimizer),
        dataset=dataclasses.replace(
            plan.dataset,
            batch=batch,
            kitti=0,
            hd1k=0,
            validation_steps=2,
            validation_pairs=2,
            checkpoint_steps=2,
        ),
        record=dataclasses.replace(plan.record, batch=batch, micro_batch=batch),
        origin=Origin(checkpoint, "debug", start) if checkpoint else plan.origin,
        root=root,
        run="debug",
        start=start,
        said="",
    )


def _config_name(arguments, origin):
    """Return which network config to train with: as said, or as the run was begun."""
    if arguments.config is not None:
        return arguments.config
    if origin.record is None:
        raise InputError(
            f"CONFIG is missing: nothing says with which schedule -c {arguments.checkpoint} is to "
            "be trained; name a network config, such as MaskFlownet_S"
        )
    return origin.record.config


def _dataset_name(arguments, origin):
    """Return which dataset config to train on: as said, or as the run was begun."""
    if arguments.dataset_cfg is None and origin.record is not None:
        return origin.record.dataset_cfg
    return arguments.dataset_cfg or DEFAULT_DATASET


def _check_origin(origin, config):
    """Raise InputError where a run cannot go on, or a cascade not begin, at that checkpoint."""
    if config.network.is_cascade and origin.checkpoint is None:
        raise InputError(
            "a MaskFlownet trains over a finished first stage: name a MaskFlownet_S checkpoint "
            "with -c RUN --clear_steps"
        )
    if origin.run is None:
        return
    remedy = "add --clear_steps to begin a new run from its weights"
    if config.network.is_cascade and held_network(origin.checkpoint.path) == "MaskFlownet_S":
        raise InputError(
            f"{origin.checkpoint.path}: holds a MaskFlownet_S, which a MaskFlownet takes as its "
            f"first stage; {remedy}"
        )
    last = config.optimizer.learning_rate[-1][0]
    other_config = origin.record is None or origin.record.config != config_reference(config)
    if origin.step >= last and other_config:
        raise InputError(
            f"run {origin.run} is at step {origin.step} and the schedule ends at {last}; {remedy}"
        )


def _make_record(arguments, origin, config, dataset, place):
    """Return what the run is made with: as said, else as it was begun, else as the configs say."""
    before = origin.record
    said_batch = arguments.batch or (before.said_batch if before else None)
    batch = said_batch or dataset.batch
    record = RunRecord(
        config=config_reference(config),
        dataset_cfg=config_reference(dataset),
        batch=batch,
        micro_batch=_micro_batch(batch, arguments, before, config, dataset),
        shard=arguments.shard,
        seed=before.seed if before else arguments.seed or 0,
        said_batch=said_batch,
        processes=place.size,
    )
    check_division(record.batch, record.micro_batch, _device_count(arguments))
    if before:
        report_changes(origin.run, before, record)
    return record


def _micro_batch(batch, arguments, before, config, dataset):
    """Return how many pairs of a batch to hold at a time: as said, else what fits into memory.

    A run that goes on keeps its micro-batches if they fit: with others its sums would be rounded
    otherwise.
    """
    count = _device_count(arguments)
    if arguments.micro_batch is not None:
        return arguments.micro_batch
    if arguments.gpu_device or batch % count:
        return batch
    fast = use_fast(arguments.kernels, [])
    name, first_stage = config.network.class_name, config.optimizer.train_first_stage
    fitting = micro_batch(batch, name, fast, dataset.target_shape, count, first_stage)
    if before and before.batch == batch and before.micro_batch < fitting:
        fitting = before.micro_batch
    if fitting < batch:
        logger.info("batches of %d are added up from micro-batches of %d", batch, fitting)
    return fitting


def _device_count(arguments):
    """Return how many devices share a batch."""
    return max(len(arguments.gpu_device), 1)
