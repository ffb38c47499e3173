"""One run of the program: what goes in, what comes out, and how."""

import itertools
import logging
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.config.network_size import MULTIPLE
from maskflownet.reader.flow_files import write_flo
from maskflownet.reader.images import write_image
from maskflownet.reader.read_ahead import read_ahead
from maskflownet.tasks.pipe import Pipe
from maskflownet.tasks.prediction import record
from maskflownet.tasks.prediction.files import Files
from maskflownet.tasks.prediction.inputs import Faults, Inputs
from maskflownet.tasks.prediction.pictures import make_pictures
from maskflownet.tasks.progress import progress
from maskflownet.whole_file import check_writable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Everything about a run but the network.

    Attributes
    ----------
    inputs : Inputs
    files : Files
    settings : dict
        What results depend on beside the inputs (checkpoint, network, size); JSON can hold it.
    batch_size : int
        Pairs per step.
    resize : tuple of int, optional
        (height, width) that the network sees.
    overwrite : bool
        Do pairs again that are finished.
    strict : bool
        Stop at the first image that cannot be read.
    max_flow : float, optional
        Length in pixels at which colours are full; by default the longest flow of all pairs.
    max_side : int, optional
        The most pixels that the network sees along the longer side; images are scaled down for it.
    mask_threshold : float, optional
        From where on the mask counts as visible; by default its values are kept.
    rate : Fraction or float, optional
        Frames per second of the video; by default frames are shown when those of the input are.
    side_by_side : bool
        Whether the video shows the input beside the flow.
    truth : pathlib.Path, optional
        The true flow of a single pair.
    """

    inputs: Inputs
    files: Files
    settings: dict = field(default_factory=dict)
    batch_size: int = 1
    resize: tuple[int, int] | None = None
    overwrite: bool = False
    strict: bool = False
    max_flow: float | None = None
    max_side: int | None = None
    mask_threshold: float | None = None
    rate: Fraction | float | None = None
    side_by_side: bool = False
    truth: Path | None = None


def run(pipe: Pipe, job: Job) -> int:
    """Predict every pair that is not finished yet, and make what was asked for.

    Images are read, predicted and written at the same time, a batch of each at most, so that
    memory does not grow with the number of pairs.

    Parameters
    ----------
    pipe : network.Pipeline
    job : Job

    Returns
    -------
    int
        The exit code: 1 if something could not be read and was left out, else 0.

    Raises
    ------
    InputError
        Results of other settings are there; or, if strict, something cannot be read.
    """
    _check_places(job.files)
    record.begin(job.files, job.inputs, job.settings, job.overwrite)
    faults = Faults(job.strict or job.inputs.single)
    predicted = _predict(pipe, job, faults)
    files = job.files
    names = list(filter(files.finished, map(job.inputs.name, range(len(job.inputs)))))
    if not names and not faults.count:
        files.remove_work([])
        raise InputError(
            f"{job.inputs.frames.paths[0]}: expected {job.inputs.stride + 1} frames or more, got "
            f"{len(job.inputs.frames)}"
        )
    _check_there(files, predicted - set(names))
    if names:
        make_pictures(job, faults)
        if not faults.count:
            _check_there(files, filter(files.misses_any, names))
    logger.info("flow of %d of %d pairs: %s", len(names), len(job.inputs), files.target)
    if faults.count:
        logger.warning("%d could not be read, see above: mend them and start again", faults.count)
        return 1
    files.remove_work(names)
    return 0


def _check_places(files):
    """Raise OSError where nothing can be written, before earlier results are removed."""
    check_writable(files.folder if files.target == files.folder else files.target.parent)
    if files.video:  # it is written in the end, perhaps hours from now
        check_writable(files.video.parent)


def _check_there(files, missing):
    """Raise InputError if results are not there that were written."""
    missing = sorted(missing)
    if missing:
        raise InputError(
            f"{files.target}: the results of {len(missing)} pairs, such as {missing[0]}, were "
            "written and are gone: something else removes files there; start again"
        )


def _predict(pipe, job, faults):
    """Save what the network makes of every pair that is not finished; return their names."""
    inputs, files = job.inputs, job.files

    def todo(number):
        return inputs.single or not files.finished(inputs.name(number))

    left = sum(map(todo, range(len(inputs))))
    if kept := len(inputs) - left:
        logger.info("%d of %d pairs are finished already", kept, len(inputs))
    ahead = max(2, job.batch_size)
    results = _results(pipe, job, inputs.pairs(todo, faults, ahead))
    # Reading ahead from the network's results: that is, writing behind it.
    written = read_ahead(lambda result: _write(job, *result), results, ahead)
    unit = "pair" if inputs.step == 2 else "frame"
    names = set()
    for name in progress(written, left, "flow", unit):
        if not names:
            _check_space(files, name, left - 1)
        names.add(name)
    return names


def _check_space(files, first, left):
    """Raise InputError if the disk cannot hold the flow of all pairs, by that of the first."""
    path = files.flow(first)
    try:
        need, free = left * path.stat().st_size, shutil.disk_usage(path.parent).free
    except OSError:
        return  # it is gone, of which more is said in the end
    if need > free:
        raise InputError(
            f"{path.parent}: the flow of {left} more pairs needs {need / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free; name another OUTPUT, or do a part at a time"
        )


def _results(pipe, job, pairs) -> Iterator[tuple]:
    """Yield each pair's name, prediction and flow back (None if it is not wanted)."""
    names = deque()  # of the pairs that the pipeline has taken and not answered yet

    def images(pairs):
        for number, image1, image2 in pairs:
            names.append(job.inputs.name(number))
            yield image1, image2
            if job.files.backward:
                yield image2, image1

    wanted = {"flow"} | {"mask", "warped"} & job.files.kinds
    for size_hw, alike in itertools.groupby(pairs, key=lambda pair: pair[1].shape[:2]):
        resize = job.resize or (job.max_side and smaller_size(size_hw, job.max_side))
        predictions = pipe.predict_pairs(images(alike), job.batch_size, resize, wanted)
        for prediction in predictions:
            backward = next(predictions).flow if job.files.backward else None
            yield names.popleft(), prediction, backward


def smaller_size(size_hw: tuple[int, int], max_side: int) -> tuple[int, int] | None:
    """Return the size at which a network sees images, of about their shape.

    Parameters
    ----------
    size_hw : tuple of int
        Of the images.
    max_side : int
        Pixels along the longer side at most.

    Returns
    -------
    tuple of int or None
        (height, width), multiples of 64; None if the images are that small already.
    """
    scale = max_side / max(size_hw)
    if scale >= 1:
        return None
    highest = max_side // MULTIPLE
    height, width = (max(1, min(highest, round(scale * size / MULTIPLE))) for size in size_hw)
    return height * MULTIPLE, width * MULTIPLE


def _write(job, name, prediction, backward):
    """Write what only the network can tell; the flow last, so that it stands for all of it."""
    files = job.files
    if "mask" in files.kinds:
        mask = prediction.mask[..., 0]
        if job.mask_threshold is not None:
            mask = mask >= job.mask_threshold
        write_image(files.saved(name, "mask"), _to_8_bits(mask))
    if "warped" in files.kinds:
        write_image(files.saved(name, "warped"), _to_8_bits(prediction.warped))
    if backward is not None:
        write_flo(files.backward_flow(name), backward)
    write_flo(files.flow(name), prediction.flow)
    return name


def _to_8_bits(values):
    """Return values in [0, 1] as uint8 in 0..255, rounded."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
