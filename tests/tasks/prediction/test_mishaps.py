"""What cannot be read is left out, what was stopped goes on, and nothing else is mixed in."""

import dataclasses
import re
import shutil
from itertools import pairwise

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
    write_frames,
)
from video_files import break_packet, make_video, remux

from maskflownet.config.errors import InputError
from maskflownet.reader.flow_files import read_flo, write_flo
from maskflownet.reader.videos import Video
from maskflownet.tasks.prediction import Job, run
from maskflownet.tasks.prediction.files import place_results
from maskflownet.tasks.prediction.inputs import folder_frames, listed_pairs, one_pair, video_frames

pytestmark = pytest.mark.usefixtures("info_logged")


# --- what cannot be read --------------------------------------------------------------------------


def test_both_pairs_of_an_unreadable_frame_are_left_out(frames, out, caplog):
    (frames / "frame_10.png").write_text("no picture")
    pipe = FakePipe()
    assert run(pipe, Job(folder_frames(frames, 1), files_in(out))) == 1
    assert pipe.shown == [(8, 9), (11, 12)]
    assert flow_numbers(out) == {"frame_8": (8, 9), "frame_11": (11, 12)}
    assert f"left out: {frames / 'frame_10.png'}: expected" in caplog.text
    # Mended, the rest is done, and nothing else.
    write_frames(frames, [10])
    pipe = FakePipe()
    assert run(pipe, Job(folder_frames(frames, 1), files_in(out))) == 0
    assert pipe.shown == [(9, 10), (10, 11)]
    assert len(flow_numbers(out)) == 4


def test_with_a_stride_only_the_frames_own_pairs_are_left_out(frames, out):
    (frames / "frame_10.png").write_text("no picture")
    pipe = FakePipe()
    assert run(pipe, Job(folder_frames(frames, 2), files_in(out))) == 1
    assert pipe.shown == [(9, 11)]


def test_strict_stops_at_once(frames, out):
    (frames / "frame_10.png").write_text("no picture")
    pipe = FakePipe()
    with pytest.raises(InputError, match=r"frame_10\.png"):
        run(pipe, Job(folder_frames(frames, 1), files_in(out), strict=True))
    assert pipe.shown == [(8, 9)]


def test_frames_of_two_sizes_make_no_pair(frames, out, caplog):
    for number in (10, 11):
        cv2.imwrite(str(frames / f"frame_{number}.png"), frame(number)[:8])
    pipe = FakePipe()
    assert run(pipe, Job(folder_frames(frames, 1), files_in(out))) == 1
    assert pipe.shown == [(8, 9), (10, 11)]
    names = f"{frames / 'frame_9.png'} and {frames / 'frame_10.png'}"
    assert f"{names}: expected two images of one size, got 24x16 and 24x8" in caplog.text


def test_a_pair_is_strict(frames, out):
    (frames / "frame_9.png").write_text("no picture")
    pair = one_pair(frames / "frame_8.png", frames / "frame_9.png")
    with pytest.raises(InputError, match=r"frame_9\.png"):
        run(FakePipe(), Job(pair, files_in(out)))


def test_listed_pairs_that_cannot_be_read_are_left_out(frames, out, tmp_path, caplog):
    lines = ["frames/frame_8.png frames/frame_12.png", "frames/nope.png frames/frame_9.png"]
    (tmp_path / "list.txt").write_text("\n".join([*lines, "frames/frame_9.png frames/frame_8.png"]))
    assert run(FakePipe(), Job(listed_pairs(tmp_path / "list.txt"), files_in(out))) == 1
    missing = f"{tmp_path}/list.txt:2: {frames / 'nope.png'}: "
    assert [line for line in caplog.messages if line.startswith(f"left out: {missing}")]
    assert flow_numbers(out) == {"frame_8": (8, 12), "frame_9": (9, 8)}


def test_damaged_video_frames_are_left_out_and_named(tmp_path, out, caplog):
    source = break_packet(make_video(tmp_path / "in.mp4", range(24), gop=6, b_frames=0), 8)
    assert run(FakePipe(), Job(video_frames(source, 1), files_in(out, "flo"))) == 1
    lines = [line for line in caplog.messages if "left out" in line]
    assert len(lines) == 1
    assert "in.mp4, frames 8 to 11: expected what was filmed, got damage" in lines[0]
    expected = {*range(7), *range(12, 23)}
    assert {int(path.stem) for path in out.glob("*.flo")} == expected


