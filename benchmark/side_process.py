"""A side of a comparison in a process of its own, which runs when it is told to.

Sides that take turns within one process would meet each other's freed memory: what one leaves
behind the other finds, or gives back to the system at its own cost.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskflownet.benchmark import served_side


class Side:
    """Runs a case once there, when it is called.

    Called without arguments it returns when the run is done; called with True it returns what the
    run returned, which takes longer.

    Attributes
    ----------
    cpu_s : float
        Processor time of the last run, in seconds, all threads together.
    peak_mb : float
        The most memory that was resident at a time so far, without what it was once all was
        imported.

    Raises
    ------
    ChildProcessError
        When it is called: the process failed; what it said stands on stderr.
    """

    def __init__(self, name, connection):
        self._name = name
        self._connection = connection
        self.cpu_s = 0.0
        self.peak_mb = 0.0

    def __call__(self, wanted: bool = False):
        """Run the case once."""
        try:
            self._connection.send(wanted)
            self.cpu_s, self.peak_mb, result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise ChildProcessError(f"{self._name}: its process has ended") from error
        return result


@contextmanager
def side_by_itself(case, kernels: str, folder: Path | None = None) -> Iterator[Side]:
    """Make a `benchmark.cases.Case` ready in a new process; give what runs it once there.

    Parameters
    ----------
    case : benchmark.cases.Case
    kernels : {"auto", "builtin"}
    folder : pathlib.Path, optional
        A clone of the project, of any version, that shall run it; by default this one.
    """
    here, there = multiprocessing.Pipe()
    command = [sys.executable, served_side.__file__, str(there.fileno())]
    command += [] if folder is None else [os.fspath(folder)]
    environment = dict(os.environ)
    if folder is None:  # the server imports the package as this process did
        environment = {**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, pass_fds=[there.fileno()], env=environment):
        there.close()
        with here:  # whose end ends the process
            here.send((tuple(case), kernels))
            yield Side(f"{case.name}, {kernels}", here)
