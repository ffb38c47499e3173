"""Small videos of every kind, written with PyAV."""

import random
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

SIZE_HW = (64, 96)
CODECS = {".avi": "mjpeg", ".gif": "gif", ".webm": "libvpx", ".mpg": "mpeg2video"}
OPTIONS = {
    "libx264": {"crf": "4", "sc_threshold": "0"},  # keyframes only where `gop` says
    "mjpeg": {"qscale": "2"},
    "mpeg4": {"b": "4M"},
    "mpeg2video": {"b": "4M"},
    "libvpx": {"b": "4M"},
}
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8"}


def picture(index, size_hw=SIZE_HW):
    """Return a smooth uint8 (H, W, 3) picture of strong colours, unlike that of other indices."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] / 16
    channels = [np.sin(x + index), np.cos(y - index / 2), np.sin(x - y)]
    return np.uint8(np.rint(127.5 + 110 * np.dstack(channels)))


def difference(frame, index):
    """Return how much an image differs from `picture(index)`, in grey levels."""
    return np.abs(frame.astype(int) - picture(index, frame.shape[:2])).mean()


def make_video(
    path,
    indices=range(12),
    codec=None,
    *,
    rate=10,
    times=None,
    tick=None,
    gop=12,
    b_frames=None,
    size_hw=SIZE_HW,
    rotation=None,
    aspect=None,
    colorspace=None,
    cover=False,
):
    """Write the pictures of some indices; return the path.

    `times` in units of `tick` are those at which frames are shown; by default at `rate`. With a
    `cover` the first track is one red picture.
    """
    codec = codec or CODECS.get(path.suffix, "libx264")
    options = dict(OPTIONS.get(codec, {}))
    if b_frames is not None:
        options["bf"] = str(b_frames)
    movflags = {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(f"file:{path}", "w", options=movflags) as file:
        front = [_add(file, "libx264", rate, (32, 32), {})] if cover else []
        stream = _add(file, codec, rate, size_hw, options)
        context = stream.codec_context
        context.gop_size = gop
        context.time_base = tick or 1 / Fraction(rate)
        if aspect:
            context.sample_aspect_ratio = aspect
        if colorspace:
            context.colorspace, context.color_range = colorspace, ColorRange.MPEG
        if rotation:
            stream.set_display_rotation(rotation)
        for track in front:
            track.codec_context.time_base = context.time_base
            _encode(file, track, [np.full((32, 32, 3), (0, 0, 255), np.uint8)], [0], colorspace)
        pictures = (picture(index, size_hw) for index in indices)
        _encode(file, stream, pictures, times or range(len(indices)), colorspace)
    return path


def _add(file, codec, rate, size_hw, options):
    stream = file.add_stream(codec, rate=rate, options=options)
    stream.height, stream.width = size_hw
    stream.pix_fmt = PIXELS.get(codec, "yuv420p")
    return stream


def _encode(file, stream, pictures, times, colorspace):
    colorspace = colorspace or Colorspace.ITU601
    for image, time in zip(pictures, times, strict=True):
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame = frame.reformat(format=stream.pix_fmt, dst_colorspace=colorspace)
        frame.pts, frame.time_base = time, stream.codec_context.time_base
        file.mux(stream.encode(frame))
    file.mux(stream.encode(None))


def remux(source, path, keep=lambda number: True, shift=lambda number: 0):
    """Copy a video's packets, some of them, with their times shifted by so many ticks."""
    with av.open(f"file:{source}") as file, av.open(f"file:{path}", "w") as copy:
        stream = copy.add_stream_from_template(file.streams.video[0])
        for number, packet in enumerate(file.demux(file.streams.video[0])):
            if packet.dts is None or not keep(number):
                continue
            packet.pts, packet.dts = packet.pts + shift(number), packet.dts + shift(number)
            packet.stream = stream
            copy.mux(packet)
    return path


def damage(path, length=600, place=0.5):
    """Overwrite bytes in the middle of a file; return its path."""
    data = bytearray(path.read_bytes())
    start = round(len(data) * place)
    data[start : start + length] = random.Random(0).randbytes(length)
    path.write_bytes(data)
    return path


def break_packet(path, number):
    """Overwrite what a packet of an MP4 holds; return the file's path."""
    place, size = packet_places(path)[number]
    data = bytearray(path.read_bytes())
    data[place + 4 : place + size] = bytes(size - 4)  # a length goes first
    path.write_bytes(data)
    return path


def packet_places(path):
    """Return where in the file each packet of a video is, as (offset, size)."""
    with av.open(f"file:{path}") as file:
        packets = file.demux(file.streams.video[0])
        return [(packet.pos, packet.size) for packet in packets if packet.size]
