"""What workers tell each other, over a store that is none; and what a step makes of it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np
import pytest
from golden import recipe_pipeline

from maskflownet.network import Peers, PeersLostError, worker_group

pytestmark = pytest.mark.usefixtures("thin_networks")

NAN, INF = float("nan"), float("inf")


class Store:
    """Adds up what so many threads push, in float32 as MXNet's servers do."""

    def __init__(self, size):
        self.num_workers = size
        self.barrier = threading.Barrier(size)
        self.pushed = {}

    def init(self, key, value):
        self.barrier.wait(10)

    def pushpull(self, key, value, out):
        self.pushed[threading.get_ident()] = value.asnumpy()
        self.barrier.wait(10)
        total = sum(self.pushed.values())
        self.barrier.wait(10)
        out[:] = total


def together(monkeypatch, size, function):
    """Return what a function of Peers returns on each of so many workers."""
    store = Store(size)
    monkeypatch.setattr(mx.kv, "create", lambda name: store)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: function(Peers.join(rank)), range(size)))


@pytest.mark.parametrize("size", [2, 3])
def test_all_hear_the_same_of_all_to_the_last_digit(monkeypatch, size):
    said = np.random.default_rng(0).uniform(-1e6, 1e6, (size, 5))
    said[:, 0] = 0.1 + np.arange(size)
    for heard in together(monkeypatch, size, lambda own: own.exchange(said[own.rank])):
        np.testing.assert_allclose(heard, said, rtol=1e-14)
    for sums in together(monkeypatch, size, lambda own: own.total(said[own.rank])):
        np.testing.assert_allclose(sums, said.sum(axis=0), rtol=1e-9)


def test_what_is_no_number_is_no_number_for_all(monkeypatch):
    said = [[1, NAN, 3, INF], [5, 6, 7, 8]]
    for heard in together(monkeypatch, 2, lambda own: own.exchange(said[own.rank])):
        np.testing.assert_array_equal(heard, said)


def test_means_are_weighted_and_shares_without_anything_do_not_count(monkeypatch):
    values, weights = [2.0, NAN, 5.0], [3, 0, 1]
    means = together(monkeypatch, 3, lambda own: own.mean(values[own.rank], weights[own.rank]))
    assert means == [2.75, 2.75, 2.75]
    assert np.isnan(together(monkeypatch, 2, lambda own: own.mean(NAN, 0))).all()


def test_alone_everything_is_what_it_was():
    alone = Peers()
    assert (alone.rank, alone.size, alone.store) == (0, 1, None)
    assert alone.total([0.1, 2]).tolist() == [0.1, 2]
    assert alone.mean(0.1, 0) == 0.1


@pytest.fixture
def never():
    """What does not come as long as the test runs."""
    event = threading.Event()
    yield event
    event.set()


def test_waiting_ends_when_the_others_are_lost(monkeypatch, never):
    monkeypatch.setattr(worker_group, "PATIENCE_S", 10)
    one = Peers()
    threading.Timer(0.3, lambda: setattr(one, "lost", True)).start()
    with pytest.raises(PeersLostError, match="has ended"):
        one.wait_for(never.wait)
    never.set()
    called = []
    with pytest.raises(PeersLostError):
        one.wait_for(lambda: called.append(True))
    one._helper.shutdown()
    assert not called


def test_waiting_ends_some_day(monkeypatch, never):
    monkeypatch.setattr(worker_group, "PATIENCE_S", 0.3)
    with pytest.raises(PeersLostError, match=r"not heard of for 0\.3 s"):
        Peers().wait_for(lambda: never.wait(10))


def test_time_in_which_this_process_was_stopped_is_not_waited(monkeypatch):
    monkeypatch.setattr(worker_group, "PATIENCE_S", 0.5)
    wait, answered = worker_group.futures.wait, threading.Event()

    def stopped_after(*arguments):
        result = wait(*arguments)
        time.sleep(1)
        answered.set()
        return result

    monkeypatch.setattr(worker_group.futures, "wait", stopped_after)
    assert Peers().wait_for(lambda: answered.wait(30)) is True


def test_an_exchange_does_not_wait_for_those_who_are_lost(monkeypatch, never):
    monkeypatch.setattr(mx.kv, "create", lambda name: Store(1))
    one = Peers.join(0)
    monkeypatch.setattr(mx.nd.NDArray, "wait_to_read", lambda array: never.wait(10))
    threading.Timer(0.3, lambda: setattr(one, "lost", True)).start()
    with pytest.raises(PeersLostError, match="has ended"):
        one.exchange([1.0])


# A step of two workers, of which the other only speaks.


class Other(Peers):
    """A worker whose partner says `said` in each step, and sends gradients of zero."""

    def __init__(self, said):
        super().__init__()
        self.size, self.said = 2, said

    def exchange(self, values):
        return np.array([values, self.said], np.float64)


def take_step(said, scale=1.0):
    pipe = recipe_pipeline("MaskFlownet_S")
    pipe.peers = pipe._step._peers = Other(said)
    weights = pipe.network.conv1a[0].weight
    before = weights.data().asnumpy()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 2, 3, 64, 64)).astype(np.uint8)
    flow = np.full((2, 2, 64, 64), 3 * scale, np.float32)
    figures = pipe.train_batch(*images, flow, lambda *same: same, lambda *same: same)
    return figures, (weights.data().asnumpy() != before).any()


def test_figures_are_those_of_all_workers_samples():
    own, changed = take_step([0, 0, 0, 0])
    assert changed and own["updated"]
    both, _ = take_step([8, 3, 1, 0])
    assert both["loss"] == pytest.approx(own["loss"] + 8 / 4)
    assert both["epe"] == pytest.approx((own["epe"] * 2 + 3) / 3)


@pytest.mark.parametrize(
    ("said", "scale"), [([NAN, 1, 2, 1], 1), ([1, 1, 2, 1], 1), ([1, 1, 2, 0], NAN)]
)
def test_where_one_worker_must_not_update_none_does(said, scale):
    figures, changed = take_step(said, scale)
    assert not figures["updated"] and not changed
