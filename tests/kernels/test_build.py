"""How the kernels are built: with sanitizers, without a compiler, and what the linker sees."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_tables import BUILT, NOT_BUILT, VARIABLE

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

# All of the library that the kernels' own tests need, without MXNet.
TABLES = """
#include <cstring>
#include "source/kernels.h"
extern "C" const maskflownet::Kernels* maskflownet_kernels(const char* unit) {
  return std::strcmp(unit, "avx512") == 0 ? &maskflownet::kAvx512 : &maskflownet::kAvx2;
}
"""


def make(folder, *arguments):
    """Run make in a folder with a copy of kernels/ and return what it printed."""
    ignore = shutil.ignore_patterns("build", "__pycache__")
    shutil.copytree(KERNELS, folder, ignore=ignore, dirs_exist_ok=True)
    # Not as a part of the make that runs the tests.
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "-C", folder, f"RUN={sys.executable}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def compiler():
    return shutil.which("g++") or pytest.skip("there is no g++")


@pytest.mark.parametrize("compiler_name", ["/nonexistent", "no-such-compiler"])
def test_without_a_compiler_a_line_says_so(tmp_path, compiler_name):
    said = make(tmp_path, f"CXX={compiler_name}")
    assert f"No C++ compiler ({compiler_name}) for C++17 with OpenMP: MXNet's own" in said
    assert not (tmp_path / "build").exists()


def compiler_that(tmp_path, script):
    """Return a stand-in for a compiler."""
    path = tmp_path / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_compiler_without_openmp_is_none(tmp_path):
    compiler = compiler_that(tmp_path, 'case "$*" in *-fopenmp*) exit 1;; esac')
    said = make(tmp_path / "kernels", f"CXX={compiler}")
    assert f"No C++ compiler ({compiler}) for C++17 with OpenMP: MXNet's own" in said


def test_folders_may_have_spaces_in_their_names(tmp_path):
    """Here that of the environment, which holds MXNet."""
    environment = tmp_path / "an environment"
    environment.symlink_to(sys.prefix)
    compiler = compiler_that(
        tmp_path, f'printf "%s\\n" "$@" > {tmp_path}/said; touch build/lib_api.o.part'
    )
    python = environment / "bin" / "python"
    make(tmp_path / "kernels", f"CXX={compiler}", f"RUN={python}", "build/lib_api.o")
    said = (tmp_path / "said").read_text().splitlines()
    (include,) = (Path(word[2:]) for word in said if word.startswith("-I"))
    assert include.is_relative_to(environment) and (include / "mxnet" / "lib_api.h").exists()


def test_a_compile_that_fails_leaves_no_object(tmp_path):
    compiler = compiler_that(tmp_path, "echo half > build/lib_api.o.part; exit 1")
    with pytest.raises(AssertionError, match="lib_api"):
        make(tmp_path / "kernels", f"CXX={compiler}", "build/lib_api.o")
    assert not (tmp_path / "kernels" / "build" / "lib_api.o").exists()


@pytest.mark.parametrize(("unit", "table"), [("avx2", "kAvx2"), ("avx512", "kAvx512")])
def test_the_linker_sees_of_a_unit_nothing_but_its_table(unit, table):
    """It would keep one copy of what both define, perhaps that for the wider unit."""
    symbols = BUILT.with_name(f"{unit}.o")
    if not symbols.exists():
        pytest.skip(NOT_BUILT)
    if shutil.which("nm") is None:
        pytest.skip("there is no nm")
    command = ["nm", "-C", "--extern-only", "--defined-only", symbols]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [line.split(maxsplit=2)[1:] for line in lines] == [["D", f"maskflownet::{table}"]]


@pytest.mark.long
def test_sanitizers_find_nothing(tmp_path, compiler):
    """Addresses and undefined behaviour, while the kernels' own tests run."""
    flags = f"-std=c++17 -O1 -fPIC -fopenmp -fno-exceptions {' '.join(SANITIZE)}"
    make(tmp_path, "-j2", f"FLAGS={flags}", "build/avx2.o", "build/avx512.o")
    source, library = tmp_path / "tables.cc", tmp_path / "tables.so"
    source.write_text(TABLES)
    objects = [tmp_path / "build" / f"{unit}.o" for unit in ("avx2", "avx512")]
    command = [compiler, "-shared", "-fPIC", "-fopenmp", *SANITIZE, source, *objects, "-o", library]
    subprocess.run(command, check=True)
    found = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(Path(path).is_absolute() for path in found):
        pytest.skip("this g++ brings no sanitizers")
    assert b"maskflownet_kernels" in library.read_bytes()
    environment = {
        **os.environ,
        VARIABLE: str(library),
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    tests = [HERE / "test_kernels.py", "-n", "0", "-p", "no:cacheprovider", "-k", "not networks"]
    command = [sys.executable, "-m", "pytest", *tests]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "100%" in done.stdout
