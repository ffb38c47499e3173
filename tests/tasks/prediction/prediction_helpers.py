"""Frames that tell their number, and a network that says which frames it was shown."""

from typing import NamedTuple

import cv2
import numpy as np

from maskflownet.output.video import write_video
from maskflownet.reader.flow_files import read_flo
from maskflownet.tasks.prediction.files import place_results

SIZE_HW = (16, 24)


def frame(number):
    """Return a uint8 (16, 24, 3) picture, BGR, whose blue is the number."""
    image = np.full((*SIZE_HW, 3), (number, 7, 90), np.uint8)
    image[:, ::2, 1] = 200
    return image


def write_frames(folder, numbers, name="frame_{}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / name.format(number)), frame(number))
    return folder


def video_of(path, numbers, rate=10, size_hw=(32, 48)):
    """Write a video of grey frames; the grey that is read back is near 20 times the number."""
    write_video(path, (np.full((*size_hw, 3), 20 * n, np.uint8) for n in numbers), rate)
    return path


class FakePrediction(NamedTuple):
    flow: np.ndarray
    mask: np.ndarray
    warped: np.ndarray


class FakePipe:
    """Answers with flow whose u is the number of frame 1 and whose v is that of frame 2.

    Parameters
    ----------
    fail_after : int, optional
        How many pairs to answer before something else ends the program.
    """

    def __init__(self, fail_after=None):
        self.shown = []
        self.resized = []
        self.color_orders = []
        self._fail_after = fail_after

    def predict_pairs(self, pairs, batch_size=1, resize=None, wanted=(), color_order="bgr"):
        self.resized.append(resize)
        self.color_orders.append(color_order)
        for image1, image2 in pairs:
            if len(self.shown) == self._fail_after:
                raise KeyboardInterrupt
            numbers = int(image1[0, 0, 0]), int(image2[0, 0, 0])
            self.shown.append(numbers)
            flow = np.full((*image1.shape[:2], 2), numbers, np.float32)
            mask = np.full((*image1.shape[:2], 1), 0.2, np.float32)
            yield FakePrediction(flow, mask, image2.astype(np.float32) / 255)


def files_in(output, *save, **more):
    return place_results(output, frozenset(save) if save else None, **more)


def numbers_in(path):
    """Return the frames that a .flo file of the fake network is from and to."""
    flow = read_flo(path)
    assert (flow == flow[0, 0]).all()
    return tuple(flow[0, 0].astype(int).tolist())


def flow_numbers(folder):
    return {path.stem: numbers_in(path) for path in folder.glob("*.flo")}


def listing(folder):
    return sorted(path.name for path in folder.iterdir())
