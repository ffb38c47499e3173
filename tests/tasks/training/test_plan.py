"""The plan of a run: made without a trace, not to be changed; --debug's is a plan too."""

import dataclasses

import mxnet as mx
import pytest
from main_runs import begin
from training_helpers import RUN, plan_of

from maskflownet.config import InputError
from maskflownet.config.files import ROOT
from maskflownet.main import make_parser
from maskflownet.network import get_pipeline
from maskflownet.tasks.runs.checkpoints import Checkpoint, save_checkpoint
from maskflownet.tasks.runs.record import record_path, write_record
from maskflownet.tasks.training.origin import Origin
from maskflownet.tasks.training.plan import DEBUG_STEPS, debug_plan, plan_run


def planned(root, *flags, **changes):
    return plan_run(make_parser().parse_args(begin(root, *flags, **changes)))


def test_planning_writes_nothing_and_a_plan_stays_as_it_is(tmp_path):
    plan = planned(tmp_path, "--seed", 5, "--workers", 3, "--batch", 4)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
    assert (plan.record.seed, plan.readers, plan.record.batch) == (5, 3, 4)
    assert (plan.run, plan.start, plan.last_step) == (None, 0, 10)
    assert plan.origin == Origin() and "seed=5" in plan.said and plan.root == tmp_path
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.start = 1


def test_all_mistakes_are_found_while_planning(tmp_path):
    with pytest.raises(InputError, match="does not divide into micro-batches of 4"):
        planned(tmp_path, "--batch", 6, "--micro_batch", 4)
    with pytest.raises(InputError, match="trains over a finished first stage"):
        planned(tmp_path, config="MaskFlownet")


@pytest.mark.parametrize("name", ["own", "mmflow/MaskFlownet_S_chairs"])
def test_a_run_goes_on_with_the_very_config_that_it_was_begun_with(tmp_path, monkeypatch, name):
    """An own file may have the name of one in config/, and those in its folders have a place."""
    if name == "own":
        name = tmp_path / "MaskFlownet_S.yaml"
        text = (ROOT / "config" / "MaskFlownet_S.yaml").read_text()
        name.write_text(text.replace("400000, 1e-4", "400000, 2e-4"))
    monkeypatch.chdir(tmp_path)
    plan = planned(tmp_path, config=str(name))
    write_record(plan.record, record_path(tmp_path, RUN))
    pipe = get_pipeline("MaskFlownet", [mx.cpu()], plan.config)
    save_checkpoint(pipe, RUN, 4, tmp_path / "weights")
    monkeypatch.chdir("/")
    again = plan_run(make_parser().parse_args(["-c", RUN, "--root", str(tmp_path)]))
    assert again.config == plan.config and again.record == plan.record


@pytest.mark.parametrize("run", ["scenes-S", "scenes-cascade"])
def test_the_shipped_weights_are_no_run_to_go_on(tmp_path, run):
    with pytest.raises(InputError, match=rf"-c {run}: .* add --clear_steps"):
        planned(tmp_path, "-c", run)
    assert planned(tmp_path, "-c", run, "--clear_steps").run is None


def test_mmflows_networks_learn_from_images_in_their_own_order(tmp_path):
    orders = [
        planned(tmp_path, config=config, **said).dataset.color_order
        for config in ("MaskFlownet_S", "mmflow/MaskFlownet_S_chairs")
        for said in ({}, {"color_order": "RGB"})
    ]
    assert orders == [None, "RGB", "BGR", "RGB"]


def test_a_plan_to_try_a_run_is_short_and_resumes_itself(tmp_path):
    plan = plan_of("things3d", batch=8)
    first = debug_plan(plan, tmp_path)
    assert (first.run, first.start, first.last_step, first.root) == ("debug", 0, 2, tmp_path)
    assert (first.record.batch, first.record.micro_batch, first.dataset.validation_pairs) == (
        1,
        1,
        2,
    )
    checkpoint = Checkpoint("debug", DEBUG_STEPS, tmp_path / "debug_2.params")
    second = debug_plan(plan, tmp_path, checkpoint)
    assert (second.start, second.last_step, second.is_finished) == (2, 4, False)
    assert second.origin == Origin(checkpoint, "debug", 2)
    rates = {one.config.optimizer.learning_rate[0][1] for one in (plan, first, second)}
    assert len(rates) == 1


def test_a_run_is_finished_where_its_schedule_ends():
    plan = plan_of("chairs", schedule=((6, 1e-4),), run="abc", start=5)
    assert not plan.is_finished
    assert dataclasses.replace(plan, start=6).is_finished
    assert not dataclasses.replace(plan, run=None, start=6).is_finished
