"""A video's packets and frames, by PyAV."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction

import av
from av.codec.codec import Properties
from av.packet import Packet

from maskflownet.reader.decoder.suspicion import Slot, Suspicion

# Names of files are names of files, and a file cannot make us open another one or the network.
_OPTIONS = {"protocol_whitelist": "file"}
# Demuxers that know the order of frames but not when they are shown.
_UNORDERED = ("avi",)


class BadVideoError(Exception):
    """A file cannot be opened as a video; the message says what FFmpeg says."""


@contextlib.contextmanager
def open_video(path: str) -> Iterator[av.container.InputContainer]:
    """Open a file; raise BadVideoError if it is no video."""
    try:
        container = av.open(
            f"file:{os.path.abspath(path)}",  # noqa: PTH100 (PyAV wants text)
            options=_OPTIONS,
            metadata_errors="replace",
        )
    except (av.FFmpegError, ValueError) as error:
        raise BadVideoError(_words(error)) from error
    with container:
        if not container.streams.video:
            raise BadVideoError("it holds no pictures")
        yield container


def packets_of(
    container: av.container.InputContainer, streams: list[av.VideoStream]
) -> Iterator[tuple[Packet | None, str]]:
    """Yield each packet that holds something, and what the demuxer complained of before it.

    The last item is (None, complaint): of what stands where the file ends. A complaint by itself
    means little: demuxers also complain of what does not matter, such as a chapter track that is
    not there.
    """
    stream_packets = container.demux(streams)
    places = {stream.index: _times_by_place(stream) for stream in streams}
    while True:
        with av.logging.Capture() as lines:
            try:
                packet = next(stream_packets, None)
                failure = ""
            except av.FFmpegError as error:
                packet, failure = None, _words(error)
        own = [text for _, name, text in lines if name == container.format.name]
        complaint = " ".join((failure or (own or [""])[0]).split())
        # The last packet is PyAV's own, which tells decoders that it is the last.
        if packet is None or (packet.size == 0 and packet.dts is None):
            yield None, complaint
            return
        if packet.size:
            if packet.pos in places[packet.stream_index]:
                packet.pts = packet.dts = places[packet.stream_index][packet.pos]
            yield packet, complaint


def listed_times(stream: av.VideoStream) -> list[int]:
    """Return the times of all packets that an AVI's index lists, in ticks; none of other files."""
    return sorted(_times_by_place(stream).values())


def _times_by_place(stream):
    """Return when the packet at each place of an AVI is due.

    Its reader counts packets, and miscounts behind those that it cannot find.
    """
    if stream.container.format.name not in _UNORDERED:
        return {}
    # What is listed is a chunk, which begins with a name and a length of four bytes each.
    return {entry.pos + 8: entry.timestamp for entry in stream.index_entries if entry.size}


class Decoder:
    """Decodes one stream's packets.

    Parameters
    ----------
    stream : av.VideoStream
    """

    def __init__(self, stream: av.VideoStream):
        context = stream.codec_context
        context.thread_type, context.thread_count = "SLICE", 1
        context.copy_opaque = True
        properties = context.codec.properties
        # Where no frame builds on another, the decoder may as well give up the broken ones: it
        # tells them from oddities that do no harm, in which nothing else is as good.
        if properties & Properties.INTRA_ONLY.value:
            context.options = {"err_detect": "explode"}
        # Of lossless video only the log says that a checksum is wrong.
        self._heeds_log = not properties & Properties.LOSSY.value
        self._context = context
        self._suspicion = Suspicion(ordered=stream.container.format.name not in _UNORDERED)
        self._last = 0

    def miss(self, packet: Packet, number: int) -> None:
        """Tell that packets before this one are missing: it builds on them if it is no keyframe."""
        if not packet.is_keyframe:
            self._suspicion.damage(number)

    def decode(self, packet: Packet, number: int) -> Iterator[Slot]:
        """Decode packet `number`; yield the frames that are finished, or slots without if damaged.

        Where packets have no time, or one that is not their frames', a slot has a packet's number.
        """
        self._last = packet.opaque = number
        time = packet.dts if packet.pts is None else packet.pts
        self._suspicion.feed(number, time, packet.is_keyframe, is_shown=not packet.is_discard)
        if packet.is_corrupt:
            self._suspicion.damage(number)
        yield from self._send(packet, number)

    def finish(self) -> Iterator[Slot]:
        """Yield the frames that the decoder still holds."""
        yield from self._send(None, self._last)
        yield from self._suspicion.finish()

    def _send(self, packet, number):
        with av.logging.Capture() as lines:
            try:
                frames = self._context.decode(packet)
            except av.FFmpegError:
                self._suspicion.damage(number)
                return
        if self._heeds_log and lines:
            self._suspicion.damage(number)
        for frame in frames:
            source = number if frame.opaque is None else frame.opaque
            if frame.is_corrupt:
                self._suspicion.damage(source)
            yield from self._suspicion.take(source, frame.pts, frame)


def film_of(container: av.container.InputContainer, counts: dict[int, int]) -> av.VideoStream:
    """Return the stream that is the film: the first with more than one picture, or the first.

    Parameters
    ----------
    container : av.container.InputContainer
    counts : dict of int to int
        Packets by stream index. A cover is a stream of one picture.
    """
    streams = container.streams.video
    films = [stream for stream in streams if counts.get(stream.index, 0) > 1]
    return (films or [s for s in streams if counts.get(s.index)] or list(streams))[0]


def rate_of(stream: av.VideoStream) -> Fraction | None:
    """Return the frames per second that the file states, None without."""
    return stream.average_rate or stream.guessed_rate or None


def _words(error):
    """Return what FFmpeg says of an error, in one line."""
    words = getattr(error, "strerror", None) or str(error)
    return " ".join(words.split())
