"""The Makefile: which Python it takes, and when it makes or mends the environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ["awk", "chmod", "cp", "find", "make", "mkdir", "rm", "sh", "touch"]

# A stand-in for Python X.Y. `-c` runs in the real one, told that it is X.Y; `-m venv` copies the
# stand-in; `-m pip install` only succeeds or fails, for MXNet and for the rest. All but `-c` leaves
# a line in `calls`.
FAKE_PYTHON = """#!/bin/sh
case "$1 $2" in
"-c "*) shift; exec "{real}" -S -c 'import sys; sys.version_info = ({version}, 1, "final", 0)
{extra}
exec(sys.argv.pop(1))' "$@";;
"--version "*) echo Python {version};;
"-m venv") echo "$0 venv" >> calls; rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python";;
"-m pip")
    case "$*" in *" --no-deps -r requirements-"*) part=mxnet;; *) part=pip;; esac
    echo "$0 $part" >> calls; [ ! -e pip-fails ] || exit 1;;
*) echo "$0 $*" >> calls;;
esac
"""


@pytest.fixture
def project(tmp_path):
    """Return a folder with the Makefile, stubs of what it needs, and an empty bin/ for Pythons."""
    folder = tmp_path / "a folder"
    (folder / "bin").mkdir(parents=True)
    (folder / "tools").mkdir()
    for tool in TOOLS:
        (folder / "tools" / tool).symlink_to(shutil.which(tool))
    modules = (ROOT / name for name in ("runtime.py", "mxnet_import.py"))
    for path in [*ROOT.glob("*.txt"), ROOT / "Makefile", *modules]:
        shutil.copy(path, folder)
    shutil.copytree(ROOT / "maskflownet", folder / "maskflownet")
    for module in ["cv2", "mxnet"]:
        (folder / f"{module}.py").touch()
    (folder / "numpy.py").write_text("def __getattr__(name): return None")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "ensurepip.py").write_text("raise ImportError")
    return folder


def add_python(project, name, version="3, 11", extra="", folder="bin"):
    path = project / folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(FAKE_PYTHON.format(real=sys.executable, version=version, extra=extra))
    path.chmod(0o755)
    return path


def make(project, *arguments, path="bin"):
    """Run make there; nothing of this machine is on PATH but TOOLS. Return the finished process."""
    folders = [*(str(project / part) for part in path.split()), str(project / "tools")]
    return subprocess.run(
        ["make", *arguments],
        cwd=project,
        # PYTHONPATH, as some leave it set for other projects, must not matter.
        env={"PATH": ":".join(folders), "PYTHONPATH": str(project / "elsewhere")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def calls(project):
    """Return what the Pythons were called for since the last look, as (path, purpose) pairs."""
    log = project / "calls"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [tuple(line.rsplit(" ", 1)) for line in lines]


def complaint(process):
    """Return the one line that a failed make said before its own `make: ***`."""
    assert process.returncode != 0
    (line,) = [line for line in process.stderr.splitlines() if not line.startswith("make: ***")]
    return line


# --- The choice of a Python -----------------------------------------------------------------------


def chosen(project, *arguments, path="bin"):
    process = make(project, "venv", *arguments, path=path)
    assert process.returncode == 0, process.stderr
    ((python, purpose), *_) = calls(project)
    assert purpose == "venv"
    return python


def test_newest_python_of_those_tried_as_a_whole_comes_first(project):
    for version in (10, 14, 12):
        add_python(project, f"python3.{version}", f"3, {version}")
    add_python(project, "python3", "3, 10")
    assert chosen(project) == str(project / "bin" / "python3.12")


def test_a_python_tried_in_part_serves_where_it_is_the_only_one(project):
    add_python(project, "python3.14", "3, 14")
    assert chosen(project) == str(project / "bin" / "python3.14")


def test_python3_is_taken_where_no_version_is_named(project):
    add_python(project, "python3", "3, 12")
    assert chosen(project) == str(project / "bin" / "python3")


@pytest.mark.parametrize("unfit", ["3, 9", "3, 15", "2, 7"])
def test_newest_fit_python_is_found_beside_an_unfit_python3(project, unfit):
    add_python(project, "python3", unfit)
    add_python(project, "python3.10", "3, 10")
    add_python(project, "python3.11", "3, 11")
    assert chosen(project) == str(project / "bin" / "python3.11")


def test_shim_that_does_not_run_is_passed_over(project):
    """As pyenv leaves them on PATH, in front of the system's own Python of that name."""
    for name in ["python3", "python3.12", "python3.11"]:
        add_python(project, name, folder="shims").write_text("#!/bin/sh\nexit 127\n")
    add_python(project, "python3.11")
    assert chosen(project, path="shims bin") == str(project / "bin" / "python3.11")


def test_python_that_was_named_is_taken(project):
    add_python(project, "python3", "3, 11")
    mine = add_python(project, "mine", "3, 12", folder="my folder")
    assert chosen(project, f"PYTHON={mine}") == str(mine)


