"""What is asked of a pickle before it is unpickled, with stand-ins for all that it may name."""

import pickletools
from typing import IO


def check_pickle(file: IO[bytes], most_bytes: int) -> None:
    """Read one pickle, up to its end; raise ValueError unless it is whole and of a sane size.

    Unpickling makes room for any memo number that is written there: in a damaged file one such
    number asks for all of the machine's memory.

    Parameters
    ----------
    file : file or mmap.mmap
        At the pickle's first byte; afterwards behind its last.
    most_bytes : int
        How long it may be.
    """
    start = file.tell()
    for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > step:
            raise ValueError(f"memo number {argument}")
        if file.tell() - start > most_bytes:
            raise ValueError(f"a pickle of more than {most_bytes} bytes")
