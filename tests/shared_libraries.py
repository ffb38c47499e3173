"""Shared libraries that tests compile: a stand-in for NVIDIA's driver, and empty ones."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

DRIVER_SOURCE = Path(__file__).parent / "data" / "stand_in_driver.c"


def compile_library(path, source=os.devnull, *flags):
    """Compile C into a library whose own name is that of its file; skip without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    name = f"-Wl,-soname,{path.name}"
    command = [compiler, "-shared", "-fPIC", name, "-x", "c", source, "-x", "none", *flags]
    subprocess.run([*map(str, command), "-o", str(path)], check=True)
    return path


def stand_in_driver(folder, gpus=(), serves=(12, 4), init=0):
    """Make a driver library in a folder; return its path.

    gpus: (name, major, minor) of each; serves: the newest CUDA, (major, minor); init: what cuInit
    returns, where 100 means that there is no GPU.
    """
    listed = "".join(f'{{"{name}", {major}, {minor}}},' for name, major, minor in gpus)
    flags = [f"-DGPUS={listed}", f"-DDRIVER={1000 * serves[0] + 10 * serves[1]}", f"-DINIT={init}"]
    return compile_library(folder / "libcuda.so.1", DRIVER_SOURCE, *flags)
