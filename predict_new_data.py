"""Predict the flow of your own images: pairs, folders and videos."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from maskflownet.config.files import PREDICT
from maskflownet.tasks.command_line import (
    OneLineParser,
    add_network_arguments,
    positive,
    run_program,
    set_threads,
    some_path,
)
from maskflownet.tasks.open_pipeline import load_pipeline

KINDS = ("flo", "kitti", "npy", "color", "arrows", "mask", "warped")
VIDEO_KINDS = ("color", "arrows", "mask", "warped")
LONGEST = 10**9  # s, of a video
SLOWEST, FASTEST = 0.001, 1000.0  # frames per second
UNKNOWN = 1e9  # px; a longer flow counts as unknown, as in `reader.formats.common`


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog=PREDICT,
        description="Predict the flow of your own images. docs/predicting.md has examples.",
    )
    parser.add_argument(
        "output", metavar="OUTPUT", type=name, help="a folder, or one .flo, .png or video to write"
    )
    parser.add_argument(
        "config",
        metavar="CONFIG",
        nargs="?",
        help="network config: a name or a path; by default what the checkpoint needs",
    )
    add_input_arguments(parser.add_argument_group("what to predict (one of these)"))
    add_output_arguments(parser.add_argument_group("what to write"))
    add_network_arguments(parser)
    parser.add_argument(
        "--max_side",
        metavar="PX",
        type=side,
        help="scale images down for the network to so many pixels along the longer side",
    )
    parser.add_argument("--overwrite", action="store_true", help="redo what is finished already")
    parser.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
    return parser


def add_input_arguments(group: Any) -> None:
    """Add the flags that name images."""
    add = group.add_argument
    add("--image_1", metavar="FILE", type=some_path, help="the first image of a pair ...")
    add("--image_2", metavar="FILE", type=some_path, help="... and the second")
    add("--folder", metavar="DIR", type=some_path, help="frames, in natural order of their names")
    add("--pairs", metavar="LIST", type=some_path, help="a text file with `image1 image2` per line")
    add("--video_filepath", metavar="FILE", type=some_path, help="a video")
    add("--start", metavar="TIME", type=seconds, default=0, help="where in it to begin: s, or M:S")
    add("--duration", metavar="TIME", type=some_seconds, help="how much of it to take")
    add("--stride", metavar="N", type=positive, default=1, help="pair frame i with i + N")
    add("--flow", metavar="FILE", type=some_path, help="a pair's true flow: EPE and an error map")


def add_output_arguments(group: Any) -> None:
    """Add the flags that say what is written."""
    add = group.add_argument
    kinds = ",".join(KINDS)
    add("--save", metavar="KINDS", type=save_kinds, help=f"any of {kinds}; default flo,color")
    add("--backward", action="store_true", help="flow back too, and where both agree")
    add("--max_flow", metavar="PX", type=length, help="full colour at this length; default max")
    add("--legend", action="store_true", help="a picture of the colours' meaning")
    add("--mask_threshold", metavar="SHARE", type=share, help="the mask in black and white")
    add(
        "--video_out",
        metavar="FILE",
        type=some_path,
        help="a video (.mp4, .webm, .gif, ...) as well",
    )
    add("--video_of", choices=VIDEO_KINDS, default="color", help="what the video shows")
    add("--side_by_side", action="store_true", help="the input beside it")
    add("--fps", metavar="RATE", type=frame_rate, help="its frames per second; default the input's")


def save_kinds(text: str) -> frozenset[str]:
    """Parse "flo,color"."""
    for kind in (words := text.split(",")):
        if kind not in KINDS:
            close = difflib.get_close_matches(kind, KINDS, 1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise argparse.ArgumentTypeError(
                f"{kind!r} in {text!r}: expected kinds of {','.join(KINDS)}{meant}"
            )
    return frozenset(words)


def name(text: str) -> str:
    """Parse a name, which is not empty."""
    if not text:
        raise ValueError(text)
    return text


def seconds(text: str) -> Fraction:
    """Parse seconds, or H:M:S or M:S, as a time that is not negative."""
    total = Fraction(0)
    for part in text.split(":"):
        total = 60 * total + Fraction(part)
    if not 0 <= total <= LONGEST or "/" in text:
        raise ValueError(text)
    return total


def some_seconds(text: str) -> Fraction:
    """Parse a time as `seconds` does, that is not 0."""
    if not (total := seconds(text)):
        raise ValueError(text)
    return total


def side(text: str) -> int:
    """Parse pixels along a side that a network can see: 64 or more."""
    number = int(text)
    if number < 64:
        raise ValueError(text)
    return number


def share(text: str) -> float:
    """Parse a number above 0, and below 1."""
    number = float(text)
    if not 0 < number < 1:
        raise ValueError(text)
    return number


def length(text: str) -> float:
    """Parse pixels above zero, up to where a flow counts as unknown."""
    number = float(text)
    if not 0 < number <= UNKNOWN:
        raise ValueError(text)
    return number


def frame_rate(text: str) -> float:
    """Parse frames per second."""
    number = float(text)
    if not SLOWEST <= number <= FASTEST:
        raise ValueError(text)
    return number


# In the error's words.
frame_rate.__name__ = f"a number from {SLOWEST:g} to {FASTEST:g}"
length.__name__ = f"a number above zero, up to {UNKNOWN:g}"
name.__name__ = "a name"
seconds.__name__ = "a time (such as 90, 1.5 or 1:30)"
some_seconds.__name__ = "a time that is not 0 (such as 90, 1.5 or 1:30)"
side.__name__ = "a number of 64 or more"
share.__name__ = "a number between 0 and 1"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_intermixed_args(argv)
    return run_program(PREDICT, lambda: predict(arguments))


def predict(arguments: argparse.Namespace) -> int:
    """Predict what the arguments name, and return the exit code."""
    set_threads(arguments.threads)
    from maskflownet.tasks.prediction.arguments import inputs_and_files, job_of

    # What can be wrong with a path shows before the network is loaded.
    inputs, files = inputs_and_files(arguments)
    checkpoint, pipe = load_pipeline(arguments)

    from maskflownet.tasks.prediction import run

    return run(pipe, job_of(arguments, inputs, files, checkpoint, pipe.config))


if __name__ == "__main__":
    sys.exit(main())
