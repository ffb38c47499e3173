"""What must happen before MXNet is imported. Importing this module does it; do so first.

- Threads: MXNet takes half of the cores for hyper-threads and runs on the other half. Here it gets
  one thread per core that this process may use, unless OMP_NUM_THREADS is already set.
- NumPy: MXNet 1.9.1 still says `np.bool`, which NumPy 1.24 removed. Nothing else is missing up to
  NumPy 1.26, so that one alias is enough; it must stay, since MXNet looks it up later too.
"""

import os
import re
import warnings

import numpy as np

# The system libraries that the wheels link without bringing them, each with Debian's package.
SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",  # OpenCV
    "libgthread-2.0.so.0": "libglib2.0-0",  # OpenCV
    "libgomp.so.1": "libgomp1",  # MXNet
    "libquadmath.so.0": "libquadmath0",  # MXNet
    "libstdc++.so.6": "libstdc++6",  # both
}


def explain_missing_library(error: Exception) -> str | None:
    """Say in one line what to install when an import failed for want of a system library.

    Parameters
    ----------
    error : Exception
        What `import cv2` (an ImportError) or `import mxnet` (an OSError) raised.

    Returns
    -------
    str or None
        The line, or None if the error is of another kind. It names the packages of all of
        `SYSTEM_LIBRARIES`, since a machine that lacks one of them lacks the others too.
    """
    match = re.match(r"(\S+): cannot open shared object file", str(error))
    if match is None or match[1] not in SYSTEM_LIBRARIES:
        return None
    return (
        f"the system library {match[1]} is missing: install it with "
        f"`apt-get install {' '.join(SYSTEM_LIBRARIES.values())}`, as root "
        "(other systems than Debian and Ubuntu name the packages differently)"
    )


def usable_cores():
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))

with warnings.catch_warnings():
    # From 1.20 to 1.23 NumPy has the alias and warns at any look at it.
    warnings.simplefilter("ignore")
    if not hasattr(np, "bool"):
        np.bool = bool
