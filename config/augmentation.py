"""The config of how training pairs are changed at random: geometry and colour, in two ways each."""

from dataclasses import dataclass, field

from maskflownet.config.checks import key, number, value_range


@dataclass(frozen=True)
class GeometryConfig:
    """Ranges of the geometric augmentation, each drawn uniformly; the defaults change nothing.

    Attributes
    ----------
    angle : float
        Rotation by up to this many degrees either way.
    zoom, aspect : tuple of float
        (lowest, highest); a zoom below 1 makes things larger.
    translation : float
        Up to this share of the image either way.
    relative_angle, relative_translation : float
        The same for image 2 against image 1, as a share of the ranges above.
    relative_scale : tuple of float
        (lowest, highest) scale of image 2 against image 1.
    """

    angle: float = field(default=0.0, metadata=key(number(low=0, high=360)))
    zoom: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(above=0, high=100))
    )
    aspect: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(above=0, high=100))
    )
    translation: float = field(default=0.0, metadata=key(number(low=0, high=100)))
    relative_angle: float = field(default=0.0, metadata=key(number(low=0, high=100)))
    relative_scale: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(above=0, high=100))
    )
    relative_translation: float = field(default=0.0, metadata=key(number(low=0, high=100)))


@dataclass(frozen=True)
class ColorConfig:
    """Ranges of the colour augmentation; the defaults change nothing.

    Attributes
    ----------
    contrast : tuple of float
        (lowest, highest); 0 leaves the contrast as it is.
    brightness : float
        Standard deviation of the brightness added.
    channel : tuple of float
        (lowest, highest) factor per channel.
    saturation, hue : float
        Up to this much either way; a hue of 1 is half a turn.
    noise : tuple of float
        (lowest, highest) standard deviation of the noise, for images in [0, 1].
    gamma : tuple of float
        (lowest, highest) logarithm of the exponent.
    """

    contrast: tuple[float, float] = field(
        default=(0.0, 0.0), metadata=key(value_range(low=-1, high=100))
    )
    brightness: float = field(default=0.0, metadata=key(number(low=0, high=100)))
    channel: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(low=0, high=100))
    )
    saturation: float = field(default=0.0, metadata=key(number(low=0, high=100)))
    hue: float = field(default=0.0, metadata=key(number(low=0, high=100)))
    noise: tuple[float, float] = field(
        default=(0.0, 0.0), metadata=key(value_range(low=0, high=100))
    )
    gamma: tuple[float, float] = field(
        default=(0.0, 0.0), metadata=key(value_range(low=-100, high=100))
    )


@dataclass(frozen=True)
class AffineConfig:
    """Ranges of MMFlow's geometric augmentation, each drawn uniformly; the defaults change nothing.

    Angles and stretching are in a frame whose sides are of length 1. A draw that would leave a part
    of the frame empty is drawn again. A crop of `target_shape` follows, anywhere in the frame.

    Attributes
    ----------
    horizontal_flip, vertical_flip : float
        How likely each is, 0 to 1.
    angle : float
        Rotation by up to this many degrees either way.
    zoom : tuple of float
        (lowest, highest); a zoom above 1 makes things larger.
    squeeze : tuple of float
        (lowest, highest): x grows by this factor and y shrinks by it.
    translation : float
        Up to this share of the image either way.
    relative_angle, relative_zoom, relative_translation
        The same for image 2 against image 1.
    """

    horizontal_flip: float = field(default=0.0, metadata=key(number(low=0, high=1)))
    vertical_flip: float = field(default=0.0, metadata=key(number(low=0, high=1)))
    angle: float = field(default=0.0, metadata=key(number(low=0, high=360)))
    zoom: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(above=0, high=100))
    )
    squeeze: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(above=0, high=100))
    )
    translation: float = field(default=0.0, metadata=key(number(low=0, high=100)))
    relative_angle: float = field(default=0.0, metadata=key(number(low=0, high=360)))
    relative_zoom: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(above=0, high=100))
    )
    relative_translation: float = field(default=0.0, metadata=key(number(low=0, high=100)))


@dataclass(frozen=True)
class JitterConfig:
    """Ranges of MMFlow's colour augmentation; the defaults change nothing.

    Attributes
    ----------
    brightness, contrast, saturation : tuple of float
        (lowest, highest) factor; at 0 the images are black, of one grey, or grey.
    hue : float
        Up to this much either way; 1 is a whole turn.
    gamma : tuple of float
        (lowest, highest) exponent.
    noise : tuple of float
        (lowest, highest) standard deviation of the noise, for images in [0, 1].
    """

    brightness: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(low=0, high=100))
    )
    contrast: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(low=0, high=100))
    )
    saturation: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(low=0, high=100))
    )
    hue: float = field(default=0.0, metadata=key(number(low=0, high=100)))
    gamma: tuple[float, float] = field(
        default=(1.0, 1.0), metadata=key(value_range(above=0, high=100))
    )
    noise: tuple[float, float] = field(
        default=(0.0, 0.0), metadata=key(value_range(low=0, high=100))
    )
