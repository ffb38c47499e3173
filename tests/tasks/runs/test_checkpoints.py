"""Runs: their ids, finding a checkpoint, and which files of a run stay when one is written."""

import re
import struct

import pytest

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.tasks.runs import checkpoints
from maskflownet.tasks.runs.checkpoints import (
    checkpoints_of,
    find_checkpoint,
    new_run,
    save_checkpoint,
)

EMPTY = struct.pack("<4Q", 0x112, 0, 0, 0)  # a whole parameter file without an array


@pytest.fixture
def weights(tmp_path):
    for name in (
        "771Sep25-0735_5000",
        "771Sep25-0735_10000",
        "77aSep26-0000_5000",
        "abcOct01-0000_7",
        "abcOct01-0000x_7",
    ):
        (tmp_path / f"{name}.params").write_bytes(EMPTY)
    (tmp_path / ".771Sep25-0735_20000.params.12.part").touch()
    (tmp_path / "771Sep25-0735_20000.states").touch()
    (tmp_path / "notes.params").touch()
    return tmp_path


def test_a_prefix_finds_the_newest_by_steps_not_by_name(weights):
    checkpoint = find_checkpoint("771", weights)
    assert checkpoint.run == "771Sep25-0735"
    assert checkpoint.steps == 10000
    assert checkpoint.path == weights / "771Sep25-0735_10000.params"


def test_steps_can_be_named(weights):
    assert find_checkpoint("771Sep:5000", weights).steps == 5000
    with pytest.raises(MissingDataError, match="but 5000, 10000"):
        find_checkpoint("771:6000", weights)
    with pytest.raises(InputError, match="whole number"):
        find_checkpoint("771:many", weights)


def test_a_prefix_of_several_runs_lists_them(weights):
    with pytest.raises(InputError, match="771Sep25-0735, 77aSep26-0000"):
        find_checkpoint("77", weights)


def test_a_whole_id_is_meant_even_where_another_begins_with_it(weights):
    assert find_checkpoint("abcOct01-0000", weights).run == "abcOct01-0000"


def test_a_path_needs_no_folder_and_no_form(weights, tmp_path):
    checkpoint = find_checkpoint(str(weights / "771Sep25-0735_5000.params"), tmp_path / "none")
    assert checkpoint[:2] == ("771Sep25-0735", 5000)
    assert find_checkpoint(str(weights / "notes.params"), tmp_path)[:2] == ("notes", 0)
    with pytest.raises(MissingDataError, match="no such parameter file"):
        find_checkpoint(str(weights / "other.params"), weights)


def test_nothing_found_lists_the_runs_or_tells_how_to_fetch(weights):
    with pytest.raises(MissingDataError, match="771Sep25-0735, 77aSep26-0000"):
        find_checkpoint("zzz", weights)
    with pytest.raises(MissingDataError, match=r"python main\.py --fetch dbbSep30"):
        find_checkpoint("dbbSep30", weights)
    with pytest.raises(MissingDataError, match="none"):
        find_checkpoint("zzz", weights / "not-there")


def test_ids_are_in_the_originals_form_and_reserved(tmp_path):
    run = new_run(tmp_path)
    assert re.fullmatch(r"[0-9a-f]{3}[A-Z][a-z]{2}\d\d-\d{4}", run)
    assert (tmp_path / "logs" / f"{run}.log").read_text() == ""


def test_an_id_is_given_once(tmp_path, monkeypatch):
    draws = iter([5, 5, 6, 7, 0xABC])
    monkeypatch.setattr(checkpoints.secrets, "randbelow", lambda end: next(draws))
    monkeypatch.setattr(checkpoints.time, "strftime", lambda form: "Sep25-0735")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "007Sep25-0735_5.params").touch()
    assert [new_run(tmp_path) for _ in "123"] == [
        *("005Sep25-0735", "006Sep25-0735", "abcSep25-0735")
    ]


