"""The second pass: everything that is made from saved flow."""

import logging
from collections.abc import Iterator

import cv2
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.metrics import score_image
from maskflownet.output import (
    color_legend,
    consistency_mask,
    draw_arrows,
    error_map,
    flow_to_color,
    largest_length,
)
from maskflownet.output.video import write_video
from maskflownet.reader.flow_files import read_flo, read_flow, write_kitti_png, write_npy
from maskflownet.reader.images import write_image
from maskflownet.reader.read_ahead import READERS, read_ahead
from maskflownet.tasks.prediction.files import CONSISTENT, ERROR
from maskflownet.tasks.progress import progress

logger = logging.getLogger(__name__)

RATE = 25  # frames per second of a video made from image files


def make_pictures(job, faults) -> None:
    """Make all that the job asks for beside what the network itself made.

    Parameters
    ----------
    job : Job
        All flow that there is to be has been saved.
    faults : Faults
    """
    files = job.files
    finished = [files.finished(job.inputs.name(number)) for number in range(len(job.inputs))]
    scale = job.max_flow
    if scale is None and ("color" in files.save or files.video or files.legend):
        scale = _longest(job, finished)
    if files.legend:
        write_image(files.legend, color_legend(scale))
    pairs = _with_image1(job, finished, faults)
    pictures = read_ahead(lambda pair: _finish(job, scale, *pair), pairs, ahead=READERS)
    shown = progress(pictures, sum(finished), "pictures", "frame")
    if files.video:
        write_video(files.video, shown, job.rate or job.inputs.frames.rate or RATE)
    else:
        for _ in shown:
            pass


def _longest(job, finished):
    """Return the length of the longest vector of all saved flow."""
    flows = (job.files.flow(job.inputs.name(n)) for n, done in enumerate(finished) if done)
    lengths = read_ahead(lambda path: largest_length(read_flo(path)), flows, ahead=READERS)
    return max(progress(lengths, sum(finished), "longest flow", "frame"))


def _with_image1(job, finished, faults) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield the number of each pair that is finished, with image 1 where a picture needs it."""
    if "arrows" not in job.files.save and not job.side_by_side:
        yield from ((number, None) for number, done in enumerate(finished) if done)
        return
    step = job.inputs.step

    def wanted(index):
        number, remainder = divmod(index, step)
        return not remainder and number < len(finished) and finished[number]

    for index, frame in enumerate(job.inputs.frames.read(wanted, ahead=READERS)):
        if isinstance(frame, np.ndarray):
            yield index // step, frame
        elif isinstance(frame, InputError) and wanted(index):
            faults.add(frame)


def _finish(job, scale, number, image1) -> np.ndarray | None:
    """Make one pair's files; return its frame of the video, None if there is none."""
    files, name = job.files, job.inputs.name(number)
    flow = read_flo(files.flow(name))
    if "kitti" in files.save:
        write_kitti_png(files.saved(name, "kitti"), flow)
    if "npy" in files.save:
        write_npy(files.saved(name, "npy"), flow)
    if "arrows" in files.save:
        write_image(files.saved(name, "arrows"), draw_arrows(image1, flow))
    if files.backward:
        consistent = consistency_mask(flow, read_flo(files.backward_flow(name)))
        write_image(files.result(name, CONSISTENT), consistent.astype(np.uint8) * 255)
    if job.truth:
        _compare(files.result(name, ERROR), flow, job.truth)
    if "color" not in files.save and not files.video:
        return None
    color = flow_to_color(flow, scale)
    if "color" in files.save:
        write_image(files.saved(name, "color"), color)
    return cv2.hconcat([image1, color]) if job.side_by_side else color


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
