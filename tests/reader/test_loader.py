"""The loader: the same batches however they are read, and what happens when reading fails."""

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import dataset_trees as trees
import numpy as np
import pytest

from maskflownet.config import InputError
from maskflownet.reader.datasets.base import FlowDataset
from maskflownet.reader.datasets.chairs import FlyingChairs
from maskflownet.reader.datasets.mixture import Mixture
from maskflownet.reader.loading import Loader
from maskflownet.reader.loading.readers import share
from maskflownet.reader.sample import FlowSample

SIZE = (10, 12)
CROP = (7, 8)


@pytest.fixture(autouse=True)
def no_hang():
    """End a test that hangs, for that is what must not happen here."""

    def give_up(*_):
        raise TimeoutError("the loader hangs")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(120)
    yield
    signal.alarm(0)


class Painted(FlowDataset):
    """Pairs whose pixels tell (pair, row, column); some are bad, or worse."""

    def __init__(self, count, first=0, bad=(), size=SIZE):
        self.names = [f"pair {first + number}" for number in range(count)]
        self.first, self.bad, self.size = first, bad, size

    def __getitem__(self, index):
        number = range(self.first, self.first + len(self))[index]
        if number in self.bad:
            raise InputError(f"{number}.ppm: expected a picture, got a mess")
        row, column = np.indices(self.size, np.uint8)
        image = np.stack([np.full_like(row, number % 256), row, column], axis=2)
        flow = np.stack([column, row], axis=2).astype(np.float32)
        valid = np.full((*self.size, 1), 255, np.uint8)
        occluded = row > column if number % 2 else None
        return FlowSample(image, image + 1, flow, valid, occluded, self.names[index])


class Buggy(Painted):
    """Its pair 3 brings a mistake in the code to light."""

    def __getitem__(self, index):
        return {}["oops"] if index == 3 else super().__getitem__(index)


class Telling(Painted):
    """Its names tell what the worker is like."""

    def __getitem__(self, index):
        return super().__getitem__(index)._replace(name=f"mxnet: {'mxnet' in sys.modules}")


class Slow(Painted):
    """Every pair takes longer than any test."""

    def __getitem__(self, index):
        time.sleep(1000)


class Unloadable(Painted):
    """It does not arrive in the worker."""

    def __setstate__(self, state):
        raise ImportError("no such module")


def read(loader, first_step, count):
    """Return some batches."""
    with contextlib.closing(loader.batches(first_step)) as batches:
        return [batch for batch, _ in zip(batches, range(count), strict=False)]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert (a.step, a.names, a.samples) == (b.step, b.names, b.samples)
        for one, other in zip(a[1:5], b[1:5], strict=True):
            np.testing.assert_array_equal(one, other)


def pids():
    return [process.pid for process in multiprocessing.active_children()]


def test_batches_hold_what_the_dataset_has():
    (batch,) = read(Loader(Painted(20), 3, CROP, 0, workers=2), 4, 1)
    assert 0 < batch.knows_occluded.sum() < 3
    assert batch.step == 4
    assert batch.samples == (0, 1, 2)
    assert len(set(batch.names)) == 3
    for array, channels, dtype in zip(
        batch[1:5], (3, 3, 2, 1), (np.uint8, np.uint8, np.float32, np.uint8), strict=True
    ):
        assert array.shape == (3, channels, *CROP)
        assert array.dtype == dtype
        assert array.flags.c_contiguous
    for sample, name in enumerate(batch.names):
        number, row, column = batch.image1[sample]
        assert (number == int(name.removeprefix("pair "))).all()
        mirror = int(column[0, 1]) - int(column[0, 0])
        np.testing.assert_array_equal(batch.flow[sample], [mirror * column.astype(int), row])
        is_known = int(number[0, 0]) % 2 == 1
        assert batch.knows_occluded[sample] == is_known
        np.testing.assert_array_equal(batch.occluded[sample, 0], is_known & (row > column))
    np.testing.assert_array_equal(batch.image2, batch.image1 + 1)
    assert (batch.valid == 255).all()


def test_same_batches_with_any_number_of_workers_and_resumed():
    dataset = Painted(13)
    whole = read(Loader(dataset, 4, CROP, 5, workers=1), 1, 9)
    assert_same(whole[4:], read(Loader(dataset, 4, CROP, 5, workers=3), 5, 5))
    other_seed = read(Loader(dataset, 4, CROP, 6, workers=1), 1, 9)
    assert [batch.names for batch in other_seed] != [batch.names for batch in whole]
    # Epochs of 13 pairs, in batches of 4.
    names = [name for batch in whole for name in batch.names]
    assert sorted(names[:13]) == sorted(names[13:26]) == sorted(dataset.names)


