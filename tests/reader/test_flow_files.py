"""Flow files that are right: what stands in them, and that flow and mask come back."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from flow_helpers import FLOW, VALID
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskflownet.config.errors import InputError
from maskflownet.reader.flow_files import (
    FLOW_SUFFIXES,
    read_flo,
    read_flow,
    read_kitti_png,
    read_npy,
    read_pfm,
    write_flo,
    write_flow,
    write_kitti_png,
    write_npy,
    write_pfm,
)

seeded = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def fields(elements):
    """Flow fields from 1x1 to 6x6, 1xN and Nx1 included."""
    shapes = array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda size_hw: (*size_hw, 2))
    return shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=elements))


any_float = st.floats(width=32)
known_float = st.floats(-1e9, 1e9, width=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("flow")


def assert_is_flow(flow):
    assert flow.dtype == np.float32 and flow.dtype.isnative
    assert flow.flags.c_contiguous and flow.flags.writeable


# --- files made by hand ---------------------------------------------------------------------------


def test_flo_layout(tmp_path):
    path = tmp_path / "hand.flo"
    path.write_bytes(struct.pack("<fii12f", 202021.25, 3, 2, *FLOW.ravel()))
    flow = read_flo(path)
    assert_is_flow(flow)
    np.testing.assert_array_equal(flow, FLOW)
    write_flo(tmp_path / "own.flo", FLOW)
    assert (tmp_path / "own.flo").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("order", "scale"), [("<", b"-1.000000"), (">", b"1")])
def test_pfm_layout(tmp_path, order, scale):
    pixels = [number for row in FLOW[::-1] for u, v in row for number in (u, v, 0)]
    path = tmp_path / "hand.pfm"
    path.write_bytes(b"PF\n3 2\n" + scale + b"\n" + struct.pack(f"{order}18f", *pixels))
    flow = read_pfm(path)
    assert_is_flow(flow)
    np.testing.assert_array_equal(flow, FLOW)
    write_pfm(tmp_path / "own.pfm", FLOW, big_endian=order == ">")
    own = (tmp_path / "own.pfm").read_bytes()
    assert own == path.read_bytes().replace(b"-1.000000", b"-1")


def test_kitti_layout(tmp_path):
    stored_bgr = np.zeros((2, 3, 3), np.uint16)
    stored_bgr[0, 0] = 1, 2**15 - 128, 2**15 + 64  # valid, v = -2, u = 1
    stored_bgr[1, 2] = 1, 0, 2**16 - 1
    stored_bgr[0, 1] = 0, 5, 5  # not valid, whatever it says
    path = tmp_path / "hand.png"
    cv2.imwrite(str(path), stored_bgr)
    flow, valid = read_kitti_png(path)
    assert_is_flow(flow)
    assert flow[0, 0].tolist() == [1, -2]
    assert flow[1, 2].tolist() == [511.984375, -512]
    assert valid.dtype == np.uint8
    assert valid[..., 0].tolist() == [[255, 0, 0], [0, 0, 255]]
    assert not flow[valid[..., 0] == 0].any()


def test_kitti_stores_what_the_development_kit_does(tmp_path):
    write_kitti_png(tmp_path / "own.png", FLOW, VALID)
    stored = cv2.imread(str(tmp_path / "own.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    assert stored[0, 0].tolist() == [1, 2**15 - 128, 2**15 + 64]
    assert stored[0, 1].tolist() == [0, 0, 0]


def test_virtual_kitti_is_not_taken_for_kitti(tmp_path):
    # Its own coding: flow over the size of the picture, -1..1 as 0..65535, B = 65535 where known.
    stored_bgr = np.zeros((4, 5, 3), np.uint16)
    stored_bgr[1:] = 65535, 40000, 33000
    cv2.imwrite(str(tmp_path / "virtual.png"), stored_bgr)
    with pytest.raises(InputError, match=r"virtual\.png: expected flow in KITTI's coding.*Virtual"):
        read_kitti_png(tmp_path / "virtual.png")
    stored_bgr[2, 2, 0] = 1
    cv2.imwrite(str(tmp_path / "kitti.png"), stored_bgr)
    assert read_kitti_png(tmp_path / "kitti.png")[1].any()


def test_kitti_is_never_rotated(tmp_path):
    # An eXIf chunk that asks for a quarter turn (tag 0x0112), put behind the header chunk.
    exif = b"eXIf" + struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
    chunk = struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    path = tmp_path / "turned.png"
    write_kitti_png(path, FLOW)
    whole = path.read_bytes()
    path.write_bytes(whole[:33] + chunk + whole[33:])
    assert cv2.imread(str(path)).shape == (3, 2, 3)  # OpenCV does turn it
    np.testing.assert_array_equal(read_kitti_png(path)[0], FLOW)


def test_kitti_rounds_without_float32_getting_in_the_way(tmp_path):
    flow = np.full((1, 1, 2), (1.5 - 2**-12) / 64, np.float32)
    write_kitti_png(tmp_path / "own.png", flow)
    assert (read_kitti_png(tmp_path / "own.png")[0] == 1 / 64).all()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_float_type_and_order(tmp_path, dtype, order):
    np.save(tmp_path / "hand.npy", np.asarray(FLOW, dtype, order=order))
    flow = read_npy(tmp_path / "hand.npy")
    assert_is_flow(flow)
    np.testing.assert_array_equal(flow, FLOW)


def test_npy_beyond_float32_is_unknown(tmp_path):
    np.save(tmp_path / "hand.npy", np.array([[[1e300, 0], [1, 2]]]))
    flow, valid = read_flow(tmp_path / "hand.npy")
    assert flow.tolist() == [[[0, 0], [1, 2]]] and valid[..., 0].tolist() == [[0, 255]]


def test_npy_is_numpys(tmp_path):
    write_npy(tmp_path / "own.npy", FLOW[:, ::-1])
    stored = np.load(tmp_path / "own.npy", allow_pickle=False)
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, FLOW[:, ::-1])


# --- round trips ----------------------------------------------------------------------------------

RAW = {
    "flo": (read_flo, write_flo),
    "npy": (read_npy, write_npy),
    "pfm": (read_pfm, write_pfm),
    "big-endian.pfm": (read_pfm, lambda path, flow: write_pfm(path, flow, big_endian=True)),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_formats_keep_every_float(folder, name):
    read, write = RAW[name]

    @seeded
    @given(fields(any_float))
    def check(flow):
        write(folder / name, flow)
        np.testing.assert_array_equal(read(folder / name), flow)  # NaN equals NaN here

    check()


@pytest.mark.parametrize("suffix", [".flo", ".pfm", ".npy"])
def test_flow_and_mask_come_back(folder, suffix):
    path = folder / f"masked{suffix}"

    @seeded
    @given(fields(known_float), st.randoms(use_true_random=False))
    def check(flow, random):
        valid = np.array([random.choice([0, 255]) for _ in range(flow.size // 2)], np.uint8)
        valid = valid.reshape(*flow.shape[:2], 1)
        write_flow(path, flow, valid)
        flow_read, valid_read = read_flow(path)
        np.testing.assert_array_equal(valid_read, valid)
        np.testing.assert_array_equal(flow_read, np.where(valid != 0, flow, 0))

    check()


@seeded
@given(flow=fields(known_float | st.floats(-600, 600, width=32)))
def test_kitti_rounds_and_clips(folder, flow):
    write_kitti_png(folder / "round.png", flow)
    flow_read, valid = read_kitti_png(folder / "round.png")
    assert (valid == 255).all()
    in_range = np.clip(flow.astype(np.float64), -512, 511.984375)
    assert np.abs(flow_read - in_range).max() <= 1 / 128
    outside = (flow < -512) | (flow > 511.984375)
    np.testing.assert_array_equal(flow_read[outside], in_range[outside])


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 70), (70, 1), (31, 17)])
@pytest.mark.parametrize("suffix", FLOW_SUFFIXES)
def test_any_size(tmp_path, suffix, size_hw):
    flow = np.random.default_rng(1).integers(-9, 9, (*size_hw, 2)).astype(np.float32)
    path = tmp_path / f"flow{suffix.upper()}"
    write_flow(path, flow)
    flow_read, valid = read_flow(path)
    assert_is_flow(flow_read)
    assert valid.shape == (*size_hw, 1) and valid.dtype == np.uint8 and valid.min() == 255
    np.testing.assert_array_equal(flow_read, flow)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


# --- by suffix ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FLOW_SUFFIXES)
def test_every_suffix_keeps_flow_and_mask(tmp_path, suffix):
    write_flow(tmp_path / f"flow{suffix}", FLOW, VALID)
    flow, valid = read_flow(tmp_path / f"flow{suffix}")
    np.testing.assert_array_equal(flow, np.where(VALID != 0, FLOW, 0))
    np.testing.assert_array_equal(valid, VALID)


@pytest.mark.parametrize("suffix", FLOW_SUFFIXES)
@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf, 1.1e9, -1e10])
def test_unknown_values_become_zero_and_not_valid(tmp_path, suffix, unknown):
    flow = FLOW.copy()
    flow[1, 1, 1] = unknown
    write_flow(tmp_path / f"flow{suffix}", flow)
    flow_read, valid = read_flow(tmp_path / f"flow{suffix}")
    assert flow_read[1, 1].tolist() == [0, 0]
    assert valid[1, 1, 0] == 0 and valid.sum() == 5 * 255


def test_the_largest_known_value(tmp_path):
    write_flow(tmp_path / "flow.flo", np.full((1, 1, 2), -1e9, np.float32))
    flow, valid = read_flow(tmp_path / "flow.flo")
    assert flow.tolist() == [[[-1e9, -1e9]]] and valid.tolist() == [[[255]]]


def test_raw_flo_keeps_middleburys_mark(tmp_path):
    write_flow(tmp_path / "flow.flo", FLOW, VALID)
    assert (read_flo(tmp_path / "flow.flo")[0, 1] == np.float32(1e10)).all()
