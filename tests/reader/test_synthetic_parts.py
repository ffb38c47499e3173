"""The parts of generated scenes: exact inverses, limits, textures without fine detail, shapes."""

import cv2
import numpy as np
import pytest

from maskflownet.reader.synthetic.motion import (
    Box,
    Motion,
    random_linear,
    random_move,
    random_waves,
)
from maskflownet.reader.synthetic.shapes import draw, random_shape
from maskflownet.reader.synthetic.textures import fractal_noise, random_texture

FRAME = Box(0, 0, 319, 239)


def random_motion(rng):
    """Return a motion as wild as the settings allow."""
    linear = random_linear(rng, 10.0, 0.1) @ random_linear(rng, 10.0, 0.1)
    move = random_move(rng, 20.0, 1.0)
    waves = random_waves(rng, (0.1, 0.5), 300.0) if rng.random() < 0.7 else None
    return Motion.about(rng.uniform(0, 300, 2), linear, move, waves)


def random_points(rng):
    x, y = rng.uniform((0, 0), (FRAME.right, FRAME.bottom), (500, 2)).astype(np.float32).T
    return x, y


def test_motions_are_inverted_exactly():
    rng = np.random.default_rng(0)
    for _ in range(200):
        motion = random_motion(rng)
        x, y = random_points(rng)
        back_x, back_y = motion.inverse(*motion.forward(x, y))
        assert max(abs(back_x - x).max(), abs(back_y - y).max()) < 1e-3


def test_rare_turns_and_stretches_are_cut_off():
    class Rare:
        """Draws a thousand standard deviations, up and down."""

        def standard_normal(self, count):
            return 1000.0 * np.array([1, 1, -1])[:count]

        def uniform(self, low, high):
            return low

    linear = random_linear(Rare(), 10.0, 0.1)
    np.testing.assert_allclose(np.linalg.svd(linear)[1], np.exp([0.3, -0.3]))
    turned = random_linear(Rare(), 10.0, 0.0)
    np.testing.assert_allclose(np.degrees(np.arctan2(turned[1, 0], turned[0, 0])), 30)


def test_a_row_and_a_column_make_a_grid():
    motion = random_motion(np.random.default_rng(1))
    row, column = np.arange(7, dtype=np.float32)[None], np.arange(5, dtype=np.float32)[:, None]
    x, y = np.meshgrid(row, column)
    for ours, plain in zip(motion.forward(row, column), motion.forward(x, y), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, plain, atol=1e-4)


def test_waves_bend_lines():
    rng = np.random.default_rng(2)
    waves = random_waves(rng, (0.2, 0.2), 100.0)
    x = np.linspace(0, 300, 200, dtype=np.float32)
    there_x, there_y = waves.forward(x, np.zeros_like(x))
    moved = np.hypot(there_x - x, there_y)
    assert 1 < moved.max() <= waves.reach + 1e-3
    assert np.std(np.diff(there_y)) > 0.01, "a straight line"


def test_boxes_hold_what_moves():
    rng = np.random.default_rng(3)
    for _ in range(100):
        motion = random_motion(rng)
        x, y = random_points(rng)
        there = np.stack(motion.forward(x, y), axis=-1)
        back = np.stack(motion.inverse(x, y), axis=-1)
        for box, points in ((motion.image_of(FRAME), there), (motion.origin_of(FRAME), back)):
            assert (points >= np.array(box[:2]) - 1e-2).all()
            assert (points <= np.array(box[2:]) + 1e-2).all()


@pytest.mark.parametrize("limit", [0.0, 2.0, 50.0])
def test_a_limited_motion_keeps_the_limit_and_its_inverse(limit):
    rng = np.random.default_rng(4)
    for _ in range(100):
        whole = random_motion(rng)
        motion = whole.limited(FRAME, limit)
        x, y = random_points(rng)
        there_x, there_y = motion.forward(x, y)
        assert np.hypot(there_x - x, there_y - y).max() <= limit + 1e-3
        back_x, back_y = motion.inverse(there_x, there_y)
        assert max(abs(back_x - x).max(), abs(back_y - y).max()) < 2e-3
        (a, b), (c, d) = motion.linear
        assert a * d - b * c > 0.1


