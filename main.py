"""Train, evaluate and predict with MaskFlownet: parse, load the config, dispatch."""

import sys

from tasks.command_line import (
    OneLineParser,
    add_network_arguments,
    load_pipeline,
    positive,
    run_program,
)


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="main.py", description="Evaluate MaskFlownet on datasets with ground truth."
    )
    add = parser.add_argument
    add("config", metavar="CONFIG", nargs="?", help="network config: a name in config/ or a path")
    add("--valid", action="store_true", help="evaluate the checkpoint on every dataset that is set")
    add("--check", action="store_true", help="say which datasets are there, and how complete")
    add("--fetch", metavar="RUN", help="download a released checkpoint, such as dbbSep30")
    add_network_arguments(parser)
    add("--dataset_cfg", metavar="CONFIG", help="evaluate on this dataset config's validation set")
    add("-s", "--shard", metavar="N", type=positive, default=1, help="use one pair in N")
    add("--debug", action="store_true", help="two pairs of each dataset, nothing logged")
    add("--predict", action="store_true", help="not available yet")
    add("--clear_steps", action="store_true", help="not available yet")
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
    refuse_what_is_not_there(arguments)
    return evaluate(arguments)


def refuse_what_is_not_there(arguments):
    """Raise InputError for flags of the original that have no effect yet, and without a config."""
    from config import InputError

    if arguments.config is None:
        raise InputError("CONFIG is missing: name a network config, such as MaskFlownet_S")
    for flag in ("predict", "clear_steps"):
        if getattr(arguments, flag):
            raise InputError(f"--{flag} has no effect yet; --valid evaluates a checkpoint")
    if not arguments.valid:
        raise InputError("training is not available yet; add --valid to evaluate a checkpoint")


def evaluate(arguments):
    """Evaluate a checkpoint on the datasets that are set, print a table, append to the log."""
    from tasks.validate import append_log, sets_to_evaluate, validate

    sets = sets_to_evaluate(arguments.dataset_cfg)
    checkpoint, pipe = load_pipeline(arguments)
    figures = validate(
        pipe, sets, arguments.batch, arguments.resize, arguments.shard, arguments.debug
    )
    if not arguments.debug:
        append_log(figures, checkpoint, arguments.root / "logs" / "val")


if __name__ == "__main__":
    sys.exit(main())
