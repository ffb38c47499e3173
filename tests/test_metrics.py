"""Metrics on cases that can be worked out by hand."""

import numpy as np
import pytest

from maskflownet import metrics


def field(*vectors):
    return np.array([vectors], np.float32)  # (1, n, 2)


def everywhere(flow):
    return np.ones(flow.shape[:2], bool)


def score(flow, truth):
    return metrics.score_image(flow, truth, everywhere(flow))


def test_the_error_is_the_euclidean_distance():
    squared = metrics.squared_error(field((3, 4), (0, 0)), field((0, 0), (0, 2)))
    assert squared.tolist() == [[25, 4]]


def test_an_outlier_is_over_3_px_and_over_5_percent():
    truth = field((0, 0), (0, 0), (100, 0), (100, 0))
    flow = field((2.9, 0), (3.1, 0), (104.9, 0), (105.1, 0))
    outlier = metrics.is_outlier(metrics.squared_error(flow, truth), truth)
    assert outlier.tolist() == [[False, True, False, True]]
    assert score(flow, truth).fl == 0.5


@pytest.mark.parametrize("limit", [1, 3, 5])
def test_an_error_of_exactly_a_limit_is_not_over_it(limit):
    truth = field((0, 0), (0, 0), (7.5, -2))
    exact = field((limit, 0), (0, -limit), (7.5, limit - 2))
    assert getattr(score(exact, truth), f"over_{limit}px") == 0
    beyond = np.nextafter(exact, np.float32(9) * np.sign(exact - truth), dtype=np.float32)
    assert getattr(score(beyond, truth), f"over_{limit}px") == 1


@pytest.mark.parametrize("length", [60, 100, 7777 / 64, 511.984375])
def test_an_error_of_exactly_3_px_or_5_percent_is_no_outlier(length):
    truth = field((0, 0), (length, 0), (0, length))
    exact = field((0, 3), (length + length / 20, 0), (0, length - length / 20))
    if length * 64 % 20:  # a 20th has no exact float32: a step of 1/64 px below and above it
        steps = length * 64 // 20 / 64
        exact = field((0, 3), (length + steps, 0), (0, length - steps))
    assert score(exact, truth).outliers == 0
    step = np.float32([[(0, 1 / 64), (1 / 64, 0), (0, -1 / 64)]])
    assert score(exact + step, truth).outliers == 3


BELOW_40 = np.nextafter(np.float32(40), np.float32(0))


def test_speeds_of_exactly_10_and_40_px_belong_to_the_faster_class():
    truth = field((6, 8), (24, 32), (-40, 0), (BELOW_40, 0))
    scores = metrics.score_regions(truth, truth, everywhere(truth))
    assert [scores[name].pixels for name in metrics.SPEEDS] == [0, 2, 2]


def test_no_error_is_1e_minus_4_px_as_the_original_counts_it():
    truth = field((3, 1))
    assert score(truth, truth).epe == pytest.approx(1e-4, rel=1e-9)


def test_only_valid_pixels_count():
    flow, truth = field((1, 0), (9, 0)), field((0, 0), (0, 0))
    assert metrics.score_image(flow, truth, np.array([[True, False]])).epe == pytest.approx(1)
    assert np.isnan(metrics.score_image(flow, truth, np.array([[False, False]])).epe)


def test_a_network_that_yields_nan_is_not_left_out():
    truth = field((0, 0))
    scores = [
        metrics.score_image(flow, truth, everywhere(truth)) for flow in (truth, truth * np.nan)
    ]
    assert metrics.summarize(scores)["images"] == 2
    assert np.isnan(metrics.summarize(scores)["epe"])


def test_a_set_is_the_mean_of_its_images_and_pooled_fl_is_not():
    truth = np.zeros((2, 10, 2), np.float32)
    bad = truth + np.float32([6, 8])  # 10 px off
    few = np.zeros((2, 10), bool)
    few[0, 0] = True
    scores = [
        metrics.score_image(truth, truth, everywhere(truth)),  # 20 pixels, all right
        metrics.score_image(bad, truth, few),  # 1 pixel, wrong
        metrics.score_image(bad, truth, np.zeros((2, 10), bool)),  # none: left out
    ]
    figures = metrics.summarize(scores)
    assert figures["images"] == 2
    assert figures["epe"] == pytest.approx(5, abs=1e-3)
    assert figures["fl"] == figures["over_1px"] == figures["over_5px"] == 0.5
    assert figures["fl_pooled"] == pytest.approx(1 / 21)


