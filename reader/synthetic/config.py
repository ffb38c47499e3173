"""What the generated scenes look like and how they move: every number that may be set."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from maskflownet.config.checks import Where, integer, key, number, ordered


def _within(low, high, default):
    """Declare a field whose number, or both of whose numbers, lie in [low, high]."""
    first = default[0] if isinstance(default, tuple) else default
    item = integer(low, high=high) if isinstance(first, int) else number(low, high=high)
    check = ordered(item) if isinstance(default, tuple) else item
    return field(default=default, metadata=key(check))


@dataclass(frozen=True)
class SceneConfig:
    """The statistics of generated scenes. The defaults resemble FlyingChairs.

    Pairs of numbers are ranges (from, to); a range of one value, such as (0, 0), is that value.

    Attributes
    ----------
    shapes : (int, int)
        How many shapes lie before the background; both ends included, all counts equally likely.
    shape_size : (float, float)
        Radius of a shape as a share of the frame's shorter side; small ones are more common
        (log-uniform).
    finest_detail_px : float
        Pixels. Textures hold next to nothing of a shorter wavelength than this.
    background_motion_px, shape_motion_px : float
        Pixels. Median length of the background's translation, and of a shape's translation
        relative to the background behind it.
    motion_spread : float
        Standard deviation of the logarithm of these lengths: 0 gives every layer the median, 1
        gives one layer in six more than 2.7 times the median.
    background_rotation_deg, shape_rotation_deg : float
        Degrees. Standard deviation of the rotation between the images, cut off at three of them.
        A shape turns and stretches with the background first, and then by itself.
    background_stretch, shape_stretch : float
        Standard deviation of the relative change of length along two perpendicular axes, cut off
        at three of them: zoom and change of aspect in one.
    bend_share : float
        Share of layers, the background included, that also bend (non-rigid motion).
    bend : (float, float)
        Steepest slope of the bending waves: 0.1 shears a part of the layer by 0.1 px per px.
    max_motion_px : float
        Pixels. No point of any layer moves further than this: motions that would are weakened.
    blur_px : (float, float)
        Pixels. Standard deviation of a Gaussian blur, drawn for each image.
    noise : (float, float)
        Grey levels (of 255). Standard deviation of Gaussian sensor noise, drawn for each pair.
    lighting : (float, float)
        How strongly the light changes from image 1 to image 2, drawn for each pair: at 0.2 the
        gain of each channel and the gamma change by up to 20 % or so. 0 is no change.

    Raises
    ------
    InputError
        For a value of the wrong type or out of its limits.
    """

    shapes: tuple[int, int] = _within(0, 100, (4, 12))
    shape_size: tuple[float, float] = _within(0.01, 1.0, (0.05, 0.4))
    finest_detail_px: float = _within(1.0, 64.0, 2.5)
    background_motion_px: float = _within(0.0, 1000.0, 3.5)
    shape_motion_px: float = _within(0.0, 1000.0, 8.0)
    motion_spread: float = _within(0.0, 3.0, 1.2)
    background_rotation_deg: float = _within(0.0, 10.0, 0.3)
    shape_rotation_deg: float = _within(0.0, 10.0, 4.0)
    background_stretch: float = _within(0.0, 0.1, 0.006)
    shape_stretch: float = _within(0.0, 0.1, 0.04)
    bend_share: float = _within(0.0, 1.0, 0.3)
    bend: tuple[float, float] = _within(0.0, 0.5, (0.01, 0.08))
    max_motion_px: float = _within(0.0, 2000.0, 160.0)
    blur_px: tuple[float, float] = _within(0.0, 20.0, (0.0, 0.0))
    noise: tuple[float, float] = _within(0.0, 100.0, (0.0, 0.0))
    lighting: tuple[float, float] = _within(0.0, 1.0, (0.0, 0.0))

    def __post_init__(self):
        # It may come from Python as well as from a file.
        for spec in dataclasses.fields(self):
            where = Where(Path("SceneConfig"), spec.name)
            checked = spec.metadata["check"](getattr(self, spec.name), where)
            object.__setattr__(self, spec.name, checked)
