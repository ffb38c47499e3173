"""Fast operators for CPU contexts, written in C++, and the one place that chooses them.

`kernels.build` makes the library from `kernels/source` against the headers in MXNet's package: in a
clone by `make kernels`, in an installed package when a network first wants it. Where it is missing,
or the processor has no AVX2, MXNet's own operators do the work: slower, with the same results.

The operators (`maskflownet_cost_volume`, `maskflownet_tied_deform`, `maskflownet_trade_off`,
`maskflownet_dense_block`, `maskflownet_pyramid`, `maskflownet_enlarge`,
`maskflownet_multiscale_loss`) write their gradients and cannot add to one that is there, since
MXNet does not tell them which is wanted. `network.fast_operators` puts a copy between them and any
parameter whose gradients add up. `maskflownet_image_warp` has no gradient, nor have the operators
of augmentation, `maskflownet_affine_sample` and `maskflownet_colours`.
"""

import contextlib
import ctypes
import functools
import logging
import os
import struct
from collections.abc import Sequence
from typing import Any

from maskflownet import runtime  # noqa: F401  (before MXNet)

# isort: split
import mxnet as mx

from maskflownet import IN_CLONE
from maskflownet.config.errors import InputError
from maskflownet.kernels import build

LIBRARY = build.library_path()
HOW_TO_BUILD = "`make kernels`" if IN_CLONE else "`python -m maskflownet.kernels`"
VARIABLE = "MASKFLOWNET_KERNELS"
CHOICES = ("auto", "builtin")
PRECISIONS = ("float32", "bf16")
BF16_UNITS = ("amx", "avx512_bf16")  # vector units whose products of bf16 are the faster ones

_LOG = logging.getLogger(__name__)


def use_fast(choice: str | None, contexts: Sequence[Any]) -> bool:
    """Decide whether the fast operators run on these devices, and load them if so.

    Parameters
    ----------
    choice : {"auto", "builtin"} or None
        "builtin" for MXNet's own operators; None for what the environment variable
        MASKFLOWNET_KERNELS says, by default "auto".
    contexts : list of mxnet.Context
        On a GPU MXNet's own operators run always.

    Returns
    -------
    bool
        If it is False on a CPU, a log line says why.

    Raises
    ------
    InputError
        For another choice.
    """
    source = "kernels" if choice else VARIABLE
    choice = choice or os.environ.get(VARIABLE) or "auto"
    if choice not in CHOICES:
        raise InputError(f"{source} {choice!r}: expected one of {', '.join(CHOICES)}")
    if any(context.device_type != "cpu" for context in contexts):
        return False
    reason = "as chosen" if choice == "builtin" else _obstacle()
    if reason:
        _say(reason)
    return reason is None


def check_precision(precision: str, fast: bool) -> bool:
    """Return whether the numbers that convolutions multiply are rounded to bf16.

    Parameters
    ----------
    precision : {"float32", "bf16"}
        With "bf16" convolutions multiply numbers of 8 significant bits, in place of 24, and add up
        in float32: with AMX all of them; without it those of dense blocks that have more than 64
        outputs and enough pixels.
    fast : bool
        Whether the fast operators run; MXNet's own know nothing of it.

    Raises
    ------
    InputError
        For another precision, or one that would not be faster here.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    if precision == "bf16" and not (fast and vector_unit() in BF16_UNITS):
        raise InputError(
            "precision bf16: it takes the fast operators on a processor with AMX (Intel Xeon since "
            "2023) or AVX512-BF16 (AMD since Zen 4), compiled by g++ 11 or newer; leave it out"
        )
    return precision == "bf16"


def vector_unit() -> str:
    """Return what the loaded library computes with: "amx", "avx512_bf16", "avx512" or "avx2"."""
    return _answer(load_library().maskflownet_unit_in_use)


@functools.cache  # once
def _say(reason):
    _LOG.info("MXNet's own operators run (%s)", reason)


@functools.cache
def _obstacle():
    """Load the library and return None, or say in a few words why it cannot be used."""
    if not LIBRARY.exists() and not IN_CLONE:
        _build_once()
    if not LIBRARY.exists():
        return f"the fast ones are not built: {HOW_TO_BUILD} builds them where g++ is installed"
    try:
        _check_length(LIBRARY)
        library = load_library()
        if _answer(library.maskflownet_sources) != build.hash_of_sources():
            return f"the fast ones were built from other sources: {HOW_TO_BUILD} builds them anew"
        if not _answer(library.maskflownet_vector_unit):
            return "the fast ones need a processor with AVX2 and FMA, or AVX-512"
        mx.library.load(str(LIBRARY), verbose=False)
    except (OSError, AttributeError, mx.base.MXNetError) as error:
        reason = str(error).splitlines()[0]
        return (
            f"{LIBRARY} cannot be loaded: {reason}; remove {LIBRARY.parent}, then {HOW_TO_BUILD} "
            "builds it anew"
        )
    return None


def load_library() -> ctypes.CDLL:
    """Return the library, for those of its functions that are no MXNet operators."""
    return ctypes.CDLL(str(LIBRARY))


def _answer(function):
    """Call a function of the library that returns a text."""
    function.restype = ctypes.c_char_p
    return function().decode()


def _build_once():
    """Build the library of an installed package; a reason why that cannot be is kept beside it."""
    failed = LIBRARY.with_suffix(".failed")
    if failed.exists():
        return
    _LOG.info("building the fast operators, once, in %s (half a minute)", LIBRARY.parent)
    try:
        build.build(LIBRARY)
    except (build.CannotBuildError, OSError) as error:
        _LOG.info("the fast operators cannot be built: %s", error)
        with contextlib.suppress(OSError):
            failed.parent.mkdir(parents=True, exist_ok=True)
            failed.write_text(f"{error}\n")


def _check_length(library):
    """Raise OSError for a file that is cut short: to load it would end this process."""
    with library.open("rb") as file:
        header = file.read(64)
    # At the end of the file are its section headers (ELF: e_shoff, e_shentsize, e_shnum).
    start, size, count = struct.unpack("<40xQ10xHH2x", header.ljust(64, b"\0"))
    if start == 0 or library.stat().st_size < start + size * count:
        raise OSError("it is damaged or cut short")
