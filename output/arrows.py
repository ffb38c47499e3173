"""Flow as arrows over the image."""

import cv2
import numpy as np

from maskflownet.output.flow_color import largest_length
from maskflownet.reader.formats.common import known_flow

ARROWS_ACROSS = 24  # along the longer side, if no spacing is given
SMALLEST_SPACING = 16  # px
COLOR = (0, 255, 255)  # BGR: yellow, which few scenes are full of ...
OUTLINE = (0, 0, 0)  # ... with a dark rim, so that it shows on bright ground too
_SHIFT = 4  # OpenCV draws to 1/16 px
_TIMES = (1, 2, 5, 10, 20, 50, 100)
_STEPS_PX = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_SMALLEST_WITH_SCALE = (120, 160)  # height and width in px
_MARGIN = 12


def draw_arrows(
    image: np.ndarray, flow: np.ndarray, spacing: int | None = None, longest: float | None = None
) -> np.ndarray:
    """Draw an arrow at every `spacing`-th pixel, in the direction in which it moves.

    Arrows have the flow's true length, so that the tip is where the pixel is in image 2, unless all
    motion is so small that nothing would show: then they are 2, 5, 10, ... times as long. The scale
    in the lower left corner of all but tiny pictures says how long an arrow of so many pixels is.
    Where an arrow would be shorter than half a pixel there is a dot; where the flow is unknown (not
    finite, or beyond 1e9 as in a .flo file) there is nothing.

    Parameters
    ----------
    image : numpy.ndarray
        uint8 (H, W, 3), BGR, image 1. It is not changed.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) = (x, y) in pixels.
    spacing : int, optional
        Pixels between arrows; by default about 24 arrows go along the longer side.
    longest : float, optional
        The longest motion that there is, in pixels, so that the pictures of a sequence have one
        scale; by default that of `flow`.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR.
    """
    picture = image.copy()
    spacing = spacing or max(SMALLEST_SPACING, max(image.shape[:2]) // ARROWS_ACROSS)
    times = magnification(largest_length(flow) if longest is None else longest, spacing)
    arrows = list(_arrows(flow, spacing, times))
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
    if all(size >= least for size, least in zip(picture.shape, _SMALLEST_WITH_SCALE, strict=False)):
        _draw_scale(picture, spacing, times)
    return picture


def magnification(longest: float, spacing: int) -> int:
    """Return how many times as long as the motion arrows are drawn.

    Parameters
    ----------
    longest : float
        The longest motion in pixels.
    spacing : int
        Pixels between arrows.
    """
    fitting = [times for times in _TIMES if 0 < times * longest <= spacing * 2 / 3]
    return max(fitting, default=1)


def _arrows(flow, spacing, times):
    """Yield start and end, (x, y) in 1/16 px, and the length in pixels of every arrow."""
    height, width = flow.shape[:2]
    for y in range(min(spacing, height) // 2, height, spacing):
        for x in range(min(spacing, width) // 2, width, spacing):
            if not known_flow(flow[y, x]):
                continue
            u, v = (times * float(component) for component in flow[y, x])
            length = np.hypot(u, v)
            # Far outside of the picture nothing shows, and OpenCV's numbers would overflow.
            shortened = min(1, 2 * (height + width) / max(length, 1e-9))
            end = (x + u * shortened, y + v * shortened)
            yield _fixed(x, y), _fixed(*end), length


def _draw_scale(picture, spacing, times):
    """Draw an arrow whose motion is written beside it, in the lower left corner."""
    motion = max(step for step in _STEPS_PX if step * times <= max(spacing, _STEPS_PX[0] * times))
    length, y = round(motion * times), picture.shape[0] - _MARGIN
    end, text = _MARGIN + length, f"{motion:g} px"
    for color, thickness in ((OUTLINE, 3), (COLOR, 1)):
        cv2.arrowedLine(picture, (_MARGIN, y), (end, y), color, thickness, cv2.LINE_AA, 0, 0.3)
        origin = (end + _MARGIN // 2, y + 5)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(picture, text, origin, font, 0.45, color, thickness, cv2.LINE_AA)


def _fixed(x, y):
    return round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT))
