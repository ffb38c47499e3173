"""Finding a checkpoint by run, by prefix, by steps and by path."""

import pytest

from config.errors import InputError, MissingDataError
from tasks.runs import find_checkpoint


@pytest.fixture
def weights(tmp_path):
    for name in (
        "771Sep25-0735_5000",
        "771Sep25-0735_10000",
        "77aSep26-0000_5000",
        "abcOct01-0000_7",
        "abcOct01-0000x_7",
    ):
        (tmp_path / f"{name}.params").touch()
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
