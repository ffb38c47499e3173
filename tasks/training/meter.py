"""Means over some steps of a training run, and how long the rest will take."""

import math
import time


class Meter:
    """Means of figures over some steps.

    Attributes
    ----------
    steps : int
        Since the last `take`.
    """

    def __init__(self):
        self._begin = time.monotonic()
        self._clear()

    def _clear(self):
        self.steps = self._counted = 0
        self._epe = self._loss = self._waited = self._seconds = 0.0

    @property
    def total_time(self) -> float:
        """Return the seconds since the meter was made."""
        return time.monotonic() - self._begin

    def add(self, figures: dict[str, float], waited: float, seconds: float) -> None:
        """Count a step in: its `epe` and `loss`, the seconds waited for data, and all seconds.

        A step without a pixel whose flow is known, which has no `epe`, counts in no mean of errors.
        """
        self.steps += 1
        if not math.isnan(figures["epe"]):
            self._counted += 1
            self._epe += figures["epe"]
            self._loss += figures["loss"]
        self._waited += waited
        self._seconds += seconds

    def take(self, batch: int) -> dict[str, float]:
        """Return the means since the last `take`, of steps with `batch` samples, and begin anew.

        Returns
        -------
        dict
            `epe` and `loss`, NaN where no step had any; `samples_per_second`; and `data_wait`: the
            share of time (0..1).
        """
        means = {
            "epe": self._epe / self._counted if self._counted else math.nan,
            "loss": self._loss / self._counted if self._counted else math.nan,
            "samples_per_second": batch * self.steps / self._seconds,
            "data_wait": self._waited / self._seconds,
        }
        self._clear()
        return means


def duration(seconds: float) -> str:
    """Return seconds as "3d04:05:06" or "04:05:06"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}d" * bool(days) + f"{hour:02}:{minute:02}:{second:02}"
