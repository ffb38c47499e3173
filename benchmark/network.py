"""How fast the networks are on a CPU, and with how much memory: the tables of docs/speed.md.

`python -m maskflownet.benchmark.network` compares MXNet's own operators (the plain graph) with the
fast ones of `kernels`, each in a process of its own, on the same threads and in turn, round after
round: what else the machine does meanwhile hits both alike. A ratio is the median of the rounds'
ratios, with their quartiles. Memory is the peak of a process that does nothing else, without what
it held once all was imported. Weights are random and scenes generated, so nothing needs to be
downloaded.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from maskflownet.benchmark.report import (
    DEFAULT,
    FOLDER,
    NAMES,
    SIDES,
    Report,
    folder_line,
    ratio_text,
    shares_line,
    sides_of,
)
from maskflownet.benchmark.side_process import side_by_itself
from maskflownet.config.errors import InputError
from maskflownet.tasks.command_line import OneLineParser, positive, run_program, set_threads

logger = logging.getLogger(__name__)

BUDGET_S = 8  # of a case by default; what takes longer is measured in fewer rounds
FEWEST = 3
WARM_UPS = 3  # until the memory that is used again and again is there
AGREEMENT_PX = {"auto": 1e-3, "bf16": 1.0}  # of fresh weights' flow, whose last bits say little


def require_fast() -> None:
    """Raise InputError where the fast operators cannot run."""
    from maskflownet import runtime  # noqa: F401  (before MXNet)

    # isort: split
    import mxnet as mx

    from maskflownet.kernels import use_fast

    if not use_fast("auto", [mx.cpu()]):
        raise InputError("nothing to compare: the fast operators cannot run, see above")


def has_bf16() -> bool:
    """Return whether `precision="bf16"` runs here, where the fast operators do."""
    from maskflownet.kernels import BF16_UNITS, vector_unit

    return vector_unit() in BF16_UNITS


def choose(texts: list[str], among: Sequence | None = None) -> list:
    """Return the cases whose names hold one of these texts; all of them without any.

    They are `among` those, by default what this benchmark measures.

    Raises
    ------
    InputError
        No name holds one of them.
    """
    from maskflownet.benchmark.cases import CASES

    among = CASES if among is None else among
    for text in texts:
        if not any(text in case.name for case in among):
            names = ", ".join(case.name for case in among)
            raise InputError(f"--cases {text}: expected a part of one of: {names}")
    return [case for case in among if not texts or any(text in case.name for text in texts)]


def measure_rounds(runners: dict, rounds: int, budget_s: int = BUDGET_S) -> dict[str, list[float]]:
    """Run all in turn, to warm up and then in rounds, and return the seconds of each round.

    Rounds end when the next would take more than `budget_s` seconds in all, but not before FEWEST.
    """
    for run in list(runners.values()) * WARM_UPS:
        run()
    seconds = {side: [] for side in runners}
    begin = time.perf_counter()
    for turn in range(rounds):
        spent = time.perf_counter() - begin
        if turn >= FEWEST and spent + spent / turn > budget_s:
            break
        # Neither side is always the one that comes second.
        for side in list(runners)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            runners[side]()
            seconds[side].append(time.perf_counter() - start)
    return seconds


@contextmanager
def runners_of(case, sides: tuple[str, str] = SIDES) -> Iterator[dict]:
    """Give what is compared in a case, by the names of the sides; a folder has its own."""
    if case.what == "folder":
        from maskflownet.benchmark.cases import folder_runners

        with folder_runners(case) as runners:
            yield dict(zip(FOLDER, runners, strict=True))
    else:
        with ExitStack() as stack:
            yield {side: stack.enter_context(side_by_itself(case, side)) for side in sides}


def check_agreement(case, runners: dict) -> float:
    """Return the largest difference between both sides' flow, in pixels.

    Raises
    ------
    ArithmeticError
        They differ, so that a comparison of their speed means nothing.
    """
    flow, other = (run(True) for run in runners.values())
    difference = float(abs(flow - other).max())
    if not difference < AGREEMENT_PX[list(runners)[1]]:
        raise ArithmeticError(f"{case.name}: both sides' flow differs by {difference} px")
    return difference


def measure_case(
    case, rounds: int, budget_s: int, profile: bool, sides: tuple[str, str] = SIDES
) -> dict:
    """Return a case's figures, as they stand in the JSON."""
    from maskflownet.benchmark.cases import PAIRS
    from maskflownet.benchmark.isolated_case import measure_alone

    with runners_of(case, sides) as runners:
        figures: dict[str, Any] = {"seconds": measure_rounds(runners, rounds, budget_s)}
        if case.what == "predict":
            figures["difference_px"] = check_agreement(case, runners)
    if case.what == "folder":
        return {"pairs": PAIRS, **figures}
    if case.what != "forward" or profile:
        alone = {side: measure_alone(case, side, profile) for side in sides}
        figures["peak_mb"] = {side: round(alone[side].peak_mb) for side in sides}
        if profile:
            figures["shares"] = {side: alone[side].shares for side in sides}
    return figures


