"""Videos are written, then read back by OpenCV, which has an FFmpeg of its own, and by PyAV."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from maskflownet.config.errors import InputError
from maskflownet.output import flow_to_color
from maskflownet.output.video import CONTAINERS, Shown, write_video

SIZE_HW = (72, 96)
TIMES = [Fraction(time) for time in ("0", "0.1", "0.25", "2", "2.1", "2.5")]


def pictures(count=8, size_hw=SIZE_HW):
    """Yield colour wheels that move to the right."""
    height, width = size_hw
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for index in range(count):
        flow = np.dstack([x - width / 2 - 4 * index, y - height / 2])
        yield flow_to_color(flow, max_flow=60)


def shown(times=TIMES, last="0.3", size_hw=SIZE_HW):
    """Yield colour wheels with times of their own."""
    for image, time in zip(pictures(len(times), size_hw), times, strict=True):
        yield Shown(image, time, Fraction(last))


def read_with_opencv(path):
    video = cv2.VideoCapture(str(path))
    frames = []
    while (frame := video.read()[1]) is not None:
        frames.append(frame)
    return frames, video.get(cv2.CAP_PROP_FPS)


def read_with_pyav(path):
    """Return images, their times and the end in seconds."""
    with av.open(f"file:{path}") as file:
        frames = list(file.decode(video=0))
        end = ((file.start_time or 0) + file.duration) / Fraction(av.time_base)
        times = [frame.time - frames[0].time for frame in frames]
        return [frame.to_ndarray(format="bgr24") for frame in frames], times, end


def difference(frame, picture):
    return np.abs(frame.astype(int) - picture).mean()


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_what_is_read_back_is_what_was_written(tmp_path, suffix):
    path = tmp_path / f"flow{suffix}"
    assert write_video(path, pictures(), 12.5) == 8
    expected = list(pictures())
    frames, rate = read_with_opencv(path)
    also, times, end = read_with_pyav(path)
    assert len(frames) == len(also) == 8
    assert rate == 12.5 and end == Fraction(8, 25) * 2
    assert times == pytest.approx([index / 12.5 for index in range(8)])
    allowed = 8 if suffix == ".gif" else 4
    for frame, other, picture in zip(frames, also, expected, strict=True):
        assert difference(frame, picture) < allowed
        assert difference(other, picture) < allowed
    # So much that a picture is nearer to its own frame than to the next one.
    assert difference(frames[3], expected[3]) < 0.6 * difference(frames[3], expected[4])


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".webm", "vp9"), (".gif", "gif")])
def test_what_players_need(tmp_path, suffix, codec):
    write_video(tmp_path / f"flow{suffix}", pictures(), 12.5)
    with av.open(str(tmp_path / f"flow{suffix}")) as file:
        context = file.streams.video[0].codec_context
        assert context.name == codec
        if codec != "gif":
            # BT.601, limited, in 4:2:0: what players assume that heed no tags.
            tags = context.pix_fmt, context.colorspace, context.color_range
            assert tags == ("yuv420p", 6, 1)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif"])
def test_frames_keep_their_own_times(tmp_path, suffix):
    path = tmp_path / f"flow{suffix}"
    assert write_video(path, shown()) == 6
    images, times, end = read_with_pyav(path)
    assert times == pytest.approx([float(time) for time in TIMES], abs=1e-3)
    assert end == pytest.approx(2.8, abs=1e-3)
    for image, expected in zip(images, pictures(6), strict=True):
        assert difference(image, expected) < (8 if suffix == ".gif" else 4)


def test_avi_has_no_times(tmp_path):
    with pytest.raises(InputError, match=r"flow\.avi: expected frames that are shown equally long"):
        write_video(tmp_path / "flow.avi", shown())
    assert write_video(tmp_path / "flow.avi", shown([Fraction(n, 10) for n in range(4)]), 10) == 4


def test_gif_leaves_out_what_browsers_would_slow_down(tmp_path):
    assert write_video(tmp_path / "flow.gif", pictures(12), 100) == 6
    assert read_with_pyav(tmp_path / "flow.gif")[1] == pytest.approx(
        [0, 0.02, 0.04, 0.06, 0.08, 0.1]
    )


def test_red_stays_red(tmp_path):
    red = np.full((64, 64, 3), (0, 0, 255), np.uint8)
    for suffix in (".mp4", ".webm"):
        path = tmp_path / f"red{suffix}"
        write_video(path, [red] * 3, 10)
        for frames in (read_with_opencv(path)[0], read_with_pyav(path)[0]):
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


def test_another_size_is_scaled_into_the_first(tmp_path, caplog):
    white = np.full((20, 20, 3), 255, np.uint8)
    frames = [*pictures(2), white, white]
    assert write_video(tmp_path / "flow.mp4", frames, 10) == 4
    images, _, _ = read_with_pyav(tmp_path / "flow.mp4")
    assert images[2].shape[:2] == SIZE_HW
    assert images[2][:, 16:80].min() > 240 and images[2][:, :8].max() < 16
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1 and "changes from 96x72 to 20x20" in lines[0]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif"])
def test_pixels_that_are_not_square_keep_their_shape(tmp_path, suffix):
    path = tmp_path / f"flow{suffix}"
    write_video(path, pictures(3), 10, pixel_aspect=Fraction(4, 3))
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        aspect = Fraction(stream.width, stream.height) * (stream.sample_aspect_ratio or 1)
    assert aspect == Fraction(96, 72) * Fraction(4, 3)


def test_rates_of_television_are_kept_exactly(tmp_path):
    write_video(tmp_path / "ntsc.mp4", pictures(4), Fraction(30000, 1001))
    assert read_with_opencv(tmp_path / "ntsc.mp4")[1] == pytest.approx(30000 / 1001, abs=1e-9)


@pytest.mark.parametrize("name", ["10:30.mp4", "file:flow.mp4", "-y.mp4", "http:flow.gif"])
def test_a_name_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(name, pictures(2), 10)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "frames", "message"),
    [
        ("flow.wmv", [np.zeros((64, 64, 3), np.uint8)], "ends in .mp4, .mov, .mkv, .avi, .webm"),
        ("flow.mp4", [], "expected frames for a video, got none"),
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


def test_an_encoder_that_fails_is_one_line(tmp_path, monkeypatch):
    def no_space(*_):
        raise av.error.OSError(28, "No space left on device")

    monkeypatch.setattr("maskflownet.output.video._to_yuv", no_space)
    with pytest.raises(InputError, match=r"flow\.mp4: FFmpeg could not .*No space left[^\n]*$"):
        write_video(tmp_path / "flow.mp4", pictures(30), 10)
    assert list(tmp_path.iterdir()) == []
