"""A file is replaced whole or stays as it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import no_file_over

from maskflownet.whole_file import whole_file


def test_it_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "new" / "file"
    for content in ("one", "two"):
        with whole_file(path) as part:
            part.write_text(content)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == content
    assert list(path.parent.iterdir()) == [path]


def test_an_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with whole_file(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_killed_while_writing_the_old_file_stays(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import sys, time\n"
        "from maskflownet.whole_file import whole_file\n"
        "with whole_file(sys.argv[1]) as part:\n"
        "    part.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "writing\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert path.read_text() == "old"
    (left,) = tmp_path.glob(".*")
    assert left.read_text() == "half"
    with whole_file(path) as part:  # the next one takes it over
        assert part == left and part.read_text() == ""
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_two_programs_that_write_one_file_do_not_mix(tmp_path):
    path = tmp_path / "file"
    with whole_file(path) as one:
        one.write_text("one")
        with whole_file(path) as other:
            assert other != one
            other.write_text("other")
        assert path.read_text() == "other" and one.read_text() == "one"
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_part_that_another_program_has_begun_in_the_meantime_stays(tmp_path, monkeypatch):
    path, others = tmp_path / "file", []
    replace = Path.replace

    def replaced(part, target):
        replace(part, target)
        if not others:  # at once the next one begins
            others.append(whole_file(path))
            others[0].__enter__().write_text("other")

    monkeypatch.setattr(Path, "replace", replaced)
    with whole_file(path) as one:
        one.write_text("one")
    assert path.read_text() == "one"
    others[0].__exit__(None, None, None)
    assert path.read_text() == "other"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_the_parts_place_is_not_followed(tmp_path):
    path, precious = tmp_path / "file", tmp_path / "precious"
    precious.write_text("of somebody else")
    (tmp_path / ".file.part").symlink_to(precious)
    with whole_file(path) as part:
        part.write_text("new")
    assert precious.read_text() == "of somebody else"
    assert path.read_text() == "new" and not path.is_symlink()
    assert sorted(tmp_path.iterdir()) == [path, precious]


def test_a_file_gets_the_rights_that_others_get(tmp_path):
    with whole_file(tmp_path / "new") as part:
        part.write_text("new")
    (tmp_path / "plain").write_text("plain")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for below, said in (("new", "expected a folder, got a file"), ("a/new", "cannot be made")):
        with pytest.raises(OSError, match=said), whole_file(tmp_path / "file" / below):
            pytest.fail("begun")


def test_a_full_disk_is_said_with_the_files_name(tmp_path):
    path = tmp_path / "file"
    cannot = pytest.raises(OSError, match="cannot be written")
    with no_file_over(1000), cannot as caught, whole_file(path) as part:
        part.write_bytes(bytes(2000))
    assert str(caught.value) == f"{path}: cannot be written (File too large)"
    assert not list(tmp_path.iterdir())
