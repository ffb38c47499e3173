"""The training loop around a pipeline that only counts: what is done when, and what goes wrong."""

import dataclasses
import logging
import re
import signal

import pytest
from main_runs import RATE
from training_helpers import RUN, FakeLoader, FakePipe, FakeSet, fake_run

from maskflownet.config.errors import InputError
from maskflownet.tasks.runs.log import read_rows
from maskflownet.tasks.training import loop
from maskflownet.tasks.training.data import augmented_batches
from maskflownet.tasks.training.loop import BAD_STEPS_IN_A_ROW, train
from maskflownet.tasks.training.meter import Meter, duration

NAN = float("nan")


def run(folder, pipe, start=0, data=None, **changes):
    """Train in `folder`; return the exit code."""
    schedule = pipe.config.optimizer.learning_rate
    return train(pipe, *(data or fake_run(folder, start=start, schedule=schedule, **changes)))


def log_lines(folder):
    """Return the lines of the text log without their time."""
    lines = (folder / "logs" / f"{RUN}.log").read_text().splitlines()
    assert all(re.match(r"\[\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\] ", line) for line in lines)
    return [line[22:] for line in lines]


def logged_steps(folder, column="epe"):
    rows = read_rows(folder / "logs" / f"{RUN}.csv")
    return [int(row["steps"]) for row in rows if column in row]


def checkpoints(folder):
    """Return the steps of the checkpoints, each of which has both files."""
    steps = {
        suffix: sorted(int(path.stem.split("_")[1]) for path in folder.glob(f"weights/*{suffix}"))
        for suffix in (".params", ".states")
    }
    assert steps[".params"] == steps[".states"]
    return steps[".params"]


# What is done when.


