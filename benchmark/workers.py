"""What training by several workers costs: the table of docs/several-machines.md.

`python -m maskflownet.benchmark.workers` trains a MaskFlownet_S on generated pairs, the same pairs
in each step, by one process and by 1, 2 and 4 workers with a parameter server, all on this machine.
They share its cores, so the table shows what the exchange costs, not what more machines gain. All
are measured in turn, round after round, and the medians are shown.
"""

import json
import logging
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from maskflownet.config import load_config
from maskflownet.config.files import ROOT
from maskflownet.network import get_pipeline
from maskflownet.tasks.command_line import OneLineParser, positive, run_program, size_hw
from maskflownet.tasks.open_pipeline import devices
from maskflownet.tasks.runs.log import read_rows

logger = logging.getLogger(__name__)

CONFIG = "MaskFlownet_S"
BATCH = 4  # of all workers together
WORKERS = (1, 2, 4)
ALONE = 0  # one process, without a parameter server
WARM_UP = 3  # steps
FLOAT_BYTES = 4


class Cost(NamedTuple):
    """The seconds that a step takes, and the bytes that go over the loopback meanwhile."""

    seconds: float
    traffic: float


def write_dataset(folder: Path, workers: int, steps: int, size: tuple[int, int]) -> Path:
    """Write the config of a dataset of generated pairs for so many workers."""
    settings = {
        "dataset": "synthetic",
        "batch": BATCH // max(workers, 1),
        "orig_shape": size,
        "target_shape": size,
        "validation_steps": 1_000_000,
        "checkpoint_steps": 1_000_000,
        "synthetic": {"size": size, "pairs": 100, "valid_pairs": 1},
        "optimizer": {"learning_rate": [[steps, 1e-4]]},
    }
    path = folder / "pairs.yaml"
    path.write_text("".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items()))
    return path


def measure(workers: int, steps: int, size: tuple[int, int]) -> Cost:
    """Train for a few steps and return what each of the last ones cost."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = write_dataset(folder, workers, steps, size)
        command = ["main.py", CONFIG, "--dataset_cfg", str(dataset), "--root", name]
        command += ["--workers", "1"]
        if workers != ALONE:
            launch = ["-m", "maskflownet.tasks.distributed.launch", "-n", str(workers), "--"]
            command = [*launch, *command, "--kvstore", "dist_sync"]
        with subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL
        ) as process:
            traffic, rows = _watch(process, folder, steps)
    seconds = [BATCH / row["samples_per_second"] for row in rows[WARM_UP:]]
    return Cost(statistics.median(seconds), traffic)


def _watch(process, folder, steps):
    """Return the loopback's bytes per step after the first ones, and the rows of the steps."""
    seen = {}
    while process.poll() is None and steps not in seen:
        rows = _rows(folder)
        if rows:
            seen.setdefault(int(rows[-1]["steps"]), loopback_bytes())
        time.sleep(0.005)
    if process.wait():
        raise ChildProcessError(f"a training ended with exit code {process.returncode}")
    first = min(step for step in seen if step >= WARM_UP)
    return (seen[steps] - seen[first]) / (steps - first), _rows(folder)


def _rows(folder):
    return [
        row
        for path in folder.glob("logs/*.csv")
        for row in read_rows(path)
        if "samples_per_second" in row
    ]


def loopback_bytes() -> int:
    """Return how many bytes this machine has sent to itself, as Linux counts them."""
    (line,) = (
        line
        for line in Path("/proc/net/dev").read_text().splitlines()
        if line.strip().startswith("lo:")
    )
    return int(line.split(":")[1].split()[8])


def gradient_bytes() -> int:
    """Return the size of all gradients: a worker sends so much in each step, and gets as much."""
    pipe = get_pipeline("MaskFlownet", ctx=devices([]), config=load_config(CONFIG))
    shapes = [parameter.shape for parameter in pipe.network.collect_params().values()]
    return FLOAT_BYTES * sum(map(math.prod, shapes))


def table(costs: dict[int, list[Cost]], sent: int) -> Iterator[str]:
    """Yield the lines of the table, as Markdown."""
    yield _row("", "time of a step", "a worker sends", "all traffic, measured")
    yield _row("---", "---:", "---:", "---:")
    for workers, rounds in costs.items():
        pairs = zip(rounds, costs[ALONE], strict=True)
        ratio = statistics.median(cost.seconds / alone.seconds for cost, alone in pairs)
        name = f"{workers} worker{'s' * (workers > 1)}" if workers else "one process, no server"
        traffic = statistics.median(cost.traffic for cost in rounds)
        yield _row(
            name,
            f"{ratio:.2f}",
            f"{sent / 1e6:.1f} MB" if workers else "-",
            f"{traffic / 1e6:.1f} MB",
        )


def _row(*cells):
    return f"| {' | '.join(cells)} |"


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.benchmark.workers", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--rounds", metavar="N", type=positive, default=3, help="how often all is measured")
    add("--steps", metavar="N", type=positive, default=7, help="of each training, 5 to 20")
    add("--size", metavar="H,W", type=size_hw, default=(64, 64), help="of the pairs")
    return parser


def main(argv=None) -> int:
    """Measure and print the table."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if not WARM_UP + 2 <= arguments.steps <= 20:
        parser.error("argument --steps: expected 5 to 20")

    def body():
        costs = defaultdict(list)
        for turn in range(arguments.rounds):
            for workers in (ALONE, *WORKERS):
                costs[workers].append(measure(workers, arguments.steps, arguments.size))
            load = os.getloadavg()[0]
            logger.info("round %d of %d, load %.1f", turn + 1, arguments.rounds, load)
        for line in table(costs, gradient_bytes()):
            logger.info("%s", line)

    return run_program("python -m maskflownet.benchmark.workers", body)


if __name__ == "__main__":
    sys.exit(main())
