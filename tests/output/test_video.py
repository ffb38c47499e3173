"""Videos are written, then read back by two other decoders."""

import re
import subprocess
from fractions import Fraction

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from maskflownet.config.errors import InputError
from maskflownet.output import flow_to_color
from maskflownet.output.video import CONTAINERS, write_video

SIZE_HW = (72, 96)


def pictures(count=8, size_hw=SIZE_HW):
    """Yield colour wheels that move to the right."""
    height, width = size_hw
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for index in range(count):
        flow = np.dstack([x - width / 2 - 4 * index, y - height / 2])
        yield flow_to_color(flow, max_flow=60)


def read_with_opencv(path):
    video = cv2.VideoCapture(str(path))
    frames = []
    while (frame := video.read()[1]) is not None:
        frames.append(frame)
    return frames, video.get(cv2.CAP_PROP_FPS)


def ffmpeg(*arguments):
    program = imageio_ffmpeg.get_ffmpeg_exe()
    return subprocess.run([program, "-hide_banner", *map(str, arguments)], capture_output=True)


def read_with_ffmpeg(path, size_hw=SIZE_HW):
    pixels = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "bgr24", "-").stdout
    return np.frombuffer(pixels, np.uint8).reshape(-1, *size_hw, 3)


def difference(frame, picture):
    return np.abs(frame.astype(int) - picture).mean()


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_what_is_read_back_is_what_was_written(tmp_path, suffix):
    path = tmp_path / f"flow{suffix}"
    assert write_video(path, pictures(), 12.5) == 8
    expected = list(pictures())
    frames, rate = read_with_opencv(path)
    assert len(frames) == 8
    assert rate == 12.5
    also = read_with_ffmpeg(path)
    assert len(also) == 8
    told = ffmpeg("-i", path).stderr.decode()
    assert re.search(r"Video: h264 .* yuv420p\(tv, smpte170m", told)
    for frame, other, picture in zip(frames, also, expected, strict=True):
        assert difference(frame, picture) < 4
        assert difference(other, picture) < 4
    # So much that a picture is nearer to its own frame than to the next one.
    assert difference(frames[3], expected[3]) < 0.5 * difference(frames[3], expected[4])


def test_red_stays_red(tmp_path):
    red = np.full((64, 64, 3), (0, 0, 255), np.uint8)
    write_video(tmp_path / "red.mp4", [red] * 3, 10)
    path = tmp_path / "red.mp4"
    for frames in (read_with_opencv(path)[0], read_with_ffmpeg(path, (64, 64))):
        assert np.abs(frames[1].astype(int) - red).max() <= 4


@pytest.mark.parametrize(("size_hw", "even"), [((71, 95), (72, 96)), ((72, 95), (72, 96))])
def test_odd_sizes_are_padded_with_the_border(tmp_path, size_hw, even):
    path = tmp_path / "odd.mp4"
    write_video(path, pictures(3, size_hw), 10)
    frame, picture = read_with_opencv(path)[0][1], list(pictures(3, size_hw))[1]
    assert frame.shape[:2] == even
    height, width = size_hw
    assert difference(frame[:height, :width], picture) < 4
    padded = cv2.copyMakeBorder(
        picture, 0, even[0] - height, 0, even[1] - width, cv2.BORDER_REPLICATE
    )
    assert difference(frame[:, -2:], padded[:, -2:]) < 12


def test_rates_of_television_are_kept_exactly(tmp_path):
    write_video(tmp_path / "ntsc.mp4", pictures(4), Fraction(30000, 1001))
    assert read_with_opencv(tmp_path / "ntsc.mp4")[1] == pytest.approx(30000 / 1001, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "frames", "message"),
    [
        ("flow.gif", [np.zeros((64, 64, 3), np.uint8)], "ends in .mp4, .mov, .mkv, .avi"),
        ("flow.mp4", [], "expected frames for a video, got none"),
        (
            "flow.mp4",
            [np.zeros((64, 64, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)],
            "got 64x64 and 64x48",
        ),
    ],
)
def test_what_is_refused(tmp_path, name, frames, message):
    with pytest.raises(InputError, match=message):
        write_video(tmp_path / name, iter(frames), 10)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_old_video(tmp_path):
    path = tmp_path / "flow.mp4"
    path.write_bytes(b"old")

    def frames():
        yield from pictures(3)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_video(path, frames(), 10)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_ffmpeg_that_fails_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    with pytest.raises(InputError, match=r"flow\.mp4: [^\n]+$"):
        write_video(tmp_path / "flow.mp4", pictures(30), 10)
    assert list(tmp_path.iterdir()) == []
