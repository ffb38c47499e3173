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
- MXNet's own imports: it is lent what it looks up in NumPy, and spared what it does not need
  (`mxnet_import.py`).
"""

import contextlib
import ctypes
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from maskflownet.mxnet_import import LateForMXNet, lend_names_to_mxnet

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


# An empty OMP_NUM_THREADS is none for MXNet.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or str(usable_cores())
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("MXNET_CPU_TEMP_COPY", "1")

load_cuda_libraries()

sys.meta_path.insert(0, LateForMXNet("scipy.stats"))

lend_names_to_mxnet()
