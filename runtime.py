"""What must happen before MXNet is imported. Importing this module does it; do so first.

- Threads: MXNet takes half of the cores for hyper-threads and runs on the other half. Here it gets
  one thread per physical core that this process may use, unless OMP_NUM_THREADS is already set.
- Waiting: a thread that waits for the others looks for them again and again before it sleeps. Where
  other programs use the cores too, that keeps away the very thread that is waited for: a training
  step took twenty times as long. Here it sleeps sooner, unless OMP_WAIT_POLICY or GOMP_SPINCOUNT is
  already set.
- Memory: MXNet keeps four pieces of working memory for operators on the CPU and takes them in turn,
  each as large as the largest operator wants. Operators that use it run one after the other anyhow,
  so here it keeps one, unless MXNET_CPU_TEMP_COPY is already set.
- CUDA: pip puts NVIDIA's libraries where the system does not look for them. Where MXNet's build for
  GPUs is installed they are loaded here, by their paths; MXNet then finds them loaded.
- SciPy: MXNet imports scipy.stats, if it is installed, for its own tests and for networks of 8-bit
  integers. That takes as long as the rest of MXNet's import and is needed by nothing here, so it is
  put off until somebody looks into that module.
- NumPy: MXNet 1.9.1 looks up names that NumPy 1.24 and 2 removed. It finds them here, and it alone:
  all other code sees NumPy as it is.
"""

import contextlib
import ctypes
import importlib.util
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

# The system libraries that the wheels link without bringing them, each with Debian's package.
SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",  # OpenCV
    "libgthread-2.0.so.0": "libglib2.0-0",  # OpenCV
    "libgomp.so.1": "libgomp1",  # MXNet
    "libquadmath.so.0": "libquadmath0",  # MXNet
    "libstdc++.so.6": "libstdc++6",  # both
}
# Not with what it depends on: it asks for NumPy 1, which it does not need here.
MXNET_MISSING = (
    "MXNet is missing, which pip cannot bring along, since its metadata forbids NumPy 2: install "
    f"it with `{sys.executable} -m pip install --no-deps mxnet==1.9.1`"
)
DRIVER_LIBRARY = "libcuda.so.1"
GPU_BUILD = "mxnet-cu112"
# The libraries of CUDA that it links, each with pip's package and after those that it needs itself.
CUDA_LIBRARIES = {
    "libcudart.so.11.0": "nvidia-cuda-runtime-cu11",
    "libnvrtc.so.11.2": "nvidia-cuda-nvrtc-cu11",
    "libcublasLt.so.11": "nvidia-cublas-cu11",
    "libcublas.so.11": "nvidia-cublas-cu11",
    "libcufft.so.10": "nvidia-cufft-cu11",
    "libcurand.so.10": "nvidia-curand-cu11",
    "libcusolver.so.11": "nvidia-cusolver-cu11",
    "libnccl.so.2": "nvidia-nccl-cu11",
    "libnvToolsExt.so.1": "nvidia-nvtx-cu11",
    "libcudnn.so.8": "nvidia-cudnn-cu11",
}

# What MXNet 1.9.1 looks up in NumPy although it was removed, `bool` in NumPy 1.24 (2.0 has that
# name again) and the others in 2.0 or later; each with what NumPy had there. All are looked up
# while MXNet is imported, and `bool` later too.
NUMPY_NAMES = {
    "bool": bool,
    # The constants of mxnet.numpy, and a default of its estimators.
    "Inf": math.inf,
    "NAN": math.nan,
    "NINF": -math.inf,
    "NZERO": -0.0,
    "NaN": math.nan,
    "PINF": math.inf,
    "PZERO": 0.0,
    # The functions of mxnet.numpy that it takes from NumPy. We use none of them: its import does.
    "alltrue": np.all,
    "in1d": np.isin,
    "msort": lambda array: np.sort(array, axis=0),
    "product": np.prod,
    "round_": np.round,
    "sometrue": np.any,
    "trapz": lambda *arguments, **named: np.trapezoid(*arguments, **named),
    # Functions for finance, which have raised an error since NumPy 1.20.
    **dict.fromkeys(("mirr", "npv", "pmt", "ppmt", "pv", "rate")),
}

# Set by `tasks.distributed.launch`: so many workers of a training share this machine's cores.
SHARED_BY = "MASKFLOWNET_SHARED_BY"

