"""How a layer moves from image 1 to image 2: an affine map, then waves, both inverted exactly."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np


class Box(NamedTuple):
    """A rectangle of pixel positions, in pixels; `right` and `bottom` are its last positions."""

    left: float
    top: float
    right: float
    bottom: float

    def corners(self) -> np.ndarray:
        """Return its corners, float64 (4, 2), as (x, y)."""
        return np.array([[x, y] for x in (self.left, self.right) for y in (self.top, self.bottom)])

    def padded(self, px: float) -> "Box":
        """Return it grown by `px` pixels to every side."""
        return Box(self.left - px, self.top - px, self.right + px, self.bottom + px)

    @classmethod
    def around(cls, points_xy: np.ndarray) -> "Box":
        """Return the smallest box around points (N, 2), given as (x, y)."""
        return cls(*np.min(points_xy, axis=0), *np.max(points_xy, axis=0))


@dataclass(frozen=True)
class Waves:
    """Non-rigid motion as two shears by sines, one after the other, along perpendicular axes.

    A shear moves points along one axis by an amount that depends on the other axis alone. It is
    undone by taking the same amount away: the inverse is exact, without iteration, and nothing
    ever folds over.

    Attributes
    ----------
    angle : float
        Direction of the first axis, radians.
    amplitudes : (float, float)
        Of the shear along the second axis, which comes first, and along the first axis; pixels.
    wavenumbers : (float, float)
        Radians per pixel.
    phases : (float, float)
        Radians.
    """

    angle: float
    amplitudes: tuple[float, float]
    wavenumbers: tuple[float, float]
    phases: tuple[float, float]

    @property
    def reach(self) -> float:
        """The furthest that a point can be moved, in pixels."""
        return math.hypot(*self.amplitudes)

    def forward(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the points go; x and y are float32 arrays of one shape, in pixels."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        along, across = c * x + s * y, c * y - s * x
        shift_across = self._sine(0, along)
        shift_along = self._sine(1, across + shift_across)
        return x + (c * shift_along - s * shift_across), y + (s * shift_along + c * shift_across)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where the points came from; x and y are float32 arrays of one shape."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        along, across = c * x + s * y, c * y - s * x
        shift_along = self._sine(1, across)
        shift_across = self._sine(0, along - shift_along)
        return x - (c * shift_along - s * shift_across), y - (s * shift_along + c * shift_across)

    def _sine(self, which, position):
        """Return the shift by shear `which` at positions along its argument axis."""
        phase = self.wavenumbers[which] * position + self.phases[which]
        return self.amplitudes[which] * np.sin(phase)


@dataclass(frozen=True)
class Motion:
    """The motion of a layer: from positions in image 1 to positions in image 2.

    Attributes
    ----------
    linear : tuple
        ((a, b), (c, d)): x' = a x + b y + shift x, y' = c x + d y + shift y.
    shift_xy : (float, float)
        Pixels.
    waves : Waves or None
        Applied after the affine map, so on positions in image 2.
    """

    linear: tuple[tuple[float, float], tuple[float, float]]
    shift_xy: tuple[float, float]
    waves: Waves | None = None

    @classmethod
    def about(
        cls,
        centre_xy: np.ndarray,
        linear: np.ndarray,
        move_xy: np.ndarray,
        waves: Waves | None = None,
    ) -> "Motion":
        """Return the motion that moves a centre by `move_xy` and turns and stretches about it."""
        centre = np.asarray(centre_xy, dtype=np.float64)
        linear = np.asarray(linear, dtype=np.float64)
        shift = centre + move_xy - linear @ centre
        (a, b), (c, d) = linear.tolist()
        x, y = shift.tolist()
        return cls(((a, b), (c, d)), (x, y), waves)

    def forward(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where points of image 1 are in image 2.

        Parameters
        ----------
        x, y : numpy.ndarray
            float32, in pixels; they broadcast, so a row and a column make a grid.

        Returns
        -------
        tuple of numpy.ndarray
            x and y in image 2, float32.
        """
        x, y = _affine(self.linear, self.shift_xy, x, y)
        return self.waves.forward(x, y) if self.waves else (x, y)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where points of image 2 were in image 1; as `forward`, but for `x` and `y`.

        Exact but for float32 rounding.
        """
        if self.waves:
            x, y = self.waves.inverse(x, y)
        linear, shift_xy = self._inverse_affine()
        return _affine(linear, shift_xy, x, y)

    def image_of(self, box: Box) -> Box:
        """Return a Box in image 2 that holds all of `box` of image 1."""
        box = Box.around(_moved(self.linear, self.shift_xy, box.corners()))
        return box.padded(self.waves.reach) if self.waves else box

    def origin_of(self, box: Box) -> Box:
        """Return a Box in image 1 that holds everything that comes to lie in `box` of image 2."""
        if self.waves:
            box = box.padded(self.waves.reach)
        linear, shift_xy = self._inverse_affine()
        return Box.around(_moved(linear, shift_xy, box.corners()))

    def limited(self, box: Box, max_px: float) -> "Motion":
        """Return this motion weakened, as far as needed, to move no point of `box` over `max_px`.

        Displacements are scaled as a whole, so the kind of motion stays. The bound on the affine
        part is met at a corner, since the length of a displacement is a convex function.
        """
        corners = box.corners()
        lengths = np.linalg.norm(_moved(self.linear, self.shift_xy, corners) - corners, axis=1)
        furthest = lengths.max() + (self.waves.reach if self.waves else 0.0)
        if furthest <= max_px:
            return self
        scale = float(max_px / furthest)
        linear = np.eye(2) + scale * (np.asarray(self.linear) - np.eye(2))
        waves = None
        if self.waves:
            first, second = self.waves.amplitudes
            waves = replace(self.waves, amplitudes=(scale * first, scale * second))
        (a, b), (c, d) = linear.tolist()
        x, y = self.shift_xy
        return Motion(((a, b), (c, d)), (scale * x, scale * y), waves)

    def _inverse_affine(self):
        """Return the linear part and the shift of the inverse of the affine part."""
        (a, b), (c, d) = self.linear
        x, y = self.shift_xy
        det = a * d - b * c
        a, b, c, d = d / det, -b / det, -c / det, a / det
        return ((a, b), (c, d)), (-a * x - b * y, -c * x - d * y)


def grid(rows: slice, cols: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel positions of a rectangle as a row of x and a column of y.

    Parameters
    ----------
    rows, cols : slice
        With start and stop, in pixels.

    Returns
    -------
    tuple of numpy.ndarray
        x float32 (1, W) and y float32 (H, 1).
    """
    x = np.arange(cols.start, cols.stop, dtype=np.float32)
    y = np.arange(rows.start, rows.stop, dtype=np.float32)
    return x[None, :], y[:, None]


