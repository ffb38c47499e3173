"""How wrong a flow is, as a picture."""

import numpy as np

from maskflownet import metrics

# KITTI's error colours, from its 2015 development kit (log_colormap.h, used by errorImage in
# io_flow.h; https://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=flow): up to these
# multiples of what still counts as right, these colours (RGB). Blue is right, red is wrong.
_UP_TO = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16)
_FIRST_RED = _UP_TO.index(1) + 1
_COLORS_RGB = (
    (49, 54, 149),
    (69, 117, 180),
    (116, 173, 209),
    (171, 217, 233),
    (224, 243, 248),
    (254, 224, 144),
    (253, 174, 97),
    (244, 109, 67),
    (215, 48, 39),
    (165, 0, 38),
)


def error_map(flow: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Paint the error of a flow in KITTI's colours.

    The scale is logarithmic, in steps of two: an error of 3 px or 5 % of the true length, whichever
    is more, is where blue ends and red begins, as in KITTI's Fl.

    Parameters
    ----------
    flow, truth : numpy.ndarray
        float (H, W, 2), (u, v) = (x, y) in pixels.
    valid : numpy.ndarray
        bool (H, W), where the truth is known.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR; black where the truth is not known.
    """
    squared = metrics.squared_error(flow, truth)
    share = metrics.squared_length(truth) / metrics.OUTLIER_PARTS**2
    allowed = np.maximum(metrics.OUTLIER_PX**2, share)
    step = np.searchsorted(_UP_TO, np.sqrt(squared / allowed))
    # No rounding may paint an outlier blue, nor what is none red.
    outlier = metrics.is_outlier(squared, truth)
    step = np.where(outlier, np.maximum(step, _FIRST_RED), np.minimum(step, _FIRST_RED - 1))
    colors = np.array(_COLORS_RGB, np.uint8)[:, ::-1]
    return np.where(valid[..., None], colors[step], np.uint8(0))
