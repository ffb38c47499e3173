"""Predict the flow of your own images."""

import sys
from pathlib import Path

from tasks.command_line import (
    OneLineParser,
    add_network_arguments,
    load_pipeline,
    run_program,
)


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="predict_new_data.py",
        description="Predict the flow of your own images, as .flo files and colour-wheel PNGs.",
    )
    add = parser.add_argument
    add("output", metavar="OUTPUT", type=Path, help="a folder, or one .flo or .png for one pair")
    add("config", metavar="CONFIG", help="network config: a name in config/ or a path")
    add("--image_1", metavar="FILE", type=Path, help="the first image of a pair")
    add("--image_2", metavar="FILE", type=Path, help="the second image of a pair")
    add("--folder", metavar="DIR", type=Path, help="frames, in natural order of their names")
    add_network_arguments(parser)
    return parser


def main(argv=None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("predict_new_data.py", lambda: predict(arguments))


def predict(arguments):
    """Predict the pairs that the arguments name."""
    from tasks.predict_images import predict_images

    pairs = input_pairs(arguments)
    _, pipe = load_pipeline(arguments)
    predict_images(pipe, pairs, arguments.batch, arguments.resize)


def input_pairs(arguments):
    """Return the pairs of images and where their flow goes."""
    from config import InputError
    from tasks.predict_images import folder_pairs, single_pair

    images = (arguments.image_1, arguments.image_2)
    if arguments.folder is not None and images == (None, None):
        return folder_pairs(arguments.folder, arguments.output)
    if arguments.folder is None and None not in images:
        return [single_pair(*images, arguments.output)]
    raise InputError("expected either --image_1 and --image_2, or --folder")


if __name__ == "__main__":
    sys.exit(main())
