"""The geometric augmentation: golden numbers, and flow that fits the new images."""

from pathlib import Path

import numpy as np
import pytest
from operators_in_turn import each_kind_of_operators  # noqa: F401 (for all tests)
from ramps import (
    SOURCE_HW,
    STRONG,
    TARGET_HW,
    augment,
    coordinates_xy,
    draw_maps,
    errors_px,
    ramp_pairs,
)

from maskflownet.augmentation.draws import GeometryDraws, draw_geometry
from maskflownet.augmentation.geometry import geometry_maps
from maskflownet.config import GeometryConfig, load_dataset_config

ORACLE = Path(__file__).parents[1] / "data" / "oracle" / "augmentation.npz"
RESULTS = ("image1", "image2", "flow", "valid")
MOST_PX = 0.05
DRAWS = 300


def fixed_draws(**values):
    """Return the draws of one sample that change nothing, except for `values`."""
    neutral = {"zoom": 1.0, "aspect": 1.0, "relative_scale": 1.0}
    draws = {name: neutral.get(name, 0.0) for name in GeometryDraws._fields} | values
    return GeometryDraws(
        **{
            name: np.full((1, 2) if name.endswith("_xy") else 1, float(value))
            for name, value in draws.items()
        }
    )


# A translation is twice its range's number, since the image is 2 wide in these units.
GOLDEN_DRAWS = {
    "relscale": fixed_draws(relative_scale=1.04),
    "reltrans": fixed_draws(
        translation_xy=2 * 0.05, relative_scale=0.97, relative_translation_xy=2 * 0.05 * 0.25
    ),
}


