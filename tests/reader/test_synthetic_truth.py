"""The truth of generated scenes: by hand where that is possible, by warping everywhere else."""

import cv2
import numpy as np
import pytest

from maskflownet.reader.synthetic import SceneConfig, generate
from maskflownet.reader.synthetic.layers import Layer, random_layers
from maskflownet.reader.synthetic.motion import Motion
from maskflownet.reader.synthetic.render import render

STAY = ((1.0, 0.0), (0.0, 1.0))
SIZE = (40, 60)


def backdrop(motion, margin=30):
    """Return a background with a smooth random texture that reaches beyond the frame."""
    rng = np.random.default_rng(0)
    h, w = (side + 2 * margin for side in SIZE)
    colour = cv2.GaussianBlur(rng.integers(0, 256, (h, w, 3), dtype=np.uint8), (0, 0), 2)
    return Layer(colour, np.full((h, w), 255, np.uint8), -margin, -margin, motion)


def card(left, top, size_hw, motion, grey=200):
    """Return a plain rectangle with hard edges."""
    cover = np.pad(np.full(size_hw, 255, np.uint8), 2)
    return Layer(np.full((*cover.shape, 3), grey, np.uint8), cover, left - 2, top - 2, motion)


def moved(dx, dy):
    return Motion(STAY, (float(dx), float(dy)))


# By hand ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(0, 0), (10, 0), (-7, 0), (0, 5), (0, -9), (3, -4), (-60, 0)])
def test_translated_background(shift):
    dx, dy = shift
    result = render([backdrop(moved(dx, dy), margin=70)], SIZE)
    assert (result.flow == np.float32([dx, dy])).all()
    h, w = SIZE
    y, x = np.mgrid[:h, :w]
    gone = (x + dx < 0) | (x + dx >= w) | (y + dy < 0) | (y + dy >= h)
    assert (result.occluded == gone).all()
    assert (result.image2[(y + dy)[~gone], (x + dx)[~gone]] == result.image1[~gone]).all()


def test_a_place_beyond_the_last_pixel_centre_is_out_of_the_frame():
    result = render([backdrop(moved(2.5, 0))], SIZE)
    # x + 2.5 <= 59 holds up to x = 56.
    assert not result.occluded[:, :57].any() and result.occluded[:, 57:].all()


def test_a_quarter_turn():
    """(x, y) about the centre (29.5, 19.5) goes to (-y, x): clockwise, since y points down."""
    turn = Motion.about((29.5, 19.5), [[0, -1], [1, 0]], (0, 0))
    result = render([backdrop(turn)], SIZE)
    np.testing.assert_allclose(result.flow[19, 39], [0.5 - 9.5, 9.5 + 0.5], atol=1e-4)
    np.testing.assert_allclose(result.flow[0, 29], [20.0, 19.0], atol=1e-4)
    assert not result.occluded[19, 39]  # goes to (30, 29)
    assert result.occluded[19, 55]  # would go to (30, 45), below the frame
    np.testing.assert_array_equal(result.image2[29, 30], result.image1[19, 39])


def test_a_zoom_about_the_centre():
    zoom = Motion.about((29.5, 19.5), [[1.1, 0], [0, 0.9]], (1, 2))
    result = render([backdrop(zoom)], SIZE)
    np.testing.assert_allclose(result.flow[0, 0], [-2.95 + 1, 1.95 + 2], atol=1e-4)
    np.testing.assert_allclose(result.flow[39, 59], [2.95 + 1, -1.95 + 2], atol=1e-4)


def test_a_card_uncovers_and_covers():
    result = render([backdrop(moved(0, 0)), card(10, 5, (8, 12), moved(6, 0))], SIZE)
    on_card = np.zeros(SIZE, bool)
    on_card[5:13, 10:22] = True
    assert (result.flow[on_card] == [6, 0]).all() and (result.flow[~on_card] == 0).all()
    newly_covered = np.zeros(SIZE, bool)
    newly_covered[5:13, 22:28] = True
    assert (result.occluded == newly_covered).all()
    assert (result.image1[on_card] == 200).all()
    assert (result.image2[5:13, 16:28] == 200).all()
    uncovered = result.image2[5:13, 10:16]
    assert (uncovered == backdrop(moved(0, 0)).colour[35:43, 40:46]).all()


