"""The sizes at which a network can see images."""

from numbers import Integral

from maskflownet.config.errors import InputError

MULTIPLE = 64  # the coarsest pyramid level has 1/64 of the size
# MXNet counts an array's values in 31 bits; the largest, at level 2, has 579 channels of 1/16 size.
MAX_PIXELS = 2**31 * 16 // 579
# BilinearResize2D keeps the size that it makes in 16 bits: 66100 pixels would become 564.
MAX_RESIZED = 2**15 - 1


def check_network_size(size_hw: tuple[int, int]) -> None:
    """Raise InputError unless (height, width) are positive multiples of 64 that MXNet can count.

    They are what somebody asked for; `NetworkSize` checks what an image leads to.
    """
    try:
        height, width = size_hw
        is_size = isinstance(height, Integral) and isinstance(width, Integral)
    except (TypeError, ValueError):
        is_size = False
    if not is_size:
        raise InputError(f"resize: expected (height, width) in whole pixels, got {size_hw!r}")
    if height * width > MAX_PIXELS or max(size_hw) > MAX_RESIZED:
        raise InputError(
            f"resize {height},{width}: expected at most {MAX_PIXELS // 10**6} million pixels, and "
            f"{MAX_RESIZED} a side"
        )
    if any(length < MULTIPLE or length % MULTIPLE for length in size_hw):
        raise InputError(
            f"resize {height},{width}: expected multiples of {MULTIPLE}, such as 384,768"
        )
