"""What results were made from, kept beside them, so that a second run never mixes two kinds.

`predicted.json` holds the settings that all results share and, for each pair, the name, size and
time of change of its two image files.
"""

import itertools
import json
import logging
from pathlib import Path

from maskflownet.config.errors import InputError
from maskflownet.tasks.prediction.files import Files
from maskflownet.tasks.prediction.inputs import Inputs
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

_REMEDY = "choose another OUTPUT, or add --overwrite to do all again"


def begin(files: Files, inputs: Inputs, settings: dict, overwrite: bool) -> None:
    """Check that what is there belongs to this run, and write its record.

    Parameters
    ----------
    files : Files
    inputs : Inputs
    settings : dict
        What else results depend on, such as the checkpoint; anything that JSON can hold.
    overwrite : bool
        Remove what the network made of these pairs before; else it is kept.

    Raises
    ------
    InputError
        Results that are there were made from something else.
    """
    settings = json.loads(json.dumps({**settings, **inputs.identity()}))
    pairs = {}
    for number in range(len(inputs)):
        origin = inputs.origin(number)
        if origin is not None:
            pairs[inputs.name(number)] = origin
    # One pair is quickly done again; only long work is worth going on with.
    anyway = overwrite or inputs.single
    old_settings, old_pairs = _read(files.record, anyway)
    if not _has_results(files):  # that run ended before it made any
        old_settings, old_pairs = None, {}
    same = old_settings == settings
    if not anyway and old_settings is not None and not same:
        raise InputError(_what_differs(files.record, old_settings, settings))
    foreign = _foreign_files(files, inputs, pairs, old_pairs if same else None)
    if overwrite:
        for path in [path for _, path in foreign]:
            path.unlink()
        _remove(files, inputs)
    else:
        _refuse(foreign, inputs)
    _report_left_over(files, inputs, pairs, old_pairs if same else None)
    record = {"settings": settings, "pairs": {**(old_pairs if same else {}), **pairs}}
    with whole_file(files.record) as part:
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")


def _has_results(files):
    """Return whether there is anything that a record could be of."""
    in_work = (path for path in files.work.glob("*") if path != files.record)
    return any(files.results_there()) or any(in_work)


def _read(path, anyway):
    """Return a record's settings and pairs; None and none if there is no record."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["settings"], dict(record["pairs"])
    except FileNotFoundError:
        return None, {}
    except (ValueError, TypeError, KeyError) as error:
        if anyway:
            return None, {}
        raise InputError(
            f"{path}: expected the record of an earlier run, got something else; {_REMEDY}"
        ) from error


def _remove(files, inputs):
    """Remove what a network made of these pairs, of a video also behind the end that it claims."""
    for number in itertools.count():
        if number >= len(inputs) and (
            inputs.frames.exact or not files.flow(inputs.name(number)).exists()
        ):
            break
        for path in files.from_network(inputs.name(number)):
            path.unlink(missing_ok=True)


def _what_differs(path: Path, old: dict, new: dict) -> str:
    key = next(key for key in [*new, *old] if old.get(key) != new.get(key))
    was, now = (_said(key, settings.get(key)) for settings in (old, new))
    if was == now:  # a video of the same name
        was = f"{was} as it was then"
    return f"{path}: results there were made {was}, not {now}; {_REMEDY}"


def _said(key, value):
    """Return words for a setting, such as "with resize 64,128" or "without video"."""
    if value is None:
        return f"without {key}"
    if key == "video":  # name, size, time of change
        value = value[0]
    return f"with {key} {','.join(map(str, value)) if isinstance(value, list) else value}"


def _foreign_files(files, inputs, pairs, old_pairs):
    """Return (pair's number, path) of what a network made of other images under a pair's name.

    `old_pairs` are those of the record, None if there is none of these settings. Of one pair, which
    is done again anyhow, what this run writes itself is left out.
    """
    foreign = []
    for number in range(len(inputs)):
        name = inputs.name(number)
        # Of a video's pairs the settings tell enough.
        if old_pairs is not None and old_pairs.get(name) == pairs.get(name):
            continue
        own = files.from_network(name) if inputs.single else ()
        there = (path for path in files.of_any_run(name) if path not in own and path.is_file())
        foreign += [(number, path) for path in there]
    return foreign


def _report_left_over(files, inputs, pairs, old_pairs):
    """Say which results in the folder are not of this run, and will not be: nobody can see it."""
    if files.one is not None or files.folder == files.work:
        return
    names = set(map(inputs.name, range(len(inputs))))

    def is_left_over(name, path):
        if name not in names:
            return not inputs.single  # of those many may gather in a folder
        is_own = old_pairs is not None and old_pairs.get(name) == pairs.get(name)
        return not is_own and path not in files.made(name)

    left = [path for name, path in files.results_there() if is_left_over(name, path)]
    if left:
        logger.warning(
            "%s: %d files of other images or settings stay there beside those of this run, such "
            "as %s",
            *(files.folder, len(left), left[0].name),
        )


def _refuse(foreign, inputs):
    """Raise InputError for the first file that was not made of these images, if there is one."""
    for number, path in foreign:
        first, second = (inputs.frames[index] for index in inputs.ends(number))
        raise InputError(
            f"{path}: is there, and was not made of {first} and {second} as they are now; {_REMEDY}"
        )