def test_frames_across_a_gap_are_no_neighbours(tmp_path, out, caplog):
    whole = make_video(tmp_path / "a.ts", range(24), gop=6, b_frames=0)
    source = remux(whole, tmp_path / "b.ts", keep=lambda number: not 12 <= number < 18)
    assert run(FakePipe(), Job(video_frames(source, 2), files_in(out, "flo"))) == 1
    assert "between frames 11 and 12: expected neighbours, got a gap of 0.7 s" in caplog.text
    expected = {n for n in range(16) if n not in (10, 11)}
    assert {int(path.stem) for path in out.glob("*.flo")} == expected


def test_no_pair_spans_a_gap_in_a_folders_numbers(tmp_path, out, caplog):
    numbers = [*range(2, 14), *range(16, 28)]
    folder = write_frames(tmp_path / "frames", numbers)
    assert run(FakePipe(), Job(folder_frames(folder, 1), files_in(out, "flo"))) == 0
    assert flow_numbers(out) == {
        f"frame_{number}": (number, number + 1) for number in numbers if number not in (13, 27)
    }
    assert "frames are missing between frame_13 and frame_16; no pair" in caplog.text


@pytest.mark.parametrize("numbers", [[1, 2, 3, 4, 5, 6, 8, 9, 10], [16, 17, 19, 20]])
def test_no_pair_spans_the_one_gap_of_a_short_folder(tmp_path, out, caplog, numbers):
    folder = write_frames(tmp_path / "frames", numbers)
    assert run(FakePipe(), Job(folder_frames(folder, 1), files_in(out, "flo"))) == 0
    pairs = [(first, second) for first, second in pairwise(numbers) if second == first + 1]
    assert sorted(flow_numbers(out).values()) == pairs
    assert caplog.text.count("frames are missing between") == 1


@pytest.mark.parametrize("numbers", [[1, 2, 4], [1, 3], [1, 2, 4, 6]])
def test_a_few_frames_that_tell_no_step_have_no_gaps(tmp_path, out, numbers):
    folder = write_frames(tmp_path / "frames", numbers)
    assert run(FakePipe(), Job(folder_frames(folder, 1), files_in(out, "flo"))) == 0
    assert sorted(flow_numbers(out).values()) == list(pairwise(numbers))


def test_numbers_that_are_not_even_have_no_gaps(tmp_path, out):
    folder = write_frames(tmp_path / "frames", [1, 2, 4, 7, 11, 12, 18])
    assert run(FakePipe(), Job(folder_frames(folder, 1), files_in(out, "flo"))) == 0
    assert len(flow_numbers(out)) == 6


def test_a_size_that_changes_midway_breaks_the_pairs(tmp_path, out, caplog):
    for name, size_hw in (("a.ts", (64, 96)), ("b.ts", (32, 48))):
        make_video(tmp_path / name, range(6), size_hw=size_hw)
    source = tmp_path / "both.ts"
    source.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    files = files_in(tmp_path / "flow.mp4")
    assert run(FakePipe(), Job(video_frames(source, 1), files)) == 1
    assert {read_flo(path).shape[:2] for path in files.work.glob("*.flo")} == {(64, 96), (32, 48)}
    assert "scaled into it" in caplog.text
    assert Video(files.video).size_hw == (64, 96)


def test_a_video_that_was_cut_short_is_named_at_its_end(tmp_path, out, caplog):
    source = make_video(tmp_path / "in.mkv", range(24), gop=4)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    assert run(FakePipe(), Job(video_frames(source, 1), files_in(out, "flo"))) == 1
    assert "in.mkv: expected a video to its end, got" in caplog.text
    assert len(list(out.glob("*.flo"))) > 8


# --- success is checked ---------------------------------------------------------------------------


class SlowPipe(FakePipe):
    """Removes what is in a folder after some answers."""

    def __init__(self, folder, after):
        super().__init__()
        self._folder, self._after = folder, after

    def predict_pairs(self, *arguments, **more):
        for number, prediction in enumerate(super().predict_pairs(*arguments, **more)):
            if number == self._after:
                for path in self._folder.glob("*.flo"):
                    path.unlink()
            yield prediction


