"""A network beside predicting no motion and DIS, and the float16 file of the weights that ship."""

import logging

import mxnet as mx
import numpy as np
import pytest
from golden import weights_of
from main_runs import write_dataset
from processes import no_file_over

from maskflownet.config import load_config, load_dataset_config
from maskflownet.config.schedule import with_schedule
from maskflownet.network import get_pipeline
from maskflownet.reader.datasets import make_dataset
from maskflownet.tasks.open_pipeline import devices, load
from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.runs.shipped import shipped_weights
from maskflownet.tasks.showcase import baselines, ship_weights
from maskflownet.tasks.showcase.train_demo import last_step, parts_of


@pytest.fixture(scope="module")
def scenes():
    dataset = make_dataset(load_dataset_config("demo"), "valid")
    return [dataset[index] for index in range(2)]


def test_each_method_is_scored_on_the_same_pairs(scenes):
    pipe = get_pipeline("MaskFlownet", devices([]), load_config("MaskFlownet_S"))
    figures = baselines.compare(pipe, scenes)
    levels = [f"  level {level}" for level in (6, 5, 4, 3)]
    assert list(figures) == ["no motion", "OpenCV's DIS", *levels, "MaskFlownet_S"]
    (flow,) = pipe.predict_pairs([(scenes[0].image1, scenes[0].image2)], wanted=("flow",))
    alone = baselines.compare(pipe, scenes[:1])["MaskFlownet_S"]
    error = np.linalg.norm(flow.flow - scenes[0].flow, axis=-1).mean()
    assert alone["epe"] == pytest.approx(error, rel=1e-3)
    motion = np.mean([np.linalg.norm(sample.flow, axis=-1).mean() for sample in scenes])
    assert figures["no motion"]["epe"] == pytest.approx(motion, rel=1e-3)
    assert figures["OpenCV's DIS"]["epe"] < figures["no motion"]["epe"]
    errors = baselines.reference_errors(scenes)
    assert errors["OpenCV's DIS"] == pytest.approx(figures["OpenCV's DIS"]["epe"], rel=1e-3)


def test_the_shipped_weights_know_motion_that_they_have_not_seen(scenes):
    """The project's promise: useful flow on the first run."""
    figures = baselines.compare(load(shipped_weights().path), scenes)
    assert figures["MaskFlownet_S"]["epe"] < figures["no motion"]["epe"] / 2


def test_the_shipped_cascade_refines_the_flow_of_the_shipped_first_stage(scenes):
    first, cascade = (load(name) for name in ("scenes-S", "scenes-cascade"))
    figures = [baselines.compare(pipe, scenes)[pipe.config.name] for pipe in (first, cascade)]
    assert figures[1]["epe"] < figures[0]["epe"]
    held = weights_of(cascade.network)
    for name, value in weights_of(first.network).items():
        np.testing.assert_array_equal(held[f"MaskFlownet_S.{name}"], value)