def test_the_log_is_in_the_originals_form_with_more_behind(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert run(tmp_path, FakePipe()) == 0
    first, second, third, *_ = log_lines(tmp_path)
    assert re.fullmatch(r"start=0, train=5, val=0, host=\S+, batch=2", first)
    assert second == "all, arguments=1"
    number = r"[\d.e-]+"
    assert re.fullmatch(
        rf"steps=1, epe=2\.0, total_time={number}, loss=1\.0, learning_rate=0\.0001, "
        rf"samples_per_second={number}, data_wait={number}, time_left=\d\d:\d\d:\d\d",
        third,
    )
    assert log_lines(tmp_path) == [record.message for record in caplog.records]
    rows = read_rows(tmp_path / "logs" / f"{RUN}.csv")
    assert [(row["steps"], row["epe"], row["loss"]) for row in rows] == [
        (step, 2 * step, 1) for step in range(1, 11)
    ]
    assert all(row["learning_rate"] == RATE for row in rows)


@pytest.mark.parametrize("fast", [False, True])
def test_the_pipelines_kind_of_operators_augments(tmp_path, monkeypatch, fast):
    asked = []

    def batches_of(*arguments, fast):
        asked.append(fast)
        return augmented_batches(*arguments)

    monkeypatch.setattr(loop, "augmented_batches", batches_of)
    pipe = FakePipe()
    pipe.fast = fast
    assert run(tmp_path, pipe) == 0
    assert asked == [fast]


def test_the_first_steps_are_logged_then_one_in_fifty_and_the_last_with_the_mean(tmp_path):
    run(tmp_path, FakePipe(((120, RATE),)))
    assert logged_steps(tmp_path) == [*range(1, 21), 50, 100, 120]
    epe = {row["steps"]: row["epe"] for row in read_rows(tmp_path / "logs" / f"{RUN}.csv")}
    assert epe[20] == 40
    assert epe[50] == pytest.approx(sum(range(21, 51)) / 30 * 2)
    assert epe[100] == pytest.approx(sum(range(51, 101)) / 50 * 2)
    assert epe[120] == pytest.approx(sum(range(101, 121)) / 20 * 2)
    run(tmp_path, FakePipe(((150, RATE),), first_step=121), start=120)
    assert logged_steps(tmp_path) == [*range(1, 21), 50, 100, 120, *range(121, 141), 150]


def test_validation_at_the_first_step_and_in_its_interval(tmp_path):
    pipe, validation_set = FakePipe(), FakeSet(3)
    run(tmp_path, pipe, validation_set=validation_set, validation_steps=4)
    assert pipe.validated == [(1, 3), (4, 3), (8, 3)]
    assert logged_steps(tmp_path, "val_epe") == [1, 4, 8]
    line = "steps=4, val_epe=3.0000, levels_6_to_2=19.00/15.00/11.00/7.00/3.00"
    assert line in log_lines(tmp_path)
    assert "val=3" in log_lines(tmp_path)[0]


def test_a_resumed_run_keeps_to_the_intervals_and_the_rates(tmp_path):
    schedule = ((6, 1e-3), (8, 1e-4), (11, 1e-5))
    pipe = FakePipe(schedule, first_step=6)
    run(tmp_path, pipe, start=5, validation_set=FakeSet(2), validation_steps=4)
    assert pipe.validated == [(8, 2)]
    assert [call[:2] for call in pipe.calls] == [
        *((6, 1e-3), (7, 1e-4), (8, 1e-4), (9, 1e-5), (10, 1e-5), (11, 1e-5))
    ]
    rows = read_rows(tmp_path / "logs" / f"{RUN}.csv")
    rates = {row["steps"]: row["learning_rate"] for row in rows if "epe" in row}
    assert rates == {6: 1e-3, 7: 1e-4, 8: 1e-4, 9: 1e-5, 10: 1e-5, 11: 1e-5}


def test_checkpoints_in_their_interval_and_at_the_end_the_newest_three_kept(tmp_path):
    run(tmp_path, FakePipe(((10, RATE),)), checkpoint_steps=4)
    assert checkpoints(tmp_path) == [4, 8, 10]
    run(tmp_path, FakePipe(((13, RATE),), first_step=11), start=10, checkpoint_steps=4)
    assert checkpoints(tmp_path) == [10, 12, 13]
    assert (tmp_path / "weights" / f"{RUN}_13.states").read_text() == "13"
    (tmp_path / "two").mkdir()
    run(tmp_path / "two", FakePipe(((10, RATE),)), checkpoint_steps=3, kept_checkpoints=2)
    assert checkpoints(tmp_path / "two") == [9, 10]


def test_the_batch_goes_to_the_network_in_the_parts_that_are_set(tmp_path):
    plan, data = fake_run(tmp_path, FakeLoader(batch=4))
    record = dataclasses.replace(plan.record, micro_batch=2)
    pipe = FakePipe()
    train(pipe, dataclasses.replace(plan, record=record), data)
    assert pipe.calls[0] == (1, RATE, 4, 2)


def test_a_run_at_the_end_of_its_schedule_does_nothing(tmp_path):
    pipe = FakePipe()
    assert run(tmp_path, pipe, start=10) == 0
    assert pipe.calls == [] and checkpoints(tmp_path) == []


def test_means_and_time():
    meter = Meter()
    meter.add({"epe": 1, "loss": 2}, waited=1, seconds=2)
    meter.add({"epe": 3, "loss": 6}, waited=0, seconds=2)
    assert meter.take(batch=8) == {
        "epe": 2,
        "loss": 4,
        "samples_per_second": 4,
        "data_wait": 0.25,
    }
    assert meter.steps == 0
    assert [duration(s) for s in (0, 3.4, 3600 * 5 + 61, 86400 * 3 + 1)] == [
        *("00:00:00", "00:00:03", "05:01:01", "3d00:00:01")
    ]


def test_time_left_is_that_of_the_steps_to_come(tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 5))  # each look at the clock finds it five seconds later
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    run(tmp_path, FakePipe(((4, RATE),)))
    left = [line.rpartition("=")[2] for line in log_lines(tmp_path)[2:]]
    waits = {row["data_wait"] for row in read_rows(tmp_path / "logs" / f"{RUN}.csv")}
    assert left == ["00:00:30", "00:00:20", "00:00:10", "00:00:00"]  # ten seconds a step
    assert waits == {0.5}


