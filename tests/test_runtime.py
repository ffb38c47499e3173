"""What importing runtime.py does, that nothing then warns, and what it finds in a machine."""

import os
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from processes import run_python
from shared_libraries import compile_library

from maskflownet import runtime

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("given", "seen"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_waiting_threads_sleep_soon_unless_told_how_to_wait(given, seen):
    code = "import os; from maskflownet import runtime; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert run_python(code, **given).stdout == f"{seen}\n"


def test_threads_are_the_cores_that_may_be_used():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from maskflownet import runtime; "
    )
    process = run_python(code + "print(os.environ['OMP_NUM_THREADS'])")
    assert process.stdout == "1\n", process.stderr


def test_threads_that_the_user_set_stay():
    code = "import os; from maskflownet import runtime; print(os.environ['OMP_NUM_THREADS'])"
    assert run_python(code, OMP_NUM_THREADS="7").stdout == "7\n"


def test_an_empty_setting_is_none():
    code = (
        "import os; from maskflownet import runtime; "
        "print(os.environ['OMP_NUM_THREADS'] == str(runtime.usable_cores()))"
    )
    assert run_python(code, OMP_NUM_THREADS="").stdout == "True\n"


def test_mxnet_is_not_imported():
    code = "from maskflownet import runtime; import sys; print('mxnet' in sys.modules)"
    assert run_python(code).stdout == "False\n"


def test_imports_are_silent():
    process = run_python("from maskflownet import runtime; import mxnet, cv2")
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


@pytest.mark.parametrize("library", runtime.SYSTEM_LIBRARIES)
@pytest.mark.parametrize("kind", [ImportError, OSError])
def test_missing_library_is_explained_in_one_line(library, kind):
    error = kind(f"{library}: cannot open shared object file: No such file or directory")
    line = runtime.explain_missing_library(error)
    assert "\n" not in line
    assert library in line
    assert f" {runtime.SYSTEM_LIBRARIES[library]}" in line


def test_without_mxnet_the_command_that_brings_it_is_said(tmp_path):
    """Where pip has installed the package alone: in a program, and by Python's own error."""
    hide = (
        "import sys; sys.modules['mxnet'] = None; import importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *more: None if name == 'mxnet' else find(name, *more); "
    )
    weights = tmp_path / "x.params"
    weights.touch()
    arguments = ["main.py", "MaskFlownet_S", "-c", str(weights), "--valid", "--debug"]
    run = f"import runpy; sys.argv = {arguments}; runpy.run_path('main.py', run_name='__main__')"
    program = run_python(hide + run)
    assert (program.returncode, program.stdout, program.stderr.count("\n")) == (2, "", 1)
    library = run_python(hide + "from maskflownet import get_pipeline")
    for said in (program.stderr, library.stderr.splitlines()[-1]):
        assert "-m pip install --no-deps mxnet==1.9.1" in said


def test_a_missing_driver_and_missing_cuda_are_explained():
    said = ": cannot open shared object file: No such file or directory"
    driver = runtime.explain_missing_library(OSError("libcuda.so.1" + said))
    assert "NVIDIA's driver is missing" in driver and "make venv" in driver
    library = runtime.explain_missing_library(OSError("libcudnn.so.8" + said))
    assert "libcudnn.so.8" in library and "pip install --no-deps -r requirements-gpu.txt" in library


@pytest.mark.parametrize(
    "error",
    [ModuleNotFoundError("No module named 'cv2'"), FileNotFoundError(2, "No such file", "a.png")],
)
def test_other_errors_are_not_explained(error):
    assert runtime.explain_missing_library(error) is None


# --- Cores ----------------------------------------------------------------------------------------


