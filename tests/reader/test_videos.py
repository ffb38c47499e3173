"""Videos as they come: healthy, odd, damaged, cut short, and none at all."""

import os
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from processes import assert_all_ended, children
from video_files import (
    SIZE_HW,
    break_packet,
    damage,
    difference,
    make_video,
    packet_places,
    remux,
)

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.output.video import write_video
from maskflownet.reader import videos
from maskflownet.reader.videos import Video

BT709, BT601, BT2020 = 1, 5, 9  # as files number the matrices
ROOT = Path(__file__).resolve().parents[2]


def frames_of(path, **section):
    return list(Video(path, **section).frames())


def bad_ones(frames):
    return [index for index, frame in enumerate(frames) if frame.damaged]


def times_of(frames):
    return [frame.time for frame in frames]


# --- whole files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".webm", ".mpg", ".ts"])
def test_frames_in_order_in_bgr(tmp_path, suffix):
    video = Video(make_video(tmp_path / f"a{suffix}", rate=25, gop=5))
    assert (video.rate, video.expected, video.size_hw, video.complaint) == (25, 12, SIZE_HW, None)
    frames = list(video.frames())
    assert times_of(frames) == pytest.approx([index / 25 for index in range(12)], abs=1e-3)
    for index, frame in enumerate(frames):
        assert not frame.damaged and frame.gap is None
        assert frame.image.dtype == np.uint8 and frame.image.shape == (*SIZE_HW, 3)
        assert difference(frame.image, index) < 6
    assert difference(frames[3].image, 4) > 10


@pytest.mark.parametrize(
    "colorspace",
    [
        BT709,
        BT601,
        pytest.param(
            BT2020,
            marks=pytest.mark.skipif(av.__version__ < "18", reason="PyAV 17 cannot write it"),
        ),
    ],
)
def test_colours_are_those_of_the_tagged_matrix(tmp_path, colorspace):
    path = make_video(tmp_path / "a.mp4", range(3), colorspace=colorspace)
    for index, frame in enumerate(frames_of(path)):
        assert difference(frame.image, index) < 4


def test_greys_are_exact(tmp_path):
    path = tmp_path / "a.mp4"
    greys = np.repeat(np.arange(0, 256, dtype=np.uint8)[None, :, None], 64, axis=0)
    greys = np.repeat(greys, 3, axis=2)
    write_video(path, [greys] * 3, 10)
    for frame in frames_of(path):
        assert np.abs(frame.image.astype(int) - greys).max() <= 2


def test_unwanted_frames_come_without_an_image(tmp_path):
    video = Video(make_video(tmp_path / "a.mp4"))
    frames = list(video.frames(lambda index: index % 3 == 1))
    assert [frame.image is not None for frame in frames] == [False, True, False] * 4
    assert difference(frames[7].image, 7) < 4


def test_rates_of_television(tmp_path):
    path = make_video(tmp_path / "a.mkv", range(8), rate=Fraction(30000, 1001))
    assert Video(path).rate == Fraction(30000, 1001)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_a_turned_video_comes_upright(tmp_path, degrees, turns):
    video = Video(make_video(tmp_path / "a.mp4", range(3), rotation=degrees))
    frame = list(video.frames())[1].image
    assert frame.shape[:2] == video.size_hw == np.rot90(np.zeros(SIZE_HW), turns).shape
    assert difference(np.rot90(frame, -turns), 1) < 4


def test_a_mirrored_video_comes_upright(tmp_path):
    path = make_video(tmp_path / "a.mp4", range(3), rotation=180)
    data = path.read_bytes()
    turned = struct.pack(">5i", -65536, 0, 0, 0, -65536)
    assert data.count(turned) == 1
    path.write_bytes(data.replace(turned, struct.pack(">5i", -65536, 0, 0, 0, 65536)))
    assert difference(frames_of(path)[1].image[:, ::-1], 1) < 4