def test_python_without_venv_is_passed_over(project):
    add_python(project, "python3", "3, 12", extra='sys.modules["ensurepip"] = None')
    add_python(project, "python3.10", "3, 10")
    assert chosen(project) == str(project / "bin" / "python3.10")


def test_only_python_lacks_venv(project):
    add_python(project, "python3", "3, 10", extra='sys.modules["ensurepip"] = None')
    assert "apt-get install python3.10-venv" in complaint(make(project, "venv"))


@pytest.mark.parametrize("versions", [[], ["3, 15"], ["3, 9"]])
def test_no_fit_python(project, versions):
    for version in versions:
        add_python(project, "python3", version)
    line = complaint(make(project, "venv"))
    assert "3.10 to 3.14" in line
    assert "make PYTHON=" in line
    assert not (project / ".venv").exists()


@pytest.mark.parametrize("version", ["3, 15", None])
def test_unfit_python_that_was_named(project, version):
    add_python(project, "python3")
    if version:
        add_python(project, "mine", version)
    line = complaint(make(project, "venv", "PYTHON=mine"))
    assert "PYTHON=mine" in line
    assert "3.10 to 3.14" in line


# --- The environment ------------------------------------------------------------------------------


@pytest.fixture
def made(project):
    """Return a project whose environment is made, by `python3` of version 3.11."""
    python = add_python(project, "python3")
    chosen(project)
    add_python(project, "python3.12", "3, 12")
    # The stamps are a minute old, so that whatever a test touches is newer.
    for path in [*project.glob("*.txt"), python, *project.glob(".venv/bin/*")]:
        age(path, 120)
    for name in ["installed", "ready"]:
        age(project / ".venv" / name, 60)
    return project


def age(path, seconds):
    """Make a file that many seconds older than it is."""
    state = path.stat()
    os.utime(path, (state.st_atime - seconds, state.st_mtime - seconds))


def purposes(project):
    return [purpose for _, purpose in calls(project)]


def test_second_time_there_is_nothing_to_do(made):
    assert make(made, "venv").returncode == 0
    assert calls(made) == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "constraints.txt"])
def test_changed_requirements_are_installed_into_the_environment(made, name):
    (made / name).touch()
    assert make(made, "venv").returncode == 0
    assert purposes(made) == ["pip", "mxnet"]


def test_other_constraints_have_an_environment_of_their_own(made):
    assert make(made, "venv", "CONSTRAINTS=constraints-oldest.txt").returncode == 0
    assert calls(made)[0] == (str(made / "bin" / "python3.12"), "venv")
    assert (made / ".venv-oldest" / "ready").exists()
    (made / "constraints-oldest.txt").touch()
    assert make(made, "venv").returncode == 0
    assert calls(made) == []


def test_interrupted_install_starts_anew(made):
    (made / "requirements.txt").touch()
    (made / "pip-fails").touch()
    assert "pip failed" in complaint(make(made, "venv"))
    (made / "pip-fails").unlink()
    calls(made)
    assert make(made, "venv").returncode == 0
    assert purposes(made) == ["venv", "pip", "mxnet"]


def test_environment_whose_python_is_gone_is_made_anew(made):
    python = made / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert make(made, "venv").returncode == 0
    assert purposes(made) == ["venv", "pip", "mxnet"]


def test_environment_of_an_unfit_python_is_made_anew(made):
    add_python(made, "python", "3, 15", folder=".venv/bin")
    assert make(made, "venv").returncode == 0
    assert purposes(made) == ["venv", "pip", "mxnet"]


def test_another_version_that_is_named_makes_the_environment_anew(made):
    assert make(made, "venv", "PYTHON=python3").returncode == 0
    assert calls(made) == []
    assert chosen(made, "PYTHON=python3.12") == str(made / "bin" / "python3.12")


def test_missing_system_library_is_one_line_until_it_is_there(project):
    add_python(project, "python3")
    stub = project / "cv2.py"
    stub.write_text("raise ImportError('libGL.so.1: cannot open shared object file: No such file')")
    assert "apt-get install libgl1 " in complaint(make(project, "venv"))
    assert "apt-get install libgl1 " in complaint(make(project, "demo"))
    stub.write_text("")
    calls(project)
    assert make(project, "venv").returncode == 0
    assert calls(project) == []  # what pip did still stands


def test_gpu_environment_is_another_one(made):
    assert make(made, "gpu").returncode == 0
    assert purposes(made) == ["venv", "pip", "mxnet"]
    assert (made / ".venv-gpu" / "ready").exists()
    assert make(made, "venv", "gpu").returncode == 0
    assert calls(made) == []


def test_help_lists_every_target(project):
    text = make(project, "help").stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert [line.split()[1] for line in text.splitlines()] == [t for t in phony if t != "anew"]


def test_clean_removes_what_was_made_and_nothing_else(made):
    (made / "weights").mkdir()
    (made / "tests" / "__pycache__").mkdir(parents=True)
    assert make(made, "clean").returncode == 0
    assert not (made / ".venv").exists()
    assert not (made / "tests" / "__pycache__").exists()
    assert (made / "weights").exists()
    assert (made / "Makefile").exists()
