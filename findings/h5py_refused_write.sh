#!/bin/sh
# h5py: opening a file for writing while another program reads it is refused ("unable to lock file"),
# and yet has emptied the file: HDF5 truncates first and asks for its lock afterwards. Whoever takes
# the error for "nothing happened" has lost the data, the reader's too. (Files are safe if they are
# written under another name and moved into place, or opened with "a" or "r+", which are refused
# with the file untouched.) Seen on 2026-11-27 with h5py 3.16.0 (HDF5 2.0.0), NumPy 2.2.6 and 1.23.5,
# Python 3.11, Linux x86-64, on a local file system. Output then:
#
#   a reader has the file open: 10048 bytes
#   mode a: refused (BlockingIOError), 10048 bytes
#   mode w: refused (BlockingIOError), 0 bytes
#
# Exits with 1 if a refused write leaves the file as it was, or is not refused.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q h5py==3.16.0 "numpy==2.2.6"
"$folder/env/bin/python" - "$folder/a.h5" <<'END'
import os
import subprocess
import sys

import h5py

path = sys.argv[1]
with h5py.File(path, "w") as file:
    file["values"] = [1.0] * 1000
read = "import h5py, sys; file = h5py.File(sys.argv[1]); print('open', flush=True); input()"
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
reader = subprocess.Popen([sys.executable, "-c", read, path], **pipes)
assert reader.stdout.readline() == "open\n"
print(f"a reader has the file open: {os.path.getsize(path)} bytes")
refused, left = {}, {}
for mode in "aw":
    try:
        h5py.File(path, mode).close()
        refused[mode] = "not refused"
    except OSError as error:
        refused[mode] = f"refused ({type(error).__name__})"
    left[mode] = os.path.getsize(path)
    print(f"mode {mode}: {refused[mode]}, {left[mode]} bytes")
reader.communicate("\n")
as_seen = refused["w"].startswith("refused") and left == {"a": left["a"], "w": 0} and left["a"] > 0
sys.exit(0 if as_seen else 1)
END