# Of control groups, versions 2 and 1: the files with a group's limit of memory and with what it
# uses, and the field of memory.stat that says how much of this is cached files.
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def explain_missing_library(error: Exception) -> str | None:
    """Say in one line what to install when an import failed for want of MXNet or a library.

    Parameters
    ----------
    error : Exception
        What `import cv2` (an ImportError) or `import mxnet` (that, or an OSError) raised.

    Returns
    -------
    str or None
        The line, or None if the error is of another kind. For a system library it names the
        packages of all of them, since a machine that lacks one lacks the others too.
    """
    if getattr(error, "name", None) == "mxnet":
        return MXNET_MISSING
    match = re.match(r"(\S+): cannot open shared object file", str(error))
    if match is None:
        return None
    if match[1] == DRIVER_LIBRARY:
        return (
            f"NVIDIA's driver is missing ({DRIVER_LIBRARY}), which {GPU_BUILD} links: install the "
            "driver, or use the environment for CPUs (make venv)"
        )
    if match[1] in CUDA_LIBRARIES:
        return (
            f"the library {match[1]} is missing, which {GPU_BUILD} links: install it with "
            f"`{sys.executable} -m pip install --no-deps -r requirements-gpu.txt`"
        )
    if match[1] not in SYSTEM_LIBRARIES:
        return None
    return (
        f"the system library {match[1]} is missing: install it with "
        f"`apt-get install {' '.join(SYSTEM_LIBRARIES.values())}`, as root "
        "(other systems than Debian and Ubuntu name the packages differently)"
    )


def usable_cores(root: Path = Path("/"), cpus: Iterable[int] | None = None) -> int:
    """Return how many physical cores this process may use, at least 1.

    Two hyper-threads of one core count once (outside Linux nothing says which they are, so there
    they count twice). Of a quota on processor time, such as 2.5 cores, the fraction is not used:
    threads that wait for each other would all be as slow as the one that is held back. Where
    several workers of a training share the cores, each may use its part.

    Parameters
    ----------
    root : pathlib.Path
        Of the file system that holds Linux's proc/ and sys/.
    cpus : iterable of int, optional
        The logical processors to count; by default those that this process may run on.
    """
    if cpus is None:
        linux = hasattr(os, "sched_getaffinity")
        cpus = os.sched_getaffinity(0) if linux else range(os.cpu_count() or 1)
    cores = {_hyper_threads(root, cpu) for cpu in cpus}
    shared_by = int(os.environ.get(SHARED_BY, 1))
    return max(1, min([len(cores), *map(int, _quotas(root))]) // shared_by)


def _hyper_threads(root, cpu):
    """Return which logical processors share a core with this one, such as "0,64"."""
    siblings = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return siblings.read_text().strip() if siblings.exists() else str(cpu)


def _quotas(root) -> Iterator[float]:
    """Yield the limits on this process's processor time, in cores."""
    for group in control_groups("cpu", root):
        if (group / "cpu.max").exists():  # version 2
            quota, period = (group / "cpu.max").read_text().split()
        elif (group / "cpu.cfs_quota_us").exists():  # version 1
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text()
        else:
            continue
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)


def control_groups(controller: str, root: Path = Path("/")) -> Iterator[Path]:
    """Yield the folders of the control groups that limit this process, as in containers.

    A limit holds for a group of processes and for all groups below it, so the own group comes first
    and the topmost last. Both versions of control groups are looked for; cgroups(7) describes them.

    Parameters
    ----------
    controller : str
        What is limited: "cpu" or "memory".
    root : pathlib.Path
        Of the file system that holds Linux's proc/ and sys/.
    """
    own = root / "proc/self/cgroup"
    for line in own.read_text().splitlines() if own.exists() else ():
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one hierarchy, without a name. In version 1 the folder of several
        # controllers may list them in another order than here; each has a link to it.
        top = root / "sys/fs/cgroup"
        top = next((top / name for name in (controllers, controller) if (top / name).is_dir()), top)
        group = top / name.strip("/")
        for folder in (group, *group.parents):
            yield folder
            if folder == top:
                break


def free_bytes(root: Path = Path("/")) -> int | None:
    """Return how much memory this process may still take, or None where that is not known.

    Parameters
    ----------
    root : pathlib.Path
        Of the file system that holds Linux's proc/ and sys/.
    """
    free = list(_free_in_groups(root))
    meminfo = root / "proc/meminfo"
    if meminfo.exists():
        fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        free.append(int(fields["MemAvailable"].split()[0]) * 1024)
    return min(free, default=None)


