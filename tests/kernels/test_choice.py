"""Whose operators run: what was chosen, what can be loaded, and what is said about it."""

from maskflownet import runtime  # noqa: F401  (before MXNet)

# isort: split
import ctypes
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import pytest
from kernel_tables import BUILT, NOT_BUILT, UNITS, table
from shared_libraries import compile_library

from maskflownet import kernels
from maskflownet.config.errors import InputError
from maskflownet.kernels import build

CPU, ROOT = [mx.cpu()], Path(__file__).parents[2]

# Loads a library instead of the built one; prints whether the fast operators run, and what is said.
SCRIPT = """
import logging, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
from maskflownet import kernels
kernels.LIBRARY = Path(sys.argv[1])
import mxnet as mx
for _ in "12":
    print(kernels.use_fast(None, [mx.cpu()]))
one = mx.nd.ones((1, 1, 4, 4))
print(hasattr(mx.nd, "maskflownet_cost_volume"), (one + one).sum().asscalar())
"""


def choose(library=BUILT, **environment):
    """Return what a fresh process says that tries to load this library."""
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, library]
    environment = {**os.environ, kernels.VARIABLE: "", **environment}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout.splitlines()


def assert_builtin(lines, reason):
    """However often they are used, one line says why."""
    assert lines[0].startswith("MXNet's own operators run (") and reason in lines[0]
    assert lines[1:] == ["False", "False", "False 32.0"]


@pytest.fixture
def built():
    if not BUILT.exists():
        pytest.skip(NOT_BUILT)


def test_builtin_is_builtin_and_says_so(caplog):
    caplog.set_level(logging.INFO)
    kernels._say.cache_clear()
    assert kernels.use_fast("builtin", CPU) is False
    assert caplog.messages == ["MXNet's own operators run (as chosen)"]


@pytest.mark.parametrize("value", ["fast", "Auto", "auto ", "0"])
def test_another_choice_lists_the_choices(value, monkeypatch):
    with pytest.raises(InputError, match=f"kernels '{value}': expected one of auto, builtin"):
        kernels.use_fast(value, CPU)
    monkeypatch.setenv(kernels.VARIABLE, value)
    with pytest.raises(InputError, match=f"{kernels.VARIABLE} '{value}': expected one of auto"):
        kernels.use_fast(None, CPU)
    assert kernels.use_fast("builtin", CPU) is False  # what is said wins


def test_the_variable_chooses_where_nothing_is_said(built, monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "builtin")
    assert kernels.use_fast(None, CPU) is False
    usable = kernels.use_fast("auto", CPU)
    for value in ("auto", ""):
        monkeypatch.setenv(kernels.VARIABLE, value)
        assert kernels.use_fast(None, CPU) is usable
    monkeypatch.delenv(kernels.VARIABLE)
    assert kernels.use_fast(None, CPU) is usable


@pytest.mark.parametrize("contexts", [[mx.gpu(0)], [mx.cpu(), mx.gpu(1)]])
def test_on_a_gpu_the_builtin_ones_run_and_nothing_is_said(contexts, caplog):
    caplog.set_level(logging.INFO)
    assert kernels.use_fast("auto", contexts) is False and not caplog.messages


def test_what_is_built_can_be_loaded_twice(built):
    lines = choose()
    if "needs a processor" not in lines[0]:
        assert lines == ["True", "True", "True 32.0"]


def obstacle(path, monkeypatch):
    """Return what keeps this library from being used."""
    monkeypatch.setattr(kernels, "LIBRARY", path)
    return kernels._obstacle.__wrapped__()


def test_a_library_that_is_not_there(tmp_path, monkeypatch):
    assert "`make kernels` builds them" in obstacle(tmp_path / "none.so", monkeypatch)


@pytest.mark.parametrize("share", [0, 1e-4, 0.3, 0.6, 0.99])
def test_a_library_that_is_cut_short(tmp_path, built, share, monkeypatch):
    """The system's loader would have the process killed."""
    whole, path = BUILT.read_bytes(), tmp_path / "part.so"
    path.write_bytes(whole[: int(share * len(whole))])
    assert obstacle(path, monkeypatch).startswith(f"{path} cannot be loaded: it is damaged")


def test_a_library_of_something_else(tmp_path, monkeypatch):
    path = tmp_path / "other.so"
    path.write_text("This is no library.\n" * 1000)
    assert f"remove {tmp_path}, then `make kernels`" in obstacle(path, monkeypatch)
    assert "undefined symbol" in obstacle(compile_library(tmp_path / "empty.so"), monkeypatch)


def test_a_library_of_other_sources(tmp_path, built, monkeypatch):
    """Such as those before an update: it may read the same inputs in another order."""
    sources = tmp_path / "source"
    shutil.copytree(build.SOURCE, sources)
    monkeypatch.setattr(build.hash_of_sources, "__defaults__", (sources,))
    (sources / ".layout.h.swp").write_text("an editor's")
    assert "other sources" not in str(obstacle(BUILT, monkeypatch))
    with (sources / "layout.h").open("a") as file:
        file.write("// A change.\n")
    assert obstacle(BUILT, monkeypatch).startswith("the fast ones were built from other sources")


@pytest.mark.long
def test_without_a_library_mxnets_operators_run(tmp_path):
    assert_builtin(choose(tmp_path / "none.so"), "`make kernels` builds them")


def test_a_processor_without_avx2(built):
    """The variable by which MXNet's convolutions are held back stands in for such a processor."""
    assert_builtin(choose(DNNL_MAX_CPU_ISA="SSE41"), "need a processor with AVX2")


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [
        *[(limit, UNITS) for limit in ("AVX512_CORE_AMX", "ALL", "DEFAULT", "", None)],
        ("AVX512_CORE", ("avx2", "avx512")),
        ("AVX512_CORE_BF16", ("avx2", "avx512", "avx512_bf16")),
        ("AVX2", ("avx2",)),
        ("AVX", ()),
        ("SSE41", ()),
    ],
)
def test_a_limit_holds_for_the_unit_too(built, limit, allowed, monkeypatch):
    library = ctypes.CDLL(str(BUILT))
    library.maskflownet_vector_unit.restype = ctypes.c_char_p
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    widest = library.maskflownet_vector_unit().decode()
    if limit is not None:
        monkeypatch.setenv("DNNL_MAX_CPU_ISA", limit)
    got = library.maskflownet_vector_unit().decode()
    possible = UNITS[: UNITS.index(widest) + 1] if widest else ()
    assert got == max(set(allowed) & set(possible), key=UNITS.index, default="")


def test_the_widest_unit_that_can_run_is_chosen(built, monkeypatch):
    library = ctypes.CDLL(str(BUILT))
    library.maskflownet_vector_unit.restype = ctypes.c_char_p
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)

    def can_run(unit):
        try:
            return bool(table(unit))
        except pytest.skip.Exception:
            return False

    widest = max(filter(can_run, UNITS), key=UNITS.index, default="")
    assert library.maskflownet_vector_unit().decode() == widest