def test_shares_are_of_errors_over_1_3_and_5_px():
    truth = field((0, 0), (0, 0), (0, 0), (0, 0))
    score = metrics.score_image(field((0.5, 0), (2, 0), (4, 0), (6, 0)), truth, everywhere(truth))
    assert (score.over_1px, score.over_3px, score.over_5px) == (0.75, 0.5, 0.25)


def test_an_empty_set_has_no_score():
    figures = metrics.summarize([])
    assert figures["images"] == 0
    assert np.isnan(figures["epe"]) and np.isnan(figures["fl_pooled"])


def test_parts_by_speed_and_visibility():
    # Lengths 0, 9, 10, 40; the errors are 1, 2, 3, 4 px.
    truth = field((0, 0), (9, 0), (6, 8), (40, 0), (100, 0))
    flow = truth + np.float32([[[0, 1], [0, 2], [0, 3], [0, 4], [0, 500]]])
    valid = np.array([[True, True, True, True, False]])
    occluded = np.array([[True, False, False, True, True]])
    scores = metrics.score_regions(flow, truth, valid, occluded)
    means = {name: (score.pixels, round(score.epe, 3)) for name, score in scores.items()}
    assert means == {
        "all": (4, 2.5),
        "s0-10": (2, 1.5),
        "s10-40": (1, 3),
        "s40+": (1, 4),
        "matched": (2, 2.5),
        "unmatched": (2, 2.5),
    }
    assert scores["all"] == metrics.score_image(flow, truth, valid)
    assert scores["matched"].over_1px == 1 and scores["s40+"].fl == 1
    assert set(metrics.score_regions(flow, truth, valid)) == {"all", "s0-10", "s10-40", "s40+"}


def test_parts_of_a_set_pooled_and_as_means_of_images():
    slow, fast = field((1, 0), (1, 0), (1, 0)), field((50, 0), (1, 0), (1, 0))
    valid = everywhere(slow)
    seen = np.zeros((1, 3), bool)
    scores = [
        metrics.score_regions(slow + 3, slow, valid, occluded=seen),  # 3 pixels, 3 sqrt(2) px off
        metrics.score_regions(fast, fast, valid),  # 1 fast and 2 slow, right; occlusion not known
    ]
    figures = metrics.summarize_regions(scores)
    wrong = 3 * np.sqrt(2)
    assert (figures["images"], figures["pixels"]) == (2, 6)
    assert figures["epe"] == pytest.approx(wrong / 2, abs=1e-3)
    regions = figures["regions"]
    assert regions["s0-10"]["epe"] == pytest.approx(wrong / 2, abs=1e-3)
    assert regions["s0-10"]["epe_pooled"] == pytest.approx(wrong * 3 / 5, abs=1e-3)
    assert regions["s0-10"]["fl_pooled"] == 3 / 5
    # Images without such pixels, or whose occlusion is not known, contribute nothing.
    assert (regions["s40+"]["images"], regions["s40+"]["pixels"]) == (1, 1)
    assert regions["s40+"]["epe"] == pytest.approx(0, abs=1e-3)
    assert regions["matched"]["images"] == 1
    assert regions["matched"]["epe_pooled"] == pytest.approx(wrong, abs=1e-3)
    assert (regions["unmatched"]["images"], regions["unmatched"]["pixels"]) == (0, 0)
    assert np.isnan(regions["unmatched"]["epe"]) and np.isnan(regions["unmatched"]["epe_pooled"])


def test_the_parts_pooled_make_up_the_whole():
    rng = np.random.default_rng(0)
    scores = []
    for height in (3, 5):
        truth, flow = rng.normal(0, 25, (2, height, 7, 2)).astype(np.float32)
        valid, occluded = rng.random((2, height, 7)) < 0.5
        scores.append(metrics.score_regions(flow, truth, valid, occluded))
    figures = metrics.summarize_regions(scores)
    for names in (metrics.SPEEDS, (metrics.MATCHED, metrics.UNMATCHED)):
        parts = [figures["regions"][name] for name in names]
        assert sum(part["pixels"] for part in parts) == figures["pixels"]
        total = sum(part["pixels"] * part["epe_pooled"] for part in parts)
        assert total / figures["pixels"] == pytest.approx(figures["epe_pooled"])
    assert figures["epe_pooled"] != pytest.approx(figures["epe"])


