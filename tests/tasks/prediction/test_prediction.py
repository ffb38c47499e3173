"""A whole run, with a network that only tells which frames it was shown: every result read back."""

import dataclasses
import threading
import tracemalloc
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from prediction_helpers import (
    SIZE_HW,
    FakePipe,
    files_in,
    flow_numbers,
    frame,
    listing,
    numbers_in,
    video_of,
)
from video_files import SIZE_HW as SMALL_HW
from video_files import break_packet, make_video

from maskflownet.config.errors import InputError
from maskflownet.output import draw_arrows, flow_to_color
from maskflownet.reader.flow_files import read_flo, read_kitti_png, read_npy, write_flo
from maskflownet.reader.images import read_image
from maskflownet.reader.videos import Video
from maskflownet.tasks.prediction import Job, run
from maskflownet.tasks.prediction.files import ENDINGS
from maskflownet.tasks.prediction.inputs import folder_frames, listed_pairs, one_pair, video_frames
from maskflownet.tasks.prediction.job import smaller_size

pytestmark = pytest.mark.usefixtures("info_logged")


# --- results --------------------------------------------------------------------------------------


def test_every_kind_of_result(frames, out):
    files = files_in(out, *ENDINGS)
    assert run(FakePipe(), Job(folder_frames(frames, 1), files)) == 0
    names = [f"frame_{number}" for number in (8, 9, 10, 11)]
    assert listing(out) == sorted(
        [f"{name}{ending}" for name in names for ending in ENDINGS.values()] + ["predicted.json"]
    )
    flow = np.full((*SIZE_HW, 2), (9, 10), np.float32)
    name = out / "frame_9"
    assert numbers_in(f"{name}.flo") == (9, 10)
    np.testing.assert_array_equal(read_npy(f"{name}.npy"), flow)
    stored, valid = read_kitti_png(f"{name}_kitti.png")
    np.testing.assert_array_equal(stored, flow)
    assert (valid == 255).all()
    mask = cv2.imread(f"{name}_mask.png", cv2.IMREAD_UNCHANGED)
    assert mask.shape == SIZE_HW and (mask == 51).all()
    np.testing.assert_array_equal(read_image(f"{name}_warped.png"), frame(10))
    arrows = draw_arrows(frame(9), flow, longest=np.hypot(11, 12))
    np.testing.assert_array_equal(read_image(f"{name}_arrows.png"), arrows)


def test_colours_compare_within_a_sequence(frames, out):
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out))) == 0
    longest = float(np.hypot(11, 12))
    for first in (8, 11):
        flow = np.full((*SIZE_HW, 2), (first, first + 1), np.float32)
        np.testing.assert_array_equal(
            read_image(out / f"frame_{first}_color.png"), flow_to_color(flow, longest)
        )


def test_max_flow_fixes_the_scale(frames, out):
    files = files_in(out, "color", legend=True)
    assert run(FakePipe(), Job(folder_frames(frames, 1), files, max_flow=100.0)) == 0
    flow = np.full((*SIZE_HW, 2), (8, 9), np.float32)
    color = flow_to_color(flow, 100.0)
    np.testing.assert_array_equal(read_image(out / "frame_8_color.png"), color)
    assert "legend.png" in listing(out)
    assert not list(out.rglob("*.flo"))
    assert "work" not in listing(out)


def test_backward_flow_and_the_consistency_mask(frames, out):
    class Opposite(FakePipe):
        def predict_pairs(self, pairs, batch_size=1, resize=None, wanted=()):
            for prediction in super().predict_pairs(pairs):
                u, v = prediction.flow[0, 0]
                yield prediction._replace(
                    flow=np.full_like(prediction.flow, (2, 0) if u < v else (-2, 0))
                )

    pipe = Opposite()
    files = files_in(out, "flo", backward=True)
    assert run(pipe, Job(folder_frames(frames, 1), files)) == 0
    assert pipe.shown[:4] == [(8, 9), (9, 8), (9, 10), (10, 9)]
    assert numbers_in(out / "frame_8.flo") == (2, 0)
    assert numbers_in(out / "frame_8_backward.flo") == (-2, 0)
    mask = cv2.imread(str(out / "frame_8_consistent.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == SIZE_HW
    assert (mask[:, :-2] == 255).all() and (mask[:, -2:] == 0).all()


def test_one_file_for_one_pair(frames, out, tmp_path):
    pair = one_pair(frames / "frame_8.png", frames / "frame_10.png")
    for name, more in (("a.flo", ()), ("b.png", ()), ("c.flo", ("color", "mask"))):
        files = files_in(tmp_path / name, *more)
        inputs = dataclasses.replace(pair, name=lambda number, files=files: files.one.stem)
        assert run(FakePipe(), Job(inputs, files)) == 0
    assert listing(tmp_path) == ["a.flo", "b.png", "c.flo", "c_color.png", "c_mask.png", "frames"]
    assert numbers_in(tmp_path / "a.flo") == (8, 10)
    flow = np.full((*SIZE_HW, 2), (8, 10), np.float32)
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), flow_to_color(flow))


