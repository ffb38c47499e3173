"""The networks' benchmark: what it compares, its figures, tables and picture."""

import json
import logging
import os
import resource
import tempfile
from contextlib import nullcontext
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from maskflownet.benchmark import against, cases, growth, isolated_case, network, report
from maskflownet.benchmark.cases import CASES, Case
from maskflownet.benchmark.isolated_case import Alone, measure_alone
from maskflownet.benchmark.report import BEGIN, END, Report, ratio_text, shares_line, tables
from maskflownet.benchmark.side_process import side_by_itself
from maskflownet.config.errors import InputError
from maskflownet.config.files import ROOT
from maskflownet.kernels import use_fast

MACHINE = {"processor": "Abacus", "threads": "2", "mxnet": "1.9.1"}
FIGURES = {
    "S predict 448x1024": {
        "seconds": {"builtin": [0.9, 1.0, 1.2], "auto": [0.5, 0.4, 0.4]},
        "peak_mb": {"builtin": 500, "auto": 300},
    },
    "S forward 448x1024": {"seconds": {"builtin": [1.0], "auto": [0.5]}},
    "S folder 448x1024": {"pairs": 10, "seconds": {"memory": [2.0, 2.0], "folder": [2.5, 2.0]}},
}


@pytest.fixture
def fast():
    if not use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators cannot run here")


# Figures and tables.


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    seconds = {"one": [1.0, 4.0, 9.0], "other": [1.0, 2.0, 3.0]}
    assert ratio_text(seconds, "one", "other") == "2.00 (1.50 to 2.50)"
    assert ratio_text({"one": [3.0], "other": [2.0]}, "one", "other") == "1.50 (1.50 to 1.50)"


def test_tables_show_medians_ratios_and_memory():
    lines = list(tables("", MACHINE, FIGURES))
    assert lines[1] == "Abacus, 2 threads, MXNet 1.9.1."
    assert lines[5] == (
        "| S predict 448x1024 | 1000 ms | 400 ms | 2.50 (2.15 to 2.75) | 500 | 300 | 0.60 |"
    )
    assert lines[6] == "| S forward 448x1024 | 1000 ms | 500 ms | 2.00 (2.00 to 2.00) |  |  |  |"
    assert lines[8].startswith("S folder 448x1024: 5.00 pairs per second in memory, 4.44 from a")
    assert "0.90 (0.85 to 0.95) of it" in lines[8]


def test_the_table_of_bf16_has_its_own_sides():
    figures = {
        "S train 1x64x64": {
            "seconds": {"auto": [1.0], "bf16": [0.5]},
            "peak_mb": {"auto": 400, "bf16": 300},
        }
    }
    lines = list(tables("", MACHINE, figures, report.sides_of("bf16")))
    assert lines[3:6] == [
        "|  | fast | bf16 | fast / bf16 | fast, MB | bf16, MB | bf16 / fast |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| S train 1x64x64 | 1000 ms | 500 ms | 2.00 (2.00 to 2.00) | 400 | 300 | 0.75 |",
    ]


def test_the_largest_shares_are_shown_first():
    shares = {f"operator{number}": share for number, share in enumerate([0.4, 0.2, *8 * [0.05]])}
    assert shares_line(shares).startswith("operator0 40 %, operator1 20 %, operator2 5 %")
    assert shares_line(shares).count(",") == report.SHOWN_SHARES - 1


@pytest.fixture
def known_machine(monkeypatch):
    machine = dict(MACHINE)
    monkeypatch.setattr(report, "machine", lambda: dict(machine))
    return machine


def test_figures_are_kept_beside_those_of_other_cases_and_pages_keep_their_text(
    tmp_path, known_machine
):
    path = tmp_path / "speed.json"
    path.with_suffix(".md").write_text(f"before\n{BEGIN}\nold table\n{END}\nafter\n")
    Report(path).add("native", "a", FIGURES["S predict 448x1024"])
    Report(path).add("native", "b", FIGURES["S forward 448x1024"])
    Report(path).add("avx2", "a", FIGURES["S forward 448x1024"])
    saved = json.loads(path.read_text())
    assert saved["native"] == {
        "machine": known_machine,
        "figures": {"a": FIGURES["S predict 448x1024"], "b": FIGURES["S forward 448x1024"]},
    }
    page = path.with_suffix(".md").read_text()
    assert page.startswith(f"before\n{BEGIN}\n") and page.endswith(f"\n{END}\nafter\n")
    assert "old table" not in page
    assert page.index("| b |") < page.index("limited to AVX2") < page.rindex("| a |")


