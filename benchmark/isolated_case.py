"""One case in a process of its own: its memory, its time, and the share of each operator.

`python -m maskflownet.benchmark.isolated_case NETWORK WHAT BATCHxHxW KERNELS` prints one line of
JSON. Other benchmarks start it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from maskflownet.benchmark.served_side import resident_mb
from maskflownet.config.files import ROOT
from maskflownet.tasks.command_line import INTERRUPTED

RUNS = 3  # memory is at its highest, and the graph traced, after the first ones
PROFILED_RUNS = 3


class Alone(NamedTuple):
    """What a process said of a case.

    Attributes
    ----------
    seconds : float
        The shortest run but the first.
    peak_mb : float
        The most memory that was resident at a time, without what it was once all was imported.
    shares : dict of str to float
        The share of the operators' time that each took, the largest first; empty if not asked for.
    """

    seconds: float
    peak_mb: float
    shares: dict[str, float]


def measure_alone(case, kernels: str, profile: bool = False) -> Alone:
    """Measure a `benchmark.cases.Case` in a new process.

    Raises
    ------
    ChildProcessError
        It failed; what it said stands on stderr.
    """
    size = "x".join(map(str, (case.batch, *case.size_hw)))
    command = [
        sys.executable,
        "-m",
        "maskflownet.benchmark.isolated_case",
        case.network,
        case.what,
        size,
        kernels,
    ]
    done = subprocess.run(
        [*command, *(["profile"] if profile else [])], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise ChildProcessError(f"{case.name}, {kernels}: exit code {done.returncode}")
    return Alone(**json.loads(done.stdout))


def measure(case, kernels: str, profile: bool) -> Alone:
    """Measure a case in this process, which has done nothing else."""
    from maskflownet.benchmark.cases import runner

    imported = resident_mb("VmRSS")
    run = runner(case, kernels)
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    peak = resident_mb("VmHWM") - imported
    return Alone(min(times[1:]), peak, operator_shares(run) if profile else {})


def operator_shares(run) -> dict[str, float]:
    """Return the share of the operators' time that each takes, the largest first."""
    import mxnet as mx

    with tempfile.TemporaryDirectory() as folder:
        mx.profiler.set_config(
            profile_symbolic=True,
            profile_imperative=True,
            aggregate_stats=True,
            filename=os.fspath(Path(folder) / "profile.json"),
        )
        mx.profiler.set_state("run")
        for _ in range(PROFILED_RUNS):
            run()
        mx.profiler.set_state("stop")
        times = json.loads(mx.profiler.dumps(format="json"))["Time"]["operator"]
    whole = sum(operator["Total"] for operator in times.values())
    ordered = sorted(times.items(), key=lambda item: -item[1]["Total"])
    return {name: operator["Total"] / whole for name, operator in ordered}


def main(argv=None) -> int:
    """Measure the case that the arguments name."""
    network, what, size, kernels, *profile = sys.argv[1:] if argv is None else argv
    from maskflownet.benchmark.cases import Case

    batch, height, width = map(int, size.split("x"))
    case = Case(network, what, (height, width), batch)
    try:
        print(json.dumps(measure(case, kernels, bool(profile))._asdict()))
    except KeyboardInterrupt:  # the program that started this one says so
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
