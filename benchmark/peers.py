"""The fast path beside others on a CPU: MXNet, ONNX Runtime, OpenVINO and PyTorch.

Compared are predictions, in ONNX Runtime and OpenVINO of the exported network, in PyTorch of the
same graph, eager; and training steps, where PyTorch is. Each side runs in a process of its own, on
the same threads and in turn; the tables go to docs/speed.md. What is not installed is left out.
"""

import importlib.metadata
import importlib.util
import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from maskflownet.benchmark.network import choose, has_bf16, measure_rounds, require_fast
from maskflownet.benchmark.report import DEFAULT, Report, ratio_text
from maskflownet.benchmark.side_process import side_by_itself
from maskflownet.config.errors import InputError
from maskflownet.tasks.command_line import OneLineParser, positive, run_program, set_threads

logger = logging.getLogger(__name__)

PACKAGES = {
    "onnxruntime": "onnxruntime",
    "openvino f32": "openvino",
    "openvino bf16": "openvino",
    "torch": "torch",
}
CASES = (("S", (448, 1024)), ("cascade", (448, 1024)), ("S", (1088, 1920)))
TRAINED = (("S", (320, 448), 1), ("S", (192, 256), 4))
TRAINING_SIDES = ("auto", "bf16", "torch")


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
        raise InputError("nothing to compare: pip install onnxruntime openvino torch")
    if not _has_avx512_bf16():
        peers = [side for side in peers if side != "openvino bf16"]
    return ["auto", *(["bf16"] if has_bf16() else []), "builtin", *peers]


def _has_avx512_bf16():
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text()


def cases_here(sides: list[str]) -> list:
    """Return what these sides are compared in; training needs PyTorch."""
    from maskflownet.benchmark.cases import Case

    cases = [Case(network, "exported", size_hw) for network, size_hw in CASES]
    if "torch" in sides:
        return cases + [Case(network, "train", size, batch) for network, size, batch in TRAINED]
    logger.info("training steps are left out: PyTorch is not installed")
    return cases


def measure(case, sides: list[str], rounds: int) -> dict:
    """Return a case's figures, as they stand in the JSON.

    The seconds of each round by side, and by how much each side's first result differs from the
    fast path's: flow in pixels, or a training step's loss, relative to it.
    """
    with ExitStack() as stack:
        runners = {side: stack.enter_context(side_by_itself(case, side)) for side in sides}
        results = {side: run(True) for side, run in runners.items()}
        seconds = measure_rounds(runners, rounds)
    own = results["auto"]
    if case.what == "train":
        differences = {side: abs(loss / own - 1) for side, loss in results.items()}
        return {"seconds": seconds, "difference_loss": differences}
    differences = {side: float(abs(flow - own).max()) for side, flow in results.items()}
    return {"seconds": seconds, "difference_px": differences}


def versions(sides: list[str]) -> dict[str, str]:
    """Return the versions of the packages that these sides run in."""
    packages = dict.fromkeys(PACKAGES[side] for side in sides if side in PACKAGES)
    return {package: importlib.metadata.version(package) for package in packages}


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.benchmark.peers", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--cases", metavar="TEXT", nargs="+", default=[], help="those whose names hold such a text")
    add("--rounds", metavar="N", type=positive, default=9, help="of a case, at most")
    add("--threads", metavar="N", type=positive, help="by default one per physical core")
    add("--json", metavar="FILE", type=Path, default=DEFAULT, help="where figures are kept")
    return parser


def main(argv=None) -> int:
    """Measure, and write figures and tables after each case."""
    arguments = make_parser().parse_args(argv)
    set_threads(arguments.threads)

    def body():
        require_fast()
        sides = sides_here()
        report = Report(arguments.json)
        for case in choose(arguments.cases, cases_here(sides)):
            training = case.what == "train"
            own = [side for side in sides if not training or side in TRAINING_SIDES]
            figures = measure(case, own, arguments.rounds)
            figures["versions"] = versions(own)
            report.add("peers", case.name.replace("exported ", ""), figures)
            ratios = {side: ratio_text(figures["seconds"], side, "auto") for side in own[1:]}
            text = ", ".join(f"{side} {ratio}" for side, ratio in ratios.items())
            logger.info(
                "%s, times of the fast path: %s; load %.1f", case.name, text, os.getloadavg()[0]
            )

    return run_program("python -m maskflownet.benchmark.peers", body)


if __name__ == "__main__":
    sys.exit(main())
