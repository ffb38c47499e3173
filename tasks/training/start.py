"""Beginning, continuing or branching off a training run: `main.py CONFIG [-c RUN]`."""

import argparse
import dataclasses
import logging
import tempfile
import zlib
from contextlib import closing
from pathlib import Path

from maskflownet.config import Config, DatasetConfig, InputError, load_config, load_dataset_config
from maskflownet.config.schedule import with_schedule
from maskflownet.kernels import use_fast
from maskflownet.network import Peers, held_network
from maskflownet.network.memory import micro_batch
from maskflownet.network.training_step import check_division
from maskflownet.tasks.distributed.worker import check_agreement, join, leaving_at_once, place_of
from maskflownet.tasks.open_pipeline import devices
from maskflownet.tasks.runs.best import is_best
from maskflownet.tasks.runs.checkpoints import checkpoints_of, find_checkpoint, new_run
from maskflownet.tasks.runs.record import (
    RunRecord,
    dataset_reference,
    read_record,
    record_path,
    report_changes,
    write_record,
)
from maskflownet.tasks.training.board import check_board
from maskflownet.tasks.training.data import TrainSettings, open_data
from maskflownet.tasks.training.going_on import say_how_to_go_on
from maskflownet.tasks.training.loop import train
from maskflownet.tasks.training.weights import Origin, give_weights, is_cascade, make_pipeline
from maskflownet.whole_file import check_writable

logger = logging.getLogger(__name__)

DEFAULT_DATASET = "chairs"
DEBUG_STEPS = 2  # before a resume, and again after it


def start_training(arguments: argparse.Namespace) -> int:
    """Train as the command line says; return the exit code (see `tasks.training.loop.train`).

    Nothing is written before all that can be checked has been.

    Raises
    ------
    InputError
        Whatever is wrong with a config, the checkpoint, the devices or the batch.
    """
    place = place_of(arguments.kvstore)
    if arguments.kvstore is None:
        return _start(arguments, place)
    if arguments.debug:
        raise InputError("--debug tries a training by one process: leave --kvstore out")
    return leaving_at_once(lambda: _start(arguments, place))


def _start(arguments, place):
    origin = find_origin(arguments)
    data_config = load_dataset_config(dataset_of(arguments, origin))
    config = with_schedule(load_config(config_of(arguments, origin)), data_config)
    if arguments.debug:
        return debug(arguments, origin, config, data_config)
    if origin.run is not None and is_at_the_end(origin, config):
        return 0
    if arguments.tensorboard:
        check_board()
    contexts = devices(arguments.gpu_device)
    record = make_record(arguments, origin, config, data_config)
    settings = settings_of(record, arguments)._replace(rank=place.rank, size=place.size)
    data = open_data(data_config, settings)
    peers = join(arguments.kvstore, place)
    pipe = make_pipeline(arguments.network, contexts, config, record.seed, peers, arguments.kernels)
    give_weights(pipe, origin, data)
    check_alike(peers, origin, config, data, record)
    run = open_run(arguments.root, origin, record) if place.rank == 0 else origin.run or ""
    code = 1
    try:
        code = train(pipe, run, origin.step, data, settings, arguments.root, said(arguments))
    finally:
        if code and place.rank == 0:
            say_how_to_go_on(arguments, run)
    return code


def check_alike(peers: Peers, origin: Origin, config: Config, data, record: RunRecord) -> None:
    """Raise InputError unless all workers train the same from the same; they may lie elsewhere."""
    states = origin.checkpoint.states if origin.run else None
    moments = zlib.crc32(states.read_bytes()) if states and states.is_file() else None
    settings = [*vars(config).values(), *vars(data.config).values()]
    check_agreement(
        peers,
        [value for value in settings if not isinstance(value, Path)],
        [len(part or ()) for part in (data.training_set, data.validation_set)],
        dataclasses.replace(record, dataset_cfg="", micro_batch=1),
        *(origin.step, moments),
    )


