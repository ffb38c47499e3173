"""Building the fast CPU operators: `python -m maskflownet.kernels` does, and `make kernels`.

In a clone the library lies in kernels/build. An installed package may lie where nobody can write,
so there it is kept in the user's cache (`XDG_CACHE_HOME`, by default ~/.cache), once per version of
the sources and of MXNet; the first network that wants it builds it. The compiler is g++, or what
the environment variable CXX names. MXNet's package brings the headers.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from maskflownet import IN_CLONE
from maskflownet.whole_file import whole_file

KERNELS = Path(__file__).resolve().parent
SOURCE = KERNELS / "source"
NAME = "libmaskflownet.so"
LANGUAGE = ("-std=c++17", "-fPIC", "-fopenmp")
FLAGS = (
    *("-O3", "-fno-exceptions", "-Wall", "-Wextra"),
    # GCC takes the undefined vectors inside of its own intrinsics for mistakes.
    *("-Wno-maybe-uninitialized", "-Wno-uninitialized"),
)
# What a unit of the kernels is compiled for.
_AVX512 = ("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma")
_AVX512_BF16 = (*_AVX512, "-mavx512bf16")
UNITS = {
    "avx2": ("-mavx2", "-mfma"),
    "avx512": _AVX512,
    "avx512_bf16": _AVX512_BF16,
    "amx": (*_AVX512_BF16, "-mamx-tile", "-mamx-bf16"),
}
# Compilers before GCC 10 know none of these, GCC 10 not the last: each has a trial of its own.
NEWER = ("avx512_bf16", "amx")


class CannotBuildError(Exception):
    """The operators cannot be built on this machine; the message says why in a few words."""


def hash_of_sources(source: Path = SOURCE) -> str:
    """Return 64 hex digits that tell the sources from others; the library holds them too."""
    files = sorted(source.glob("[!.]*"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def library_path() -> Path:
    """Return where the library lies, or would."""
    if IN_CLONE:
        return KERNELS / "build" / NAME
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "maskflownet" / f"{hash_of_sources()[:16]}-mxnet{_mxnet_version()}" / NAME


def _mxnet_version():
    for name in ("mxnet", "mxnet-cu112"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "-missing"


def build(library: Path, compiler: str | None = None) -> None:
    """Build the library, whole or not at all, unless it is there and of these sources.

    Two processes that want it at once build it once: the second waits for the first.

    Parameters
    ----------
    library : pathlib.Path
        Where it shall be; objects are kept beside it.
    compiler : str, optional
        By default what the environment variable CXX names, else g++.

    Raises
    ------
    CannotBuildError
        The processor is not x86-64, or no compiler does what is asked of it.
    OSError
        The folder cannot be written to.
    """
    compiler = compiler or os.environ.get("CXX") or "g++"
    _check_machine(compiler)
    with _alone(library.parent):
        stamp = library.with_suffix(".made_of")
        units = known_units(compiler)
        wanted = " ".join((hash_of_sources(), *units))
        if library.exists() and stamp.exists() and stamp.read_text() == wanted:
            return
        names = (*units, "operators", "lib_api")
        objects = compile_objects(names, library.parent, compiler)
        with whole_file(library) as part:
            _run([compiler, "-shared", "-fopenmp", *map(str, objects), "-o", str(part)])
        with whole_file(stamp) as part:
            part.write_text(wanted)


def _check_machine(compiler):
    """Raise CannotBuildError where the operators cannot be built."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise CannotBuildError("the fast operators are for x86-64")
    if not _compiles(compiler):
        raise CannotBuildError(f"no C++ compiler ({compiler}) for C++17 with OpenMP")


def known_units(compiler: str) -> list[str]:
    """Return the keys of UNITS that a compiler can compile for."""
    return [unit for unit in UNITS if unit not in NEWER or _compiles(compiler, UNITS[unit], unit)]


def _compiles(compiler, flags=(), unit="trial"):
    """Return whether a compiler makes a small program, by default of C++17 with OpenMP.

    That of a unit has its instructions: an assembler may be older than its compiler.
    """
    trial = KERNELS / ("trial.cc" if unit == "trial" else f"trial_{unit}.cc")
    with contextlib.suppress(OSError, CannotBuildError):
        _run([compiler, *LANGUAGE, *flags, str(trial), "-o", os.devnull])
        return True
    return False


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Within the block no other process builds in this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # goes with the process, however it ends
        yield


def compile_objects(
    names: Sequence[str], folder: Path, compiler: str, flags: Sequence[str] = FLAGS
) -> list[Path]:
    """Compile units of the library, those that changed since the last time.

    Parameters
    ----------
    names : sequence of str
        Keys of UNITS, "operators" (what MXNet calls) or "lib_api" (MXNet's half of the interface,
        which its package brings as source).
    folder : pathlib.Path
        Where the objects go: NAME.o, each whole or not at all.
    compiler : str
    flags : sequence of str
        For the kernels: optimisation, sanitizers.

    Returns
    -------
    list of pathlib.Path
        The objects, in the order of `names`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(max(1, len(os.sched_getaffinity(0)))) as pool:
        return list(pool.map(lambda name: _compile(name, folder, compiler, flags), names))


def _compile(name, folder, compiler, flags):
    """Compile one object unless it is there, made by the same command of the same sources."""
    wanted = folder / f"{name}.o"
    command = [compiler, *LANGUAGE]
    if name in UNITS:
        command += [*flags, *UNITS[name], "-c", str(SOURCE / f"{name}.cc")]
    else:
        command += ["-O2", "-isystem", str(_mxnet_folder() / "include")]
        if name == "operators":
            command += ["-Wall", "-Wextra", f'-DSOURCES="{hash_of_sources()}"']
            command += ["-c", str(SOURCE / "operators.cc")]
        else:
            command += ["-c", str(_mxnet_folder() / "src" / "lib_api.cc")]
    sources = "" if name == "lib_api" else hash_of_sources()
    made_by = f"{sources} {command}"
    note = folder / f"{name}.made_by"
    if wanted.exists() and note.exists() and note.read_text() == made_by:
        return wanted
    with whole_file(wanted) as part:
        _run([*command, "-o", str(part)])
    with whole_file(note) as part:
        part.write_text(made_by)
    return wanted


def _mxnet_folder():
    """Return where MXNet's package lies, without importing it."""
    found = importlib.util.find_spec("mxnet")
    if found is None or not found.submodule_search_locations:
        raise CannotBuildError("MXNet, whose headers are needed, is not installed")
    return Path(found.submodule_search_locations[0])


def _run(command):
    """Run a compiler; CannotBuildError with what it says where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        first = next((line for line in lines if "error" in line), lines[-1])
        raise CannotBuildError(f"{command[0]} failed: {first}")
