"""The machine's GPUs, asked of NVIDIA's driver, and whether MXNet 1.9.1 can run on them.

The driver's library is asked directly, so all of it works where MXNet cannot be loaded. The
functions and numbers are those of NVIDIA's CUDA Driver API.
"""

import ctypes
from typing import NamedTuple

from maskflownet.config.errors import InputError
from maskflownet.runtime import DRIVER_LIBRARY, cuda_library_files

# The build for GPUs holds machine code for compute capability 5.0, 6.0, 7.0, 8.0 and 8.6, and
# nothing that a driver could translate for others. A GPU runs code of its own major version and of
# a minor version up to its own.
MAJOR_VERSIONS = range(5, 9)
# MXNet compiles some operators while it runs, with the compiler of this CUDA; the driver must load
# what comes out.
NEEDED_CUDA = (11, 8)
ON_THE_CPU = "leave -g out to run on the CPU"

_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR


class Gpu(NamedTuple):
    """A GPU.

    Attributes
    ----------
    name : str
    capability : tuple of int
        Its compute capability, (major, minor).
    """

    name: str
    capability: tuple[int, int]


class Driver(NamedTuple):
    """NVIDIA's driver.

    Attributes
    ----------
    cuda : tuple of int
        The newest version of CUDA that it serves, (major, minor).
    gpus : tuple of Gpu
        Those that this process may use, in the order of their ids.
    """

    cuda: tuple[int, int]
    gpus: tuple[Gpu, ...]


def ask_driver(library: str = DRIVER_LIBRARY) -> Driver | None:
    """Ask the driver which GPUs there are.

    Parameters
    ----------
    library : str
        The name or path of its library.

    Returns
    -------
    Driver or None
        None where no driver is installed.

    Raises
    ------
    InputError
        The driver answers with an error, such as after an update without a restart.
    """
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return None

    version, count = ctypes.c_int(), ctypes.c_int()
    _ask(cuda, "cuDriverGetVersion", ctypes.byref(version))
    served = (version.value // 1000, version.value % 1000 // 10)
    if _ask(cuda, "cuInit", 0, may_be=_NO_DEVICE) == _NO_DEVICE:
        return Driver(served, ())
    _ask(cuda, "cuDeviceGetCount", ctypes.byref(count))
    return Driver(served, tuple(_gpu(cuda, number) for number in range(count.value)))


def _gpu(cuda, number):
    """Ask for one GPU."""
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    capability = ctypes.c_int(), ctypes.c_int()
    _ask(cuda, "cuDeviceGet", ctypes.byref(device), number)
    _ask(cuda, "cuDeviceGetName", name, len(name), device)
    for value, attribute in zip(capability, _CAPABILITY, strict=True):
        _ask(cuda, "cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
    return Gpu(name.value.decode(), tuple(value.value for value in capability))


def _ask(cuda, function, *arguments, may_be=0):
    """Call a function of the driver's library; return its error code, 0 or the one that may be."""
    error = getattr(cuda, function)(*arguments)
    if error not in (0, may_be):
        text = ctypes.c_char_p()
        cuda.cuGetErrorString(error, ctypes.byref(text))
        reason = (text.value or b"no reason given").decode()
        raise InputError(
            f"NVIDIA's driver does not work ({function}: {reason}, error {error}): restart the "
            f"machine or install the driver again, or {ON_THE_CPU}"
        )
    return error


def obstacle(driver: Driver, gpu: Gpu) -> str | None:
    """Say why the installed MXNet cannot run on a GPU, and what can be done.

    Parameters
    ----------
    driver : Driver
        The machine's.
    gpu : Gpu
        One that it serves.

    Returns
    -------
    str or None
        One line, or None if MXNet can run on it.
    """
    major, minor = gpu.capability
    if major not in MAJOR_VERSIONS:
        return (
            f"MXNet 1.9.1 cannot run on it, for it has code for compute capability "
            f"{MAJOR_VERSIONS[0]}.0 to {MAJOR_VERSIONS[-1]}.9 and this GPU has {major}.{minor}; "
            f"use another GPU, or {ON_THE_CPU}"
        )
    if driver.cuda < NEEDED_CUDA:
        return (
            f"its driver is too old: it serves CUDA {_dotted(driver.cuda)}, and MXNet needs "
            f"{_dotted(NEEDED_CUDA)} or newer; update the driver (520 or newer), or {ON_THE_CPU}"
        )
    if not cuda_library_files():
        return (
            f"the installed MXNet was built for CPUs: `make gpu` makes the environment .venv-gpu "
            f"with the one for GPUs; use that, or {ON_THE_CPU}"
        )
    return None


def _dotted(version):
    """Return a version as it is written: 11.8."""
    return ".".join(map(str, version))


def check_gpus(gpu_ids: list[int], driver: Driver | None) -> None:
    """See to it that MXNet can run on GPUs before it tries.

    Parameters
    ----------
    gpu_ids : list of int
        As -g names them.
    driver : Driver or None
        From `ask_driver`.

    Raises
    ------
    InputError
        It cannot run on one of them.
    """
    given = f"-g {','.join(map(str, gpu_ids))}"
    if driver is None:
        raise InputError(
            f"{given}: NVIDIA's driver is missing ({DRIVER_LIBRARY}): install it, or {ON_THE_CPU}"
        )
    count = len(driver.gpus)
    for gpu_id in gpu_ids:
        if gpu_id >= count:
            seen = f"only GPU {', '.join(map(str, range(count)))}" if count else "no GPU"
            raise InputError(f"{given}: NVIDIA's driver finds {seen}; {ON_THE_CPU}")
        gpu = driver.gpus[gpu_id]
        if reason := obstacle(driver, gpu):
            raise InputError(f"-g {gpu_id} ({gpu.name}): {reason}")
