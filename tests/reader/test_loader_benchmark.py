"""The loader's benchmark: what it writes is what it says it reads, and its tables."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from maskflownet.benchmark import loader
from maskflownet.reader.synthetic import generate


def readings(*rates):
    """Return readings of so many pairs per second, in twice that many milliseconds each."""
    return [loader.Reading(rate, 2 * rate) for rate in rates]


FIGURES = (
    {
        ("PNG", "processes", 1): readings(10, 30, 20),
        ("PNG", "processes", 2): readings(40, 41, 39),
        ("PNG", "threads", 1): readings(1, 2, 3),
        ("PNG", "threads", 2): readings(4, 5, 6),
    },
    [0.3, 0.5, 0.4],
    {100: {"reading process": 70.2}, 10_000: {"reading process": 78.9}},
)


def test_tables_show_medians():
    assert list(loader.tables(*FIGURES)) == [
        "| pairs per second | PNG, processes | PNG, threads |",
        "| --- | ---: | ---: |",
        "| 1 worker | 20 | 2 |",
        "| 2 workers | 40 | 5 |",
        "| processor time per pair | 69.0 ms | 7.0 ms |",
        "",
        "A training step consumes 0.40 pairs per second.",
        "",
        "| peak memory | 100 pairs | 10,000 pairs |",
        "| --- | ---: | ---: |",
        "| reading process | 70 MB | 79 MB |",
    ]


def test_json_has_every_figure(tmp_path):
    loader.write_json(tmp_path / "figures.json", *FIGURES)
    report = json.loads((tmp_path / "figures.json").read_text())
    first = report["reading"][0]
    assert (first["input"], first["way"], first["workers"]) == ("PNG", "processes", 1)
    assert [reading["pairs_per_s"] for reading in first["rounds"]] == [10, 30, 20]
    assert report["training_step_pairs_per_s"] == [0.3, 0.5, 0.4]
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
    pairs_per_s, cpu_ms = loader.measure_reading(pairs, 64)
    assert pairs_per_s > 0
    assert cpu_ms >= 0


def test_help_is_one_command_away():
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "maskflownet.benchmark.loader", "--help"]
    done = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0
    assert "How fast training pairs are read" in done.stdout
