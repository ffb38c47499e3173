"""Settings for all tests. One thread: there the golden numbers repeat to float rounding."""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import runtime  # noqa: F401  (before anything imports MXNet)