def test_true_flow_gives_the_error_and_its_picture(frames, out, tmp_path, caplog):
    truth = np.full((*SIZE_HW, 2), (8, 9), np.float32)
    truth[:4] = 8, 13  # an error of 4 px in a quarter of the rows
    truth[-1] = 1e10  # not known
    write_flo(tmp_path / "truth.flo", truth)
    pair = one_pair(frames / "frame_8.png", frames / "frame_9.png")
    files = files_in(out, "flo")
    assert run(FakePipe(), Job(pair, files, truth=tmp_path / "truth.flo")) == 0
    epe = 4 * 4 / 15
    assert f"EPE {epe:.3f} px, Fl {100 * 4 / 15:.2f} %, over {15 * 24} pixels" in caplog.text
    picture = read_image(out / "frame_8_error.png")
    assert (picture[0] == (144, 224, 254)).all()
    assert (picture[5] == (149, 54, 49)).all()
    assert (picture[-1] == 0).all()


# --- videos ---------------------------------------------------------------------------------------


def test_a_video_becomes_a_video(tmp_path):
    source = video_of(tmp_path / "in.mp4", range(1, 8), 12.5, (31, 47))
    files = files_in(tmp_path / "flow.mp4")
    pipe = FakePipe()
    assert run(pipe, Job(video_frames(source, 1), files, max_flow=100.0)) == 0
    assert listing(tmp_path) == ["flow.mp4", "in.mp4"]
    result = Video(tmp_path / "flow.mp4")
    assert (result.rate, result.expected) == (12.5, 6)
    pictures = [frame.image for frame in result.frames()]
    assert len(pictures) == 6
    assert pictures[0].shape == (32, 48, 3)
    for picture, numbers in zip(pictures, pipe.shown, strict=True):
        flow = np.full((1, 1, 2), numbers, np.float32)
        assert np.abs(picture.astype(int) - flow_to_color(flow, 100.0)).max() <= 6


def test_input_and_flow_side_by_side(tmp_path, frames):
    for number in (8, 9, 10, 11, 12):
        plain = np.full((*SIZE_HW, 3), (number, 120, 200), np.uint8)
        cv2.imwrite(str(frames / f"frame_{number}.png"), plain)
    files = files_in(tmp_path / "flow.mp4", legend=True)
    job = Job(folder_frames(frames, 2), files, side_by_side=True, rate=5, max_flow=30.0)
    assert run(FakePipe(), job) == 0
    assert listing(tmp_path) == ["flow.mp4", "flow_legend.png", "frames"]
    result = Video(tmp_path / "flow.mp4")
    assert result.rate == 5
    pictures = [frame.image for frame in result.frames()]
    assert len(pictures) == 3
    flow = np.full((1, 1, 2), (9, 11), np.float32)
    assert pictures[1].shape == (16, 48, 3)
    assert np.abs(pictures[1][4:12, 28:].astype(int) - flow_to_color(flow, 30.0)).max() <= 6
    assert np.abs(pictures[1][4:12, :20].astype(int) - (9, 120, 200)).max() <= 6


def test_a_video_keeps_the_times_of_its_frames(tmp_path):
    times = [0, 20, 45, 300, 320, 325, 600]
    source = make_video(tmp_path / "in.mp4", range(7), times=times, tick=Fraction(1, 600))
    for name, rate in (("own.mp4", None), ("own.webm", None), ("ten.mp4", 10)):
        job = Job(video_frames(source, 1), files_in(tmp_path / name), rate=rate)
        assert run(FakePipe(), job) == 0
    own = [Fraction(time, 600) for time in times[:6]]
    for name, expected in (("own.mp4", own), ("own.webm", own), ("ten.mp4", range(6))):
        shown = [frame.time for frame in Video(tmp_path / name).frames()]
        expected = [Fraction(time, 10) for time in expected] if name == "ten.mp4" else expected
        assert shown == pytest.approx(expected, abs=1e-3)
    with av.open(str(tmp_path / "own.mp4")) as file:
        assert file.duration == 1_000_000  # up to when the last frame is shown


