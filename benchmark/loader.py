"""How fast training pairs are read, and with how much memory: the tables of docs/loader.md.

`python -m maskflownet.benchmark.loader` writes generated pairs of 384x512 to a temporary folder as
PNG and as PPM, reads these and generated ones, and takes training steps in between. Everything is
measured in turn, round after round, and the medians are shown: what else the machine does meanwhile
hits all alike. Files are read from the system's cache, so the figures are those of decoding.
"""

import json
import logging
import os
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from itertools import islice, product
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from maskflownet.reader.datasets import FlowDataset
from maskflownet.reader.datasets.lists import ListDataset
from maskflownet.reader.datasets.synthetic import Synthetic
from maskflownet.reader.flow_files import write_flow
from maskflownet.reader.images import write_image
from maskflownet.reader.loading import Loader
from maskflownet.reader.loading.order import Order
from maskflownet.reader.loading.readers import fill, sample_dtype
from maskflownet.reader.loading.sampling import Sampler
from maskflownet.reader.synthetic import SceneConfig, generate
from maskflownet.runtime import usable_cores
from maskflownet.tasks.command_line import OneLineParser, positive, run_program
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

SIZE_HW = (384, 512)
FILES = 16  # pairs written
BATCH = 8
WARM_UP = 2 * BATCH  # pairs
STEP_HW = (320, 448)  # what a training step on FlyingChairs sees
MEMORY_PAIRS = (100, 10_000)
MEMORY_HW = (96, 128)


def write_pairs(folder: Path, suffix: str, size_hw: tuple[int, int], count: int) -> None:
    """Write generated pairs, their images with this suffix."""
    for number in range(count):
        sample = generate(0, number, size_hw)
        for which, image in ((1, sample.image1), (2, sample.image2)):
            write_image(folder / f"{number}_{which}{suffix}", image)
        write_flow(folder / f"{number}.flo", sample.flow)


def listed(folder: Path, suffix: str, numbers: Iterable[int]) -> ListDataset:
    """Return the pairs of these numbers, written by `write_pairs`, as a dataset."""
    lines = (f"{n}_1{suffix} {n}_2{suffix} {n}.flo\n" for n in numbers)
    path = folder / "list.txt"
    path.write_text("".join(lines))
    return ListDataset([path])


def make_inputs(folder: Path) -> dict[str, FlowDataset]:
    """Return what is read, by name."""
    inputs: dict[str, FlowDataset] = {}
    for suffix in (".png", ".ppm"):
        inside = folder / suffix
        inside.mkdir()
        write_pairs(inside, suffix, SIZE_HW, FILES)
        inputs[suffix[1:].upper()] = listed(inside, suffix, range(FILES))
    inputs["generated"] = Synthetic(0, range(20_000), SIZE_HW, SceneConfig())
    return inputs


def with_processes(dataset: FlowDataset, workers: int) -> Iterator[None]:
    """Read pairs as training does."""
    with closing(Loader(dataset, BATCH, SIZE_HW, 0, workers).batches()) as batches:
        for batch in batches:
            yield from (None for _ in batch.names)


def with_threads(dataset: FlowDataset, workers: int) -> Iterator[None]:
    """Read the same pairs with threads of this process instead."""
    sampler = Sampler(dataset, Order(0, dataset.index_ranges(BATCH)), SIZE_HW)
    arrays = np.zeros((2, BATCH), sample_dtype(SIZE_HW))

    def read(step, sample):
        fill(arrays[step % 2, sample], sampler.make(step, sample)[0])

    with ThreadPoolExecutor(workers) as pool:
        for step in range(1, 1_000_000, 2):
            yield from pool.map(read, *zip(*product((step, step + 1), range(BATCH)), strict=True))


WAYS = {"processes": with_processes, "threads": with_threads}


class Reading(NamedTuple):
    """How fast pairs came, and the processor time that each took, over all processes."""

    pairs_per_s: float
    cpu_ms: float


def measure_reading(pairs: Iterator[None], count: int) -> Reading:
    """Measure the reading of so many pairs, once it is under way."""
    with closing(pairs):
        list(islice(pairs, WARM_UP))
        begin, cpu_begin = time.perf_counter(), _cpu_seconds()
        list(islice(pairs, count))
        wall, cpu = time.perf_counter() - begin, _cpu_seconds() - cpu_begin
        return Reading(count / wall, 1000 * cpu / count)


def _cpu_seconds():
    """Return the processor time that this process and its children took, as Linux tells it."""
    ticks = 0
    for pid in ("self", *(process.pid for process in active_children())):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime; see proc(5)
    return ticks / os.sysconf("SC_CLK_TCK")


def make_step():
    """Return a function that takes one training step of MaskFlownet_S on the CPU, one pair."""
    from maskflownet import runtime  # noqa: F401  (before MXNet)

    # isort: split
    import mxnet as mx

    from maskflownet.config import load_config
    from maskflownet.network import get_pipeline

    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
    sample = generate(0, 0, STEP_HW)
    arrays = [
        array.transpose(2, 0, 1)[None] for array in (sample.image1, sample.image2, sample.flow)
    ]

    def step():
        pipe.train_batch(*arrays, geo_aug=lambda *same: same, color_aug=lambda *same: same)
        mx.nd.waitall()

    return step


