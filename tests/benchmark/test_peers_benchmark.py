"""The fast path beside other runtimes: the processes, the tables."""

import json

import mxnet as mx
import pytest

from maskflownet.benchmark import network, peers
from maskflownet.benchmark.cases import Case
from maskflownet.benchmark.report import peer_tables
from maskflownet.kernels import use_fast

MACHINE = {"processor": "Abacus", "threads": "2", "mxnet": "1.9.1"}
SIDES = ["auto", "bf16", "builtin", "torch"]
FIGURES = {
    "S 448x1024": {
        "seconds": {
            "auto": [0.5, 0.5],
            "bf16": [0.25, 0.25],
            "builtin": [1.5, 2.0],
            "torch": [1.0, 1.0],
        },
        "difference_px": {"auto": 0.0, "bf16": 0.02, "builtin": 0.00002, "torch": 0.013},
        "versions": {"torch": "2.13.0"},
    },
    "S 64x64": {
        "seconds": {"auto": [0.1], "builtin": [0.2], "onnxruntime": [0.3]},
        "difference_px": {"auto": 0.0, "builtin": 0.0, "onnxruntime": 0.00013},
        "versions": {"onnxruntime": "1.32.0"},
    },
    "S train 1x64x64": {
        "seconds": {"auto": [0.5, 0.5], "bf16": [0.25, 0.25], "torch": [1.0, 2.0]},
        "difference_loss": {"auto": 0.0, "bf16": 0.00123, "torch": 0.000001},
        "versions": {"torch": "2.13.0"},
    },
}


def test_tables_show_times_of_the_fast_path():
    assert list(peer_tables("Title:", MACHINE, FIGURES)) == [
        "",
        "Title:",
        "",
        "Abacus, 2 threads, MXNet 1.9.1, torch 2.13.0, onnxruntime 1.32.0.",
        "",
        "|  | fast | plain | fast, bf16 | ONNX Runtime | PyTorch, eager |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| S 448x1024 | 500 ms | 3.50 (3.25 to 3.75) | 0.50 (0.50 to 0.50) |  "
        "| 2.00 (2.00 to 2.00) |",
        "| S 64x64 | 100 ms | 2.00 (2.00 to 2.00) |  | 3.00 (3.00 to 3.00) |  |",
        "",
        "S 448x1024, largest difference of flow in px: fast, bf16 0.02; plain 2e-05; "
        "PyTorch, eager 0.013.",
        "S 64x64, largest difference of flow in px: plain 0; ONNX Runtime 0.00013.",
        "",
        "|  | fast | fast, bf16 | PyTorch, eager |",
        "| --- | ---: | ---: | ---: |",
        "| S train 1x64x64 | 500 ms | 0.50 (0.50 to 0.50) | 3.00 (2.50 to 3.50) |",
        "",
        "S train 1x64x64, relative difference of the first step's loss: "
        "fast, bf16 0.0012; PyTorch, eager 1e-06.",
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


@pytest.mark.parametrize("case", [Case("S", "exported", (64, 64)), Case("S", "train", (64, 64))])
def test_pytorch_and_bf16_run_by_themselves_too(case, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(network, "WARM_UPS", 1)
    if not use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators cannot run here")
    sides = ["auto", *(["bf16"] if network.has_bf16() else []), "torch"]
    figures = peers.measure(case, sides, rounds=1)
    assert list(figures["seconds"]) == sides
    kind = "difference_loss" if case.what == "train" else "difference_px"
    assert 0 < figures[kind]["torch"] < 0.1
    assert figures[kind].get("bf16", 0) < 0.2


def test_what_is_not_installed_is_left_out(monkeypatch, caplog):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: name == "onnxruntime")
    monkeypatch.setattr(peers, "has_bf16", lambda: False)
    assert peers.sides_here() == ["auto", "builtin", "onnxruntime"]
    with caplog.at_level("INFO"):
        assert {case.what for case in peers.cases_here(peers.sides_here())} == {"exported"}
    assert caplog.messages == ["training steps are left out: PyTorch is not installed"]


def test_what_is_installed_is_compared(monkeypatch):
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: name != "openvino")
    monkeypatch.setattr(peers, "has_bf16", lambda: True)
    assert peers.sides_here() == ["auto", "bf16", "builtin", "onnxruntime", "torch"]
    trained = [case.name for case in peers.cases_here(["torch"]) if case.what == "train"]
    assert trained == ["S train 1x320x448", "S train 4x192x256"]


def test_nothing_to_compare(monkeypatch, capsys):
    if not use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators cannot run here")
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    assert peers.main([]) == 2
    assert "nothing to compare: pip install onnxruntime openvino torch" in capsys.readouterr().err


def test_program_writes_figures_and_page(monkeypatch, tmp_path, capsys):
    if not use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators cannot run here")
    asked = []

    def measure(case, sides, rounds):
        asked.append((case.name, sides, rounds))
        return dict(FIGURES["S train 1x64x64" if case.what == "train" else "S 448x1024"])

    monkeypatch.setattr(peers, "CASES", (("S", (64, 64)), ("cascade", (64, 64))))
    monkeypatch.setattr(peers, "TRAINED", (("S", (64, 64), 1),))
    monkeypatch.setattr(peers, "measure", measure)
    monkeypatch.setattr(peers, "versions", lambda sides: {"torch": "2.13.0"})
    monkeypatch.setattr(peers, "sides_here", lambda: SIDES)
    path = tmp_path / "speed.json"
    assert peers.main(["--json", str(path), "--cases", "S ", "--rounds", "4"]) == 0
    assert asked == [
        ("S exported 64x64", SIDES, 4),
        ("S train 1x64x64", ["auto", "bf16", "torch"], 4),
    ]
    figures = json.loads(path.read_text())["peers"]["figures"]
    assert list(figures) == ["S 64x64", "S train 1x64x64"]
    page = path.with_suffix(".md").read_text()
    assert "| S 64x64 | 500 ms | 3.50 (3.25 to 3.75) |" in page
    assert "torch 2.13.0" in page
    assert "S train 1x64x64, times of the fast path: bf16 0.50" in capsys.readouterr().out