def ranked(mask, occluded):
    """Return average precision and best F1 of 1 - mask, threshold by threshold."""
    precision_sum, best_f1, before = 0.0, 0.0, 0
    for threshold in np.unique(mask):
        called = mask <= threshold
        hits = np.sum(called & occluded)
        precision_sum += hits / called.sum() * (hits - before)
        best_f1 = max(best_f1, 2 * hits / (called.sum() + occluded.sum()))
        before = hits
    return precision_sum / occluded.sum(), best_f1


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_the_masks_figures_equal_a_sort_of_all_pixels(share):
    rng = np.random.default_rng(0)
    occluded = rng.random((3, 40, 50)) < share
    # Values in the middle of bins: there the histogram loses nothing.
    coarse = np.clip(rng.normal(0.6 - 0.2 * occluded, 0.15), 0, 0.999)
    mask = ((np.floor(coarse * metrics.MASK_BINS) + 0.5) / metrics.MASK_BINS).astype(np.float32)
    valid = rng.random(occluded.shape) < 0.8
    images = zip(mask, occluded, valid, strict=True)
    figures = metrics.summarize_mask(sum(metrics.mask_histogram(*image) for image in images))
    average_precision, best_f1 = ranked(mask[valid], occluded[valid])
    assert figures["average_precision"] == pytest.approx(average_precision)
    assert figures["best_f1"] == pytest.approx(best_f1)
    assert figures["occluded_share"] == pytest.approx(occluded[valid].mean())
    assert figures["pixels"] == valid.sum()
    # Other values are rounded to a bin, which moves the figures little.
    exact, _ = ranked(coarse[valid], occluded[valid])
    assert figures["average_precision"] == pytest.approx(exact, abs=0.005)


def mask_figures(mask, occluded):
    mask, occluded = np.array([mask], np.float32), np.array([occluded], bool)
    return metrics.summarize_mask(metrics.mask_histogram(mask, occluded, np.ones((1, 4), bool)))


def test_a_value_may_stand_on_more_pixels_than_16_bits_count():
    mask, everywhere = np.ones((300, 300), np.float32), np.ones((300, 300), bool)
    counts = metrics.mask_histogram(mask, ~everywhere, everywhere)
    assert (counts[0, -1], counts.sum()) == (90_000, 90_000)


def test_a_set_may_have_more_pixels_than_32_bits_count():
    histogram = np.zeros((2, metrics.MASK_BINS), np.int64)
    histogram[:, [0, -1]] = [[10**9, 8 * 10**9], [2 * 10**9, 10**9]]
    figures = metrics.summarize_mask(histogram)
    assert figures["pixels"] == 12 * 10**9
    assert figures["average_precision"] == pytest.approx(2 / 3 * 2 / 3 + 1 / 3 * 1 / 4)
    assert figures["best_f1"] == pytest.approx(2 * 2 / (3 + 3))


def test_masks_that_know_all_nothing_and_the_opposite():
    occluded = [1, 0, 0, 0]
    assert mask_figures([0, 1, 1, 1], occluded)["average_precision"] == 1
    assert mask_figures([0, 1, 1, 1], occluded)["best_f1"] == 1
    same = mask_figures([0.5] * 4, occluded)
    assert same["average_precision"] == same["occluded_share"] == 1 / 4
    assert same["best_f1"] == 2 * 0.25 / (1 + 0.25)
    wrong = mask_figures([1, 0, 0, 0], occluded)
    assert wrong["average_precision"] == 1 / 4
    assert mask_figures([np.nan] * 4, occluded) == wrong


def test_a_mask_where_nothing_is_occluded_or_nothing_is_known():
    figures = mask_figures([0.1, 0.2, 0.3, 0.4], [0] * 4)
    assert np.isnan(figures["average_precision"]) and np.isnan(figures["best_f1"])
    assert (figures["occluded_share"], figures["pixels"]) == (0, 4)
    empty = metrics.summarize_mask(np.zeros((2, metrics.MASK_BINS), np.int64))
    assert empty["pixels"] == 0 and np.isnan(empty["occluded_share"])
