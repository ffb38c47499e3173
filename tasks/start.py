"""Beginning, continuing or branching off a training run: `main.py CONFIG [-c RUN]`."""

import argparse
import dataclasses
import json
import logging
import tempfile
from pathlib import Path
from typing import NamedTuple

from config import Config, DatasetConfig, InputError, load_config, load_dataset_config
from network import get_pipeline, held_network
from reader.whole_file import whole_file
from tasks.command_line import devices
from tasks.memory import micro_batch
from tasks.runs import Checkpoint, checkpoints_of, find_checkpoint, new_run
from tasks.train import TrainSettings, train

logger = logging.getLogger(__name__)

DEFAULT_DATASET = "chairs"
DEBUG_STEPS = 2  # before a resume, and again after it


class Begun(NamedTuple):
    """Where a run stands: its id, the steps it has made, and its seed."""

    run: str
    step: int
    seed: int


def start_training(arguments: argparse.Namespace) -> int:
    """Train as the command line says; return the exit code (see `tasks.train.train`).

    Raises
    ------
    InputError
        Whatever is wrong with a config, the checkpoint, the devices or the batch.
    """
    data = load_dataset_config(arguments.dataset_cfg or DEFAULT_DATASET)
    config = with_schedule(load_config(arguments.config), data)
    if arguments.debug:
        return debug(arguments, config, data)
    checkpoint = None
    if arguments.checkpoint is not None:
        checkpoint = find_checkpoint(arguments.checkpoint, arguments.root / "weights")
    begun = begin(arguments, checkpoint)
    pipe = make_pipeline(arguments, config, begun.seed)
    load_weights(pipe, checkpoint, arguments.clear_steps)
    settings = make_settings(arguments, config, data, begun.seed)
    write_record(arguments, begun, settings)
    return train(pipe, begun.run, begun.step, data, settings, arguments.root, said(arguments))


def with_schedule(config: Config, data: DatasetConfig) -> Config:
    """Return the network's config with the dataset's learning rates, where it has its own."""
    if data.optimizer.learning_rate is None:
        return config
    optimizer = dataclasses.replace(config.optimizer, learning_rate=data.optimizer.learning_rate)
    return dataclasses.replace(config, optimizer=optimizer)


def begin(arguments, checkpoint: Checkpoint | None) -> Begun:
    """Return where the run stands: at the beginning with a new id, or at its checkpoint."""
    weights = arguments.root / "weights"
    if checkpoint is None or arguments.clear_steps:
        if arguments.clear_steps and checkpoint is None:
            raise InputError("--clear_steps begins anew from a checkpoint: name it with -c")
        return Begun(new_run(weights), 0, arguments.seed or 0)
    newest = checkpoints_of(checkpoint.run, weights)[-1:]
    if newest and newest[0].steps > checkpoint.steps:
        raise InputError(
            f"-c {arguments.checkpoint}: run {checkpoint.run} has gone on to step "
            f"{newest[0].steps}; continue from there, or add --clear_steps to begin a new run here"
        )
    seed = read_record(arguments.root, checkpoint.run).get("seed", 0)
    if arguments.seed not in (None, seed):
        raise InputError(
            f"--seed {arguments.seed}: run {checkpoint.run} has seed {seed}; leave --seed out to "
            "continue it, or add --clear_steps to begin a new run"
        )
    return Begun(checkpoint.run, checkpoint.steps, seed)


def make_pipeline(arguments, config: Config, seed: int):
    """Return a pipeline with fresh weights drawn from the seed, its first stage frozen if any."""
    from gluoncv.utils import random

    contexts = devices(arguments.gpu_device)
    random.seed(seed)
    pipe = get_pipeline(arguments.network, ctx=contexts, config=config)
    if config.network.class_name == "MaskFlownet":
        pipe.fix_head()
    return pipe


