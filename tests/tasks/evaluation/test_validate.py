"""What --valid prints and writes, with a network that always says "no motion"."""

import json
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

from maskflownet.config.errors import InputError
from maskflownet.reader.datasets import FlowDataset
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.evaluation.validate import append_log, tables, validate, write_report
from maskflownet.tasks.runs.checkpoints import Checkpoint


class Still:
    """A pipeline that estimates no motion, and a mask if it is given the mask of one row."""

    color_order = None

    def __init__(self, flow=0.0, mask=None):
        self.flow = flow
        self.mask = mask
        self.pairs = 0

    def predict_pairs(self, pairs, batch_size, resize, wanted):
        for image1, _ in pairs:
            self.pairs += 1
            flow = np.full((*image1.shape[:2], 2), self.flow, np.float32)
            width = image1.shape[1]
            mask = None if self.mask is None else np.float32(self.mask[:width]).reshape(1, -1, 1)
            yield SimpleNamespace(flow=flow, mask=mask)


class Samples(FlowDataset):
    """Samples given one by one; `name` tells a set from another."""

    def __init__(self, samples, expected=None):
        self.samples = samples
        self.names = [sample.name for sample in samples]
        self.expected = expected

    def __getitem__(self, index):
        return self.samples[index]


def sample(name, lengths, valid=None, occluded=None):
    """Return a pair of one row whose true flow has these lengths."""
    image = np.zeros((1, len(lengths), 3), np.uint8)
    flow = np.zeros((1, len(lengths), 2), np.float32)
    flow[0, :, 0] = lengths
    valid = np.ones(len(lengths)) if valid is None else np.array(valid)
    if occluded is not None:
        occluded = np.array([occluded], bool)
    return FlowSample(
        image, image, flow, (255 * valid).astype(np.uint8).reshape(1, -1, 1), occluded, name
    )


SINTEL = Samples(
    [
        sample("a", [2, 4, 20, 60], occluded=[0, 0, 0, 1]),
        sample("b", [6, 6, 6, 6], valid=[1, 0, 0, 0], occluded=[0, 0, 1, 1]),
        sample("nothing", [9, 9], valid=[0, 0], occluded=[0, 0]),
    ],
    expected=1041,
)
CHAIRS = Samples([sample("c", [5, 5])])
# On the pixels of SINTEL that count: 0.9, 0.1, 0.6 and, the only occluded one, 0.2; then 0.9.
MASK = [0.9, 0.1, 0.6, 0.2]
SETS = [("sintel.training.clean", SINTEL), ("chairs.validation", CHAIRS)]


def test_figures_by_speed_and_visibility():
    figures = validate(Still(), SETS)
    sintel = figures["sintel.training.clean"]
    assert (sintel["images"], sintel["expected"]) == (2, 1041)
    assert sintel["epe"] == pytest.approx((21.5 + 6) / 2, abs=1e-3)
    pooled = {name: part["epe_pooled"] for name, part in sintel["regions"].items()}
    expected = {"s0-10": 4, "s10-40": 20, "s40+": 60, "matched": 8, "unmatched": 60}
    assert pooled == pytest.approx(expected, abs=1e-3)
    assert sintel["regions"]["matched"]["epe"] == pytest.approx((26 / 3 + 6) / 2, abs=1e-3)
    assert sintel["regions"]["matched"]["fl_pooled"] == 3 / 4
    assert set(figures["chairs.validation"]["regions"]) == {"s0-10", "s10-40", "s40+"}


def test_the_mask_is_measured_where_the_truth_is_known():
    figures = validate(Still(mask=MASK), SETS)
    assert figures["sintel.training.clean"]["mask"] == pytest.approx(
        {"average_precision": 1 / 2, "best_f1": 2 / 3, "occluded_share": 1 / 5, "pixels": 5}
    )
    assert "mask" not in figures["chairs.validation"]
    assert list(tables(figures))[-1].split() == ["sintel.training.clean", "20.00", "50.00", "66.67"]
    without = validate(Still(), SETS)
    assert "mask" not in without["sintel.training.clean"]
    assert not any("AP" in line for line in tables(without))
    part = validate(Still(mask=MASK), [("all", SINTEL), ("part", Samples(SINTEL.samples[:1]))])
    assert part["part"]["mask"]["occluded_share"] == 1 / 4


