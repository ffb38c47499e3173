"""Train, evaluate and predict with MaskFlownet: parse, load the config, dispatch."""

import sys

from tasks.command_line import (
    OneLineParser,
    add_network_arguments,
    load_pipeline,
    positive,
    run_program,
    whole,
)

# Flags that one task has no use for.
EVALUATE_USELESS = ("clear_steps", "seed", "micro_batch")
TRAIN_USELESS = ("resize",)


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="main.py",
        description="Train MaskFlownet, or evaluate a checkpoint on datasets with ground truth.",
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", nargs="?", help="network config: a name in config/ or a path")
    add(
        "--dataset_cfg",
        metavar="CONFIG",
        help="dataset config to train on (default chairs), or with --valid to evaluate on",
    )
    add("--valid", action="store_true", help="evaluate the checkpoint on every dataset that is set")
    add("--check", action="store_true", help="say which datasets are there, and how complete")
    add("--fetch", metavar="RUN", help="download a released checkpoint, such as dbbSep30")
    add_network_arguments(parser)
    parser.set_defaults(batch=None)  # the dataset config's when training
    add("-s", "--shard", metavar="N", type=positive, default=1, help="use one pair in N")
    add("--clear_steps", action="store_true", help="begin a new run at the checkpoint's weights")
    add("--seed", metavar="S", type=whole, help="of weights, order and augmentation (default 0)")
    add("--micro_batch", metavar="N", type=positive, help="pairs in memory at a time")
    add("--workers", metavar="N", type=positive, default=1, help="that read training pairs")
    add("--debug", action="store_true", help="try everything in a minute, keep nothing")
    add("--predict", action="store_true", help="not available yet")
    return parser


def main(argv=None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("main.py", lambda: dispatch(arguments))


def dispatch(arguments):
    """Do the one thing that the arguments ask for."""
    if arguments.check:
        from config import load_paths
        from tasks.check import check

        return check(load_paths())
    if arguments.fetch is not None:
        from tasks.fetch import fetch

        fetch(arguments.fetch, arguments.root / "weights")
        return 0
    return train(arguments) if check_task(arguments) == "train" else evaluate(arguments)


def check_task(arguments):
    """Return what to do, "train" or "evaluate"; InputError for arguments that it has no use for."""
    from config import InputError

    if arguments.config is None:
        raise InputError("CONFIG is missing: name a network config, such as MaskFlownet_S")
    if arguments.predict:
        raise InputError("--predict has no effect yet; --valid evaluates a checkpoint")
    task, useless = ("evaluate", EVALUATE_USELESS) if arguments.valid else ("train", TRAIN_USELESS)
    for name in useless:
        if getattr(arguments, name):
            raise InputError(f"--{name} has no effect when the task is to {task}: leave it out")
    return task


def train(arguments):
    """Train a network."""
    from tasks.start import start_training

    return start_training(arguments)


def evaluate(arguments):
    """Evaluate a checkpoint on the datasets that are set, print a table, append to the log."""
    from tasks.validate import append_log, sets_to_evaluate, validate

    sets = sets_to_evaluate(arguments.dataset_cfg)
    checkpoint, pipe = load_pipeline(arguments)
    figures = validate(
        pipe, sets, arguments.batch or 1, arguments.resize, arguments.shard, arguments.debug
    )
    if not arguments.debug:
        append_log(figures, checkpoint, arguments.root / "logs" / "val")


if __name__ == "__main__":
    sys.exit(main())
