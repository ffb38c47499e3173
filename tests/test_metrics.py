"""Metrics on cases that can be worked out by hand."""

import numpy as np
import pytest

import metrics


def field(*vectors):
    return np.array([vectors], np.float32)  # (1, n, 2)


def everywhere(flow):
    return np.ones(flow.shape[:2], bool)


def test_endpoint_error_is_the_euclidean_distance():
    error = metrics.endpoint_error(field((3, 4), (0, 0)), field((0, 0), (0, 2)))
    np.testing.assert_allclose(error, [[5, 2]], atol=1e-6)


def test_an_outlier_is_over_3_px_and_over_5_percent():
    truth = field((0, 0), (0, 0), (100, 0), (100, 0))
    flow = field((2.9, 0), (3.1, 0), (104.9, 0), (105.1, 0))
    error = metrics.endpoint_error(flow, truth)
    assert metrics.is_outlier(error, truth).tolist() == [[False, True, False, True]]
    assert metrics.score_image(flow, truth, everywhere(flow)).fl == 0.5


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
