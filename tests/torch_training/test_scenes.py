"""Generated scenes: truth and pictures belong together. Needs PyTorch."""

import cv2
import numpy as np
import pytest

from maskflownet.config.errors import InputError

torch = pytest.importorskip("torch")

from maskflownet.torch_training import networks  # noqa: E402  (where there is PyTorch)
from maskflownet.torch_training.scenes import Scenes  # noqa: E402

CPU = torch.device("cpu")
SIZE = (128, 192)


def scenes(seed=0, **options):
    return Scenes(CPU, SIZE, textures=8, shapes=32, seed=seed, **options)


@pytest.mark.parametrize("seed", range(4))
def test_flow_leads_to_the_same_colours_where_they_are_seen(seed):
    pairs = scenes(seed).batch(6, photometric=False)
    y, x = networks.places(pairs.flow.flip(1))
    error = (networks.sample(pairs.image2, y, x) - pairs.image1).abs().mean(1, keepdim=True)
    still = (pairs.image2 - pairs.image1).abs().mean(1, keepdim=True)
    seen = pairs.occluded == 0
    assert 0.5 < seen.float().mean() < 1
    assert error[seen].mean() < 0.01
    assert error[seen].mean() < still[seen].mean() / 4
    assert error[~seen].mean() > 8 * error[seen].mean()


def test_no_flow_is_out_of_all_proportion():
    """A plane that goes to infinity in the image once ended a training."""
    source = scenes(1)
    for _ in range(12):
        pairs = source.batch(16)
        assert all(part.isfinite().all() for part in pairs)
        assert pairs.flow.norm(dim=1).max() < 1000
        assert pairs.image1.min() >= 0 and pairs.image2.max() <= 1


def test_the_same_seed_makes_the_same_scenes():
    first, same, other = (scenes(seed).batch(2) for seed in (3, 3, 4))
    assert all(torch.equal(one, two) for one, two in zip(first, same, strict=True))
    assert not torch.equal(first.image1, other.image1)


def test_motion_can_be_made_smaller():
    whole, none = scenes(2).batch(8), scenes(2).batch(8, motion=0)
    assert whole.flow.norm(dim=1).mean() > 1
    assert none.flow.norm(dim=1).max() < 1e-2
    assert none.occluded.mean() < 0.01


def test_photographs_are_seen(tmp_path):
    (tmp_path / "deeper").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "broken.png").write_bytes(b"no picture either")
    red = np.zeros((90, 60, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "deeper" / "a.png"), red)
    bank = scenes(photographs=tmp_path)._textures
    assert len(bank) == 9
    assert bank[-1, :, 100, 100].tolist() == [0, 0, 1]  # BGR


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}: expected pictures"):
        scenes(photographs=tmp_path)
