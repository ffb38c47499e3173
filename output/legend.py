"""The key to the colours of flow."""

import cv2
import numpy as np

from maskflownet.output.flow_color import flow_to_color

RADIUS = 100  # px
_MARGIN = 12
_CAPTION = 28
_GREY = (96, 96, 96)


def color_legend(max_flow: float | None) -> np.ndarray:
    """Draw the colour wheel with its scale.

    Each colour stands in the direction of the motion that it means, as seen from the centre; at
    the rim the motion is as long as the caption says.

    Parameters
    ----------
    max_flow : float
        The length in pixels at which colours are full, as given to `flow_to_color`.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR.
    """
    reach = RADIUS + _MARGIN
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    disc = np.hypot(x, y) <= RADIUS
    wheel = flow_to_color(np.dstack([x, y]), max_flow=RADIUS)
    wheel[~disc] = 255
    picture = cv2.copyMakeBorder(wheel, 0, _CAPTION, 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3)
    cv2.circle(picture, (reach, reach), RADIUS, _GREY, 1, cv2.LINE_AA)
    _write_centred(picture, f"rim: {max_flow:.3g} px", reach, 2 * reach + _CAPTION // 2)
    return picture


def _write_centred(picture, text, x, y):
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.6
    (width, height), _ = cv2.getTextSize(text, font, size, 1)
    origin = (x - width // 2, y + height // 2)
    cv2.putText(picture, text, origin, font, size, (0, 0, 0), 1, cv2.LINE_AA)
