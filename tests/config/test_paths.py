"""Roots of datasets: the file, its variables, and the environment before it."""

from pathlib import Path

import pytest

from maskflownet.config import InputError, load_paths
from maskflownet.config.files import ROOT, read_mapping
from maskflownet.config.paths import PATHS_FILE
from maskflownet.config.registry import ROOT_VARIABLES


def paths(tmp_path, text, **environ):
    file = tmp_path / "paths.yaml"
    file.write_text(text)
    return load_paths(file, environ)


def test_the_repositorys_own_file_sets_nothing():
    assert load_paths(environ={}) == dict.fromkeys(ROOT_VARIABLES)


def test_the_repositorys_own_file_lists_every_root_in_order():
    assert list(read_mapping(PATHS_FILE)) == list(ROOT_VARIABLES)
    assert set(ROOT_VARIABLES) > {"chairs", "kitti", "kitti_2012", "kitti_2015", "spring"}
    assert ROOT_VARIABLES["kitti_2015"] == "MASKFLOWNET_KITTI_2015"


def test_variables_and_home(tmp_path):
    text = "chairs: ${DATA}/chairs\nsintel: ${NOWHERE}/sintel\nkitti: ~/kitti\nhd1k: ${EMPTY}/x\n"
    found = paths(tmp_path, text, DATA="/data", EMPTY="")
    assert found["chairs"] == Path("/data/chairs")
    assert found["sintel"] is found["hd1k"] is found["things3d"] is None
    assert found["kitti"] == Path.home() / "kitti"


def test_the_environment_counts_first(tmp_path):
    environ = {"MASKFLOWNET_CHAIRS": "/there", "MASKFLOWNET_SINTEL": ""}
    found = paths(tmp_path, "chairs: /here\nsintel: /film\n", **environ)
    assert found["chairs"] == Path("/there")
    assert found["sintel"] == Path("/film")


def test_a_relative_root_is_the_repositorys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths(tmp_path, "hd1k: data/hd1k\n")["hd1k"] == ROOT / "data/hd1k"


def test_nothing_but_comments_sets_nothing(tmp_path):
    assert set(paths(tmp_path, "# chairs: /here\n").values()) == {None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "chair: /here\n",
            r"chair is an unknown dataset; did you mean chairs\? valid here: chairs",
        ),
        ("chairs: 3\n", "chairs: expected a folder or null, got 3"),
        ("chairs: /a$/b\n", r"chairs: expected a folder, its variables written \$\{NAME\}"),
        (
            "chairs: ~nosuchuser/x\n",
            r"paths\.yaml: chairs: expected .*'~nosuchuser/x'.* home folder",
        ),
        ('chairs: "a\\0b"\n', r"paths\.yaml: chairs: expected a path, .* zero byte"),
        ("- chairs\n", "expected a mapping of keys to values"),
    ],
)
def test_mistakes(tmp_path, text, expected):
    with pytest.raises(InputError, match=expected):
        paths(tmp_path, text)


def test_a_home_folder_that_is_not_there_in_the_environment(tmp_path):
    with pytest.raises(InputError, match=r"^MASKFLOWNET_HD1K: expected a path, got '~nosuchuser'"):
        paths(tmp_path, "", MASKFLOWNET_HD1K="~nosuchuser")
