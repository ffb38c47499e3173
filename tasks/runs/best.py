"""A run's best weights by validation error, kept beside its newest checkpoints.

They are `weights/RUN_best.params`, without Adam's moments: a new run may begin there. Step and
error stand in `weights/RUN_best.json`, with a checksum, since a program may be killed between the
two.
"""

import json
import zlib
from pathlib import Path
from typing import NamedTuple

from maskflownet.tasks.pipe import Pipe
from maskflownet.whole_file import whole_file

BEST = "best"  # in the place of the steps: RUN:best, RUN_best.params


class Best(NamedTuple):
    """Which step a run's best weights are of, and their validation error in pixels.

    `dataset_cfg` is what it was measured on, as in the run's record; None of older files.
    """

    steps: int
    val_epe: float
    dataset_cfg: str | None = None


def best_path(run: str, folder: Path) -> Path:
    """Return where the best weights of a run are kept."""
    return folder / f"{run}_{BEST}.params"


def is_best(path: Path) -> bool:
    """Return whether a parameter file's name is that of a run's best weights."""
    return path.stem.endswith(f"_{BEST}")


def read_best(path: Path) -> Best | None:
    """Return of which step a run's best weights are; None where that is not known."""
    try:
        noted = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        measured_on = noted.get("dataset_cfg")
        best = Best(int(noted["steps"]), float(noted["val_epe"]), measured_on)
        return best if noted["crc32"] == zlib.crc32(path.read_bytes()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_best(pipe: Pipe, run: str, best: Best, folder: Path) -> None:
    """Write a run's best weights in the place of those before, then what they are.

    Parameters
    ----------
    pipe : network.Pipeline
    run : str
    best : Best
    folder : pathlib.Path

    Raises
    ------
    OSError
        They cannot be written; those that were there are still there.
    """
    path = best_path(run, folder)
    folder.mkdir(parents=True, exist_ok=True)
    pipe.save_weights(path)
    noted = {**best._asdict(), "crc32": zlib.crc32(path.read_bytes())}
    with whole_file(path.with_suffix(".json")) as part:
        part.write_text(f"{json.dumps(noted, indent=2)}\n", encoding="utf-8")
