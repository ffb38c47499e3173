"""Random layered scenes, each seen twice, with exact flow and occlusions; all of it on one device.

A background and some shapes before it, each with its texture, its own motion between the images and
its own depth. A motion is a homography, for some layers with a wave of displacement before it.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from maskflownet.torch_training.random_numbers import Random
from maskflownet.torch_training.textures import EDGE, make_shapes, make_textures, read_photographs

TEXTURE_SIZE = 512
SHAPES = (2, 14)  # of a scene: the fewest, and the most of all batches
MOST_TILT = 0.35  # of a homography: how much nearer its plane may come within the image
INVERTING = 6  # steps, each of which leaves 0.3 of the error or less


class Pairs(NamedTuple):
    """A batch of pairs with their truth.

    Attributes
    ----------
    image1, image2 : torch.Tensor
        (N, 3, H, W), values in 0..1, BGR.
    flow : torch.Tensor
        (N, 2, H, W), (x, y) in pixels, from image 1 to image 2.
    occluded : torch.Tensor
        (N, 1, H, W), 1.0 where image 2 does not show what image 1 does, else 0.0.
    """

    image1: Tensor
    image2: Tensor
    flow: Tensor
    occluded: Tensor


class _Motions(NamedTuple):
    """How layers move: median and largest translation in pixels, and how much planes tilt."""

    median: float
    largest: float
    tilt: float


BACKGROUND = _Motions(4.5, 90, 0.06)
SHAPE = _Motions(8, 140, 0)


class _Layer(NamedTuple):
    """What later layers and the occlusions need of a shape."""

    number: int
    shape: Tensor
    to_content: Tensor
    radius: Tensor
    wave: Callable[[Tensor], Tensor]


class Scenes:
    """A source of scenes.

    Parameters
    ----------
    device : torch.device
    size : tuple of int
        Height and width of the images.
    textures, shapes : int
        How many are made beforehand, for the scenes to choose from.
    photographs : pathlib.Path, optional
        A folder of pictures that serve as textures too.
    seed : int
    """

    def __init__(
        self,
        device: torch.device,
        size: tuple[int, int],
        textures: int = 768,
        shapes: int = 3072,
        photographs: Path | None = None,
        seed: int = 0,
    ):
        self._random = Random(device, seed)
        self._host = torch.Generator().manual_seed(seed)
        self._size = size
        kind = torch.half if device.type == "cuda" else torch.float
        made = make_textures(self._random, textures, TEXTURE_SIZE)
        read = list(read_photographs(photographs, TEXTURE_SIZE, textures)) if photographs else []
        self._made, self._read = len(made), len(read)
        self._textures = torch.cat([made, *(one.to(device) for one in read)]).to(kind)
        self._shapes = make_shapes(self._random, shapes).to(kind)
        rows, columns = (torch.arange(side, device=device).float() for side in size)
        self._pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), 2)

    @torch.no_grad()
    def batch(self, count: int, motion: float = 1.0, photometric: bool = True) -> Pairs:
        """Return so many new pairs.

        Parameters
        ----------
        count : int
        motion : float
            Factor of all motions.
        photometric : bool
            Whether light and colour change between the images, and noise and blur are added.
        """
        random, (height, width) = self._random, self._size
        least, most = SHAPES
        most = int(torch.randint(5, most + 1, (), generator=self._host))
        pixels = self._pixels.expand(count, -1, -1, -1)
        middle = torch.tensor([width / 2, height / 2], device=random.device).expand(count, 2)
        camera = self._motions(count, motion, BACKGROUND, middle)
        shapes = random.uniform(count, 1, 1, 1, low=least, high=most + 1).floor()

        images, flow = self._background(camera, middle, motion)
        top = torch.zeros(count, 1, height, width, device=random.device)
        layers = []
        for number in range(1, most + 1):
            is_there = number <= shapes
            colours, alphas, move, layer = self._shape(number, camera, motion)
            alphas = [alpha * is_there for alpha in alphas]
            images = [
                image + alpha * (colour - image)
                for image, alpha, colour in zip(images, alphas, colours, strict=True)
            ]
            is_on_top = alphas[0] > 0.5
            flow = torch.where(is_on_top, move, flow)
            top = torch.where(is_on_top, number, top)
            layers.append(layer)

        there = pixels + flow.permute(0, 2, 3, 1)
        limits = torch.tensor([width - 1, height - 1], device=random.device)
        occluded = ((there < 0) | (there > limits)).any(3)[:, None]
        for layer in layers:
            is_hit = self._distance(layer, there) < 0
            occluded = occluded | (is_hit & (top < layer.number) & (layer.number <= shapes))
        if photometric:
            images = self._photometric(*images)
        first, second = (image.clamp(0, 1) for image in images)
        return Pairs(first, second, flow, occluded.float())

    # The layers.

    def _background(self, camera, middle, motion):
        """Return its two images and its flow."""
        size = torch.full((len(camera),), float(max(self._size)), device=camera.device)
        look, to_first, to_second, wave = self._placed(camera, middle, size, 0.6, motion)
        images = [look(to_first, None), look(to_second, wave)]
        return images, self._move(to_first, to_second, wave)

    def _shape(self, number, camera, motion):
        """Return a shape's two colours and two coverages, its flow, and its layer."""
        random, count = self._random, len(camera)
        height, width = self._size
        centre = random.uniform(count, 2) * torch.tensor([width, height], device=random.device)
        arrives = _applied(camera, centre[:, None, None])[:, 0, 0]
        own = self._motions(count, motion, SHAPE, arrives)
        still = random.chance(0.2, count, 1, 1)
        moved = torch.where(still, torch.eye(3, device=random.device), own) @ camera
        largest = math.log(0.45 * min(height, width))
        radius = torch.exp(random.uniform(count, low=math.log(12), high=largest))
        look, to_first, to_second, wave = self._placed(moved, centre, 2 * radius, 0.4, motion)
        shape = self._shapes[random.index(count, len(self._shapes))].float()
        radius = radius.view(-1, 1, 1, 1)
        layer = _Layer(number, shape, torch.linalg.inv(to_second), radius, wave)
        growth = torch.linalg.det(moved[:, :2, :2]).abs().sqrt().view(-1, 1, 1, 1)
        pixels = self._pixels.expand(count, -1, -1, -1)
        here = _applied(torch.linalg.inv(to_first), pixels)
        first = _look(shape, here / (radius * EDGE), "border") * radius
        second = self._distance(layer, pixels) * growth
        alphas = [(0.5 - distance).clamp(0, 1) for distance in (first, second)]
        colours = [look(to_first, None), look(to_second, wave)]
        return colours, alphas, self._move(to_first, to_second, wave), layer

    def _placed(self, moved, centre, size, share, motion):
        """Return how a layer looks, how its content comes to lie in either image, and its wave.

        Content is in pixels around the layer's centre.
        """
        random, count = self._random, len(moved)
        texture, is_photograph = self._chosen(count, share)
        upright = is_photograph & random.chance(0.5, count)
        turn = random.angle(count) * ~upright
        to_first = _translation(centre)
        to_first[:, 0, 0], to_first[:, 0, 1] = turn.cos(), -turn.sin()
        to_first[:, 1, 0], to_first[:, 1, 1] = turn.sin(), turn.cos()
        zoom = torch.exp(random.uniform(count, 1, 1, 1, low=-0.3, high=0.9))
        offset = random.uniform(count, 1, 1, 2, low=-1, high=1)
        pixels = self._pixels.expand(count, -1, -1, -1)

        def look(to_image, wave):
            content = _applied(torch.linalg.inv(to_image), pixels)
            if wave:
                content = content + wave(content)
            return _look(texture, content * (2 / TEXTURE_SIZE / zoom) + offset, "reflection")

        return look, to_first, moved @ to_first, self._wave(count, size, motion)

    def _chosen(self, count, share):
        """Return textures, of which that share are photographs, some in other colours."""
        random = self._random
        is_photograph = random.chance(share if self._read else 0, count)
        photograph = self._made + random.index(count, max(self._read, 1))
        at = torch.where(is_photograph, photograph, random.index(count, self._made))
        as_it_is = torch.arange(3, device=random.device)
        shuffled = random.uniform(count, 3).argsort(1)
        order = torch.where(random.chance(0.3, count, 1), shuffled, as_it_is)
        gain = torch.exp(0.25 * random.normal(count, 3, 1, 1) * random.chance(0.5, count, 1, 1, 1))
        return (self._textures[at[:, None], order].float() * gain).clamp(0, 1), is_photograph

    def _distance(self, layer, places):
        """Return how far places of image 2 (N, H, W, 2) are from a shape's edge, inside negative.

        In pixels of image 1.
        """
        content = _applied(layer.to_content, places)
        content = content + layer.wave(content)
        return _look(layer.shape, content / (layer.radius * EDGE), "border") * layer.radius

    def _move(self, to_first, to_second, wave):
        """Return a layer's flow (N, 2, H, W)."""
        pixels = self._pixels.expand(len(to_first), -1, -1, -1)
        wanted = content = _applied(torch.linalg.inv(to_first), pixels)
        for _ in range(INVERTING):  # image 2 shows at content c what image 1 has at c + wave(c)
            content = wanted - wave(content)
        return (_applied(to_second, content) - pixels).permute(0, 3, 1, 2)

    # The motions.

    def _motions(self, count, scale, kind, centre):
        """Return homographies (N, 3, 3): rotation, scale, shear about a centre, then translation.

        Translations have heavy tails; a plane comes nearer by MOST_TILT at most, so that no pixel
        of the image goes to infinity.
        """
        random = self._random
        length = torch.exp(math.log(kind.median) + 1.2 * random.normal(count))
        length = scale * length.clamp(max=kind.largest)
        strong = torch.where(random.chance(0.15, count), 3.0, 1.0)
        bend = scale * random.uniform(count) ** 2 * strong  # mostly little
        way, turn = random.angle(count), 0.12 * bend * random.normal(count)
        growth = torch.exp(0.08 * bend * random.normal(count))
        shear = 0.04 * bend * random.normal(2, count)
        out = torch.eye(3, device=random.device).repeat(count, 1, 1)
        out[:, 0, 0], out[:, 0, 1] = growth * turn.cos() + shear[0], -growth * turn.sin() + shear[1]
        out[:, 1, 0], out[:, 1, 1] = growth * turn.sin() + shear[1], growth * turn.cos() - shear[0]
        tilt = kind.tilt * bend[:, None] * random.normal(count, 2)
        most = MOST_TILT / max(self._size)  # of both together, from the centre to a corner
        out[:, 2, :2] = (tilt / max(self._size)).clamp(-most, most)
        shift = length[:, None] * torch.stack((way.cos(), way.sin()), 1)
        return _translation(centre + shift) @ out @ _translation(-centre)

    def _wave(self, count, size, scale):
        """Return a wave of displacement on content (N, H, W, 2), nothing for most layers.

        `size` is the layers', in pixels. Its slope stays below 0.3, so that it can be inverted.
        """
        random = self._random
        length = random.uniform(count, low=1.2, high=4) * size
        steep = scale * random.uniform(count, low=0.02, high=0.3) * random.chance(0.3, count)
        along, towards = random.angle(count), random.angle(count)
        number = 2 * torch.pi / length
        vector = number[:, None] * torch.stack((along.cos(), along.sin()), 1)
        height = (steep / number)[:, None] * torch.stack((towards.cos(), towards.sin()), 1)
        vector, height = vector[:, None, None], height[:, None, None]
        phase = random.angle(count, 1, 1, 1)
        return lambda at: height * torch.sin((at * vector).sum(3, keepdim=True) + phase)

    # Light and noise.

    def _photometric(self, *images):
        random, count = self._random, len(images[0])
        one, colours = (count, 1, 1, 1), (count, 3, 1, 1)
        strong = 1 + 2 * random.chance(0.2, *one)  # a fifth of the pairs change much
        gamma = 0.25 * random.normal(*one)
        gain = random.uniform(*colours, low=-0.2, high=0.2) + 0.2 * random.normal(*one)
        shift = 0.08 * random.normal(*one)
        noise = 0.06 * random.uniform(*one) ** 3
        is_soft = random.chance(0.3, *one)
        out = []
        for image in images:
            own_gamma = torch.exp(gamma + 0.05 * strong * random.normal(*one))
            change = 0.03 * random.normal(*colours) + 0.05 * random.normal(*one)
            contrast = torch.exp(gain + strong * change)
            grid = random.normal(count, 1, 3, 4)
            light = F.interpolate(grid, size=self._size, mode="bicubic") * 0.05 * strong
            image = image.clamp(1e-3, 1) ** own_gamma
            mean = image.mean((1, 2, 3), keepdim=True)
            image = (image - mean) * contrast * (1 + light) + mean
            image = image + shift + 0.02 * strong * random.normal(*one)
            blurred = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, 1)
            image = image + (blurred - image) * is_soft * random.uniform(*one)
            image = image + noise * random.normal(*image.shape)
            out.append((image.clamp(0, 1) * 255).round() / 255)
        return out


def _translation(shift):
    """Return homographies (N, 3, 3) that add (x, y)."""
    out = torch.eye(3, device=shift.device).repeat(len(shift), 1, 1)
    out[:, :2, 2] = shift
    return out


def _applied(homographies, places):
    """Return where homographies (N, 3, 3) bring places (N, H, W, 2), (x, y)."""
    m = homographies[:, None, None]
    x, y = places[..., 0], places[..., 1]
    depth = m[..., 2, 0] * x + m[..., 2, 1] * y + m[..., 2, 2]
    rows = [(m[..., row, 0] * x + m[..., row, 1] * y + m[..., row, 2]) / depth for row in (0, 1)]
    return torch.stack(rows, 3)


def _look(tables, grid, padding):
    """Return tables (N, C, h, w) at a grid (N, H, W, 2), (x, y) from -1 to 1."""
    return F.grid_sample(tables, grid, padding_mode=padding, align_corners=False)
