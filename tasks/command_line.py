"""What the programs share: one-line errors with exit code 2, logging, argument types."""

import argparse
import difflib
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from maskflownet import IN_CLONE
from maskflownet.config.checks import LARGEST, MOST_PAIRS
from maskflownet.config.files import ROOT
from maskflownet.tasks.console import outliving_readers
from maskflownet.tasks.signals import Stopped, on_request, stop
from maskflownet.whole_file import ELSEWHERE

MOST_THREADS = 1024
_ALIKE = 0.7  # from where on, of 1, a flag may be meant by another word
INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that says what to write or where to read on."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with 2."""
        # Of a type's parser that raises ValueError, argparse says "invalid NAME value: 'TEXT'".
        message = re.sub(r": invalid (.+) value: ('.*')$", r": expected \1, got \2", message)
        if message.startswith("unrecognized arguments: "):
            message += self._suggestion(message.split()[2:])
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")

    def _suggestion(self, words):
        """Return words for the flags that may be meant by those that there are not."""
        flags = [flag for flag in self._option_string_actions if flag.startswith("--")]
        wrong = [word.partition("=")[0] for word in words if word.startswith("--")]
        close = [
            flag for word in wrong for flag in difflib.get_close_matches(word, flags, 1, _ALIKE)
        ]
        return f"; did you mean {' and '.join(dict.fromkeys(close))}?" if close else ""


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of every program that runs a network."""
    add = parser.add_argument
    add(
        "-c",
        "--checkpoint",
        metavar="RUN",
        help="run id or its beginning, RUN:STEPS, RUN:best, or a path",
    )
    add(
        "-g",
        "--gpu_device",
        metavar="IDS",
        type=device_ids,
        default=[],
        help="GPU ids: 0,1; else the CPU",
    )
    add("-n", "--network", metavar="NAME", default="MaskFlownet", help="the pipeline's name")
    add(
        "--batch",
        metavar="N",
        type=count(MOST_PAIRS),
        default=1,
        help="pairs per step over all devices",
    )
    add(
        "--resize",
        metavar="H,W",
        type=size_hw,
        help="the size that the network sees, multiples of 64",
    )
    add(
        "--threads",
        metavar="N",
        type=count(MOST_THREADS),
        help="threads of MXNet on the CPU; by default one per physical core, or OMP_NUM_THREADS",
    )
    add(
        "--kernels",
        choices=("auto", "builtin"),
        help="whose operators run on the CPU: auto for the fast ones, builtin for MXNet's own; "
        "by default MASKFLOWNET_KERNELS, or auto",
    )
    add(
        "--precision",
        choices=("float32", "bf16"),
        default="float32",
        help="what convolutions multiply: bf16 is 1.6 times as fast on processors with AMX, 1.35 "
        "times with AVX512-BF16; flow differs by hundredths of a pixel (default: float32)",
    )
    add(
        "--root",
        metavar="DIR",
        type=some_path,
        default=ROOT,
        help="where weights/, logs/ and flows/ lie (default: "
        f"{'this repository' if IN_CLONE else 'the working folder'})",
    )


def run_program(program: str, body: Callable[[], int | None]) -> int:
    """Run a program's body and return its exit code.

    An error that a person can mend (`config.errors.InputError`, or the system's: no such file, no
    space, no permission) ends in one line on stderr and exit code 2. A signal that asks to stop
    (`tasks.signals`) ends it after what is open has been tidied up, in the exit code that shells
    report: 130 for Ctrl-C. That nobody reads its output any more does not end it.
    """
    # Its own lock is one between processes, for which Python 3.14 starts a helper that SIGHUP ends.
    tqdm.set_lock(threading.RLock())
    with outliving_readers(), on_request(stop, is_last=True):
        logging.basicConfig(
            level=logging.INFO, format="%(message)s", handlers=[_Lines()], force=True
        )
        return _run(program, body)


def _run(program, body):
    from maskflownet.config.errors import InputError

    try:
        code = body() or 0
        sys.stdout.flush()
        return code
    except Stopped as stopped:
        if stopped.number == signal.SIGINT:
            print(f"{program}: interrupted", file=sys.stderr)
        else:
            print(f"{program}: stopped by {stopped.number.name}", file=sys.stderr)
        return 128 + stopped.number
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (InputError, OSError, ImportError) as error:
        from maskflownet.runtime import explain_missing_library

        explanation = explain_missing_library(error)
        if explanation is None and isinstance(error, ImportError):
            raise
        explanation = explanation or _explained(error)
        print(f"{program}: error: {one_line(explanation)}", file=sys.stderr)
    return 2


def _explained(error):
    """Return an error's own words, or for the system's refusal of a file the file and why."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        remedy = f"; {ELSEWHERE}" if isinstance(error, PermissionError) else ""
        return f"{os.fsdecode(error.filename)}: {error.strerror}{remedy}"
    return error


def set_threads(threads: int | None) -> None:
    """Have MXNet run on so many threads, if a number is given.

    Before anything imports MXNet, which looks it up then; see `runtime` for the default.
    """
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)


class _Lines(logging.Handler):
    """Writes log lines to stdout, above the progress bar if there is one.

    Unlike logging's own handlers it lets errors through, such as of a full disk.
    """

    def emit(self, record):
        """Write one line."""
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


def one_line(text: object) -> str:
    """Return a message without line breaks, which a file's name may have."""
    return " ".join(str(text).splitlines())


def count(most: int, least: int = 1) -> Callable[[str], int]:
    """Return the parser of a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError(text)
        return number

    parse.__name__ = f"a whole number from {least} to {most}"  # in the error's words
    return parse


positive = count(LARGEST)
non_negative = count(LARGEST, least=0)


def named(text: str) -> str:
    """Parse the text of a path, which may not be empty."""
    if not text or "\0" in text:
        raise ValueError(text)
    return text


def some_path(text: str) -> Path:
    """Parse a path, which may not be empty."""
    return Path(named(text))


def size_hw(text: str) -> tuple[int, int]:
    """Parse "H,W", height and width in pixels."""
    height, width = (positive(part) for part in text.split(","))
    return height, width


def device_ids(text: str) -> list[int]:
    """Parse "0,1" into GPU ids; an empty text is no GPU at all, which means the CPU."""
    ids = [non_negative(part) for part in text.split(",")] if text else []
    if len(set(ids)) < len(ids):
        raise ValueError(text)
    return ids


# In the error's words.
named.__name__ = some_path.__name__ = "a path, neither empty nor with a zero byte"
size_hw.__name__ = "H,W (such as 384,768)"
device_ids.__name__ = "a list of GPU ids (each once)"