# Stopping.


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_and_writes_a_checkpoint(tmp_path, number, code, capfd):
    handler = signal.getsignal(number)
    loader = FakeLoader()
    pipe = FakePipe(signals={7: number})
    assert run(tmp_path, pipe, loader=loader, checkpoint_steps=4) == code
    assert pipe.step == 7
    assert checkpoints(tmp_path) == [4, 7]
    assert logged_steps(tmp_path)[-1] == 7
    assert not loader.is_open
    assert signal.getsignal(number) is handler
    assert "stopping after this step" in capfd.readouterr().err


def test_the_first_signal_decides_the_code(tmp_path):
    pipe = FakePipe(signals={7: signal.SIGINT})
    pipe.before_saving = lambda: signal.raise_signal(signal.SIGTERM)
    assert run(tmp_path, pipe, checkpoint_steps=100) == 130
    assert checkpoints(tmp_path) == [7]


def test_a_signal_breaks_a_validation_off(tmp_path):
    pipe, validation_set = FakePipe(), FakeSet(1000, signal_at=5)
    code = run(tmp_path, pipe, validation_set=validation_set, validation_steps=3)
    assert code == 143
    assert validation_set.read < 15
    assert pipe.step == 1
    assert checkpoints(tmp_path) == [1]
    assert logged_steps(tmp_path, "val_epe") == []


def test_a_signal_in_the_step_before_a_validation_leaves_it_out(tmp_path):
    pipe = FakePipe(signals={4: signal.SIGTERM})
    assert run(tmp_path, pipe, validation_set=FakeSet(3), validation_steps=4) == 143
    assert logged_steps(tmp_path, "val_epe") == [1]


def test_a_signal_at_a_checkpoint_writes_it_once(tmp_path):
    pipe = FakePipe(signals={4: signal.SIGTERM})
    written = []
    pipe.before_saving = lambda: written.append(pipe.step)
    assert run(tmp_path, pipe, checkpoint_steps=4) == 143
    assert written == [4]


# Losses that are not finite.


@pytest.mark.parametrize("loss", [NAN, float("inf")])
def test_a_bad_loss_is_logged_with_its_pairs_and_counts_in_no_mean(tmp_path, loss):
    pipe = FakePipe(((100, RATE),), losses={3: loss, 60: loss})
    assert run(tmp_path, pipe, checkpoint_steps=100) == 0
    lines = [line for line in log_lines(tmp_path) if "no update" in line]
    assert [line.split(",")[0] for line in lines] == ["steps=3", "steps=60"]
    assert lines[0].endswith(": pair-3-0, pair-3-1") and f"loss={loss}" in lines[0]
    assert 3 not in logged_steps(tmp_path)
    last = read_rows(tmp_path / "logs" / f"{RUN}.csv")[-1]
    assert last["steps"] == 100
    assert last["epe"] == pytest.approx((sum(range(51, 101)) - 60) / 49 * 2)
    assert last["loss"] == 1


def test_too_many_bad_losses_stop_the_run_and_keep_the_last_good_checkpoint(tmp_path):
    bad = dict.fromkeys(range(7, 1000), NAN)
    pipe, loader = FakePipe(((1000, RATE),), losses=bad), FakeLoader()
    assert run(tmp_path, pipe, loader=loader, checkpoint_steps=4) == 1
    assert pipe.step == 6 + BAD_STEPS_IN_A_ROW
    assert checkpoints(tmp_path) == [4]
    assert (tmp_path / "weights" / f"{RUN}_4.states").read_text() == "4"
    assert "the checkpoint of step 4 is the last good one" in log_lines(tmp_path)[-1]
    assert not loader.is_open


def test_a_run_that_is_bad_from_its_first_step_says_that_there_is_no_checkpoint(tmp_path):
    pipe = FakePipe(((1000, RATE),), losses=dict.fromkeys(range(1000), NAN))
    assert run(tmp_path, pipe, checkpoint_steps=4) == 1
    assert checkpoints(tmp_path) == []
    assert "there is no checkpoint yet" in log_lines(tmp_path)[-1]


def test_bad_losses_in_a_row_alone_count_and_a_due_checkpoint_waits_for_a_good_one(tmp_path):
    bad = dict.fromkeys([*range(3, 12), *range(13, 22)], NAN)
    pipe = FakePipe(((24, RATE),), losses=bad)
    saved = []
    pipe.before_saving = lambda: saved.append(pipe.step)
    assert run(tmp_path, pipe, checkpoint_steps=4) == 0
    assert pipe.step == 24
    assert saved == [12, 22, 24]


