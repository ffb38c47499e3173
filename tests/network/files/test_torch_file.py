"""PyTorch's files: read as PyTorch wrote them, and refused where they hold more or are damaged."""

import os
import pickle
import random
import zipfile

import numpy as np
import pytest
from ports import FOLDER, write_legacy, write_zip

from maskflownet.config.errors import InputError
from maskflownet.network.files import torch_file
from maskflownet.network.files.torch_file import is_torch_file, read_torch_file

WRITERS = {"zip": write_zip, "legacy": write_legacy}
SAMPLES = [("sample_zip.pth", "sample_arrays.npz"), ("sample_legacy.pth", "sample_arrays.npz")]
FORMS = [("forms_zip.pth", "forms.npz"), ("forms_legacy.ckpt", "forms.npz")]


def message_of(path):
    with pytest.raises(InputError) as caught:
        read_torch_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


@pytest.mark.parametrize(("file", "wanted"), [*SAMPLES, *FORMS])
def test_files_that_pytorch_wrote_are_read(file, wanted):
    """Half precisions, windows on shared storages, parameters; bare and beside an optimizer."""
    assert is_torch_file(FOLDER / file)
    arrays = read_torch_file(FOLDER / file)
    with np.load(FOLDER / wanted) as golden:
        assert arrays.keys() == set(golden.files)
        for name, array in golden.items():
            assert arrays[name].shape == array.shape
            np.testing.assert_array_equal(arrays[name].astype(np.float32), array)


@pytest.mark.parametrize("layout", WRITERS)
def test_half_precisions_are_read(tmp_path, layout):
    values = np.array([[1.5, -2], [0.25, 100]], np.float32)
    upper_halves = (values.view("<u4") >> 16).astype("<u2")
    types = {"f2": "HalfStorage", "u2": "BFloat16Storage"}
    arrays = {"half": values.astype("f2"), "brain": upper_halves}
    path = WRITERS[layout](tmp_path / "a.pth", arrays, types=types)
    for array in read_torch_file(path).values():
        np.testing.assert_array_equal(array, values)


@pytest.mark.parametrize("wrap", [None, "state_dict"])
def test_the_prefix_of_data_parallel_is_dropped(tmp_path, wrap):
    path = write_zip(tmp_path / "a.pth", {"module.conv.weight": np.zeros(3, "f4")}, wrap)
    assert list(read_torch_file(path)) == ["conv.weight"]


class Harmful:
    """Would make a folder when unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder),))


def test_what_arrays_do_not_need_is_refused_by_name_and_not_run(tmp_path):
    trap = tmp_path / "made"
    content = pickle.dumps({"state_dict": {}, "x": Harmful(trap)}, 2)
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    assert "refused, since to unpickle it needs 'posix.mkdir'" in message_of(path)
    assert not trap.exists()


def tensor_pickle(old, new):
    """Return a change of a file's pickle that puts `new` where `old` is."""

    def change(content):
        assert content.count(old) == 1
        return content.replace(old, new)

    return change


SHAPE = pickle.dumps((2, 3), 2)[2:-1]
BROKEN = {
    "beyond its": (SHAPE, pickle.dumps((2, 4), 2)[2:-1]),
    "no proper": (SHAPE, pickle.dumps((-2, 3), 2)[2:-1]),
    "memo number": (b"u.", b"ur\xff\xff\xff\x7f."),
    "ComplexFloatStorage": (b"FloatStorage", b"ComplexFloatStorage"),
    "_rebuild_sparse_tensor": (b"_rebuild_tensor_v2", b"_rebuild_sparse_tensor"),
}


@pytest.mark.parametrize("expected", BROKEN)
def test_windows_and_types_are_checked(tmp_path, expected):
    whole = write_zip(tmp_path / "whole.pth", {"a": np.zeros((2, 3), "f4")})
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("data.pkl"):
                content = tensor_pickle(*BROKEN[expected])(content)
            target.writestr(name, content)
    assert expected in message_of(path)


@pytest.mark.parametrize("layout", WRITERS)
def test_a_large_array_counts_only_where_it_is_a_weight(tmp_path, layout, monkeypatch):
    monkeypatch.setattr(torch_file, "MAX_VALUES", 8)
    arrays = {"a": np.ones(3, "f4"), "moments": np.zeros(9, "f4")}
    path = WRITERS[layout](tmp_path / "a.pth", arrays, "state_dict")
    assert list(read_torch_file(path)) == ["a"]
    path = WRITERS[layout](tmp_path / "b.pth", arrays)
    assert message_of(path) == (
        f"{path}: 'moments': expected an array of a network's weights, of 8 values or fewer, got "
        "one of shape (9,); leave it out"
    )


def test_other_archives_and_contents_are_called_what_they_are(tmp_path):
    path = tmp_path / "a.pth"
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    assert "zip archive of another kind (first entry: a.npy)" in message_of(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"epoch": 1, "lr": 2}, 2))
    assert "got the keys epoch, lr" in message_of(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"epoch": 1}, 2))
    assert "compressed" in message_of(path)


@pytest.mark.parametrize("file", ["forms_zip.pth", "forms_legacy.ckpt"])
def test_damaged_files_are_refused_or_read_whole(tmp_path, file):
    content = (FOLDER / file).read_bytes()
    path = tmp_path / "damaged.pth"
    rng = random.Random(0)
    for cut in rng.sample(range(20, len(content)), 60):
        path.write_bytes(content[:cut])
        message_of(path)
    for _ in range(300):
        changed = bytearray(content)
        changed[rng.randrange(20, len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            arrays = read_torch_file(path)
        except InputError:
            continue
        assert all(array.size < 100 for array in arrays.values())
