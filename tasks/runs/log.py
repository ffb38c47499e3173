"""The logs of a training run: the original's text log, and every scalar as CSV beside it."""

import logging
import time
from pathlib import Path

from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

COLUMNS = (
    "steps",
    "epe",
    "loss",
    "learning_rate",
    "samples_per_second",
    "data_wait",
    "total_time",
    "val_epe",
)
CSV_SUFFIX = ".csv"


class RunLog:
    """Writes `folder`/RUN.log and `folder`/RUN.csv.

    Lines of the text log are the original's, `[2019/09/25 08:12:28] steps=1, epe=26.0, ...`. A
    resumed run goes on in both files; rows of the CSV beyond the step that it resumes from are
    dropped, since they are made again. Every line is in its file when the call returns; OSError
    names the file where it cannot be.

    Parameters
    ----------
    folder : pathlib.Path
    run : str
        The run's id.
    start : int
        The step that the run begins after.
    """

    def __init__(self, folder: Path, run: str, start: int):
        self.text_path = folder / f"{run}.log"
        self.csv_path = folder / f"{run}{CSV_SUFFIX}"
        folder.mkdir(parents=True, exist_ok=True)
        _end_last_line(self.text_path)
        _keep_rows_up_to(self.csv_path, start)

    def line(self, text: str) -> None:
        """Append a line to the text log and show it."""
        logger.info("%s", text)
        _append(self.text_path, f"{time.strftime('[%Y/%m/%d %H:%M:%S]')} {text}\n")

    def row(self, figures: dict[str, float]) -> None:
        """Append a row to the CSV; the figures' names are of COLUMNS, those left out stay empty."""
        _append(self.csv_path, ",".join(str(figures.get(name, "")) for name in COLUMNS) + "\n")


def read_rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of a run's CSV, each {column: number} without the empty columns.

    Lines that are no whole row, such as one that a crash cut short, are left out.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    return [
        {name: float(value) for name, value in zip(COLUMNS, values, strict=True) if value}
        for values in _whole_rows(path)
    ]


def _append(path, line):
    try:
        # A path that is no UTF-8 is written with escapes.
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror})") from error


def _whole_rows(path):
    """Yield the texts of each row that has a number of steps and is whole."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for line in file:
            values = line.rstrip("\r\n").split(",")
            whole = line.endswith("\n") and len(values) == len(COLUMNS)
            if whole and values[0].isdecimal() and all(map(_is_number_or_empty, values)):
                yield values


def _is_number_or_empty(text):
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def _keep_rows_up_to(path, step):
    """Rewrite a CSV without the rows of later steps; a missing one gets its header."""
    rows = [COLUMNS]
    if path.exists():
        rows += [values for values in _whole_rows(path) if int(values[0]) <= step]
    with whole_file(path) as part:
        part.write_text("".join(f"{','.join(row)}\n" for row in rows), encoding="utf-8")


def _end_last_line(path):
    """Let a line that a crash cut short not swallow the next one."""
    if path.exists() and path.stat().st_size:
        with path.open("rb+") as log:
            log.seek(-1, 2)
            if log.read() != b"\n":
                log.write(b"\n")
