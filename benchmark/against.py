"""Two builds against each other: `python -m maskflownet.benchmark.network --against FOLDER`.

Each runs in a process of its own, in turn. On a machine that does other things beside, the clock
tells of those too; processor time tells of the build alone, but not how well its threads share the
work. The other build must lie in its folder with its own library, built.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from maskflownet.benchmark.report import ratio_text
from maskflownet.benchmark.side_process import Side, side_by_itself
from maskflownet.config.errors import InputError

OTHER, THIS = "other", "this"


def check_folder(folder: Path) -> None:
    """Raise InputError unless a build of the project lies in a folder."""
    if not (folder / "benchmark" / "cases.py").is_file():
        raise InputError(f"--against {folder}: expected a clone of this project, got none")
    if not list((folder / "kernels" / "build").glob("*.so")):
        raise InputError(
            f"--against {folder}: its fast operators are not built: run `make kernels` there"
        )


def compare(case, folder: Path, rounds: Callable[[dict], dict[str, list[float]]]) -> dict:
    """Run a case by the build in a folder and by this one.

    Parameters
    ----------
    case : benchmark.cases.Case
    folder : pathlib.Path
    rounds : callable
        {side: what runs it} -> {side: seconds of each round}.

    Returns
    -------
    dict
        seconds and cpu_seconds: {side: a list}; peak_mb: {side: a number}.
    """
    with ExitStack() as stack:
        sides = {
            OTHER: stack.enter_context(side_by_itself(case, "auto", folder.resolve())),
            THIS: stack.enter_context(side_by_itself(case, "auto")),
        }
        cpu_seconds: dict[str, list[float]] = {side: [] for side in sides}
        seconds = rounds({name: _noted(side, cpu_seconds[name]) for name, side in sides.items()})
        return {
            "seconds": seconds,
            # Without the runs to warm up.
            "cpu_seconds": {side: cpu_seconds[side][-len(seconds[side]) :] for side in sides},
            "peak_mb": {name: round(side.peak_mb) for name, side in sides.items()},
        }


def _noted(side: Side, cpu_seconds: list[float]) -> Callable[[], None]:
    def run():
        side()
        cpu_seconds.append(side.cpu_s)

    return run


def summary(case, figures: dict) -> Iterator[str]:
    """Yield a line that tells a comparison's figures."""
    clock, cpu = (ratio_text(figures[kind], OTHER, THIS) for kind in ("seconds", "cpu_seconds"))
    peaks = figures["peak_mb"]
    yield (
        f"{case.name}: {clock} times as fast by the clock, {cpu} by processor time, in "
        f"{len(figures['seconds'][THIS])} rounds; {peaks[THIS]} MB instead of {peaks[OTHER]}; "
        f"load {os.getloadavg()[0]:.1f}"
    )
