"""What importing runtime.py does, and that nothing then warns."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import runtime

ROOT = Path(__file__).resolve().parents[1]


def run_python(code, **environment):
    """Run code in a fresh interpreter in the project's root; return the finished process."""
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "PYTHONWARNINGS")
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_threads_are_the_cores_that_may_be_used():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import runtime; "
    process = run_python(code + "print(os.environ['OMP_NUM_THREADS'])")
    assert process.stdout == "1\n", process.stderr


def test_threads_that_the_user_set_stay():
    code = "import os, runtime; print(os.environ['OMP_NUM_THREADS'])"
    assert run_python(code, OMP_NUM_THREADS="7").stdout == "7\n"


def test_numpy_has_the_alias_that_mxnet_looks_up():
    code = "import runtime, numpy; print(numpy.bool is bool)"
    assert run_python(code).stdout == "True\n"


def test_imports_are_silent():
    process = run_python("import runtime, mxnet, cv2, gluoncv")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.mark.parametrize("library", runtime.SYSTEM_LIBRARIES)
@pytest.mark.parametrize("kind", [ImportError, OSError])
def test_missing_library_is_explained_in_one_line(library, kind):
    error = kind(f"{library}: cannot open shared object file: No such file or directory")
    line = runtime.explain_missing_library(error)
    assert "\n" not in line
    assert library in line
    assert f" {runtime.SYSTEM_LIBRARIES[library]}" in line


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'cv2'"), FileNotFoundError(2, "No such file", "a.png")],
)
def test_other_errors_are_not_explained(error):
    assert runtime.explain_missing_library(error) is None
