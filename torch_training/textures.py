"""Banks of textures and shapes that generated scenes are made of."""

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from maskflownet.config.errors import InputError
from maskflownet.torch_training.random_numbers import Random

logger = logging.getLogger(__name__)

EDGE = 1.25  # a shape's distance field covers [-EDGE, EDGE]^2; the shape lies within radius 1
FIELD_SIZE = 128  # pixels of a distance field
AT_ONCE = 16  # textures that are made together
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm", ".webp"}


def make_textures(random: Random, count: int, size: int) -> Tensor:
    """Return textures (count, 3, size, size) with values in 0..1."""
    parts = [min(AT_ONCE, count - done) for done in range(0, count, AT_ONCE)]
    return torch.cat([_textures(random, part, size) for part in parts])


def make_shapes(random: Random, count: int) -> Tensor:
    """Return signed distance fields (count, 1, FIELD_SIZE, FIELD_SIZE), negative inside."""
    parts = [min(4 * AT_ONCE, count - done) for done in range(0, count, 4 * AT_ONCE)]
    return torch.cat([_shapes(random, part) for part in parts])


def read_photographs(folder: Path, size: int, most: int) -> Iterator[Tensor]:
    """Yield the pictures of a folder and of those in it, (1, 3, size, size), values in 0..1, BGR.

    Of each, what lies in the middle; its shorter side becomes `size`. Files that are no pictures
    are passed over.

    Raises
    ------
    InputError
        There is no picture.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    images = ((path, cv2.imread(str(path))) for path in found[:most])
    count = 0
    for path, image in images:
        if image is None:
            logger.warning("%s: no picture that can be read; passed over", path)
            continue
        height, width = image.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = image[top : top + side, left : left + side]
        shrinks = side > size
        square = cv2.resize(
            square, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        )
        count += 1
        yield torch.tensor(square / 255.0, dtype=torch.float32).permute(2, 0, 1)[None]
    if not count:
        raise InputError(f"{folder}: expected pictures in it (.jpg, .png, ...) and found none")


# Textures.


def _noise(random, count, channels, size):
    """Return noise of several octaves with a random spectrum, in 0..1."""
    slope = random.uniform(count, 1, 1, 1, low=0.35, high=1.1)
    loudest = random.uniform(count, 1, 1, 1, high=4.0)
    total, cells = torch.zeros(count, channels, size, size, device=random.device), 3
    for octave in range(8):
        if cells > size:
            break
        grid = random.normal(count, channels, cells, cells)
        layer = F.interpolate(grid, size=(size, size), mode="bicubic")
        total = total + layer * slope ** (octave - loudest).abs()
        cells *= 2
    spread = total.std((2, 3), keepdim=True).clamp(min=1e-3)
    return (total / spread * 0.22 + 0.5).clamp(0, 1)


def _cells(random, count, size):
    """Return Voronoi cells: a value per cell, and the distance to the cell's centre."""
    axis = torch.linspace(0, 1, size, device=random.device)
    nearest = torch.full((count, 1, size, size), 9.0, device=random.device)
    value = torch.zeros_like(nearest)
    centres = int(2 ** random.uniform(1, low=3, high=8).item())
    for _ in range(centres):
        centre, own = random.uniform(count, 2, 1, 1), random.uniform(count, 1, 1, 1)
        distance = (axis[:, None] - centre[:, :1]).square() + (axis - centre[:, 1:]).square()
        value = torch.where(distance < nearest, own, value)
        nearest = torch.minimum(nearest, distance)
    return value, (nearest * centres).sqrt().clamp(max=1)


def _wave(random, count, places):
    """Return a wave over places, from a sine to one with hard edges, in 0..1."""
    one = (count, 1, 1, 1)
    frequency = torch.exp(random.uniform(*one, low=1.5, high=4.6))
    wave = torch.sin(places * frequency + random.angle(*one))
    return (wave * torch.exp(random.uniform(*one, high=3))).clamp(-1, 1) * 0.5 + 0.5


def _coloured(random, count, fields):
    """Return one of the fields (kinds, count, 1, H, W) for each, in three colours of its own."""
    field = fields[random.index(count, len(fields)), torch.arange(count, device=random.device)]
    colours = random.uniform(3, count, 3, 1, 1)
    grey = colours.mean(2, keepdim=True)
    colours = grey + (colours - grey) * random.uniform(count, 1, 1, 1)  # from grey to gaudy
    contrast = random.uniform(1, count, 1, 1, 1) ** 0.5  # some have little
    low, middle, high = colours[0] + (colours - colours[0]) * contrast
    return torch.where(
        field < 0.5,
        low + (middle - low) * 2 * field,
        middle + (high - middle) * (2 * field - 1),
    )