def test_ranks_share_what_one_loader_would_read():
    mixture = Mixture([(Painted(9), 2), (Painted(5, first=100), 1), (Painted(4, first=200), 1)])
    (whole,) = read(Loader(mixture, 8, CROP, 3, workers=1), 6, 1)
    for rank in (0, 1):
        (part,) = read(Loader(mixture, 4, CROP, 3, workers=1, rank=rank, size=2), 6, 1)
        assert part.samples == tuple(range(rank, 8, 2))
        assert part.names == tuple(whole.names[sample] for sample in part.samples)
        np.testing.assert_array_equal(part.image1, whole.image1[rank::2])
        assert sorted(number // 100 for number in part.image1[:, 0, 0, 0]) == [0, 0, 1, 2]


def test_mixture_that_a_batch_cannot_hold():
    mixture = Mixture([(Painted(9), 2), (Painted(5), 1)])
    with pytest.raises(InputError, match="a batch of 4 pairs: this mixture needs a multiple of 3"):
        Loader(mixture, 4, CROP, 0)


def test_shard_reads_one_pair_in_n():
    batches = read(Loader(Painted(10), 4, CROP, 0, workers=1, shard=3), 1, 3)
    names = {name for batch in batches for name in batch.names}
    assert names == {"pair 0", "pair 3", "pair 6", "pair 9"}


def test_corrupt_pair_is_named_counted_and_replaced(tmp_path, caplog):
    dataset = FlyingChairs(trees.chairs(tmp_path, "1" * 8), "train")
    size = trees.SIZE
    whole = read(Loader(dataset, 4, size, 1, workers=2), 1, 6)
    corrupt = tmp_path / "data/00005_img2.ppm"
    corrupt.write_bytes(corrupt.read_bytes()[:-1])

    loader = Loader(dataset, 4, size, 1, workers=2)
    with caplog.at_level(logging.WARNING):
        batches = read(loader, 1, 6)
    assert list(loader.left_out) == ["00005"]
    assert str(corrupt) in loader.left_out["00005"]
    (message,) = caplog.messages
    assert message.startswith(f"00005 is left out: {corrupt}: expected")
    for batch, before in zip(batches, whole, strict=True):
        for name, name_before in zip(batch.names, before.names, strict=True):
            assert name != "00005"
            assert name == name_before or name_before == "00005"
    assert_same(batches[3:], read(Loader(dataset, 4, size, 1, workers=1), 4, 3))


def test_too_many_bad_pairs():
    loader = Loader(Painted(20, bad=range(8)), 4, CROP, 0, workers=1)
    with pytest.raises(InputError, match=r"^4 of 20 pairs .* 3 would .*: \d\.ppm: [^\n]*$"):
        read(loader, 1, 20)
    assert len(loader.left_out) == 4
    assert read(Loader(Painted(20, bad=(1, 2, 3)), 4, CROP, 0, workers=1), 1, 20)
    assert read(Loader(Painted(20, bad=range(8)), 4, CROP, 0, 1, max_bad_share=0.5), 1, 20)
    with pytest.raises(InputError, match="1 of 20 pairs cannot be used, where 0 would"):
        read(Loader(Painted(20, bad=(1,)), 4, CROP, 0, workers=1, max_bad_share=0), 1, 20)
    with pytest.raises(InputError, match="10 pairs drawn one after the other cannot be used"):
        read(Loader(Painted(2, bad=(0, 1)), 4, CROP, 0, workers=1), 1, 1)


def test_pairs_smaller_than_the_crop():
    with pytest.raises(InputError, match=r"pair \d+: expected at least 8x11 .*got 12x10"):
        read(Loader(Painted(20), 2, (11, 8), 0, workers=1), 1, 1)


def test_mistake_in_the_code_comes_with_its_traceback():
    with pytest.raises(RuntimeError, match=r"reading pair 3 (.|\n)*__getitem__(.|\n)*'oops'"):
        read(Loader(Buggy(5), 2, CROP, 0, workers=2), 1, 3)
    assert not pids()


def test_workers_do_without_mxnet():
    import mxnet as mx

    mx.nd.ones((64, 64)).sum().wait_to_read()  # its threads are up
    (batch,) = read(Loader(Telling(5), 2, CROP, 0, workers=2), 1, 1)
    assert batch.names == ("mxnet: False", "mxnet: False")


def test_worker_killed_between_batches_is_reported_at_the_next():
    with contextlib.closing(Loader(Painted(30), 2, CROP, 0, workers=3).batches()) as batches:
        next(batches)
        victim = pids()[1]
        os.kill(victim, signal.SIGKILL)
        os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ChildProcessError, match=rf"^.*{victim}\) was killed by SIGKILL[^\n]*$"):
            next(batches)
    assert not pids()


@pytest.mark.parametrize(("after_s", "at"), [(0, ""), (2, r" while it had to read pair \d+")])
def test_worker_killed_while_it_is_waited_for_is_reported(after_s, at):
    """At the start of the processes, and while they read."""

    def kill():
        while len(pids()) < 3:
            time.sleep(0.01)
        time.sleep(after_s)
        os.kill(pids()[2], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(ChildProcessError, match=rf"was killed by SIGKILL{at}[^\n]*; [^\n]*$"):
        next(Loader(Slow(30), 3, CROP, 0, workers=3).batches())
    thread.join()
    assert not pids()


def test_worker_that_cannot_begin_is_reported():
    with pytest.raises(ChildProcessError, match=r"ended with exit code 1.*; what it printed says"):
        next(Loader(Unloadable(30), 3, CROP, 0, workers=1).batches())
    assert not pids()


def test_shares_are_even():
    for workers in (1, 2, 3, 5):
        dealt = [share(step, 2, worker, workers) for step in range(15) for worker in range(workers)]
        places = sorted(place for part in dealt for place in part)
        assert places == [0] * 15 + [1] * 15
        for worker in range(workers):
            assert sum(map(len, dealt[worker::workers])) == 30 // workers


def test_more_workers_than_samples():
    loader = Loader(Painted(30), 2, CROP, 0, workers=5)
    assert_same(read(loader, 1, 7), read(Loader(Painted(30), 2, CROP, 0, workers=1), 1, 7))


def test_nothing_is_left_when_closed_or_let_go():
    loader = Loader(Painted(30), 2, CROP, 0, workers=2)
    for end in ("closed", "let go"):
        batches = loader.batches()
        next(batches)
        assert len(pids()) == 2
        if end == "closed":
            batches.close()
        del batches
        assert not pids()
    assert not list(Path("/dev/shm").glob(f"pym-{os.getpid()}-*"))
