"""What several workers cost: their data, the bytes that are counted, and the table."""

import socket
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from golden import golden_parameters

from maskflownet.benchmark import workers
from maskflownet.benchmark.workers import ALONE, BATCH, WORKERS, Cost
from maskflownet.config import load_dataset_config


@pytest.mark.parametrize("count", [ALONE, *WORKERS])
def test_all_workers_together_take_the_same_batch(tmp_path, count):
    path = workers.write_dataset(tmp_path, count, 5, (64, 128))
    config = load_dataset_config(path)
    assert config.batch * max(count, 1) == BATCH
    assert config.optimizer.learning_rate[-1][0] == 5
    assert tuple(config.orig_shape) == tuple(config.target_shape) == (64, 128)


def test_what_goes_over_the_loopback_is_counted():
    sent = 1_000_000
    before = workers.loopback_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        receiver, _ = server.accept()
        with sender, receiver:
            thread = threading.Thread(target=sender.sendall, args=(bytes(sent),))
            thread.start()
            while sent > 0:
                sent -= len(receiver.recv(1 << 16))
            thread.join()
    assert workers.loopback_bytes() - before >= 1_000_000


def test_a_worker_sends_a_float_for_each_weight():
    shapes = [entry["shape"] for entry in golden_parameters(workers.CONFIG)]
    assert workers.gradient_bytes() == 4 * sum(np.prod(shape) for shape in shapes)


@pytest.fixture
def training(monkeypatch):
    """A training of 7 steps, of which steps 2 and 4 are never seen; 10 bytes go over per step."""
    seen = [0, 1, 3, 5, 6, 7]
    now = SimpleNamespace(look=-1, code=0)

    def rows(folder):
        now.look = min(now.look + 1, len(seen) - 1)
        steps = range(1, seen[now.look] + 1)
        return [{"steps": step, "samples_per_second": BATCH / step} for step in steps]

    monkeypatch.setattr(workers, "_rows", rows)
    monkeypatch.setattr(workers, "loopback_bytes", lambda: 1000 + 10 * seen[now.look])
    process = SimpleNamespace(poll=lambda: None, wait=lambda: now.code, returncode=0)
    return process, now


def test_traffic_is_per_step_after_the_first_ones(training, tmp_path):
    traffic, rows = workers._watch(training[0], tmp_path, steps=7)
    assert traffic == 10 and len(rows) == 7


def test_a_training_that_fails_has_no_cost(training, tmp_path):
    process, now = training
    now.code = process.returncode = 3
    with pytest.raises(ChildProcessError, match="exit code 3"):
        workers._watch(process, tmp_path, steps=7)


def test_steps_are_compared_with_those_of_one_process_in_the_same_round():
    costs = {
        ALONE: [Cost(1.0, 2e5), Cost(2.0, 2e5)],
        1: [Cost(1.5, 40e6), Cost(4.0, 60e6)],
        4: [Cost(2.0, 160e6), Cost(5.0, 200e6)],
    }
    assert list(workers.table(costs, 42_000_000))[2:] == [
        "| one process, no server | 1.00 | - | 0.2 MB |",
        "| 1 worker | 1.75 | 42.0 MB | 50.0 MB |",
        "| 4 workers | 2.25 | 42.0 MB | 180.0 MB |",
    ]