def _textures(random, count, size):
    one = (count, 1, 1, 1)
    axis = torch.linspace(-1, 1, size, device=random.device)
    angle = random.angle(*one)
    bend = (_noise(random, count, 1, size) - 0.5) * random.uniform(*one, high=0.8) ** 2
    along = axis * angle.cos() + axis[:, None] * angle.sin() + bend
    across = axis[:, None] * angle.cos() - axis * angle.sin() + bend
    first, second = _wave(random, count, along), _wave(random, count, across)
    value, distance = _cells(random, count, size)
    blobs = (_noise(random, count, 1, size) - 0.5).mul(8).add(0.5)
    fields = [_noise(random, count, 1, size), first, (first - second).abs(), value, distance]
    fields += [(along + 1.4) / 2.8, first * second, blobs]
    kinds = torch.stack(fields).clamp(0, 1)
    sharpness = torch.exp(random.uniform(*one, high=3))
    mask = (_noise(random, count, 1, size) - 0.5).mul(sharpness).add(0.5).clamp(0, 1)
    mask = mask * ~random.chance(0.4, *one)
    out = _coloured(random, count, kinds) * (1 - mask) + _coloured(random, count, kinds) * mask
    grain = (_noise(random, count, 3, size) - 0.5) * random.uniform(*one) ** 2 * 1.2
    grain = torch.where(random.chance(0.5, *one), grain, grain.mean(1, keepdim=True))
    return (out + grain).clamp(0, 1)


# Shapes.


def _kinds(random, count):
    """Return distance-like fields (count, H, W), each of one of nine kinds."""
    axis = torch.linspace(-EDGE, EDGE, FIELD_SIZE, device=random.device)
    one = (count, 1, 1)
    turn, centre = random.angle(*one), random.uniform(count, 2, 1, 1, low=-0.2, high=0.2)
    x, y = axis[None, None, :] - centre[:, 0], axis[None, :, None] - centre[:, 1]
    x, y = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    radius, angle = (x * x + y * y).sqrt(), torch.atan2(y, x)
    ratio = torch.exp(random.uniform(*one, low=-1.6, high=0))
    thin = torch.exp(random.uniform(*one, low=-3.6, high=-1))

    ellipse = ((x * x + (y / ratio) ** 2).sqrt() - 0.8) * ratio
    sides, offsets = random.angle(7, *one), random.uniform(7, *one, low=0.35, high=0.75)
    polygon = (x * sides.cos() + y * sides.sin() - offsets).amax(0)
    lobes = [
        0.3 / k * random.normal(*one).clamp(-1, 1) * torch.cos(k * angle + sides[k - 2])
        for k in range(2, 7)
    ]
    blob = radius - 0.5 - sum(lobes)
    points = torch.round(random.uniform(*one, low=2.5, high=8.5))
    star = radius - 0.55 - random.uniform(*one, high=0.25) * torch.sin(angle * points)
    box = torch.maximum(x.abs() - 0.78, y.abs() - ratio * 0.6)
    bar = torch.maximum(x.abs() - 0.78, y.abs() - thin)
    ring = (radius - 0.6).abs() - thin.clamp(max=0.2)
    arc = torch.maximum(ring, x - random.uniform(*one, low=-0.3, high=0.3))
    period = random.uniform(*one, low=3, high=6) * thin
    teeth = ((y / period + 0.5) % 1 - 0.5).abs() * period - thin
    comb = torch.maximum(teeth, radius - 0.78)
    kinds = torch.stack([ellipse, polygon, blob, star, box, bar, ring, arc, comb])
    chosen = kinds[random.index(count, len(kinds)), torch.arange(count, device=random.device)]
    return torch.maximum(chosen, radius - 0.85)


def _shapes(random, count):
    """Return shapes, of which some are the union or the difference of two."""
    first, second = _kinds(random, count), _kinds(random, count)
    how = random.uniform(count, 1, 1)
    field = torch.where(how < 0.25, torch.maximum(first, -second), first)
    field = torch.where(how < 0.15, torch.minimum(first, second), field)
    step = 2 * EDGE / (FIELD_SIZE - 1)
    slope_y, slope_x = torch.gradient(field, spacing=step, dim=(1, 2))
    field = field / (slope_x.square() + slope_y.square()).sqrt().clamp(0.5, 4)  # slope 1 at edges
    axis = torch.linspace(-EDGE, EDGE, FIELD_SIZE, device=random.device)
    reach = (axis.square() + axis.square()[:, None]).sqrt()
    return torch.maximum(field, reach - 1)[:, None]
