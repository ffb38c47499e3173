"""An exported network in ONNX Runtime and OpenVINO beside the project's own paths on a CPU.

Each runs in a process of its own, on the same threads and in turn; the table goes to docs/speed.md.
PyTorch runs no such file and is left out.
"""

import importlib.util
import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from maskflownet.benchmark.network import measure_rounds, require_fast
from maskflownet.benchmark.report import DEFAULT, Report, ratio_text
from maskflownet.benchmark.side_process import side_by_itself
from maskflownet.config.errors import InputError
from maskflownet.tasks.command_line import OneLineParser, positive, run_program, set_threads

logger = logging.getLogger(__name__)

PACKAGES = {"onnxruntime": "onnxruntime", "openvino f32": "openvino", "openvino bf16": "openvino"}
CASES = (("S", (448, 1024)), ("cascade", (448, 1024)), ("S", (1088, 1920)))


def sides_here() -> list[str]:
    """Return what can be compared here, the fast path first.

    Raises
    ------
    InputError
        There is nothing to write models with, or nothing that runs them.
    """
    from maskflownet.exporting.model import require_onnx

    require_onnx()
    peers = [side for side, package in PACKAGES.items() if importlib.util.find_spec(package)]
    if not peers:
        raise InputError("nothing to compare: pip install onnxruntime openvino")
    if not _has_bf16():
        peers = [side for side in peers if side != "openvino bf16"]
    return ["auto", "builtin", *peers]


def _has_bf16():
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text()


def measure(case, sides: list[str], rounds: int) -> dict:
    """Return the seconds of each round by side, and by how much each peer's flow differs."""
    with ExitStack() as stack:
        runners = {side: stack.enter_context(side_by_itself(case, side)) for side in sides}
        seconds = measure_rounds(runners, rounds)
        flows = {side: run(True) for side, run in runners.items()}
    own = flows["auto"]
    differences = {side: float(abs(flow - own).max()) for side, flow in flows.items()}
    return {"seconds": seconds, "difference_px": differences}


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.benchmark.peers", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--rounds", metavar="N", type=positive, default=9, help="of a case, at most")
    add("--threads", metavar="N", type=positive, help="by default one per physical core")
    add("--json", metavar="FILE", type=Path, default=DEFAULT, help="where figures are kept")
    return parser


def main(argv=None) -> int:
    """Measure, and write figures and tables after each case."""
    arguments = make_parser().parse_args(argv)
    set_threads(arguments.threads)

    def body():
        from maskflownet.benchmark.cases import Case

        require_fast()
        sides = sides_here()
        report = Report(arguments.json)
        for network, size_hw in CASES:
            case = Case(network, "exported", size_hw)
            figures = measure(case, sides, arguments.rounds)
            report.add("peers", f"{network} {size_hw[0]}x{size_hw[1]}", figures)
            ratios = {side: ratio_text(figures["seconds"], side, "auto") for side in sides[1:]}
            text = ", ".join(f"{side} {ratio}" for side, ratio in ratios.items())
            logger.info(
                "%s, times of the fast path: %s; load %.1f", case.name, text, os.getloadavg()[0]
            )

    return run_program("python -m maskflownet.benchmark.peers", body)


if __name__ == "__main__":
    sys.exit(main())
