"""What the programs share: one-line errors with exit code 2, logging, argument types."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from maskflownet.config.files import ROOT

INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
BROKEN_PIPE = 141  # and of one whose output nobody reads on


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that says where to read on."""

    def error(self, message):
        """Print the message and exit with 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every program that runs a network."""
    add = parser.add_argument
    add("-c", "--checkpoint", metavar="RUN", help="run id or its beginning, RUN:STEPS, or a path")
    add(
        "-g",
        "--gpu_device",
        metavar="IDS",
        type=device_ids,
        default=[],
        help="GPU ids: 0,1; else the CPU",
    )
    add("-n", "--network", metavar="NAME", default="MaskFlownet", help="the pipeline's name")
    add("--batch", metavar="N", type=positive, default=1, help="pairs per step over all devices")
    add(
        "--resize",
        metavar="H,W",
        type=size_hw,
        help="the size that the network sees, multiples of 64",
    )
    add(
        "--threads",
        metavar="N",
        type=positive,
        help="threads of MXNet on the CPU; by default one per physical core, or OMP_NUM_THREADS",
    )
    add(
        "--kernels",
        choices=("auto", "builtin"),
        help="whose operators run on the CPU: auto for the fast ones, builtin for MXNet's own; "
        "by default MASKFLOWNET_KERNELS, or auto",
    )
    add(
        "--root",
        metavar="DIR",
        type=Path,
        default=ROOT,
        help="where weights/, logs/ and flows/ lie (default: this repository)",
    )


def run_program(program: str, body: Callable[[], int | None]) -> int:
    """Run a program's body and return its exit code.

    An error that a person can mend (`config.errors.InputError`, or the system's: no such file, no
    space, no permission) ends in one line on stderr and exit code 2; Ctrl-C in exit code 130.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may hold what a terminal lacks
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[_Lines()], force=True)
    from maskflownet.config.errors import InputError

    try:
        return body() or 0
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain of it once more when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (InputError, OSError, ImportError) as error:
        from maskflownet.runtime import explain_missing_library

        explanation = explain_missing_library(error)
        if explanation is None and isinstance(error, ImportError):
            raise
        print(f"{program}: error: {one_line(explanation or error)}", file=sys.stderr)
    return 2


def set_threads(threads: int | None) -> None:
    """Have MXNet run on so many threads, if a number is given.

    Before anything imports MXNet, which looks it up then; see `runtime` for the default.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)


class _Lines(logging.Handler):
    """Writes log lines to stdout, above the progress bar if there is one.

    Unlike logging's own handlers it lets errors through: if nobody reads on (`main.py ... | head`),
    the program ends.
    """

    def emit(self, record):
        """Write one line."""
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def one_line(text: object) -> str:
    """Return a message without line breaks, which a file's name may have."""
    return " ".join(str(text).splitlines())


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def whole(text: str) -> int:
    """Parse a whole number from 0."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def size_hw(text: str) -> tuple[int, int]:
    """Parse "H,W", height and width in pixels."""
    height, width = (positive(part) for part in text.split(","))
    return height, width


def device_ids(text: str) -> list[int]:
    """Parse "0,1" into GPU ids; an empty text is no GPU at all, which means the CPU."""
    ids = [whole(part) for part in text.split(",")] if text else []
    if len(set(ids)) < len(ids):
        raise ValueError(text)
    return ids


# argparse says "invalid NAME value: ..." when a parser of these raises ValueError.
positive.__name__ = "positive whole number"
whole.__name__ = "whole number"
size_hw.__name__ = "H,W (such as 384,768)"
device_ids.__name__ = "list of GPU ids (each once)"
