"""Checkpoints of other programs in this project's form: `main.py --convert FILE OUT.params`."""

import logging
from pathlib import Path

from maskflownet.config import InputError
from maskflownet.tasks.open_pipeline import find, load
from maskflownet.tasks.runs.checkpoints import SUFFIX

logger = logging.getLogger(__name__)


def convert(text: str, target: str, root: Path) -> None:
    """Write the weights of the checkpoint that `text` means to the file `target`.

    Parameters
    ----------
    text : str
        As after -c, such as the path of a `.pth` file.
    target : str
        A `.params` file, which must not be there yet. Names are structured; a network of MMFlow's
        dialect is marked, so that it is not taken for another.
    root : pathlib.Path
        Where weights/ lies.

    Raises
    ------
    InputError
        `target` has another suffix or is there, or the checkpoint holds no network.
    MissingDataError
        There is no such checkpoint.
    OSError
        It cannot be written.
    """
    if not target.endswith(SUFFIX):
        raise InputError(f"--convert {text} {target}: expected a second name that ends in {SUFFIX}")
    if Path(target).exists():
        raise InputError(f"{target}: is there already; remove it, or give another name")
    path = find(text, root).path
    pipe = load(path)

    from maskflownet.network.files.parameters import save_parameters

    save_parameters(pipe.network, target)
    network = pipe.config.network
    logger.info("%s: a %s, network.dialect: %s", target, network.class_name, network.dialect)
