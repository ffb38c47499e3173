"""The published datasets, on tiny trees: which pairs, in which order, read how."""

import shutil
from itertools import pairwise
from types import SimpleNamespace

import cv2
import dataset_trees as trees
import numpy as np
import pytest

from maskflownet.config import InputError, MissingDataError, load_dataset_config
from maskflownet.reader.datasets import evaluation_sets, make_dataset
from maskflownet.reader.datasets.chairs import FlyingChairs
from maskflownet.reader.datasets.hd1k import HD1K, stretched
from maskflownet.reader.datasets.kitti import YEARS, Kitti
from maskflownet.reader.datasets.sintel import SPLIT_PAIRS, Sintel
from maskflownet.reader.datasets.things3d import FlyingThings3D

VALID_2012 = """0 12 15 16 17 18 24 30 38 39 42 50 54 59 60 61 77 78 81 89 97 101 107 121 124 142
145 146 152 154 155 158 159 160 164 182 183 184 190"""
VALID_2015 = """10 11 12 25 26 30 31 40 41 42 46 52 53 72 73 74 75 76 80 81 85 86 95 96 97 98 104
116 117 120 121 126 127 153 172 175 183 184 190 199"""


def test_chairs_split_by_line_and_read_as_rgb(tmp_path):
    paths = trees.chairs(tmp_path, "12112")
    assert FlyingChairs(paths, "train").names == ["00001", "00003", "00004"]
    assert FlyingChairs(paths, "all").names == [f"{n:05d}" for n in range(1, 6)]
    dataset = FlyingChairs(paths, "valid")
    assert dataset.names == ["00002", "00005"]
    sample = dataset[1]
    bgr = cv2.imread(str(tmp_path / "data/00005_img2.ppm"))
    np.testing.assert_array_equal(sample.image2, bgr[..., ::-1])
    assert sample.image2.flags.c_contiguous
    assert sample.flow.dtype == np.float32
    assert (sample.flow == (5, 1)).all()
    assert sample.valid.shape == (*trees.SIZE, 1)
    assert (sample.valid == 255).all()
    assert (sample.occluded, sample.name) == (None, "00005")


def test_chairs_part_of_the_pairs(tmp_path):
    paths = trees.chairs(tmp_path, "1" * 30 + "2" * 10, there=(3, 7, 33))
    (tmp_path / "data/00007_img2.ppm").unlink()
    dataset = FlyingChairs(paths, "train")
    assert (dataset.names, dataset.found) == (["00003"], "1 of 22,232")
    assert dataset.first_missing.endswith("/data/00001_img1.ppm")
    assert FlyingChairs(paths, "valid").found == "1 of 640"
    assert FlyingChairs(paths, "all").found == "2 of 22,872"


def test_chairs_mistakes(tmp_path):
    paths = trees.chairs(tmp_path, "13")
    with pytest.raises(InputError, match=r"val\.txt: line 2: expected 1 .* got '3'"):
        FlyingChairs(paths, "train")
    (tmp_path / "FlyingChairs_train_val.txt").unlink()
    with pytest.raises(MissingDataError, match=r"val\.txt is missing; set MASKFLOWNET_CHAIRS"):
        FlyingChairs(paths, "all")
    with pytest.raises(MissingDataError, match="chairs: its folder is not set; set MASKFLOWNET_CH"):
        FlyingChairs({"chairs": None}, "all")
    (tmp_path / "FlyingChairs_train_val.txt").write_text("1\n")
    with pytest.raises(MissingDataError, match=r"no complete pair of images with flow$"):
        FlyingChairs(paths, "valid")


def test_every_pair_is_read(tmp_path):
    dataset = FlyingChairs(trees.chairs(tmp_path, "1111"), "train")
    assert [int(sample.flow[0, 0, 0]) for sample in dataset] == [1, 2, 3, 4]


def test_images_and_flow_of_different_sizes(tmp_path):
    paths = trees.chairs(tmp_path, "1")
    trees.flow_file(tmp_path / "data/00001_flow.flo", 1, size=(6, 9))
    with pytest.raises(InputError, match=r"_flow\.flo: expected 8x6 .*_img1\.ppm, got 9x6"):
        FlyingChairs(paths, "train")[0]
    trees.picture(tmp_path / "data/00001_img2.ppm", size=(5, 8))
    with pytest.raises(InputError, match=r"00001_img1\.ppm.*00001_img2\.ppm"):
        FlyingChairs(paths, "train")[0]


