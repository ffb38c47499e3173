"""The table of released checkpoints."""

import re
from pathlib import Path

import pytest

from maskflownet.tasks.runs.released import RELEASED

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("entry", RELEASED, ids=lambda entry: entry.run)
def test_table_and_the_readme_of_weights_agree(entry):
    assert re.fullmatch("[0-9a-f]{40}", entry.blob_id)
    assert re.fullmatch(rf"{entry.run}_[0-9]+\.params", entry.file)
    lines = (ROOT / "weights" / "README.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith(f"| {entry.run} ")]
    assert f"`{entry.config}`" in rows[0]
    assert entry.trained_on in rows[0]
    run_id = entry.run.split("-")[0]
    assert f"python main.py {entry.config} -c {run_id} --valid" in rows[1]


def test_every_blob_id_is_another():
    assert len({entry.blob_id for entry in RELEASED}) == 4