def test_a_pair_that_is_left_out_does_not_move_the_others(tmp_path):
    source = break_packet(make_video(tmp_path / "in.mp4", range(18), gop=6, b_frames=0), 8)
    assert run(FakePipe(), Job(video_frames(source, 1), files_in(tmp_path / "out.mp4"))) == 1
    shown = [frame.time for frame in Video(tmp_path / "out.mp4").frames()]
    assert shown == [Fraction(n, 10) for n in (*range(7), *range(12, 17))]


def test_pixels_that_are_not_square_keep_their_shape(tmp_path):
    source = make_video(tmp_path / "in.mp4", range(3), aspect=Fraction(16, 15))
    assert run(FakePipe(), Job(video_frames(source, 1), files_in(tmp_path / "out.mp4"))) == 0
    result = Video(tmp_path / "out.mp4")
    assert (result.size_hw, result.pixel_aspect) == (SMALL_HW, Fraction(16, 15))


@pytest.mark.parametrize("kind", ["arrows", "mask", "warped"])
def test_what_a_video_can_show(tmp_path, kind):
    source = video_of(tmp_path / "in.mp4", range(1, 5))
    files = files_in(tmp_path / "out.mkv", video_of=kind)
    assert run(FakePipe(), Job(video_frames(source, 1), files)) == 0
    assert listing(tmp_path) == ["in.mp4", "out.mkv"]
    images = [frame.image.astype(int) for frame in Video(tmp_path / "out.mkv").frames()]
    inputs = [frame.image.astype(int) for frame in Video(source).frames()]
    assert len(images) == 3
    for number, image in enumerate(images):
        if kind == "mask":
            assert np.abs(image - 51).max() <= 3
        elif kind == "warped":
            assert np.abs(image - inputs[number + 1]).max() <= 4
        else:
            assert np.median(np.abs(image - inputs[number])) <= 4
            assert np.abs(image - inputs[number]).max() > 100


def test_the_first_frame_of_a_section_is_number_zero(tmp_path, out):
    source = video_of(tmp_path / "in.mp4", range(1, 8))
    pipe = FakePipe()
    inputs = video_frames(source, 1, start=0.3, duration=0.3)
    assert run(pipe, Job(inputs, files_in(out, "flo"))) == 0
    assert sorted(flow_numbers(out)) == ["000000", "000001"]
    assert [round(first / 20) for first, _ in pipe.shown] == [4, 5]
    with pytest.raises(InputError, match=r"section"):
        run(pipe, Job(video_frames(source, 1, start=0.2), files_in(out, "flo")))


# --- what the network sees, and what is made of its mask ------------------------------------------


@pytest.mark.parametrize(
    ("size_hw", "max_side", "expected"),
    [
        ((1080, 1920), 960, (512, 960)),
        ((1920, 1080), 960, (960, 512)),
        ((1080, 1920), 1000, (576, 960)),
        ((1080, 1920), 1920, None),
        ((200, 4000), 256, (64, 256)),
        ((500, 500), 100, (64, 64)),
    ],
)
def test_the_size_for_a_longest_side(size_hw, max_side, expected):
    assert smaller_size(size_hw, max_side) == expected


def test_each_size_of_image_is_scaled_for_itself(tmp_path, out):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, size_hw in enumerate(
        [(64, 256), (64, 256), (256, 64), (256, 64), (32, 32), (32, 32)]
    ):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((*size_hw, 3), number, np.uint8))
    (tmp_path / "list").write_text(
        "".join(f"frames/{n}.png frames/{n + 1}.png\n" for n in (0, 2, 4))
    )
    pipe = FakePipe()
    job = Job(listed_pairs(tmp_path / "list"), files_in(out, "flo"), max_side=128)
    assert run(pipe, job) == 0
    assert pipe.resized == [(64, 128), (128, 64), None]
    assert read_flo(out / "2.flo").shape == (256, 64, 2)


