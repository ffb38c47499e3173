"""Which frames of a video damage may have reached.

Frames build on each other: what is broken in one spreads to all that are predicted from it, up to
the next keyframe, which builds on nothing. A decoder conceals much of this and says so at one frame
only. So once there was an error, everything up to the next keyframe counts as damaged.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

_MOST_HELD = 16  # frames; no format in use reorders more
_KEYFRAMES_KNOWN = 64


class Slot(NamedTuple):
    """A place in the order in which frames are shown.

    Attributes
    ----------
    pts : int or None
        When it is shown, in the stream's time base.
    frame : object or None
        The frame; None if it was damaged or lost.
    """

    pts: int | None
    frame: Any | None


class Suspicion:
    """Puts the frames of damaged places aside, and waits until it is known which those are.

    Packets are numbered as they come, in decoding order. A frame that is shown early may build on
    one that is shown late and was decoded before it; it is held until that one has come.

    Parameters
    ----------
    ordered : bool
        Whether the packets' times are those at which frames are shown. In AVI they are not.
    """

    def __init__(self, ordered: bool = True):
        self._ordered = ordered
        self._waiting = {}  # packet -> time, of those that have given no frame yet
        self._keyframes = deque(maxlen=_KEYFRAMES_KNOWN)  # (packet, time)
        self._damaged = []  # packets
        self._held = deque()  # (packet, time, frame)
        self._lost = []  # times

    def feed(self, packet: int, pts: int | None, is_keyframe: bool, is_shown: bool = True) -> None:
        """Tell of a packet that the decoder is given next; others may only build on it."""
        time = pts if self._ordered and pts is not None else packet
        if is_shown:
            self._waiting[packet] = time
        if is_keyframe:
            self._keyframes.append((packet, time))
            oldest = self._keyframes[0][0]
            self._damaged = [number for number in self._damaged if number >= oldest]

    def damage(self, packet: int) -> None:
        """Tell that a packet is damaged, in itself or by what the decoder made of it."""
        if packet not in self._damaged:
            self._damaged.append(packet)

    def take(self, packet: int, pts: int | None, frame: Any) -> Iterator[Slot]:
        """Take the frame that came of a packet; yield what is known to be whole or damaged."""
        time = self._waiting.pop(packet, packet)
        if self._ordered and pts is not None:
            time = pts
        if self._ordered:  # what is shown earlier and has not come will not come
            for earlier in [n for n, other in self._waiting.items() if other < time]:
                self._give_up(earlier)
        self._held.append((packet, time, frame))
        yield from self._release(at_end=False)

    def finish(self) -> Iterator[Slot]:
        """Yield the rest when the decoder has nothing more."""
        yield from self._release(at_end=True)
        for packet in list(self._waiting):
            self._give_up(packet)
        yield from self._lost_before(None)

    def _give_up(self, packet):
        """Count a packet as lost if it was damaged; else it is one that shows nothing."""
        time = self._waiting.pop(packet)
        if self._is_suspect(packet, time):
            self._lost.append(time)

    def _release(self, at_end):
        while self._held:
            packet, time, frame = self._held[0]
            before = [number for number in self._waiting if number < packet]
            if before and not at_end and len(self._held) <= _MOST_HELD:
                return
            for number in before:
                self._give_up(number)
            self._held.popleft()
            yield from self._lost_before(time)
            yield Slot(time, None if self._is_suspect(packet, time) else frame)

    def _lost_before(self, time):
        for lost in sorted(self._lost):
            if time is None or lost < time:
                self._lost.remove(lost)
                yield Slot(lost, None)

    def _is_suspect(self, packet, time):
        """Return whether there was damage between a frame and the keyframe that it builds on."""
        # A frame that is shown before the keyframe it follows may build on the one before that.
        keys = (key for key, shown in reversed(self._keyframes) if key <= packet and shown <= time)
        keyframe = next(keys, -1)
        return any(keyframe <= number <= packet for number in self._damaged)
