"""A person's own data, generated scenes and mixtures as datasets."""

from dataclasses import replace

import cv2
import dataset_trees as trees
import numpy as np
import pytest

from maskflownet.config import InputError, MissingDataError, load_dataset_config
from maskflownet.reader.datasets import make_dataset
from maskflownet.reader.datasets.lists import FolderDataset, ListDataset
from maskflownet.reader.flow_files import write_npy, write_pfm


def own_config(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text)
    return load_dataset_config(path)


def listed_pair(folder):
    """Write the files of one pair and return the line of a list that names them."""
    trees.picture(folder / "a 1.png", 1)
    trees.picture(folder / "b.png", 2)
    trees.flow_file(folder / "f.flo", 3)
    trees.mask(folder / "v.png", [(0, 0), (5, 7)])
    return f'"{folder.name}/a 1.png" {folder.name}/b.png {folder.name}/f.flo'


def test_lists_make_a_training_and_a_validation_set(tmp_path):
    line = listed_pair(tmp_path / "data")
    (tmp_path / "train.txt").write_text(f"# mine\n\n{line} data/v.png\n{line}\n")
    (tmp_path / "valid.txt").write_text(line)
    config = own_config(tmp_path, "dataset: list\ntrain_list: train.txt\nvalid_list: valid.txt\n")
    assert [len(make_dataset(config, split)) for split in ("train", "valid", "all")] == [2, 1, 3]
    masked, plain = make_dataset(config, "train")
    image = cv2.imread(str(tmp_path / "data/a 1.png"))
    np.testing.assert_array_equal(masked.image1, image)
    assert np.argwhere(masked.valid == 255).tolist() == [[0, 0, 0], [5, 7, 0]]
    assert (plain.valid == 255).all()
    assert (plain.flow == (3, 1)).all()
    assert (masked.name, plain.name) == ("train.txt:3 data/a 1.png", "train.txt:4 data/a 1.png")


@pytest.mark.parametrize(("kind", "part"), [("list", "list"), ("folder", "folder")])
def test_what_is_inherited_lies_beside_the_file_that_names_it(tmp_path, kind, part):
    own, base = tmp_path / "own", tmp_path / "base"
    for folder in (own, base):
        listed_pair(folder)
        (folder / "pairs.txt").write_text('"a 1.png" b.png f.flo')
        walk(folder / "frames", [1, 2], [1])
    value = "pairs.txt" if kind == "list" else "frames"
    (base / "base.yaml").write_text(
        f"dataset: {kind}\ntrain_{part}: {value}\nvalid_{part}: {value}\n"
    )
    (own / "own.yaml").write_text(
        f"base: ../base/base.yaml\ndataset: {kind}\nvalid_{part}: {value}\nbatch: 2\n"
    )
    (tmp_path / "top.yaml").write_text(f"base: ./own/own.yaml\ndataset: {kind}\n")
    for path in (own / "own.yaml", tmp_path / "top.yaml"):
        config = load_dataset_config(path)
        assert getattr(config, f"train_{part}") == base / value
        assert getattr(config, f"valid_{part}") == own / value
        assert config.batch == 2


def test_a_share_of_a_list_is_for_validation(tmp_path):
    line = listed_pair(tmp_path / "data")
    (tmp_path / "train.txt").write_text(f"{line}\n" * 10)
    text = "dataset: list\ntrain_list: train.txt\nvalid_share: "
    splits = {
        share: {
            split: make_dataset(own_config(tmp_path, f"{text}{share}\n"), split)
            for split in ("train", "valid", "all")
        }
        for share in (0.2, 0.01, 0.9)
    }
    sizes = {share: [len(dataset) for dataset in of.values()] for share, of in splits.items()}
    assert sizes == {0.2: [8, 2, 10], 0.01: [9, 1, 10], 0.9: [1, 9, 10]}
    assert [name[:12] for name in splits[0.2]["valid"].names] == ["train.txt:9 ", "train.txt:10"]
    assert splits[0.2]["train"].names[-1].startswith("train.txt:8 ")
    assert splits[0.2]["valid"][1].name == splits[0.2]["valid"].names[1]
    (tmp_path / "train.txt").write_text(line)
    with pytest.raises(InputError, match=r"train\.txt:1 .*expected two pairs or more to keep some"):
        make_dataset(own_config(tmp_path, f"{text}0.2\n"), "train")


