"""Train a network on generated scenes with PyTorch, for a number of minutes.

For GPUs that MXNet cannot run on; docs/gpu.md says how. Needs PyTorch, NumPy, OpenCV and PyYAML, no
MXNet. What it writes is a checkpoint like any other: `python main.py --valid -c OUT.params`.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from maskflownet.config import NetworkConfig
from maskflownet.config.errors import InputError
from maskflownet.tasks.command_line import OneLineParser, run_program, size_hw, some_path


def weights(text: str) -> tuple[float, ...]:
    """Return the levels' weights that a flag names."""
    numbers = tuple(map(float, text.split(",")))  # argparse tells of what is no number
    fits = len(numbers) == len(NetworkConfig.mw) and all(0 <= one < math.inf for one in numbers)
    if not fits or not any(numbers):
        raise argparse.ArgumentTypeError(f"expected five numbers from 0, not all 0, got {text}")
    return numbers


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.torch_training.train", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("out", metavar="OUT.params", type=some_path, help="where the weights go")
    add("--minutes", type=float, default=10, help="of training, once it is ready (default: 10)")
    add("--network", choices=("MaskFlownet_S", "MaskFlownet"), default="MaskFlownet_S")
    add("--start", metavar="FILE.params", type=some_path, help="weights to go on from")
    first = "a trained MaskFlownet_S: the frozen first stage of a MaskFlownet"
    add("--first_stage", metavar="FILE.params", type=some_path, help=first)
    add("--photographs", metavar="FOLDER", type=some_path, help="pictures to use as textures too")
    add("--batch", type=int, default=32, help="pairs per step (default: 32)")
    add("--size", metavar="H,W", type=size_hw, default=(320, 448), help="default: 320,448")
    add("--rate", type=float, default=3e-4, help="the highest; it falls to none (default: 3e-4)")
    add("--warm_up", type=int, default=200, help="steps in which the rate grows (default: 200)")
    growth = "the scenes' motion at first; it is whole after a fifth of the time (default: 1)"
    add("--first_motion", type=float, default=1, help=growth)
    mask = "of what the masks learn from the scenes' occlusions; 0: nothing, as in the paper"
    add("--mask_weight", type=float, default=0, help=mask)
    levels = "of the loss at levels 6 to 2; coarse ones fade where they count for little"
    paper = ",".join(map(str, NetworkConfig.mw))
    levels = f"{levels} (default: the paper's {paper})"
    add("--mw", metavar="W6,W5,W4,W3,W2", type=weights, default=NetworkConfig.mw, help=levels)
    add("--exact", action="store_true", help="MXNet's rule at borders, which is slower")
    add("--float32", action="store_true", help="no rounding of convolutions to bfloat16")
    add("--every", metavar="MINUTES", type=float, default=2, help="between figures (default: 2)")
    add("--textures", type=int, default=768, help="how many to make (default: 768)")
    add("--seed", type=int, default=0)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("torch_training.train", lambda: _train(arguments))


def _train(arguments):
    if find_spec("torch") is None:
        raise InputError("PyTorch is not installed: https://pytorch.org says how to, for your GPU")
    from maskflownet.torch_training.run import train

    train(arguments)


if __name__ == "__main__":
    sys.exit(main())
