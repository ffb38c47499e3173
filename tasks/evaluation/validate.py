"""Evaluating a checkpoint on datasets with ground truth: `main.py CONFIG -c CHECKPOINT --valid`."""

import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from maskflownet.config import load_dataset_config
from maskflownet.metrics import (
    MATCHED,
    SPEEDS,
    UNMATCHED,
)
from maskflownet.reader.datasets import FlowDataset, evaluation_sets, make_dataset
from maskflownet.reader.read_ahead import read_ahead
from maskflownet.tasks.evaluation.score import score, summarize
from maskflownet.tasks.pipe import Pipe
from maskflownet.tasks.progress import progress
from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

DEBUG_PAIRS = 2
# The original logs Fl for KITTI 2015 and the endpoint error for all else.
LOGGED_AS_FL = ("kitti.2015",)

COLUMNS = ("set", "pairs", "EPE", ">1px %", ">3px %", ">5px %", "Fl %", "Fl pooled %")
REGIONS = (*SPEEDS, MATCHED, UNMATCHED)
REGION_TITLE = "EPE by speed (px per frame) and visibility, pooled over all such pixels:"
NOC_TITLE = "Non-occluded pixels alone (KITTI's noc; matched in Sintel's words):"
MASK_TITLE = "Occlusion mask against the truth (by chance AP is the share of occluded pixels):"
MASK_COLUMNS = ("set", "occluded %", "AP %", "best F1 %")

# For whoever reads a report without this repository at hand.
MEANINGS = {
    "images": "images with such pixels; the others contribute nothing",
    "pixels": "how many such pixels these images have",
    "epe": "endpoint error, px, mean of the images' means",
    "over_1px, over_3px, over_5px": "share (0..1) of errors over so many px, mean of the images'",
    "fl": "share (0..1) of errors over 3 px and over 5 % of the true length, mean of the images'",
    "epe_pooled": "endpoint error, px, mean over all pixels of the set together",
    "fl_pooled": "fl as a share (0..1) of all pixels of the set together",
    "expected": "pairs that the published set has, or null where that is not known",
    "regions": "the same for pixels whose true flow has a length of 0 to below 10 px, of 10 to "
    "below 40 px, and from 40 px on; matched: seen in both images (KITTI's noc); unmatched: not",
    "mask": "of a network with an occlusion mask, where occlusion is known: average_precision and "
    "best_f1 of 1 - mask against the occluded pixels, and occluded_share (0..1), which is the "
    "average precision by chance; all pixels of the set together",
}


def validate(
    pipe: Pipe,
    sets: Sequence[tuple[str, FlowDataset]],
    batch_size: int = 1,
    resize: tuple[int, int] | None = None,
    shard: int = 1,
    debug: bool = False,
    finished: Callable[[str, dict], None] = lambda name, figures: None,
) -> dict[str, dict]:
    """Evaluate on each set and print tables, also if a later set ends in an error.

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
    finished : callable
        Called after each set with its name and the figures of all sets so far.

    Returns
    -------
    dict
        Set name to the figures of `metrics.summarize_regions`, and `expected`: how many pairs the
        published set has, or None. `mask`, if the network has one and the truth is known: the
        figures of `metrics.summarize_mask`.
    """
    known = {}  # scores of the pairs of finished sets
    figures = {}
    try:
        for name, dataset in sets:
            if pipe.color_order:
                dataset.color_order = pipe.color_order
            indices = range(0, len(dataset), shard)[: DEBUG_PAIRS if debug else None]
            names = dataset.names
            keys = {index: (type(dataset), names[index]) for index in indices}
            scores = {index: known[key] for index, key in keys.items() if key in known}
            todo = [index for index in indices if index not in scores]
            samples = read_ahead(dataset.__getitem__, todo, batch_size, names.__getitem__)
            new = progress(score(pipe, samples, batch_size, resize), len(todo), name)
            scores.update(zip(todo, new, strict=True))
            known.update((keys[index], one) for index, one in scores.items())
            figures[name] = summarize(scores.values())
            figures[name]["expected"] = dataset.expected
            if left_out := len(scores) - figures[name]["images"]:
                logger.warning("%s: %d pairs without a valid pixel do not count", name, left_out)
            finished(name, figures)
    finally:
        for line in tables(figures) if figures else ():
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