def test_a_motion_within_the_limit_stays():
    motion = Motion.about((10, 10), np.eye(2), (3, 4))
    assert motion.limited(FRAME, 5.0 + 1e-9) == motion
    assert motion.limited(FRAME, 2.5).shift_xy == pytest.approx((1.5, 2.0))


def test_random_moves_are_log_normal():
    rng = np.random.default_rng(5)
    lengths = np.linalg.norm([random_move(rng, 5.0, 1.0) for _ in range(4000)], axis=1)
    quarter, half, three_quarters = np.percentile(lengths, [25, 50, 75])
    assert half == pytest.approx(5.0, rel=0.08)
    assert np.log(three_quarters / quarter) == pytest.approx(2 * 0.6745, rel=0.08)


@pytest.mark.parametrize("finest_px", [4.0, 8.0])
def test_textures_hold_next_to_nothing_finer_than_asked(finest_px):
    rng = np.random.default_rng(6)
    window = np.hanning(128)[:, None] * np.hanning(128)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128))
    for _ in range(20):
        texture = random_texture(rng, (128, 128), finest_px, materials=2)
        grey = cv2.cvtColor(texture, cv2.COLOR_BGR2GRAY).astype(float)
        power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        assert power[frequency > 1 / finest_px].sum() < 0.01 * power.sum()


def test_textures_differ_and_fill_the_range():
    rng = np.random.default_rng(7)
    textures = [random_texture(rng, (64, 64), 2.5, materials=1) for _ in range(60)]
    contrasts = np.array([texture.std(axis=(0, 1)).max() for texture in textures])
    assert (contrasts > 3).all() and np.median(contrasts) > 20
    colours = np.array([texture.mean(axis=(0, 1)) for texture in textures])
    assert (colours.std(axis=0) > 20).all()
    brightness = colours.mean()
    assert 70 < brightness < 160


@pytest.mark.parametrize("size_hw", [(7, 7), (7, 40), (33, 47)])
def test_textures_of_any_size(size_hw):
    rng = np.random.default_rng(8)
    for _ in range(30):
        assert random_texture(rng, size_hw, 2.5, materials=3).shape == (*size_hw, 3)


def test_smoothness_of_noise():
    def roughness(smoothness):
        noise = fractal_noise(np.random.default_rng(9), (128, 160), 64, smoothness)
        assert noise.dtype == np.float32 and noise.shape == (128, 160)
        assert abs(noise.mean()) < 0.2 and 0.7 < noise.std() < 1.2
        return np.abs(np.diff(noise, axis=1)).mean()

    assert roughness(0.2) > 2 * roughness(0.8) > 4 * roughness(1.6)


def test_a_square_is_drawn_where_it_is():
    square = np.array([[10, 10], [30, 10], [30, 20], [10, 20]], float)
    cover = draw([square], (40, 50))
    assert (cover[12:19, 12:29] == 255).all()
    assert (cover[:8] == 0).all() and (cover[:, 33:] == 0).all()
    assert 0 < cover[15, 31] < 255 or 0 < cover[15, 30] < 255
    # OpenCV paints the edge as well, a line one pixel wide.
    assert 20 * 10 <= cover.sum() / 255 <= 22 * 12


def test_a_second_contour_is_a_hole():
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cover = draw([20 * circle + 25, 10 * circle + 25], (51, 51))
    assert cover[25, 25] == 0 and cover[25, 40] == 255 and cover[0, 0] == 0


@pytest.mark.parametrize("radius", [5.0, 40.0])
def test_shapes_are_of_the_size_asked_for(radius):
    rng = np.random.default_rng(10)
    corners, hollow = set(), 0
    for _ in range(300):
        contours = random_shape(rng, radius)
        reach = np.linalg.norm(np.concatenate(contours), axis=1).max()
        assert 0.25 * radius < reach < 1.05 * radius + 2
        side = int(3 * radius)
        cover = draw([contour + side / 2 for contour in contours], (side, side))
        assert (cover >= 128).sum() >= 8, "a shape that owns no pixel"
        corners.add(len(contours[0]))
        hollow += len(contours) == 2 and cover[side // 2, side // 2] < 128
    assert corners >= {3, 4, 5, 6, 7, 8, 9, 96}
    assert hollow > 20