def test_pixels_that_are_not_square(tmp_path):
    video = Video(make_video(tmp_path / "a.mp4", range(3), aspect=Fraction(16, 15)))
    assert (video.pixel_aspect, video.size_hw) == (Fraction(16, 15), SIZE_HW)
    turned = Video(make_video(tmp_path / "b.mp4", range(3), aspect=Fraction(2), rotation=90))
    assert (turned.pixel_aspect, turned.size_hw) == (Fraction(1, 2), SIZE_HW[::-1])


@pytest.mark.parametrize(("suffix", "tick"), [(".mp4", 600), (".mkv", 1000), (".gif", 100)])
def test_variable_frame_rate_is_no_damage(tmp_path, suffix, tick):
    times = [4 * n + n % 3 + 60 * (n // 9) for n in range(36)]  # bursts with pauses
    path = make_video(
        tmp_path / f"a{suffix}", range(36), times=times, tick=Fraction(1, tick), b_frames=0
    )
    video = Video(path)
    frames = list(video.frames())
    assert (video.rate, video.expected, video.complaint) == (None, 36, None)
    assert times_of(frames) == [Fraction(time, tick) for time in times]
    assert not bad_ones(frames) and not any(frame.gap for frame in frames)
    assert difference(frames[20].image, 20) < (20 if suffix == ".gif" else 4)


def test_frames_that_are_shown_longer_are_not_repeated(tmp_path):
    times = [0, 1, 2, 6, 7, 8, 9, 10, 11]
    frames = frames_of(make_video(tmp_path / "a.mkv", times, times=times))
    assert times_of(frames) == [Fraction(time, 10) for time in times]
    assert not bad_ones(frames) and not any(frame.gap for frame in frames)
    assert difference(frames[3].image, 6) < 5


def test_what_an_edit_list_hides_is_decoded_and_not_shown(tmp_path):
    path = make_video(tmp_path / "a.mp4", range(24), gop=24, b_frames=0)
    data = bytearray(path.read_bytes())
    # The list's one entry: how long, in the film's ticks; where it begins, in the track's.
    entry = data.index(b"elst") + 12
    length, begin = struct.unpack_from(">Ii", data, entry)
    assert begin == 0
    tick = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0] // 10
    struct.pack_into(">Ii", data, entry, length * 14 // 24, 10 * tick)
    path.write_bytes(data)
    video = Video(path)
    frames = list(video.frames())
    assert video.expected == len(frames) == 14 and not bad_ones(frames)
    assert times_of(frames) == [Fraction(index, 10) for index in range(14)]
    for index, frame in enumerate(frames):
        assert difference(frame.image, 10 + index) < 4


def test_what_a_demuxer_complains_of_may_not_matter(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    # A reference to a chapter track that is not there, as some cutting tools leave it.
    reference = struct.pack(">I4sI4sI", 20, b"tref", 12, b"chap", 99)
    moov, trak = data.index(b"moov") - 4, data.index(b"trak") - 4
    end = trak + struct.unpack_from(">I", data, trak)[0]
    data[end:end] = reference
    for place in (moov, trak):
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + 20)
    path.write_bytes(_move_chunks(data, 20))
    video = Video(path)
    assert video.complaint is None
    assert not bad_ones(list(video.frames()))


def _move_chunks(data, by):
    place = data.index(b"stco") + 4
    count = struct.unpack_from(">I", data, place + 4)[0]
    for entry in range(place + 8, place + 8 + 4 * count, 4):
        struct.pack_into(">I", data, entry, struct.unpack_from(">I", data, entry)[0] + by)
    return data


def test_an_empty_segment_of_a_cameras_jpegs_is_no_damage(tmp_path):
    path = make_video(tmp_path / "a.avi", range(6))
    streams = path.read_bytes()
    pictures = [streams[place : place + size] for place, size in packet_places(path)]
    start = [jpeg[jpeg.index(b"\xff\xd8") :] for jpeg in pictures]
    path = tmp_path / "a.mjpeg"
    path.write_bytes(b"".join(j[:2] + b"\xff\xe1\x00\x04\x00\x00" + j[2:] for j in start))
    frames = frames_of(path)
    assert len(frames) == 6 and not bad_ones(frames)
    assert difference(frames[3].image, 3) < 6


def test_the_film_is_taken_and_not_its_cover(tmp_path):
    video = Video(make_video(tmp_path / "a.mkv", cover=True))
    assert video.expected == 12 and video.size_hw == SIZE_HW
    assert difference(list(video.frames())[5].image, 5) < 4


def test_a_size_that_changes_comes_as_it_is(tmp_path):
    large = make_video(tmp_path / "a.ts", range(6))
    small = make_video(tmp_path / "b.ts", range(6), size_hw=(32, 48))
    (tmp_path / "both.ts").write_bytes(large.read_bytes() + small.read_bytes())
    sizes = [
        frame.image.shape[:2] for frame in frames_of(tmp_path / "both.ts") if not frame.damaged
    ]
    assert set(sizes[:4]) == {SIZE_HW} and set(sizes[-4:]) == {(32, 48)}


def test_what_a_header_claims_costs_nothing(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    for box in (b"mvhd", b"tkhd", b"mdhd"):
        place = data.index(box) + 4
        struct.pack_into(">I", data, place + (20 if box == b"tkhd" else 16), 0xFFFFFFF0)
    path.write_bytes(data)
    video = Video(path)
    assert video.expected == 12 and len(list(video.frames())) == 12


@pytest.mark.parametrize("name", ["2024-05-06T10:30:00.mp4", "-d.mp4", "file:a.mp4", "é\udcff.mp4"])
def test_a_name_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "a.mkv", range(3))
    Path("a.mkv").rename(name)
    assert len(frames_of(name)) == len(frames_of(tmp_path / name)) == 3


def test_a_file_cannot_make_us_open_others(tmp_path):
    make_video(tmp_path / "a.ts", range(3))
    playlist = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "list.m3u8").write_text(playlist)
    with pytest.raises(InputError, match="expected a video that FFmpeg can open"):
        Video(tmp_path / "list.m3u8")


# --- sections -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".avi"])
@pytest.mark.parametrize(("start", "duration"), [(0.5, 0.4), (0.72, None), (0, 0.3)])
def test_a_section(tmp_path, suffix, start, duration):
    path = make_video(tmp_path / f"a{suffix}", range(24), gop=6)
    video = Video(path, start, duration)
    end = 2.4 if duration is None else start + duration
    expected = [index for index in range(24) if start <= index / 10 < end - 1e-9]
    frames = list(video.frames(lambda index: index != 1))
    assert video.expected == len(frames) == len(expected)
    assert times_of(frames) == [Fraction(index, 10) for index in expected]
    assert frames[1].image is None
    for frame, index in zip(frames, expected, strict=True):
        assert frame.image is None or difference(frame.image, index) < 6


def test_a_section_of_an_avi_that_counts_in_other_ticks(tmp_path):
    path = make_video(
        tmp_path / "a.avi", range(24), times=range(0, 1440, 60), tick=Fraction(1, 600)
    )
    frames = frames_of(path, start=1, duration=0.5)
    assert times_of(frames) == [Fraction(index, 10) for index in range(10, 15)]
    for frame, index in zip(frames, range(10, 15), strict=True):
        assert difference(frame.image, index) < 6


def test_a_section_behind_the_end(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"section that begins at 7 s; .* shown at 1\.1 s"):
        Video(path, start=7)


# --- broken files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "mjpeg"), ("a.mp4", "libx264"), ("b.mp4", "mpeg4")]
)
def test_damaged_frames_are_told_and_the_others_keep_their_numbers(tmp_path, name, codec):
    path = damage(make_video(tmp_path / name, codec=codec, gop=4, b_frames=0), length=250)
    frames = frames_of(path)
    assert len(frames) == 12
    bad = bad_ones(frames)
    assert bad and set(bad) < set(range(1, 9))
    for index in set(range(12)) - set(bad):
        assert difference(frames[index].image, index) < 6
    assert all(frames[index].image is None for index in bad)