def append_log(
    name: str,
    figure: dict,
    checkpoint: Checkpoint,
    folder: Path,
    resize: tuple[int, int] | None = None,
    shard: int = 1,
    precision: str = "float32",
) -> None:
    """Append a set's figure to `folder`/RUN.val.log in the original's form.

    Such as `[2019/09/25 08:12:28] steps=500000, sintel.training.clean:epe=2.33`; `resize`, `shard`
    and `precision` follow where they are not the default, since such figures do not compare. Where
    there are figures of the mask, a line with them follows.
    """
    kind, value = ("kitti", "fl") if name in LOGGED_AS_FL else ("epe", "epe")
    words = [f"steps={checkpoint.steps}", f"{name}:{kind}={figure[value]:.6g}"]
    if resize is not None:
        words.append(f"resize={resize[0]}x{resize[1]}")
    if shard != 1:
        words.append(f"shard={shard}")
    if precision != "float32":
        words.append(f"precision={precision}")
    lines = [words]
    if mask := figure.get("mask"):
        figures = (f"mask_{key}={mask[key]:.6g}" for key in ("average_precision", "best_f1"))
        share = f"occluded_share={mask['occluded_share']:.6g}"
        lines.append([words[0], f"{name}:{', '.join([*figures, share])}", *words[2:]])
    stamp = time.strftime("[%Y/%m/%d %H:%M:%S]")
    path = folder / f"{checkpoint.run}.val.log"
    # A config's name may be of bytes that are no text.
    with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
        log.writelines(f"{stamp} {', '.join(line)}\n" for line in lines)


def write_report(
    figures: dict[str, dict],
    checkpoint: Checkpoint,
    folder: Path,
    config_name: str,
    resize: tuple[int, int] | None = None,
    shard: int = 1,
    precision: str = "float32",
) -> Path:
    """Write all figures as JSON to `folder`/RUN_STEPS.val.json and return that path.

    A later evaluation of the same checkpoint takes the file's place, in one step.

    Parameters
    ----------
    figures : dict
        What `validate` returned. What is no finite number becomes null.
    checkpoint : Checkpoint
    folder : pathlib.Path
    config_name : str
        The network config's name.
    resize : tuple of int, optional
    shard : int
        As they were given to `validate`.
    precision : {"float32", "bf16"}
        In which the network computed.
    """
    report = {
        "checkpoint": {"run": checkpoint.run, "steps": checkpoint.steps},
        "parameter_file": str(checkpoint.path),
        "config": config_name,
        "resize_hw": resize,
        "shard": shard,
        "precision": precision,
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "meaning": MEANINGS,
        "sets": figures,
    }
    path = folder / f"{checkpoint.run}_{checkpoint.steps}.val.json"
    with whole_file(path) as part:
        text = json.dumps(_finite(report), indent=2, allow_nan=False)
        part.write_text(f"{text}\n", encoding="utf-8")
    return path


def _finite(value):
    """Return `value` with None for each number in it that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def tables(figures: dict[str, dict]) -> Iterator[str]:
    """Yield the lines of four tables: all pixels, by speed and visibility, non-occluded, the mask.

    Parameters
    ----------
    figures : dict
        What `validate` returned. The third table is left out where no set knows its occlusion, and
        the fourth too where the network has no mask.
    """
    yield from _table([COLUMNS, *(_row(name, figure) for name, figure in figures.items())])
    yield from ("", REGION_TITLE)
    yield from _table([("set", *REGIONS), *map(_region_row, figures, figures.values())])
    noc = {
        name: figure["regions"][MATCHED] | {"expected": figure["expected"]}
        for name, figure in figures.items()
        if MATCHED in figure["regions"]
    }
    if noc:
        yield from ("", NOC_TITLE)
        yield from _table([COLUMNS, *(_row(name, figure) for name, figure in noc.items())])
    masks = {name: figure["mask"] for name, figure in figures.items() if "mask" in figure}
    if masks:
        yield from ("", MASK_TITLE)
        yield from _table([MASK_COLUMNS, *map(_mask_row, masks, masks.values())])


def _row(name, figure):
    expected = f" of {figure['expected']:,}" if figure["expected"] else ""
    shares = ("over_1px", "over_3px", "over_5px", "fl", "fl_pooled")
    percents = (f"{100 * figure[share]:.2f}" for share in shares)
    return (name, f"{figure['images']:,}{expected}", f"{figure['epe']:.3f}", *percents)


def _region_row(name, figure):
    regions = [figure["regions"].get(region, {"pixels": 0}) for region in REGIONS]
    pooled = (f"{region['epe_pooled']:.3f}" if region["pixels"] else "-" for region in regions)
    return (name, *pooled)


def _mask_row(name, figure):
    shares = ("occluded_share", "average_precision", "best_f1")
    return (name, *(f"{100 * figure[share]:.2f}" for share in shares))


def _table(rows):
    """Return the rows as lines of text, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *others])
