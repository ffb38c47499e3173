"""An exported network beside the project's own paths: the processes, the table."""

import json

import mxnet as mx
import pytest

from maskflownet.benchmark import network, peers
from maskflownet.benchmark.cases import Case
from maskflownet.benchmark.report import peer_tables
from maskflownet.kernels import use_fast

MACHINE = {"processor": "Abacus", "threads": "2", "mxnet": "1.9.1"}
FIGURES = {
    "S 448x1024": {
        "seconds": {"auto": [0.5, 0.5], "builtin": [1.5, 2.0], "onnxruntime": [1.0, 1.0]},
        "difference_px": {"auto": 0.0, "builtin": 0.00002, "onnxruntime": 0.00013},
    }
}


def test_table_shows_times_of_the_fast_path():
    assert list(peer_tables("Title:", MACHINE, FIGURES)) == [
        "",
        "Title:",
        "",
        "Abacus, 2 threads, MXNet 1.9.1.",
        "",
        "|  | fast | plain MXNet | onnxruntime |",
        "| --- | ---: | ---: | ---: |",
        "| S 448x1024 | 500 ms | 3.50 (3.25 to 3.75) | 2.00 (2.00 to 2.00) |",
        "",
        "S 448x1024, largest difference of flow in px: builtin 0.00002, onnxruntime 0.00013.",
        "",
    ]


@pytest.mark.long
def test_sides_run_by_themselves_and_agree(monkeypatch):
    monkeypatch.setattr(network, "WARM_UPS", 1)
    sides = ["auto", "builtin", "onnxruntime", "openvino f32"]
    figures = peers.measure(Case("S", "exported", (64, 64)), sides, rounds=1)
    assert {side: len(seconds) for side, seconds in figures["seconds"].items()} == dict.fromkeys(
        sides, 1
    )
    assert 0 < max(figures["difference_px"].values()) < 1e-3


def test_what_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: name == "onnxruntime")
    assert peers.sides_here() == ["auto", "builtin", "onnxruntime"]


def test_nothing_to_compare(monkeypatch, capsys):
    if not use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators cannot run here")
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    assert peers.main([]) == 2
    assert "nothing to compare: pip install onnxruntime openvino" in capsys.readouterr().err


def test_program_writes_figures_and_page(monkeypatch, tmp_path, capsys):
    if not use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators cannot run here")
    monkeypatch.setattr(peers, "CASES", (("S", (64, 64)),))
    monkeypatch.setattr(peers, "measure", lambda case, sides, rounds: FIGURES["S 448x1024"])
    monkeypatch.setattr(peers, "sides_here", lambda: ["auto", "builtin", "onnxruntime"])
    path = tmp_path / "speed.json"
    assert peers.main(["--json", str(path)]) == 0
    assert json.loads(path.read_text())["peers"]["figures"]["S 64x64"] == FIGURES["S 448x1024"]
    assert "| S 64x64 | 500 ms | 3.50 (3.25 to 3.75) |" in path.with_suffix(".md").read_text()
    assert "onnxruntime 2.00 (2.00 to 2.00)" in capsys.readouterr().out
