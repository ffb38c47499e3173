"""The paper's ways of matching, trained alike for a short time and compared: `make ablation`.

`python -m maskflownet.tasks.showcase.ablation [--steps N] [--variants fmm,deform]` trains each
variant of config/ablation/ from the same seed on the same generated scenes, and the default from
two more seeds, evaluates all on the same held-out scenes, and writes ablation/table.csv and
table.md. Each training is a run of main.py in a folder of its own, so all can be stopped at any
time: the same command goes on where it was.
"""

import argparse
import csv
import io
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from maskflownet import metrics
from maskflownet.config import InputError, load_dataset_config
from maskflownet.config.files import CONFIG_DIR, ROOT, read_mapping
from maskflownet.config.matching import MATCHINGS
from maskflownet.reader.datasets import make_dataset
from maskflownet.tasks.command_line import OneLineParser, positive, run_program
from maskflownet.tasks.progress import progress
from maskflownet.tasks.runs.checkpoints import Checkpoint
from maskflownet.tasks.showcase import programs
from maskflownet.tasks.showcase.programs import newest
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

SCENES = CONFIG_DIR / "ablation" / "scenes.yaml"
DEFAULT = "deform"
SEED, MORE_SEEDS = 0, (1, 2)  # of all, and of the default besides
NO_MOTION = "no motion"
COLUMNS = {  # of the table, and how each is written
    "matching": "{}",
    "seed": "{}",
    "steps": "{}",
    "EPE": "{:.3f}",
    "visible": "{:.3f}",
    "occluded": "{:.3f}",
    "AP %": "{:.1f}",
    "best F1 %": "{:.1f}",
}


class Training(NamedTuple):
    """One variant, from one seed."""

    variant: str
    seed: int | str