def test_a_share_of_a_folder_is_its_end(tmp_path):
    walk(tmp_path / "mine/a", [1, 2, 3], [1, 2])
    walk(tmp_path / "mine/b", [1, 2, 3], [1, 2])
    config = own_config(tmp_path, "dataset: folder\ntrain_folder: mine\nvalid_share: 0.5\n")
    assert make_dataset(config, "valid").names == ["b/1.png", "b/2.png"]
    assert make_dataset(config, "train").names == ["a/1.png", "a/2.png"]


def test_lists_of_one_name_in_two_folders(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "l.txt").write_text(listed_pair(tmp_path / folder / "data"))
    dataset = ListDataset([tmp_path / "a/l.txt", tmp_path / "b/l.txt"])
    assert dataset.names == ["a/l.txt:1 data/a 1.png", "b/l.txt:1 data/a 1.png"]


def test_folders_with_frames_of_one_name(tmp_path):
    for folder in ("a", "b"):
        for frame in (1, 2):
            trees.picture(tmp_path / folder / f"{frame}.png")
        trees.flow_file(tmp_path / folder / "1.flo", 1)
    assert FolderDataset([tmp_path / "a", tmp_path / "b"]).names == ["a/1.png", "b/1.png"]


@pytest.mark.parametrize(
    ("text", "error", "expected"),
    [
        ("\na.png b.png\n", InputError, r"l\.txt:2: expected image1 image2 flow .*got 2 paths"),
        ("a\0/b b.png f.flo\n", InputError, r"l\.txt:1: expected paths, got a zero byte"),
        ("\udcff\n", InputError, r"l\.txt: expected a text file with a pair per line"),
        ("a b c d e\n", InputError, r"l\.txt:1: expected image1 image2 flow .*got 5 paths"),
        ("'a b c\n", InputError, r"l\.txt:1: a quote is not closed"),
        ("a.png b.png f.flo\n", MissingDataError, r"l\.txt:1: .*/a\.png is listed and miss"),
        (
            "{line}\nb.png b.png f.flo\n",
            MissingDataError,
            r"l\.txt:2: .*/b\.png is listed and miss",
        ),
        ("# nothing\n", MissingDataError, r"l\.txt: no complete pair of images with flow$"),
    ],
)
def test_lists_with_mistakes(tmp_path, text, error, expected):
    text = text.format(line=listed_pair(tmp_path / "data"))
    (tmp_path / "l.txt").write_text(text, errors="surrogateescape")
    with pytest.raises(error, match=expected) as caught:
        ListDataset([tmp_path / "l.txt"])
    assert "\n" not in str(caught.value)


def test_a_missing_list_and_none_at_all(tmp_path):
    config = own_config(tmp_path, "dataset: list\ntrain_list: gone.txt\n")
    with pytest.raises(MissingDataError, match=r"gone\.txt: this list of pairs is missing"):
        make_dataset(config, "train")
    with pytest.raises(InputError, match=r"own\.yaml: expected valid_list"):
        make_dataset(config, "valid")
    with pytest.raises(InputError, match=r"folder\.yaml: expected train_folder"):
        make_dataset(load_dataset_config("folder"), "all")


