"""The table of `make test-environments`."""

import environments
import pytest


@pytest.mark.parametrize(
    ("last", "returncode", "words"),
    [
        ("700 passed, 3 skipped in 61.11s", 0, "3 skipped, 700 passed"),
        ("1 failed, 699 passed, 2 errors in 61.11s", 1, "2 errors, 1 failed"),
        ("make: *** [Makefile:169: .venv/ready] Error 1", 2, "did not run"),
    ],
)
def test_outcome_in_words(last, returncode, words):
    assert environments.outcome(["....  [100%]\n", last + "\n"], returncode) == words


def test_pythons_are_found_by_their_version_and_only_if_they_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shim = tmp_path / "shims" / "python3.77"
    own = tmp_path / ".pyenv/versions/3.77.1/bin/python3.77"
    for path, status in ((shim, 127), (own, 0)):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\nexit {status}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    assert environments.find_python(77) == str(own)
    assert environments.find_python(78) is None


@pytest.mark.parametrize("name", environments.SETS)
def test_each_set_pins_its_python(name):
    chosen = environments.SETS[name]
    assert (environments.ROOT / chosen.constraints).is_file()
    assert chosen.python.parts[-3].startswith(".venv")


def test_a_set_whose_python_is_missing_fails_the_run(monkeypatch, capsys):
    monkeypatch.setattr(environments, "find_python", lambda minor: None)
    assert environments.main(["oldest"]) == 1
    assert "| oldest | 3.10 | | | | not run" in capsys.readouterr().out


def test_an_unknown_set_is_refused(capsys):
    with pytest.raises(SystemExit):
        environments.main(["future"])
    assert "expected some of oldest, between, newest" in capsys.readouterr().err