def test_a_folder_that_is_deleted_midway_is_no_success(tmp_path, out):
    folder = write_frames(tmp_path / "many", range(30))
    with pytest.raises(InputError, match=r"the results of \d+ pairs, .* were written and are gone"):
        run(SlowPipe(out, 20), Job(folder_frames(folder, 1), files_in(out, "flo")))


def test_a_disk_that_is_too_small_is_told_at_once(frames, out, monkeypatch):
    usage = shutil.disk_usage(frames)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    pipe = FakePipe()
    with pytest.raises(InputError, match=r"flow of 3 more pairs needs .* name another OUTPUT"):
        run(pipe, Job(folder_frames(frames, 1), files_in(out, "flo")))


@pytest.mark.parametrize("suffix", [".mp4", ""])
def test_a_video_of_one_frame_leaves_nothing(tmp_path, suffix):
    source = make_video(tmp_path / "in.mp4", range(1))
    with pytest.raises(InputError, match=r"in\.mp4: expected 2 frames or more, got 1"):
        run(FakePipe(), Job(video_frames(source, 1), files_in(tmp_path / f"out{suffix}")))
    assert listing(tmp_path) == ["in.mp4"]


# --- stopped, and started again -------------------------------------------------------------------


def test_what_is_finished_is_kept_and_the_rest_is_done(frames, out, caplog):
    job = Job(folder_frames(frames, 1), files_in(out, "flo", "color", "mask"), {"checkpoint": "a"})
    with pytest.raises(KeyboardInterrupt):
        run(FakePipe(fail_after=2), job)
    done = flow_numbers(out)
    assert 1 <= len(done) <= 2 and not list(out.glob("*_color.png"))
    old = {path: path.stat().st_mtime_ns for path in out.glob("*.flo")}
    pipe = FakePipe()
    assert run(pipe, job) == 0
    assert len(pipe.shown) == 4 - len(done)
    assert f"{len(done)} of 4 pairs are finished already" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in old} == old
    assert flow_numbers(out) == {f"frame_{n}": (n, n + 1) for n in (8, 9, 10, 11)}
    assert len(list(out.glob("*_color.png"))) == len(list(out.glob("*_mask.png"))) == 4


def test_own_flow_that_was_cut_since_is_to_be_made_anew(frames, out):
    job = Job(folder_frames(frames, 1), files_in(out, "flo", "color"))
    assert run(FakePipe(), job) == 0
    cut = out / "frame_9.flo"
    cut.write_bytes(cut.read_bytes()[:-5])
    with pytest.raises(
        InputError, match=r"frame_9\.flo: expected .* bytes .*; remove it and start"
    ):
        run(FakePipe(), job)
    cut.unlink()
    assert run(FakePipe(), job) == 0 and cut.exists()


def test_a_video_that_cannot_be_written_is_known_before_the_work(frames, out, tmp_path):
    (tmp_path / "file").write_text("")
    files = place_results(out, frozenset({"flo"}), video=tmp_path / "file" / "out.mp4")
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out, "flo"))) == 0
    there, pipe = listing(out), FakePipe()
    with pytest.raises(OSError, match="file: expected a folder, got a file"):
        run(pipe, Job(folder_frames(frames, 1), files, overwrite=True))
    assert not pipe.shown and listing(out) == there


def test_flow_is_written_last_so_that_it_stands_for_all(frames, out):
    (out / "frame_8_mask.png").mkdir(parents=True)
    with pytest.raises(OSError):
        run(FakePipe(), Job(folder_frames(frames, 1), files_in(out, "flo", "mask")))
    assert not (out / "frame_8.flo").exists()


def test_a_video_is_put_together_from_what_was_finished(tmp_path):
    source = video_of(tmp_path / "in.mp4", range(1, 8))
    job = Job(video_frames(source, 1), files_in(tmp_path / "flow.mp4"), max_flow=100.0)
    with pytest.raises(KeyboardInterrupt):
        run(FakePipe(fail_after=4), job)
    assert listing(tmp_path) == ["flow.mp4.work", "in.mp4"]
    done = len(list((tmp_path / "flow.mp4.work").glob("*.flo")))
    assert done >= 3
    pipe = FakePipe()
    assert run(pipe, dataclasses.replace(job, inputs=video_frames(source, 1))) == 0
    assert len(pipe.shown) == 6 - done
    assert listing(tmp_path) == ["flow.mp4", "in.mp4"]
    assert len(list(Video(tmp_path / "flow.mp4").frames())) == 6


