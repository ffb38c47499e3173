"""The second pass: everything that is made from saved flow."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.metrics import score_image
from maskflownet.output import (
    color_legend,
    consistency_mask,
    draw_arrows,
    error_map,
    flow_to_color,
    largest_length,
)
from maskflownet.output.video import Shown, write_video
from maskflownet.reader.flow_files import read_flo, read_flow, write_kitti_png, write_npy
from maskflownet.reader.images import read_image, write_image
from maskflownet.reader.read_ahead import READERS, read_ahead
from maskflownet.tasks.prediction.files import CONSISTENT, ERROR
from maskflownet.tasks.progress import progress

logger = logging.getLogger(__name__)

RATE = 25  # frames per second of a video made from image files


class _Source(NamedTuple):
    """A pair that is finished: its number, image 1 if a picture needs it, and when that is shown.

    `time` and `duration` are in seconds, None without a video's times.
    """

    number: int
    image1: np.ndarray | None
    time: Fraction | None = None
    duration: Fraction | None = None


def make_pictures(job: Any, faults: Any) -> None:
    """Make all that the job asks for beside what the network itself made.

    Parameters
    ----------
    job : Job
        All flow that there is to be has been saved.
    faults : Faults
    """
    files = job.files
    finished = [files.finished(job.inputs.name(number)) for number in range(len(job.inputs))]
    longest = job.max_flow
    if longest is None and (files.kinds & {"color", "arrows"} or files.legend):
        longest = _longest(job, finished)
    if files.legend:
        write_image(files.legend, color_legend(longest))
    sources = _sources(job, finished, faults)
    pictures = read_ahead(lambda source: _finish(job, longest, source), sources, ahead=READERS)
    shown = progress(pictures, sum(finished), "pictures", "frame")
    if files.video:
        frames = job.inputs.frames
        own_times = frames.timed and job.rate is None
        rate = frames.rate if own_times else job.rate or RATE
        write_video(files.video, shown, rate, frames.pixel_aspect)
    else:
        for _ in shown:
            pass


def _longest(job, finished):
    """Return the length of the longest vector of all saved flow."""
    flows = (job.files.flow(job.inputs.name(n)) for n, done in enumerate(finished) if done)
    lengths = read_ahead(lambda path: largest_length(_own_flow(path)), flows, ahead=READERS)
    return max(progress(lengths, sum(finished), "longest flow", "frame"))


def _own_flow(path):
    """Read flow that this program wrote, now or in an earlier run."""
    try:
        return read_flo(path)
    except MissingDataError:
        raise
    except InputError as error:
        fault = str(error).rsplit("; ", 1)[0]
        raise InputError(f"{fault}; remove it and start again: it is made anew") from error


def _sources(job, finished, faults) -> Iterator[_Source]:
    """Yield each pair that is finished; frames are only read if they or their times are needed."""
    needs_image = "arrows" in job.files.kinds or job.side_by_side
    needs_time = job.files.video and job.inputs.frames.timed and job.rate is None
    if not needs_image and not needs_time:
        yield from (_Source(number, None) for number, done in enumerate(finished) if done)
        return
    step = job.inputs.step

    def wanted(index):
        number, remainder = divmod(index, step)
        return not remainder and number < len(finished) and finished[number]

    def image_wanted(index):
        return needs_image and wanted(index)

    waiting = None  # until it is known how long it is shown
    for index, frame in enumerate(job.inputs.frames.read(image_wanted, ahead=READERS)):
        if waiting is not None:
            late = frame.time is None or waiting.time is None
            yield waiting._replace(duration=None if late else frame.time - waiting.time)
            waiting = None
        if not wanted(index):
            continue
        if needs_image and frame.image is None:
            faults.add(frame.error or InputError(f"{job.inputs.frames[index]}: cannot be read"))
        else:
            waiting = _Source(index // step, frame.image, frame.time if needs_time else None)
    if waiting is not None:
        yield waiting


def _finish(job, longest, source) -> Shown | np.ndarray | None:
    """Make one pair's files; return its frame of the video, None if there is none."""
    files, name = job.files, job.inputs.name(source.number)
    flow = _own_flow(files.flow(name))
    if "kitti" in files.save:
        write_kitti_png(files.saved(name, "kitti"), flow)
    if "npy" in files.save:
        write_npy(files.saved(name, "npy"), flow)
    if files.backward:
        consistent = consistency_mask(flow, _own_flow(files.backward_flow(name)))
        write_image(files.result(name, CONSISTENT), consistent.astype(np.uint8) * 255)
    if job.truth:
        _compare(files.result(name, ERROR), flow, job.truth)
    drawn = {}
    if "color" in files.kinds:
        drawn["color"] = flow_to_color(flow, longest)
    if "arrows" in files.kinds:
        drawn["arrows"] = draw_arrows(source.image1, flow, longest=longest)
    for kind in drawn.keys() & files.save:
        write_image(files.saved(name, kind), drawn[kind])
    if not files.video:
        return None
    picture = drawn.get(files.video_of)
    if picture is None:  # the network made it
        picture = read_image(files.saved(name, files.video_of))
    if job.side_by_side:
        picture = cv2.hconcat([source.image1, picture])
    if source.time is None:
        return picture
    return Shown(picture, source.time, source.duration or Fraction(1, RATE))


def _compare(path, flow, truth_file):
    """Say how far a flow is from the truth, and paint it."""
    truth, valid = read_flow(truth_file)
    valid = valid[..., 0] > 0
    score = score_image(flow, truth, valid)
    logger.info(
        "EPE %.3f px, Fl %.2f %%, over %d pixels with true flow",
        score.epe,
        100 * score.fl,
        score.pixels,
    )
    write_image(path, error_map(flow, truth, valid))
