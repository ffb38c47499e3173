"""What is asked of NVIDIA's driver, here a stand-in, and where MXNet is said not to run."""

import pytest
from shared_libraries import stand_in_driver

from maskflownet.config import InputError
from maskflownet.tasks import devices
from maskflownet.tasks.command_line import device_ids
from maskflownet.tasks.devices import Driver, Gpu, ask_driver, check_gpus, obstacle

A10 = Gpu("NVIDIA A10", (8, 6))
H200 = Gpu("NVIDIA H200", (9, 0))
NO_GPU = 100
MISMATCH = 803


@pytest.fixture
def gpu_build(monkeypatch):
    """MXNet for GPUs, as far as anyone asks here."""
    monkeypatch.setattr(devices, "cuda_library_files", lambda: {"libcudart.so.11.0": "somewhere"})


@pytest.fixture
def cpu_build(monkeypatch):
    monkeypatch.setattr(devices, "cuda_library_files", dict)


def test_the_driver_tells_its_version_and_gpus(tmp_path):
    library = stand_in_driver(tmp_path, [("NVIDIA A10", 8, 6), ("NVIDIA H200", 9, 0)], (11, 8))
    assert ask_driver(str(library)) == Driver((11, 8), (A10, H200))


def test_a_machine_without_gpus(tmp_path):
    library = stand_in_driver(tmp_path, init=NO_GPU)
    assert ask_driver(str(library)) == Driver((12, 4), ())


def test_a_machine_without_a_driver(tmp_path):
    assert ask_driver(str(tmp_path / "libcuda.so.1")) is None


def test_a_driver_that_does_not_work_says_why(tmp_path):
    library = stand_in_driver(tmp_path, [("NVIDIA A10", 8, 6)], init=MISMATCH)
    with pytest.raises(InputError, match=r"cuInit: as it was told to, error 803.*restart"):
        ask_driver(str(library))


@pytest.mark.parametrize(
    ("capability", "runs"),
    [
        ((3, 7), False),
        ((5, 0), True),
        ((5, 2), True),
        ((6, 1), True),
        ((7, 5), True),
        ((8, 0), True),
        ((8, 6), True),
        ((8, 9), True),
        ((9, 0), False),
        ((10, 0), False),
        ((12, 0), False),
    ],
)
def test_which_gpus_the_machine_code_is_for(gpu_build, capability, runs):
    reason = obstacle(Driver((12, 4), ()), Gpu("a GPU", capability))
    assert (reason is None) == runs
    assert runs or f"5.0 to 8.9 and this GPU has {'.'.join(map(str, capability))};" in reason


@pytest.mark.parametrize(("serves", "runs"), [((11, 7), False), ((11, 8), True), ((13, 0), True)])
def test_which_drivers_load_what_mxnet_compiles(gpu_build, serves, runs):
    reason = obstacle(Driver(serves, ()), A10)
    assert (reason is None) == runs
    assert runs or "serves CUDA 11.7, and MXNet needs 11.8 or newer" in reason


def test_the_build_for_cpus_runs_on_no_gpu(cpu_build):
    assert "make gpu" in obstacle(Driver((12, 4), ()), A10)


def test_gpus_that_can_be_used(gpu_build):
    check_gpus([0, 1], Driver((12, 4), (A10, A10)))


@pytest.mark.parametrize(
    ("ids", "driver", "said"),
    [
        ([0], None, "-g 0: NVIDIA's driver is missing (libcuda.so.1)"),
        ([0], Driver((12, 4), ()), "-g 0: NVIDIA's driver finds no GPU"),
        ([1, 2], Driver((12, 4), (A10, A10)), "-g 1,2: NVIDIA's driver finds only GPU 0, 1;"),
        ([0, 1], Driver((12, 4), (A10, H200)), "-g 1 (NVIDIA H200): MXNet 1.9.1 cannot run on it"),
        ([0], Driver((11, 2), (A10,)), "-g 0 (NVIDIA A10): its driver is too old"),
    ],
)
def test_gpus_that_cannot_be_used_are_refused_in_one_line(gpu_build, ids, driver, said):
    with pytest.raises(InputError) as caught:
        check_gpus(ids, driver)
    line = str(caught.value)
    assert said in line and "leave -g out to run on the CPU" in line
    assert "\n" not in line


def test_ids_are_whole_and_different():
    assert device_ids("0,2") == [0, 2]
    assert device_ids("") == []
    for text in ("0,0", "-1", "0,", "a"):
        with pytest.raises(ValueError):
            device_ids(text)
