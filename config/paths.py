"""Where the datasets lie: config/paths.yaml and environment variables."""

import os
import string
from collections.abc import Mapping
from pathlib import Path

from maskflownet.config.checks import Where, unknown_name
from maskflownet.config.files import CONFIG_DIR, ROOT, read_mapping, user_path
from maskflownet.config.registry import ROOT_VARIABLES

PATHS_FILE = CONFIG_DIR / "paths.yaml"


def load_paths(
    file: str | os.PathLike = PATHS_FILE, environ: Mapping[str, str] = os.environ
) -> dict[str, Path | None]:
    """Return the root folder of each dataset that has one, or None where it is not set.

    A variable of ROOT_VARIABLES that is set and not empty counts before the file. In the file
    `${NAME}` stands for an environment variable; where that is not set, neither is the root. A
    relative root is taken from the repository's root.

    Parameters
    ----------
    file : str or os.PathLike
        A YAML mapping from dataset names to folders or null.
    environ : mapping
        The environment variables.

    Raises
    ------
    InputError
        For a name that is no dataset or a root that is no path.
    """
    where = Where(Path(file))
    listed = read_mapping(file, may_be_empty=True)
    for name in listed:
        if name not in ROOT_VARIABLES:
            raise unknown_name("dataset", name, ROOT_VARIABLES, where)
    roots = {}
    for name, variable in ROOT_VARIABLES.items():
        source, text = variable, environ.get(variable)
        if not text:
            source = f"{where.file}: {name}"
            text = _expanded(listed.get(name), environ, where.below(name))
        roots[name] = ROOT / user_path(text, source) if text else None
    return roots


def _expanded(value, environ, where):
    """Return the path with its variables filled in, or None where one of them is not set."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise where.wrong("a folder or null", value)
    try:
        return string.Template(value).substitute({k: v for k, v in environ.items() if v})
    except KeyError:
        return None
    except ValueError as error:
        raise where.wrong("a folder, its variables written ${NAME}", value) from error