def test_folders_of_frames_with_flow_beside(tmp_path):
    for frame in (8, 9, 10, 11):
        trees.picture(tmp_path / f"mine/walk/f{frame}.png", frame)
    trees.flow_file(tmp_path / "mine/walk/f8.flo", 2)
    write_pfm(tmp_path / "mine/walk/f9.pfm", np.full((*trees.SIZE, 2), 9, np.float32))
    trees.picture(tmp_path / "mine/a.JPG", 1)
    trees.picture(tmp_path / "mine/b.png", 2)
    write_npy(tmp_path / "mine/a.npy", np.full((*trees.SIZE, 2), 4, np.float32))
    config = own_config(tmp_path, "dataset: folder\ntrain_folder: mine\n")
    dataset = make_dataset(config, "train")
    assert dataset.names == ["a.JPG", "walk/f8.png", "walk/f9.png"]
    assert [sample.flow[0, 0, 0] for sample in dataset] == [4, 2, 9]
    image = cv2.imread(str(tmp_path / "mine/walk/f10.png"))
    np.testing.assert_array_equal(dataset[2].image2, image)


def walk(folder, frames, flows, suffixes=(".png", ".flo"), stem="{}"):
    """Write frames and flow files of these numbers."""
    for number in frames:
        trees.picture(folder / f"{stem.format(number)}.png", 1)
        (folder / f"{stem.format(number)}.png").rename(folder / (stem.format(number) + suffixes[0]))
    for number in flows:
        trees.flow_file(folder / f"{stem.format(number)}.flo", 1)
        (folder / f"{stem.format(number)}.flo").rename(folder / (stem.format(number) + suffixes[1]))


@pytest.mark.parametrize(
    ("frames", "flows", "first_frames"),
    [
        ([1, 2, 4, 5], [1, 2, 4], [1, 4]),  # 3 is gone
        ([1, 3], [1, 2], [None]),  # its flow tells that there was one
        ([2, 4, 6, 10, 12], [2, 4, 6, 10], [2, 4, 10]),  # in steps of two; 8 is gone
        ([33, 66, 100, 133, 233, 266], [33, 66, 100, 133, 233], [33, 66, 100, 233]),  # times
        ([7, 9], [7], [7]),  # nothing tells of an 8
    ],
)
def test_a_gap_in_a_folder_is_never_bridged(tmp_path, caplog, frames, flows, first_frames):
    walk(tmp_path, frames, flows, stem="f{}")
    walk(tmp_path / "whole", [1, 2], [1])  # so that there is a pair in any case
    names = FolderDataset([tmp_path]).names
    assert names == [f"f{number}.png" for number in first_frames if number] + ["whole/1.png"]
    left_out = len(flows) - len([number for number in first_frames if number])
    assert (f"{left_out} flow files make no pair" in caplog.text) == bool(left_out)


def test_frames_of_two_sequences_in_one_folder_are_no_pair(tmp_path, caplog):
    walk(tmp_path, [1, 2], [1, 2], stem="run_{}")
    walk(tmp_path, [1, 2], [1], stem="walk_{}")
    assert FolderDataset([tmp_path]).names == ["run_1.png", "walk_1.png"]
    assert "1 flow files make no pair" in caplog.text and "run_2.flo" in caplog.text


def test_folders_that_are_links_and_any_suffix(tmp_path, caplog):
    walk(tmp_path / "data/plain", [0, 1], [0], (".pnm", ".FLO"))
    walk(tmp_path / "elsewhere", [0, 1], [0], (".TIFF", ".flo"))
    (tmp_path / "data/linked").symlink_to("../elsewhere")
    (tmp_path / "data/plain/around").symlink_to("..")  # a circle
    assert FolderDataset([tmp_path / "data"]).names == ["linked/0.TIFF", "plain/0.pnm"]
    assert not caplog.records


def test_two_images_of_one_frame_are_refused(tmp_path):
    walk(tmp_path, [1, 2, 3], [1, 2])
    trees.picture(tmp_path / "2.ppm")
    with pytest.raises(InputError, match=r"expected one image of each frame, got 2\.p.* and 2\.p"):
        FolderDataset([tmp_path])
    (tmp_path / "2.ppm").unlink()
    for suffix in ("png", "jpg"):
        trees.picture(tmp_path / f"previews/1.{suffix}")  # a folder without flow counts for nothing
    assert FolderDataset([tmp_path]).names == ["1.png", "2.png"]


