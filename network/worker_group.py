"""The processes that train together: what they tell each other through MXNet's key-value store.

Every process ("worker") holds the whole network and computes the gradients of its own samples; the
servers add up what the workers send. MXNet does not notice when one of them dies: whoever waits for
it would wait forever. So all waiting is done in a helper thread, while this one watches for word
(`Peers.lost`) that there is nobody to wait for.
"""

import itertools
import logging
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any

import mxnet as mx
import numpy as np

logger = logging.getLogger(__name__)

KVSTORE = "dist_sync"
PATIENCE_S = 1800  # longer than any step, validation or start of a program
TOLD_AFTER_S = 60
_LOOK_S = 0.2
# The Trainer numbers its keys from 0, one for each array of the network.
_KEY = 1 << 20
_WIDTH = 8


class PeersLostError(ConnectionError):
    """The other processes cannot be waited for any more."""


class Peers:
    """The workers of a training, of which this process is one; by default the only one.

    Attributes
    ----------
    rank : int
        Which of them this is, from 0. The first writes logs and checkpoints.
    size : int
        How many there are.
    store : mxnet.kvstore.KVStore or None
        For the Trainer; None where this process is alone.
    lost : bool
        To be set, by a signal handler for instance, when one of the others has died: what waits for
        it then raises PeersLostError.
    """

    def __init__(self, rank: int = 0):
        self.rank = rank
        self.size = 1
        self._shape = (1, 2, _WIDTH)
        self.store: Any = None
        self.lost = False
        self._helper = futures.ThreadPoolExecutor(1)

    @classmethod
    def join(cls, rank: int) -> "Peers":
        """Meet the others, whom MXNet finds by the environment variables DMLC_*.

        Raises
        ------
        PeersLostError
            They did not all come.
        """
        peers = cls(rank)
        peers.store = peers.wait_for(lambda: mx.kv.create(KVSTORE))
        peers.size = peers.store.num_workers
        peers._shape = (peers.size, 2, _WIDTH)
        peers.wait_for(lambda: peers.store.init(_KEY, mx.nd.zeros(peers._shape)))
        return peers

    def exchange(self, values: Sequence[float]) -> np.ndarray:
        """Return what each worker says, float64 (size, len(values)); all wait for the last.

        Parameters
        ----------
        values : sequence of float
            Eight at most, as many on every worker.

        Raises
        ------
        PeersLostError
        """
        own = np.array(values, np.float64)
        if self.store is None:
            return own[None]
        # The servers add up, in float32: each worker has a place where the others say zero, and
        # says there what the first float32 leaves of a number in a second one.
        said = np.zeros(self._shape, np.float32)
        first, rest = said[self.rank, :, : own.size]
        first[:] = own
        np.subtract(own, first, out=rest, where=np.isfinite(first), casting="same_kind")
        array = mx.nd.array(said)
        self._check()
        self.store.pushpull(_KEY, array, out=array)
        self.wait_for(array.wait_to_read)
        return array.asnumpy().astype(np.float64).sum(axis=1)[:, : own.size]

    def total(self, values: Sequence[float]) -> np.ndarray:
        """Return the sums over all workers of what each says; see `exchange`."""
        return self.exchange(values).sum(axis=0)

    def mean(self, value: float, weight: float) -> float:
        """Return the mean of the workers' values, weighted; NaN where all weights are zero."""
        if self.store is None:
            return value
        sums, weights = self.total([value * weight if weight else 0, weight])
        return float(sums / weights) if weights else float("nan")

    def wait_for(self, function: Callable[[], object]) -> Any:
        """Return what a function does that waits for other workers.

        Raises
        ------
        PeersLostError
            They are lost, or not heard of for half an hour. The function may then still be waiting
            in its thread, so the program must be left by `os._exit`.
        """
        self._check()
        waiting = self._helper.submit(function)
        minutes = 0
        # Looks are counted: the clock goes on while this process itself is stopped or starved.
        for looks in itertools.count(1):
            if futures.wait([waiting], _LOOK_S).done:
                break
            self._check()
            waited = looks * _LOOK_S
            if waited > (minutes + 1) * TOLD_AFTER_S:
                minutes += 1
                logger.warning(
                    "waiting since %d s for the other processes of this training",
                    minutes * TOLD_AFTER_S,
                )
            if waited > PATIENCE_S:
                raise PeersLostError(
                    f"the other processes of this training were not heard of for {PATIENCE_S} s: "
                    "see whether they run and can be reached, then start again"
                )
        return waiting.result()

    def _check(self):
        if self.lost:
            raise PeersLostError("a process of this training has ended")
