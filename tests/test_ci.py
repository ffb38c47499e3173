"""The script that continuous integration runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from maskflownet import runtime

ROOT = Path(__file__).resolve().parents[1]


def ci(tmp_path, *, libraries="", fails=""):
    """Run .ci/run with stand-ins for make, ldconfig, id and apt-get; return status and calls."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
    stand_ins = {
        "make": f'echo "make $*" >> calls; [ "$*" != "{fails}" ]',
        "apt-get": 'echo "apt-get $*" >> calls',
        "ldconfig": f'for library in {libraries}; do echo "\t$library (libc6) => $library"; done',
        "id": "echo 0",
    }
    for name, body in stand_ins.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    process = subprocess.run(
        [tmp_path / ".ci" / "run"],
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CI": "true"},
        cwd="/",
        capture_output=True,
        timeout=60,
    )
    return process.returncode, (tmp_path / "calls").read_text().splitlines()


def test_ci_runs_lint_and_the_tests(tmp_path):
    libraries = " ".join(runtime.SYSTEM_LIBRARIES)
    assert ci(tmp_path, libraries=libraries) == (0, ["make lint", "make test"])


@pytest.mark.parametrize("target", ["lint", "test"])
def test_ci_fails_with_its_parts(tmp_path, target):
    libraries = " ".join(runtime.SYSTEM_LIBRARIES)
    status, done = ci(tmp_path, libraries=libraries, fails=target)
    assert status != 0
    assert done[-1] == f"make {target}"


@pytest.mark.parametrize("missing", runtime.SYSTEM_LIBRARIES)
def test_ci_installs_the_system_libraries_that_are_missing(tmp_path, missing):
    libraries = " ".join(name for name in runtime.SYSTEM_LIBRARIES if name != missing)
    _, done = ci(tmp_path, libraries=libraries)
    (install,) = [line for line in done if "install" in line]
    assert set(runtime.SYSTEM_LIBRARIES.values()) <= set(install.split())
