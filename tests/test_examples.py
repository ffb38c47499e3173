"""The notebook in examples/ runs from top to bottom, offline, with what a clone holds."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "examples" / "flow.ipynb"


def code_cells():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_the_notebook_is_kept_without_results():
    notebook = json.loads(NOTEBOOK.read_text())
    assert notebook["nbformat"] == 4 and len(notebook["cells"]) == 10
    assert all(not cell.get("outputs") for cell in notebook["cells"])


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Run the cells as a notebook does, in a folder beside; return what they print."""
    folder = tmp_path_factory.mktemp("clone") / "examples"
    folder.mkdir()
    script = "\n".join(code_cells()).replace('"..")', f"{str(ROOT)!r})")
    (folder / "notebook.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "notebook.py"],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "flow.flo").stat().st_size == 12 + 256 * 320 * 2 * 4
    shutil.rmtree(folder)
    return done.stdout


def test_the_notebook_runs_from_top_to_bottom(printed):
    assert "flow (256, 320, 2) mask (256, 320, 1) warped (256, 320, 3)" in printed


def test_its_figures_say_what_its_words_say(printed):
    """RGB that is said is the same; taken for BGR it is not; the weights beat no motion."""
    number = r"(\d+\.\d+) px"
    same, floats = (
        float(re.search(f"{name}: {number}", printed)[1])
        for name in ("RGB, said so", r"floats in \[0, 1\]")
    )
    assert same < 0.01 and floats < 0.01
    assert float(re.search(f"taken for BGR: {number}", printed)[1]) > 0.02
    epe, visible = map(float, re.search(f"EPE {number}; .*hidden {number}", printed).groups())
    assert visible < epe < 0.6 * float(re.search(f"no motion {number}", printed)[1])
