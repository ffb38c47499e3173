"""A person's own data: pairs named in a list file, or folders of frames with flow beside."""

import os
import re
import shlex
from itertools import pairwise
from pathlib import Path

from config import InputError, MissingDataError
from reader.datasets.base import FileDataset, PairFiles, names_in

_IMAGE = r"(?i)[^.].*\.(png|jpe?g|ppm|pgm|bmp|tiff?|webp)"
_FLOW_SUFFIXES = (".flo", ".pfm", ".npy")


class ListDataset(FileDataset):
    """The pairs that text files list; BGR.

    Each line is `image1 image2 flow [valid]`. Paths are taken from the folder of the list; quotes
    hold spaces together; empty lines and those that begin with # are skipped. Flow may be of any
    format of reader.flow_files; `valid` is a picture, not black where the flow is known.

    Parameters
    ----------
    list_files : sequence of pathlib.Path
        The text files.

    Raises
    ------
    InputError
        For a line that is no such thing.
    MissingDataError
        For a list, or a file in it, that is not there.
    """

    def __init__(self, list_files):
        where = " and ".join(map(str, list_files))
        top = _common_folder(path.parent for path in list_files)
        super().__init__(where, (files for path in list_files for files in _listed(path, top)))
        if self.first_missing:
            raise MissingDataError(f"{where}: {self.first_missing} is listed and missing")


def _common_folder(folders):
    """Return the folder that holds all of these, so that paths from there are short and unique."""
    return os.path.commonpath([folder.absolute() for folder in folders])


def _listed(list_file, top):
    """Yield the files of the pairs that a list file names; pairs are named by file and line."""
    try:
        lines = list_file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise MissingDataError(f"{list_file}: this list of pairs is missing") from error
    except (OSError, ValueError) as error:  # ValueError: bytes that are no text
        raise InputError(f"{list_file}: expected a text file with a pair per line") from error
    list_name = os.path.relpath(list_file, top)
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise InputError(f"{list_file}:{number}: expected paths, got a zero byte; remove it")
        try:
            words = shlex.split(line) if not line.lstrip().startswith("#") else []
        except ValueError as error:
            raise InputError(f"{list_file}:{number}: {error}") from error
        if words and len(words) not in (3, 4):
            raise InputError(
                f"{list_file}:{number}: expected image1 image2 flow [valid], got {len(words)} paths"
            )
        if words:
            name = f"{list_name}:{number} {words[0]}"
            yield PairFiles(name, *(os.fspath(list_file.parent / word) for word in words))


class FolderDataset(FileDataset):
    """Folders of frames with the flow to the next frame beside them; BGR.

    In each folder the frames are a sequence in the order of their names, numbers by value. A frame
    without flow, as the last one, starts no pair::

        FOLDER/
            walk/                           or in FOLDER itself
                0001.png                    any image format
                0001.flo                    or .pfm or .npy: from this frame to the next
                0002.png

    Parameters
    ----------
    folders : sequence of pathlib.Path
        Where to look, folders inside them too.
    """

    def __init__(self, folders):
        for folder in folders:
            if not folder.is_dir():
                raise MissingDataError(f"{folder}: this folder of frames is missing")
        top = _common_folder(folders)
        pairs = (
            files
            for folder in folders
            for inside, _, _ in sorted(os.walk(folder))
            for files in _sequence(top, inside)
        )
        super().__init__(" and ".join(map(str, folders)), pairs)


def _sequence(top, inside):
    """Yield the files of the pairs of one folder, named by the path from `top`."""
    there = set(names_in(inside))
    for first, second in pairwise(sorted(names_in(inside, _IMAGE), key=_by_number)):
        stem = Path(first).stem
        flow = next((stem + suffix for suffix in _FLOW_SUFFIXES if stem + suffix in there), None)
        if flow:
            name = os.path.relpath(f"{inside}/{first}", top)
            yield PairFiles(name, *(f"{inside}/{file}" for file in (first, second, flow)))


def _by_number(name):
    """Return the key by which frame9 comes before frame10."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]
