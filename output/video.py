"""Writing videos that play anywhere: H.264 in 4:2:0, through imageio-ffmpeg's ffmpeg."""

import contextlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.videos import ffmpeg_program
from maskflownet.whole_file import whole_file

# ffmpeg's options for the container, by suffix. An index at the front lets browsers begin at once.
CONTAINERS = {
    ".mp4": ("-f", "mp4", "-movflags", "+faststart"),
    ".mov": ("-f", "mov", "-movflags", "+faststart"),
    ".mkv": ("-f", "matroska"),
    ".avi": ("-f", "avi"),
}
_QUALITY = "16"  # x264's constant rate factor; 18 is said to be visually lossless
# Frames are converted with BT.601's matrix, and the file says so: players that read the tag show
# the right colours, and so do programs that ignore it, such as OpenCV, which assume BT.601.
_COLORS = ("-vf", "scale=out_color_matrix=bt601:out_range=tv", "-colorspace", "smpte170m")


def write_video(
    path: str | os.PathLike, frames: Iterable[np.ndarray], rate: Fraction | float
) -> int:
    """Write a video, whole or not at all; frames are taken one by one.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace, ending in .mp4, .mov, .mkv or .avi.
    frames : iterable of numpy.ndarray
        uint8 (H, W, 3), BGR, all of one size. An odd height or width is made even by repeating the
        last row or column: 4:2:0 has one colour sample for two by two pixels.
    rate : Fraction or float
        Frames per second.

    Returns
    -------
    int
        How many frames were written.

    Raises
    ------
    InputError
        Another suffix; no frames, or frames of different sizes; ffmpeg is not there or failed.
    """
    container = CONTAINERS.get(Path(path).suffix.lower())
    if container is None:
        raise InputError(
            f"{os.fspath(path)}: expected a video's name, which ends in {', '.join(CONTAINERS)}"
        )
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{os.fspath(path)}: expected frames for a video, got none")
    with whole_file(path) as part:
        return _encode(part, itertools.chain([first], frames), first.shape, rate, container, path)


def _encode(part, frames, shape, rate, container, path):
    """Send frames to ffmpeg, which writes `part`; return how many."""
    height, width = (size + size % 2 for size in shape[:2])
    command = [ffmpeg_program(), "-hide_banner", "-nostdin", "-v", "error", "-y"]
    command += ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}"]
    command += ["-r", str(Fraction(rate).limit_denominator(1001)), "-i", "pipe:0"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", _QUALITY, *_COLORS]
    command += [*container, os.fspath(part)]
    count = 0
    with tempfile.TemporaryFile() as errors:
        pipe = subprocess.PIPE
        # In a session of its own Ctrl-C does not reach it, which would look like its failure.
        encoder = subprocess.Popen(command, stdin=pipe, stderr=errors, start_new_session=True)
        try:
            for frame in frames:
                if frame.shape != shape:
                    raise InputError(
                        f"{os.fspath(path)}: expected frames of one size for a video, got "
                        f"{shape[1]}x{shape[0]} and {frame.shape[1]}x{frame.shape[0]}; leave it out"
                    )
                _send(encoder, _even(frame), errors, path)
                count += 1
            _finish(encoder, errors, path)
        finally:
            encoder.kill()
            encoder.wait()
            with contextlib.suppress(BrokenPipeError):
                encoder.stdin.close()
    return count


def _send(encoder, frame, errors, path):
    try:
        encoder.stdin.write(frame)
    except BrokenPipeError as error:
        raise _failure(encoder, errors, path) from error


def _finish(encoder, errors, path):
    """Let ffmpeg finish the file; raise InputError if it could not."""
    with contextlib.suppress(BrokenPipeError):
        encoder.stdin.close()
    if encoder.wait() != 0:
        raise _failure(encoder, errors, path)


def _failure(encoder, errors, path):
    """Return the error for an ffmpeg that ended before its time, in its own words."""
    encoder.wait()
    errors.seek(0)
    words = errors.read().decode(errors="replace").strip().splitlines()
    reason = words[-1] if words else f"it ended with exit code {encoder.returncode}"
    return InputError(f"{os.fspath(path)}: ffmpeg could not write this video: {reason}")


def _even(frame):
    bottom, right = (size % 2 for size in frame.shape[:2])
    if bottom or right:
        frame = cv2.copyMakeBorder(frame, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(frame)