def test_things3d_directions(tmp_path):
    paths = trees.things3d(tmp_path, (3, 4, 9))
    both = ("left", "right"), ("into_future", "into_past")
    dataset = FlyingThings3D(paths, "train", ("clean", "final"), *both)
    assert len(dataset) == 2 * 2 * 2
    assert "train/image_final/right/0000004-0000003" in dataset.names
    past = FlyingThings3D(paths, "train", ("final",), ("left",), ("into_past",))
    assert past.names == ["train/image_final/left/0000004-0000003"]
    images = tmp_path / "train/image_final/left"
    np.testing.assert_array_equal(past[0].image1, cv2.imread(str(images / "0000004.png")))
    np.testing.assert_array_equal(past[0].image2, cv2.imread(str(images / "0000003.png")))
    assert (past[0].flow == (-4, 1)).all()
    with pytest.raises(MissingDataError, match=r"val/flow/left/into_future is missing"):
        FlyingThings3D(paths, "valid", ("clean",), *both)


def test_things3d_a_missing_image(tmp_path):
    paths = trees.things3d(tmp_path, (3, 4, 5), parts=("train", "val"))
    (tmp_path / "val/image_clean/left/0000005.png").unlink()
    dataset = FlyingThings3D(paths, "valid", ("clean",), ("left",), ("into_future",))
    assert dataset.names == ["val/image_clean/left/0000003-0000004"]
    assert dataset.first_missing.endswith("val/image_clean/left/0000005.png")


def test_sintel_splits_passes_and_masks(tmp_path):
    paths = trees.sintel(tmp_path, {"temple_3": 2, "ambush_2": 3, "alley_1": 2, "temple_2": 2})
    assert Sintel(paths, "train", ("clean",)).names == [
        "training/clean/alley_1/frame_0001",
        "training/clean/temple_3/frame_0001",
    ]
    dataset = Sintel(paths, "valid", ("clean", "final"))
    assert dataset.names == [
        f"training/{render}/{frame}"
        for render in ("clean", "final")
        for frame in ("ambush_2/frame_0001", "ambush_2/frame_0002", "temple_2/frame_0001")
    ]
    assert (dataset.expected, dataset.first_missing) == (450, None)
    sample = dataset[4]
    bgr = cv2.imread(str(tmp_path / "training/final/ambush_2/frame_0003.png"))
    np.testing.assert_array_equal(sample.image2, bgr[..., ::-1])
    assert (sample.flow == (2, 1)).all()
    assert np.argwhere(sample.valid == 0).tolist() == [[0, 1, 0]]
    assert set(np.unique(sample.valid)) == {0, 255}
    assert sample.occluded.dtype == bool
    assert np.argwhere(sample.occluded).tolist() == [[2, 3]]


def test_sintel_is_validated_on_six_sequences(tmp_path):
    held_out = ["ambush_2", "ambush_6", "bamboo_2", "cave_4", "market_6", "temple_2"]
    others = ["ambush_4", "bamboo_1", "cave_2", "market_2", "market_5", "temple_3"]
    paths = trees.sintel(tmp_path, dict.fromkeys(held_out + others, 2))
    sequences = {
        split: [name.split("/")[2] for name in Sintel(paths, split, ("clean",)).names]
        for split in ("train", "valid")
    }
    assert sequences == {"train": others, "valid": held_out}


def test_sintel_counts_add_up():
    assert SPLIT_PAIRS["train"] + SPLIT_PAIRS["valid"] == SPLIT_PAIRS["all"] == 1041


def test_sintel_folders_that_may_and_may_not_be_absent(tmp_path):
    paths = trees.sintel(tmp_path, {"alley_1": 3}, occlusions=False)
    assert Sintel(paths, "all", ("clean",))[0].occluded is None
    shutil.rmtree(tmp_path / "training/final")
    with pytest.raises(MissingDataError, match=r"training/final is missing; set MASKFLOWNET_SIN"):
        Sintel(paths, "all", ("clean", "final"))
    (tmp_path / "training/invalid/alley_1/frame_0001.png").unlink()
    assert Sintel(paths, "all", ("clean",)).names == ["training/clean/alley_1/frame_0002"]
    shutil.rmtree(tmp_path / "training/invalid")
    with pytest.raises(MissingDataError, match=r"training/invalid is missing"):
        Sintel(paths, "all", ("clean",))


