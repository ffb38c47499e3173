"""The test halves of Sintel and KITTI, on trees of empty files and of a few small pictures."""

import cv2
import numpy as np
import pytest

from maskflownet.config import MissingDataError
from maskflownet.reader.datasets.benchmark_sets import (
    SINTEL_SEQUENCES,
    kitti_test,
    open_test_sets,
    sintel_test,
)


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def make_sintel(root, frames=47):
    """Make the full tree of empty files: 12 sequences of 47 frames have 552 pairs too."""
    for render in ("clean", "final"):
        for sequence in SINTEL_SEQUENCES:
            for frame in range(1, frames + 1):
                touch(root / "test" / render / sequence / f"frame_{frame:04d}.png")
    return {"sintel": root}


def make_kitti(root, pairs):
    for year, images in ((2012, "colored_0"), (2015, "image_2")):
        for number in range(pairs[year]):
            for frame in (10, 11):
                touch(root / str(year) / "testing" / images / f"{number:06d}_{frame}.png")
    return {"kitti": root}


def test_sintel_has_552_pairs_in_each_pass_and_never_pairs_two_sequences(tmp_path):
    test_set = sintel_test(make_sintel(tmp_path))
    assert (len(test_set.pairs), test_set.expected, test_set.is_complete) == (1104, 1104, True)
    first = test_set.pairs[0]
    folder = f"{tmp_path}/test/clean/PERTURBED_market_3"
    assert first == (
        "clean/PERTURBED_market_3/frame_0001",
        f"{folder}/frame_0001.png",
        f"{folder}/frame_0002.png",
    )
    assert test_set.pairs[45].name == "clean/PERTURBED_market_3/frame_0046"
    assert test_set.pairs[46].name == "clean/PERTURBED_shaman_1/frame_0001"
    assert test_set.pairs[-1].name == "final/wall/frame_0046"


@pytest.mark.parametrize("render", ["clean", "final"])
def test_sintel_names_the_first_frame_that_one_pass_lacks(tmp_path, render):
    paths = make_sintel(tmp_path)
    missing = tmp_path / "test" / render / "cave_3/frame_0047.png"
    missing.unlink()
    (tmp_path / "test" / render / "wall/frame_0003.png").unlink()
    test_set = sintel_test(paths)
    assert test_set.first_missing == str(missing)
    assert (len(test_set.pairs), test_set.is_complete) == (1101, False)


def test_sintel_without_a_sequence_or_without_its_last_frames(tmp_path):
    paths = make_sintel(tmp_path)
    for render in ("clean", "final"):
        (tmp_path / f"test/{render}/tiger/frame_0047.png").unlink()
    test_set = sintel_test(paths)
    assert (test_set.first_missing, len(test_set.pairs)) == (None, 1102)
    assert not test_set.is_complete
    for render in ("clean", "final"):
        (tmp_path / "test" / render / "ambush_3").rename(tmp_path / f"gone_{render}")
    assert sintel_test(paths).first_missing.endswith("/test/clean/ambush_3/frame_0001.png")


def test_kitti_has_195_and_200_pairs(tmp_path):
    paths = make_kitti(tmp_path, {2012: 195, 2015: 200})
    for year, images, count in ((2012, "colored_0", 195), (2015, "image_2", 200)):
        test_set = kitti_test(paths, year)
        assert (len(test_set.pairs), test_set.is_complete) == (count, True)
        folder = f"{tmp_path}/{year}/testing/{images}"
        last = f"{count - 1:06d}"
        assert test_set.pairs[-1] == (
            *(f"{last}_10", f"{folder}/{last}_10.png"),
            f"{folder}/{last}_11.png",
        )
    missing = tmp_path / "2015/testing/image_2/000007_11.png"
    missing.unlink()
    test_set = kitti_test(paths, 2015)
    assert (test_set.first_missing, test_set.is_complete) == (str(missing), False)
    assert len(test_set.pairs) == 199


def test_colour_orders(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    make_sintel(tmp_path / "sintel", frames=2)
    make_kitti(tmp_path / "kitti", {2012: 0, 2015: 1})
    paths = {"sintel": tmp_path / "sintel", "kitti": tmp_path / "kitti"}
    sintel, kitti = sintel_test(paths), kitti_test(paths, 2015)
    for test_set, expected in ((sintel, image[..., ::-1]), (kitti, image)):
        pair = test_set.pairs[0]
        for path in pair.paths():
            assert cv2.imwrite(path, image)
        for read in test_set.read(pair):
            np.testing.assert_array_equal(read, expected)
            assert read.flags.c_contiguous


def test_what_is_left_out(tmp_path):
    paths = make_kitti(tmp_path, {2012: 0, 2015: 1}) | {"sintel": None}
    sets, skipped = open_test_sets(paths)
    assert [test_set.name for test_set in sets] == ["kitti.2015"]
    assert [name for name, _ in skipped] == ["kitti.2012", "sintel"]
    assert "MASKFLOWNET_SINTEL" in skipped[1][1]
    assert "2012/testing/colored_0 is missing" in skipped[0][1]


def test_no_test_half_or_no_folder(tmp_path):
    expected = r"no test set to predict: no folder is set: set \w+_SINTEL, \w+_KITTI, or write"
    with pytest.raises(MissingDataError, match=expected):
        open_test_sets({"sintel": None, "kitti": None})
    with pytest.raises(MissingDataError, match="gone is missing; correct MASKFLOWNET_SINTEL"):
        open_test_sets({"sintel": tmp_path / "gone", "kitti": None})


def test_one_year_of_kitti_as_its_archive_unpacks(tmp_path):
    make_kitti(tmp_path, {2012: 0, 2015: 3})
    for paths in ({"kitti": tmp_path / "2015"}, {"kitti_2015": tmp_path / "2015"}):
        ((test_set,), skipped) = open_test_sets(paths)
        assert (test_set.name, len(test_set.pairs)) == ("kitti.2015", 3)
        assert test_set.pairs[0].image1 == f"{tmp_path}/2015/testing/image_2/000000_10.png"
        assert [name for name, _ in skipped if name.startswith("kitti")] == ["kitti.2012"]
