"""Surveys or decodes one video for the process that started this one.

The request comes as a line of JSON on standard input, which then stays open: when it ends, the
other process is gone, and this one ends too, whatever it is doing. Answers go through the pipe
whose file descriptor is the argument, as JSON; pictures as their bytes.
"""

import itertools
import json
import os
import sys
import threading
import time
import traceback
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

ALIVE_EVERY_S = 1.0


def main() -> int:
    """Answer one request."""
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    answers = Answers(Connection(int(sys.argv[1]), readable=False))
    try:
        _answer(request, answers)
    except BrokenPipeError:
        return 1
    return 0


def _end_with_parent():
    os.read(sys.stdin.fileno(), 1)  # nothing more is ever written
    os._exit(1)


class Answers:
    """The way back to the process that asked."""

    def __init__(self, pipe: Connection):
        self._pipe = pipe
        self._last = time.monotonic()

    def send(self, kind: str, picture: np.ndarray | None = None, **content: Any) -> None:
        """Send a message, and the picture that it announces."""
        if picture is not None:
            content["shape"] = picture.shape
        self._pipe.send_bytes(json.dumps({"kind": kind, **content}).encode())
        if picture is not None:
            self._pipe.send_bytes(picture.reshape(-1))
        self._last = time.monotonic()

    def alive(self) -> None:
        """Tell once a second that there is progress."""
        if time.monotonic() - self._last >= ALIVE_EVERY_S:
            self.send("alive")


def _answer(request, answers):
    try:
        import av
    except ImportError as error:
        answers.send("failed", reason=f"PyAV cannot be used ({error}): pip install av")
        return
    from maskflownet.reader.decoder.stream import BadVideoError
    from maskflownet.reader.decoder.survey import survey

    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        if request["task"] == "survey":
            answers.send("survey", **survey(request["path"], answers.alive)._asdict())
        else:
            _decode(request, answers)
            answers.send("end")
    except BadVideoError as error:
        answers.send("bad", reason=str(error))
    except MemoryError:
        answers.send("bad", reason="its pictures do not fit into memory")
    except BrokenPipeError:
        raise
    except Exception:
        answers.send("crashed", reason=traceback.format_exc())


def _decode(request, answers):
    """Send every frame of a section, in order."""
    from maskflownet.reader.decoder.pictures import Converter

    converter = Converter()
    for index, slot in enumerate(_section(request, answers.alive)):
        content = {"pts": slot.pts}
        is_wanted = index >= len(request["wanted"]) or request["wanted"][index] == "1"
        if slot.frame is None:
            answers.send("damaged", **content)
        elif is_wanted:
            answers.send("frame", converter.picture(slot.frame), **content)
        else:
            answers.send("frame", **content)


def _section(request, alive):
    """Yield the slots from the time `start` up to but without `end`; None is without a limit.

    Where frames come in order but without times of their own, their number is their time.
    """
    start, end = request["start"], request["end"]
    for slot in _slots(request, alive):
        if start is not None and slot.pts < start:
            continue
        if end is not None and slot.pts >= end:
            return
        yield slot


def _slots(request, alive):
    """Decode from the last keyframe that is not behind `start`; packets before are only read."""
    from maskflownet.reader.decoder.stream import Decoder, open_video, packets_of

    start, in_order = request["start"], request["in_order"]
    gaps, waiting, shown = deque(request["gaps"]), [], None
    with open_video(request["path"]) as container:
        stream = container.streams[request["stream"]]
        decoder = Decoder(stream)
        for number, (packet, _) in enumerate(packets_of(container, [stream]), -request["skipped"]):
            alive()
            if packet is None:
                break
            if number < 0:
                continue
            waiting.append((packet, number))
            time = number if in_order else packet.pts
            if start is not None and time is not None and time < start:
                if packet.is_keyframe:
                    del waiting[:-1]
                continue
            start = None
            shown = itertools.count(waiting[0][1]) if shown is None else shown
            for due in waiting:
                while gaps and due[0].pts is not None and due[0].pts >= gaps[0][1]:
                    gaps.popleft()
                    decoder.miss(*due)
                yield from _numbered(decoder.decode(*due), shown, in_order)
            waiting.clear()
        yield from _numbered(decoder.finish(), shown, in_order)


def _numbered(slots, shown, in_order):
    """Give slots their number as their time, if they have no other."""
    return (slot._replace(pts=next(shown)) for slot in slots) if in_order else slots


if __name__ == "__main__":
    sys.exit(main())
