"""The best weights of a run: when they are written, what takes them, when training stalls."""

import json

import pytest
from training_helpers import RUN, FakePipe, FakeSet, fake_run

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.tasks.runs.best import Best, best_path, read_best
from maskflownet.tasks.runs.checkpoints import checkpoints_of, find_checkpoint
from maskflownet.tasks.training.best_so_far import BestSoFar
from maskflownet.tasks.training.loop import train


class Pipe(FakePipe):
    """Validates with the errors it is given, one after the other."""

    def __init__(self, errors, **how):
        super().__init__(**how)
        self.errors = list(errors)

    def validation_error(self):
        return self.errors.pop(0)


def run(folder, errors, start=0, **optimizer):
    folder.mkdir(exist_ok=True)
    plan = fake_run(folder, None, FakeSet(2), start, validation_steps=2, optimizer=optimizer)
    pipe = Pipe(errors, first_step=start + 1)
    return train(pipe, *plan), pipe


def kept(folder):
    path = best_path(RUN, folder / "weights")
    return Best(*read_best(path)[:2]), path.read_text()


def test_the_best_of_4_90_5_09_5_96_is_kept(tmp_path):
    run(tmp_path, [9, 4.90, 5.09, 5.96, 5.5, 5.4])
    assert kept(tmp_path) == (Best(2, 4.9), "2")
    assert (tmp_path / f"weights/{RUN}_10.params").exists()
    checkpoint = find_checkpoint("abcJan:best", tmp_path / "weights")
    assert checkpoint == (RUN, 2, tmp_path / f"weights/{RUN}_best.params")
    assert find_checkpoint(str(checkpoint.path), tmp_path) == checkpoint
    assert checkpoints_of(RUN, tmp_path / "weights")[-1].steps == 10


def test_a_continued_run_keeps_what_was_better_before(tmp_path):
    run(tmp_path, [9, 8, 7, 6, 6.5, 6.6])
    run(tmp_path, [6.1, 7], start=6)
    assert kept(tmp_path) == (Best(6, 6.0), "6")
    run(tmp_path, [5.9, 7], start=6)
    assert kept(tmp_path) == (Best(8, 5.9), "8")
    run(tmp_path, [7.5, 8], start=6)  # what a discarded step 8 left behind does not count
    assert kept(tmp_path) == (Best(8, 7.5), "8")


def test_errors_on_other_data_do_not_compare(tmp_path):
    run(tmp_path, [9, 0.9, 1, 1, 1, 1])
    note = best_path(RUN, tmp_path / "weights").with_suffix(".json")
    assert json.loads(note.read_text())["dataset_cfg"] == str(tmp_path / "tiny.yaml")
    note.write_text(note.read_text().replace("tiny.yaml", "other.yaml"))
    run(tmp_path, [3, 4], start=6)
    assert kept(tmp_path) == (Best(8, 3.0), "8")
    without = json.loads(note.read_text())
    del without["dataset_cfg"]  # as older versions wrote it
    note.write_text(json.dumps(without))
    run(tmp_path, [3.5], start=8)
    assert kept(tmp_path) == (Best(8, 3.0), "8")


def test_an_error_that_is_no_number_is_not_the_best(tmp_path):
    run(tmp_path, [float("nan")] * 3 + [3, float("nan"), 4])
    assert kept(tmp_path) == (Best(6, 3.0), "6")


def test_weights_that_another_note_belongs_to(tmp_path):
    run(tmp_path, [9, 4, 5, 5, 5, 5])
    path = best_path(RUN, tmp_path / "weights")
    path.write_text("other weights")  # as if killed between the two files
    assert read_best(path) is None
    assert find_checkpoint(f"{RUN}:best", tmp_path / "weights").steps == 0
    path.with_suffix(".json").write_text("no JSON")
    assert read_best(path) is None


def test_runs_without_best_weights(tmp_path):
    (tmp_path / "weights").mkdir()
    with pytest.raises(MissingDataError, match=r"-c x:best: .* has no x\*_best\.params; a run"):
        find_checkpoint("x:best", tmp_path / "weights")
    for name in ("abcJan01-0000", "abcJan01-0001"):
        best_path(name, tmp_path / "weights").touch()
    with pytest.raises(InputError, match="this fits 2 runs, write more of the name: abcJan01-0000"):
        find_checkpoint("abc:best", tmp_path / "weights")
    with pytest.raises(InputError, match="expected RUN:STEPS with a whole number, or RUN:best"):
        find_checkpoint("abc:last", tmp_path / "weights")


def test_training_stops_where_validation_no_longer_gets_better(tmp_path):
    code, pipe = run(tmp_path, [9, 4, 5, 4, 6, 6], early_stopping=2)
    assert (code, pipe.step) == (0, 6)
    log = (tmp_path / f"logs/{RUN}.log").read_text()
    assert "steps=6, stopped: val_epe has not fallen below 4.0000 in 2 validations" in log
    assert f"-c {RUN}:best has the weights" in log
    assert (tmp_path / f"weights/{RUN}_6.params").exists()


def test_training_goes_on_while_it_gets_better_or_nothing_is_said(tmp_path):
    assert run(tmp_path, [9, 8, 8, 7, 7, 6], early_stopping=2)[1].step == 10
    assert run(tmp_path / "b", [1, 2, 3, 4, 5, 6])[1].step == 10


def test_an_error_that_is_no_number_is_one_that_is_not_lower(tmp_path):
    nan = float("nan")
    assert run(tmp_path, [5, nan, 4, nan, 3, 3], early_stopping=2)[1].step == 10
    code, pipe = run(tmp_path / "b", [3, nan, 10, 9, 8, 7], early_stopping=2)
    assert (code, pipe.step) == (0, 4)


def test_one_worker_of_several_writes_and_all_stop_alike(tmp_path):
    first, other = (BestSoFar(RUN, 0, tmp_path, 2, "tiny", keeps) for keeps in (True, False))
    for steps, error in ((2, 5.0), (4, 6.0), (6, 5.0)):
        for one in (first, other):
            one.note(FakePipe(first_step=steps + 1), steps, error)
        assert first.has_stalled == other.has_stalled == (steps == 6)
    assert json.loads((tmp_path / f"{RUN}_best.json").read_text())["steps"] == 2
    assert other.kept is None
