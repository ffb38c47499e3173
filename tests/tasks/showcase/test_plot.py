"""The picture of a run: what is drawn, where it goes, and what is wrong in one line."""

import pytest

from maskflownet.reader.images import read_image
from maskflownet.tasks.runs.log import RunLog, read_rows
from maskflownet.tasks.showcase.plot import draw, main


@pytest.fixture
def root(tmp_path):
    for run in ("771Sep25-0735", "77aSep26-0000"):
        log = RunLog(tmp_path / "logs", run, 0)
        for step in (1, 50, 100):
            rate = 1e-4 if step < 100 else 5e-5
            log.row({"steps": step, "epe": 10 / step, "loss": 5 / step, "learning_rate": rate})
        log.row({"steps": 100, "val_epe": 0.5})
    RunLog(tmp_path / "logs", "eee", 0)
    return tmp_path


def test_each_curve_is_drawn_over_its_own_steps(root):
    figure = draw(read_rows(root / "logs" / "771Sep25-0735.csv"), "title")
    curves = {axis.get_ylabel(): axis.lines[0].get_xydata().tolist() for axis in figure.axes}
    assert curves == {
        "training EPE (px)": [[1, 10], [50, 0.2], [100, 0.1]],
        "validation EPE (px)": [[100, 0.5]],
        "training loss": [[1, 5], [50, 0.1], [100, 0.05]],
        "learning rate": [[1, 1e-4], [50, 1e-4], [100, 5e-5]],
    }
    assert [axis.get_yscale() for axis in figure.axes] == ["linear", "linear", "log", "linear"]


def test_a_level_curve_stays_inside_its_panel():
    rows = [{"steps": step, "val_epe": error} for step, error in ((1, 2.877), (2, 2.878))]
    (axis,) = draw([*rows, {"steps": 3, "val_epe": float("nan")}], "title").axes
    low, high = axis.get_ylim()
    assert low == 0 and 1.02 * 2.878 < high < 1.1 * 2.878
    assert draw([{"steps": 1, "val_epe": 0.0}], "title").axes[0].get_ylim()[0] == 0


def test_what_was_never_measured_has_no_panel(root):
    rows = [row for row in read_rows(root / "logs" / "771Sep25-0735.csv") if "epe" in row]
    assert len(draw(rows, "title").axes) == 3


def test_a_run_is_found_by_its_beginning_and_drawn_beside_its_csv(root):
    assert main(["771", "--root", str(root)]) == 0
    picture = read_image(root / "logs" / "771Sep25-0735.png")
    assert picture.std() > 10


def test_a_csv_anywhere_goes_where_it_is_told(root, tmp_path):
    output = tmp_path / "new" / "curve.PDF"
    assert main([str(root / "logs" / "771Sep25-0735.csv"), "-o", str(output)]) == 0
    assert output.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["77"], "77: expected the beginning of one run, got 771Sep25-0735, 77aSep26-0000"),
        (["zzz"], "771Sep25-0735, 77aSep26-0000"),
        (["zzz.csv"], "zzz.csv: there is no such file"),
        (["eee"], "eee.csv: expected the rows of a training run, got none"),
        (["771", "-o", "x.txt"], ".png"),
        (["771", "-o", "x"], ".png"),
    ],
)
def test_mistakes_are_one_line(root, capsys, argv, said):
    assert main([*argv, "--root", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("plot: error: ") and error.count("\n") == 1
    assert said in error