def _free_in_groups(root) -> Iterator[int]:
    """Yield what is free of each limit on this process's memory."""
    for group in control_groups("memory", root):
        for limit, used, cached in _MEMORY_FILES:
            if not (group / limit).exists():
                continue
            most = (group / limit).read_text().strip()
            if most != "max":
                lines = (group / "memory.stat").read_text().splitlines()
                fields = dict(line.split() for line in lines)
                # Cached files make room when it is needed.
                yield int(most) - int((group / used).read_text()) + int(fields.get(cached, 0))


def cuda_library_files(path: list[str] | None = None) -> dict[str, Path]:
    """Return where pip puts each of CUDA_LIBRARIES; nothing where MXNet's build for GPUs is absent.

    Parameters
    ----------
    path : list of str, optional
        The folders in which Python looks for packages; by default sys.path.
    """
    folders = sys.path if path is None else path
    build = next(iter(metadata.distributions(name=GPU_BUILD, path=folders)), None)
    if build is None:
        return {}
    return {
        library: Path(str(build.locate_file("nvidia"))) / _folder(package) / "lib" / library
        for library, package in CUDA_LIBRARIES.items()
    }


def _folder(package):
    """Return the folder in nvidia/ that a package fills: cuda_nvrtc for nvidia-cuda-nvrtc-cu11."""
    return package.removeprefix("nvidia-").removesuffix("-cu11").replace("-", "_")


def load_cuda_libraries(path: list[str] | None = None) -> None:
    """Load what `cuda_library_files` finds, so that MXNet need not look for it.

    What is not there is passed over: the system may have it, and MXNet names it otherwise.
    """
    for file in cuda_library_files(path).values():
        with contextlib.suppress(OSError):
            ctypes.CDLL(str(file))


def lend_names_to_mxnet() -> None:
    """Let MXNet, and no other code, find NUMPY_NAMES in NumPy.

    NumPy's own `__getattr__` is asked for what the module lacks, so what it has stays what it is.
    """
    ask_numpy = np.__getattr__

    def ask(name):
        caller = sys._getframe(1).f_globals.get("__name__") or ""
        if name in NUMPY_NAMES and caller.partition(".")[0] == "mxnet":
            return NUMPY_NAMES[name]
        return ask_numpy(name)

    np.__getattr__ = ask  # type: ignore[method-assign]


class LateModule(ModuleType):
    """Stands in for a module that takes long to import, until something in it is looked up."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            sys.modules.pop(self.__name__, None)
        return getattr(importlib.import_module(self.__name__), name)


class LateForMXNet(MetaPathFinder):
    """Has MXNet, and no other code, get a LateModule where it imports a module.

    It stands for the module while MXNet is imported, and MXNet keeps it; afterwards whoever imports
    the module gets the module itself. (The standard library's LazyLoader is of no use here: a
    second `import` is enough for it to load, and MXNet has two.)

    Parameters
    ----------
    late : str
        The module, such as "scipy.stats". If it is loaded already, or what it lies in is not
        installed, nothing changes.
    """

    def __init__(self, late: str):
        self._late = late

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of MXNet as the other finders know it, with a loader of ours."""
        if name != "mxnet":
            return None
        others = (one for one in sys.meta_path if one is not self and hasattr(one, "find_spec"))
        found = (one.find_spec(name, path, target) for one in others)
        spec = next(filter(None, found), None)
        if spec and spec.loader:
            load = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self._load(load, module)  # type: ignore[method-assign]
        return spec

    def _load(self, load, module):
        package = self._late.partition(".")[0]
        stands_in = self._late not in sys.modules and importlib.util.find_spec(package) is not None
        late = LateModule(self._late)
        if stands_in:
            sys.modules[self._late] = late
        try:
            load(module)
        finally:
            if sys.modules.get(self._late) is late:
                del sys.modules[self._late]


# An empty OMP_NUM_THREADS is none for MXNet.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or str(usable_cores())
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("MXNET_CPU_TEMP_COPY", "1")

load_cuda_libraries()

sys.meta_path.insert(0, LateForMXNet("scipy.stats"))

lend_names_to_mxnet()
