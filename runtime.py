"""What must happen before MXNet is imported. Importing this module does it; do so first.

- Threads: MXNet takes half of the cores for hyper-threads and runs on the other half. Here it gets
  one thread per core that this process may use, unless OMP_NUM_THREADS is already set.
- NumPy: MXNet 1.9.1 still says `np.bool`, which NumPy 1.24 removed. Nothing else is missing up to
  NumPy 1.26, so that one alias is enough; it must stay, since MXNet looks it up later too.
"""

import os
import warnings

import numpy as np


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
