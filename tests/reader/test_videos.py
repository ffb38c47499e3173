"""Videos as they come: healthy, tagged, turned, damaged, cut short, and none at all."""

import random
import subprocess
import threading
from fractions import Fraction

import imageio_ffmpeg
import numpy as np
import pytest

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.reader.read_ahead import iterate_ahead
from maskflownet.reader.videos import Video

SIZE_HW = (64, 96)


def picture(index):
    """Return a smooth uint8 (64, 96, 3) picture of strong colours, unlike that of other indices."""
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]] / 16
    channels = [np.sin(x + index), np.cos(y - index / 2), np.sin(x - y)]
    return np.uint8(np.rint(127.5 + 110 * np.dstack(channels)))


def make_video(path, count=12, options=("-c:v", "libx264", "-crf", "4"), before=()):
    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [program, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24"]
    command += ["-s", f"{SIZE_HW[1]}x{SIZE_HW[0]}", "-r", "10", *before, "-i", "-", *options]
    pixels = b"".join(picture(index).tobytes() for index in range(count))
    subprocess.run([*command, str(path)], input=pixels, check=True)
    return path


def recode(source, path, *options, before=()):
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run(
        [program, "-v", "error", "-y", *before, "-i", str(source), *options, str(path)], check=True
    )
    return path


def damage(path, length=600):
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + length] = random.Random(0).randbytes(length)
    path.write_bytes(data)
    return path


def difference(frame, index):
    return np.abs(frame.astype(int) - picture(index)).mean()


# --- what is read ---------------------------------------------------------------------------------


def test_frames_in_order_in_bgr(tmp_path):
    video = Video(make_video(tmp_path / "a.mp4"))
    assert (video.rate, video.expected) == (10, 12)
    frames = list(video.frames())
    assert len(frames) == 12
    for index, frame in enumerate(frames):
        assert frame.dtype == np.uint8 and frame.shape == (*SIZE_HW, 3)
        assert difference(frame, index) < 4
    assert difference(frames[3], 4) > 10


def test_colours_of_high_definition_are_right(tmp_path):
    options = ["-vf", "scale=out_color_matrix=bt709", "-colorspace", "bt709"]
    path = make_video(tmp_path / "hd.mp4", 3, [*options, "-c:v", "libx264", "-crf", "4"])
    for index, frame in enumerate(Video(path).frames()):
        assert difference(frame, index) < 4


def test_unwanted_frames_come_as_none(tmp_path):
    video = Video(make_video(tmp_path / "a.mp4"))
    frames = list(video.frames(lambda index: index % 3 == 1))
    assert [frame is not None for frame in frames] == [False, True, False] * 4
    assert difference(frames[7], 7) < 4


def test_rates_of_television(tmp_path):
    path = make_video(tmp_path / "a.mp4", 4)
    ntsc = recode(path, tmp_path / "ntsc.mkv", "-r", "30000/1001")
    assert Video(ntsc).rate == Fraction(30000, 1001)


def test_a_turned_video_comes_upright(tmp_path):
    path = make_video(tmp_path / "a.mp4", 3)
    turned = recode(path, tmp_path / "b.mp4", "-c", "copy", before=("-display_rotation", "90"))
    frames = list(Video(turned).frames())
    assert frames[1].shape == (*SIZE_HW[::-1], 3)
    assert difference(np.rot90(frames[1], -1), 1) < 4


def test_frames_that_are_shown_longer_are_not_repeated(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    chosen = "select='not(between(n,3,5))'"
    uneven = recode(path, tmp_path / "b.mkv", "-vf", chosen, "-fps_mode", "vfr", "-crf", "4")
    frames = list(Video(uneven).frames())
    assert len(frames) == 9
    assert difference(frames[3], 6) < 5


def test_stopping_early_leaves_no_process_and_no_thread(tmp_path):
    video = Video(make_video(tmp_path / "a.mp4"))
    before = threading.active_count()
    frames = iterate_ahead(video.frames(), ahead=2)
    assert difference(next(frames), 0) < 4
    frames.close()
    assert threading.active_count() == before


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.avi", ["-c:v", "mjpeg", "-q:v", "2"]),
        ("a.mp4", ["-c:v", "libx264", "-g", "4", "-bf", "0", "-crf", "4"]),
        ("b.mp4", ["-c:v", "mpeg4", "-g", "4", "-q:v", "2"]),
    ],
)
def test_damaged_frames_are_named_and_the_others_keep_their_numbers(tmp_path, name, options):
    path = damage(make_video(tmp_path / name, options=options))
    frames = list(Video(path).frames())
    assert len(frames) == 12
    bad = [index for index, frame in enumerate(frames) if isinstance(frame, InputError)]
    assert bad and set(bad) < set(range(3, 9))
    for index in bad:
        assert str(frames[index]) == f"{path}, frame {index}: expected a frame, got damage"
    for index in (0, 1, 2, 10, 11):
        assert difference(frames[index], index) < 6


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_video_that_was_cut_short_says_so_at_its_end(tmp_path, suffix):
    options = ["-c:v", "libx264", "-g", "4", "-crf", "4", "-movflags", "+faststart"]
    path = make_video(tmp_path / "a.mp4", options=options)
    path = recode(path, tmp_path / f"b{suffix}", "-c", "copy", "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match=r"expected an undamaged video, got \"[^\n]*from ffmpeg"):
        list(Video(path).frames())
    frames = Video(path).frames()
    for index in range(4):
        assert difference(next(frames), index) < 4
    frames.close()


@pytest.mark.parametrize("name", ["text.mp4", "text.avi", "text.png", "text"])
@pytest.mark.parametrize("content", [b"hello", b"", bytes(1000)])
def test_what_is_no_video(tmp_path, capfd, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"text.*: expected a video that ffmpeg can open, got"):
        Video(path)
    assert capfd.readouterr() == ("", "")


def test_a_video_without_its_index_cannot_be_opened(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged or cut short"):
        Video(path)


def test_missing(tmp_path):
    with pytest.raises(MissingDataError, match=r"nope\.mp4"):
        Video(tmp_path / "nope.mp4")
    with pytest.raises(InputError, match="got a folder"):
        Video(tmp_path)


def test_an_ffmpeg_that_fails_is_not_a_short_video(tmp_path, monkeypatch):
    video = Video(make_video(tmp_path / "a.mp4"))
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    with pytest.raises(InputError, match="exit code 1"):
        list(video.frames())
