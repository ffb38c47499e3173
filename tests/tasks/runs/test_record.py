"""What a run was begun with: written, read, and refused where it is none."""

import dataclasses

import pytest

from maskflownet.config import InputError, load_config, load_dataset_config
from maskflownet.tasks.runs.record import (
    RunRecord,
    config_reference,
    read_record,
    report_changes,
    write_record,
)

RECORD = RunRecord("MaskFlownet_S", "chairs", batch=8, micro_batch=4, shard=1, seed=2**40)


def test_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "logs" / "run.json"
    assert read_record(path) is None
    for record in (RECORD, dataclasses.replace(RECORD, said_batch=8)):
        write_record(record, path)
        assert read_record(path) == record


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected JSON"),
        ('{"seed": 1', "expected JSON"),
        ("[1]", "expected a mapping"),
        ("{}", "the key config is missing"),
        ('"seed": -1', "seed: expected a whole number from 0 to 9223372036854775807, got -1"),
        ('"batch": 0', "batch: expected a whole number from 1 to 1000000000, got 0"),
        ('"seed": "x"', "seed: expected a whole number"),
        ('"config": 3', "config: expected text, got 3"),
        ('"sead": 3', "did you mean seed"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "run.json"
    if content.startswith('"'):
        write_record(RECORD, path)
        content = path.read_text().replace("\n}", f",\n{content}\n}}")
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_record(path)
    assert said in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_datasets_are_named_so_that_they_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("dataset: chairs\n")
    names = ("chairs", "mmflow/chairs", "mine.yaml")
    references = [config_reference(load_dataset_config(name)) for name in names]
    assert references == ["chairs", "mmflow/chairs", str((tmp_path / "mine.yaml").resolve())]
    monkeypatch.chdir("/")
    assert load_dataset_config(references[2]).name == "mine"


def test_network_configs_are_named_likewise(tmp_path):
    own = tmp_path / "MaskFlownet_S.yaml"
    own.write_text("network: {class: MaskFlownet_S}\noptimizer: {learning_rate: [[1, 1e-4]]}\n")
    names = ("MaskFlownet_S", "mmflow/MaskFlownet_S_chairs", own)
    references = [config_reference(load_config(name)) for name in names]
    assert references == ["MaskFlownet_S", "mmflow/MaskFlownet_S_chairs", str(own.resolve())]


def test_changes_are_told(caplog):
    report_changes("run", RECORD, RECORD)
    assert caplog.messages == []
    report_changes("run", RECORD, dataclasses.replace(RECORD, batch=4, dataset_cfg="sintel"))
    assert caplog.messages == [
        "run run was trained with dataset_cfg=chairs so far and goes on with sintel",
        "run run was trained with batch=8 so far and goes on with 4",
    ]
    caplog.clear()
    report_changes("run", dataclasses.replace(RECORD, processes=2), RECORD)
    assert caplog.messages == ["run run was trained with processes=2 so far and goes on with 1"]