def test_a_pair_in_two_sets_is_predicted_once():
    pipe = Still()
    part = Samples(SINTEL.samples[:1])
    figures = validate(pipe, [("all", SINTEL), ("part", part)])
    assert pipe.pairs == 3
    assert figures["part"]["regions"]["unmatched"]["epe"] == pytest.approx(60, abs=1e-3)


def test_the_tables():
    lines = list(tables(validate(Still(), SETS)))
    assert [line.split()[0] for line in lines if line] == [
        *("set", "sintel.training.clean", "chairs.validation"),
        *("EPE", "set", "sintel.training.clean", "chairs.validation"),
        *("Non-occluded", "set", "sintel.training.clean"),
    ]
    assert lines[1].split()[1:5] == ["2", "of", "1,041", "13.750"]
    assert lines[5].split()[1:] == ["s0-10", "s10-40", "s40+", "matched", "unmatched"]
    assert lines[6].split()[1:] == ["4.000", "20.000", "60.000", "8.000", "60.000"]
    assert lines[7].split()[1:] == ["5.000", "-", "-", "-", "-"]
    noc = lines[-1].split()
    assert noc[1:5] == ["2", "of", "1,041", "7.333"] and noc[-1] == "75.00"
    assert max(map(len, lines)) <= 100
    alone = list(tables(validate(Still(), SETS[1:])))
    assert not any("occluded" in line for line in alone)


def test_the_report_is_json_that_names_its_units(tmp_path):
    checkpoint = Checkpoint("771Sep25-0735", 500000, tmp_path / "weights/x.params")
    folder = tmp_path / "logs" / "val"
    path = write_report(
        validate(Still(mask=MASK), SETS), checkpoint, folder, "MaskFlownet_S", (384, 768), shard=2
    )
    assert path == folder / "771Sep25-0735_500000.val.json"

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    report = json.loads(path.read_text(), parse_constant=refuse)
    assert report["checkpoint"] == {"run": "771Sep25-0735", "steps": 500000}
    assert report["parameter_file"].endswith("weights/x.params")
    assert (report["config"], report["resize_hw"], report["shard"]) == (
        *("MaskFlownet_S", [384, 768]),
        2,
    )
    assert report["precision"] == "float32"
    assert report["time"][10] == "T" and report["time"][-6] in "+-"
    sintel, chairs = (report["sets"][name] for name, _ in SETS)
    assert sintel["regions"]["unmatched"]["epe"] == pytest.approx(60, abs=1e-3)
    assert chairs["regions"]["s40+"]["epe"] is None and chairs["expected"] is None
    named = {word for words in report["meaning"] for word in words.split(", ")}
    assert set(sintel) == named


def test_the_report_of_a_network_that_gives_no_numbers_replaces_the_last(tmp_path):
    checkpoint = Checkpoint("run", 0, tmp_path / "run.params")
    write_report(validate(Still(), SETS[1:]), checkpoint, tmp_path, "MaskFlownet")
    broken = validate(Still(float("nan")), SETS[1:])
    path = write_report(broken, checkpoint, tmp_path, "MaskFlownet")
    chairs = json.loads(path.read_text())["sets"]["chairs.validation"]
    assert (chairs["images"], chairs["epe"], chairs["epe_pooled"]) == (1, None, None)
    assert [file.name for file in tmp_path.iterdir()] == ["run_0.val.json"]


def test_pairs_of_one_name_in_one_set_are_scored_each():
    twins = Samples([sample("a", [2, 2]), sample("a", [10, 10])])
    assert validate(Still(), [("own", twins)])["own"]["epe"] == pytest.approx(6, abs=1e-3)


