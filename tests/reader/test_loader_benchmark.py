"""The loader's benchmark: what it writes is what it says it reads, and its tables."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmark import loader
from reader.synthetic import generate

RATES = {
    ("PNG", "processes", 1): [10, 30, 20],
    ("PNG", "processes", 2): [40, 41, 39],
    ("PNG", "threads", 1): [1, 2, 3],
    ("PNG", "threads", 2): [4, 5, 6],
    "training step": [0.3, 0.5, 0.4],
}
PEAKS = {100: {"reading process": 70.2}, 10_000: {"reading process": 78.9}}


def test_tables_show_medians():
    assert list(loader.tables(RATES, PEAKS)) == [
        "| workers | PNG, processes | PNG, threads |",
        "| --- | ---: | ---: |",
        "| 1 | 20 | 2 |",
        "| 2 | 40 | 5 |",
        "",
        "Pairs per second; a training step consumes 0.40 pairs per second.",
        "",
        "| peak memory, MB | 100 pairs | 10,000 pairs |",
        "| --- | ---: | ---: |",
        "| reading process | 70 | 79 |",
    ]


def test_json_has_every_figure(tmp_path):
    loader.write_json(tmp_path / "figures.json", RATES, PEAKS)
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["pairs_per_second"]["PNG, processes, 1"] == [10, 30, 20]
    assert report["pairs_per_second"]["training step"] == [0.3, 0.5, 0.4]
    assert report["peak_memory_mb"]["10000"] == {"reading process": 78.9}


@pytest.mark.parametrize("suffix", [".png", ".ppm"])
def test_files_hold_the_generated_pairs(tmp_path, suffix):
    loader.write_pairs(tmp_path, suffix, (32, 48), 2)
    dataset = loader.listed(tmp_path, suffix, [1, 0, 1])
    assert len(dataset) == 3
    for sample, number in zip(dataset, [1, 0, 1], strict=True):
        made = generate(0, number, (32, 48))
        np.testing.assert_array_equal(sample.image2, made.image2)
        np.testing.assert_array_equal(sample.flow, made.flow)


@pytest.mark.parametrize("way", ["processes", "threads"])
def test_ways_read_pair_by_pair(tmp_path, monkeypatch, way):
    monkeypatch.setattr(loader, "SIZE_HW", (32, 48))
    loader.write_pairs(tmp_path, ".ppm", (32, 48), 1)
    pairs = loader.WAYS[way](loader.listed(tmp_path, ".ppm", [0, 0]), 2)
    assert len(list(islice(pairs, 5 * loader.BATCH + 1))) == 5 * loader.BATCH + 1
    assert loader.reading_rate(pairs, 8) > 0


def test_help_is_one_command_away():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmark.loader", "--help"]
    done = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0
    assert "How fast training pairs are read" in done.stdout