# Steps without a pixel whose flow is known.


def test_a_step_without_a_valid_pixel_counts_in_no_mean(tmp_path):
    pipe = FakePipe(((100, RATE),), empty={3, *range(61, 80)})
    assert run(tmp_path, pipe, checkpoint_steps=100) == 0
    rows = read_rows(tmp_path / "logs" / f"{RUN}.csv")
    last = rows[-1]
    known = [step for step in range(51, 101) if step not in pipe.empty]
    assert last["epe"] == pytest.approx(2 * sum(known) / len(known))
    assert last["loss"] == 1
    assert any("steps=3, epe=nan" in line for line in log_lines(tmp_path))


def test_a_training_without_a_valid_pixel_says_so_and_stops(tmp_path):
    pipe, loader = FakePipe(((1000, RATE),), empty=range(5, 1000)), FakeLoader()
    with pytest.raises(InputError, match=r"20 steps in a row had no pixel .* pair-24-0; a mask"):
        run(tmp_path, pipe, loader=loader)
    assert pipe.step == 24
    assert not loader.is_open


# What else goes wrong.


@pytest.mark.parametrize(
    "error", [InputError("9 of 10 pairs cannot be used"), ChildProcessError("killed")]
)
def test_data_that_fails_does_not_cost_the_steps_made(tmp_path, error):
    loader = FakeLoader(failures={6: error})
    with pytest.raises(type(error), match=str(error)):
        run(tmp_path, FakePipe(), loader=loader, checkpoint_steps=100)
    steps = checkpoints(tmp_path)
    assert steps in ([4], [5])  # the next batch is asked for while this one is used
    assert not loader.is_open


def test_a_validation_that_fails_does_not_either(tmp_path):
    class Broken(FakeSet):
        def __getitem__(self, index):
            raise InputError("flow.flo: cut short")

    with pytest.raises(InputError, match=r"flow\.flo"):
        run(tmp_path, FakePipe(), validation_set=Broken(), validation_steps=4)
    assert checkpoints(tmp_path) == [1]


def test_a_log_that_cannot_be_written_does_not_either(tmp_path):
    pipe = FakePipe()

    def block_log():
        if pipe.step == 4:
            (tmp_path / "logs" / f"{RUN}.log").unlink()
            (tmp_path / "logs" / f"{RUN}.log").mkdir()

    pipe.before_saving = block_log
    with pytest.raises(OSError, match="cannot be written") as caught:
        run(tmp_path, pipe, checkpoint_steps=4)
    assert str(caught.value).startswith(str(tmp_path / "logs" / f"{RUN}.log"))
    assert checkpoints(tmp_path) == [4, 5]


@pytest.mark.parametrize(
    ("said", "error"), [("CUDA: out of memory", InputError), ("shapes differ", RuntimeError)]
)
def test_a_step_that_fails_writes_nothing_and_closes_everything(tmp_path, said, error):
    handler = signal.getsignal(signal.SIGINT)
    loader = FakeLoader()
    pipe = FakePipe(losses={6: RuntimeError(said)})
    with pytest.raises(error, match=said):
        run(tmp_path, pipe, loader=loader, checkpoint_steps=4)
    assert checkpoints(tmp_path) == [4]
    assert not loader.is_open
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_checkpoint_that_cannot_be_written_ends_the_run(tmp_path):
    loader, pipe = FakeLoader(), FakePipe()

    def full():
        if pipe.step > 4:
            raise OSError(28, "No space left on device")

    pipe.before_saving = full
    with pytest.raises(OSError, match="No space left") as caught:
        run(tmp_path, pipe, loader=loader, checkpoint_steps=4)
    assert f"{RUN}_8 cannot be written" in str(caught.value) and "\n" not in str(caught.value)
    assert checkpoints(tmp_path) == [4]
    assert not loader.is_open


def test_logs_that_cannot_be_written_are_an_error_before_the_first_step(tmp_path):
    (tmp_path / "logs").write_text("a file")
    pipe = FakePipe()
    with pytest.raises(OSError, match="logs"):
        run(tmp_path, pipe)
    assert pipe.calls == []