def test_folders_without_pairs(tmp_path):
    trees.picture(tmp_path / "1.png")
    trees.picture(tmp_path / "2.png")
    with pytest.raises(MissingDataError, match="no complete pair of images with flow"):
        FolderDataset([tmp_path])
    with pytest.raises(MissingDataError, match="gone: this folder of frames is missing"):
        FolderDataset([tmp_path / "gone"])


def test_generated_scenes(tmp_path):
    config = own_config(
        tmp_path,
        "dataset: synthetic\norig_shape: [64, 64]\ntarget_shape: [64, 64]\n"
        "synthetic: {seed: 5, size: [64, 96], pairs: 3, valid_pairs: 2, scene: {shapes: [1, 2]}}\n",
    )
    train, valid, every = (make_dataset(config, split) for split in ("train", "valid", "all"))
    assert (train.names, len(valid), len(every)) == ([f"synthetic/5/{i}" for i in range(3)], 2, 5)
    assert valid.names == every.names[3:]
    again = make_dataset(config, "valid")[1]
    sample = every[4]
    assert sample.name == again.name == "synthetic/5/4"
    assert sample.image1.shape == (64, 96, 3)
    for one, other in zip(sample[:5], again[:5], strict=True):
        np.testing.assert_array_equal(one, other)
    assert (sample.image1 != every[3].image1).any()
    with pytest.raises(IndexError):
        train[3]


def test_generated_scenes_come_in_the_order_of_colours_that_is_asked_for(tmp_path):
    common = (
        "dataset: synthetic\norig_shape: [64, 64]\ntarget_shape: [64, 64]\n"
        "synthetic: {pairs: 1, valid_pairs: 1, size: [64, 96]}\n"
    )
    bgr, rgb = (
        make_dataset(own_config(tmp_path, f"{common}color_order: {order}\n"), "train")[0]
        for order in ("BGR", "RGB")
    )
    for name in ("image1", "image2"):
        image = getattr(bgr, name)
        assert not np.array_equal(image, image[..., ::-1])
        np.testing.assert_array_equal(getattr(rgb, name), image[..., ::-1])
    np.testing.assert_array_equal(rgb.flow, bgr.flow)


def test_scenes_for_validation_differ_as_told(tmp_path):
    common = "dataset: synthetic\norig_shape: [64, 64]\ntarget_shape: [64, 64]\n"
    alike = "seed: 5, size: [64, 96], pairs: 3, valid_pairs: 2, scene: {shapes: [1, 2]}"
    own = "valid_size: [48, 80], valid_scene: {max_motion_px: 1}"
    plain = own_config(tmp_path, f"{common}synthetic: {{{alike}}}\n")
    config = own_config(tmp_path, f"{common}synthetic: {{{alike}, {own}}}\n")
    for split in ("train", "all"):
        one, other = (make_dataset(given, split) for given in (config, plain))
        assert one.scene_config == other.scene_config and one.size_hw == (64, 96)
        np.testing.assert_array_equal(one[0].image2, other[0].image2)
    valid = make_dataset(config, "valid")
    assert valid.names == make_dataset(plain, "valid").names
    assert valid.scene_config.shapes == (1, 2)  # what is not told is as for training
    flow = valid[0].flow
    assert flow.shape == (48, 80, 2) and np.linalg.norm(flow, axis=-1).max() <= 1.001
    longest = np.linalg.norm(make_dataset(plain, "valid")[0].flow, axis=-1).max()
    assert longest > 1


