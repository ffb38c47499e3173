"""Train, evaluate and predict with MaskFlownet: parse, load the config, dispatch."""

import argparse
import sys
from collections.abc import Sequence

from maskflownet.config.checks import LARGEST_SEED, MOST_PAIRS
from maskflownet.config.files import MAIN
from maskflownet.tasks.command_line import (
    OneLineParser,
    add_network_arguments,
    count,
    named,
    positive,
    run_program,
    set_threads,
)
from maskflownet.tasks.open_pipeline import load_pipeline

MOST_READERS = 256
_NETWORK = {"config", "checkpoint", "gpu_device", "network", "batch", "root", "threads", "kernels"}
# What there is to do, and the arguments that it has a use for.
TASKS = {
    "export": _NETWORK - {"batch"} | {"export_images", "check", "resize"},
    "check": {"root"},
    "fetch": {"root"},
    "convert": {"root"},
    "valid": _NETWORK | {"resize", "precision", "dataset_cfg", "shard", "debug"},
    "predict": _NETWORK | {"resize", "precision"},
    "train": _NETWORK
    | {"dataset_cfg", "shard", "debug", "clear_steps", "seed", "micro_batch", "workers", "kvstore"}
    | {"precision", "tensorboard"},
}


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog=MAIN,
        description="Train MaskFlownet, or evaluate a checkpoint on datasets with ground truth.",
    )
    add = parser.add_argument
    add(
        "config",
        metavar="CONFIG",
        nargs="?",
        help="network config: a name or a path; by default what the checkpoint needs",
    )
    add(
        "--dataset_cfg",
        metavar="CONFIG",
        help="dataset config to train on (default chairs), or with --valid to evaluate on",
    )
    add("--valid", action="store_true", help="evaluate the checkpoint on every dataset that is set")
    add("--predict", action="store_true", help="write flow for the Sintel and KITTI test sets")
    add(
        "--export",
        metavar="PATH",
        type=named,
        help="write the checkpoint's network for others to run: FILE.onnx, or a folder for MXNet's "
        "own form; with --check, run it beside the network and print the largest difference; or "
        "its weights for PyTorch: FILE.pth, .ckpt, .safetensors",
    )
    add("--export_images", action="store_true", help="as a model from images to flow of their size")
    add("--check", action="store_true", help="say what is there: MXNet, GPUs, datasets, ...")
    add("--fetch", metavar="RUN", help="download a released checkpoint, such as dbbSep30")
    add(
        "--convert",
        nargs=2,
        metavar=("FILE", "OUT.params"),
        help="write a checkpoint of another program (.pth, .ckpt, ...) in this project's form",
    )
    add_network_arguments(parser)
    parser.set_defaults(batch=None)  # the dataset config's when training
    add("-s", "--shard", metavar="N", type=positive, default=1, help="use one pair in N")
    add("--clear_steps", action="store_true", help="begin a new run at the checkpoint's weights")
    add(
        "--seed",
        metavar="S",
        type=count(LARGEST_SEED, least=0),
        help="of weights, order and augmentation (default 0)",
    )
    add("--micro_batch", metavar="N", type=count(MOST_PAIRS), help="pairs in memory at a time")
    add(
        "--workers",
        metavar="N",
        type=count(MOST_READERS),
        help="processes that read training pairs",
    )
    add(
        "--kvstore",
        choices=["dist_sync"],
        help="train on several machines; start it with "
        "python -m maskflownet.tasks.distributed.launch (see its --help)",
    )
    add("--tensorboard", action="store_true", help="curves and pictures for TensorBoard too")
    add("--debug", action="store_true", help="try everything in a minute, keep nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    return run_program(MAIN, lambda: dispatch(arguments, parser))


def dispatch(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int | None:
    """Do the one thing that the arguments ask for."""
    programs = {
        "export": export,
        "check": check,
        "fetch": fetch,
        "convert": convert,
        "valid": evaluate,
        "predict": predict,
        "train": train,
    }
    task = task_of(arguments, parser)
    set_threads(arguments.threads)
    return programs[task](arguments)


def task_of(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    """Return which of TASKS is asked for; InputError for arguments that it has no use for."""
    from maskflownet.config import InputError

    given = {name for name, value in vars(arguments).items() if value != parser.get_default(name)}
    task, *others = [name for name in TASKS if name in given] or ["train"]
    others = [name for name in others if name not in TASKS[task]]
    if others:
        raise InputError(f"--{task} and --{others[0]}: expected one of them")
    for name in sorted(given - TASKS[task] - {task}):
        flag = "CONFIG" if name == "config" else f"--{name}"
        raise InputError(f"{flag} has no effect with the task to {task}: leave it out")
    if task == "train" and not {"config", "checkpoint"} & given:
        raise InputError("CONFIG is missing: name a network config, such as MaskFlownet_S")
    return task


def export(arguments: argparse.Namespace) -> None:
    """Write the checkpoint's network in a form that runs without this project."""
    from maskflownet.exporting import check_target
    from maskflownet.tasks.export import export_checkpoint

    what = arguments.export, arguments.export_images, arguments.resize, arguments.check
    check_target(*what)
    _, pipe = load_pipeline(arguments)
    export_checkpoint(pipe, *what)


def check(arguments: argparse.Namespace) -> int | None:
    """Say what this machine has for MaskFlownet; return the exit code."""
    from maskflownet.config import load_paths
    from maskflownet.tasks.check import check

    return check(load_paths(), arguments.root / "weights")


def fetch(arguments: argparse.Namespace) -> None:
    """Download a released checkpoint."""
    from maskflownet.tasks.runs.fetch import fetch

    fetch(arguments.fetch, arguments.root / "weights")


def convert(arguments: argparse.Namespace) -> None:
    """Write any known checkpoint in this project's form."""
    from maskflownet.tasks.convert import convert

    source, target = arguments.convert
    convert(source, target, arguments.root)


def train(arguments: argparse.Namespace) -> int:
    """Train a network."""
    from maskflownet.tasks.training.start import start_training

    return start_training(arguments)


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate a checkpoint on the datasets that are set, print a table, append to the log."""
    from maskflownet.tasks.evaluation.validate import (
        append_log,
        sets_to_evaluate,
        validate,
        write_report,
    )
    from maskflownet.whole_file import check_writable

    checkpoint, pipe = load_pipeline(arguments)
    sets = sets_to_evaluate(arguments.dataset_cfg)
    folder = arguments.root / "logs" / "val"
    how = {"resize": arguments.resize, "shard": arguments.shard}

    def record(name, figures):
        noted = how | {"precision": arguments.precision}
        append_log(name, figures[name], checkpoint, folder, **noted)
        write_report(figures, checkpoint, folder, pipe.config.name, **noted)

    if arguments.debug:
        validate(pipe, sets, arguments.batch or 1, debug=True, **how)
    else:
        check_writable(folder)
        validate(pipe, sets, arguments.batch or 1, finished=record, **how)


def predict(arguments: argparse.Namespace) -> int | None:
    """Write flow for the benchmarks' test halves into flows/RUN_STEPS; return the exit code."""
    from maskflownet.config import load_paths
    from maskflownet.tasks.evaluation.submit import predict_benchmarks

    checkpoint, pipe = load_pipeline(arguments)
    folder = arguments.root / "flows" / f"{checkpoint.run}_{checkpoint.steps}"
    how = arguments.batch or 1, arguments.resize, arguments.precision
    return predict_benchmarks(pipe, load_paths(), folder, checkpoint, *how)


if __name__ == "__main__":
    sys.exit(main())
