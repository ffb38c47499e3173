#!/bin/sh
# MXNet 1.9.1 (mxnet==1.9.1, numpy==1.23.5, Python 3.11, Linux x86-64), 2026-11-28.
#
# `mx.nd.save` returns without an error although a full disk has taken only a part of the file: where
# just the last bytes find no room, they are lost when the file is closed, and nobody asks whether
# that went well. `mx.nd.load` refuses what was left. Where more is lacking the call does raise, so
# one would guess that it always does. A limit on the size of files stands for the full disk here.
#
# Seen (the script's output):
#   room for all: saved, loads
#   100 bytes too few: saved, does not load
#   600 bytes too few: saved, does not load
#   half of it: MXNetError
#
# Ends with 0 while it is so, else with 1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q mxnet==1.9.1 numpy==1.23.5
cat > "$folder/save.py" <<'PROGRAM'
import os
import resource
import signal
import sys

import mxnet as mx

PATH = os.path.join(sys.argv[1], "arrays.params")
ARRAYS = {"weight": mx.nd.ones((1000, 100))}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails, as on a full disk
mx.nd.save(PATH, ARRAYS)
SIZE = os.path.getsize(PATH)


def save_within(room):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        mx.nd.save(PATH, ARRAYS)
    except mx.base.MXNetError:
        return "MXNetError"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    try:
        mx.nd.load(PATH)
    except mx.base.MXNetError:
        return "saved, does not load"
    return "saved, loads"


found = {
    "room for all": save_within(SIZE),
    "100 bytes too few": save_within(SIZE - 100),
    "600 bytes too few": save_within(SIZE - 600),
    "half of it": save_within(SIZE // 2),
}
for room, outcome in found.items():
    print(f"{room}: {outcome}")
wanted = ["saved, loads", "saved, does not load", "saved, does not load", "MXNetError"]
raise SystemExit(list(found.values()) != wanted)
PROGRAM
"$folder/venv/bin/python" "$folder/save.py" "$folder"
