"""Finding and reading YAML files: unique keys, and one-line errors with the line number."""

import difflib
import filecmp
import os
import re
from pathlib import Path

import yaml

from maskflownet import IN_CLONE
from maskflownet.config.errors import InputError, MissingDataError

CONFIG_DIR = Path(__file__).resolve().parent
# Where weights/, logs/ and flows/ lie unless told otherwise: in a clone that is the clone, wherever
# a command is run from; an installed package has no such place, so there it is the working folder.
ROOT = CONFIG_DIR.parent if IN_CLONE else Path.cwd()
# What the two programs are called, and how a message tells a person to start them.
MAIN, PREDICT = (
    ("main.py", "predict_new_data.py") if IN_CLONE else ("maskflownet", "maskflownet-predict")
)
START_MAIN = f"python {MAIN}" if IN_CLONE else MAIN

MOST_VALUES = 100_000  # of a file
# What makes a file one kind or the other, and how the command line takes that kind.
KINDS = {
    "network": "a network config, which is given as CONFIG",
    "dataset": "a dataset config, which is given with --dataset_cfg",
}


def read_config(name_or_path: str | os.PathLike, kind: str) -> tuple[Path, dict]:
    """Find the config file of this kind ("network" or "dataset") and read its mapping.

    Parameters
    ----------
    name_or_path : str or os.PathLike
        A name in config/, with or without ".yaml", or a path. One that begins with "/", "./", "../"
        or "~" is never looked up in config/.
    kind : str
        "network" or "dataset": the key that such a file must have.

    Raises
    ------
    InputError
        Where the file is no YAML mapping or is of the other kind, or where "NAME.yaml" is in
        config/ and, with other content, in the working folder.
    MissingDataError
        Where there is no such file; the message lists the names in config/.
    """
    path = _find(name_or_path, kind)
    mapping = read_mapping(path)
    for other, description in KINDS.items():
        if kind not in mapping and other in mapping:
            raise InputError(f"{path} is {description}; here {KINDS[kind].split(',')[0]} is wanted")
    return path, mapping


def _find(name_or_path, kind):
    """Return the file: in config/ if it is a name, then from the working folder and the root."""
    text = os.fspath(name_or_path)
    name = user_path(text, text)
    # Path drops a leading "./", by which a person says that the working folder is meant.
    is_place = text.startswith((f".{os.sep}", f"..{os.sep}", os.sep, "~"))
    for folder in (Path(), ROOT) if is_place else (CONFIG_DIR, Path(), ROOT):
        for path in (folder / name, folder / f"{name}.yaml"):
            if path.is_file():
                if folder == CONFIG_DIR:
                    _refuse_two_meanings(name, path)
                return path
    raise MissingDataError(
        f"{name_or_path}: there is no such {kind} config; {_suggestion(text, kind)}"
    )


def _suggestion(text, kind):
    """Return words for what may be meant: names like the one given, else those that there are."""
    names = names_in_config(kind)
    if close := difflib.get_close_matches(text, names, n=3):
        return f"did you mean {' or '.join(close)}? Or give a path"
    own = [name for name in names if "/" not in name]
    folders = sorted({name.rpartition("/")[0] for name in names} - {""})
    own += [f"those in config/{folder}/" for folder in folders]
    return f"give a path or one of config/: {', '.join(own)}"


def _refuse_two_meanings(name, built_in):
    """Raise InputError where a file name of config/ is that of another file right here too."""
    if name.suffix == ".yaml" and name.is_file() and not filecmp.cmp(name, built_in, shallow=False):
        raise InputError(
            f"{name}: expected one file of that name, got {name.absolute()} and {built_in}; "
            f"give .{os.sep}{name} for the first or {name.with_suffix('')} for the second"
        )


def user_path(text: str, name: str) -> Path:
    """Return a path that a person wrote, its "~" or "~user" filled in.

    Parameters
    ----------
    text : str
        The path.
    name : str
        What to call it in a message: a file and key, say.

    Raises
    ------
    InputError
        Where there is no such home folder, or the text holds a zero byte, as no path does.
    """
    try:
        if "\0" not in text:
            return Path(text).expanduser()
    except RuntimeError:
        raise InputError(
            f"{name}: expected a path, got {text!r}, and there is no such home folder; "
            "write the folder in full"
        ) from None
    raise InputError(f"{name}: expected a path, got {text!r} with a zero byte; remove it")


def names_in_config(kind: str) -> list[str]:
    """Return the names of the files in config/ that are of this kind ("network" or "dataset")."""
    return [
        path.relative_to(CONFIG_DIR).with_suffix("").as_posix()
        for path in sorted(CONFIG_DIR.rglob("*.yaml"))
        if re.search(rf"^{kind}:", path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    ]


def read_mapping(path: str | os.PathLike, may_be_empty: bool = False) -> dict:
    """Read a YAML file that holds one mapping.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    may_be_empty : bool
        Take a file without content (all of it comments, say) for an empty mapping.

    Raises
    ------
    InputError
        Where it cannot be read, is empty, is no YAML, repeats a key or holds no mapping.
    """
    path = Path(path)
    try:
        # A loader of its own for each file: its only state is that file's text.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
        is_small = _is_small(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        raise InputError(f"{path}:{_line(error)}: {error.problem}") from error
    # Besides its own errors PyYAML lets through whatever a bad tag, date or nesting provokes.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected YAML text: {_first_line(error)}") from error
    except RecursionError as error:
        raise InputError(f"{path}: expected a config, got YAML that is nested too deep") from error
    if not is_small:
        raise InputError(
            f"{path}: expected a config, got more than {MOST_VALUES} values with all aliases (*) "
            "filled in; write them out"
        )
    if content is None and may_be_empty:
        return {}
    if content is None:
        raise InputError(f"{path}: the file is empty; expected a mapping of keys to values")
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise InputError(f"{path}: expected a mapping of keys to values, got one {kind}")
    return content


def _is_small(content):
    """Return whether content has no more than MOST_VALUES values, each alias counted as it stands.

    A few lines of aliases of aliases can stand for billions of values, or for themselves.
    """
    sizes = {}

    def size(value):
        if not isinstance(value, dict | list):
            return 1
        if id(value) not in sizes:
            sizes[id(value)] = MOST_VALUES + 1  # of what holds itself
            parts = [*value, *value.values()] if isinstance(value, dict) else value
            sizes[id(value)] = 1 + sum(map(size, parts))
        return sizes[id(value)]

    return size(content) <= MOST_VALUES


def _line(error):
    """Return the line number, from 1, where YAML found the problem."""
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _first_line(error):
    """Return the first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class _UniqueKeyLoader(yaml.SafeLoader):
    """The safe loader, which keeps the last of two equal keys, made to refuse the second."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = getattr(key_node, "value", None)
            if isinstance(name, str) and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name} is there twice", key_node.start_mark
                )
            seen.add(name if isinstance(name, str) else id(key_node))
        return super().construct_mapping(node, deep)