def test_stray_files_are_no_frames(tmp_path):
    paths = trees.sintel(tmp_path, {"alley_1": 2})
    (tmp_path / "training/flow/.DS_Store").write_text("")
    (tmp_path / "training/flow/alley_1/._frame_0001.flo").write_text("")
    assert len(Sintel(paths, "all", ("clean",))) == 1


@pytest.mark.parametrize(("year", "listed"), [(2012, VALID_2012), (2015, VALID_2015)])
def test_kitti_splits(tmp_path, year, listed):
    training = tmp_path / str(year) / "training"
    for folder in (YEARS[year].images, "flow_occ"):
        (training / folder).mkdir(parents=True)
    for number in range(YEARS[year].pairs):
        (training / f"flow_occ/{number:06d}_10.png").touch()
        for frame in (10, 11):
            (training / YEARS[year].images / f"{number:06d}_{frame}.png").touch()
    splits = {s: Kitti({"kitti": tmp_path}, s, (year,)) for s in ("train", "valid", "all")}
    valid = [f"{year}/{int(number):06d}_10" for number in listed.split()]
    assert splits["valid"].names == valid
    assert set(splits["train"].names) == set(splits["all"].names) - set(valid)
    assert len(splits["all"]) == splits["all"].expected == {2012: 194, 2015: 200}[year]
    assert all(len(dataset) == dataset.expected for dataset in splits.values())


def test_kitti_sparse_flow_occlusion_and_sizes(tmp_path):
    paths = trees.kitti(tmp_path, 2015, [0])
    trees.kitti(tmp_path, 2012, [12, 13], size=(4, 10), noc=False)
    dataset = Kitti(paths, "all", (2012, 2015))
    assert dataset.names == ["2012/000012_10", "2012/000013_10", "2015/000000_10"]
    assert dataset.found == "3 of 394"
    assert dataset.first_missing.endswith("2012/training/colored_0/000000_10.png")
    sample = dataset[2]
    image = cv2.imread(str(tmp_path / "2015/training/image_2/000000_11.png"))
    np.testing.assert_array_equal(sample.image2, image)
    assert np.argwhere(sample.valid == 0).tolist() == [[0, 0, 0]]
    assert np.argwhere(sample.occluded).tolist() == [[1, 1]]
    assert dataset[0].image1.shape == (4, 10, 3)
    assert dataset[0].occluded is None
    visible = Kitti(paths, "all", (2015,), "noc")[0]
    assert np.argwhere(visible.valid == 0).tolist() == [[0, 0, 0], [1, 1, 0]]
    assert (visible.flow[2, 2] == (0, 1)).all()
    assert visible.occluded is None  # for all that it knows is visible


@pytest.mark.parametrize(("there", "gone"), [(2015, 2012), (2012, 2015)])
def test_kitti_with_one_year_names_the_remedy(tmp_path, there, gone):
    paths = trees.kitti(tmp_path, there, [0])
    remedy = rf"{gone}/training/\w+ is missing; set .*; or write `years: \[{there}\]` into"
    with pytest.raises(MissingDataError, match=remedy):
        Kitti(paths, "all", (2012, 2015))
    with pytest.raises(MissingDataError, match=r"holds [^;]*$"):
        Kitti(paths, "all", (gone,))


def test_hd1k_pairs_borders_and_stretch(tmp_path):
    paths = trees.hd1k(tmp_path, [(0, 0), (0, 1), (0, 3), (1, 7), (1, 8), (1, 9)])
    dataset = HD1K(paths, "all")
    assert dataset.names == ["000000_0000", "000001_0007", "000001_0008"]
    assert HD1K(paths, "valid").names == ["000000_0000"]
    assert HD1K(paths, "train").names == ["000001_0007", "000001_0008"]
    sample = dataset[1]
    whole = cv2.imread(str(tmp_path / "hd1k_input/image_2/000001_0007.png"))
    assert sample.image1.shape == (4, 6, 3)
    both = np.stack([sample.image1, sample.image2])
    assert (both.min(), both.max()) == (0, 255)
    order = np.argsort(whole[50:54, 100:106].ravel(), kind="stable")
    assert (np.diff(sample.image1.ravel()[order].astype(int)) >= 0).all()
    assert sample.flow.shape == (4, 6, 2)
    assert (sample.flow == (7, 1)).all()


