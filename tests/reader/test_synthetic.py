"""Generated scenes from outside: repeatable, of any size, moving as they were asked to."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from maskflownet.config.errors import InputError
from maskflownet.reader.synthetic import SceneConfig, generate

ROOT = Path(__file__).resolve().parents[2]
STILL = {
    "shapes": (0, 0),
    "background_rotation_deg": 0.0,
    "background_stretch": 0.0,
    "bend_share": 0.0,
    "motion_spread": 0.0,
}


def fingerprint(sample):
    """Return a hash of every byte of a sample."""
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(array).tobytes() for array in sample[:5])
    ).hexdigest()


def test_arrays_are_as_a_sample_promises():
    sample = generate(3, 14, (96, 128))
    assert sample.name == "synthetic/3/14"
    expected = {
        "image1": ((96, 128, 3), np.uint8),
        "image2": ((96, 128, 3), np.uint8),
        "flow": ((96, 128, 2), np.float32),
        "valid": ((96, 128, 1), np.uint8),
        "occluded": ((96, 128), np.bool_),
    }
    for name, (shape, dtype) in expected.items():
        array = getattr(sample, name)
        assert array.shape == shape and array.dtype == dtype, name
        assert array.flags.c_contiguous, name
    assert (sample.valid == 255).all()
    assert np.isfinite(sample.flow).all()


def test_a_pair_does_not_depend_on_the_calls_before_it():
    alone = fingerprint(generate(1, 5, (64, 96)))
    generate(1, 4, (64, 96))
    generate(2, 5, (96, 64))
    np.random.seed(0)
    assert fingerprint(generate(1, 5, (64, 96))) == alone


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_pair_is_the_same_in_another_process(hash_seed):
    script = (
        "import hashlib, numpy as np; from maskflownet.reader.synthetic import generate\n"
        "arrays = generate(7, 9, (64, 96))[:5]\n"
        "print(hashlib.sha256(b''.join("
        "np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    other = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert other.stdout.decode().strip() == fingerprint(generate(7, 9, (64, 96)))


def test_seeds_and_indices_give_different_pairs():
    pairs = [generate(seed, index, (32, 32)) for seed in range(4) for index in range(4)]
    assert len({fingerprint(pair) for pair in pairs}) == 16


def test_scenes_stay_what_they_were():
    """A change here changes every training set: then say so in the release notes."""
    sample = generate(0, 0, (64, 96))
    blocks = sample.image1.reshape(4, 16, 6, 16, 3).mean(axis=(1, 3, 4))
    golden = [
        [128.5, 173.0, 157.5, 120.8, 114.3, 121.6],
        [78.5, 111.2, 101.5, 113.0, 121.6, 140.2],
        [90.8, 85.2, 105.5, 146.4, 165.5, 91.1],
        [84.7, 83.6, 103.2, 149.7, 128.0, 81.3],
    ]
    np.testing.assert_allclose(blocks, golden, atol=1.0)
    golden = [[-5.716, -7.208], [-4.384, -7.301], [-5.298, -8.839], [-6.522, -8.73]]
    np.testing.assert_allclose(sample.flow[[0, 21, 42, 63], [0, 31, 0, 0]], golden, atol=0.01)
    assert abs(int(sample.occluded.sum()) - 1863) <= 8


@pytest.mark.parametrize("size_hw", [(16, 16), (33, 47), (64, 64), (47, 201), (384, 512)])
def test_any_size(size_hw):
    for index in range(8):
        sample = generate(0, index, size_hw)
        assert sample.image1.shape == sample.image2.shape == (*size_hw, 3)
        assert sample.flow.shape == (*size_hw, 2)
        assert sample.image1.std() > 2, "an image of one colour"


def test_motion_resembles_flying_chairs():
    """Most displacements are small, with a tail to 100 px."""
    samples = [generate(5, index, (384, 512)) for index in range(40)]
    lengths = np.concatenate(
        [np.linalg.norm(sample.flow[::8, ::8], axis=-1).ravel() for sample in samples]
    )
    half, most, nearly_all = np.percentile(lengths, [50, 90, 99])
    assert 3 < half < 10
    assert 15 < most < 40
    assert 45 < nearly_all < 130
    assert 100 < lengths.max() <= 160
    occluded = np.array([sample.occluded.mean() for sample in samples])
    assert 0.04 < occluded.mean() < 0.15
    assert occluded.max() < 0.6


def test_easy_scenes_are_a_matter_of_settings():
    easy = SceneConfig(
        shapes=(1, 3),
        background_motion_px=1.5,
        shape_motion_px=2.5,
        motion_spread=0.4,
        bend_share=0.0,
        max_motion_px=8.0,
    )
    samples = [generate(5, index, (128, 192), easy) for index in range(40)]
    lengths = np.array([np.linalg.norm(sample.flow, axis=-1) for sample in samples])
    assert 1 < np.median(lengths) < 3
    assert lengths.max() < 8.001
    assert np.mean([sample.occluded.mean() for sample in samples]) < 0.06


def test_a_length_without_spread_is_met_exactly():
    config = SceneConfig(**STILL, background_motion_px=7.25)
    directions = []
    for index in range(12):
        flow = generate(1, index, (48, 64), config).flow
        np.testing.assert_allclose(np.linalg.norm(flow, axis=-1), 7.25, atol=1e-4)
        directions.append(flow[0, 0])
    assert np.std(directions) > 2, "always the same direction"


def test_shapes_move_with_the_background():
    carried = {"shape_motion_px": 0.0, "shape_rotation_deg": 0.0, "shape_stretch": 0.0}
    turning = {"background_rotation_deg": 3.0, "background_stretch": 0.03}
    config = SceneConfig(**{**STILL, **carried, **turning, "shapes": (6, 6)})
    for index in range(5):
        flow = generate(1, index, (48, 64), config).flow
        # Affine all over the frame, so second differences vanish, also across shapes' edges.
        assert np.abs(np.diff(flow, n=2, axis=0)).max() < 1e-3
        assert np.abs(np.diff(flow, n=2, axis=1)).max() < 1e-3
        assert np.abs(np.diff(flow, axis=0)).max() > 1e-3


@pytest.mark.parametrize("limit", [0.0, 3.0, 40.0])
def test_no_pixel_moves_further_than_the_limit(limit):
    wild = SceneConfig(
        background_motion_px=60.0,
        shape_motion_px=90.0,
        background_rotation_deg=10.0,
        shape_rotation_deg=10.0,
        background_stretch=0.1,
        shape_stretch=0.1,
        bend_share=1.0,
        bend=(0.2, 0.4),
        max_motion_px=limit,
    )
    longest = max(
        np.linalg.norm(generate(2, index, (96, 128), wild).flow, axis=-1).max()
        for index in range(25)
    )
    assert 0.7 * limit <= longest <= limit + 1e-3


def test_the_camera_changes_images_alone():
    plain = generate(4, 0, (96, 128))
    for setting in ({"blur_px": (1, 2)}, {"noise": (5, 5)}, {"lighting": (0.3, 0.3)}):
        changed = generate(4, 0, (96, 128), SceneConfig(**setting))
        assert (changed.flow == plain.flow).all() and (changed.occluded == plain.occluded).all()
        assert (changed.image2 != plain.image2).any()
        assert (changed.image1 != plain.image1).any() == ("lighting" not in setting)


def test_noise_has_the_deviation_that_was_asked_for():
    plain = generate(4, 1, (192, 256))
    noisy = generate(4, 1, (192, 256), SceneConfig(noise=(6, 6)))
    errors = []
    for before, after in ((plain.image1, noisy.image1), (plain.image2, noisy.image2)):
        unclipped = (before > 30) & (before < 225)
        errors.append(np.where(unclipped, after.astype(float) - before, np.nan))
        assert abs(np.nanmean(errors[-1])) < 0.1
        assert 5.8 < np.nanstd(errors[-1]) < 6.2
    both = np.isfinite(errors[0]) & np.isfinite(errors[1])
    assert abs(np.corrcoef(errors[0][both], errors[1][both])[0, 1]) < 0.02, "the same noise twice"


def test_blur_takes_detail_away():
    def detail(image):
        return np.abs(np.diff(image.astype(float), axis=1)).mean()

    plain = generate(4, 2, (96, 128))
    blurred = generate(4, 2, (96, 128), SceneConfig(blur_px=(2, 2)))
    assert detail(blurred.image1) < 0.7 * detail(plain.image1)
    assert detail(blurred.image2) < 0.7 * detail(plain.image2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shapes", 4),
        ("shapes", (3, 2)),
        ("shapes", (1.5, 3)),
        ("shapes", (-1, 3)),
        ("shapes", (0, 101)),
        ("shape_size", (0.0, 0.3)),
        ("shape_size", ("small", 0.3)),
        ("shape_size", (0.1, 0.2, 0.3)),
        ("finest_detail_px", 0),
        ("background_motion_px", -1),
        ("shape_motion_px", "far"),
        ("motion_spread", float("nan")),
        ("max_motion_px", float("inf")),
        ("shape_rotation_deg", True),
        ("bend_share", 1.5),
        ("blur_px", None),
        ("noise", (0, float("nan"))),
        ("lighting", 0.5),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(name, value):
    with pytest.raises(InputError) as error:
        SceneConfig(**{name: value})
    message = str(error.value)
    assert message.startswith(f"SceneConfig: {name}: expected ") and "\n" not in message


def test_settings_from_yaml_are_taken_as_they_come():
    assert SceneConfig(shapes=[4, 12], noise=[0, 0], bend_share=0.3) == SceneConfig()
    assert hash(SceneConfig(shapes=[1, 3], max_motion_px=8)) == hash(
        SceneConfig(shapes=(1, 3), max_motion_px=8.0)
    )


@pytest.mark.parametrize(
    ("seed", "index", "size_hw", "named"),
    [
        (-1, 0, (64, 64), "seed"),
        (0, -1, (64, 64), "index"),
        (0.5, 0, (64, 64), "seed"),
        (0, 0, (8, 64), "size"),
        (0, 0, (64, 100_000), "size"),
        (0, 0, (64, 64.5), "size"),
        (0, 0, (64, 64, 3), "size"),
    ],
)
def test_wrong_arguments_are_named(seed, index, size_hw, named):
    with pytest.raises(InputError, match=f"synthetic.{named}: expected"):
        generate(seed, index, size_hw)
