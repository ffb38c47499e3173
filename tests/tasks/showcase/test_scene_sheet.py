import cv2
import numpy as np
import pytest

from maskflownet.reader.formats.flo import write_flo
from maskflownet.reader.sample import FlowSample
from maskflownet.reader.synthetic import generate
from maskflownet.tasks.showcase import scene_sheet

CONFIG = """
dataset: synthetic
synthetic: {size: [64, 96], pairs: 3, valid_pairs: 1}
orig_shape: [64, 96]
target_shape: [64, 64]
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return str(path)


@pytest.fixture
def chairs(tmp_path):
    """Return the root of a FlyingChairs of one pair, all of whose pixels move by (3, 4)."""
    root = tmp_path / "chairs"
    (root / "data").mkdir(parents=True)
    (root / "FlyingChairs_train_val.txt").write_text("1\n")
    for name in ("00001_img1.ppm", "00001_img2.ppm"):
        cv2.imwrite(str(root / "data" / name), np.zeros((32, 48, 3), np.uint8))
    write_flo(root / "data" / "00001_flow.flo", np.full((32, 48, 2), (3, 4), np.float32))
    return root


def test_both_pictures_are_written(config, chairs, tmp_path):
    out = tmp_path / "images"
    arguments = ["--dataset_cfg", config, "--pairs", "2", "--out", str(out)]
    assert scene_sheet.main([*arguments, "--chairs", str(chairs)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["tiny_motion.png", "tiny_sheet.png"]
    sheet = cv2.imread(str(out / "tiny_sheet.png"))
    assert sheet.shape == (2 * (149 + 4), 4 * (224 + 4), 3)


def test_no_chairs_is_one_line(config, tmp_path, capsys):
    arguments = ["--dataset_cfg", config, "--out", str(tmp_path), "--chairs", str(tmp_path)]
    assert scene_sheet.main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_row_shows_the_sample():
    sample = generate(0, 0, (112, 224))
    row = scene_sheet.contact_sheet([sample], "BGR")
    assert (row[:112, :224] == sample.image1).all()
    assert (row[:112, 228:452] == sample.image2).all()
    assert ((row[:112, 684:908, 0] == 255) == sample.occluded).all()
    swapped = sample._replace(image1=sample.image1[..., ::-1], image2=sample.image2[..., ::-1])
    assert (scene_sheet.contact_sheet([swapped], "RGB") == row).all()
    unknown = scene_sheet.contact_sheet([sample._replace(occluded=None)], "BGR")
    assert unknown.shape[1] == 3 * 228


def test_statistics_count_valid_pixels_alone():
    flow = np.zeros((32, 32, 2), np.float32)
    flow[:16] = (3, 4)
    flow[16:] = (200, 0)
    valid = np.full((32, 32, 1), 255, np.uint8)
    valid[24:] = 0
    image = np.zeros((32, 32, 3), np.uint8)
    shares, percentiles, pairs = scene_sheet.motion_statistics(
        [FlowSample(image, image, flow, valid)]
    )
    assert pairs == 1
    expected = np.zeros(10)
    expected[scene_sheet.EDGES_PX.searchsorted(5) - 1] = 2 / 3
    expected[scene_sheet.EDGES_PX.searchsorted(200) - 1] = 1 / 3
    np.testing.assert_allclose(shares, expected)
    np.testing.assert_allclose(percentiles, [5, 200, 200])
