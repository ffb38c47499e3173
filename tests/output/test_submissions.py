"""Archives of flow files: what goes in, what is refused, and that nothing half made stays."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.output import submissions
from maskflownet.output.submissions import SUBMISSIONS, check_flow_file, make_archive
from maskflownet.reader.flow_files import write_flow

SIZE = (4, 6)


def flow_of(size=SIZE, value=1.5):
    return np.full((*size, 2), value, np.float32)


@pytest.fixture
def folder(tmp_path):
    for name in ("flow/000000_10.png", "flow/000001_10.png", "clean/tiger/frame_0001.flo"):
        write_flow(tmp_path / "files" / name, flow_of())
    return tmp_path / "files"


def test_names_in_each_archive():
    assert SUBMISSIONS["sintel"].member("final/tiger/frame_0001") == "final/tiger/frame_0001.flo"
    assert SUBMISSIONS["kitti.2012"].member("000194_10") == "000194_10.png"
    assert SUBMISSIONS["kitti.2015"].member("000199_10") == "flow/000199_10.png"


def test_an_archive_holds_the_files_as_they_are(folder, tmp_path):
    members = ["flow/000001_10.png", "clean/tiger/frame_0001.flo", "flow/000000_10.png"]
    archive = tmp_path / "new" / "all.zip"
    make_archive(archive, folder, ((member, SIZE) for member in members))
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == members
        for member in members:
            assert packed.read(member) == (folder / member).read_bytes()
    assert [path.name for path in archive.parent.iterdir()] == ["all.zip"]


def one_row_less(path):
    write_flow(path, flow_of((3, 6)))


def no_number(path):
    flow = flow_of()
    flow[1, 2] = np.nan
    write_flow(path, flow)


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def other_kind(path):
    path.write_bytes(cv2.imencode(".png", np.zeros((*SIZE, 3), np.uint8))[1].tobytes())


@pytest.mark.parametrize("name", ["flow/000001_10.png", "clean/tiger/frame_0001.flo"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (one_row_less, "expected 6x4 pixels as its image has, got 6x3; delete it"),
        (no_number, "expected flow at every pixel, got none at 1 of 24"),
        (cut, "cut short"),
        (other_kind, "expected"),
    ],
)
def test_a_wrong_file_is_named_and_no_archive_is_left(folder, tmp_path, name, damage, said):
    damage(folder / name)
    archive = tmp_path / "all.zip"
    members = [("flow/000000_10.png", SIZE), (name, SIZE)]
    with pytest.raises(InputError, match=name) as error:
        make_archive(archive, folder, members)
    assert said in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_missing_file(folder):
    with pytest.raises(MissingDataError, match="frame_0009"):
        check_flow_file(folder / "clean/tiger/frame_0009.flo", SIZE)


def test_an_archive_that_does_not_read_back_is_no_archive(folder, tmp_path, monkeypatch):
    class Forgetful(zipfile.ZipFile):
        def write(self, path, member):
            if member != "flow/000001_10.png":
                super().write(path, member)

    monkeypatch.setattr(submissions.zipfile, "ZipFile", Forgetful)
    members = [("flow/000000_10.png", SIZE), ("flow/000001_10.png", SIZE)]
    with pytest.raises(InputError, match="expected the 2 files that were put in, got 1"):
        make_archive(tmp_path / "all.zip", folder, members)
    assert not (tmp_path / "all.zip").exists()


def test_a_damaged_archive_is_no_archive(folder, tmp_path, monkeypatch):
    class Flaky(zipfile.ZipFile):
        def __exit__(self, *error):
            super().__exit__(*error)
            if self.mode == "w":
                path = Path(self.filename)
                content = bytearray(path.read_bytes())
                content[60] ^= 1  # among the bytes of the first file
                path.write_bytes(content)

    monkeypatch.setattr(submissions.zipfile, "ZipFile", Flaky)
    with pytest.raises(InputError, match=r"got 1, flow/000000_10\.png damaged"):
        make_archive(tmp_path / "all.zip", folder, [("flow/000000_10.png", SIZE)])
    assert not (tmp_path / "all.zip").exists()
