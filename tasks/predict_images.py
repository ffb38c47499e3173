"""Flow for a person's own images: pairs of files or a folder of frames."""

import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from config.errors import InputError, MissingDataError
from output.flow_color import flow_to_color
from reader.flow_files import write_flo
from reader.images import read_pair, write_image
from reader.read_ahead import read_ahead
from tasks.progress import progress

logger = logging.getLogger(__name__)

# What OpenCV reads, by suffix: a file that should be an image and is not must not go unnoticed.
_SUFFIXES = "avif bmp dib jp2 jpe jpeg jpg pbm pgm png pnm ppm ras sr tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())


class ImagePair(NamedTuple):
    """Two image files and the files to write for them; None is not written."""

    image1: Path
    image2: Path
    flo: Path | None
    color: Path | None


def frames_in(folder: Path) -> list[Path]:
    """Return the images in a folder in natural order: frame_2 before frame_10.

    Raises
    ------
    MissingDataError
        The folder is not there.
    InputError
        It holds fewer than two images.
    """
    if not folder.is_dir():
        raise MissingDataError(f"{folder}: there is no such folder of images")
    frames = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]
    if len(frames) < 2:
        raise InputError(f"{folder}: expected two images or more, got {len(frames)}")
    return sorted(frames, key=_natural)


def _natural(path):
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if part.isdigit() else part for part in parts], path.name


def folder_pairs(folder: Path, output: Path) -> list[ImagePair]:
    """Return each frame of a folder with the next, to be written to the folder `output`."""
    frames = frames_in(folder)
    stems = [frame.stem for frame in frames]
    # Two frames that differ in their suffix alone would write to one file.
    names = stems if len(set(stems)) == len(stems) else [frame.name for frame in frames]
    return [
        pair_in(output, image1, image2, name)
        for image1, image2, name in zip(frames, frames[1:], names, strict=False)
    ]


def pair_in(output: Path, image1: Path, image2: Path, name: str) -> ImagePair:
    """Return a pair whose results are `output`/NAME.flo and `output`/NAME_color.png."""
    return ImagePair(image1, image2, output / f"{name}.flo", output / f"{name}_color.png")


def single_pair(image1: Path, image2: Path, output: Path) -> ImagePair:
    """Return a pair; an `output` that ends in .flo or .png is that one file, else a folder."""
    suffix = output.suffix.lower()
    if suffix == ".flo":
        return ImagePair(image1, image2, output, None)
    if suffix == ".png":
        return ImagePair(image1, image2, None, output)
    return pair_in(output, image1, image2, image1.stem)


def predict_images(
    pipe,
    pairs: Sequence[ImagePair],
    batch_size: int = 1,
    resize: tuple[int, int] | None = None,
) -> None:
    """Predict each pair's flow and write it; reading, network and writing hold a batch at most.

    Parameters
    ----------
    pipe : network.Pipeline
    pairs : sequence of ImagePair
    batch_size : int
        Pairs per step.
    resize : tuple of int, optional
        (height, width) that the network sees; flow is written at the images' own size always.

    Raises
    ------
    InputError
        An image cannot be read, or those of a pair differ in size; earlier pairs are written.
    """
    predictions = pipe.predict_pairs(_images(pairs, batch_size), batch_size, resize)
    shown = progress(predictions, len(pairs), "flow")
    for pair, prediction in zip(pairs, shown, strict=True):
        if pair.flo is not None:
            write_flo(pair.flo, prediction.flow)
        if pair.color is not None:
            write_image(pair.color, flow_to_color(prediction.flow))


def _images(pairs: Sequence[ImagePair], batch_size: int) -> Iterator:
    return read_ahead(lambda pair: read_pair(pair.image1, pair.image2), pairs, ahead=batch_size)
