"""Flow for the test halves of Sintel and KITTI, as archives: `main.py CONFIG -c RUN --predict`."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from maskflownet.config.errors import InputError
from maskflownet.output.submissions import SUBMISSIONS, make_archive
from maskflownet.reader.datasets.benchmark_sets import UnlabelledSet, open_test_sets
from maskflownet.reader.flow_files import write_flow
from maskflownet.reader.images import read_image
from maskflownet.reader.read_ahead import read_ahead
from maskflownet.tasks.pipe import Pipe
from maskflownet.tasks.progress import progress
from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.runs.fetch import git_blob_id
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

SETTINGS_FILE = "settings.json"


def predict_benchmarks(
    pipe: Pipe,
    paths: Mapping[str, Path | None],
    folder: Path,
    checkpoint: Checkpoint,
    batch_size: int = 1,
    resize: tuple[int, int] | None = None,
    precision: str = "float32",
) -> int:
    """Write flow for every test half that is there, at the images' own size, and pack it.

    `folder`/SET/ holds the flow files and `folder`/SET.zip the archive, for SET of "sintel",
    "kitti_2012" and "kitti_2015". Flow files that are there are kept, so that an interrupted run
    can be taken up again; `folder`/settings.json says what they were made with, and other settings
    are refused. An archive is made of complete sets alone. Memory does not grow with the sets.

    Parameters
    ----------
    pipe : network.Pipeline
    paths : mapping
        Dataset names to root folders or None, as `config.load_paths` gives them.
    folder : pathlib.Path
        Where to write; made if it is missing.
    checkpoint : tasks.runs.checkpoints.Checkpoint
        What `pipe` holds.
    batch_size : int
        Pairs per step.
    resize : tuple of int, optional
        (height, width) that the network sees; by default each image's own size.
    precision : {"float32", "bf16"}
        Of `pipe`.

    Returns
    -------
    int
        0 if there is an archive for each test half that was found, 1 if one is incomplete.

    Raises
    ------
    InputError
        The folder holds something else, an image cannot be read, or a flow file is damaged.
    MissingDataError
        There is no test half, or a root that is set is no folder.
    """
    sets, skipped = open_test_sets(paths)
    for name, reason in skipped:
        logger.info("left out: %s; %s", name, reason)
    _claim(folder, _settings(pipe, checkpoint, resize, precision))
    made = [_predict_set(pipe, test_set, folder, batch_size, resize) for test_set in sets]
    return 0 if all(made) else 1


def _settings(pipe, checkpoint, resize, precision):
    """Return what flow depends on, as JSON gives it back (with lists for tuples)."""
    network = dataclasses.asdict(pipe.config.network)
    del network["mw"]  # only for training
    settings = {
        "parameter_file": checkpoint.path.name,
        "git_blob_id": git_blob_id(checkpoint.path),
        "network": network,
        "resize_hw": resize,
    }
    if precision != "float32":
        settings["precision"] = precision
    return json.loads(json.dumps(settings))


def _claim(folder, settings):
    """Note the settings in the folder, or raise InputError if it holds files of other ones."""
    path = folder / SETTINGS_FILE
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise InputError(
                f"{folder}: expected an empty folder or one with {SETTINGS_FILE}, got other files; "
                "move them away"
            )
        with whole_file(path) as part:
            part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        noted = None
    noted = noted if isinstance(noted, dict) else {}
    if isinstance(noted.get("network"), dict):
        noted["network"].pop("mw", None)  # which older versions noted too
    if noted != settings:
        names = dict.fromkeys([*settings, *noted])
        other = [name for name in names if noted.get(name) != settings.get(name)]
        raise InputError(
            f"{path}: expected the settings of this run, got another {' and '.join(other)}: the "
            "flow there is not of this run; move or remove that folder"
        )


def _predict_set(pipe, test_set: UnlabelledSet, folder, batch_size, resize) -> bool:
    """Predict and pack one set; return whether its archive is there."""
    submission = SUBMISSIONS[test_set.name]
    own_folder = folder / test_set.name.replace(".", "_")
    archive = own_folder.with_suffix(".zip")
    if archive.exists():
        logger.info("%s: %s is there already", test_set.name, archive)
        return True
    if not test_set.is_complete:
        logger.warning("%s: %s; there will be no archive", test_set.name, _what_is_there(test_set))
    if pipe.color_order:
        test_set.color_order = pipe.color_order
    files = {pair: own_folder / submission.member(pair.name) for pair in test_set.pairs}
    _predict_pairs(pipe, test_set, files, batch_size, resize)
    if not test_set.is_complete:
        logger.warning("%s: no archive: %s", test_set.name, _what_is_there(test_set))
        return False
    sizes = (
        (submission.member(pair.name), read_image(pair.image1).shape[:2]) for pair in test_set.pairs
    )
    make_archive(archive, own_folder, progress(sizes, len(files), archive.name, "file"))
    megabytes = archive.stat().st_size / 1e6
    then = submission.then.format(folder=own_folder)
    logger.info("%s: %d files, %.1f MB; %s", archive, len(files), megabytes, then)
    return True


def _predict_pairs(pipe, test_set, files, batch_size, resize):
    """Write the flow of each pair to its file, but for those that are there."""
    todo = [pair for pair, path in files.items() if not path.exists()]
    if done := len(files) - len(todo):
        logger.info("%s: %d of %d pairs are done already", test_set.name, done, len(files))
    images = read_ahead(test_set.read, todo, batch_size, lambda pair: pair.name)
    predictions = pipe.predict_pairs(images, batch_size, resize, wanted=("flow",))
    shown = progress(predictions, len(todo), test_set.name)
    for pair, prediction in zip(todo, shown, strict=True):
        write_flow(files[pair], prediction.flow)


def _what_is_there(test_set):
    """Return words for how many pairs of a set are there, and what is missing."""
    count = f"{len(test_set.pairs):,} of {test_set.expected:,} pairs are there"
    if test_set.first_missing:
        return f"{count}; first missing: {test_set.first_missing}"
    if len(test_set.pairs) < test_set.expected:
        return f"{count}; the last frames of a sequence are missing"
    return f"{count}, more than were published"
