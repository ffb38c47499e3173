"""Datasets newer than the original, on small trees made to their owners' definitions."""

import cv2
import dataset_trees as trees
import h5py
import numpy as np
import pytest

from maskflownet.config import InputError, MissingDataError, load_dataset_config
from maskflownet.config.files import ROOT
from maskflownet.config.registry import DATASETS
from maskflownet.reader.datasets import evaluation_sets, make_dataset, published_sets
from maskflownet.reader.datasets.catalogue import dataset_class, dataset_table
from maskflownet.reader.datasets.chairs2 import FlyingChairs2
from maskflownet.reader.datasets.chairs_sdhom import ChairsSDHom
from maskflownet.reader.datasets.kitti import Kitti
from maskflownet.reader.datasets.middlebury import Middlebury
from maskflownet.reader.datasets.scene_flow import Driving, FlyingThings3DFull, Monkaa
from maskflownet.reader.datasets.spring import Spring
from maskflownet.reader.datasets.tartanair import TartanAir
from maskflownet.reader.datasets.vkitti2 import VirtualKitti2

FUTURE, PAST = ("into_future",), ("into_past",)


def pfm(path, u, v=1, size=trees.SIZE):
    """Write flow (u, v, 0) as the published files have it: rows from the bottom, little-endian."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((*size, 3), "<f4")
    pixels[..., 0], pixels[..., 1] = u, v
    header = f"PF\n{size[1]} {size[0]}\n-1\n".encode()
    path.write_bytes(header + pixels[::-1].tobytes())


def image(path):
    return cv2.imread(str(path))


# --- FlyingThings3D, Monkaa, Driving --------------------------------------------------------------


def scene_flow(root, scene, frames, suffix=".png", folder="frames_{}pass", cameras=("left",)):
    """Make a scene in the published tree: flow of every frame, also where it leads out of it."""
    for camera in cameras:
        for frame in frames:
            for seed, render in enumerate(("clean", "final")):
                name = f"{folder.format(render)}/{scene}/{camera}/{frame:04d}{suffix}"
                trees.picture(root / name, 10 * frame + seed)
            for direction, word, step in (
                ("into_future", "IntoFuture", 1),
                ("into_past", "IntoPast", -1),
            ):
                name = f"OpticalFlow{word}_{frame:04d}_{camera[0].upper()}.pfm"
                pfm(root / f"optical_flow/{scene}/{direction}/{camera}" / name, step * frame)


def test_things3d_as_published(tmp_path):
    scene_flow(tmp_path, "TRAIN/A/0000", range(6, 10), cameras=("left", "right"))
    scene_flow(tmp_path, "TEST/C/0149", (6, 7))
    paths = {"things3d_full": tmp_path}
    dataset = FlyingThings3DFull(paths, "train", ("clean",), ("left",), FUTURE)
    assert dataset.names == [f"clean/TRAIN/A/0000/left/{n:04d}-{n + 1:04d}" for n in (6, 7, 8)]
    assert (dataset.found, dataset.first_missing) == ("3 of 20,151", None)
    past = FlyingThings3DFull(paths, "train", ("final",), ("right",), PAST)
    assert past.names == [f"final/TRAIN/A/0000/right/{n:04d}-{n - 1:04d}" for n in (7, 8, 9)]
    frames = tmp_path / "frames_finalpass/TRAIN/A/0000/right"
    np.testing.assert_array_equal(past[0].image1, image(frames / "0007.png"))
    np.testing.assert_array_equal(past[0].image2, image(frames / "0006.png"))
    assert (past[0].flow == (-7, 1)).all() and (past[0].valid == 255).all()
    assert len(FlyingThings3DFull(paths, "all")) == 2 * (2 * 2 * 3 + 2)
    assert FlyingThings3DFull(paths, "valid", ("clean",)).names == [
        "clean/TEST/C/0149/left/0006-0007",
        "clean/TEST/C/0149/left/0007-0006",
    ]


def test_things3d_is_read_from_the_top_row(tmp_path):
    scene_flow(tmp_path, "TRAIN/A/0000", (6, 7))
    path = tmp_path / "optical_flow/TRAIN/A/0000/into_future/left/OpticalFlowIntoFuture_0006_L.pfm"
    pfm(path, np.arange(6)[:, None])
    dataset = FlyingThings3DFull(
        {"things3d_full": tmp_path}, "train", ("clean",), directions=FUTURE
    )
    assert dataset[0].flow[:, 0, 0].tolist() == list(range(6))


@pytest.mark.parametrize("place", [".", "frames_cleanpass"])
def test_frames_on_the_publishers_list_are_left_out(tmp_path, place):
    scene_flow(tmp_path, "TRAIN/A/0000", range(6, 11), cameras=("left", "right"))
    (tmp_path / place / "all_unused_files.txt").write_text(
        "TRAIN/A/0000/left/0008.png\r\nTRAIN/B/0001/left/0006.png\n"
    )
    how = ("clean",), ("left", "right"), FUTURE
    dataset = FlyingThings3DFull({"things3d_full": tmp_path}, "train", *how)
    left = [name for name in dataset.names if "left" in name]
    assert [name[-9:] for name in left] == ["0006-0007", "0009-0010"]
    assert len(dataset) - len(left) == 4
    assert dataset.expected is None  # the list tells which are left, and is not the whole


def test_a_missing_frame_in_the_middle_is_named(tmp_path):
    scene_flow(tmp_path, "TRAIN/A/0000", range(6, 10))
    (tmp_path / "frames_cleanpass/TRAIN/A/0000/left/0008.png").unlink()
    dataset = FlyingThings3DFull(
        {"things3d_full": tmp_path}, "train", ("clean",), directions=FUTURE
    )
    assert [name[-9:] for name in dataset.names] == ["0006-0007"]
    assert dataset.first_missing.endswith("frames_cleanpass/TRAIN/A/0000/left/0008.png")


def test_things3d_with_one_pass_and_webp(tmp_path):
    scene_flow(tmp_path, "TRAIN/B/0004", (6, 7), ".webp", "frames_{}pass_webp")
    paths = {"things3d_full": tmp_path}
    dataset = FlyingThings3DFull(paths, "train", ("final",), directions=FUTURE)
    frames = tmp_path / "frames_finalpass_webp/TRAIN/B/0004/left"
    np.testing.assert_array_equal(dataset[0].image1, image(frames / "0006.webp"))
    (tmp_path / "frames_cleanpass_webp").rename(tmp_path / "gone")
    with pytest.raises(MissingDataError, match=r"frames_cleanpass is missing: unpack .*`sub_type`"):
        FlyingThings3DFull(paths, "train", ("clean",))


def test_monkaa_and_driving_also_unpacked_into_one_folder(tmp_path):
    for scene in ("family_x2", "treeflight_x2"):
        scene_flow(tmp_path, scene, (0, 1, 2))
    for scene in ("15mm_focallength/scene_backwards/fast", "35mm_focallength/scene_forwards/slow"):
        scene_flow(tmp_path, scene, (1, 2))
    scene_flow(tmp_path, "TRAIN/A/0000", (6, 7))
    paths = dict.fromkeys(("monkaa", "driving", "things3d_full"), tmp_path)
    how = {"passes": ("clean",), "directions": FUTURE}
    assert Monkaa(paths, "train", **how).names == [
        "clean/treeflight_x2/left/0000-0001",
        "clean/treeflight_x2/left/0001-0002",
    ]
    assert len(Monkaa(paths, "valid", **how)) == 2
    driving = Driving(paths, "all", **how)
    assert driving.names == [
        "clean/15mm_focallength/scene_backwards/fast/left/0001-0002",
        "clean/35mm_focallength/scene_forwards/slow/left/0001-0002",
    ]
    assert Driving(paths, "valid", **how).names == driving.names[:1]
    assert len(FlyingThings3DFull(paths, "train", **how)) == 1


# --- Spring ---------------------------------------------------------------------------------------


def spring(root, scene, frames, flow=None):
    """Make a scene of Spring; its flow has twice the height and width of the images."""
    height, width = trees.SIZE
    for camera in ("left", "right"):
        for frame in frames:
            stem = f"train/{scene}/frame_{camera}/frame_{camera}_{frame:04d}.png"
            trees.picture(root / stem, 10 * frame + len(camera))
            for short, step in (("FW", 1), ("BW", -1)):
                if frame + step in frames:
                    values = np.full((2 * height, 2 * width, 2), step * frame, np.float32)
                    name = f"flow_{short}_{camera}"
                    path = root / f"train/{scene}/{name}/{name}_{frame:04d}.flo5"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with h5py.File(path, "w") as file:
                        file["flow"] = values if flow is None else flow


def test_spring_pairs_and_counts(tmp_path):
    spring(tmp_path, "0001", (1, 2, 3))
    spring(tmp_path, "0010", (1, 2))
    paths = {"spring": tmp_path}
    dataset = Spring(paths, "train", ("right",), PAST)
    assert dataset.names == ["train/0001/right/0002-0001", "train/0001/right/0003-0002"]
    sample = dataset[1]
    frames = tmp_path / "train/0001/frame_right"
    np.testing.assert_array_equal(sample.image1, image(frames / "frame_right_0003.png"))
    np.testing.assert_array_equal(sample.image2, image(frames / "frame_right_0002.png"))
    assert sample.flow.shape == (*trees.SIZE, 2)
    assert (sample.flow == -3).all()  # in pixels of the images: not halved
    assert Spring(paths, "all").found == "12 of 19,852"
    assert Spring(paths, "valid", directions=FUTURE).names == [
        "train/0010/left/0001-0002",
        "train/0010/right/0001-0002",
    ]


def test_springs_truth_is_every_second_value_and_none_in_the_sky(tmp_path):
    height, width = trees.SIZE
    flow = np.random.default_rng(0).normal(size=(2 * height, 2 * width, 2)).astype(np.float32)
    flow[0:2, 0:4] = np.nan
    flow[5, 5] = np.nan  # one that is passed over
    spring(tmp_path, "0001", (1, 2), flow)
    sample = Spring({"spring": tmp_path}, "all", ("left",), FUTURE)[0]
    assert np.argwhere(sample.valid[..., 0] == 0).tolist() == [[0, 0], [0, 1]]
    known = sample.valid[..., 0] > 0
    np.testing.assert_array_equal(sample.flow[known], flow[::2, ::2][known])
    assert not sample.flow[~known].any()


# --- FlyingChairs2, ChairsSDHom -------------------------------------------------------------------


def test_chairs2_both_ways_with_occlusions(tmp_path):
    for part, number in (("train", 0), ("train", 1), ("val", 0)):
        stem = tmp_path / part / f"{number:07d}"
        trees.picture(stem.with_name(f"{stem.name}-img_0.png"), 1)
        trees.picture(stem.with_name(f"{stem.name}-img_1.png"), 2)
        trees.flow_file(stem.with_name(f"{stem.name}-flow_01.flo"), 3)
        trees.flow_file(stem.with_name(f"{stem.name}-flow_10.flo"), -3)
        trees.mask(stem.with_name(f"{stem.name}-occ_10.png"), [(2, 3)])
        trees.mask(stem.with_name(f"{stem.name}-mb_01.png"), [(0, 0)])
    paths = {"chairs2": tmp_path}
    dataset = FlyingChairs2(paths, "train")
    assert dataset.names == [f"train/000000{n}-{way}" for way in ("01", "10") for n in (0, 1)]
    assert dataset.found == "4 of 44,464"
    forward, backward = dataset[0], dataset[2]
    np.testing.assert_array_equal(backward.image1, forward.image2)
    assert (backward.flow == (-3, 1)).all()
    assert np.argwhere(backward.occluded).tolist() == [[2, 3]]
    assert forward.occluded is None
    assert FlyingChairs2(paths, "valid", FUTURE).found == "1 of 640"


@pytest.mark.parametrize("top_row_first", [False, True])
def test_chairs_sdhom_whichever_way_its_rows_lie(tmp_path, top_row_first, caplog):
    """The upper half of the picture moves by 4 px, the lower half stands still."""
    caplog.set_level("INFO")
    first = np.random.default_rng(3).integers(0, 256, (20, 40, 3), np.uint8)
    second = first.copy()
    second[:10, 4:] = first[:10, :-4]
    flow = np.zeros((20, 40))
    flow[:10] = 4
    for number in (1, 2):
        for time, picture in (("t0", first), ("t1", second)):
            path = tmp_path / f"data/train/{time}/{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture)
        stored = flow[::-1] if top_row_first else flow
        pfm(tmp_path / f"data/train/flow/{number:05d}.pfm", stored, 0, flow.shape)
    dataset = ChairsSDHom({"chairs_sdhom": tmp_path}, "train")
    assert dataset.names == ["train/00001", "train/00002"]
    assert dataset.top_row_first == top_row_first
    assert ("top row" in caplog.text) == top_row_first
    np.testing.assert_array_equal(dataset[1].flow[..., 0], flow)
    with pytest.raises(MissingDataError, match="data/test/flow is missing"):
        ChairsSDHom({"chairs_sdhom": tmp_path}, "valid")


# --- Virtual KITTI 2, TartanAir, Middlebury -------------------------------------------------------


def vkitti2(root, scene, frames, rgb="", flows=""):
    """Make a drive; u is 1/8 of the width there, as the readme codes it; (0, 0) is sky."""
    for frame in frames:
        where = f"{scene}/clone/frames"
        trees.picture(root / rgb / where / f"rgb/Camera_0/rgb_{frame:05d}.jpg", frame, (5, 9))
        for kind, step in (("forwardFlow", 1), ("backwardFlow", -1)):
            if frame + step in frames:
                stored = np.full((5, 9, 3), 65535, np.uint16)  # B, G, R
                stored[..., 1] = 32768
                stored[..., 2] = round((step / 8 + 1) / 2 * 65535)
                stored[0, 0] = 0
                folder = flows.format(kind) if flows else ""
                path = root / folder / where / kind / f"Camera_0/flow_{frame:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                assert cv2.imwrite(str(path), stored)


@pytest.mark.parametrize(
    "places", [("", ""), ("vkitti_2.0.3_rgb", "vkitti_2.0.3_{}")], ids=["together", "apart"]
)
def test_virtual_kitti_2(tmp_path, places):
    vkitti2(tmp_path, "Scene01", (0, 1, 2), *places)
    vkitti2(tmp_path, "Scene06", (0, 1), *places)
    paths = {"vkitti2": tmp_path}
    dataset = VirtualKitti2(paths, "train")
    assert dataset.names == [
        f"Scene01/clone/Camera_0/{pair}"
        for pair in ("00000-00001", "00001-00002", "00001-00000", "00002-00001")
    ]
    assert VirtualKitti2(paths, "valid", directions=PAST).names == [
        "Scene06/clone/Camera_0/00001-00000"
    ]
    forward, backward = dataset[0], dataset[2]
    np.testing.assert_allclose(forward.flow[1:], np.tile([1, 0], (4, 9, 1)), atol=2e-4)
    np.testing.assert_allclose(backward.flow[1:, :, 0], -1, atol=2e-4)
    assert np.argwhere(forward.valid == 0).tolist() == [[0, 0, 0]]
    with pytest.raises(MissingDataError, match="no complete pair of images with flow"):
        VirtualKitti2(paths, "all", ("right",))


@pytest.mark.parametrize("environment", ["office", "office/office"])
def test_tartanair_counts_what_its_mask_does_not_name(tmp_path, environment):
    walk = tmp_path / environment / "Easy/P000"
    for frame in (0, 1, 2):
        trees.picture(walk / f"image_left/{frame:06d}_left.png", frame)
    flow = np.full((*trees.SIZE, 2), 2.5, np.float32)
    mask = np.zeros(trees.SIZE, np.uint8)
    mask[0, :3] = 1, 10, 100
    for frame in (0, 1):
        (walk / "flow").mkdir(exist_ok=True)
        stem = walk / f"flow/{frame:06d}_{frame + 1:06d}"
        np.save(f"{stem}_flow.npy", flow)
        np.save(f"{stem}_mask.npy", mask)
    dataset = TartanAir({"tartanair": tmp_path}, "train")
    assert dataset.names == [f"{environment}/Easy/P000/00000{n}-00000{n + 1}" for n in (0, 1)]
    sample = dataset[1]
    np.testing.assert_array_equal(sample.image1, image(walk / "image_left/000001_left.png"))
    assert (sample.flow == 2.5).all()
    assert np.argwhere(sample.valid[..., 0] == 0).tolist() == [[0, 0], [0, 1], [0, 2]]
    np.save(walk / "flow/000001_000002_mask.npy", mask[:, 1:])
    with pytest.raises(InputError, match=r"000001_000002_mask\.npy: expected 8x6"):
        dataset[1]
    np.save(walk / "flow/000001_000002_mask.npy", mask.astype(np.float32))
    with pytest.raises(InputError, match=r"mask\.npy: expected a mask as uint8"):
        dataset[1]


def test_middlebury_and_its_unknown_values(tmp_path):
    for scene in ("Venus", "RubberWhale"):
        for frame in (10, 11):
            trees.picture(tmp_path / f"other-data/{scene}/frame{frame}.png", frame)
        trees.flow_file(tmp_path / f"other-gt-flow/{scene}/flow10.flo", 2)
    path = tmp_path / "other-gt-flow/Venus/flow10.flo"
    stored = np.frombuffer(path.read_bytes(), "<f4").copy()
    stored[3:5] = 1.666667e9  # as the files mark it
    path.write_bytes(stored.tobytes())
    paths = {"middlebury": tmp_path}
    dataset = Middlebury(paths, "all")
    assert (dataset.names, dataset.found) == (["RubberWhale", "Venus"], "2 of 8")
    assert np.argwhere(dataset[1].valid == 0).tolist() == [[0, 0, 0]]
    assert Middlebury(paths, "train").names == ["Venus"]
    (tmp_path / "other-data").rename(tmp_path / "other-data-gray")
    assert len(Middlebury(paths, "valid")) == 1


# --- KITTI as its archives unpack -----------------------------------------------------------------


def test_one_year_of_kitti_as_its_archive_unpacks(tmp_path):
    trees.kitti(tmp_path, 2015, [0, 10])
    for paths in ({"kitti": tmp_path / "2015"}, {"kitti_2015": tmp_path / "2015"}):
        dataset = Kitti(paths, "all")
        assert dataset.names == ["2015/000000_10", "2015/000010_10"]
        assert dataset.found == "2 of 200"
        assert dataset[0].occluded is not None
        assert Kitti(paths, "valid").names == ["2015/000010_10"]
        assert Kitti.absent(paths, years=(2012,)) and not Kitti.absent(paths, years=(2015,))
    config = load_dataset_config("kitti")
    assert make_dataset(config, "train", {"kitti": tmp_path / "2015"}).names == ["2015/000000_10"]


def test_years_of_kitti_in_two_places(tmp_path):
    trees.kitti(tmp_path / "a", 2012, [1])
    trees.kitti(tmp_path / "b", 2015, [1])
    paths = {"kitti_2012": tmp_path / "a/2012", "kitti_2015": tmp_path / "b/2015"}
    assert Kitti(paths, "all").names == ["2012/000001_10", "2015/000001_10"]
    mixed = {"kitti": tmp_path / "a", "kitti_2015": tmp_path / "b/2015"}
    assert Kitti(mixed, "all").names == Kitti(paths, "all").names


def test_years_of_kitti_unpacked_over_each_other(tmp_path):
    trees.kitti(tmp_path, 2015, [1])
    (tmp_path / "2015/training/colored_0").mkdir()
    with pytest.raises(InputError, match=r"one year of KITTI, got colored_0 and image_2: .*unpack"):
        Kitti({"kitti": tmp_path / "2015"}, "all")


def test_kitti_without_its_ground_truth(tmp_path):
    trees.kitti(tmp_path, 2015, [1], noc=False)
    with pytest.raises(MissingDataError, match=r"training/flow_noc is missing"):
        Kitti({"kitti": tmp_path}, "all", (2015,), "noc")


# --- The registry ---------------------------------------------------------------------------------


def test_everything_is_listed_and_evaluated_by_the_registry(tmp_path):
    for scene in ("Venus", "RubberWhale"):
        for frame in (10, 11):
            trees.picture(tmp_path / f"other-data/{scene}/frame{frame}.png", frame)
        trees.flow_file(tmp_path / f"other-gt-flow/{scene}/flow10.flo", 2)
    names = list(published_sets())
    assert names[:3] == ["chairs", "things3d.clean", "things3d.final"]
    assert {"spring", "vkitti2", "things3d_full.final"} < set(names)
    sets, skipped = evaluation_sets({"middlebury": tmp_path})
    assert [name for name, _ in sets] == ["middlebury"]
    assert {"things3d_full.test.clean", "chairs2.validation", "kitti.2012"} < dict(skipped).keys()
    assert dataset_class("kitti") is Kitti


def test_the_documented_table_is_the_registrys():
    text = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    assert dataset_table() in text, f"write this into docs/datasets.md:\n{dataset_table()}"
    keys = ", ".join(f"`{name}`" for name in DATASETS)
    assert f"| `dataset` | one of {keys} |" in text


@pytest.mark.parametrize("name", ["spring", "vkitti2", "monkaa", "chairs2", "tartanair"])
def test_a_root_that_is_not_set_says_how_to_set_it(name):
    expected = rf"{name}: its folder is not set; set MASKFLOWNET_{name.upper()}, or {name} in"
    with pytest.raises(MissingDataError, match=expected):
        make_dataset(load_dataset_config(name), "train", {})
