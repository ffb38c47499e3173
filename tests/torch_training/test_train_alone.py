"""Training with PyTorch where there is none."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from maskflownet.config.files import ROOT

COMMAND = [sys.executable, "-m", "maskflownet.torch_training.train"]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
def test_its_absence_is_said_in_one_line(tmp_path):
    result = run(str(tmp_path / "a.params"))
    assert result.returncode == 2
    assert "PyTorch is not installed" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_needs_no_pytorch():
    result = run("--help")
    assert result.returncode == 0
    assert "--photographs" in result.stdout