def test_asked_for_more_the_network_runs_only_if_it_must(frames, out):
    inputs = folder_frames(frames, 1)
    assert run(FakePipe(), Job(inputs, files_in(out, "flo"))) == 0
    pipe = FakePipe()
    assert run(pipe, Job(inputs, files_in(out, "flo", "color", "npy"))) == 0
    assert pipe.shown == []
    assert len(list(out.glob("*.npy"))) == 4
    (out / "frame_9.flo").unlink()
    pipe = FakePipe()
    assert run(pipe, Job(inputs, files_in(out, "flo", "warped"))) == 0
    assert len(pipe.shown) == 4


def test_other_settings_are_not_mixed_in(frames, out):
    job = Job(folder_frames(frames, 1), files_in(out), {"checkpoint": "a", "resize": None})
    assert run(FakePipe(), job) == 0
    other = dataclasses.replace(job, settings={"checkpoint": "a", "resize": (64, 128)})
    with pytest.raises(
        InputError, match=r"made without resize, not with resize 64,128; .* --overwrite"
    ) as error:
        run(FakePipe(), other)
    assert "\n" not in str(error.value)
    pipe = FakePipe()
    assert run(pipe, dataclasses.replace(other, overwrite=True)) == 0
    assert len(pipe.shown) == 4
    assert run(FakePipe(), other) == 0


def test_an_overwriting_run_that_was_stopped_goes_on_with_its_own(frames, out):
    job = Job(folder_frames(frames, 1), files_in(out, "flo"), {"checkpoint": "a"})
    assert run(FakePipe(), job) == 0
    other = dataclasses.replace(job, settings={"checkpoint": "b"}, overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        run(FakePipe(fail_after=2), other)
    left = 4 - len(flow_numbers(out))
    assert left >= 2
    pipe = FakePipe()
    assert run(pipe, dataclasses.replace(other, overwrite=False)) == 0
    assert len(pipe.shown) == left


def test_a_changed_frame_is_not_mixed_in(frames, out):
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out))) == 0
    cv2.imwrite(str(frames / "frame_10.png"), frame(99))
    with pytest.raises(InputError, match=r"frame_9\.flo: is there, and was not made of"):
        run(FakePipe(), Job(folder_frames(frames, 1), files_in(out)))
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out), overwrite=True)) == 0
    assert flow_numbers(out)["frame_9"] == (9, 99)


def test_frames_that_were_added_at_the_end_are_done(frames, out):
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out))) == 0
    write_frames(frames, [13])
    pipe = FakePipe()
    assert run(pipe, Job(folder_frames(frames, 1), files_in(out))) == 0
    assert pipe.shown == [(12, 13)]


def test_another_stride_or_video_is_not_mixed_in(tmp_path, frames, out):
    source = video_of(tmp_path / "in.mp4", range(1, 6))
    assert run(FakePipe(), Job(video_frames(source, 1), files_in(out))) == 0
    with pytest.raises(InputError, match="made with stride 1, not with stride 2"):
        run(FakePipe(), Job(video_frames(source, 2), files_in(out)))
    video_of(source, range(1, 7))
    with pytest.raises(
        InputError, match=r"with video in.mp4 as it was then, not with video in.mp4;"
    ):
        run(FakePipe(), Job(video_frames(source, 1), files_in(out)))
    with pytest.raises(InputError, match=r"made with video in.mp4, not without video"):
        run(FakePipe(), Job(folder_frames(frames, 1), files_in(out)))
    again = Job(video_frames(source, 1), files_in(out), overwrite=True)
    assert run(FakePipe(), again) == 0
    assert len(flow_numbers(out)) == 5


LEFT_OVER = r"{}: (\d+) files of other images or settings stay there .* such as (\S+)$"


def left_over(caplog, out):
    """Return number and name in the one line that tells of results that are not of the run."""
    said = [re.search(LEFT_OVER.format(out), message) for message in caplog.messages]
    caplog.clear()
    return [match.groups() for match in said if match]