def test_after_damage_all_is_suspect_up_to_the_next_keyframe(tmp_path):
    path = make_video(tmp_path / "a.mp4", range(36), gop=12, b_frames=2)
    break_packet(path, 13)  # of frame 15, which is decoded before 13 and 14, that build on it
    bad = bad_ones(frames_of(path))
    assert bad == list(range(13, 24))


def test_thirty_bytes_are_never_unsaid_by_chance(tmp_path):
    path = damage(make_video(tmp_path / "a.mp4", range(24), gop=8), length=30, place=0.4)
    first = bad_ones(frames_of(path))
    assert first
    for _ in range(4):
        assert bad_ones(frames_of(path)) == first


def test_missing_packets_of_broadcast_are_a_gap(tmp_path):
    whole = make_video(tmp_path / "a.ts", range(48), gop=8, b_frames=0)
    path = remux(whole, tmp_path / "b.ts", keep=lambda number: not 16 <= number < 32)
    frames = frames_of(path)
    assert len(frames) == 32
    gaps = {index: str(frame.gap) for index, frame in enumerate(frames) if frame.gap}
    assert set(gaps) == {16} and not bad_ones(frames)
    assert "between frames 15 and 16: expected neighbours, got a gap of 1.7 s" in gaps[16]


def test_what_builds_on_missing_packets_is_damaged(tmp_path):
    whole = make_video(tmp_path / "a.ts", range(48), gop=12, b_frames=0)
    path = remux(whole, tmp_path / "b.ts", keep=lambda number: not 14 <= number < 20)
    frames = frames_of(path)
    assert bad_ones(frames) == list(range(14, 18))