class Pipe:
    """Writes both files of a checkpoint, or fails between them."""

    def __init__(self, fails=False):
        self.fails = fails

    def save(self, prefix):
        prefix.with_name(f"{prefix.name}.states").touch()
        if self.fails:
            raise OSError(28, "No space left on device")
        prefix.with_name(f"{prefix.name}.params").write_bytes(EMPTY)


def names(folder, beginning=""):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(beginning))


def test_the_newest_three_by_steps_are_kept(tmp_path):
    for steps in (5000, 10000, 15000, 100000):
        checkpoint = save_checkpoint(Pipe(), "771Sep25-0735", steps, tmp_path)
        assert checkpoint == find_checkpoint("771", tmp_path)
        assert checkpoint.states.is_file()
    kept = [entry.steps for entry in checkpoints_of("771Sep25-0735", tmp_path)]
    assert kept == [10000, 15000, 100000]
    assert len(names(tmp_path)) == 6


@pytest.mark.parametrize("kept", [1, 2, 5])
def test_so_many_are_kept_as_are_asked_for(tmp_path, kept):
    for steps in range(1, 8):
        save_checkpoint(Pipe(), "run", steps, tmp_path, kept)
        there = [entry.steps for entry in checkpoints_of("run", tmp_path)]
        assert there == list(range(max(steps - kept, 0) + 1, steps + 1))


def test_what_is_downloaded_or_damaged_neither_counts_nor_goes(tmp_path):
    """Three damaged files after the checkpoint that a run goes on from once took its place."""
    for steps in (2, 3, 4):
        save_checkpoint(Pipe(), "run", steps, tmp_path)
    (tmp_path / "run_1.params").write_bytes(EMPTY)  # without moments
    for steps in (6, 8, 10):
        save_checkpoint(Pipe(), "run", steps, tmp_path)
        (tmp_path / f"run_{steps}.params").write_bytes(EMPTY[:20])
    there = [entry.steps for entry in checkpoints_of("run", tmp_path)]
    assert there == [1, 3, 4, 6, 8, 10]
    for steps in (5, 7):
        assert save_checkpoint(Pipe(), "run", steps, tmp_path).path.is_file()
    there = [entry.steps for entry in checkpoints_of("run", tmp_path)]
    assert there == [1, 4, 5, 6, 7, 8, 10]


def test_what_killed_programs_left_of_this_run_goes_and_all_else_stays(tmp_path):
    leftovers = (
        ".run_10.params.77.part",
        ".run_10.states.99999.part",
        ".run_5.params.77.part",
        "run_5.states",
    )
    others = (
        ".run_x_10.params.77.part",  # of another run, which may be at work
        "run_x_10.states",
        "run_x_9.params",
        "run_3.params",  # a released one has no moments
        "run_notes.txt",
        "run.states",
        ".other_10.params.77.part",
    )
    for name in leftovers + others:
        (tmp_path / name).touch()
    save_checkpoint(Pipe(), "run", 7, tmp_path)
    assert names(tmp_path) == sorted([*others, "run_7.params", "run_7.states"])


def test_nothing_is_removed_for_a_checkpoint_that_could_not_be_written(tmp_path):
    for steps in (1, 2, 3):
        save_checkpoint(Pipe(), "run", steps, tmp_path)
    before = names(tmp_path)
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(Pipe(fails=True), "run", 4, tmp_path)
    assert str(tmp_path / "run_4") in str(caught.value) and "\n" not in str(caught.value)
    assert names(tmp_path) == [*before, "run_4.states"]
    assert find_checkpoint("run", tmp_path).steps == 3


def test_a_newest_checkpoint_that_is_cut_short_is_left_out_with_a_warning(weights, caplog):
    newest = weights / "771Sep25-0735_10000.params"
    newest.write_bytes(EMPTY[:20])
    assert find_checkpoint("771", weights).steps == 5000
    assert f"{newest} is damaged (it is cut short: " in caplog.text and "remove it" in caplog.text
    assert find_checkpoint("771Sep25-0735:10000", weights).steps == 10000  # as asked for
    (weights / "771Sep25-0735_5000.params").unlink()
    assert find_checkpoint("771", weights).steps == 10000  # to be refused when it is loaded
