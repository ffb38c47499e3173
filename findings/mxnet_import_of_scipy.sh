#!/usr/bin/env bash
# `import mxnet` loads all of scipy.stats, if SciPy is installed, and the standard library's LazyLoader
# does not put that off.
#
# MXNet does not ask for SciPy (its metadata names numpy, requests and graphviz), so one would guess
# that it makes nothing of it. But two of its modules import scipy.stats, one for tests of random numbers
# and one for networks of 8-bit integers, and both are imported with MXNet. That being some quarter of
# the import's time, one would put it off with importlib.util.LazyLoader, whose module loads when
# something in it is looked up. It loads at once: a second `import` of a module looks up its `__spec__`,
# and that is enough. Without SciPy, MXNet's import goes well.
#
# Seen 2026-11-28 with mxnet 1.9.1, scipy 1.10.1, numpy 1.23.5 (PyPI), Python 3.11.7, Linux x86-64:
#   mxnet requires: graphviz, numpy, requests
#   as it is: distributions of scipy.stats are loaded
#   with LazyLoader: distributions of scipy.stats are loaded
#   without SciPy: distributions of scipy.stats are not loaded
# Exits with 1 if that is otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mxnet==1.9.1 numpy==1.23.5 scipy==1.10.1
cat > "$folder/imports.py" <<'PYTHON'
import importlib.util
import re
import sys
from importlib import metadata

NAME, PART = "scipy.stats", "scipy.stats._continuous_distns"
how = sys.argv[1]
if how == "with LazyLoader":
    spec = importlib.util.find_spec(NAME)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules[NAME] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[NAME])
    assert PART not in sys.modules  # it is lazy until then
elif how == "without SciPy":
    sys.modules["scipy"] = None
else:
    names = {re.split(r"[^\w-]", text)[0] for text in metadata.requires("mxnet")}
    print("mxnet requires:", ", ".join(sorted(names)))

import mxnet  # noqa: E402, F401

loaded = PART in sys.modules
print(f"{how}: distributions of scipy.stats are", "loaded" if loaded else "not loaded")
sys.exit(loaded == (how == "without SciPy"))
PYTHON
for how in "as it is" "with LazyLoader" "without SciPy"; do
    "$folder/venv/bin/python" -W ignore "$folder/imports.py" "$how"
done