def test_a_card_moves_under_another():
    scene = [
        backdrop(moved(0, 0)),
        card(10, 10, (6, 6), moved(20, 0), grey=50),
        card(28, 8, (10, 10), moved(0, 0), grey=90),
    ]
    result = render(scene, SIZE)
    # The lower card goes to columns 30 to 35 of rows 10 to 15: all under the upper one.
    assert result.occluded[10:16, 10:16].all()
    assert not result.occluded[8:18, 28:38].any()
    assert result.occluded.sum() == 36
    assert (result.image2[10:16, 30:36] == 90).all()


def test_the_nearer_card_stays_in_sight():
    scene = [
        backdrop(moved(0, 0)),
        card(28, 8, (10, 10), moved(0, 0), grey=90),
        card(10, 10, (6, 6), moved(20, 0), grey=50),
    ]
    result = render(scene, SIZE)
    hidden = np.zeros(SIZE, bool)
    hidden[10:16, 30:36] = True
    assert (result.occluded == hidden).all()
    assert (result.image2[10:16, 30:36] == 50).all()


def test_cards_leave_and_enter_the_frame():
    scene = [
        backdrop(moved(0, 0)),
        card(2, 2, (5, 5), moved(-20, 0)),
        card(70, 20, (6, 6), moved(-30, 0), grey=20),
    ]
    result = render(scene, SIZE)
    expected = np.zeros(SIZE, bool)
    expected[2:7, 2:7] = True  # left the frame
    expected[20:26, 40:46] = True  # background under the card that came in
    assert (result.occluded == expected).all()
    assert (result.image2[20:26, 40:46] == 20).all()
    assert (result.flow[2:7, 2:7] == [-20, 0]).all()


def test_edges_are_blended():
    half = card(10, 10, (6, 6), moved(0, 0))
    half.cover[:] = np.where(half.cover > 0, 102, 0)
    scene = [backdrop(moved(1, 0)), half]
    result = render(scene, SIZE)
    behind = render(scene[:1], SIZE)
    expected = 0.4 * 200 + 0.6 * behind.image1[10:16, 10:16].astype(float)
    np.testing.assert_allclose(result.image1[10:16, 10:16], expected, atol=0.51)
    assert (result.flow == [1, 0]).all(), "a cover of 40 % owned a pixel"


# By warping ---------------------------------------------------------------------------------------

WILD = {
    "background_motion_px": 25.0,
    "shape_motion_px": 40.0,
    "background_rotation_deg": 5.0,
    "shape_rotation_deg": 10.0,
    "background_stretch": 0.05,
    "shape_stretch": 0.08,
}
BENT = {"bend_share": 1.0, "bend": (0.1, 0.25)}
CASES = {
    "default": ({}, cv2.INTER_CUBIC),
    "smooth": ({"finest_detail_px": 6.0}, cv2.INTER_LINEAR),
    "large": ({"finest_detail_px": 6.0, **WILD}, cv2.INTER_LINEAR),
    "bent": ({"finest_detail_px": 6.0, **BENT}, cv2.INTER_LINEAR),
    "large and bent": ({"finest_detail_px": 8.0, **WILD, **BENT}, cv2.INTER_LINEAR),
    "crowded": ({"finest_detail_px": 6.0, "shapes": (30, 40)}, cv2.INTER_LINEAR),
}


def layers_of(seed, index, size_hw, config):
    """Return the layers from which `generate` renders a pair."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    return random_layers(rng, size_hw, config)


def covers(layers, size_hw, which):
    """Return each shape's cover over the whole frame of image 1 or 2, float32 (H, W)."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float32)
    for layer in layers[1:]:
        at_x, at_y = (x, y) if which == 1 else layer.motion.inverse(x, y)
        yield sampled(layer.cover, at_x - layer.left, at_y - layer.top)


def sampled(array, x, y):
    """Return an array's values at positions, bilinear, zero outside, in float32."""
    return cv2.remap(array.astype(np.float32), x, y, cv2.INTER_LINEAR)


def near_edges(layers, size_hw, which):
    """Return which pixels of an image are within 2 px of an edge, float32 0 or 1."""
    edges = np.zeros(size_hw, np.uint8)
    for cover in covers(layers, size_hw, which):
        edges |= ((cover > 0) & (cover < 255)).astype(np.uint8)
    return cv2.dilate(edges, np.ones((5, 5), np.uint8)).astype(np.float32)


