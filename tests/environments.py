"""Run the quick tests with several sets of packages, each in an environment of its own.

`make test-environments` starts it. It prints a table in Markdown, a row per set, and fails where a
set does. `python tests/environments.py oldest` runs the sets that are named alone.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Set(NamedTuple):
    """A set of packages: the minor version of Python 3 to try it on, and the file of its pins."""

    minor: int
    constraints: str

    @property
    def python(self) -> Path:
        """Return the Python of its environment, which the Makefile makes."""
        folder = self.constraints.removesuffix(".txt").replace("constraints", ".venv")
        return ROOT / folder / "bin" / "python"


SETS = {
    "oldest": Set(10, "constraints-oldest.txt"),
    "between": Set(12, "constraints-between.txt"),
    "newest": Set(13, "constraints.txt"),
}
VERSIONS = """
import platform
from importlib import metadata
names = "numpy", "opencv-python", "mxnet"
print(platform.python_version(), *map(metadata.version, names), sep=" | ")
"""


def main(argv: list[str] | None = None) -> int:
    """Run the sets that are named, by default all; return 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(SETS)}")
    names = parser.parse_args(argv).sets or list(SETS)
    if unknown := set(names) - set(SETS):
        parser.error(f"{', '.join(unknown)}: expected some of {', '.join(SETS)}")
    rows = [_row(name, *_run(SETS[name])) for name in names]
    print("\n| set | Python | NumPy | OpenCV | MXNet | tests |\n|---|---|---|---|---|---|")
    print(*rows, sep="\n")
    return int(not all(row.endswith("passed |") for row in rows))


def _row(name, versions, outcome):
    return f"| {name} | {versions} | {outcome} |"


def _run(chosen):
    """Run the tests with a set; return its versions and the outcome, both in words."""
    python = find_python(chosen.minor)
    if python is None:
        return f"3.{chosen.minor} | | |", "not run: no such Python was found"
    command = ["make", "test", f"PYTHON={python}", f"CONSTRAINTS={chosen.constraints}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout:
            sys.stdout.write(line)
            lines.append(line)
    versions = subprocess.run([chosen.python, "-c", VERSIONS], capture_output=True, text=True)
    return versions.stdout.strip() or f"3.{chosen.minor} | | |", outcome(lines, process.returncode)


def outcome(lines: list[str], returncode: int) -> str:
    """Return what pytest's last lines say, such as "3 skipped, 700 passed"."""
    counts = re.findall(r"\b(\d+ (?:failed|passed|skipped|errors?))\b", "".join(lines[-3:]))
    order = ("error", "fail", "skip", "pass")
    counts.sort(key=lambda count: [word in count for word in order], reverse=True)
    if returncode:
        counts = [count for count in counts if "passed" not in count] or ["did not run"]
    return ", ".join(counts)


def find_python(minor: int) -> str | None:
    """Return a Python 3 of that minor version, on PATH or among pyenv's."""
    name = f"python3.{minor}"
    pyenv = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))
    for python in [shutil.which(name), *map(str, reversed(pyenv))]:
        # It has to run: pyenv leaves a shim on PATH for every version.
        if python and not subprocess.run([python, "-V"], capture_output=True).returncode:
            return python
    return None


if __name__ == "__main__":
    sys.exit(main())