@pytest.mark.parametrize("source", ["folder", "video"])
def test_results_of_another_stride_that_stay_are_told(tmp_path, frames, out, caplog, source):
    film = video_of(tmp_path / "in.mp4", range(1, 6))

    def with_stride(stride, *save, **more):
        inputs = folder_frames(frames, stride) if source == "folder" else video_frames(film, stride)
        assert run(FakePipe(), Job(inputs, files_in(out, *save), **more)) == 0
        return left_over(caplog, out)

    assert with_stride(1, "color", "arrows") == []
    assert with_stride(1, "color") == []  # its arrows are of the same images and settings
    again = with_stride(2, "color", overwrite=True)
    # The last pair's two pictures, and the arrows of the others.
    first = {"folder": "frame_10_arrows.png", "video": "000000_arrows.png"}[source]
    assert again == [("5", first)]
    assert len(list(out.glob("*_color.png"))) == 4


def test_single_pairs_that_gather_in_a_folder_are_not_left_over(frames, out, caplog):
    for first in (8, 9):
        pair = one_pair(frames / f"frame_{first}.png", frames / "frame_10.png")
        assert run(FakePipe(), Job(pair, files_in(out))) == 0
    assert left_over(caplog, out) == []
    pair = one_pair(frames / "frame_8.png", frames / "frame_11.png")
    assert run(FakePipe(), Job(pair, files_in(out, "flo"))) == 0
    assert left_over(caplog, out) == [("1", "frame_8_color.png")]


def test_flow_that_others_made_is_not_taken_for_ours(frames, out):
    out.mkdir()
    write_flo(out / "frame_9.flo", np.zeros((*SIZE_HW, 2), np.float32))
    with pytest.raises(InputError, match=r"frame_9\.flo: is there, and was not made of"):
        run(FakePipe(), Job(folder_frames(frames, 1), files_in(out)))
    assert numbers_in(out / "frame_9.flo") == (0, 0)


def test_a_run_that_made_nothing_does_not_stand_in_the_way(frames, out, tmp_path):
    source = video_of(tmp_path / "in.mp4", range(1, 6))
    with pytest.raises(KeyboardInterrupt):
        run(FakePipe(fail_after=0), Job(video_frames(source, 1), files_in(out)))
    assert (out / "predicted.json").exists()
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out))) == 0


def test_a_record_that_is_none(frames, out):
    out.mkdir()
    (out / "predicted.json").write_text("[]")
    with pytest.raises(InputError, match=r"predicted\.json: expected the record"):
        run(FakePipe(), Job(folder_frames(frames, 1), files_in(out)))
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out), overwrite=True)) == 0


def test_single_pairs_gather_in_one_folder_and_are_done_again(frames, out):
    for second in (9, 10, 11):
        pair = one_pair(frames / "frame_8.png", frames / f"frame_{second}.png")
        assert run(FakePipe(), Job(pair, files_in(out))) == 0
        assert flow_numbers(out) == {"frame_8": (8, second)}
    pair = one_pair(frames / "frame_9.png", frames / "frame_8.png")
    assert run(FakePipe(), Job(pair, files_in(out), {"checkpoint": "b"})) == 0
    assert flow_numbers(out) == {"frame_8": (8, 11), "frame_9": (9, 8)}


def test_flow_of_other_images_does_not_outlive_a_run_that_saves_none(frames, out):
    """Its record would say that the flow is of the new images, and a later run would believe it."""
    pair = one_pair(frames / "frame_9.png", frames / "frame_11.png")
    assert run(FakePipe(), Job(pair, files_in(out, "flo"))) == 0
    for kinds in (("color",), ("flo",)):
        with pytest.raises(InputError, match=r"frame_9\.flo: is there, and was not made of"):
            run(FakePipe(), Job(folder_frames(frames, 1), files_in(out, *kinds)))
    again = Job(folder_frames(frames, 1), files_in(out, "color"), overwrite=True)
    assert run(FakePipe(), again) == 0
    assert not (out / "frame_9.flo").exists()
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out, "flo"))) == 0
    assert flow_numbers(out)["frame_9"] == (9, 10)


def test_one_pair_does_not_take_over_what_it_does_not_write(frames, out):
    assert run(FakePipe(), Job(folder_frames(frames, 1), files_in(out, "flo"))) == 0
    pair = one_pair(frames / "frame_9.png", frames / "frame_11.png")
    with pytest.raises(InputError, match=r"frame_9\.flo: is there"):
        run(FakePipe(), Job(pair, files_in(out, "color")))
    assert run(FakePipe(), Job(pair, files_in(out, "flo"))) == 0  # it writes it anew
    assert flow_numbers(out)["frame_9"] == (9, 11)
