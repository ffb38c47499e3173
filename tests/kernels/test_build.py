"""How the kernels are built: with sanitizers, without a compiler, and what the linker sees."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_tables import BUILT, NOT_BUILT, VARIABLE

from maskflownet.kernels import build as builder
from maskflownet.kernels.build import SOURCE, CannotBuildError, build, compile_objects

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

# All of the library that the kernels' own tests need, without MXNet.
TABLES = """
#include <cstring>
#include "kernels.h"
extern const maskflownet::Kernels maskflownet::kAvx512Bf16 __attribute__((weak));
extern const maskflownet::Kernels maskflownet::kAmx __attribute__((weak));
extern "C" const maskflownet::Kernels* maskflownet_kernels(const char* unit) {
  if (std::strcmp(unit, "amx") == 0) return &maskflownet::kAmx;
  if (std::strcmp(unit, "avx512_bf16") == 0) return &maskflownet::kAvx512Bf16;
  return std::strcmp(unit, "avx512") == 0 ? &maskflownet::kAvx512 : &maskflownet::kAvx2;
}
"""


@pytest.fixture
def compiler():
    return shutil.which("g++") or pytest.skip("there is no g++")


def compiler_that(tmp_path, script):
    """Return a stand-in for a compiler; it gets what is to be made as $out."""
    path = tmp_path / "compiler"
    path.write_text(f"#!/bin/sh\nfor out; do :; done\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "name", ["/nonexistent", pytest.param("no-such-compiler", marks=pytest.mark.long)]
)
def test_without_a_compiler_the_command_says_so_in_a_line(name):
    environment = {**os.environ, "CXX": name}
    command = [sys.executable, "-m", "maskflownet.kernels"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    said = f"no C++ compiler ({name}) for C++17 with OpenMP: MXNet's own operators will run"
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith(said)
    assert done.stdout.count("\n") == 1


def test_without_a_compiler_nothing_is_made(tmp_path):
    with pytest.raises(CannotBuildError, match="no C"):
        build(tmp_path / "build" / "library.so", "no-such-compiler")
    assert not (tmp_path / "build").exists()


def test_a_compiler_without_openmp_is_none(tmp_path):
    compiler = compiler_that(tmp_path, 'case "$*" in *-fopenmp*) exit 1;; esac')
    with pytest.raises(CannotBuildError, match="with OpenMP"):
        build(tmp_path / "library.so", compiler)


def test_what_is_built_is_not_built_again(tmp_path):
    compiler = compiler_that(tmp_path, f'echo once >> {tmp_path}/calls; echo made > "$out"')
    calls = tmp_path / "calls"
    library = tmp_path / "build" / "library.so"
    build(library, compiler)
    made = calls.read_text().count("once")
    # Three trials, six objects, the library.
    assert made == 10 and library.read_text() == "made\n"
    build(library, compiler)
    assert calls.read_text().count("once") == made + 3  # the trials alone


def test_a_build_of_other_sources_is_made_anew(tmp_path, monkeypatch):
    compiler = compiler_that(tmp_path, f'echo once >> {tmp_path}/calls; echo made > "$out"')
    library = tmp_path / "build" / "library.so"
    build(library, compiler)
    monkeypatch.setattr(builder, "hash_of_sources", lambda: "others")
    before = (tmp_path / "calls").read_text().count("once")
    build(library, compiler)
    # All but MXNet's own half.
    assert (tmp_path / "calls").read_text().count("once") == before + 9


def test_a_compile_that_fails_leaves_nothing_and_says_why(tmp_path):
    script = (
        'case "$*" in *trial.cc*) exit 0;; esac\n'
        'echo half > "$out"; echo "it.cc:1: error: no room" >&2; exit 1'
    )
    with pytest.raises(CannotBuildError, match="no room"):
        build(tmp_path / "build" / "library.so", compiler_that(tmp_path, script))
    assert [path.name for path in (tmp_path / "build").iterdir()] == [".lock"]


@pytest.mark.long
def test_folders_may_have_spaces_in_their_names(tmp_path, compiler):
    (made,) = compile_objects(["lib_api"], tmp_path / "a folder", compiler)
    assert made.stat().st_size > 0


@pytest.mark.parametrize(
    ("unknown", "missing"), [("-mamx", {"amx"}), ("-mavx512bf16", {"amx", "avx512_bf16"})]
)
def test_an_older_compiler_builds_what_it_knows(tmp_path, unknown, missing):
    def built():
        return {path.stem for path in (tmp_path / "build").glob("*.o")} & builder.UNITS.keys()

    compiler = compiler_that(
        tmp_path, f'case "$*" in *{unknown}*) exit 1;; esac; echo made > "$out"'
    )
    build(tmp_path / "build" / "library.so", compiler)
    assert built() == builder.UNITS.keys() - missing
    # Once there is a newer one, it builds what is missing.
    build(tmp_path / "build" / "library.so", compiler_that(tmp_path, 'echo made > "$out"'))
    assert built() == set(builder.UNITS)


@pytest.mark.parametrize(
    ("unit", "table"),
    [
        ("avx2", "kAvx2"),
        ("avx512", "kAvx512"),
        ("avx512_bf16", "kAvx512Bf16"),
        ("amx", "kAmx"),
    ],
)
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
    flags = ["-O1", "-fno-exceptions", *SANITIZE]
    units = builder.known_units(compiler)
    objects = compile_objects(units, tmp_path, compiler, flags)
    source, library = tmp_path / "tables.cc", tmp_path / "tables.so"
    source.write_text(TABLES)
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-fopenmp",
        *SANITIZE,
        f"-I{SOURCE}",
        source,
        *objects,
        "-o",
        library,
    ]
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
