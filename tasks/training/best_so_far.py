"""What validation has shown so far: the best weights, and whether they still get better."""

import logging
from pathlib import Path

from maskflownet.tasks.pipe import Pipe
from maskflownet.tasks.runs.best import BEST, Best, best_path, read_best, save_best

logger = logging.getLogger(__name__)


class BestSoFar:
    """Keeps a run's best weights and counts the validations since.

    Parameters
    ----------
    run : str
        The run's id.
    start : int
        The step that the run begins after: what a later step of it left behind does not count.
    folder : pathlib.Path
        Where the best weights are kept.
    patience : int or None
        After so many validations without a lower error, counted from this start of the program,
        the run has stalled; None for never.
    dataset_cfg : str
        What is validated on, as in the run's record: errors on other data do not compare.
    keeps : bool
        Whether to write: of several workers that train together the first one does.
    """

    def __init__(
        self,
        run: str,
        start: int,
        folder: Path,
        patience: int | None,
        dataset_cfg: str,
        keeps: bool,
    ):
        self._run, self._folder, self._dataset_cfg = run, folder, dataset_cfg
        self._patience, self._keeps = patience, keeps
        self._lowest, self._since = float("inf"), 0
        kept = read_best(best_path(run, folder)) if keeps else None
        counts = (
            kept is not None and kept.steps <= start and kept.dataset_cfg in (None, dataset_cfg)
        )
        self._kept = kept if counts else None

    @property
    def has_stalled(self) -> bool:
        """Whether the error has not fallen for as many validations as were to be waited for."""
        return self._patience is not None and self._since >= self._patience

    @property
    def why_stalled(self) -> str:
        """Words for it."""
        where = f"; -c {self._run}:{BEST} has the weights" if self._keeps else ""
        return (
            f"val_epe has not fallen below {self._lowest:.4f} in {self._since} validations{where}"
        )

    @property
    def kept(self) -> Best | None:
        """What the kept weights are of; None where there are none, or where another keeps them."""
        return self._kept

    def note(self, pipe: Pipe, steps: int, val_epe: float) -> None:
        """Take in a validation error in pixels; write the weights if it is the lowest.

        Raises
        ------
        OSError
            The weights cannot be written.
        """
        if val_epe < self._lowest:  # which NaN is not
            self._lowest, self._since = val_epe, 0
        else:
            self._since += 1
        if self._keeps and val_epe < (self._kept.val_epe if self._kept else float("inf")):
            best = Best(steps, round(val_epe, 4), self._dataset_cfg)
            save_best(pipe, self._run, best, self._folder)
            self._kept = best
