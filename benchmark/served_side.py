"""The process of a side: `python served_side.py CONNECTION [FOLDER]`, started by `side_process`.

It runs a case of whatever build lies in FOLDER, by default of the one that started it. So it stands
by itself: nothing of the project is imported but what that build brings.
"""

import importlib
import logging
import os
import re
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path


def resident_mb(field: str) -> float:
    """Return this process's memory in MB, as Linux tells it: VmRSS for now, VmHWM for the most."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s*(\d+) kB", status)[1]) * 1024 / 1e6


def cases_of(folder):
    """Import and return what that build measures."""
    package = "maskflownet."
    if folder is not None:
        os.chdir(folder)
        sys.path.insert(0, str(Path.cwd()))
        if not Path("maskflownet").is_dir():
            package = ""  # a build of before the package had that name
    logging.getLogger(f"{package}kernels").setLevel(logging.WARNING)  # not of each plain pipeline
    return importlib.import_module(f"{package}benchmark.cases")


def main():
    """Make the first thing that is received ready, and run it whenever more is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that tells this one
    connection, *folder = sys.argv[1:]
    sys.path.pop(0)  # the folder of this file, whose modules are part of a package
    with Connection(int(connection)) as there:
        case, kernels = there.recv()
        cases = cases_of(*folder or [None])
        imported = resident_mb("VmRSS")
        run = cases.runner(cases.Case(*case), kernels)
        while True:
            try:
                wanted = there.recv()
            except EOFError:
                return
            begin = time.process_time()
            result = run()
            seconds = time.process_time() - begin
            there.send((seconds, resident_mb("VmHWM") - imported, result if wanted else None))


if __name__ == "__main__":
    main()
