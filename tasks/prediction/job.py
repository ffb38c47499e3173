"""One run of the program: what goes in, what comes out, and how."""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.flow_files import write_flo
from maskflownet.reader.images import write_image
from maskflownet.reader.read_ahead import read_ahead
from maskflownet.tasks.prediction import record
from maskflownet.tasks.prediction.files import Files
from maskflownet.tasks.prediction.inputs import Faults, Inputs
from maskflownet.tasks.prediction.pictures import make_pictures
from maskflownet.tasks.progress import progress

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
    rate : Fraction or float, optional
        Frames per second of the video; by default the input's.
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
    rate: Fraction | float | None = None
    side_by_side: bool = False
    truth: Path | None = None


def run(pipe, job: Job) -> int:
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
    record.begin(job.files, job.inputs, job.settings, job.overwrite)
    faults = Faults(job.strict or job.inputs.single)
    _predict(pipe, job, faults)
    names = list(filter(job.files.finished, map(job.inputs.name, range(len(job.inputs)))))
    if not names and not faults.count:
        raise InputError(
            f"{job.inputs.frames.paths[0]}: expected {job.inputs.stride + 1} frames or more, got "
            f"{len(job.inputs.frames)}"
        )
    if names:
        make_pictures(job, faults)
    files = job.files
    logger.info("flow of %d of %d pairs: %s", len(names), len(job.inputs), files.target)
    if faults.count:
        logger.warning("%d could not be read, see above: mend them and start again", faults.count)
        return 1
    files.remove_work(names)
    return 0


def _predict(pipe, job, faults):
    """Do the first pass: save what the network makes of every pair that is not finished."""
    inputs, files = job.inputs, job.files

    def todo(number):
        return inputs.single or not files.finished(inputs.name(number))

    left = sum(map(todo, range(len(inputs))))
    if kept := len(inputs) - left:
        logger.info("%d of %d pairs are finished already", kept, len(inputs))
    ahead = max(2, job.batch_size)
    results = _results(pipe, job, inputs.pairs(todo, faults, ahead))
    # Reading ahead from the network's results: that is, writing behind it.
    written = read_ahead(lambda result: _write(files, *result), results, ahead)
    for _ in progress(written, left, "flow", "pair" if inputs.step == 2 else "frame"):
        pass


def _results(pipe, job, pairs) -> Iterator[tuple]:
    """Yield each pair's name, prediction and flow back (None if it is not wanted)."""
    names = deque()  # of the pairs that the pipeline has taken and not answered yet

    def images():
        for number, image1, image2 in pairs:
            names.append(job.inputs.name(number))
            yield image1, image2
            if job.files.backward:
                yield image2, image1

    wanted = {"flow"} | {"mask", "warped"} & job.files.save
    predictions = pipe.predict_pairs(images(), job.batch_size, job.resize, wanted)
    for prediction in predictions:
        backward = next(predictions).flow if job.files.backward else None
        yield names.popleft(), prediction, backward


def _write(files, name, prediction, backward):
    """Write what only the network can tell; the flow last, so that it stands for all of it."""
    if "mask" in files.save:
        write_image(files.saved(name, "mask"), _to_8_bits(prediction.mask[..., 0]))
    if "warped" in files.save:
        write_image(files.saved(name, "warped"), _to_8_bits(prediction.warped))
    if backward is not None:
        write_flo(files.backward_flow(name), backward)
    write_flo(files.flow(name), prediction.flow)


def _to_8_bits(values):
    """Return values in [0, 1] as uint8 in 0..255, rounded."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