def random_move(rng: np.random.Generator, median_px: float, spread: float) -> np.ndarray:
    """Return a translation (x, y) in pixels: any direction, log-normal length.

    Parameters
    ----------
    rng : numpy.random.Generator
    median_px, spread : float
        Median of the length in pixels and standard deviation of its logarithm.

    Returns
    -------
    numpy.ndarray
        float64 (2,).
    """
    length = median_px * math.exp(spread * rng.standard_normal())
    angle = rng.uniform(0, 2 * math.pi)
    return length * np.array([math.cos(angle), math.sin(angle)])


def random_linear(rng: np.random.Generator, rotation_deg: float, stretch: float) -> np.ndarray:
    """Return a random rotation times a random stretch along two perpendicular axes.

    Parameters
    ----------
    rng : numpy.random.Generator
    rotation_deg, stretch : float
        Standard deviations of the rotation and of the relative change of length. Both are cut off
        at three of them: half a turn could not be weakened (`Motion.limited`) and stay invertible.

    Returns
    -------
    numpy.ndarray
        float64 (2, 2), positive determinant.
    """
    turn, first, second = (min(max(draw, -3.0), 3.0) for draw in rng.standard_normal(3))
    axes = _rotation(rng.uniform(0, math.pi))
    lengths = np.diag([math.exp(stretch * first), math.exp(stretch * second)])
    return _rotation(math.radians(rotation_deg * turn)) @ axes @ lengths @ axes.T


def random_waves(
    rng: np.random.Generator, slope_range: tuple[float, float], extent_px: float
) -> Waves:
    """Return bending waves whose lengths are about the size of the layer that they bend.

    Parameters
    ----------
    rng : numpy.random.Generator
    slope_range : (float, float)
        Range of the steepest slope of each wave.
    extent_px : float
        Size of the layer in pixels.

    Returns
    -------
    Waves
    """
    wavenumbers = 2 * math.pi / (extent_px * rng.uniform(0.5, 1.5, size=2))
    amplitudes = rng.uniform(*slope_range, size=2) / wavenumbers
    phases = rng.uniform(0, 2 * math.pi, size=2)
    angle = rng.uniform(0, 2 * math.pi)
    return Waves(angle, *(tuple(pair.tolist()) for pair in (amplitudes, wavenumbers, phases)))


def _affine(linear, shift_xy, x, y):
    """Apply an affine map; the order of the sums lets a row and a column make a grid cheaply."""
    (a, b), (c, d) = linear
    return (a * x + shift_xy[0]) + b * y, c * x + (d * y + shift_xy[1])


def _moved(linear, shift_xy, points_xy):
    """Apply an affine map to points (N, 2)."""
    return points_xy @ np.asarray(linear).T + np.asarray(shift_xy)


def _rotation(angle):
    """Return the matrix (2, 2) of a rotation by `angle` radians."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])
