"""A worker's place, its agreement with the others, and how it leaves."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_helpers import FakeLoader, FakePipe, FakeSet, fake_run

from maskflownet.config import InputError
from maskflownet.main import main
from maskflownet.network import Peers, PeersLostError
from maskflownet.tasks.distributed.worker import (
    Place,
    check_agreement,
    join,
    noting_lost_workers,
    place_of,
)
from maskflownet.tasks.training.loop import train, validation_epe
from maskflownet.tasks.training.meter import Meter

REPOSITORY = Path(__file__).parents[3]
RUN = "abcJan01-0000"


@pytest.fixture
def launched(monkeypatch):
    for name, value in {"ROLE": "worker", "TASK_ID": "1", "NUM_WORKER": "3"}.items():
        monkeypatch.setenv(f"DMLC_{name}", value)


def test_the_launcher_says_the_place(launched):
    assert place_of("dist_sync") == Place(1, 3, launched=True)


def test_alone_there_is_one_place():
    assert place_of(None) == Place(0, 1, launched=False)
    assert join(Place()).size == 1


def test_a_worker_without_kvstore_is_refused(launched, capsys):
    assert main(["MaskFlownet_S"]) == 2
    assert (
        "started by maskflownet.tasks.distributed.launch without --kvstore dist_sync: add it"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("variable", ["DMLC_ROLE", "DMLC_TASK_ID", "DMLC_NUM_WORKER"])
def test_kvstore_without_a_launcher_is_refused(launched, monkeypatch, capsys, variable):
    monkeypatch.delenv(variable)
    assert main(["MaskFlownet_S", "--kvstore", "dist_sync"]) == 2
    errors = capsys.readouterr().err
    assert (
        "--kvstore dist_sync needs a launcher: python -m maskflownet.tasks.distributed.launch -n"
        in errors
    )
    assert errors.count("\n") == 1


def test_debug_is_for_one_process(launched, capsys):
    assert main(["MaskFlownet_S", "--kvstore", "dist_sync", "--debug"]) == 2
    assert "leave --kvstore out" in capsys.readouterr().err


class Others(Peers):
    """A worker with partners; `answers` yields what each says when this one has spoken."""

    def __init__(self, answers, rank=0):
        super().__init__(rank)
        self.size, self.answers = 2, answers
        self.heard = []

    def exchange(self, values):
        self.heard.append(list(values))
        answer = self.answers(self, values)
        if isinstance(answer, Exception):
            raise answer
        return np.array([values, answer], np.float64)


def test_workers_that_begin_alike_agree():
    check_agreement(Others(lambda _, said: said), "configs", 3)
    with pytest.raises(InputError, match="do not begin alike"):
        check_agreement(Others(lambda _, said: np.add(said, 1)), "configs", 3)


def test_what_decides_over_the_numbers_is_compared():
    one = Others(lambda _, said: said)
    for facts in (("configs", 3), ("configs", 3), ("configs", 4), ("config", 3)):
        check_agreement(one, *facts)
    same, again, *others = one.heard
    assert same == again and same not in others


def test_the_loss_of_another_is_noted_within_the_block():
    one, before = Peers(), signal.getsignal(signal.SIGUSR1)
    with noting_lost_workers(one):
        assert not one.lost
        signal.raise_signal(signal.SIGUSR1)
        assert one.lost
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("raise InputError('bad')", 2, "main.py: error: bad\n"),
        pytest.param(
            "raise PeersLostError('gone')", 2, "main.py: error: gone\n", marks=pytest.mark.long
        ),
        ("1 / 0", 1, "ZeroDivisionError"),
        pytest.param("raise KeyboardInterrupt", 130, "interrupted", marks=pytest.mark.long),
    ],
)
def test_a_worker_that_fails_leaves_without_waiting(body, code, said):
    program = (
        "import atexit, sys\n"
        "from maskflownet.config import InputError\n"
        "from maskflownet.network import PeersLostError\n"
        "from maskflownet.tasks.distributed.worker import leaving_at_once\n"
        "atexit.register(print, 'waited')\n"
        f"def body():\n    {body}\n"
        "sys.exit(leaving_at_once(body))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        **{"cwd": REPOSITORY, "env": {**os.environ}, "capture_output": True, "text": True},
    )
    assert done.returncode == code and said in done.stderr
    assert "waited" not in done.stdout


# The training loop of one worker, with partners that only speak.


def run(folder, answers, rank=0, loader=None, pipe=None, **changes):
    pipe = pipe or FakePipe()
    pipe.peers = Others(answers, rank)
    return train(pipe, *fake_run(folder, loader, **changes)), pipe


def steps_saved(folder):
    return sorted(int(path.stem.split("_")[1]) for path in folder.glob("weights/*[0-9].params"))


def test_the_first_alone_writes(tmp_path):
    code, pipe = run(tmp_path, lambda *_: [0, 0, 0, 0])
    assert code == 0 and pipe.step == 10 and steps_saved(tmp_path)[-1] == 10
    assert "batch=4\n" in (tmp_path / "logs" / f"{RUN}.log").read_text()
    other = tmp_path / "other"
    other.mkdir()
    code, pipe = run(other, lambda *_: [0, 0, 0, 0], rank=1)
    assert code == 0 and pipe.step == 10
    assert [path.name for path in other.iterdir()] == ["tiny.yaml"]


def test_the_samples_of_all_workers_are_counted(tmp_path, monkeypatch):
    counted, take = [], Meter.take
    monkeypatch.setattr(
        Meter, "take", lambda meter, batch: counted.append(batch) or take(meter, batch)
    )
    run(tmp_path, lambda *_: [0, 0, 0, 0])
    assert set(counted) == {4}


@pytest.mark.parametrize(
    ("flags", "code"), [([1, 0, 0, 0], 130), ([0, 1, 0, 0], 143), ([0, 0, 1, 0], 129)]
)
def test_a_stop_of_another_worker_stops_this_one_at_the_same_step(tmp_path, flags, code):
    got, pipe = run(tmp_path, lambda own, _: flags if len(own.heard) == 6 else [0, 0, 0, 0])
    assert (got, pipe.step, steps_saved(tmp_path)[-1]) == (code, 5, 5)


def test_a_stop_is_told_to_the_others(tmp_path):
    code, pipe = run(tmp_path, lambda *_: [0, 0, 0, 0], pipe=FakePipe(signals={3: signal.SIGTERM}))
    assert (code, pipe.step) == (143, 3)
    assert pipe.peers.heard[-1] == [False, True, False, False]


def test_data_that_fails_is_told_to_the_others(tmp_path):
    loader = FakeLoader(failures={4: InputError("too many bad pairs")})
    pipe = FakePipe()
    with pytest.raises(InputError, match="too many bad pairs"):
        run(tmp_path, lambda *_: [0, 0, 0, 0], rank=1, loader=loader, pipe=pipe)
    assert pipe.peers.heard[-1] == [0, 0, 0, True]
    assert not (tmp_path / "weights").exists()


def test_the_first_saves_where_another_cannot_go_on(tmp_path):
    with pytest.raises(PeersLostError, match="cannot go on"):
        run(tmp_path, lambda own, _: [0, 0, 0, len(own.heard) == 4], checkpoint_steps=100)
    assert steps_saved(tmp_path) == [3]


@pytest.mark.parametrize("place", ["agreement", "step", "validation"])
def test_the_first_saves_where_another_has_died(tmp_path, place):
    lost = PeersLostError("a process of this training has ended")
    losses = {4: lost} if place == "step" else {}
    width = {"agreement": 4, "validation": 1, "step": 0}[place]

    def answers(own, said):
        return lost if len(said) == width and own.pipe.step == 3 else [0] * len(said)

    pipe = FakePipe(losses=losses)
    pipe.peers = Others(answers)
    pipe.peers.pipe = pipe
    run = fake_run(tmp_path, validation_set=FakeSet(3), validation_steps=3, checkpoint_steps=100)
    with pytest.raises(PeersLostError):
        train(pipe, *run)
    assert steps_saved(tmp_path) == [3]


def test_validation_errors_are_weighted_by_pairs_with_a_valid_pixel():
    pipe = FakePipe()
    pipe.peers = Others(lambda *_: [2.0 * 4, 4])  # of each level
    pipe.peers.store = "any"
    known = FakeSet(1)[0]
    blank = known._replace(valid=known.valid * 0)
    # FakePipe's error is 3 px, and 4 px more at each coarser level.
    errors = validation_epe(pipe, [known, blank, known])
    own = [19.0, 15.0, 11.0, 7.0, 3.0]
    assert pipe.peers.heard == [pytest.approx([error * 2, 2]) for error in own]
    assert list(errors) == [6, 5, 4, 3, 2]
    assert [*errors.values()] == pytest.approx([(error * 2 + 2 * 4) / 6 for error in own])


def test_a_worker_without_a_pair_to_validate_on_has_no_error_to_add():
    pipe = FakePipe()
    pipe.peers = Others(lambda *_: [2.0 * 4, 4])
    pipe.peers.store = "any"
    assert [*validation_epe(pipe, []).values()] == [2.0] * 5


@pytest.mark.parametrize("rank", [0, 1])
def test_validation_pairs_are_shared_out(tmp_path, rank):
    validated = FakeSet(5)
    _, pipe = run(
        tmp_path,
        lambda _, said: [0] * len(said),
        rank,
        validation_set=validated,
        validation_steps=4,
    )
    assert pipe.validated == [(1, 3 - rank), (4, 3 - rank), (8, 3 - rank)]
