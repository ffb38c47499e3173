#!/bin/sh
# tqdm on Python 3.14: a progress bar in a program without processes of its own starts one. tqdm makes
# a lock that processes could share. Up to Python 3.13 processes are forked on Linux, and such a lock
# needs nothing else; on 3.14 it is registered with multiprocessing's resource tracker, a process that
# is started for it. The tracker ignores SIGINT and SIGTERM but not SIGHUP: a closed terminal ends it,
# and a program that handles SIGHUP itself has Python say on stderr, at its end, that the tracker died.
# tqdm.set_lock(threading.RLock()) before the first bar avoids it. Seen on 2026-11-27 with tqdm 4.67.1
# and Python 3.14.8 on Linux x86-64 (with 3.11.7 and 3.13.0: no helper and no warning). Output then:
#
#   helpers of tqdm's own lock: 1, of a lock of threads: 0
#   at the end, after SIGHUP: resource_tracker: process died unexpectedly, relaunching.
#
# Needs Python 3.14 (PYTHON=... names it). Exits with 1 if either line is another one.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.14}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q tqdm==4.67.1
cat >"$folder/program.py" <<'EOF'
import os
import pathlib
import signal
import sys
import threading
import time

from tqdm import tqdm

if "threads" in sys.argv:
    tqdm.set_lock(threading.RLock())
signal.signal(signal.SIGHUP, lambda *_: None)
for _ in tqdm(range(2), file=open(os.devnull, "w")):
    pass
children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
print(len(children), flush=True)
os.killpg(os.getpid(), signal.SIGHUP)
time.sleep(1)
EOF
"$folder/env/bin/python" - "$folder" <<'EOF'
import subprocess
import sys

command = [sys.executable, sys.argv[1] + "/program.py"]
runs = [
    subprocess.run([*command, *more], capture_output=True, text=True, start_new_session=True)
    for more in ([], ["threads"])
]
own, threads = (run.stdout.strip() for run in runs)
died = "resource_tracker: process died unexpectedly, relaunching."
print(f"helpers of tqdm's own lock: {own}, of a lock of threads: {threads}")
print("at the end, after SIGHUP:", died if died in runs[0].stderr else runs[0].stderr or "nothing")
sys.exit(not (own == "1" and threads == "0" and died in runs[0].stderr and not runs[1].stderr))
EOF
