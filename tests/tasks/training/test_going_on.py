"""The command that goes on, and what is said of crops and schedules before a training does harm."""

import logging
import shlex

import numpy as np
import pytest
from main_runs import begin, error_of, only_run, write_dataset, write_pairs
from training_helpers import FakePipe, fake_run, plan_of

from maskflownet.config import InputError
from maskflownet.config.files import ROOT
from maskflownet.main import main, make_parser
from maskflownet.tasks.training import loop, start
from maskflownet.tasks.training.data import open_data
from maskflownet.tasks.training.going_on import continuing_command
from maskflownet.tasks.training.loop import train


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ("MaskFlownet_S", "python main.py MaskFlownet_S -c RUN"),
        (
            "MaskFlownet_S --dataset_cfg x.yaml --batch 4 --seed 3 -c abb --clear_steps",
            "python main.py MaskFlownet_S -c RUN",
        ),
        (
            "MaskFlownet -c old -g 0,1 -s 2 --workers 3 --root 'my runs' --threads 2",
            "python main.py MaskFlownet -c RUN -g 0,1 --root 'my runs' --shard 2 --workers 3 "
            "--threads 2",
        ),
        (
            "my/net.yaml --micro_batch 2 --kernels builtin",
            "python main.py my/net.yaml -c RUN --micro_batch 2 --kernels builtin",
        ),
        ("--precision bf16", "python main.py -c RUN --precision bf16"),
    ],
)
def test_the_command_says_what_the_record_does_not_keep(said, again):
    arguments = make_parser().parse_args(shlex.split(said))
    assert continuing_command(arguments, "RUN") == again


def test_every_training_flag_is_repeated_or_recorded():
    """A flag that is added later must not be forgotten."""
    from maskflownet.main import TASKS
    from maskflownet.tasks.training.going_on import _FLAGS

    elsewhere = {"config", "checkpoint", "batch", "seed", "dataset_cfg"}  # said, or in the record
    new_run_only = {"clear_steps", "debug", "kvstore"}
    assert TASKS["train"] - elsewhere - new_run_only == set(_FLAGS)
    defaults = vars(make_parser().parse_args([]))
    assert {name: defaults[name] for name in _FLAGS} == {n: d for n, (_, d) in _FLAGS.items()}
    assert defaults["root"] == ROOT


def test_a_stopped_run_says_how_it_goes_on_and_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = begin(tmp_path)
    original = start.train

    def stopped(pipe, plan, data):
        monkeypatch.setattr(start, "train", original)
        pipe.save(plan.root / "weights" / f"{plan.run}_5")
        return 143

    monkeypatch.setattr(start, "train", stopped)
    assert main(arguments) == 143
    said = capsys.readouterr().out
    run = only_run(tmp_path)
    line = f"to go on from step 5: python main.py MaskFlownet_S -c {run} --root {tmp_path}"
    assert line in said.splitlines()
    monkeypatch.setattr(start, "train", lambda pipe, plan, data: plan.start == 5 and 0)
    assert main(shlex.split(line.partition("main.py ")[2])) == 0


def test_a_run_without_a_checkpoint_says_that_there_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(start, "train", lambda *given: 1)
    assert main(begin(tmp_path)) == 1
    assert (
        "has no checkpoint: begin again with the command that began it" in capsys.readouterr().out
    )


def pairs_of(folder, *sizes):
    """Write pairs of these sizes and return the plan of a training on 64x96."""
    write_pairs(
        folder,
        [
            (np.zeros((*size, 3), np.uint8), np.zeros((*size, 3), np.uint8), np.zeros((*size, 2)))
            for size in sizes
        ],
    )
    return plan_of(write_dataset(folder, dataset="list", synthetic={}, train_list="pairs.txt"))


def test_images_that_are_all_smaller_than_the_crop(tmp_path):
    plan = pairs_of(tmp_path, (64, 90), (70, 80))
    with pytest.raises(
        InputError,
        match=r"tiny\.yaml: 2 of 2 pairs .* than orig_shape, \[64, 96\] .*"
        r"write orig_shape: \[64, 80\] and target_shape: \[64, 64\] or less$",
    ):
        open_data(plan)


@pytest.mark.parametrize(("target", "warned"), [([64, 64], False), ([64, 128], True)])
def test_a_network_size_beyond_the_crop(tmp_path, caplog, target, warned):
    open_data(plan_of(write_dataset(tmp_path, target_shape=target)))
    told = "is larger than orig_shape, [64, 96] (height, width): all pairs are magnified"
    assert (told in caplog.text) == warned


def test_pairs_none_of_which_can_be_read(tmp_path):
    plan = pairs_of(tmp_path, *[(64, 96)] * 3)
    for number in range(2):
        (tmp_path / f"{number}_flow.flo").write_text("no flow")
    assert len(open_data(plan).training_set) == 3
    (tmp_path / "2_flow.flo").write_text("no flow")
    with pytest.raises(InputError, match=r"2_flow\.flo: expected a \.flo file"):
        open_data(plan)


def test_some_images_that_are_smaller_than_the_crop(tmp_path, caplog):
    plan = pairs_of(tmp_path, (64, 96), (64, 90))
    assert len(open_data(plan).training_set) == 2
    assert "1 of 2 pairs that were looked at are smaller" in caplog.text
    caplog.clear()
    open_data(pairs_of(tmp_path, (64, 96), (80, 100)))
    assert "looked at" not in caplog.text


@pytest.mark.parametrize(("a_day", "warned"), [(0, True), (1e9, False)])
def test_a_schedule_longer_than_a_day_at_the_measured_speed(
    tmp_path, caplog, monkeypatch, a_day, warned
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(loop, "A_DAY", a_day)
    schedule = ((70, 1e-4),)
    train(FakePipe(schedule), *fake_run(tmp_path, schedule=schedule))
    told = [line for line in caplog.messages if "at this speed" in line]
    assert len(told) == warned
    if warned:
        assert told[0].startswith("at this speed the 50 steps that are left take ")


def test_the_validation_pairs_are_spread_and_so_many(tmp_path):
    class Numbered:
        color_order = "RGB"

        def __init__(self):
            self.seen = []

        def __len__(self):
            return 10

        def __getitem__(self, index):
            self.seen.append(index)
            image = np.zeros((64, 64, 3), np.uint8)
            from maskflownet.reader.sample import FlowSample

            return FlowSample(image, image, np.zeros((64, 64, 2), np.float32), image[..., :1])

    validation_set = Numbered()
    counts = {"validation_steps": 20, "validation_pairs": 4}
    plan = fake_run(tmp_path, None, validation_set, schedule=((2, 1e-4),), **counts)
    train(FakePipe(((2, 1e-4),)), *plan)
    assert validation_set.seen == [0, 3, 6, 9]


def test_a_crop_larger_than_the_images_is_said_before_anything_is_written(tmp_path, capsys):
    pairs_of(tmp_path, (64, 90))
    line = error_of(
        capsys,
        ["MaskFlownet_S", "--dataset_cfg", str(tmp_path / "tiny.yaml"), "--root", str(tmp_path)],
    )
    assert "smaller than orig_shape" in line
    assert not (tmp_path / "logs").exists()