def open_run(root: Path, origin: Origin, record: RunRecord) -> str:
    """Return the id of the run, a new one unless it goes on, and write down how it is made.

    Raises
    ------
    OSError
        Checkpoints could not be written.
    """
    check_writable(root / "weights")
    run = origin.run or new_run(root)
    write_record(record, record_path(root, run))
    logger.info("run %s: log and curves in %s", run, root / "logs")
    return run


def find_origin(arguments) -> Origin:
    """Return where the run comes from, as -c and --clear_steps say.

    Raises
    ------
    InputError
        The run has gone on since that checkpoint, or was begun with another seed.
    """
    if arguments.checkpoint is None:
        if arguments.clear_steps:
            raise InputError("--clear_steps begins anew from a checkpoint: name it with -c")
        return Origin(None, None, 0, None)
    weights = arguments.root / "weights"
    checkpoint = find_checkpoint(arguments.checkpoint, weights)
    if arguments.clear_steps:
        return Origin(checkpoint, None, 0, None)
    run = checkpoint.run
    if is_best(checkpoint.path):
        raise InputError(
            f"-c {arguments.checkpoint}: a run's best weights are kept without Adam's moments, to "
            f"begin from: add --clear_steps; -c {run} continues the run"
        )
    newest = checkpoints_of(run, weights)[-1:]
    if newest and newest[0].steps > checkpoint.steps:
        raise InputError(
            f"-c {arguments.checkpoint}: run {run} has gone on to step {newest[0].steps}; continue "
            "from there, or add --clear_steps to begin a new run here"
        )
    record = read_record(record_path(arguments.root, run))
    if record is None:  # the checkpoint may lie in another root
        record = read_record(record_path(checkpoint.path.absolute().parent.parent, run))
    if record is None:
        logger.info("run %s has no record: it goes on with what the command line says", run)
    elif arguments.seed not in (None, record.seed):
        raise InputError(
            f"--seed {arguments.seed}: run {run} has seed {record.seed}; leave --seed out to "
            "continue it, or add --clear_steps to begin a new run"
        )
    return Origin(checkpoint, run, checkpoint.steps, record)


def config_of(arguments, origin: Origin) -> str:
    """Return which network config to train with: as said, or as the run was begun.

    Raises
    ------
    InputError
        Nothing says it.
    """
    if arguments.config is not None:
        return arguments.config
    if origin.record is None:
        raise InputError(
            f"CONFIG is missing: nothing says with which schedule -c {arguments.checkpoint} is to "
            "be trained; name a network config, such as MaskFlownet_S"
        )
    return origin.record.config


def dataset_of(arguments, origin: Origin) -> str:
    """Return which dataset config to train on: as said, or as the run was begun."""
    if arguments.dataset_cfg is None and origin.record is not None:
        return origin.record.dataset_cfg
    return arguments.dataset_cfg or DEFAULT_DATASET


def make_record(arguments, origin: Origin, config: Config, data: DatasetConfig) -> RunRecord:
    """Return what the run is made with: as said, else as it was begun, else as the configs say.

    Raises
    ------
    InputError
        The batch does not divide among the devices, or not into such parts.
    """
    before = origin.record
    said_batch = arguments.batch or (before.said_batch if before else None)
    batch = said_batch or data.batch
    record = RunRecord(
        config=config.name,
        dataset_cfg=dataset_reference(data),
        batch=batch,
        micro_batch=part_of(batch, arguments, before, config, data),
        shard=arguments.shard,
        seed=before.seed if before else arguments.seed or 0,
        said_batch=said_batch,
        processes=place_of(arguments.kvstore).size,
    )
    check_division(record.batch, record.micro_batch, device_count(arguments))
    if before:
        report_changes(origin.run, before, record)
    return record