@pytest.mark.parametrize("size", [(100, 206), (104, 200)])
def test_hd1k_images_that_are_all_border(tmp_path, size):
    dataset = HD1K(trees.hd1k(tmp_path, [(2, 0), (2, 1)], size), "all")
    got = f"{size[1]}x{size[0]}"
    with pytest.raises(InputError, match=f"^hd1k pair 000002_0000: expected .* got {got};"):
        dataset[0]


def test_hd1k_numbered_in_larger_steps(tmp_path):
    paths = trees.hd1k(tmp_path, [(0, 0), (0, 10), (0, 30), (0, 40)])
    assert HD1K(paths, "all").names == ["000000_0000", "000000_0030"]


def test_stretched_uses_both_images():
    image1, image2 = (np.full((1, 1, 3), value, np.uint8) for value in (50, 100))
    image2[..., 1] = 75
    one, two = stretched(image1, image2)
    assert (one.ravel().tolist(), two.ravel().tolist()) == ([0, 0, 0], [255, 128, 255])
    assert stretched(image2, image1)[1].max() == 0
    assert stretched(image1, image1)[0].max() == 0  # nothing to stretch, and no division by zero


def test_make_dataset_follows_the_config(tmp_path):
    paths = trees.sintel(tmp_path, {"alley_1": 3, "cave_4": 2})
    config = load_dataset_config("sintel")
    changed = SimpleNamespace(**vars(config))
    assert make_dataset(config, "train", paths).found == "4 of 1,632"
    assert make_dataset(config, "valid", paths).found == "2 of 450"
    changed.train_all, changed.sub_type = True, "final"
    names = make_dataset(changed, "train", paths).names
    assert [name.split("/")[1:3] for name in names] == [["final", s] for s in ("alley_1",) * 2] + [
        ["final", "cave_4"]
    ]


def test_evaluation_sets(tmp_path):
    paths = trees.chairs(tmp_path / "c", "12") | trees.sintel(tmp_path / "s", {"cave_4": 2, "x": 2})
    paths |= trees.kitti(tmp_path / "k", 2015, [3])
    shutil.rmtree(tmp_path / "s/training/final")
    sets, skipped = evaluation_sets(paths)
    assert {name: len(dataset) for name, dataset in sets} == {
        "chairs.validation": 1,
        "sintel.training.clean": 2,
        "sintel.training2.clean": 1,
        "kitti.2015": 1,
    }
    reasons = dict(skipped)
    set_and_missing = [name for name, reason in skipped if "no folder is set" not in reason]
    assert set_and_missing == ["sintel.training.final", "sintel.training2.final", "kitti.2012"]
    assert "spring.validation" in reasons
    assert "2012/training/colored_0 is missing; set MASKFLOWNET_KITTI" in reasons["kitti.2012"]


def test_nothing_to_evaluate_on(tmp_path):
    with pytest.raises(MissingDataError, match=r"MASKFLOWNET_CHAIRS.*_SINTEL.*_KITTI"):
        evaluation_sets(dict.fromkeys(("chairs", "sintel", "kitti")))
    with pytest.raises(MissingDataError, match=r"gone is missing; correct MASKFLOWNET_SINTEL"):
        evaluation_sets({"sintel": tmp_path / "gone"})


def test_neighbours_are_of_one_sequence(tmp_path):
    dataset = HD1K(trees.hd1k(tmp_path, [(3, 1), (3, 2), (4, 3), (4, 4)]), "all")
    for pair in dataset.pairs:
        first, second = (path.rsplit("/", 1)[1][:6] for path in (pair.image1, pair.image2))
        assert first == second
    assert all(a < b for a, b in pairwise(dataset.names))


def test_a_part_of_kitti_without_a_pair_is_named(tmp_path):
    paths = trees.kitti(tmp_path, 2015, [0])
    assert len(Kitti(paths, "all", (2015,))) == 1
    said = "2015/training, its part for validation: no complete pair"
    with pytest.raises(MissingDataError, match=said):
        Kitti(paths, "valid", (2015,))
