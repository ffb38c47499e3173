"""The command that continues a run, said where a training stops before its end."""

import argparse
import logging
import shlex

from maskflownet.config.files import ROOT, START_MAIN
from maskflownet.tasks.runs.checkpoints import checkpoints_of

logger = logging.getLogger(__name__)

# What a run's record does not keep, and what it is when nothing is said.
_FLAGS = {
    "network": ("-n", "MaskFlownet"),
    "gpu_device": ("-g", []),
    "root": ("--root", ROOT),
    "shard": ("--shard", 1),
    "micro_batch": ("--micro_batch", None),
    "workers": ("--workers", None),
    "threads": ("--threads", None),
    "kernels": ("--kernels", None),
    "precision": ("--precision", "float32"),
    "tensorboard": ("--tensorboard", False),
}


def continuing_command(arguments: argparse.Namespace, run: str) -> str:
    """Return the command that continues a run that was begun or continued with these arguments."""
    words = START_MAIN.split()
    words += [arguments.config] if arguments.config is not None else []
    words += ["-c", run]
    for name, (flag, default) in _FLAGS.items():
        value = getattr(arguments, name, default)
        if value != default:
            words.append(flag)
            if isinstance(value, list):
                words.append(",".join(map(str, value)))
            elif value is not True:
                words.append(str(value))
    return shlex.join(words)


def say_how_to_go_on(arguments: argparse.Namespace, run: str) -> None:
    """Log the command that continues a run, if it has a checkpoint to continue from."""
    newest = checkpoints_of(run, arguments.root / "weights")[-1:]
    if not newest:
        logger.info("run %s has no checkpoint: begin again with the command that began it", run)
    elif arguments.kvstore is not None:
        logger.info("to go on from step %d start all workers with -c %s", newest[0].steps, run)
    else:
        command = continuing_command(arguments, run)
        logger.info("to go on from step %d: %s", newest[0].steps, command)
