"""From the arguments of predict_new_data.py to a job."""

import argparse
import dataclasses

from maskflownet.config import Config, InputError
from maskflownet.output.video import STEADY
from maskflownet.reader.flow_files import read_flow
from maskflownet.reader.images import read_pair
from maskflownet.tasks.prediction.files import (
    Files,
    place_results,
    refuse_files_as_folders,
    refuse_overwriting,
    refuse_own_folder,
)
from maskflownet.tasks.prediction.inputs import (
    Inputs,
    folder_frames,
    listed_pairs,
    one_pair,
    video_frames,
)
from maskflownet.tasks.prediction.job import Job
from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.runs.fetch import git_blob_id


def inputs_and_files(arguments: argparse.Namespace) -> tuple[Inputs, Files]:
    """Return what is to be predicted and where results go.

    Raises
    ------
    InputError
        The arguments do not fit together, or what they name is not there or cannot be read.
    """
    files = place_results(
        arguments.output,
        arguments.save,
        arguments.backward,
        arguments.video_out,
        arguments.legend,
        arguments.video_of,
    )
    inputs = _inputs(arguments)
    _check_flags(arguments, inputs, files)
    if files.one is not None:
        inputs = dataclasses.replace(inputs, name=lambda number: files.one.stem)
    if arguments.folder is not None:
        refuse_own_folder(files, arguments.folder)
    refuse_overwriting(files, inputs, arguments.flow)
    refuse_files_as_folders(files)
    if inputs.single:
        image1, image2 = inputs.frames.paths
        _check_pair(image1, image2, arguments.flow)
    return inputs, files


def job_of(
    arguments: argparse.Namespace,
    inputs: Inputs,
    files: Files,
    checkpoint: Checkpoint,
    config: Config,
) -> Job:
    """Return the job that the arguments describe.

    Raises
    ------
    InputError
        A mask is to be saved and the network has none.
    """
    if "mask" in files.kinds and not config.network.has_mask:
        raise InputError(
            f"mask: {config.name} has network.matching {config.network.matching}, which "
            "predicts no mask; leave mask out"
        )
    network = dataclasses.asdict(config.network)
    del network["mw"]  # only for training
    settings = {
        "checkpoint": f"{checkpoint.path.name}, git blob {git_blob_id(checkpoint.path)}",
        "network": network,
        "resize": arguments.resize,
    }
    for key in ("max_side", "mask_threshold"):
        if getattr(arguments, key) is not None:
            settings[key] = getattr(arguments, key)
    if arguments.precision != "float32":  # so that what older versions wrote can be gone on with
        settings["precision"] = arguments.precision
    return Job(
        inputs=inputs,
        files=files,
        settings=settings,
        batch_size=arguments.batch,
        resize=arguments.resize,
        overwrite=arguments.overwrite,
        strict=arguments.strict,
        max_flow=arguments.max_flow,
        max_side=arguments.max_side,
        mask_threshold=arguments.mask_threshold,
        rate=arguments.fps,
        side_by_side=arguments.side_by_side,
        truth=arguments.flow,
    )


def _inputs(arguments):
    pair = (arguments.image_1, arguments.image_2)
    sequences = (arguments.folder, arguments.pairs, arguments.video_filepath)
    given = sum(source is not None for source in sequences) + (pair != (None, None))
    if given == 1 and pair.count(None) == 1:
        missing, there = ("2", "1") if arguments.image_2 is None else ("1", "2")
        raise InputError(
            f"--image_{missing} is missing: --image_{there} is one image of a pair; name the other"
        )
    if given != 1:
        raise InputError(
            "expected one of --image_1 with --image_2, --folder, --pairs and --video_filepath"
        )
    if arguments.folder is not None:
        return folder_frames(arguments.folder, arguments.stride)
    if arguments.pairs is not None:
        return listed_pairs(arguments.pairs)
    if arguments.video_filepath is not None:
        return video_frames(
            arguments.video_filepath, arguments.stride, arguments.start, arguments.duration
        )
    return one_pair(*pair)


def _check_flags(arguments, inputs, files):
    """Raise InputError for a flag that would have no effect."""
    sequence = inputs.step == 1
    is_video = arguments.video_filepath is not None
    wrong = (
        (files.one and not inputs.single, f"{files.one} is for one pair: name a folder as OUTPUT"),
        (files.video and not sequence, "a video is made of --folder or --video_filepath only"),
        (arguments.stride != 1 and not sequence, "--stride is for --folder and --video_filepath"),
        (arguments.flow and not inputs.single, "--flow is for --image_1 with --image_2"),
        (arguments.side_by_side and not files.video, "--side_by_side is for a video"),
        (arguments.fps and not files.video, "--fps is for a video"),
        (arguments.video_of != "color" and not files.video, "--video_of is for a video"),
        (
            (arguments.start or arguments.duration is not None) and not is_video,
            "--start and --duration are for --video_filepath",
        ),
        (arguments.resize and arguments.max_side, "expected one of --resize and --max_side"),
        (
            arguments.mask_threshold is not None and "mask" not in files.kinds,
            "--mask_threshold is for the mask: add mask to --save",
        ),
        (
            arguments.max_flow and not (files.kinds & {"color", "arrows"} or files.legend),
            "--max_flow is for colours and arrows: add color to --save",
        ),
        (
            files.video
            and files.video.suffix.lower() in STEADY
            and is_video
            and not (arguments.fps or inputs.frames.rate),
            f"{files.video}: such a file has no times of frames, and those of "
            f"{arguments.video_filepath} are not shown equally long: name an .mp4, or add --fps",
        ),
    )
    for is_wrong, message in wrong:
        if is_wrong:
            raise InputError(message)


def _check_pair(image1, image2, truth_file):
    """Raise InputError if a pair or its true flow cannot be read or the sizes differ."""
    size_hw = read_pair(image1, image2)[0].shape[:2]
    if truth_file is None:
        return
    truth_hw = read_flow(truth_file)[0].shape[:2]
    if truth_hw != size_hw:
        raise InputError(
            f"{truth_file}: expected flow of the images' size, {size_hw[1]}x{size_hw[0]}, got "
            f"{truth_hw[1]}x{truth_hw[0]}"
        )
