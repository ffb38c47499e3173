"""MXNet's build for GPUs as pip brings it, without a GPU. `make test-gpu-wheel` runs this.

A stand-in for NVIDIA's driver lets it load; what can be tried then is work on the CPU.
"""

import os
import subprocess
from pathlib import Path

import pytest
from shared_libraries import stand_in_driver

from maskflownet import runtime

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv-gpu" / "bin" / "python"
NO_GPU = 100

pytestmark = [
    pytest.mark.gpu_wheel,
    pytest.mark.skipif(not PYTHON.exists(), reason="there is no .venv-gpu: make test-gpu-wheel"),
]


def run_python(*arguments, driver=None):
    """Run the environment's Python, with a driver library if one is given; return it finished."""
    libraries = str(driver.parent) if driver else ""
    return subprocess.run(
        [str(PYTHON), *arguments],
        cwd=ROOT,
        env=os.environ | {"LD_LIBRARY_PATH": libraries, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def driver(tmp_path):
    """The driver of a machine without a GPU."""
    return stand_in_driver(tmp_path, init=NO_GPU)


def test_all_of_cuda_is_loaded_from_pips_packages(driver):
    code = (
        "from maskflownet import runtime; import mxnet; "
        "print(open('/proc/self/maps').read(), mxnet.context.num_gpus())"
    )
    done = run_python("-c", code, driver=driver)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    packages = f"{PYTHON.parents[1]}/lib/python"
    for library in runtime.CUDA_LIBRARIES:
        (file,) = {word for word in loaded if word.endswith(f"/{library}")}
        assert file.startswith(packages)
    assert loaded[-1] == "0"


def test_forward_passes_gradients_and_training_equal_the_reference_on_the_cpu(driver):
    done = run_python("-m", "pytest", "-n", "0", "tests/network/test_pipeline.py", driver=driver)
    assert done.returncode == 0, done.stdout


def test_check_under_the_driver(driver):
    done = run_python("main.py", "--check", driver=driver)
    assert "1.9.1, built for GPUs; threads on the CPU: 1" in done.stdout
    assert "serves CUDA up to 12.4" in done.stdout
    assert "none that this process may use" in done.stdout
    assert "none is missing" in done.stdout


def test_check_without_a_driver():
    done = run_python("main.py", "--check")
    assert (done.returncode, done.stderr) == (1, "")
    assert "cannot be loaded: NVIDIA's driver is missing (libcuda.so.1)" in done.stdout


def test_a_gpu_that_is_too_new_is_refused_before_mxnet_tries(tmp_path):
    driver = stand_in_driver(tmp_path, [("NVIDIA H200", 9, 0)])
    code = (
        "from maskflownet.tasks.command_line import run_program; "
        "from maskflownet.tasks.open_pipeline import devices; run_program('it', lambda: {})"
    )
    done = run_python("-c", code.format("devices([0])"), driver=driver)
    assert done.stderr.startswith("it: error: -g 0 (NVIDIA H200): MXNet 1.9.1 cannot run on it")
    assert done.stderr.count("\n") == 1