@pytest.mark.parametrize(
    ("setting", "split", "said"),
    [
        ("valid_scene: {shape: [1, 2]}", "valid", r"valid_scene\.shape is an .* shapes\?"),
        ("valid_scene: {shapes: many}", "valid", r"valid_scene\.shapes: expected"),
        ("valid_size: [8, 64]", "valid", r"valid_size: expected .*\(8, 64\)"),
        ("scene: {shape: [1, 2]}", "valid", r"scene\.shape is an .* shapes\?"),
        ("scene: {shape: [1, 2]}, valid_scene: {blur: 1}", "train", r"scene\.shape is an"),
    ],
)
def test_mistakes_in_scenes_name_the_right_setting(tmp_path, setting, split, said):
    config = own_config(tmp_path, f"dataset: synthetic\nsynthetic: {{{setting}}}\n")
    with pytest.raises(InputError, match=rf"own\.yaml: synthetic\.{said}"):
        make_dataset(config, split)


def test_generated_scenes_with_mistakes(tmp_path):
    config = own_config(
        tmp_path, "dataset: synthetic\norig_shape: [8, 64]\nsynthetic: {size: [8, 64]}\n"
    )
    with pytest.raises(InputError, match=r"own\.yaml: synthetic\.size: expected .*\(8, 64\)"):
        make_dataset(config, "train")
    config = own_config(tmp_path, "dataset: synthetic\nsynthetic: {scene: {shape: [1, 2]}}\n")
    with pytest.raises(InputError, match=r"own\.yaml: synthetic\.scene\.shape is an .* shapes\?"):
        make_dataset(config, "train")
    config = own_config(tmp_path, "dataset: synthetic\nsynthetic: {scene: {shapes: many}}\n")
    with pytest.raises(InputError, match=r"own\.yaml: synthetic\.scene\.shapes: expected"):
        make_dataset(config, "train")


@pytest.fixture
def mixture(tmp_path):
    paths = trees.sintel(tmp_path / "s", {"alley_1": 4, "cave_4": 2})
    paths |= trees.kitti(tmp_path / "k", 2015, [0, 10])
    paths |= trees.hd1k(tmp_path / "h", [(0, 0), (0, 1), (1, 0), (1, 1)])
    config = replace(load_dataset_config("sintel_kitti2015_hd1k"), resize_shape=(12, 15))
    return config, paths


def test_a_mixture_has_its_share_of_each_in_every_batch(mixture):
    config, paths = mixture
    dataset = make_dataset(config, "train", paths)
    parts = ["training/clean"] * 3 + ["training/final"] * 3 + ["2015"] + ["0000"] * 2
    assert all(name.startswith(part) for name, part in zip(dataset.names, parts, strict=True))
    assert [sample.name for sample in dataset] == dataset.names
    assert dataset[-1].name == dataset.names[-1]
    with pytest.raises(IndexError):
        dataset[9]
    sintel, kitti, hd1k = range(6), range(6, 7), range(7, 9)
    assert dataset.index_ranges(4) == [sintel, sintel, kitti, hd1k]
    assert dataset.index_ranges(8) == [sintel] * 4 + [kitti] * 2 + [hd1k] * 2
    with pytest.raises(InputError, match="6 pairs: this mixture needs a multiple of 4"):
        dataset.index_ranges(6)


def test_a_mixture_resizes_kitti_and_hd1k_alone(mixture):
    config, paths = mixture
    dataset = make_dataset(config, "train", paths)
    assert dataset[0].image1.shape[:2] == trees.SIZE
    assert dataset[6].image1.shape[:2] == dataset[8].flow.shape[:2] == (12, 15)


def test_a_mixture_is_validated_on_its_first_part(mixture):
    config, paths = mixture
    dataset = make_dataset(config, "valid", paths)
    assert dataset.names == [f"training/{r}/cave_4/frame_0001" for r in ("clean", "final")]
    assert dataset.index_ranges(2) == [range(2)] * 2
    everything = make_dataset(replace(config, train_all=True), "train", paths)
    assert [len(part) for part, _ in everything.parts] == [8, 2, 2]
