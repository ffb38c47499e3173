"""Files with thirty bytes overwritten somewhere: what the decoder saw is said, each time alike."""

import random

import pytest
from video_files import difference, make_video

from maskflownet.config.errors import InputError
from maskflownet.reader.videos import Video

SEEDS = 20
COUNT = 36
# Of so many files, in how many a frame may be delivered as good that is not: damage that makes
# sense to the decoder. Formats with an arithmetic coder, but no checksum, know the least.
UNSEEN = {"libx264": 4, "mpeg4": 2, "mpeg2video": 1, "mjpeg": 0, "ffv1": 0}


def overwritten(path, seed):
    """Return a copy of a video with 30 random bytes somewhere behind its first tenth."""
    draws = random.Random(seed)
    data = bytearray(path.read_bytes())
    place = draws.randrange(len(data) // 10, len(data) - 40)
    data[place : place + 30] = draws.randbytes(30)
    copy = path.with_name(f"{seed}{path.suffix}")
    copy.write_bytes(data)
    return copy


def outcome(path):
    """Return the times of good frames that are not as they were, and all that is said."""
    try:
        video = Video(path)
        frames = list(video.frames())
    except InputError as error:
        return [], [str(error)]
    said = [index for index, frame in enumerate(frames) if frame.damaged or frame.gap]
    good = [frame for frame in frames if not frame.damaged]
    wrong = [f.time for f in good if difference(f.image, round(10 * f.time)) > 12]
    return wrong, [*said, str(video.complaint)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "libx264"),
        (".mkv", "libx264"),
        (".ts", "libx264"),
        (".avi", "mpeg4"),
        (".mpg", "mpeg2video"),
        (".avi", "mjpeg"),
        (".mkv", "ffv1"),
    ],
)
def test_thirty_bytes(tmp_path, suffix, codec):
    path = make_video(tmp_path / f"whole{suffix}", range(COUNT), codec, gop=12)
    assert outcome(path) == ([], ["None"])
    unseen = 0
    for seed in range(SEEDS):
        wrong, said = outcome(overwritten(path, seed))
        unseen += bool(wrong)
        if seed < 3:
            assert outcome(overwritten(path, seed)) == (wrong, said)
    print(f"{suffix} {codec}: {unseen} of {SEEDS} files had damage that nothing told")
    assert unseen <= UNSEEN[codec]
