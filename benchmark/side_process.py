"""A side of a comparison in a process of its own, which runs when it is told to.

Sides that take turns within one process would meet each other's freed memory: what one leaves
behind the other finds, or gives back to the system at its own cost.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskflownet.benchmark.quiet import warnings_alone


@contextmanager
def side_by_itself(case, kernels: str) -> Iterator[Callable]:
    """Make a `benchmark.cases.Case` ready in a new process; give what runs it once there.

    Called without arguments it returns when the run is done; called with True it returns what the
    run returned, which takes longer.

    Raises
    ------
    ChildProcessError
        By what is given: the process failed; what it said stands on stderr.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(case, kernels, there), daemon=True)
    process.start()
    there.close()

    def run(wanted=False):
        try:
            here.send(wanted)
            return here.recv()
        except (EOFError, OSError) as error:
            raise ChildProcessError(f"{case.name}, {kernels}: its process has ended") from error

    try:
        yield run
    finally:
        here.close()  # which ends the process
        process.join()


def _serve(case, kernels, connection):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that tells this one
    from maskflownet.benchmark.cases import runner

    with warnings_alone("kernels"):  # it would tell of each plain pipeline
        run = runner(case, kernels)
    while True:
        try:
            wanted = connection.recv()
        except EOFError:
            return
        result = run()
        connection.send(result if wanted else None)
