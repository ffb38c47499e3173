"""The documentation's pictures can be made again."""

import numpy as np

from maskflownet.reader.images import read_image
from maskflownet.tasks.showcase import sample_pictures


def test_both_pictures_are_made(tmp_path):
    assert sample_pictures.main(["--out", str(tmp_path)]) == 0
    kinds = read_image(tmp_path / "predict-kinds.png")
    height, width = sample_pictures.SIZE_HW
    gap, title = sample_pictures.GAP, sample_pictures.TITLE
    assert kinds.shape == (2 * (height + gap + title), 3 * (width + gap), 3)
    tiles = kinds.reshape(2, -1, 3, width + gap, 3).swapaxes(1, 2).reshape(6, -1)
    assert len(np.unique(tiles, axis=0)) == 6
    assert read_image(tmp_path / "predict-legend.png").shape[1] > 200
