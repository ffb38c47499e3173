"""What a run was begun with, kept beside its log so that continuing it needs to say no more.

`logs/RUN.json` holds it. The original's runs have none.
"""

import dataclasses
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

from maskflownet.config import Config, DatasetConfig, InputError
from maskflownet.config.checks import LARGEST_SEED, Where, from_mapping, integer, key
from maskflownet.config.files import CONFIG_DIR
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)


def _text(value: object, where: Where) -> str:
    """Accept text."""
    if not isinstance(value, str):
        raise where.wrong("text", value)
    return value


@dataclass(frozen=True)
class RunRecord:
    """What decides which numbers a run computes, beside the contents of its configs.

    Attributes
    ----------
    config : str
        The network config: a name in config/ or an absolute path. (Of older runs the name of the
        file alone.)
    dataset_cfg : str
        The dataset config, likewise.
    batch : int
        Pairs per step over all devices of a process.
    micro_batch : int
        Pairs in memory at a time.
    shard : int
        One pair in so many is used.
    seed : int
        Of weights, order and augmentation.
    said_batch : int or None
        What --batch said, if anything.
    processes : int
        So many train together (--kvstore), each with such a batch.
    """

    config: str = field(metadata=key(_text))
    dataset_cfg: str = field(metadata=key(_text))
    batch: int = field(metadata=key(integer(1)))
    micro_batch: int = field(metadata=key(integer(1)))
    shard: int = field(metadata=key(integer(1)))
    seed: int = field(metadata=key(integer(0, high=LARGEST_SEED)))
    said_batch: int | None = field(default=None, metadata=key(integer(1)))
    processes: int = field(default=1, metadata=key(integer(1)))


def config_reference(config: Config | DatasetConfig) -> str:
    """Return what names a config from any folder: its name in config/, or its path."""
    path = config.path.resolve()
    if path.is_relative_to(CONFIG_DIR):
        return path.relative_to(CONFIG_DIR).with_suffix("").as_posix()
    return str(path)


def record_path(root: Path, run: str) -> Path:
    """Return where the record of a run lies under a root folder."""
    return root / "logs" / f"{run}.json"


def write_record(record: RunRecord, path: Path) -> None:
    """Write a record, whole or not at all."""
    with whole_file(path) as part:
        text = json.dumps(dataclasses.asdict(record), indent=2)
        part.write_text(f"{text}\n", encoding="utf-8")


def read_record(path: Path) -> RunRecord | None:
    """Return the record in a file, or None where there is no such file.

    Raises
    ------
    InputError
        The file is no record.
    """
    if not path.is_file():
        return None
    try:
        mapping = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path}: expected JSON as training writes it, got what is none ({error}); remove the "
            "file to continue its run with what the command line says"
        ) from error
    return from_mapping(RunRecord, mapping, Where(path))


def report_changes(run: str, before: RunRecord, now: RunRecord) -> None:
    """Warn of each thing in which a run goes on otherwise than it was begun."""
    for name in ("config", "dataset_cfg", "batch", "micro_batch", "shard", "processes"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            logger.warning(
                "run %s was trained with %s=%s so far and goes on with %s", run, name, old, new
            )