def test_times_that_jump_back_are_a_gap(tmp_path):
    one = make_video(tmp_path / "a.ts", range(6))
    (tmp_path / "b.ts").write_bytes(2 * one.read_bytes())
    frames = frames_of(tmp_path / "b.ts")
    assert len(frames) == 12
    assert times_of(frames) == sorted(times_of(frames))
    assert any(frame.gap or frame.damaged for frame in frames[5:8])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_video_that_was_cut_short_says_so(tmp_path, suffix):
    path = make_video(tmp_path / f"a{suffix}", range(24), gop=4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    video = Video(path)
    assert "expected a video to its end" in str(video.complaint)
    frames = list(video.frames())
    assert 10 < len(frames) < 20
    for index in range(10):
        assert difference(frames[index].image, index) < 4


def test_a_lost_chunk_of_an_avi_moves_no_times(tmp_path):
    path = make_video(tmp_path / "a.avi")
    place, size = packet_places(path)[3]
    data = bytearray(path.read_bytes())
    data[place - 8 : place + size] = bytes(size + 8)
    path.write_bytes(data)
    frames = frames_of(path)
    assert times_of(frames) == [Fraction(index, 10) for index in range(12) if index != 3]
    assert [index for index, frame in enumerate(frames) if frame.gap] == [3]
    assert difference(frames[5].image, 6) < 6


def test_a_hole_in_a_file_makes_no_neighbours(tmp_path):
    path = make_video(tmp_path / "a.mkv", range(48), gop=4, b_frames=0)
    places = packet_places(path)
    data = path.read_bytes()
    path.write_bytes(data[: places[17][0] + 5] + data[places[30][0] + 5 :])
    video = Video(path)
    frames = list(video.frames())
    whole = [index for index, frame in enumerate(frames) if not frame.damaged]
    for index in whole:
        number = round(frames[index].time * 10)
        assert difference(frames[index].image, number) < 6
        if index - 1 in whole and not frames[index].gap:
            assert number - round(frames[index - 1].time * 10) == 1
    assert len(whole) < 36 and len(frames) < 48


@pytest.mark.parametrize("name", ["text.mp4", "text.avi", "text.png", "text"])
@pytest.mark.parametrize("content", [b"hello", bytes(1000)])
def test_what_is_no_video(tmp_path, capfd, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"text.*: expected a video that FFmpeg can open, got"):
        Video(path)
    assert capfd.readouterr() == ("", "")


def test_an_empty_file(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(InputError, match=r"a\.mp4: expected a file with content, got an empty one"):
        Video(tmp_path / "a.mp4")


def test_a_video_without_its_index_cannot_be_opened(tmp_path):
    path = make_video(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[100:])
    with pytest.raises(InputError, match="damaged or cut short"):
        Video(path)


def test_missing(tmp_path):
    with pytest.raises(MissingDataError, match=r"nope\.mp4"):
        Video(tmp_path / "nope.mp4")
    with pytest.raises(InputError, match="got a folder"):
        Video(tmp_path)


def test_a_file_that_is_replaced_meanwhile_is_no_short_video(tmp_path):
    video = Video(make_video(tmp_path / "a.mp4"))
    video.path.write_bytes(b"something else")
    with pytest.raises(InputError, match=r"a\.mp4, frame 0: Invalid data"):
        list(video.frames())


def test_pictures_that_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(videos, "MAX_PIXELS", 2**12)
    with pytest.raises(InputError, match="96x64"):
        Video(make_video(tmp_path / "a.mp4", range(3)))


# --- the decoder's process ------------------------------------------------------------------------

HANGS = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
{before}
while True:
    time.sleep(0.01)
"""


def stand_in(monkeypatch, tmp_path, before=""):
    """Let a program that hangs decode."""
    script = tmp_path / "hangs.py"
    script.write_text(HANGS.format(before=before))
    monkeypatch.setattr(videos, "_COMMAND", (str(script),))
    monkeypatch.setattr(videos, "PATIENCE_S", 1)


def test_a_decoder_that_hangs_is_ended(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4")
    stand_in(monkeypatch, tmp_path)
    before = children(os.getpid())
    with pytest.raises(InputError, match="the beginning: the decoder has stood still for 1 s"):
        Video(path)
    assert children(os.getpid()) == before


def test_a_decoder_that_works_on_is_let_alone_and_told_of(tmp_path, monkeypatch, caplog):
    path = make_video(tmp_path / "a.mp4")
    works = (
        "import json, sys\nfrom multiprocessing.connection import Connection\n"
        "pipe = Connection(int(sys.argv[1]), readable=False)\n"
        'for _ in range(4): time.sleep(0.6); pipe.send_bytes(b\'{"kind": "alive"}\')\n'
        'pipe.send_bytes(b\'{"kind": "bad", "reason": "for all that"}\')'
    )
    stand_in(monkeypatch, tmp_path, works)
    caplog.set_level("INFO")
    with pytest.raises(InputError, match="for all that"):
        Video(path)
    assert caplog.messages == [f"{path}: looking through it, a few seconds a gigabyte"]


def test_a_decoder_that_dies_is_no_short_video(tmp_path, monkeypatch):
    video = Video(make_video(tmp_path / "a.mp4"))
    stand_in(monkeypatch, tmp_path, "raise SystemExit(3)")
    with pytest.raises(InputError, match="frame 0: the decoder ended with exit code 3"):
        list(video.frames())


def test_stopping_early_leaves_no_process(tmp_path):
    path = make_video(tmp_path / "a.mp4", range(200))
    before = children(os.getpid())
    frames = Video(path).frames()
    assert difference(next(frames).image, 0) < 4
    assert len(children(os.getpid())) == len(before) + 1
    frames.close()
    assert children(os.getpid()) == before


def test_the_decoder_is_found_from_any_folder(tmp_path, monkeypatch):
    path = make_video(tmp_path / "a.mp4", range(3))
    (tmp_path / "json.py").write_text("raise SystemExit('not this one')")
    monkeypatch.setattr(
        sys, "path", [folder for folder in sys.path if folder not in ("", str(ROOT))]
    )
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(path)) == 3


@pytest.mark.parametrize("hangs", [False, True])
def test_a_decoder_ends_with_its_parent_however_that_ends(tmp_path, hangs):
    path = make_video(tmp_path / "a.mp4", range(200))
    if hangs:  # a stand-in for PyAV that never returns
        (tmp_path / "av.py").write_text("import time\nwhile True: time.sleep(0.01)\n")
    code = (
        "import sys, time\nfrom maskflownet.reader.videos import Video\n"
        "print('started', flush=True)\n"
        "for frame in Video(sys.argv[1]).frames(): time.sleep(100)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", code, str(path)]
    parent = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    parent.stdout.readline()
    while not (decoders := children(parent.pid)):
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for decoder in decoders:  # each leads a group of its own
        assert_all_ended(decoder, patience_s=60)
