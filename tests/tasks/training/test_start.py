"""Where a run comes from, what it is made with, and every mistake before anything is written."""

import dataclasses
import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from golden import recipe_pipeline
from main_runs import error_of, write_dataset, write_pairs
from ports import mmflow_arrays, write_zip
from training_helpers import plan_of

from maskflownet import main as program
from maskflownet.config import InputError, load_config
from maskflownet.network import memory
from maskflownet.tasks.runs.record import RunRecord, read_record, record_path, write_record
from maskflownet.tasks.training import plan as planning
from maskflownet.tasks.training import start

pytestmark = pytest.mark.usefixtures("thin_networks")

S_RUN, CASCADE_RUN = "5abJan01-0000", "ca5Jan01-0000"
RECORD = RunRecord("MaskFlownet_S", "chairs", batch=2, micro_batch=2, shard=1, seed=7)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Checkpoints of both networks at step 4."""
    folder = tmp_path_factory.mktemp("saved")
    for run, name in ((S_RUN, "MaskFlownet_S"), (CASCADE_RUN, "MaskFlownet")):
        pipe = recipe_pipeline(name)
        if name == "MaskFlownet":
            pipe.fix_head()
        pipe.save(folder / f"{run}_4")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def root(tmp_path, saved):
    """A root with both checkpoints and the record of the one run."""
    (tmp_path / "weights").mkdir()
    for path in saved.iterdir():
        (tmp_path / "weights" / path.name).symlink_to(path)
    record = dataclasses.replace(RECORD, dataset_cfg=str(write_dataset(tmp_path)))
    write_record(record, record_path(tmp_path, S_RUN))
    return tmp_path


@pytest.fixture
def trained(monkeypatch):
    """What `train` is called with, in place of a training."""
    calls = []

    def note(pipe, plan, data):
        calls.append((pipe, plan, data))
        return 0

    monkeypatch.setattr(start, "train", note)
    return calls


def arguments(root, *argv, config="MaskFlownet_S"):
    return [config, "--root", str(root), *map(str, argv)]


def made_with(plan):
    record = plan.record
    return record.batch, record.micro_batch, record.seed, record.shard


def files(root):
    return sorted(path for path in root.rglob("*"))


def weight(pipe, name="conv3a"):
    return getattr(pipe.network, name)[0].weight.data(pipe.ctx[0]).asnumpy()


# A new run.


def test_a_new_run_is_made_as_the_configs_say_and_recorded(root, trained, capsys):
    dataset = write_dataset(root)
    assert program.main(arguments(root, "--dataset_cfg", dataset)) == 0
    ((_, plan, data),) = trained
    run = plan.run
    assert (plan.start, made_with(plan)) == (0, (2, 2, 0, 1))
    assert (len(data.training_set), len(data.validation_set)) == (5, 2)
    record = read_record(record_path(root, run))
    assert record == RunRecord("MaskFlownet_S", str(dataset), 2, 2, 1, 0, None)
    assert f"run {run}: log and curves in {root / 'logs'}\n" in capsys.readouterr().out
    assert (root / "logs" / f"{run}.log").is_file()


def test_flags_count_before_the_configs(root, trained):
    flags = ["--batch", 6, "--micro_batch", 3, "--seed", 2**40, "-s", 2, "--workers", 3]
    assert program.main(arguments(root, "--dataset_cfg", write_dataset(root), *flags)) == 0
    ((_, plan, _),) = trained
    assert made_with(plan) == (6, 3, 2**40, 2)
    assert plan.readers == 3
    assert read_record(record_path(root, plan.run)).said_batch == 6


def test_the_seed_decides_the_weights(root, trained):
    for seed in (0, 0, 1, 2**40 + 1):
        program.main(arguments(root, "--dataset_cfg", write_dataset(root), "--seed", seed))
    first, again, other, large = (weight(call[0]) for call in trained)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and np.isfinite(large).all()
    assert len({call[1].run for call in trained}) == 4


def test_a_dataset_may_bring_its_own_schedule(root, trained):
    program.main(arguments(root, "--dataset_cfg", write_dataset(root)))
    dataset = write_dataset(root, optimizer=None)
    program.main(arguments(root, "--dataset_cfg", dataset))
    rates = [call[0].config.optimizer.learning_rate for call in trained]
    assert rates == [((6, 1e-4),), load_config("MaskFlownet_S").optimizer.learning_rate]


def test_clear_steps_begins_a_new_run_at_a_checkpoints_weights(root, trained):
    flags = ["-c", S_RUN, "--clear_steps", "--dataset_cfg", write_dataset(root)]
    assert program.main(arguments(root, *flags)) == 0
    ((pipe, plan, _),) = trained
    assert plan.run != S_RUN and (plan.start, plan.record.seed) == (0, 0)
    np.testing.assert_array_equal(weight(pipe), weight(recipe_pipeline("MaskFlownet_S")))
    assert pipe.trainer._updaters == [] or not pipe.trainer._updaters[0].states


def test_mmflows_cascade_trains_its_first_stage_too(whole_network, root, trained):
    path = write_zip(root / "things.pth", mmflow_arrays("MaskFlownet_S"), wrap="state_dict")
    dataset = write_dataset(root, optimizer={"start": "uniform"}, color_order="RGB")
    flags = ["-c", path, "--clear_steps", "--dataset_cfg", dataset]
    assert program.main(arguments(root, *flags, config="mmflow/MaskFlownet_chairs")) == 0
    ((pipe, _, data),) = trained
    parameters = pipe.network.collect_params().values()
    assert {parameter.grad_req for parameter in parameters} == {"write"}
    first, second = (
        getattr(network, name)[0].weight.data().asnumpy()
        for network, name in ((pipe.network.MaskFlownet_S, "conv3a"), (pipe.network, "conv3x"))
    )
    given = mmflow_arrays("MaskFlownet_S")["encoder.layers.2.layers.0.conv.weight"]
    np.testing.assert_array_equal(first, given)
    bound = np.sqrt(6 / (64 * 9))
    assert 0.95 * bound < np.abs(second).max() <= bound
    assert data.training_set.color_order == data.validation_set.color_order == "RGB"


def test_a_cascade_takes_a_first_stage_and_freezes_it(root, trained):
    flags = ["-c", S_RUN, "--clear_steps", "--dataset_cfg", write_dataset(root)]
    assert program.main(arguments(root, *flags, config="MaskFlownet")) == 0
    ((pipe, *_),) = trained
    head = pipe.network.MaskFlownet_S
    np.testing.assert_array_equal(
        head.conv3a[0].weight.data().asnumpy(), weight(recipe_pipeline("MaskFlownet_S"))
    )
    frozen = {parameter.grad_req for parameter in head.collect_params().values()}
    assert frozen == {"null"}
    assert pipe.network.conv3x[0].weight.grad_req == "write"


def test_a_cascade_may_begin_anew_at_a_cascade(root, trained):
    flags = ["-c", CASCADE_RUN, "--clear_steps", "--dataset_cfg", write_dataset(root)]
    assert program.main(arguments(root, *flags, config="MaskFlownet_ft")) == 0
    ((pipe, *_),) = trained
    wanted = recipe_pipeline("MaskFlownet")
    np.testing.assert_array_equal(weight(pipe, "conv3x"), weight(wanted, "conv3x"))
    assert pipe.network.MaskFlownet_S.conv3a[0].weight.grad_req == "null"


# Continuing.


def test_continuing_needs_no_more_than_the_run(root, trained, monkeypatch, tmp_path_factory):
    write_record(
        dataclasses.replace(read_record(record_path(root, S_RUN)), batch=6, said_batch=6),
        record_path(root, S_RUN),
    )
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert program.main(arguments(root, "-c", "5ab")) == 0
    ((pipe, plan, data),) = trained
    assert (plan.run, plan.start) == (S_RUN, 4)
    assert made_with(plan) == (6, 2, 7, 1)
    assert data.config.dataset == "synthetic"
    np.testing.assert_array_equal(weight(pipe), weight(recipe_pipeline("MaskFlownet_S")))
    assert read_record(record_path(root, S_RUN)).said_batch == 6


def test_a_batch_that_was_changed_in_the_config_counts(root, trained, capsys):
    write_dataset(root, batch=4)
    assert program.main(arguments(root, "-c", S_RUN)) == 0
    assert trained[0][1].record.batch == 4
    assert (
        f"run {S_RUN} was trained with batch=2 so far and goes on with 4\n"
        in capsys.readouterr().out
    )


def test_other_data_and_another_config_are_warned_of(root, trained, capsys):
    (root / "other").mkdir()
    other = write_dataset(root / "other")
    flags = ["-c", S_RUN, "--dataset_cfg", other, "-s", 2]
    assert program.main(arguments(root, *flags, config="MaskFlownet_S_ft")) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "was trained with" in line]
    assert [line.split("=")[0].split()[-1] for line in told] == [
        *("config", "dataset_cfg", "shard")
    ]
    assert (trained[0][1].run, trained[0][1].start) == (S_RUN, 4)


def test_without_moments_training_goes_on_with_a_warning(root, trained, capsys):
    (root / "weights" / f"{S_RUN}_4.states").unlink()
    assert program.main(arguments(root, "-c", S_RUN)) == 0
    assert "continues with fresh moments of Adam\n" in capsys.readouterr().out
    assert (trained[0][1].run, trained[0][1].start) == (S_RUN, 4)


def test_a_run_without_a_record_goes_on_with_what_is_said(root, trained, capsys):
    record_path(root, S_RUN).unlink()
    flags = ["-c", S_RUN, "--seed", 3, "--dataset_cfg", write_dataset(root)]
    assert program.main(arguments(root, *flags)) == 0
    said = f"run {S_RUN} has no record: it goes on with what the command line says\n"
    assert said in capsys.readouterr().out
    assert read_record(record_path(root, S_RUN)).seed == 3


def test_a_checkpoint_elsewhere_goes_on_here_with_its_record(root, trained, tmp_path_factory):
    here = tmp_path_factory.mktemp("here")
    path = root / "weights" / f"{S_RUN}_4.params"
    assert program.main(arguments(here, "-c", path)) == 0
    ((_, plan, _),) = trained
    assert (plan.run, plan.start, plan.record.seed) == (S_RUN, 4, 7)
    assert read_record(record_path(here, S_RUN)) == read_record(record_path(root, S_RUN))


def test_a_run_at_its_end_has_nothing_left_to_do(root, trained, capsys):
    write_dataset(root, optimizer={"learning_rate": [[4, 1e-4]]})
    before = files(root)
    assert program.main(arguments(root, "-c", S_RUN)) == 0
    said = f"run {S_RUN} is at step 4 and the schedule ends at 4: nothing is left to do\n"
    assert capsys.readouterr().out == said
    assert trained == [] and files(root) == before


@pytest.mark.parametrize(("free_gb", "part"), [(64, 2), (0.72, 1)])
def test_parts_stay_as_they_were_while_they_fit(root, trained, monkeypatch, free_gb, part):
    """Sums over other parts are rounded otherwise."""
    record = dataclasses.replace(
        read_record(record_path(root, S_RUN)), batch=4, said_batch=4, micro_batch=2
    )
    write_record(record, record_path(root, S_RUN))
    monkeypatch.setattr(memory, "free_bytes", lambda: free_gb * 1e9)
    assert program.main(arguments(root, "-c", S_RUN)) == 0
    assert made_with(trained[0][1])[:2] == (4, part)


# Mistakes.


@pytest.mark.parametrize(
    ("argv", "config", "said"),
    [
        (["-c", S_RUN, "--seed", "8"], "MaskFlownet_S", "has seed 7"),
        (["--clear_steps"], "MaskFlownet_S", "name it with -c"),
        ([], "MaskFlownet", "-c RUN --clear_steps"),
        (["-c", S_RUN], "MaskFlownet", "add --clear_steps"),
        (["-c", CASCADE_RUN, "--clear_steps"], "MaskFlownet_S", "such as MaskFlownet.yaml"),
        (["--batch", "6", "--micro_batch", "4"], "MaskFlownet_S", "micro-batches of [1, 2, 3, 6]"),
        (["-g", "0,1,2"], "MaskFlownet_S", "such as 3 (--batch)"),
        (["-g", "0,1,2", "--batch", "8"], "MaskFlownet_S", "6 or 9 (--batch)"),
        (["-n", "PWCNet"], "MaskFlownet_S", "PWCNet"),
        (["--resize", "64,64"], "MaskFlownet_S", "--resize has no effect"),
        (["-c", "zzz"], "MaskFlownet_S", "zzz"),
    ],
)
def test_mistakes_end_in_one_line_and_leave_nothing(
    root, trained, capsys, monkeypatch, argv, config, said
):
    monkeypatch.setattr(planning, "devices", lambda ids: [mx.cpu(number) for number in ids or [0]])
    before = files(root)
    dataset = ["--dataset_cfg", root / "tiny.yaml"]
    assert said in error_of(capsys, arguments(root, *argv, *dataset, config=config))
    assert files(root) == before and trained == []


def test_an_older_step_is_not_continued(root, trained, capsys):
    for suffix in (".params", ".states"):
        (root / "weights" / f"{S_RUN}_3{suffix}").symlink_to(
            root / "weights" / f"{S_RUN}_4{suffix}"
        )
    for name in (f"{S_RUN}:3", root / "weights" / f"{S_RUN}_3.params"):
        error = error_of(capsys, arguments(root, "-c", name))
        assert "has gone on to step 4" in error and "--clear_steps" in error
    flags = ["-c", f"{S_RUN}:3", "--clear_steps", "--dataset_cfg", root / "tiny.yaml"]
    assert program.main(arguments(root, *flags)) == 0


def test_the_best_weights_begin_a_new_run_and_continue_none(root, trained, capsys):
    best = root / "weights" / f"{S_RUN}_best.params"
    best.symlink_to(root / "weights" / f"{S_RUN}_4.params")
    for name in (f"{S_RUN}:best", best):
        error = error_of(capsys, arguments(root, "-c", name))
        assert f"add --clear_steps; -c {S_RUN} continues the run" in error and trained == []
    flags = ["-c", f"{S_RUN}:best", "--clear_steps", "--dataset_cfg", root / "tiny.yaml"]
    assert program.main(arguments(root, *flags)) == 0
    np.testing.assert_array_equal(weight(trained[0][0]), weight(recipe_pipeline("MaskFlownet_S")))


@pytest.mark.parametrize("has_record", [True, False])
def test_a_finished_run_under_another_config_is_no_run_to_continue(root, capsys, has_record):
    if not has_record:
        record_path(root, S_RUN).unlink()
    dataset = write_dataset(root, optimizer={"learning_rate": [[3, 1e-4]]})
    config = "MaskFlownet_S_ft" if has_record else "MaskFlownet_S"
    argv = arguments(root, "-c", S_RUN, "--dataset_cfg", dataset, config=config)
    assert "ends at 3; add --clear_steps" in error_of(capsys, argv)


def test_a_record_that_is_none_is_named(root, capsys):
    path = record_path(root, S_RUN)
    path.write_text(json.dumps({"seed": "x"}))
    assert str(path) in error_of(capsys, arguments(root, "-c", S_RUN))


def test_a_mixture_that_does_not_divide_the_batch_is_told_before_the_run(
    root, trained, capsys, monkeypatch
):
    before = files(root)

    def mixture(config, split):
        from maskflownet.reader.datasets.mixture import Mixture
        from maskflownet.reader.datasets.synthetic import Synthetic, appearance

        scenes = Synthetic(0, range(5), *appearance(config, validation=False))
        return Mixture([(scenes, 2), (scenes, 1), (scenes, 1)])

    monkeypatch.setattr("maskflownet.tasks.training.data.make_dataset", mixture)
    argv = arguments(root, "--batch", 6, "--dataset_cfg", root / "tiny.yaml")
    assert "a multiple of 4" in error_of(capsys, argv)
    assert files(root) == before


def test_a_list_without_pairs_is_told(root, trained, capsys):
    (root / "none.txt").write_text("# nothing here\n")
    dataset = write_dataset(root, dataset="list", synthetic=None, train_list="none.txt")
    before = files(root)
    assert "none.txt" in error_of(capsys, arguments(root, "--dataset_cfg", dataset))
    assert files(root) == before


def test_folders_that_cannot_be_written_are_told_before_the_first_step(root, trained, capsys):
    """Not at the first checkpoint, hours later."""
    shutil.rmtree(root / "weights")
    (root / "weights").write_text("a file")
    error = error_of(capsys, arguments(root, "--dataset_cfg", root / "tiny.yaml"))
    assert f"{root / 'weights'}: expected a folder, got a file" in error and trained == []


def test_images_smaller_than_the_crop_are_named(root, capsys):
    image = np.zeros((64, 80, 3), np.uint8)
    write_pairs(root, 4 * [(image, image, np.zeros((64, 80, 2), np.float32))])
    dataset = write_dataset(root, dataset="list", synthetic=None, train_list="pairs.txt")
    error = error_of(capsys, arguments(root, "--dataset_cfg", dataset, "--workers", 1))
    assert "smaller than orig_shape, [64, 96] (height, width), the smallest 64 high and 80" in error


def test_a_root_whose_name_mxnet_cannot_write_is_refused_before_the_run_has_an_id(tmp_path):
    root = tmp_path / "d\udce9"
    with pytest.raises(InputError, match=r"d\\udce9: expected a name in UTF-8"):
        start.open_run(dataclasses.replace(plan_of("synthetic"), root=root))
    assert not (root / "logs").exists()