def part_of(batch, arguments, before, config, data) -> int:
    """Return how many pairs of a batch to hold at a time: as said, else what fits into memory.

    A run that goes on keeps its parts if they fit: with others its sums would be rounded otherwise.
    """
    if arguments.micro_batch is not None:
        return arguments.micro_batch
    if arguments.gpu_device or batch % device_count(arguments):
        return batch
    fast = use_fast(arguments.kernels, [])
    part = micro_batch(
        batch, config.network.class_name, fast, data.target_shape, device_count(arguments)
    )
    if before and before.batch == batch and before.micro_batch < part:
        part = before.micro_batch
    if part < batch:
        logger.info("batches of %d are added up from parts of %d", batch, part)
    return part


def settings_of(record: RunRecord, arguments) -> TrainSettings:
    """Return the settings with which a run is trained."""
    return TrainSettings(
        *(record.batch, record.micro_batch, record.seed, record.shard, arguments.workers),
        board=arguments.tensorboard,
    )


def is_at_the_end(origin: Origin, config: Config) -> bool:
    """Return whether a run has made all steps of its schedule, and say so.

    Raises
    ------
    InputError
        The checkpoint cannot be continued with this config; a new run from it may be meant.
    """
    remedy = "add --clear_steps to begin a new run from its weights"
    if is_cascade(config) and held_network(origin.checkpoint.path) == "MaskFlownet_S":
        raise InputError(
            f"{origin.checkpoint.path}: holds a MaskFlownet_S, which a MaskFlownet takes as its "
            f"first stage; {remedy}"
        )
    last = config.optimizer.learning_rate[-1][0]
    if origin.step < last:
        return False
    line = f"run {origin.run} is at step {origin.step} and the schedule ends at {last}"
    if origin.record is None or origin.record.config != config.name:
        raise InputError(f"{line}; {remedy}")
    logger.info("%s: nothing is left to do", line)
    return True


def device_count(arguments) -> int:
    """Return how many devices share a batch."""
    return max(len(arguments.gpu_device), 1)


def said(arguments) -> str:
    """Return all arguments as the log's second line holds them."""
    return ", ".join(f"{name}={value}" for name, value in sorted(vars(arguments).items()))


def debug(arguments, origin: Origin, config: Config, data_config: DatasetConfig) -> int:
    """Try everything that a run does, in a folder that goes.

    One batch as the run would read it; then two steps with a pair per device, with validation and
    checkpoint, a resume, and two steps more.
    """
    contexts = devices(arguments.gpu_device)
    record = make_record(arguments, origin, config, data_config)
    with closing(open_data(data_config, settings_of(record, arguments)).loader.batches()) as real:
        logger.info("read %s", ", ".join(next(real).names))
    batch = device_count(arguments)
    data_config = dataclasses.replace(
        data_config, batch=batch, kitti=0, hd1k=0, validation_steps=2, checkpoint_steps=2
    )
    settings = settings_of(record, arguments)._replace(
        batch=batch, micro_batch=batch, validation_pairs=2
    )
    data = open_data(data_config, settings)
    with tempfile.TemporaryDirectory(prefix="maskflownet-debug-") as folder:
        root = Path(folder)
        for start in (0, DEBUG_STEPS):
            schedule = ((start + DEBUG_STEPS, config.optimizer.learning_rate[0][1]),)
            optimizer = dataclasses.replace(config.optimizer, learning_rate=schedule)
            short = dataclasses.replace(config, optimizer=optimizer)
            pipe = make_pipeline(arguments.network, contexts, short, record.seed)
            if start:
                checkpoint = find_checkpoint(f"debug:{start}", root / "weights")
                origin = Origin(checkpoint, "debug", start, None)
            if origin.checkpoint is not None or not is_cascade(config):
                give_weights(pipe, origin, data)
            code = train(pipe, "debug", start, data, settings, root, said(arguments))
            if code:
                return code
    logger.info("data, steps, validation, checkpoint and resume work")
    return 0
