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

# What there is to do with a network, and the flags that it has no use for.
USELESS = {
    "train": ("resize",),
    "valid": ("clear_steps", "seed", "micro_batch"),
    "predict": ("clear_steps", "seed", "micro_batch", "dataset_cfg", "debug"),
}


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
    add("--predict", action="store_true", help="write flow for the Sintel and KITTI test sets")
    add("--check", action="store_true", help="say which datasets are there, and how complete")
    add("--fetch", metavar="RUN", help="download a released checkpoint, such as dbbSep30")
    add_network_arguments(parser)
    parser.set_defaults(batch=None)  # the dataset config's when training
    add("-s", "--shard", metavar="N", type=positive, default=1, help="use one pair in N")
    add("--clear_steps", action="store_true", help="begin a new run at the checkpoint's weights")
    add("--seed", metavar="S", type=whole, help="of weights, order and augmentation (default 0)")
    add("--micro_batch", metavar="N", type=positive, help="pairs in memory at a time")
    add("--workers", metavar="N", type=positive, help="processes that read training pairs")
    add("--debug", action="store_true", help="try everything in a minute, keep nothing")
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
    return {"train": train, "valid": evaluate, "predict": predict}[task_of(arguments)](arguments)


def task_of(arguments):
    """Return which of USELESS to do; InputError for arguments that it has no use for."""
    from config import InputError

    if arguments.config is None:
        raise InputError("CONFIG is missing: name a network config, such as MaskFlownet_S")
    tasks = [task for task in ("valid", "predict") if getattr(arguments, task)] or ["train"]
    if len(tasks) > 1:
        raise InputError("--valid and --predict: expected one of them")
    for name in USELESS[tasks[0]]:
        if getattr(arguments, name):
            raise InputError(f"--{name} has no effect when the task is to {tasks[0]}: leave it out")
    return tasks[0]


def train(arguments):
    """Train a network."""
    from tasks.start import start_training

    return start_training(arguments)


def evaluate(arguments):
    """Evaluate a checkpoint on the datasets that are set, print a table, append to the log."""
    from tasks.validate import append_log, sets_to_evaluate, validate, write_report

    checkpoint, pipe = load_pipeline(arguments)
    sets = sets_to_evaluate(arguments.dataset_cfg)
    figures = validate(
        pipe, sets, arguments.batch or 1, arguments.resize, arguments.shard, arguments.debug
    )
    if not arguments.debug:
        folder = arguments.root / "logs" / "val"
        append_log(figures, checkpoint, folder)
        write_report(
            figures, checkpoint, folder, pipe.config.name, arguments.resize, arguments.shard
        )


def predict(arguments):
    """Write flow for the benchmarks' test halves into flows/RUN_STEPS; return the exit code."""
    from config import load_paths
    from tasks.predict_benchmarks import predict_benchmarks

    checkpoint, pipe = load_pipeline(arguments)
    folder = arguments.root / "flows" / f"{checkpoint.run}_{checkpoint.steps}"
    return predict_benchmarks(
        pipe, load_paths(), folder, checkpoint, arguments.batch or 1, arguments.resize
    )


if __name__ == "__main__":
    sys.exit(main())