def summary(case, sides: tuple[str, str], figures: dict) -> Iterator[str]:
    """Yield lines that tell a case's figures."""
    seconds = figures["seconds"]
    if case.what == "folder":
        yield folder_line(case.name, figures)
        return
    slow, fast = sides
    line = (
        f"{case.name}: {NAMES[fast]} is {ratio_text(seconds, *sides)} times as fast as "
        f"{NAMES[slow]} in {len(seconds[fast])} rounds"
    )
    if peaks := figures.get("peak_mb"):
        line += f", {peaks[fast]:.0f} MB instead of {peaks[slow]:.0f}"
    yield f"{line}; load {os.getloadavg()[0]:.1f}"
    for side, shares in figures.get("shares", {}).items():
        yield f"  {side}: {shares_line(shares)}"


def compare_builds(cases: list, folder: Path, rounds: int, budget_s: int) -> None:
    """Tell how this build compares with the one in a folder, case by case."""
    from maskflownet.benchmark import against

    against.check_folder(folder)
    for case in cases:
        if case.what == "folder":
            continue
        figures = against.compare(
            case, folder, lambda runners: measure_rounds(runners, rounds, budget_s)
        )
        for line in against.summary(case, figures):
            logger.info("%s", line)


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.benchmark.network", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--cases", metavar="TEXT", nargs="+", default=[], help="those whose names hold such a text")
    add("--rounds", metavar="N", type=positive, default=9, help="of a case, at most")
    add(
        "--budget",
        metavar="SECONDS",
        type=positive,
        default=BUDGET_S,
        help=f"a case's rounds end after so many seconds, by default {BUDGET_S}, but not "
        f"before there are {FEWEST}",
    )
    add("--isa", choices=("native", "avx2"), default="native", help="limit both sides to AVX2")
    add(
        "--precision",
        choices=("float32", "bf16"),
        default="float32",
        help="bf16: compare the fast operators in that precision with themselves in float32",
    )
    add("--profile", action="store_true", help="each operator's share of the time too")
    add("--threads", metavar="N", type=positive, help="by default one per physical core")
    add(
        "--against",
        metavar="FOLDER",
        type=Path,
        help="compare the fast operators with those of another clone, which keeps no figures",
    )
    add("--json", metavar="FILE", type=Path, default=DEFAULT, help="where figures are kept")
    return parser


def main(argv=None) -> int:
    """Measure, and write figures and tables after each case."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    rounded = arguments.precision == "bf16"
    if rounded and (arguments.against or arguments.isa != "native"):
        parser.error("argument --precision bf16: expected neither --against nor --isa beside it")
    set_threads(arguments.threads)
    if arguments.isa == "avx2":
        os.environ["DNNL_MAX_CPU_ISA"] = "AVX2"  # before MXNet is imported

    effort = arguments.rounds, arguments.budget

    def body():
        require_fast()
        if arguments.against:
            compare_builds(choose(arguments.cases), arguments.against, *effort)
            return
        cases = choose(arguments.cases)
        if rounded and not has_bf16():
            logger.info("precision bf16 is left out: no unit for it, or no fast operators")
            return
        section = "bf16" if rounded else arguments.isa
        sides = sides_of(section)
        report = Report(arguments.json)
        for case in cases:
            if rounded and case.what == "folder":
                continue
            figures = measure_case(case, *effort, arguments.profile, sides)
            report.add(section, case.name, figures)
            for line in summary(case, sides, figures):
                logger.info("%s", line)

    return run_program("python -m maskflownet.benchmark.network", body)


if __name__ == "__main__":
    sys.exit(main())
