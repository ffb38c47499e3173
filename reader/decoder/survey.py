"""What is in a video, found by reading all of its packets and decoding one.

Headers are not trusted: a file of 120 frames may claim to last 26 hours. Reading without decoding
takes a few seconds per gigabyte.
"""

import itertools
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from maskflownet.reader.decoder.pictures import orientation, pixel_aspect
from maskflownet.reader.decoder.stream import (
    BadVideoError,
    Decoder,
    film_of,
    listed_times,
    open_video,
    packets_of,
    rate_of,
)

# Made by equipment of constant rate, so that a pause means that something is missing. In other
# formats a frame may be shown for as long as it likes.
_BROADCAST = ("mpegts", "mpeg")
_LONG = 1.9  # times the usual interval: a gap; a film's telecine has 1.5
_TRIALS = 200  # packets that may pass before the first frame


class Survey(NamedTuple):
    """What `Video` wants to know; JSON can hold it.

    Attributes
    ----------
    stream : int
        The index of the film's stream.
    time_base : tuple of int
        Numerator and denominator of a tick in seconds.
    times : list of int
        When frames are shown, in ticks, ascending; one tick each where the file does not say.
    rate : tuple of int or None
        Frames per second if the time between frames is constant.
    size_hw : tuple of int
        Of the first frame, upright.
    pixel_aspect : tuple of int
        Width over height of its pixels.
    in_order : bool
        Whether frames have to take their times from `times`, by their number.
    skipped : int
        Packets before the first keyframe, which no decoder can use.
    gaps : list of (int, int)
        Times of the frames before and after what is missing.
    complaint : str
        What the demuxer said where the file ended, if it did not just end.
    """

    stream: int
    time_base: tuple[int, int]
    times: list[int]
    rate: tuple[int, int] | None
    size_hw: tuple[int, int]
    pixel_aspect: tuple[int, int]
    in_order: bool
    skipped: int
    gaps: list[tuple[int, int]]
    complaint: str


class _Track:
    """The packets of one stream."""

    def __init__(self):
        self.times = []  # of all packets
        self.hidden = set()  # numbers of those that others only build on
        self.timed = True
        self.skipped = 0
        self.has_keyframe = False
        self.suspicious = []  # numbers of packets before which the demuxer complained

    def add(self, packet, complaint):
        if complaint:
            self.suspicious.append(len(self.times))
        if packet.is_keyframe and not self.has_keyframe:
            self.has_keyframe, self.skipped = True, len(self.times)
        if packet.is_discard:
            self.hidden.add(len(self.times))
        time = packet.dts if packet.pts is None else packet.pts
        self.timed = self.timed and time is not None
        self.times.append(time)

    def shown(self):
        """Return when frames are shown, ascending; their numbers where that is not known."""
        numbers = [n for n in range(self.skipped, len(self.times)) if n not in self.hidden]
        return sorted(self.times[n] for n in numbers) if self.timed else numbers


def survey(path: str, alive: Callable[[], None] = lambda: None) -> Survey:
    """Look through a file.

    Parameters
    ----------
    path : str
    alive : callable
        Called for every packet.

    Raises
    ------
    BadVideoError
        There is no frame in it that can be decoded.
    """
    with open_video(path) as container:
        tracks = {stream.index: _Track() for stream in container.streams.video}
        complaint = ""
        for packet, complaint in packets_of(container, list(container.streams.video)):
            alive()
            if packet is not None:
                tracks[packet.stream_index].add(packet, complaint)
        counts = {index: len(track.times) for index, track in tracks.items()}
        stream = film_of(container, counts)
        track = tracks[stream.index]
        frame = _first_frame(path, stream.index, track.skipped, alive)
        times = track.shown()
        rate = rate_of(stream)
        tick = stream.time_base if track.timed else 1 / (rate or 25)
        turned = orientation(frame)[0] % 2
        size_hw = (frame.width, frame.height) if turned else (frame.height, frame.width)
        aspect = pixel_aspect(frame, stream.sample_aspect_ratio)
        return Survey(
            stream=stream.index,
            time_base=tick.as_integer_ratio(),
            times=times,
            rate=_constant_rate(times, tick, rate),
            size_hw=size_hw,
            pixel_aspect=aspect.as_integer_ratio(),
            in_order=not track.timed or container.format.name == "avi",
            skipped=track.skipped,
            gaps=_gaps(track, times, stream) if track.timed else [],
            complaint=complaint,
        )


def _first_frame(path, stream_index, skipped, alive):
    """Return a frame; raise BadVideoError if the beginning gives none."""
    with open_video(path) as container:
        stream = container.streams[stream_index]
        decoder = Decoder(stream)
        for number, (packet, _) in enumerate(packets_of(container, [stream])):
            alive()
            if packet is None or number >= skipped + _TRIALS:
                break
            if number >= skipped:
                for slot in decoder.decode(packet, number):
                    if slot.frame is not None:
                        return slot.frame
        for slot in decoder.finish():
            if slot.frame is not None:
                return slot.frame
    raise BadVideoError("no frame of it can be decoded")


def _constant_rate(times, tick, stated):
    """Return the rate at which all frames follow each other, as a ratio; None if they do not."""
    if len(times) < 2 or times[-1] == times[0]:
        return stated and stated.as_integer_ratio()
    measured = (len(times) - 1) / ((times[-1] - times[0]) * tick)
    for rate in filter(None, (stated, measured.limit_denominator(1001))):
        ticks = 1 / (rate * tick)
        if all(abs(time - times[0] - n * ticks) <= 1 for n, time in enumerate(times)):
            return rate.as_integer_ratio()
    return None


def _gaps(track, times, stream):
    """Return the times before and after each place where frames are missing."""
    steps = [after - before for before, after in itertools.pairwise(times)]
    usual = median(steps) if steps else 0
    missing = set(listed_times(stream)).difference(times)
    # Somewhere between a complaint and the packet after it.
    missing.update(min(track.times[number:]) for number in track.suspicious)
    long = [step >= _LONG * usual > 0 for step in steps]
    rated = stream.container.format.name in _BROADCAST and sum(long) <= len(steps) / 10
    return [
        (before, after)
        for before, after, is_long in zip(times, times[1:], long, strict=False)
        if is_long and (rated or any(before < time <= after for time in missing))
    ]
