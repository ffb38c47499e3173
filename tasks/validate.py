"""Evaluating a checkpoint on datasets with ground truth: `main.py CONFIG -c CHECKPOINT --valid`."""

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from config import load_dataset_config
from metrics import ImageScore, score_image, summarize
from reader.datasets import FlowDataset, evaluation_sets, make_dataset
from reader.read_ahead import read_ahead
from tasks.progress import progress
from tasks.runs import Checkpoint

logger = logging.getLogger(__name__)

DEBUG_PAIRS = 2
# The original logs Fl for KITTI 2015 and the endpoint error for all else.
LOGGED_AS_FL = ("kitti.2015",)
COLUMNS = ("set", "pairs", "EPE", ">1px %", ">3px %", ">5px %", "Fl %", "Fl pooled %")


def validate(
    pipe,
    sets: Sequence[tuple[str, FlowDataset]],
    batch_size: int = 1,
    resize: tuple[int, int] | None = None,
    shard: int = 1,
    debug: bool = False,
) -> dict[str, dict]:
    """Evaluate on each set and print a table.

    A pair that is in two sets (Sintel's validation sequences are in all of Sintel too) is
    predicted once. Images are read a batch ahead, so memory does not grow with the sets.

    Parameters
    ----------
    pipe : network.Pipeline
    sets : sequence of (str, FlowDataset)
        Names and datasets, as `reader.datasets.evaluation_sets` gives them.
    batch_size : int
        Pairs per step.
    resize : tuple of int, optional
        (height, width) that the network sees; by default each image's own size.
    shard : int
        Evaluate every so many-th pair only.
    debug : bool
        Evaluate two pairs of each set only.

    Returns
    -------
    dict
        Set name to the figures of `metrics.summarize`.
    """
    known: dict[object, ImageScore] = {}
    figures, rows = {}, [COLUMNS]
    for name, dataset in sets:
        indices = range(0, len(dataset), shard)[: DEBUG_PAIRS if debug else None]
        names = dataset.names
        keys = {index: (type(dataset), names[index]) for index in indices}
        todo = [index for index in indices if keys[index] not in known]
        scores = _scores(pipe, name, dataset, todo, batch_size, resize)
        known.update((keys[index], score) for index, score in zip(todo, scores, strict=True))
        figures[name] = summarize([known[key] for key in keys.values()])
        if left_out := len(keys) - figures[name]["images"]:
            logger.warning("%s: %d pairs without a valid pixel do not count", name, left_out)
        rows.append(_row(name, dataset, figures[name]))
    for line in _table(rows):
        logger.info("%s", line)
    return figures


def sets_to_evaluate(dataset_config: str | None) -> list[tuple[str, FlowDataset]]:
    """Return the validation set of a dataset config, or by default every set whose root is set.

    Names the sets that are left out, and how to set their roots.
    """
    if dataset_config is not None:
        config = load_dataset_config(dataset_config)
        return [(f"{config.name}.validation", make_dataset(config, "valid"))]
    sets, skipped = evaluation_sets()
    by_reason = defaultdict(list)
    for name, reason in skipped:
        by_reason[reason].append(name)
    for reason, names in by_reason.items():
        logger.info("left out: %s; %s", ", ".join(names), reason)
    return sets


def append_log(figures: dict[str, dict], checkpoint: Checkpoint, folder: Path) -> Path:
    """Append the figures to `folder`/RUN.val.log in the original's form and return that path.

    A line per set: `[2019/09/25 08:12:28] steps=500000, sintel.training.clean:epe=2.33`.
    """
    stamp = time.strftime("[%Y/%m/%d %H:%M:%S]")
    lines = []
    for name, figure in figures.items():
        kind, value = ("kitti", "fl") if name in LOGGED_AS_FL else ("epe", "epe")
        lines.append(f"{stamp} steps={checkpoint.steps}, {name}:{kind}={figure[value]:.6g}\n")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{checkpoint.run}.val.log"
    with path.open("a", encoding="utf-8") as log:
        log.write("".join(lines))
    return path


def _scores(pipe, name, dataset, indices, batch_size, resize):
    """Yield the score of each of the dataset's pairs at `indices`, in order."""
    truths = []  # of the pairs that the pipeline has taken and not answered yet

    def images():
        for sample in read_ahead(dataset.__getitem__, indices, ahead=batch_size):
            truths.append((sample.flow, sample.valid[..., 0] > 0))
            yield sample.image1, sample.image2

    predictions = pipe.predict_pairs(images(), batch_size, resize)
    for prediction in progress(predictions, len(indices), name):
        yield score_image(prediction.flow, *truths.pop(0))


def _row(name, dataset, figure):
    expected = f" of {dataset.expected:,}" if dataset.expected else ""
    shares = ("over_1px", "over_3px", "over_5px", "fl", "fl_pooled")
    percents = (f"{100 * figure[share]:.2f}" for share in shares)
    return (name, f"{figure['images']:,}{expected}", f"{figure['epe']:.3f}", *percents)


def _table(rows):
    """Return the rows as lines of text, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *others])