def test_a_network_that_yields_nan_is_all_wrong_and_not_left_out():
    figures = validate(Still(float("nan")), SETS)["sintel.training.clean"]
    assert figures["images"] == 2
    assert np.isnan(figures["epe"])
    assert figures["fl"] == figures["fl_pooled"] == figures["over_1px"] == 1


def test_what_is_finished_before_an_error_is_printed_and_handed_over(caplog):
    class Broken(Samples):
        def __getitem__(self, index):
            raise InputError("broken.flo: expected a flow, got none")

    finished = []
    sets = [*SETS, ("kitti.2015", Broken([sample("d", [1])]))]
    caplog.set_level("INFO")
    with pytest.raises(InputError, match=r"broken\.flo"):
        validate(
            Still(), sets, finished=lambda name, figures: finished.append((name, len(figures)))
        )
    assert finished == [("sintel.training.clean", 1), ("chairs.validation", 2)]
    assert any(line.startswith("chairs.validation") for line in caplog.messages)


@pytest.mark.parametrize("batch", [1, 3])
def test_images_are_read_a_batch_ahead_and_no_more(batch):
    class Counted(Samples):
        read = 0

        def __getitem__(self, index):
            self.read += 1
            return super().__getitem__(index)

    class Watching(Still):
        def predict_pairs(self, pairs, batch_size, resize, wanted):
            for prediction in super().predict_pairs(pairs, batch_size, resize, wanted):
                time.sleep(0.002)  # readers have time to run ahead, were they allowed to
                assert many.read <= self.pairs + batch
                yield prediction

    many = Counted([sample(str(index), [1]) for index in range(50)])
    validate(Watching(), [("many", many)], batch)
    assert many.read == 50


def test_the_log_says_where_figures_do_not_compare(tmp_path):
    checkpoint = Checkpoint("abcJan01-0000", 7, tmp_path / "x.params")
    figure = {"epe": 2.5, "fl": 0.25}
    append_log("chairs.validation", figure, checkpoint, tmp_path)
    append_log("kitti.2015", figure, checkpoint, tmp_path, (64, 128), 100)
    append_log("kitti.2015", figure, checkpoint, tmp_path, precision="bf16")
    first, second, third = (tmp_path / "abcJan01-0000.val.log").read_text().splitlines()
    assert first.endswith("] steps=7, chairs.validation:epe=2.5")
    assert second.endswith("] steps=7, kitti.2015:kitti=0.25, resize=64x128, shard=100")
    assert third.endswith("] steps=7, kitti.2015:kitti=0.25, precision=bf16")


def test_the_log_of_a_name_that_is_no_text(tmp_path):
    checkpoint = Checkpoint("abcJan01-0000", 7, tmp_path / "x.params")
    append_log(os.fsdecode(b"on\xff"), {"epe": 2.5, "fl": 0.25}, checkpoint, tmp_path)
    (line,) = (tmp_path / "abcJan01-0000.val.log").read_text().splitlines()
    assert line.endswith(r"] steps=7, on\udcff:epe=2.5")


def test_the_log_has_a_line_more_for_the_mask(tmp_path):
    checkpoint = Checkpoint("abcJan01-0000", 7, tmp_path / "x.params")
    mask = {"average_precision": 0.5, "best_f1": 0.625, "occluded_share": 0.1, "pixels": 9}
    append_log("own", {"epe": 2.5, "fl": 0.25, "mask": mask}, checkpoint, tmp_path, shard=2)
    first, second = (tmp_path / "abcJan01-0000.val.log").read_text().splitlines()
    assert first.endswith("] steps=7, own:epe=2.5, shard=2")
    assert second.endswith(
        "] steps=7, own:mask_average_precision=0.5, mask_best_f1=0.625, occluded_share=0.1, shard=2"
    )