@pytest.mark.parametrize(("threshold", "grey"), [(0.1, 255), (0.2, 255), (0.3, 0)])
def test_a_mask_in_black_and_white(frames, out, threshold, grey):
    job = Job(folder_frames(frames, 1), files_in(out, "mask"), mask_threshold=threshold)
    assert run(FakePipe(), job) == 0
    assert (read_image(out / "frame_8_mask.png") == grey).all()


def test_a_video_beside_the_files_of_a_folder(tmp_path, frames, out):
    files = files_in(out, "flo", video=tmp_path / "flow.mkv")
    assert run(FakePipe(), Job(folder_frames(frames, 1), files)) == 0
    assert len(list(Video(tmp_path / "flow.mkv").frames())) == 4
    assert listing(out) == [*(f"frame_{n}.flo" for n in (10, 11, 8, 9)), "predicted.json"]


def test_a_video_is_read_with_a_stride(tmp_path, out):
    source = video_of(tmp_path / "in.mp4", range(1, 8))
    pipe = FakePipe()
    assert run(pipe, Job(video_frames(source, 3), files_in(out, "flo"))) == 0
    assert sorted(flow_numbers(out)) == ["000000", "000001", "000002", "000003"]
    shown = [(round(first / 20), round(second / 20)) for first, second in pipe.shown]
    assert shown == [(1, 4), (2, 5), (3, 6), (4, 7)]


def test_a_video_of_one_frame_has_no_pair(tmp_path, out):
    source = video_of(tmp_path / "in.mp4", [1])
    with pytest.raises(InputError, match="expected 2 frames or more, got 1"):
        run(FakePipe(), Job(video_frames(source, 1), files_in(out)))


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["folder", pytest.param("video", marks=pytest.mark.long)])
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path, source):
    def peak(count):
        numbers = [n % 12 for n in range(count)]
        if source == "video":
            inputs = video_frames(video_of(tmp_path / f"{count}.mp4", numbers, 10, (96, 128)), 1)
        else:
            folder = tmp_path / str(count)
            folder.mkdir()
            for index in range(count):
                cv2.imwrite(str(folder / f"{index}.png"), np.full((96, 128, 3), 9, np.uint8))
            inputs = folder_frames(folder, 1)
        files = files_in(tmp_path / f"out{count}", "flo", "color", video=tmp_path / f"{count}o.mp4")
        tracemalloc.start()
        try:
            assert run(FakePipe(), Job(inputs, files, side_by_side=True)) == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(3)  # what is imported on the way
    few, many = peak(20), peak(300)
    # On a busy machine the queues fill up, by 40 frames and flows; keeping all would be 280 more.
    frame_bytes = 96 * 128 * 3
    assert few > 3 * frame_bytes
    assert many - few < 220 * frame_bytes


def test_reading_network_and_writing_overlap(frames, out, monkeypatch):
    from maskflownet.tasks.prediction import frames as frames_module
    from maskflownet.tasks.prediction import job as job_module

    read_later, predicted_second = threading.Event(), threading.Event()

    def read(path):
        if path.stem == "frame_10":
            read_later.set()
        return read_image(path)

    def write(path, flow):
        assert predicted_second.wait(10), "the network waited for the first flow to be written"
        write_flo(path, flow)

    class Pipe(FakePipe):
        def predict_pairs(self, pairs, batch_size=1, resize=None, wanted=()):
            for count, prediction in enumerate(super().predict_pairs(pairs)):
                if count == 0:
                    assert read_later.wait(10), "no frame was read while the network ran"
                if count == 1:
                    predicted_second.set()
                yield prediction

    monkeypatch.setattr(frames_module, "read_image", read)
    monkeypatch.setattr(job_module, "write_flo", write)
    assert run(Pipe(), Job(folder_frames(frames, 1), files_in(out, "flo"))) == 0


def test_frames_are_read_once_and_only_if_needed(frames, out, monkeypatch):
    from maskflownet.tasks.prediction import frames as module

    read = []
    monkeypatch.setattr(module, "read_image", lambda path: read.append(path.stem) or frame(9))
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out))) == 0
    assert sorted(read) == sorted(f"frame_{n}" for n in range(8, 13))
    (out / "frame_9.flo").unlink()
    read.clear()
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out))) == 0
    assert sorted(read) == ["frame_10", "frame_9"]