def measure_step(step) -> float:
    """Return how many pairs per second a training step consumes."""
    begin = time.perf_counter()
    step()
    return 1 / (time.perf_counter() - begin)


Readings = dict[tuple[str, str, int], list[Reading]]


def measure_speed(workers: list[int], rounds: int, pairs: int) -> tuple[Readings, list[float]]:
    """Measure reading and training in turn.

    Returns
    -------
    readings : dict
        (input, way, workers) to a Reading per round.
    steps : list of float
        Pairs per second that a training step consumes, per round.
    """
    readings, steps = defaultdict(list), []
    step = make_step()
    step()
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(Path(folder))
        for turn in range(rounds):
            # Those to be compared come one after the other.
            for name, count, way in product(inputs, workers, WAYS):
                reading = measure_reading(WAYS[way](inputs[name], count), pairs)
                readings[name, way, count].append(reading)
            steps.append(measure_step(step))
            logger.info("round %d of %d, load %.1f", turn + 1, rounds, os.getloadavg()[0])
    return readings, steps


def peak_memory(folder: Path, pairs: int) -> dict[str, float]:
    """Read so many pairs once and return the peak memory in MB; to be called in a new process."""
    dataset = listed(folder, ".ppm", [0] * pairs)
    with closing(Loader(dataset, BATCH, MEMORY_HW, 0, workers=1).batches()) as batches:
        for _ in islice(batches, -(-pairs // BATCH)):
            pass
        (reader,) = active_children()
        return {
            "reading process": _high_water_mark(reader.pid),
            "training process, without MXNet": _high_water_mark("self"),
        }


def _high_water_mark(pid):
    """Return the peak memory of a process in MB, as Linux tells it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024 / 1e6


def measure_memory() -> dict[int, dict[str, float]]:
    """Return `peak_memory` for small and large datasets of pairs of 96x128."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        write_pairs(Path(folder), ".ppm", MEMORY_HW, 1)
        for pairs in MEMORY_PAIRS:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                peaks[pairs] = pool.submit(peak_memory, Path(folder), pairs).result()
    return peaks


def tables(readings: Readings, steps: list[float], peaks: dict) -> Iterator[str]:
    """Yield the lines of all tables, as Markdown."""
    columns = list(dict.fromkeys(key[:2] for key in readings))
    counts = list(dict.fromkeys(key[2] for key in readings))
    yield _row("pairs per second", *(", ".join(column) for column in columns))
    yield _row("---", *("---:" for _ in columns))
    for count in counts:
        rates = (_median(r.pairs_per_s for r in readings[(*column, count)]) for column in columns)
        workers = "1 worker" if count == 1 else f"{count} workers"
        yield _row(workers, *(f"{rate:.0f}" for rate in rates))
    times = (_median(r.cpu_ms for n in counts for r in readings[(*key, n)]) for key in columns)
    yield _row("processor time per pair", *(f"{time_ms:.1f} ms" for time_ms in times))
    yield from ("", f"A training step consumes {_median(steps):.2f} pairs per second.", "")
    yield _row("peak memory", *(f"{pairs:,} pairs" for pairs in peaks))
    yield _row("---", *("---:" for _ in peaks))
    for who in next(iter(peaks.values())):
        yield _row(who, *(f"{peak[who]:.0f} MB" for peak in peaks.values()))


def _median(values):
    return statistics.median(list(values))


def _row(*cells):
    return f"| {' | '.join(cells)} |"


def write_json(path: Path, readings: Readings, steps: list[float], peaks: dict) -> None:
    """Write every single figure."""
    report = {
        "cores": usable_cores(),
        "reading": [
            {"input": name, "way": way, "workers": count, "rounds": [r._asdict() for r in rounds]}
            for (name, way, count), rounds in readings.items()
        ],
        "training_step_pairs_per_s": steps,
        "peak_memory_mb": peaks,
    }
    with whole_file(path) as part:
        part.write_text(json.dumps(report, indent=2) + "\n")


def make_parser():
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.benchmark.loader", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--workers", metavar="N", type=positive, nargs="+", default=[1, 2, 4], help="how many")
    add("--rounds", metavar="N", type=positive, default=5, help="how often all is measured")
    add("--pairs", metavar="N", type=positive, default=64, help="pairs per measurement")
    add("--json", metavar="FILE", type=Path, help="write every single figure to this file")
    return parser


def main(argv=None) -> int:
    """Measure and print the tables."""
    arguments = make_parser().parse_args(argv)

    def body():
        cv2.setNumThreads(1)  # as in the workers
        figures = (
            *measure_speed(arguments.workers, arguments.rounds, arguments.pairs),
            measure_memory(),
        )
        for line in tables(*figures):
            logger.info("%s", line)
        if arguments.json:
            write_json(arguments.json, *figures)

    return run_program("python -m maskflownet.benchmark.loader", body)


if __name__ == "__main__":
    sys.exit(main())
