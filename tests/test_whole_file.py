"""A file is replaced whole or stays as it was."""

import os
import signal
import subprocess
import sys

import pytest

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
