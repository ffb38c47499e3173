"""Files as a person names them: lists of paths, names in natural order, suffixes of images."""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.reader.images import IMAGE_SUFFIXES

# A word of a list: 'in quotes', or text in which "quotes" or a backslash hold spaces.
_WORD = re.compile(r"""'[^']*'(?!\S)|(?:"[^"]*"|\\\s|[^\s"])+""")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # C:\ or a share of a network


class ListedLine(NamedTuple):
    """A line of a list file: its number, from 1, and the paths on it as they are written."""

    number: int
    words: list[str]


def is_image(name: str) -> bool:
    """Return whether a file's name is that of an image; names that begin with a dot are not."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES and not name.startswith(".")


def number_parts(name: str) -> list[str | int]:
    """Return a name as text, number, text, number, ..., text: ["frame_", 10, ".png"]."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def number_step(first: str, second: str) -> int | None:
    """Return by how much two names differ that differ in one number alone, else None."""
    one, other = number_parts(first), number_parts(second)
    if len(one) != len(other):
        return None
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    if len(differing) != 1:
        return None
    ((before, after),) = differing
    if isinstance(before, str) or isinstance(after, str):
        return None
    return after - before


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return the key by which frame_2 comes before frame_10; no two names have the same."""
    return number_parts(name), name


def read_list(path: Path, counts: Collection[int], form: str) -> list[ListedLine]:
    """Return the lines of a text file that names files: so many paths on each.

    Spaces stand between paths; quotes, or a backslash before it, hold a space in a path. Empty
    lines and those that begin with # are skipped. Text is UTF-8 or, with its mark, UTF-16, as
    Windows writes it, and a backslash separates folders, unless a file has it in its name.

    Parameters
    ----------
    path : pathlib.Path
        The list.
    counts : collection of int
        How many paths a line may have.
    form : str
        What a line looks like, for messages: "image1 image2".

    Raises
    ------
    MissingDataError
        The list is not there.
    InputError
        It is no text, or a line has something else; the message names the line.
    """
    lines = []
    for number, line in enumerate(_text(path, form).splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            words = list(_words(line, f"{path}:{number}", path.parent))
            if len(words) not in counts:
                hint = "; write spaces between them, not commas" if "," in line else ""
                raise InputError(f"{path}:{number}: expected {form}, got {len(words)} paths{hint}")
            lines.append(ListedLine(number, words))
    return lines


def _text(path, form):
    """Return the text of a list file."""
    try:
        data = path.read_bytes()
        marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        return data.decode("utf-16" if marked else "utf-8-sig")
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: this list of pairs is missing; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a text file with a pair per line: {form}") from error


def _words(line: str, where: str, folder: Path) -> Iterator[str]:
    """Yield the paths on a line of a list in a folder."""
    if "\0" in line:
        raise InputError(f"{where}: expected paths, got a zero byte; remove it")
    unclosed = InputError(
        f"{where}: a quote is not closed; close it, or put a path that has one itself between "
        "quotes of the other kind"
    )
    if '"' in _WORD.sub("", line):
        raise unclosed
    for match in _WORD.finditer(line):
        word = match[0]
        if word.startswith("'"):
            if not word.endswith("'") or word == "'":
                raise unclosed
            word = word[1:-1]
        elif '"' in word:
            word = word.replace('"', "")
        else:
            word = re.sub(r"\\(\s)", r"\1", word)
        yield _without_backslashes(word, where, folder)


def _without_backslashes(word, where, folder):
    """Return a path with the folders of this system, where it was written on Windows."""
    if os.sep == "\\" or ("\\" not in word and not _DRIVE.match(word)):
        return word
    if (folder / word).exists():
        return word
    if _DRIVE.match(word):
        raise InputError(
            f"{where}: {word} is a place of a Windows machine; write paths from the folder of the "
            "list, or absolute ones of this machine"
        )
    return word.replace("\\", "/")