def test_the_command_prints_a_table(capsys):
    assert baselines.main(["--dataset_cfg", "demo", "--pairs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:16].rstrip() for line in lines[-7:]] == [
        *("no motion", "OpenCV's DIS", "  level 6", "  level 5", "  level 4", "  level 3"),
        "MaskFlownet_S",
    ]


def test_a_network_that_takes_one_color_order_is_scored_in_it(root, monkeypatch):
    config = load_config("mmflow/MaskFlownet_S_chairs")
    get_pipeline("MaskFlownet", devices([]), config).save(root / "mmf_1")
    dataset = str(write_dataset(root, color_order="RGB"))
    seen, compare = [], baselines.compare
    monkeypatch.setattr(
        baselines, "compare", lambda pipe, samples: compare(pipe, seen.extend(samples) or seen)
    )
    arguments = ["mmflow/MaskFlownet_S_chairs", "-c", str(root / "mmf_1.params")]
    assert baselines.main([*arguments, "--dataset_cfg", dataset, "--pairs", "1"]) == 0
    rgb = make_dataset(load_dataset_config(dataset), "valid")[0].image1
    np.testing.assert_array_equal(seen[0].image1, rgb[..., ::-1])


def test_half_a_file_gives_nearly_the_same_flow(root, scenes, caplog):
    caplog.set_level(logging.INFO)
    pipe = get_pipeline("MaskFlownet", devices([]), load_config("MaskFlownet_S"))
    pipe.save(root / "whole_1")
    ship_weights.write_half([root / "whole_1.params"], root / "half_1.params")
    sizes = [(root / f"{name}_1.params").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.51 * sizes[1]
    images = scenes[0].image1, scenes[0].image2
    flows = [
        next(load(root / f"{name}_1.params").predict_pairs([images])).flow
        for name in ("half", "whole")
    ]
    assert np.abs(flows[0] - flows[1]).max() < 0.01 * np.abs(flows[1]).max()


def test_half_a_file_on_a_full_disk_is_none(root):
    pipe = get_pipeline("MaskFlownet", devices([]), load_config("MaskFlownet_S"))
    pipe.save(root / "whole_2")
    path = root / "half_2.params"
    ship_weights.write_half([root / "whole_2.params"], path)
    size = path.stat().st_size
    path.unlink()
    with no_file_over(size - 100), pytest.raises(OSError, match="cannot be written whole"):
        ship_weights.write_half([root / "whole_2.params"], path)
    assert not path.exists()


def test_several_files_become_their_mean(root):
    paths = [root / f"{name}_1.params" for name in ("one", "other", "mean")]
    for path in paths[:2]:
        pipe = get_pipeline("MaskFlownet", devices([]), load_config("MaskFlownet_S"))
        pipe.save(path.with_suffix(""))
    ship_weights.write_half(paths[:2], paths[2])
    one, other, mean = (mx.nd.load(str(path))["conv1a.0.weight"].asnumpy() for path in paths)
    np.testing.assert_allclose(mean, (one + other) / 2, rtol=2e-3, atol=1e-6)
    assert np.abs(one - other).max() > 0.01


def test_the_recipe_is_complete():
    none = 5 * [None]
    levels = {
        "scenes": none,
        "scenes_far": [4, 4, 3, None, None],
        "scenes_mean": [4, None, 4, None, None],
    }
    told = {
        "scenes": none,
        "scenes_far": [None, None, 0.1, 0.1, 0.1],
        "scenes_mean": [0.1, 0.1, 0.1, 0.1, 0.03],
    }
    for course in ship_weights.COURSES:
        parts = [f"{course}/{part}" for part in parts_of(course)]
        assert len(parts) == len(levels[course])
        assert all(last_step(part) > 0 for part in parts)
        optimizers = [load_dataset_config(part).optimizer for part in parts]
        assert [one.finest_level for one in optimizers] == levels[course]
        assert [one.mask_weight for one in optimizers] == told[course]
    assert load_dataset_config("scenes_far/1_lifted").optimizer.start == "lifted"
    assert load_dataset_config("scenes_mean/5_robust").optimizer.q == 0.4
    (part,) = parts_of("scenes_cascade")
    cascade = load_dataset_config(f"scenes_cascade/{part}").optimizer
    assert (cascade.start, cascade.q, cascade.mask_weight) == ("copied", 0.4, 0)
    assert with_schedule(load_config("MaskFlownet"), load_dataset_config(f"scenes_cascade/{part}"))


def test_each_course_begins_with_the_mean_of_the_one_before(tmp_path, monkeypatch):
    asked, written, trained = [], {}, []

    def train_course(course, folder, weights=None):
        asked.append((course, folder, weights))
        ends = [Checkpoint(f"run{part}", 1, tmp_path / f"{course}{part}") for part in range(5)]
        return ends, [(1, 2.0)]

    def train(command, root, steps, begin):
        trained.append((command, root, steps, begin))
        folder = root / "weights"
        folder.mkdir(parents=True)
        for step in (300, 600, steps):
            (folder / f"abc_{step}.params").touch()
        (folder / "abc_best.params").touch()
        return Checkpoint("abc", steps, folder / f"abc_{steps}.params")

    monkeypatch.setattr(ship_weights, "train_course", train_course)
    monkeypatch.setattr(ship_weights.programs, "train", train)
    monkeypatch.setattr(
        ship_weights, "write_half", lambda sources, path: written.update({path: sources})
    )
    folder = tmp_path / "training"
    ship_weights.ship(folder, tmp_path / "weights")
    near, far, *means, shipped, cascade = written
    assert asked == [("scenes", folder, None), ("scenes_far", folder / "far", near)]
    assert written[near] == [tmp_path / f"scenes{part}" for part in (2, 3, 4)]
    assert written[far] == [tmp_path / "scenes_far3", tmp_path / "scenes_far4"]

    parts = parts_of("scenes_mean")
    for part, start, mean, run in zip(parts, [far, *means], means, trained, strict=False):
        end = last_step(f"scenes_mean/{part}")
        root = folder / "mean" / part
        command = ["MaskFlownet_S", "--dataset_cfg", f"scenes_mean/{part}"]
        assert run == (command, root, end, ["-c", str(start), "--clear_steps"])
        own = [root / "weights" / f"abc_{step}.params" for step in (300, 600, end)]
        assert written[mean] == [start, *own]
    assert len(means) == len(trained) - 1 == len(parts)
    root, end = folder / "cascade", last_step("scenes_cascade/1_copied", "MaskFlownet")
    command = ["MaskFlownet", "--dataset_cfg", "scenes_cascade/1_copied"]
    assert trained[-1] == (command, root, end, ["-c", str(shipped), "--clear_steps"])
    assert cascade == tmp_path / "weights" / f"scenes-cascade_{end}.params"
    own = [root / "weights" / f"abc_{step}.params" for step in sorted({300, 600, end})]
    assert written[cascade] == own
    steps = sum(
        last_step(f"{course}/{part}")
        for course in ("scenes", "scenes_far", "scenes_mean")
        for part in parts_of(course)
    )
    assert shipped == tmp_path / "weights" / f"scenes-S_{steps}.params"
    assert written[shipped] == means[-1:]
