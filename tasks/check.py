"""What `--check` says: whether MXNet runs, on which GPUs; which checkpoints and datasets are there.

Nothing here fails for want of a library: what is missing is what a person wants to know. Only the
datasets need OpenCV, so they come last.
"""

import ctypes
import difflib
import logging
import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from maskflownet import runtime
from maskflownet.config import InputError
from maskflownet.config.paths import PATHS_FILE, ROOT_VARIABLES
from maskflownet.config.registry import VARIABLE_PREFIX
from maskflownet.tasks.devices import ask_driver, obstacle
from maskflownet.tasks.runs.checkpoints import SHIPPED_FOLDER, all_checkpoints

logger = logging.getLogger(__name__)

# The oldest and the newest versions that the tests run with (constraints*.txt).
TRIED = {
    "Python": ("3.10", "3.14"),
    "NumPy": ("1.23.5", "2.5.5"),
    "OpenCV": ("4.11.0", "5.0.0"),
}


def check(paths: Mapping[str, Path | None], weights: Path) -> int:
    """Log a line for each thing that a machine needs, or may have, to run MaskFlownet.

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders or None, as `config.load_paths` gives them.
    weights : pathlib.Path
        Where checkpoints lie.

    Returns
    -------
    int
        0 where MXNet can be loaded and every dataset whose root is set is complete, else 1.
    """
    check_packages()
    loads = check_mxnet()
    check_gpus()
    _log("libraries", _missing_libraries())
    _log("checkpoints", f"{weights}: {_runs(weights)}")
    if weights.resolve() != SHIPPED_FOLDER:
        _log("its own", f"{SHIPPED_FOLDER}: {_runs(SHIPPED_FOLDER)}, the default")
    return 0 if check_datasets(paths) and loads else 1


def check_packages() -> None:
    """Log the versions of Python, NumPy and OpenCV, and whether such ones were tried."""
    versions = {"Python": platform.python_version(), "NumPy": np.__version__}
    try:
        import cv2
    except ImportError as error:
        _log("OpenCV", f"cannot be loaded: {runtime.explain_missing_library(error) or error}")
    else:
        versions["OpenCV"] = cv2.__version__
    for name, version in versions.items():
        _log(name, version)
    said = [words for name, version in versions.items() if (words := _untried(name, version))]
    beside = " beside PyTorch" if find_spec("torch") else ""
    _log("set", "; ".join(said) or f"within what the tests run with{beside}")


def _untried(name, version):
    """Return words for a version that no test has run with, else None."""
    oldest, newest = TRIED[name]
    seen = _numbers(version)
    if seen < _numbers(oldest):
        return f"{name} {version} is older than all that were tried (from {oldest})"
    if seen[: len(_numbers(newest))] > _numbers(newest):
        return f"{name} {version} is newer than all that were tried (up to {newest})"
    return None


def _numbers(version):
    """Return a version's numbers, (2, 5, 5) for 2.5.5; of 2.6.0rc1 those before the letters."""
    return [int(number) for number in re.match(r"\d+(\.\d+)*", version)[0].split(".")]


def check_mxnet() -> bool:
    """Log MXNet's version, build and threads; return whether it can be loaded."""
    try:
        import mxnet as mx
    except (ImportError, OSError) as error:
        _log("MXNet", f"cannot be loaded: {runtime.explain_missing_library(error) or error}")
        return False
    build = "GPUs" if mx.runtime.Features().is_enabled("CUDA") else "CPUs"
    threads = os.environ["OMP_NUM_THREADS"]
    _log("MXNet", f"{mx.__version__}, built for {build}; threads on the CPU: {threads}")
    return True


def check_gpus() -> None:
    """Log which driver and GPUs there are, and whether this MXNet can run on them."""
    try:
        driver = ask_driver()
    except InputError as error:
        _log("driver", str(error))
        return
    if driver is None:
        _log("driver", f"none ({runtime.DRIVER_LIBRARY}), and without NVIDIA's driver no GPUs")
        return
    _log("driver", f"serves CUDA up to {'.'.join(map(str, driver.cuda))}")
    for number, gpu in enumerate(driver.gpus):
        capability = ".".join(map(str, gpu.capability))
        use = obstacle(driver, gpu) or f"MXNet runs on it with -g {number}"
        _log(f"GPU {number}", f"{gpu.name}, compute capability {capability}: {use}")
    if not driver.gpus:
        _log("GPU", "none that this process may use")


def _missing_libraries():
    """Return words for the shared libraries that are needed and cannot be loaded."""
    wanted = dict(runtime.SYSTEM_LIBRARIES) if sys.platform == "linux" else {}
    if runtime.cuda_library_files():
        wanted |= runtime.CUDA_LIBRARIES
    missing = [f"{name} (in {package})" for name, package in wanted.items() if not _loads(name)]
    return f"missing: {', '.join(missing)}" if missing else "none is missing"


def _loads(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _runs(weights):
    """Return words for the runs whose checkpoints are in a folder."""
    newest = {}
    for entry in all_checkpoints(weights):
        newest[entry.run] = max(entry.steps, newest.get(entry.run, 0))
    runs = ", ".join(f"{run} (step {steps:,})" for run, steps in newest.items())
    return runs or "none; get a released one with --fetch, such as --fetch dbbSep30"


def check_datasets(paths: Mapping[str, Path | None]) -> bool:
    """Log a line per published set: its root, how many pairs are there, what is missing first.

    Files are listed, not opened, but for the first ones of ChairsSDHom.

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders or None, as `config.load_paths` gives them.

    Returns
    -------
    bool
        Whether every set whose root is set is complete.
    """
    from maskflownet.reader.datasets import published_sets
    from maskflownet.reader.datasets.base import set_root

    complete = True
    for name, published in published_sets().items():
        root = set_root(published.roots, paths)
        if root is None:
            variable = ROOT_VARIABLES[published.roots[0]]
            status = f"not set: {variable}, or {published.roots[0]} in config/{PATHS_FILE.name}"
        else:
            status, is_complete = _status(published, paths)
            status = f"{root}: {status}"
            complete &= is_complete
        _log(name, status)
    for name in sorted(name for name in os.environ if name.startswith(VARIABLE_PREFIX)):
        like = difflib.get_close_matches(name, ROOT_VARIABLES.values(), n=1, cutoff=0.85)
        if like and like[0] != name:
            logger.warning("%s is not read; did you mean %s?", name, like[0])
    return complete


def _log(name, text):
    logger.info("%-20s %s", name, text)


def _status(published, paths):
    """Return words for what is there of a set, and whether that is all."""
    if words := published.absent(paths):
        return words, True
    try:
        dataset = published.open(paths)
    except InputError as error:
        of_expected = f" of {published.expected:,}" if published.expected else ""
        return f"0{of_expected} pairs; {error}", False
    if dataset.first_missing:
        return f"{dataset.found} pairs; first missing: {dataset.first_missing}", False
    if dataset.expected and len(dataset) < dataset.expected:
        return f"{dataset.found} pairs; the rest is missing", False
    return f"{dataset.found} pairs", True
