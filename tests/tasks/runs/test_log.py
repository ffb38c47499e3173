"""The text log and the CSV of a run, also after whatever a crash left in them."""

import logging

import pytest

from maskflownet.tasks.runs.log import COLUMNS, RunLog, read_rows

HEADER = ",".join(COLUMNS)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "logs"


def text_of(folder, suffix=".csv"):
    return (folder / f"run{suffix}").read_text()


def test_lines_are_stamped_shown_and_in_the_file_at_once(folder, caplog):
    caplog.set_level(logging.INFO)
    log = RunLog(folder, "run", 0)
    log.line("steps=1, epe=26.0")
    (line,) = text_of(folder, ".log").splitlines()
    assert line[0] == "[" and line[20:] == "] steps=1, epe=26.0"
    assert caplog.messages == ["steps=1, epe=26.0"]


def test_a_path_that_is_no_utf_8_is_written_with_escapes(folder):
    RunLog(folder, "run", 0).line("dataset_cfg=d\udce9.yaml")
    assert text_of(folder, ".log").endswith("dataset_cfg=d\\udce9.yaml\n")


def test_rows_come_back_without_their_empty_columns(folder):
    log = RunLog(folder, "run", 0)
    rows = [{"steps": 1, "epe": 2.5, "learning_rate": 6.25e-6}, {"steps": 1, "val_epe": 3.5}]
    for number, row in enumerate(rows, start=1):
        log.row(row)
        assert read_rows(log.csv_path) == rows[:number]
    assert text_of(folder) == f"{HEADER}\n1,2.5,,6.25e-06,,,,\n1,,,,,,,3.5\n"


def test_a_resumed_run_goes_on_in_both_files_and_drops_rows_that_are_made_again(folder):
    log = RunLog(folder, "run", 0)
    log.line("before")
    for step in (1, 5, 10, 15):
        log.row({"steps": step, "epe": step})
    log.row({"steps": 15, "val_epe": 1})
    log = RunLog(folder, "run", 10)
    log.line("after")
    log.row({"steps": 11, "epe": 0.5})
    assert [row["steps"] for row in read_rows(log.csv_path)] == [1, 5, 10, 11]
    assert [line[22:] for line in text_of(folder, ".log").splitlines()] == ["before", "after"]


@pytest.mark.parametrize(
    "torn",
    [
        "10",
        "10,2.5,,6.25e-06,,,,",
        "10,,,,,,,3.5",  # might have been 3.55
        "10,2.5\n",
        "10,2.5,x,,,,,\n",
        ",2.5,,,,,,\n",
        "-1,2.5,,,,,,\n",
        "10,2.5,,6.25e-06,,,,,\n",
        "\0\0\0\0\n",
        "\n",
        "ä\udcff\n",
    ],
)
def test_a_row_that_a_crash_damaged_is_dropped_and_swallows_no_other(folder, torn):
    RunLog(folder, "run", 0).row({"steps": 9, "epe": 1.5})
    whole = text_of(folder)
    with (folder / "run.csv").open("a", errors="surrogateescape", newline="") as file:
        file.write(torn)
    assert [row["steps"] for row in read_rows(folder / "run.csv")] == [9]
    log = RunLog(folder, "run", 12)
    assert text_of(folder) == whole
    log.row({"steps": 13, "epe": 1})
    assert [row["steps"] for row in read_rows(log.csv_path)] == [9, 13]


@pytest.mark.parametrize("content", ["", "steps,ep", "a,b\n1,2\n", f"{HEADER}\r\n3,1,,,,,,\r\n"])
def test_a_csv_of_another_form_is_made_right(folder, content):
    folder.mkdir()
    (folder / "run.csv").write_text(content, newline="")
    RunLog(folder, "run", 5)
    assert text_of(folder).startswith(f"{HEADER}\n")
    assert [row["steps"] for row in read_rows(folder / "run.csv")] == [3] * content.count("3,1")


def test_a_line_that_a_crash_cut_short_does_not_swallow_the_next(folder):
    folder.mkdir()
    (folder / "run.log").write_text("[2019/09/25 08:12:28] steps=1\n[2019/09/25 08:1")
    RunLog(folder, "run", 1).line("start=1")
    lines = text_of(folder, ".log").splitlines()
    assert lines[0] == "[2019/09/25 08:12:28] steps=1" and lines[2].endswith("] start=1")
    RunLog(folder, "run", 1).line("again")
    assert len(text_of(folder, ".log").splitlines()) == 4
