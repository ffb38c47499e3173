"""A run's curves and pictures for TensorBoard, where the package tensorboardX is installed.

`tensorboard --logdir logs` shows them, of all runs beside each other.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.output import error_map, flow_to_color, largest_length
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.pipe import Pipe

SUFFIX = ".board"


class NoBoard:
    """Shows nothing: where no board is wanted, and on all workers but the first."""

    def scalars(self, row: dict[str, float]) -> None:
        """Leave it."""

    def pictures(
        self, pipe: Pipe, samples: Iterable[FlowSample], color_order: str, steps: int
    ) -> None:
        """Leave it."""

    def close(self) -> None:
        """There is nothing to close."""


class Board(NoBoard):
    """Writes TensorBoard's event files into `folder`/RUN.board.

    Parameters
    ----------
    folder : pathlib.Path
    run : str
        The run's id.
    start : int
        The step that the run begins after: later events, which it makes again, are dropped.

    Raises
    ------
    InputError
        tensorboardX is not installed.
    """

    def __init__(self, folder: Path, run: str, start: int):
        self._writer = _writer_class()(str(folder / f"{run}{SUFFIX}"), purge_step=start + 1)

    def scalars(self, row: dict[str, float]) -> None:
        """Add the figures of a row of the run's curves, each under its name."""
        for name, value in row.items():
            if name != "steps":
                self._writer.add_scalar(name, value, row["steps"])

    def pictures(
        self, pipe: Pipe, samples: Iterable[FlowSample], color_order: str, steps: int
    ) -> None:
        """Add pictures of a pair: image 1, both flows, mask and error.

        Parameters
        ----------
        pipe : network.Pipeline
            What predicts.
        samples : iterable of FlowSample
            The pair, or nothing where its reading was broken off.
        color_order : {"BGR", "RGB"}
            Of its images.
        steps : int
        """
        for sample in samples:
            self._show(pipe, sample, color_order, steps)

    def _show(self, pipe, sample, color_order, steps):
        (prediction,) = pipe.predict_pairs(
            [(sample.image1, sample.image2)], wanted=("flow", "mask")
        )
        valid = sample.valid[..., 0] > 0
        truth = np.where(valid[..., None], sample.flow, np.float32(np.nan))
        longest = largest_length(truth)
        image = sample.image1 if color_order == "RGB" else sample.image1[..., ::-1]
        shown = {
            "image": image,
            "flow/true": flow_to_color(truth, longest)[..., ::-1],
            "flow/predicted": flow_to_color(prediction.flow, longest)[..., ::-1],
            "error": error_map(prediction.flow, sample.flow, valid)[..., ::-1],
        }
        if prediction.mask is not None:
            shown["mask"] = (255 * prediction.mask).astype(np.uint8)
        for name, picture in shown.items():
            self._writer.add_image(name, np.ascontiguousarray(picture), steps, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and end the writing thread."""
        self._writer.close()


def check_board() -> None:
    """Raise InputError unless there can be a board."""
    _writer_class()


def _writer_class():
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise InputError(
            "--tensorboard needs the package tensorboardX; install it with: pip install "
            "tensorboardX"
        ) from error
    return SummaryWriter