def load_weights(pipe, checkpoint: Checkpoint | None, clear_steps: bool) -> None:
    """Load a checkpoint: to continue it with its moments, or as the start of a new run.

    A new run of a cascade may start from a MaskFlownet_S, which becomes its first stage.
    """
    cascade = pipe.config.network.class_name == "MaskFlownet"
    if checkpoint is None:
        if cascade:
            raise InputError(
                "a MaskFlownet trains over a finished first stage: name a MaskFlownet_S checkpoint "
                "with -c RUN --clear_steps"
            )
        return
    if clear_steps and cascade and held_network(checkpoint.path) == "MaskFlownet_S":
        pipe.load_head(checkpoint.path)
        logger.info("%s is the first stage; the second starts from nothing", checkpoint.path)
        return
    pipe.load(checkpoint.path)
    if clear_steps:
        return
    if checkpoint.states.is_file():
        pipe.load_states(checkpoint.states)
    else:
        logger.warning(
            "%s is not there: training continues with fresh moments of Adam", checkpoint.states
        )


def make_settings(arguments, config: Config, data: DatasetConfig, seed: int) -> TrainSettings:
    """Return the settings of a run, its batch split into parts that fit into memory."""
    batch = arguments.batch or data.batch
    count = max(len(arguments.gpu_device), 1)
    if batch % count:
        fitting = sorted({max(batch - batch % count, count), batch - batch % count + count})
        raise InputError(
            f"a batch of {batch} does not divide among {count} devices: use --batch "
            f"{' or '.join(map(str, fitting))}"
        )
    part = arguments.micro_batch
    if part is None and not arguments.gpu_device:
        part = micro_batch(batch, config.network.class_name, data.target_shape, count)
        if part < batch:
            logger.info("batches of %d are accumulated from parts of %d, which fit", batch, part)
    return TrainSettings(batch, part, seed, arguments.shard, arguments.workers)


def said(arguments) -> str:
    """Return all arguments as the log's second line holds them."""
    return ", ".join(f"{name}={value}" for name, value in sorted(vars(arguments).items()))


def debug(arguments, config: Config, data: DatasetConfig) -> int:
    """Try everything that a run does, with one pair per device and step, in a folder that goes.

    Two steps with validation and checkpoint, a resume, and two steps more.
    """
    batch = max(len(arguments.gpu_device), 1)
    data = dataclasses.replace(
        data, batch=batch, kitti=0, hd1k=0, validation_steps=2, checkpoint_steps=2
    )
    settings = TrainSettings(batch, None, arguments.seed or 0, validation_pairs=2)
    given = None
    if arguments.checkpoint is not None:
        given = find_checkpoint(arguments.checkpoint, arguments.root / "weights")
    with tempfile.TemporaryDirectory(prefix="maskflownet-debug-") as folder:
        root = Path(folder)
        for start in (0, DEBUG_STEPS):
            schedule = ((start + DEBUG_STEPS, config.optimizer.learning_rate[0][1]),)
            optimizer = dataclasses.replace(config.optimizer, learning_rate=schedule)
            pipe = make_pipeline(
                arguments, dataclasses.replace(config, optimizer=optimizer), settings.seed
            )
            if start:
                load_weights(pipe, find_checkpoint("debug", root / "weights"), clear_steps=False)
            elif given is not None:
                load_weights(pipe, given, clear_steps=True)
            code = train(pipe, "debug", start, data, settings, root, said(arguments))
            if code:
                return code
    logger.info("data, steps, validation, checkpoint and resume work")
    return 0


def _record_path(root: Path, run: str) -> Path:
    return root / "logs" / f"{run}.json"


def write_record(arguments, begun: Begun, settings: TrainSettings) -> None:
    """Write beside the log what continuing the run needs to know."""
    record = {
        "config": arguments.config,
        "dataset_cfg": arguments.dataset_cfg or DEFAULT_DATASET,
        "batch": settings.batch,
        "seed": begun.seed,
    }
    with whole_file(_record_path(arguments.root, begun.run)) as part:
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_record(root: Path, run: str) -> dict:
    """Return a run's record; empty for a run of the original, which has none."""
    path = _record_path(root, run)
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, got what is not ({error}); remove it") from error
    if not isinstance(record, dict) or not isinstance(record.get("seed", 0), int):
        raise InputError(f"{path}: expected a mapping with a whole number as seed; remove it")
    return record
