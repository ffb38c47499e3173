"""A worker of a training on several processes or machines, as `launch` starts it."""

import contextlib
import logging
import os
import signal
import sys
import traceback
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from maskflownet.config import InputError
from maskflownet.config.files import MAIN
from maskflownet.network import Peers
from maskflownet.tasks.command_line import run_program

logger = logging.getLogger(__name__)

# What the launcher sends when another process of the training has died.
LOSS_SIGNAL = signal.SIGUSR1
HOW_TO_START = (
    "python -m maskflownet.tasks.distributed.launch -n WORKERS -- main.py ... --kvstore dist_sync"
)


class Place(NamedTuple):
    """Which worker this process is: its number, from 0, and how many there are.

    `launched` says whether a launcher started it, be it as the only one.
    """

    rank: int = 0
    size: int = 1
    launched: bool = False


def place_of(kvstore: str | None) -> Place:
    """Return this process's place, as the launcher says it in environment variables.

    Parameters
    ----------
    kvstore : str or None
        "dist_sync", or None for a training by this process alone.

    Raises
    ------
    InputError
        Launched without --kvstore, or the other way round.
    """
    launched = os.environ.get("DMLC_ROLE") == "worker"
    if kvstore is None:
        if launched:
            raise InputError(
                "started by maskflownet.tasks.distributed.launch without --kvstore dist_sync: add "
                "it, or every worker would train on its own"
            )
        return Place()
    try:
        if launched:
            return Place(
                int(os.environ["DMLC_TASK_ID"]), int(os.environ["DMLC_NUM_WORKER"]), launched=True
            )
    except (KeyError, ValueError):
        pass
    raise InputError(f"--kvstore {kvstore} needs a launcher: {HOW_TO_START}")


def join(place: Place) -> Peers:
    """Meet the other workers; return once all are there."""
    if not place.launched:
        return Peers()
    logger.info("worker %d of %d waits for the others", place.rank, place.size)
    return Peers.join(place.rank)


def check_agreement(peers: Peers, *facts: object) -> None:
    """Raise InputError, on every worker, unless all of them begin with the same.

    Parameters
    ----------
    peers : network.worker_group.Peers
    *facts
        What decides over the numbers that a worker computes; with a `repr` that says all.
    """
    digest = zlib.crc32(repr(facts).encode())
    if np.ptp(peers.exchange([digest])):
        raise InputError(
            "the workers do not begin alike: expected the same configs, data, arguments and "
            "checkpoint on every machine (share the folder, or copy it anew)"
        )


def leaving_at_once(body: Callable[[], int]) -> int:
    """Run a worker's program; where it fails, say why and end this process there and then.

    An ordinary end waits for the other workers, which wait for what this one will never send.
    """
    finished = False

    def whole():
        nonlocal finished
        code = body()
        finished = True
        return code

    try:
        code = run_program(MAIN, whole)
    except BaseException:
        traceback.print_exc()
        code = 1
    if not finished:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


@contextlib.contextmanager
def noting_lost_workers(peers: Peers) -> Iterator[None]:
    """Within the block, the launcher's word that a process has died ends all waiting for it."""

    def note(signal_number, frame):
        del signal_number, frame
        peers.lost = True

    before = signal.signal(LOSS_SIGNAL, note)
    try:
        yield
    finally:
        signal.signal(LOSS_SIGNAL, before)


class NoLog:
    """Stands in for the run's log on all workers but the first."""

    def line(self, text: str) -> None:
        """Leave it to the first worker."""

    def row(self, figures: dict[str, float]) -> None:
        """Leave it to the first worker."""
