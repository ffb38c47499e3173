"""The flow in .npz, Spring's .flo5 and Virtual KITTI's PNG, from files made by hand."""

import builtins
import zipfile

import cv2
import h5py
import numpy as np
import pytest

from maskflownet.config import InputError, MissingDataError
from maskflownet.reader.flow_files import read_flo5, read_flow, read_kitti_png, read_npz, write_flow
from maskflownet.reader.formats.vkitti_png import read_vkitti_png, write_vkitti_png

FLOW = np.float32([[[1.5, -2], [0, 3]], [[np.nan, 1], [7, 1e10]]])


def test_npz_with_one_array_of_any_name(tmp_path):
    path = tmp_path / "f.NPZ"
    with path.open("wb") as file:
        np.savez(file, np.asfortranarray(FLOW.astype(np.float64)))
    flow, valid = read_flow(path)
    assert flow.dtype == np.float32
    assert flow[0].tolist() == [[1.5, -2], [0, 3]] and not flow[1].any()
    assert valid[..., 0].tolist() == [[255, 255], [0, 0]]


def test_npz_with_names_and_a_mask(tmp_path):
    path = tmp_path / "f.npz"
    np.savez_compressed(
        path, depth=np.ones(3), flow=FLOW, valid=np.uint16([[[1], [0]], [[1], [1]]])
    )
    flow, valid = read_flow(path)
    assert valid[..., 0].tolist() == [[255, 0], [0, 0]]
    assert not flow[0, 1].any()
    np.testing.assert_array_equal(read_npz(path)[0], FLOW)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (
            {"u": FLOW[..., 0], "v": FLOW[..., 1]},
            r'expected one array, or one named "flow", got 2 .*u',
        ),
        ({"flow": FLOW[..., 0]}, r"expected an array of shape \(H, W, 2\)"),
        ({"flow": np.zeros((2, 2, 2), int)}, "expected an array of float16, float32 or float64"),
        ({"flow": FLOW, "valid": np.ones((3, 2))}, r'"valid" of shape \(2, 2\).* got \(3, 2\)'),
        ({"flow": FLOW, "valid": np.ones((2, 2, 2))}, r'"valid" of numbers of shape'),
        ({"flow": np.array([FLOW, None], object)}, "expected an array of float16"),
    ],
)
def test_npz_with_other_arrays(tmp_path, arrays, said):
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(InputError, match=rf"f\.npz: .*{said}"):
        read_flow(tmp_path / "f.npz")


def test_only_arrays_of_an_npz_count(tmp_path):
    path = tmp_path / "f.npz"
    np.savez(path, flow=FLOW)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("valid", b"text")
        archive.writestr("notes.txt", b"text")
    np.testing.assert_array_equal(read_npz(path)[0], FLOW)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".flo5"])
def test_what_is_beyond_float32_is_unknown_without_a_warning(tmp_path, suffix, recwarn):
    path = tmp_path / f"f{suffix}"
    flow = np.full((4, 5, 2), 1e300)
    flow[0] = 1
    if suffix == ".npy":
        np.save(path, flow)
    elif suffix == ".npz":
        np.savez(path, flow=flow)
    else:
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["flow"] = flow
    assert (read_flow(path)[1][..., 0] > 0).tolist() == [[True] * 5] + 3 * [[False] * 5]
    assert not list(recwarn)


