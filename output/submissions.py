"""What Sintel and KITTI want for their test halves: names, formats, archives; and checking them.

The rules are those of the readme of Sintel's bundler program and of the readmes in KITTI's two
development kits; docs/benchmarks.md tells more.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from maskflownet.config.errors import InputError
from maskflownet.reader.flow_files import read_flow
from maskflownet.whole_file import whole_file

DO_AGAIN = "delete it and run the same command again"


class Submission(NamedTuple):
    """How a benchmark wants its flow files.

    Attributes
    ----------
    folder : str
        Where in the archive's root they lie, "" or ending in "/".
    suffix : str
        ".flo", or ".png" for KITTI's 16-bit format.
    then : str
        What to do once all is there, with {folder} for the folder of the flow files.
    """

    folder: str
    suffix: str
    then: str

    def member(self, pair_name: str) -> str:
        """Return the path inside the archive of a pair's flow."""
        return f"{self.folder}{pair_name}{self.suffix}"


_KITTI_URL = "https://www.cvlibs.net/datasets/kitti"
SUBMISSIONS = {
    "sintel": Submission(
        "",
        ".flo",
        "http://sintel.is.tue.mpg.de takes only what the bundler program that comes with Sintel "
        "makes of it: bundler {folder}/clean {folder}/final sintel.lzma",
    ),
    "kitti.2012": Submission(
        "", ".png", f"ready to upload: {_KITTI_URL}/eval_stereo_flow.php?benchmark=flow"
    ),
    "kitti.2015": Submission(
        "flow/", ".png", f"ready to upload: {_KITTI_URL}/eval_scene_flow.php?benchmark=flow"
    ),
}


def make_archive(
    archive: Path, folder: Path, members: Iterable[tuple[str, tuple[int, int]]]
) -> None:
    """Check flow files, put them into a zip archive, and read that back; all of it or nothing.

    Files are not compressed: PNGs are already, and floats hardly shrink.

    Parameters
    ----------
    archive : pathlib.Path
        The file to make or replace.
    folder : pathlib.Path
        Where the flow files lie.
    members : iterable of (str, (int, int))
        For each file its path, both in `folder` and in the archive, and the (height, width) that
        its flow must have. Taken one by one.

    Raises
    ------
    InputError
        A file is missing, damaged or of another type or size, or has a pixel without flow; or the
        archive does not read back as it was written.
    """
    sizes_in_bytes = {}
    with whole_file(archive) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
            for member, size_hw in members:
                path = folder / member
                check_flow_file(path, size_hw)
                packed.write(path, member)
                sizes_in_bytes[member] = path.stat().st_size
        _check_archive(part, archive, sizes_in_bytes)


def check_flow_file(path: Path, size_hw: tuple[int, int]) -> None:
    """Raise InputError unless a file of the type that its suffix names has flow at all H x W."""
    flow, valid = read_flow(path)
    if flow.shape[:2] != tuple(size_hw):
        (height, width), (got_height, got_width) = size_hw, flow.shape[:2]
        raise InputError(
            f"{path}: expected {width}x{height} pixels as its image has, got "
            f"{got_width}x{got_height}; {DO_AGAIN}"
        )
    if not valid.all():
        raise InputError(
            f"{path}: expected flow at every pixel, got none at {(valid == 0).sum()} of "
            f"{valid.size}; {DO_AGAIN}, with another checkpoint if this one gives no numbers"
        )


def _check_archive(part: Path, archive: Path, sizes_in_bytes: dict[str, int]) -> None:
    """Raise InputError unless the archive reads back as these files, in this order.

    The checksums that `testzip` compares were taken of the very bytes that were checked.
    """
    with zipfile.ZipFile(part) as packed:
        found = {info.filename: info.file_size for info in packed.infolist()}
        damaged = packed.testzip()
    if damaged or list(found.items()) != list(sizes_in_bytes.items()):
        raise InputError(
            f"{archive}: expected the {len(sizes_in_bytes)} files that were put in, got "
            f"{len(found)}{f', {damaged} damaged' if damaged else ''}; check the disk and try again"
        )