def make_parser() -> OneLineParser:
    """Return the command line's parser."""
    parser = OneLineParser(
        prog="python -m maskflownet.tasks.showcase.ablation", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    add("--steps", metavar="N", type=positive, help="of each training (default: scenes.yaml's)")
    add("--variants", metavar="LIST", type=variants, default=MATCHINGS, help=",".join(MATCHINGS))
    add("-o", "--out", metavar="FOLDER", type=Path, default=ROOT / "ablation")
    return parser


def variants(text: str) -> tuple[str, ...]:
    """Parse "fmm,deform"."""
    names = tuple(text.split(","))
    if not set(names) <= set(MATCHINGS):
        raise ValueError(text)
    return names


# In the error's words.
variants.__name__ = "a list of " + ",".join(MATCHINGS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = make_parser().parse_args(argv)
    return run_program("ablation", lambda: compare(arguments))


def compare(arguments: argparse.Namespace) -> None:
    """Train and evaluate what is not finished, and write the table after each.

    Raises
    ------
    InputError
        The folder holds runs of other scenes or of more steps.
    SystemExit
        A training or evaluation was stopped or failed; with its exit code.
    """
    scenes, steps = write_scenes(arguments.out, arguments.steps)
    table = [no_motion_row(scenes)]
    for training in plan(arguments.variants):
        folder = arguments.out / f"{training.variant}-{training.seed}"
        checkpoint = train(training, folder, scenes, steps)
        report = evaluate(training, folder, scenes, checkpoint)
        table.append(row(training, steps, figures_in(report)))
        write_table(table, arguments.out)
    logger.info("%s\n%s", markdown(table), arguments.out / "table.md")


def plan(names: Sequence[str]) -> list[Training]:
    """Return what to train: each variant from one seed, then the default from the others."""
    seeds = MORE_SEEDS if DEFAULT in names else ()
    return [*(Training(name, SEED) for name in names), *(Training(DEFAULT, seed) for seed in seeds)]


def write_scenes(folder: Path, steps: int | None) -> tuple[Path, int]:
    """Write the dataset config of all trainings into `folder`; return its path and the steps.

    Raises
    ------
    InputError
        There is one of other scenes: what was trained on them does not compare.
    """
    wanted = read_mapping(SCENES)
    schedule = wanted["optimizer"]["learning_rate"]
    steps = steps or schedule[-1][0]
    before = [entry for entry in schedule[:-1] if entry[0] < steps]
    wanted["optimizer"]["learning_rate"] = [*before, [steps, schedule[len(before)][1]]]
    path = folder / SCENES.name
    if path.exists() and read_mapping(path) | {"optimizer": None} != wanted | {"optimizer": None}:
        raise InputError(
            f"{path}: expected the scenes of {SCENES}, got others, on which the runs beside were "
            "trained; name another folder with -o"
        )
    with whole_file(path) as part:
        part.write_text(f"# Written by tasks/showcase/ablation.py.\n{yaml.safe_dump(wanted)}")
    return path, steps


def train(training: Training, folder: Path, scenes: Path, steps: int) -> Checkpoint:
    """Begin, continue or skip a training; return its last checkpoint."""
    checkpoint = newest(folder)
    if checkpoint is not None and checkpoint.steps > steps:
        raise InputError(
            f"{checkpoint.path}: expected a run of at most {steps} steps, got {checkpoint.steps}; "
            "give as many with --steps, or name another folder with -o"
        )
    return programs.train(
        command(training, scenes), folder, steps, begin=["--seed", str(training.seed)]
    )


def command(training: Training, scenes: Path) -> list[str]:
    """Return the arguments that training and evaluation share."""
    return [f"ablation/{training.variant}", "--dataset_cfg", str(scenes)]


def evaluate(training: Training, folder: Path, scenes: Path, checkpoint: Checkpoint) -> Path:
    """Evaluate a checkpoint on the held-out scenes, if that is not done; return the report."""
    report = folder / "logs" / "val" / f"{checkpoint.run}_{checkpoint.steps}.val.json"
    if not report.exists():
        which = f"{checkpoint.run}:{checkpoint.steps}"
        where = ["--root", str(folder), "-c", which]
        programs.run("main.py", *command(training, scenes), *where, "--valid", "--batch", "4")
    return report


def figures_in(report: Path) -> dict:
    """Return the figures of the one set in a report."""
    (figures,) = json.loads(report.read_text(encoding="utf-8"))["sets"].values()
    return figures


def no_motion_row(scenes: Path) -> dict:
    """Return the table's row for predicting no motion, with what a mask has by chance."""
    dataset = make_dataset(load_dataset_config(scenes), "valid")
    scores, histogram = [], np.zeros((2, metrics.MASK_BINS), np.int64)
    for sample in progress(dataset, len(dataset), "held-out scenes"):
        valid = sample.valid[..., 0] > 0
        still = np.zeros_like(sample.flow)
        scores.append(metrics.score_regions(still, sample.flow, valid, sample.occluded))
        knows_nothing = np.full(valid.shape, 0.5, np.float32)
        histogram = histogram + metrics.mask_histogram(knows_nothing, sample.occluded, valid)
    figures = metrics.summarize_regions(scores) | {"mask": metrics.summarize_mask(histogram)}
    return row(Training(NO_MOTION, ""), "", figures)


def row(training: Training, steps: int | str, figures: dict) -> dict:
    """Return a row of the table; errors in px and pooled, shares in percent, None for no mask."""
    mask, regions = figures.get("mask"), figures["regions"]
    values = (
        training.variant,
        training.seed,
        steps,
        figures["epe_pooled"],
        regions[metrics.MATCHED]["epe_pooled"],
        regions[metrics.UNMATCHED]["epe_pooled"],
        mask and 100 * mask["average_precision"],
        mask and 100 * mask["best_f1"],
    )
    return dict(zip(COLUMNS, values, strict=True))


def write_table(table: Sequence[dict], folder: Path) -> None:
    """Write table.csv and table.md, each whole."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    for name, content in (("table.csv", text.getvalue()), ("table.md", markdown(table))):
        with whole_file(folder / name) as part:
            part.write_text(content, encoding="utf-8")


def markdown(table: Sequence[dict]) -> str:
    """Return the table as Markdown."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS)]
    for entry in table:
        lines.append(
            [
                "" if entry[name] is None else how.format(entry[name])
                for name, how in COLUMNS.items()
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
