"""The logs of a training run: the original's text log, and every scalar as CSV beside it."""

import csv
import io
import logging
import time
from pathlib import Path

from reader.whole_file import whole_file

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


class RunLog:
    """Writes `folder`/RUN.log and `folder`/RUN.csv.

    Lines of the text log are the original's, `[2019/09/25 08:12:28] steps=1, epe=26.0, ...`. A
    resumed run goes on in both files; rows of the CSV beyond the step that it resumes from are
    dropped, since they are made again.

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
        self.csv_path = folder / f"{run}.csv"
        folder.mkdir(parents=True, exist_ok=True)
        _keep_rows_up_to(self.csv_path, start)

    def line(self, text: str) -> None:
        """Append a line to the text log and show it."""
        logger.info("%s", text)
        with self.text_path.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('[%Y/%m/%d %H:%M:%S]')} {text}\n")

    def row(self, figures: dict[str, float]) -> None:
        """Append a row to the CSV; the figures' names are of COLUMNS, those left out stay empty."""
        with self.csv_path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(figures)


def read_rows(path: Path) -> list[dict[str, float]]:
    """Return the rows of a run's CSV, each {column: number} without the empty columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _keep_rows_up_to(path, step):
    """Rewrite a CSV without the rows of later steps; a missing one gets its header."""
    rows = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            # A row that a crash cut short has no step number or not all columns.
            rows = [
                row
                for row in csv.DictReader(file)
                if None not in row.values() and row["steps"].isdigit() and int(row["steps"]) <= step
            ]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    with whole_file(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8", newline="")
