"""What the generated scenes look like and how they move: every number that may be set."""

import dataclasses
import math
from dataclasses import dataclass, field

from maskflownet.config.errors import InputError


def _within(low, high, default):
    """Declare a field whose number, or both of whose numbers, lie in [low, high]."""
    return field(default=default, metadata={"low": low, "high": high})


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
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            check = _checked_range if isinstance(spec.default, tuple) else _checked_number
            # YAML gives lists and whole numbers: kept as tuples and floats, equal and hashable.
            object.__setattr__(self, spec.name, check(spec, value))


def _checked_number(spec, value):
    """Return `value` as the type of the field's default, or say what is wrong with it."""
    low, high = spec.metadata["low"], spec.metadata["high"]
    if not _is_number_within(value, low, high):
        raise InputError(
            f"{spec.name}: expected a number from {low:g} to {high:g}, got {value!r}; "
            f"the default is {spec.default}"
        )
    return type(spec.default)(value)


def _checked_range(spec, value):
    """Return `value` as a tuple (from, to), or say what is wrong with it."""
    low, high = spec.metadata["low"], spec.metadata["high"]
    kind = type(spec.default[0])
    if not (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(_is_number_within(end, low, high) and kind(end) == end for end in value)
        and value[0] <= value[1]
    ):
        noun = "whole numbers" if kind is int else "numbers"
        raise InputError(
            f"{spec.name}: expected two {noun} [from, to] with {low:g} <= from <= to <= {high:g}, "
            f"got {value!r}; the default is {list(spec.default)}"
        )
    return (kind(value[0]), kind(value[1]))


def _is_number_within(value, low, high):
    """Tell whether `value` is a real number (no bool, no NaN) in [low, high]."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and low <= value <= high
