"""Beginning, continuing or branching off a training run: `main.py CONFIG [-c RUN]`."""

import argparse
import dataclasses
import logging
import tempfile
import zlib
from contextlib import closing
from pathlib import Path

from maskflownet.config import InputError
from maskflownet.network import Peers, Pipeline
from maskflownet.network.files.parameters import check_name
from maskflownet.tasks.distributed.worker import check_agreement, join, leaving_at_once, place_of
from maskflownet.tasks.runs.checkpoints import find_checkpoint, new_run
from maskflownet.tasks.runs.lock import lock_run
from maskflownet.tasks.runs.record import record_path, write_record
from maskflownet.tasks.training.data import TrainingData, open_data
from maskflownet.tasks.training.going_on import say_how_to_go_on
from maskflownet.tasks.training.loop import train
from maskflownet.tasks.training.plan import RunPlan, debug_plan, plan_run
from maskflownet.tasks.training.weights import give_weights, make_pipeline
from maskflownet.whole_file import check_writable

logger = logging.getLogger(__name__)


def start_training(arguments: argparse.Namespace) -> int:
    """Train as the command line says; return the exit code (see `tasks.training.loop.train`).

    Nothing is written before all that can be checked has been.

    Raises
    ------
    InputError
        Whatever is wrong with a config, the checkpoint, the devices or the batch.
    """
    if place_of(arguments.kvstore).launched:
        if arguments.debug:
            raise InputError("--debug tries a training by one process: leave --kvstore out")
        return leaving_at_once(lambda: _start(arguments))
    return _start(arguments)


def _start(arguments):
    plan = plan_run(arguments)
    if arguments.debug:
        return try_out(plan)
    if plan.is_finished:
        logger.info(
            "run %s is at step %d and the schedule ends at %d: nothing is left to do",
            *(plan.run, plan.start, plan.last_step),
        )
        return 0
    pipe, plan, data = begin(plan)
    if plan.place.rank == 0:
        logger.info("run %s: log and curves in %s", plan.run, plan.root / "logs")
    code = 1
    try:
        code = train(pipe, plan, data)
    finally:
        if code and plan.place.rank == 0:
            say_how_to_go_on(arguments, plan.run)
    return code


def begin(plan: RunPlan) -> tuple[Pipeline, RunPlan, TrainingData]:
    """Open the data, make the network with its weights, and note a new run down.

    Returns
    -------
    pipe : network.Pipeline
    plan : RunPlan
        With the run's id.
    data : TrainingData
        What `train` takes.

    Raises
    ------
    InputError
        The checkpoint does not fit the network, or another worker begins otherwise.
    MissingDataError
        The training data is not there.
    OSError
        Checkpoints could not be written.
    """
    data = open_data(plan)
    peers = join(plan.place)
    pipe = make_pipeline(plan, peers)
    give_weights(pipe, plan.origin, data, plan.record.seed)
    check_alike(peers, plan, data)
    if plan.place.rank == 0:
        plan = open_run(plan)
    return pipe, plan, data


def check_alike(peers: Peers, plan: RunPlan, data: TrainingData) -> None:
    """Raise InputError unless all workers train the same from the same; they may lie elsewhere."""
    states = plan.origin.checkpoint.states if plan.origin.run else None
    moments = zlib.crc32(states.read_bytes()) if states and states.is_file() else None
    settings = [*vars(plan.config).values(), *vars(plan.dataset).values()]
    check_agreement(
        peers,
        [value for value in settings if not isinstance(value, Path)],
        [len(part or ()) for part in (data.training_set, data.validation_set)],
        dataclasses.replace(plan.record, config="", dataset_cfg="", micro_batch=1),
        *(plan.start, moments),
    )


def open_run(plan: RunPlan) -> RunPlan:
    """Return the plan with the run's id, a new one unless it goes on; write down how it is made.

    Raises
    ------
    InputError
        Another program trains the run, or MXNet could not write to a folder of that name.
    OSError
        Checkpoints could not be written.
    """
    check_writable(plan.root / "weights")
    check_name(plan.root.absolute())
    if plan.run is not None:
        lock_run(plan.root / "logs" / f"{plan.run}.log").close()
    plan = dataclasses.replace(plan, run=plan.run or new_run(plan.root))
    write_record(plan.record, record_path(plan.root, plan.run))
    return plan


def try_out(plan: RunPlan) -> int:
    """Try everything that a run does, in a folder that goes; return the exit code.

    One batch as the run would read it; then two steps with a pair per device, with validation and
    checkpoint, a resume, and two steps more.
    """
    with closing(open_data(plan).loader.batches()) as real:
        logger.info("read %s", ", ".join(next(real).names))
    with tempfile.TemporaryDirectory(prefix="maskflownet-debug-") as folder:
        root = Path(folder)
        code = train(*begin(debug_plan(plan, root)))
        if code:
            return code
        checkpoint = find_checkpoint("debug", root / "weights")
        code = train(*begin(debug_plan(plan, root, checkpoint)))
        if code:
            return code
    logger.info("data, steps, validation, checkpoint and resume work")
    return 0