def write(root, files):
    """Write a tree of files, given as paths and what they hold."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def machine(tmp_path):
    """Eight logical processors, two per core: 0 and 4, 1 and 5, 2 and 6, 3 and 7."""
    for cpu in range(8):
        topology = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("cpus", "cores"), [(range(8), 4), ([0, 4], 1), ([0, 1, 2], 3), ([1, 4, 5], 2)]
)
def test_hyper_threads_of_a_core_count_once(machine, cpus, cores):
    assert runtime.usable_cores(machine, cpus) == cores


def test_without_a_topology_every_processor_is_a_core(tmp_path):
    assert runtime.usable_cores(tmp_path, range(6)) == 6


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max", 4), ("300000", 3), ("250000", 2), ("50000", 1), ("9900000", 4)],
)
def test_a_quota_of_version_2_limits_the_cores(machine, quota, cores):
    quota = {"sys/fs/cgroup/cpu.max": f"{quota} 100000\n"}
    write(machine, {"proc/self/cgroup": "0::/\n"} | quota)
    assert runtime.usable_cores(machine, range(8)) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 4), ("100000", 2)])
@pytest.mark.parametrize(
    ("controllers", "folder"),
    [("cpu", "cpu"), ("cpu,cpuacct", "cpu,cpuacct"), ("cpuacct,cpu", "cpu")],
)
def test_a_quota_of_version_1_limits_the_cores(machine, controllers, folder, quota, cores):
    groups = f"9:memory:/other\n4:{controllers}:/job\n0::/\n"
    job = {"cpu.cfs_quota_us": f"{quota}\n", "cpu.cfs_period_us": "50000\n"}
    write(machine, {"proc/self/cgroup": groups})
    write(machine / "sys/fs/cgroup" / folder / "job", job)
    assert runtime.usable_cores(machine, range(8)) == cores


def test_the_smallest_quota_of_all_groups_above_counts(machine):
    write(machine, {"proc/self/cgroup": "0::/batch/job/step\n"})
    groups = machine / "sys/fs/cgroup"
    write(groups, {"batch/cpu.max": "200000 100000\n", "batch/job/cpu.max": "300000 100000\n"})
    write(groups, {"batch/job/step/cpu.max": "max 100000\n"})
    assert runtime.usable_cores(machine, range(8)) == 2
    found = [group.relative_to(groups) for group in runtime.control_groups("cpu", machine)]
    assert [str(group) for group in found] == ["batch/job/step", "batch/job", "batch", "."]


# --- Memory ---------------------------------------------------------------------------------------

GB = 10**9
NEW = ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
OLD = (
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    "total_inactive_file",
)


def with_memory(root, available, groups=""):
    meminfo = f"MemTotal: 99999999 kB\nMemAvailable: {available // 1024} kB\n"
    write(root, {"proc/meminfo": meminfo, "proc/self/cgroup": groups})
    return root


def memory_group(root, names, inside, limit, used, cached):
    top, limit_name, used_name, field = names
    files = {
        limit_name: f"{limit}\n",
        used_name: f"{used}\n",
        "memory.stat": f"anon 5\n{field} {cached}\n",
    }
    write(root / top / inside, files)


def test_free_memory_of_a_machine_without_limits(tmp_path):
    assert runtime.free_bytes(with_memory(tmp_path, 8 * 1024**3)) == 8 * 1024**3


def test_free_memory_where_nothing_is_known(tmp_path):
    assert runtime.free_bytes(tmp_path) is None


@pytest.mark.parametrize(
    ("names", "line"),
    [(NEW, "0::/job/step"), (OLD, "4:memory:/job/step"), (OLD, "4:memory:/elsewhere")],
)
def test_the_memory_of_a_container_or_batch_job_counts(tmp_path, names, line):
    root = with_memory(tmp_path, 64 * GB, f"9:cpu,cpuacct:/job\n{line}\n")
    unlimited = "max" if names is NEW else 2**63 - 4096
    memory_group(root, names, "job/step", unlimited, GB, 0)
    memory_group(root, names, "", 6 * GB, 5 * GB, 3 * GB)
    assert runtime.free_bytes(root) == 4 * GB  # files that are only cached make room


def test_the_strictest_limit_of_memory_above_counts(tmp_path):
    root = with_memory(tmp_path, 64 * GB, "0::/job/step\n")
    memory_group(root, NEW, "job/step", 20 * GB, GB, 0)
    memory_group(root, NEW, "job", 10 * GB, GB, 0)
    assert runtime.free_bytes(root) == 9 * GB


@pytest.mark.parametrize(("setting", "seen"), [({}, "1"), ({"MXNET_CPU_TEMP_COPY": "3"}, "3")])
def test_working_memory_is_kept_once_unless_the_user_says_otherwise(monkeypatch, setting, seen):
    monkeypatch.delenv("MXNET_CPU_TEMP_COPY")  # runtime has set it in this process
    code = "import os; from maskflownet import runtime; print(os.environ['MXNET_CPU_TEMP_COPY'])"
    assert run_python(code, **setting).stdout == f"{seen}\n"


# --- CUDA -----------------------------------------------------------------------------------------


@pytest.fixture
def packages(tmp_path):
    """A folder of packages in which only the metadata of MXNet's build for GPUs lies."""
    write(tmp_path, {"mxnet_cu112-1.9.1.dist-info/METADATA": "Name: mxnet-cu112\n"})
    return tmp_path


def test_cuda_is_looked_for_beside_the_build_for_gpus(packages):
    files = runtime.cuda_library_files([str(packages)])
    assert list(files) == list(runtime.CUDA_LIBRARIES)
    assert files["libnvrtc.so.11.2"] == packages / "nvidia/cuda_nvrtc/lib/libnvrtc.so.11.2"
    assert files["libcublasLt.so.11"] == packages / "nvidia/cublas/lib/libcublasLt.so.11"


def test_beside_the_build_for_cpus_it_is_not(tmp_path):
    write(tmp_path, {"mxnet-1.9.1.dist-info/METADATA": "Name: mxnet\n"})
    write(tmp_path, {"nvidia/cublas/lib/libcublas.so.11": ""})
    assert runtime.cuda_library_files([str(tmp_path)]) == {}


def test_loaded_libraries_are_found_by_their_names(packages):
    """One of them links another, as cuBLAS does; most are missing, as with a toolkit."""
    files = runtime.cuda_library_files([str(packages)])
    linked, linking = files["libcublasLt.so.11"], files["libcublas.so.11"]
    linked.parent.mkdir(parents=True)
    compile_library(linking, os.devnull, "-Wl,--no-as-needed", compile_library(linked))
    load = "; ".join(f"ctypes.CDLL('{file.name}')" for file in (linked, linking))
    unknown = run_python(f"import ctypes; from maskflownet import runtime; {load}")
    assert "libcublasLt.so.11: cannot open" in unknown.stderr
    found = run_python(
        "import ctypes; from maskflownet import runtime; "
        f"runtime.load_cuda_libraries(['{packages}']); {load}"
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_the_requirements_bring_what_is_loaded():
    lines = (ROOT / "requirements-gpu.txt").read_text().splitlines()
    brought = {Requirement(line).name for line in lines if line and line[0] not in "#-"}
    assert brought == {runtime.GPU_BUILD, *runtime.CUDA_LIBRARIES.values()}
