"""Scripts that MXNet 1.5.1 runs, which the released weights were made with."""

import os
import subprocess

import pytest
from golden import DATA

PYTHON = "MXNET_1_5_1"  # the variable that names one

needs_mxnet_1_5_1 = pytest.mark.skipif(
    PYTHON not in os.environ, reason=f"{PYTHON} does not name a Python with that MXNet"
)


def output_of(code, *arguments):
    """Return what a script prints; it finds the project's modules and those of tests/data."""
    done = subprocess.run(
        [os.environ[PYTHON], "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{DATA.parents[1]}{os.pathsep}{DATA}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