@pytest.mark.parametrize("hybridized", [False, True])
@pytest.mark.parametrize("case", GOLDEN_DRAWS)
def test_it_equals_the_reference(case, hybridized):
    with np.load(ORACLE) as arrays:
        wanted = dict(arrays)
    size_hw = wanted["image1"].shape[2:]
    maps = geometry_maps(GOLDEN_DRAWS[case], size_hw, size_hw)
    results = augment([wanted[name] for name in RESULTS], maps, size_hw, hybridized)
    for name, result in zip(RESULTS, results, strict=True):
        tolerance = 1e-4 if name == "flow" else 1e-5
        np.testing.assert_allclose(result, wanted[f"{case}_{name}"], rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def pairs():
    return ramp_pairs(DRAWS)


@pytest.mark.parametrize("config_name", ["chairs", "kitti"])
def test_the_new_flow_leads_from_the_new_image_1_to_the_new_image_2(pairs, config_name):
    _, maps = draw_maps(load_dataset_config(config_name).geometry, DRAWS)
    errors = errors_px(*augment(pairs, maps))
    assert np.isfinite(errors).mean() > 0.6
    assert np.isfinite(errors).sum(axis=(1, 2)).min() > 100
    assert np.nanmax(errors) < MOST_PX


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def inexact_inverse(draws, maps):
    """Take the original's inverse of image 1's linear part, which is right for aspect 1 alone."""
    relative = (draws.relative_scale * rotation(draws.relative_angle)).transpose((2, 0, 1))
    slip = np.ones_like(relative)
    slip[:, 0, 1], slip[:, 1, 0] = 1 / draws.aspect, draws.aspect
    return maps._replace(flow_matrix=np.linalg.inv(relative) @ (relative @ maps.flow_matrix * slip))


def image_2_turned_the_other_way(draws, maps):
    other = geometry_maps(
        draws._replace(relative_angle=-draws.relative_angle), SOURCE_HW, TARGET_HW
    )
    return maps._replace(grid2=other.grid2)


def rows_swapped(affine):
    return affine.reshape((-1, 2, 3))[:, ::-1].reshape((-1, 6))


SLIPS = {
    "rotation of flow transposed": lambda _, maps: maps._replace(
        flow_matrix=maps.flow_matrix.swapaxes(1, 2)
    ),
    "axes of flow swapped": lambda _, maps: maps._replace(flow_matrix=maps.flow_matrix[:, ::-1]),
    "inverse right for aspect 1 alone": inexact_inverse,
    "sign of the shift": lambda _, maps: maps._replace(shift_xy=-maps.shift_xy),
    "axes of the shift swapped": lambda _, maps: maps._replace(shift_xy=maps.shift_xy[:, ::-1]),
    "no shift": lambda _, maps: maps._replace(shift_xy=0 * maps.shift_xy),
    "sign of the grid's motion": lambda _, maps: maps._replace(motion=-maps.motion),
    "axes of the grid's motion swapped": lambda _, maps: maps._replace(
        motion=rows_swapped(maps.motion)
    ),
    "no motion of the grid": lambda _, maps: maps._replace(motion=0 * maps.motion),
    "image 2 like image 1": lambda _, maps: maps._replace(grid2=maps.grid1),
    "image 2 turned the other way": image_2_turned_the_other_way,
    "axes of image 2 swapped": lambda _, maps: maps._replace(grid2=rows_swapped(maps.grid2)),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_would_show(pairs, slip):
    """At least one draw in five betrays it, so the test above can't pass by luck."""
    few = [array[:50] for array in pairs]
    draws, maps = draw_maps(STRONG, 50)
    right, wrong = (errors_px(*augment(few, each)) for each in (maps, SLIPS[slip](draws, maps)))
    assert np.nanmax(right) < MOST_PX
    betrayed = np.nan_to_num(wrong).max(axis=(1, 2)) > MOST_PX
    assert betrayed.mean() > 0.2


def sampled_by_formula(draws, index, source_hw, target_hw):
    """Return what image 1 and image 2 (2, h, w) sample, pixels from the centre, pixel by pixel."""
    r, s, a = (draws[field][index] for field in range(3))
    (sh, sw), (th, tw) = source_hw, target_hw
    k_x, k_x_, k_y_, k_y = (
        (tw - 1) / (sw - 1),
        (th - 1) / (sw - 1),
        (tw - 1) / (sh - 1),
        (th - 1) / (sh - 1),
    )
    cos, sin = np.cos(r), np.sin(r)
    s = min(s, 1 / (a * (cos * k_x + abs(sin) * k_x_)), 1 / (abs(sin) * k_y_ + cos * k_y))
    t = draws.position_xy[index] * (1 - s * np.array([k_x, k_y])) + draws.translation_xy[index]

    def source_of(pixels_xy):
        q_x, q_y = pixels_xy[0] * 2 / (tw - 1), pixels_xy[1] * 2 / (th - 1)
        x = s * a * cos * k_x * q_x - s * a * sin * k_x_ * q_y
        y = s * sin * k_y_ * q_x + s * cos * k_y * q_y
        return np.stack([x, y])

    pixels = coordinates_xy(target_hw)
    grid = source_of(pixels) + t[:, None, None]
    low, high = grid.min(axis=(1, 2)), grid.max(axis=(1, 2))
    back = np.maximum(-1 - low, 0) - np.maximum(high - 1, 0)
    relative = draws.relative_scale[index] * rotation(draws.relative_angle[index])
    grid2 = source_of(np.einsum("ij,jhw->ihw", relative, pixels))
    t2 = t + draws.relative_translation_xy[index]
    half = np.array([sw - 1, sh - 1])[:, None, None] / 2
    return (grid + back[:, None, None]) * half, (grid2 + (t2 + back)[:, None, None]) * half


@pytest.mark.parametrize("target_hw", [TARGET_HW, SOURCE_HW, (56, 60)])
def test_images_are_sampled_where_the_formulas_say(target_hw):
    count = 20
    draws = draw_geometry(STRONG, 3, 1, range(count))
    maps = geometry_maps(draws, SOURCE_HW, target_hw)
    ramp, _, *rest = ramp_pairs(count)  # shows its own coordinates; image 2 need not fit here
    image1, image2, *_ = augment([ramp, ramp, *rest], maps, target_hw)
    for index in range(count):
        wanted1, wanted2 = sampled_by_formula(draws, index, SOURCE_HW, target_hw)
        np.testing.assert_allclose(image1[index, :2], wanted1, atol=1e-3)
        inside = image2[index, 2] > 1 - 1e-5
        assert inside.mean() > 0.5
        np.testing.assert_allclose(image2[index, :2, inside], wanted2[:, inside].T, atol=1e-3)


def test_image_1_lies_within_its_source(pairs):
    """Whatever the ranges, every pixel of it shows something."""
    wild = GeometryConfig(angle=180, zoom=(0.3, 4), aspect=(0.5, 2), translation=1)
    _, maps = draw_maps(wild, DRAWS)
    image1, _, _, _ = augment(pairs, maps)
    np.testing.assert_allclose(image1[:, 2], 1, atol=1e-5)


def test_flow_is_mapped_by_the_exact_inverse():
    r, s, a = 0.25, 0.6, 1.1
    maps = geometry_maps(fixed_draws(angle=r, zoom=s, aspect=a), SOURCE_HW, TARGET_HW)
    wanted = [[np.cos(r) / (s * a), np.sin(r) / s], [-np.sin(r) / (s * a), np.cos(r) / s]]
    np.testing.assert_allclose(maps.flow_matrix[0], wanted, rtol=1e-6)


def test_sparse_flow_keeps_its_length():
    """Between known and unknown pixels the flow is that of the known ones, not less."""
    count = 5
    rng = np.random.default_rng(0)
    valid = (rng.random((count, 1, *SOURCE_HW)) < 0.5).astype(np.float32)
    flow = np.broadcast_to(np.float32([[[3]], [[-2]]]), (count, 2, *SOURCE_HW))
    config = GeometryConfig(angle=17, zoom=(0.5, 1))
    draws, maps = draw_maps(config, count)
    black = np.zeros((count, 3, *SOURCE_HW), np.float32)
    _, _, new_flow, new_valid = augment([black, black, flow, valid], maps)
    for index in range(count):
        wanted = np.linalg.inv(draws.zoom[index] * rotation(draws.angle[index])) @ [3, -2]
        partly = (new_valid[index, 0] > 0.01) & (new_valid[index, 0] < 0.99)
        assert partly.sum() > 100
        found = new_flow[index][:, partly]
        np.testing.assert_allclose(found, np.tile(wanted[:, None], partly.sum()), atol=1e-4)


def test_without_ranges_nothing_changes(pairs):
    few = [array[:3] for array in pairs]
    draws = draw_geometry(GeometryConfig(), 0, 1, range(3))
    image1, image2, flow, valid = augment(
        few, geometry_maps(draws, SOURCE_HW, SOURCE_HW), SOURCE_HW
    )
    np.testing.assert_allclose(image1, few[0], atol=1e-4)
    np.testing.assert_allclose(image2, few[1], atol=1e-3)
    np.testing.assert_allclose(valid, few[3], atol=1e-5)
    np.testing.assert_allclose(flow * few[3], few[2] * few[3], atol=1e-3)


def test_without_ranges_a_larger_image_is_cropped_at_random(pairs):
    few = [array[:8] for array in pairs]
    _, maps = draw_maps(GeometryConfig(), 8)
    results = augment(few, maps)
    moved = results[0][:, :2] - coordinates_xy(TARGET_HW)
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :, :1, :1], moved.shape), atol=1e-3)
    assert np.unique(moved[:, :, 0, 0].round(2), axis=0).shape == (8, 2)
    assert np.nanmax(errors_px(*results)) < MOST_PX


@pytest.mark.parametrize("unknown", [1000.0, np.nan, np.inf])
@pytest.mark.parametrize("known_share", [0, 0.5])
def test_black_images_and_wild_flow_give_finite_results(unknown, known_share):
    rng = np.random.default_rng(0)
    black = np.zeros((4, 3, *SOURCE_HW), np.float32)
    valid = (rng.random((4, 1, *SOURCE_HW)) < known_share).astype(np.float32)
    flow = np.where(valid > 0, 1000, unknown) * np.ones((1, 2, 1, 1))
    results = augment([black, black, flow, valid], draw_maps(STRONG, 4)[1])
    assert all(np.isfinite(result).all() for result in results)
    assert (results[3].max() > 0) == (known_share > 0)