def warp_errors(index, size_hw, config, interpolation):
    """Return the errors of warping image 2 onto image 1, on visible and on occluded pixels."""
    sample = generate(3, index, size_hw, config)
    layers = layers_of(3, index, size_hw, config)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float32)
    x, y = x + sample.flow[..., 0], y + sample.flow[..., 1]
    image2 = sample.image2.astype(np.float32) / 255
    warped = cv2.remap(image2, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    error = np.abs(warped - sample.image1.astype(np.float32) / 255).mean(axis=-1)
    far = near_edges(layers, size_hw, 1) == 0
    far_there = sampled(near_edges(layers, size_hw, 2), x, y) == 0
    return error[~sample.occluded & far & far_there], error[sample.occluded & far]


@pytest.mark.parametrize("case", CASES)
def test_image_2_warped_by_the_flow_is_image_1_where_visible(case):
    settings, interpolation = CASES[case]
    config = SceneConfig(**settings)
    pairs = [warp_errors(index, (192, 256), config, interpolation) for index in range(12)]
    visible = [seen.mean() for seen, _ in pairs if seen.size > 500]
    occluded = np.concatenate([hidden for _, hidden in pairs])
    assert len(visible) >= 8
    assert max(visible) < 1 / 255
    assert occluded.mean() > 15 / 255
    assert occluded.mean() > 20 * max(visible)


@pytest.mark.parametrize("case", ["default", "large and bent", "crowded"])
def test_occlusion_is_what_every_layer_alone_says(case):
    """Ask each nearer layer, at the place itself, instead of looking into a rendered image."""
    size_hw = (96, 128)
    config = SceneConfig(**CASES[case][0])
    wrong = total = 0
    for index in range(12):
        sample = generate(3, index, size_hw, config)
        layers = layers_of(3, index, size_hw, config)
        owner = np.zeros(size_hw, int)
        for number, cover in enumerate(covers(layers, size_hw, 1), start=1):
            owner[cover >= 128] = number
        y, x = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float32)
        x, y = x + sample.flow[..., 0], y + sample.flow[..., 1]
        hidden = (x < 0) | (x > size_hw[1] - 1) | (y < 0) | (y > size_hw[0] - 1)
        unsure = np.zeros(size_hw, bool)
        for number, layer in enumerate(layers[1:], start=1):
            at_x, at_y = layer.motion.inverse(x, y)
            cover = sampled(layer.cover, at_x - layer.left, at_y - layer.top)
            hidden |= (owner < number) & (cover >= 128)
            # Within a fifth of a pixel of the edge the pixel grids of the images matter.
            unsure |= (owner < number) & (abs(cover - 128) < 50)
        wrong += ((hidden != sample.occluded) & ~unsure).sum()
        total += hidden.sum()
        assert unsure.mean() < 0.1
    assert total > 5000
    assert wrong <= 0.002 * total


def test_flow_is_the_motion_of_the_layer_on_top():
    config = SceneConfig(bend_share=1.0)
    size_hw = (96, 128)
    for index in range(5):
        flow = generate(3, index, size_hw, config).flow
        layers = layers_of(3, index, size_hw, config)
        y, x = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float32)
        expected = np.stack(layers[0].motion.forward(x, y), axis=-1)
        for layer, cover in zip(layers[1:], covers(layers, size_hw, 1), strict=True):
            there = np.stack(layer.motion.forward(x, y), axis=-1)
            expected = np.where(cover[..., None] >= 128, there, expected)
        np.testing.assert_allclose(flow, expected - np.stack([x, y], axis=-1), atol=1e-3)


def test_as_many_shapes_come_in_as_go_out():
    config = SceneConfig(
        shapes=(12, 12), background_motion_px=0.0, shape_motion_px=60.0, motion_spread=0.0
    )
    size_hw = (96, 128)
    areas = np.zeros(2)
    for index in range(40):
        layers = layers_of(5, index, size_hw, config)
        areas += [sum(cover.mean() for cover in covers(layers, size_hw, which)) for which in (1, 2)]
    assert 0.75 < areas[0] / areas[1] < 1.33