def test_npz_that_are_none(tmp_path):
    path = tmp_path / "f.npz"
    with pytest.raises(MissingDataError):
        read_flow(path)
    path.write_bytes(b"PK not")
    with pytest.raises(InputError, match=r"f\.npz: expected a \.npz file, got"):
        read_flow(path)
    np.savez(path, flow=np.zeros((40, 40, 2), np.float32))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"f\.npz: "):
        read_flow(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("flow.npy", b"not npy")
    with pytest.raises(InputError, match=r"f\.npz: expected a \.npy file"):
        read_flow(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("flow", b"no array")
    with pytest.raises(InputError, match=r"f\.npz: expected one array.* got none in \['flow'\]"):
        read_flow(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(InputError, match="got none"):
        read_flow(path)


def test_flo5_is_the_dataset_flow_with_nan_where_unknown(tmp_path):
    path = tmp_path / "f.flo5"
    with h5py.File(path, "w") as file:
        file.create_dataset("flow", data=FLOW.astype(np.float64), compression="gzip")
    stored = read_flo5(path)
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored[0], FLOW[0])
    flow, valid = read_flow(path)
    assert valid[..., 0].tolist() == [[255, 255], [0, 0]]
    assert np.isfinite(flow).all()


@pytest.mark.parametrize("suffix", [".flo5", ".npz", ".npy", ".flo", ".pfm"])
def test_what_is_written_is_read(tmp_path, suffix):
    path = tmp_path / f"f{suffix}"
    valid = np.uint8([[[1], [0]], [[1], [1]]])
    write_flow(path, FLOW, valid)
    flow, known = read_flow(path)
    assert known[..., 0].tolist() == [[255, 0], [0, 0]]
    assert flow[0, 0].tolist() == [1.5, -2]
    if suffix == ".flo5":
        assert np.isnan(read_flo5(path)[0, 1]).all()


def test_flo5_that_are_none(tmp_path):
    path = tmp_path / "f.flo5"
    with pytest.raises(MissingDataError):
        read_flow(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"f\.flo5: expected an HDF5 file \(\.flo5\), got"):
        read_flow(path)
    with h5py.File(path, "w") as file:
        file["disparity"] = np.zeros((2, 2))
    with pytest.raises(InputError, match=r'with a dataset "flow", got one with \'disparity\''):
        read_flow(path)
    with h5py.File(path, "w") as file:
        file["flow"] = np.zeros((2, 2, 3), np.float32)
    with pytest.raises(InputError, match=r"expected flow as floats of shape \(H, W, 2\)"):
        read_flow(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("flow", (2**20, 2**20, 2), np.float32, chunks=(64, 64, 2))
    with pytest.raises(InputError, match="got a size of 1048576x1048576"):
        read_flow(path)


def test_flo5_without_h5py_names_it(tmp_path, monkeypatch):
    def refuse(name, *rest, **more):
        if name == "h5py":
            raise ImportError(name)
        return original(name, *rest, **more)

    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"f\.flo5: .*install it with: pip install h5py"):
        read_flow(tmp_path / "f.flo5")


def vkitti(path, normalized, marks):
    """Write the readme's numbers: R, G from -1..1 to 0..65535, B as given."""
    red_green = np.rint((np.float64(normalized) + 1) / 2 * 65535)
    stored = np.dstack([red_green, marks]).astype(np.uint16)
    assert cv2.imwrite(str(path), stored[..., ::-1])


def test_virtual_kittis_flow_is_a_share_of_the_size(tmp_path):
    path = tmp_path / "f.png"
    vkitti(path, np.tile([10 / 1241, -4 / 374], (375, 1242, 1)), np.full((375, 1242), 65535))
    flow, valid = read_vkitti_png(path)
    np.testing.assert_allclose(flow.reshape(-1, 2)[[0, -1]], [[10, -4]] * 2, atol=0.02)
    assert (valid == 255).all()


def test_virtual_kittis_sky_is_unknown(tmp_path):
    path = tmp_path / "f.png"
    vkitti(path, [[[1, -1], [-1, 1], [1, 1]]], [[65535, 65535, 0]])
    flow, valid = read_vkitti_png(path)
    assert flow.tolist() == [[[2, 0], [-2, 0], [0, 0]]]  # one row: v has no reach
    assert valid[..., 0].tolist() == [[255, 255, 0]]


def test_virtual_kittis_png_is_not_taken_for_kittis(tmp_path):
    path = tmp_path / "f.png"
    vkitti(path, np.zeros((2, 3, 2)), [[65535, 0, 65535]] * 2)
    for read in (read_kitti_png, read_flow):
        with pytest.raises(InputError, match=r"f\.png: .*.*`dataset: vkitti2`"):
            read(path)
    vkitti(path, np.zeros((2, 3, 2)), [[1, 0, 1]] * 2)
    assert read_flow(path)[1][0, :, 0].tolist() == [255, 0, 255]
    vkitti(path, np.zeros((2, 3, 2)), np.zeros((2, 3)))
    assert not read_flow(path)[1].any()


def test_virtual_kittis_png_is_written_to_the_definition(tmp_path):
    path = tmp_path / "f.png"
    flow = np.float32([[[3, -1], [0, 0], [0, 0], [1.5, 1]], [[-3, 1], [9, 0], [0, 0], [0, 0]]])
    write_vkitti_png(path, flow, np.uint8([[1, 1, 0, 1], [1, 1, 1, 1]])[..., None])
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert stored[0, 0].tolist() == [65535, 0, 65535]
    assert stored[0, 2].tolist() == [0, 0, 0]
    assert stored[1, 1].tolist() == [65535, 32768, 65535]  # clipped to one width
    np.testing.assert_allclose(read_vkitti_png(path)[0][0, 3], [1.5, 1], atol=1e-4)