def test_figures_of_another_machine_are_not_mixed_in(tmp_path, known_machine):
    path = tmp_path / "speed.json"
    Report(path).add("native", "a", FIGURES["S predict 448x1024"])
    known_machine["threads"] = "8"
    Report(path).add("native", "b", FIGURES["S predict 448x1024"])
    assert list(Report(path).section("native")) == ["b"]
    assert "8 threads" in path.with_suffix(".md").read_text()


@pytest.mark.parametrize("text", ["not JSON", "3"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "speed.json"
    path.write_text(text)
    with pytest.raises(InputError, match="name another file with --json"):
        Report(path)


def test_a_page_without_marks_is_refused(tmp_path, known_machine):
    path = tmp_path / "speed.json"
    path.with_suffix(".md").write_text("my page\n")
    with pytest.raises(InputError, match="expected the lines"):
        Report(path).add("native", "a", FIGURES["S predict 448x1024"])
    assert path.with_suffix(".md").read_text() == "my page\n"


# Measuring.


def test_cases_are_chosen_by_parts_of_their_names():
    assert network.choose([]) == list(CASES)
    chosen = network.choose(["S train", "cascade predict 448"])
    assert [case.name for case in chosen] == [
        "S train 2x128x192",
        "S train 1x320x448",
        "S train 4x192x256",
        "cascade predict 448x1024",
    ]
    with pytest.raises(InputError, match="--cases nothing: expected a part of one of: S forward"):
        network.choose(["S", "nothing"])


def test_sides_take_turns_and_each_comes_first_as_often():
    order = []
    runners = {side: lambda side=side: order.append(side) for side in "ab"}
    seconds = network.measure_rounds(runners, rounds=4)
    assert "".join(order) == network.WARM_UPS * "ab" + "ba" + "ab" + "ba" + "ab"
    assert {side: len(rounds) for side, rounds in seconds.items()} == {"a": 4, "b": 4}


def test_a_cases_figures_say_which_side_they_are_of(monkeypatch):
    asked = []

    def measure(case, side, profile):
        asked.append((case, side, profile))
        return {
            "builtin": Alone(2, 500.4, {"Convolution": 1}),
            "auto": Alone(1, 300.4, {"Concat": 1}),
        }[side]

    flow = np.zeros((2, 2, 2), np.float32)
    runners = {"builtin": lambda wanted=0: flow, "auto": lambda wanted=0: flow + 2e-4}
    monkeypatch.setattr(isolated_case, "measure_alone", measure)
    monkeypatch.setattr(network, "runners_of", lambda case, sides: nullcontext(runners))
    case = Case("S", "predict", (64, 64))
    figures = network.measure_case(case, rounds=2, budget_s=8, profile=True)
    assert asked == [(case, "builtin", True), (case, "auto", True)]
    assert {side: len(seconds) for side, seconds in figures.pop("seconds").items()} == {
        "builtin": 2,
        "auto": 2,
    }
    assert figures == {
        "difference_px": pytest.approx(2e-4),
        "peak_mb": {"builtin": 500, "auto": 300},
        "shares": {"builtin": {"Convolution": 1}, "auto": {"Concat": 1}},
    }
    runners["auto"] = lambda wanted=0: flow + 1
    with pytest.raises(ArithmeticError, match="differs by"):
        network.measure_case(case, rounds=1, budget_s=8, profile=False)


def test_what_takes_long_is_measured_in_fewer_rounds():
    seconds = network.measure_rounds({"a": lambda: None}, rounds=9, budget_s=0)
    assert len(seconds["a"]) == network.FEWEST


def test_sides_that_differ_are_not_compared():
    flow = np.zeros((2, 2, 2), np.float32)
    runners = {"builtin": lambda wanted: flow, "auto": lambda wanted: flow + 0.5}
    with pytest.raises(ArithmeticError, match=r"differs by 0\.5 px"):
        network.check_agreement(CASES[1], runners)
    runners["auto"] = lambda wanted: flow * np.nan
    with pytest.raises(ArithmeticError):
        network.check_agreement(CASES[1], runners)


@pytest.mark.parametrize("name", ["S", pytest.param("cascade", marks=pytest.mark.long)])
def test_both_sides_of_a_prediction_agree(fast, name):
    case = Case(name, "predict", (64, 128))
    with network.runners_of(case) as runners:
        assert runners["auto"]() is None
        flow = runners["auto"](True)
        assert flow.shape == (64, 128, 2)
        assert 0.01 < abs(flow).max() < 200
        assert network.check_agreement(case, runners) < 1e-3


def test_bf16_agrees_within_its_own_bound(fast):
    if not network.has_bf16():
        pytest.skip("this processor has no unit for bf16, or the fast operators are not built")
    case = Case("S", "predict", (256, 256))  # without AMX, small images are not rounded
    with network.runners_of(case, ("auto", "bf16")) as runners:
        assert 1e-3 < network.check_agreement(case, runners) < network.AGREEMENT_PX["bf16"]


def test_a_forward_pass_is_over_when_its_run_returns(monkeypatch):
    """MXNet returns at once and computes behind; a clock would see nothing of it."""
    run = cases.runner(Case("S", "forward", (64, 64)), "builtin")
    waited, wait = [], mx.nd.waitall
    monkeypatch.setattr(mx.nd, "waitall", lambda: waited.append(wait()))
    run()
    assert waited


def test_a_training_step_of_the_cascade_leaves_its_first_stage_alone(monkeypatch):
    pipes = []
    make = cases.make_pipeline
    monkeypatch.setattr(
        cases, "make_pipeline", lambda *args: pipes.append(make(*args)) or pipes[-1]
    )
    run = cases.runner(Case("cascade", "train", (64, 64), 2), "builtin")
    weights = pipes[0].network.collect_params()
    before = {key: weight.data().asnumpy() for key, weight in weights.items()}
    run()
    changed = {key for key in weights if (weights[key].data().asnumpy() != before[key]).any()}
    assert changed and not any("maskflownet_s" in key for key in changed)


def test_a_folder_is_predicted_anew_in_each_round(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cases, "PAIRS", 2)
    with cases.folder_runners(Case("S", "folder", (64, 64))) as (memory, folder):
        assert [flow.shape for flow in memory()] == 2 * [(64, 64, 2)]
        folder()
        flows = {path: path.read_bytes() for path in tmp_path.rglob("*.flo")}
        assert len(flows) == 2
        for path in flows:
            path.write_bytes(b"")
        folder()
        assert {path: path.read_bytes() for path in flows} == flows
    assert caplog.messages == []


def test_a_folders_figures_say_how_many_pairs_it_has(monkeypatch):
    sides = dict.fromkeys(report.FOLDER, lambda: None)
    monkeypatch.setattr(network, "runners_of", lambda case, own: nullcontext(sides))
    case = Case("S", "folder", (64, 64))
    figures = network.measure_case(case, rounds=2, budget_s=8, profile=False)
    assert figures["pairs"] == cases.PAIRS and set(figures) == {"pairs", "seconds"}
    assert {side: len(rounds) for side, rounds in figures["seconds"].items()} == {
        "memory": 2,
        "folder": 2,
    }


def test_memory_is_in_megabytes_beyond_what_was_imported(monkeypatch):
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts in KiB
    assert isolated_case.resident_mb("VmHWM") == pytest.approx(most, rel=0.01)
    assert 0 < isolated_case.resident_mb("VmRSS") <= isolated_case.resident_mb("VmHWM")
    monkeypatch.setattr(isolated_case, "resident_mb", {"VmRSS": 180.0, "VmHWM": 250.0}.get)
    assert (
        isolated_case.measure(Case("S", "forward", (64, 64)), "builtin", profile=False).peak_mb
        == 70
    )


@pytest.mark.long
def test_a_process_that_fails_is_no_figure(capfd):
    with pytest.raises(ChildProcessError, match="S nothing 64x64, auto: exit code 1"):
        measure_alone(Case("S", "nothing", (64, 64)), "auto")
    assert "KeyError" in capfd.readouterr().err


@pytest.mark.long
def test_a_side_that_fails_ends_the_comparison(capfd):
    ended = pytest.raises(ChildProcessError, match="S nothing 64x64, auto: its process has ended")
    with side_by_itself(Case("S", "nothing", (64, 64)), "auto") as run, ended:
        run()
    assert "KeyError" in capfd.readouterr().err


def children():
    """Return this process's children."""
    own = os.getpid()
    return set(Path(f"/proc/{own}/task/{own}/children").read_text().split())


@pytest.mark.long
def test_sides_have_processes_of_their_own_that_end_with_the_case():
    before = children()
    with network.runners_of(Case("S", "forward", (64, 64))) as runners:
        for run in runners.values():
            run()
        assert len(children() - before) == 2
    assert children() <= before


@pytest.mark.long
def test_builds_are_compared_by_both_clocks_and_by_memory(fast, caplog):
    """Here a build with itself."""
    case = Case("S", "train", (64, 64))
    figures = against.compare(case, ROOT, lambda runners: network.measure_rounds(runners, rounds=2))
    for kind in ("seconds", "cpu_seconds"):
        assert {side: len(values) for side, values in figures[kind].items()} == {
            "other": 2,
            "this": 2,
        }
        assert all(value > 0 for values in figures[kind].values() for value in values)
    assert all(20 < peak < 1000 for peak in figures["peak_mb"].values())


def test_a_comparison_of_builds_in_words():
    figures = {
        "seconds": {"other": [3, 3], "this": [1, 1]},
        "cpu_seconds": {"other": [4, 4], "this": [2, 2]},
        "peak_mb": {"other": 200, "this": 100},
    }
    (line,) = against.summary(CASES[0], figures)
    assert "3.00 (3.00 to 3.00) times as fast by the clock, 2.00 (2.00 to 2.00) by pro" in line
    assert "in 2 rounds; 100 MB instead of 200" in line


def test_another_build_runs_its_own_code(tmp_path):
    """Whatever it is called: before it was a package its folders were imported as they are."""
    for package in ("old/benchmark", "new/maskflownet/benchmark"):
        folder = tmp_path / package
        folder.mkdir(parents=True)
        (folder / "cases.py").write_text(
            "from collections import namedtuple\n"
            "Case = namedtuple('Case', 'network what size_hw batch')\n"
            "def runner(case, kernels): return lambda: (__name__, __file__, *case, kernels)\n"
        )
    case = Case("S", "train", (64, 128), 3)
    for name, module in (("old", "benchmark.cases"), ("new", "maskflownet.benchmark.cases")):
        with side_by_itself(case, "auto", tmp_path / name) as run:
            said = run(True)
        path = tmp_path / name / (module.replace(".", "/") + ".py")
        assert said == (module, str(path), *case, "auto")


@pytest.mark.parametrize(
    ("made", "said"), [(None, "expected a clone"), ("benchmark/cases.py", "are not built")]
)
def test_a_folder_without_a_build_is_refused(tmp_path, made, said):
    if made:
        (tmp_path / made).parent.mkdir()
        (tmp_path / made).touch()
    with pytest.raises(InputError, match=f"--against .*{said}"):
        against.check_folder(tmp_path)


def test_a_process_of_its_own_tells_memory_and_shares():
    figures = measure_alone(Case("S", "predict", (64, 64)), "builtin", profile=True)
    assert 40 < figures.peak_mb < 1000  # the weights alone are 42 MB
    assert figures.seconds > 0
    assert sum(figures.shares.values()) == pytest.approx(1)
    assert "Convolution" in list(figures.shares)[:8]
    assert list(figures.shares.values()) == sorted(figures.shares.values(), reverse=True)


def test_the_program_writes_after_each_case(fast, tmp_path, monkeypatch, known_machine):
    small = [Case("S", "forward", (64, 64)), Case("S", "predict", (64, 64))]
    monkeypatch.setattr(cases, "CASES", small)
    sides = dict.fromkeys(("builtin", "auto"), lambda wanted=False: np.zeros((64, 64, 2)))
    monkeypatch.setattr(network, "runners_of", lambda case, own: nullcontext(sides))

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(isolated_case, "measure_alone", interrupted)
    path = tmp_path / "speed.json"
    assert network.main(["--json", str(path), "--rounds", "1"]) == 130
    assert list(Report(path).section("native")) == ["S forward 64x64"]
    assert logging.getLogger("kernels").level == logging.NOTSET


def test_the_programs_flags_are_heeded(fast, tmp_path, monkeypatch, known_machine):
    for name in ("DNNL_MAX_CPU_ISA", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # undone at the end
    asked = []

    def measure(*arguments):
        asked.append(arguments)
        return FIGURES["S forward 448x1024"]

    monkeypatch.setattr(network, "measure_case", measure)
    path = tmp_path / "speed.json"
    flags = ["--cases", "S train 1x", "--rounds", "4", "--isa", "avx2", "--threads", "3"]
    assert network.main(["--json", str(path), *flags, "--budget", "20", "--profile"]) == 0
    assert asked == [(Case("S", "train", (320, 448), 1), 4, 20, True, ("builtin", "auto"))]
    assert list(Report(path).section("avx2")) == ["S train 1x320x448"]
    assert (os.environ["DNNL_MAX_CPU_ISA"], os.environ["OMP_NUM_THREADS"]) == ("AVX2", "3")


def test_bf16_has_a_section_of_its_own(fast, tmp_path, monkeypatch, known_machine, capsys):
    asked = []

    def measure(case, rounds, budget_s, profile, sides):
        asked.append((case.name, sides))
        return {"seconds": {"auto": [1.0], "bf16": [0.5]}}

    monkeypatch.setattr(network, "measure_case", measure)
    monkeypatch.setattr(network, "has_bf16", lambda: True)
    path = tmp_path / "speed.json"
    flags = ["--json", str(path), "--precision", "bf16"]
    assert network.main([*flags, "--cases", "S forward 448", "folder"]) == 0
    assert asked == [("S forward 448x1024", ("auto", "bf16"))]
    assert list(Report(path).section("bf16")) == ["S forward 448x1024"]
    assert "in bf16 (`--precision bf16`) beside" in path.with_suffix(".md").read_text()
    assert "fast, bf16 is 2.00 (2.00 to 2.00) times as fast as fast in" in capsys.readouterr().out


def test_without_a_unit_bf16_is_left_out_in_a_line(fast, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(network, "has_bf16", lambda: False)
    path = tmp_path / "speed.json"
    assert network.main(["--json", str(path), "--precision", "bf16"]) == 0
    said = capsys.readouterr()
    assert (said.out + said.err).count("\n") == 1
    assert "precision bf16 is left out: " in said.out + said.err
    assert not path.exists()


@pytest.mark.parametrize("flags", [["--isa", "avx2"], ["--against", "."]])
def test_bf16_is_not_combined(flags, capsys):
    with pytest.raises(SystemExit, match="2"):
        network.main(["--precision", "bf16", *flags])
    assert "expected neither --against nor --isa beside it" in capsys.readouterr().err


def test_growth_leaves_out_the_plain_graph_of_large_images_and_draws_the_rest(
    tmp_path, monkeypatch, known_machine
):
    measured = []

    def measure(case, side):
        measured.append((case.network, case.size_hw, side))
        return Alone(seconds=2 * case.size_hw[0] * case.size_hw[1] / 1e6, peak_mb=100, shares={})

    monkeypatch.setattr(isolated_case, "measure_alone", measure)
    path = tmp_path / "speed.json"
    assert growth.main(["--json", str(path), "--sizes", "256,448", "1088,1920"]) == 0
    assert len(measured) == 6 and ("S", (1088, 1920), "builtin") not in measured
    picture = growth.draw(list(Report(path).section("growth").values()))
    seconds, memory = picture.axes
    assert [line.get_label() for line in seconds.lines] == [
        "S, plain",
        "S, fast",
        "cascade, plain",
        "cascade, fast",
    ]
    np.testing.assert_allclose(seconds.lines[1].get_ydata(), [2, 2])
    assert memory.lines[1].get_ydata()[0] == pytest.approx(100 / (256 * 448 / 1e6))
    assert (tmp_path / "images" / "cost.png").read_bytes()[:4] == b"\x89PNG"


def test_growth_that_is_stopped_draws_what_there_is(tmp_path, monkeypatch, known_machine):
    answers = iter([Alone(seconds=1, peak_mb=100, shares={})])

    def measure(case, side):
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    monkeypatch.setattr(isolated_case, "measure_alone", measure)
    path = tmp_path / "speed.json"
    assert growth.main(["--json", str(path), "--sizes", "256,448"]) == 130
    assert len(Report(path).section("growth")) == 1
    assert (tmp_path / "images" / "cost.png").exists()
