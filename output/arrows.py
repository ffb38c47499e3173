"""Flow as arrows over the image."""

import cv2
import numpy as np

from maskflownet.reader.formats.common import known_flow

ARROWS_ACROSS = 24  # along the longer side, if no spacing is given
SMALLEST_SPACING = 16  # px
COLOR = (0, 255, 255)  # BGR: yellow, which few scenes are full of ...
OUTLINE = (0, 0, 0)  # ... with a dark rim, so that it shows on bright ground too
_SHIFT = 4  # OpenCV draws to 1/16 px


def draw_arrows(image, flow, spacing=None):
    """Draw an arrow at every `spacing`-th pixel, from the pixel to where it moves.

    Arrows have the flow's true length: the tip is where the pixel is in image 2. Where the flow is
    shorter than half a pixel there is a dot, where it is unknown (not finite, or beyond 1e9 as in
    a .flo file) there is nothing.

    Parameters
    ----------
    image : numpy.ndarray
        uint8 (H, W, 3), BGR, image 1. It is not changed.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) = (x, y) in pixels.
    spacing : int, optional
        Pixels between arrows; by default about 24 arrows go along the longer side.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR.
    """
    picture = image.copy()
    spacing = spacing or max(SMALLEST_SPACING, max(image.shape[:2]) // ARROWS_ACROSS)
    arrows = list(_arrows(flow, spacing))
    for color, thickness in ((OUTLINE, 3), (COLOR, 1)):
        for start_xy, end_xy, length in arrows:
            if length < 0.5:
                radius = 1 << _SHIFT if color is COLOR else 2 << _SHIFT
                cv2.circle(picture, start_xy, radius, color, cv2.FILLED, cv2.LINE_AA, _SHIFT)
            else:
                head = min(0.4, spacing / 4 / length)
                cv2.arrowedLine(
                    picture, start_xy, end_xy, color, thickness, cv2.LINE_AA, _SHIFT, head
                )
    return picture


def _arrows(flow, spacing):
    """Yield start and end, (x, y) in 1/16 px, and the length in pixels of every arrow."""
    height, width = flow.shape[:2]
    for y in range(min(spacing, height) // 2, height, spacing):
        for x in range(min(spacing, width) // 2, width, spacing):
            if not known_flow(flow[y, x]):
                continue
            u, v = (float(component) for component in flow[y, x])
            length = np.hypot(u, v)
            # Far outside of the picture nothing shows, and OpenCV's numbers would overflow.
            shortened = min(1, 2 * (height + width) / max(length, 1e-9))
            end = (x + u * shortened, y + v * shortened)
            yield _fixed(x, y), _fixed(*end), length


def _fixed(x, y):
    return round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT))
