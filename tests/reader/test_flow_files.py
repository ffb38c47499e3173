import io
import pickle
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from config.errors import InputError, MissingDataError
from reader.flow_files import (
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

# 2 rows of 3 pixels; every number is one that all formats can hold.
FLOW = np.array(
    [[[1, -2], [0.5, 0.25], [300, -511]], [[-0.015625, 7], [0, 0], [128.5, 64]]], np.float32
)
VALID = np.array([[255, 0, 255], [255, 255, 0]], np.uint8)[..., None]
MASKED = np.where(VALID != 0, FLOW, 0)
ALL_VALID = np.full_like(VALID, 255)

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


def refusal(read, path):
    """The message with which a file is refused: one line that begins with its name."""
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ") and ", got " in message
    assert "\n" not in message
    return message


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
    np.testing.assert_array_equal(flow, MASKED)
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


@pytest.mark.parametrize("name", ["flow.txt", "flow", "flow.flo.gz"])
def test_unknown_suffix_lists_the_known_ones(tmp_path, name):
    path = tmp_path / name
    assert ".flo, .png, .pfm, .npy" in refusal(read_flow, path)
    assert ".flo, .png, .pfm, .npy" in refusal(lambda p: write_flow(p, FLOW), path)
    assert not list(tmp_path.iterdir())


# --- wrong files ----------------------------------------------------------------------------------


def flo(width, height, values, magic=202021.25):
    return struct.pack("<fii", magic, width, height) + np.zeros(values, "<f4").tobytes()


def npy(array, **kwargs):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **kwargs)
    return file.getvalue()


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


WRONG = {
    "empty.flo": (b"", "a .flo file"),
    "half a header.flo": (flo(3, 2, 0)[:9], "a .flo file"),
    "magic.flo": (flo(3, 2, 12, magic=202021.5), "a .flo file"),
    "byte order.flo": (struct.pack(">fii2f", 202021.25, 1, 1, 0, 0), "a .flo file"),
    "cut.flo": (flo(3, 2, 12)[:-1], "expected 60 bytes for a size of 3x2, got 59; it was cut"),
    "trailing.flo": (flo(3, 2, 12) + b"\0", "got 61; it has more than its header says"),
    "absurd.flo": (flo(2**31 - 1, 2**31 - 1, 12), "for a size of 2147483647x2147483647"),
    "overflow.flo": (flo(2**16, 2**16, 0), "got 12"),
    "negative.flo": (flo(-3, -2, 12), "got -3x-2"),
    "zero.flo": (flo(0, 2, 0), "got 0x2"),
    "empty.pfm": (b"", "a PFM header"),
    "picture.pfm": (b"PF\n1 1\n-1\n" + struct.pack("<3f", 1, 2, 3), "a third channel of zeros"),
    "nan.pfm": (b"PF\n1 1\n-1\n" + struct.pack("<3f", 1, 2, np.nan), "a third channel of zeros"),
    "grey.pfm": (b"Pf\n1 1\n-1\n" + bytes(4), "one channel"),
    "cut.pfm": (b"PF\n1 1\n-1\n" + bytes(11), "got 21; it was cut short"),
    "trailing.pfm": (b"PF\n1 1\n-1\n" + bytes(13), "got 23; it has more"),
    "absurd.pfm": (b"PF\n9999999999 9999999999\n-1\n" + bytes(12), "9999999999x9999999999"),
    "long number.pfm": (b"PF\n" + b"9" * 5000 + b" 1\n-1\n" + bytes(12), "a PFM header"),
    "zero.pfm": (b"PF\n0 1\n-1\n", "got 0x1"),
    "negative.pfm": (b"PF\n-1 1\n-1\n" + bytes(12), "a PFM header"),
    "scale.pfm": (b"PF\n1 1\n-0.0039\n" + bytes(12), "a PFM scale of 1 or -1, got b'-0.0039'"),
    "nan scale.pfm": (b"PF\n1 1\nnan\n" + bytes(12), "a PFM header"),
    "no newline.pfm": (b"PF" * 2000, "a PFM header"),
    "empty.npy": (b"", "a .npy file"),
    "magic.npy": (b"\x93NUMPX" + npy(FLOW)[6:], "a .npy file"),
    "version.npy": (npy(FLOW, version=(2, 0)), "version 2.0"),
    "objects.npy": (npy(np.array([[[{}, 1]]], dtype=object)), "got object"),
    "pickle.npy": (pickle.dumps(FLOW), "a .npy file"),
    "zip.npy": (b"PK\x03\x04" + bytes(40), "a .npy file"),
    "integers.npy": (npy(FLOW.astype(np.int32)), "got int32"),
    "complex.npy": (npy(FLOW.astype(np.complex64)), "got complex64"),
    "record.npy": (npy(np.zeros((3, 2, 2), [("u", "<f4")])), "float16, float32 or float64"),
    "channels first.npy": (npy(FLOW.transpose(2, 0, 1)), "shape (H, W, 2), got (2, 2, 3)"),
    "flat.npy": (npy(FLOW.ravel()), "shape (H, W, 2), got (12,)"),
    "zero.npy": (npy(FLOW[:0]), "got 3x0"),
    "cut.npy": (npy(FLOW)[:-1], "got 175; it was cut short"),
    "trailing.npy": (npy(FLOW) + b"\0", "got 177; it has more"),
    "absurd.npy": (npy(FLOW).replace(b"(2, 3, 2), ", b"(2**9,3,2),"), "a .npy file"),
    "huge.npy": (npy(FLOW).replace(b"(2, 3, 2), }     ", b"(999999,9999, 2)}"), "9999x999999"),
    "negative.npy": (npy(FLOW).replace(b"(2, 3, 2), }  ", b"(-2, -3, 2), }"), "got -3x-2"),
    "deep.npy": (npy(FLOW).replace(b"(2, 3, 2), }" + b" " * 12, b"-" * 24), "a .npy file"),
    "8 bits.png": (png(np.zeros((2, 3, 3), np.uint8)), "expected a 16-bit RGB PNG"),
    "grey.png": (png(np.zeros((2, 3), np.uint16)), "expected a 16-bit RGB PNG"),
    "alpha.png": (png(np.zeros((2, 3, 4), np.uint16)), "expected a 16-bit RGB PNG"),
    "text.png": (b"a text file\n", "expected a PNG file, got one that begins with b'a text f'"),
    "empty.png": (b"", "expected a PNG file, got an empty one"),
    "jpeg.png": (cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes(), "a PNG file"),
    "cut.png": (png(np.ones((2, 3, 3), np.uint16))[:-20], "it was cut short"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_file_is_named_with_what_is_wrong(tmp_path, name):
    content, fault = WRONG[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert fault in refusal(read_flow, path)


def test_header_without_an_end_is_not_read_whole(tmp_path):
    path = tmp_path / "endless.pfm"
    path.write_bytes(b"PF\n" + b"9" * 2_000_000)
    tracemalloc.start()
    refusal(read_flow, path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000


def test_the_replacements_above_took_place():
    assert len({content for content, _ in WRONG.values()}) >= len(WRONG) - 3  # four are empty
    assert b"999999" in WRONG["huge.npy"][0] and b"-2, -3" in WRONG["negative.npy"][0]
    assert b"2**9" in WRONG["absurd.npy"][0] and b"-----" in WRONG["deep.npy"][0]


@pytest.mark.parametrize("suffix", FLOW_SUFFIXES)
def test_missing_file_and_folder(tmp_path, suffix):
    with pytest.raises(MissingDataError, match="got nothing there"):
        read_flow(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    assert "got a folder" in refusal(read_flow, tmp_path / f"folder{suffix}")


# --- wrong arrays ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FLOW_SUFFIXES)
@pytest.mark.parametrize(
    "wrong", [FLOW.transpose(2, 0, 1), FLOW[:0], FLOW[..., :1], FLOW.astype(int), FLOW[0]]
)
def test_array_that_is_no_flow(tmp_path, suffix, wrong):
    path = tmp_path / f"flow{suffix}"
    path.write_bytes(b"the old one")
    with pytest.raises(InputError, match=r"expected a float array \(H, W, 2\)"):
        write_flow(path, wrong)
    assert path.read_bytes() == b"the old one"


@pytest.mark.parametrize("suffix", FLOW_SUFFIXES)
@pytest.mark.parametrize("wrong", [VALID[..., 0], VALID[:1], np.repeat(VALID, 2, axis=2)])
def test_mask_of_another_shape(tmp_path, suffix, wrong):
    with pytest.raises(InputError, match=r"expected \(2, 3, 1\)"):
        write_flow(tmp_path / f"flow{suffix}", FLOW, wrong)
    assert not list(tmp_path.iterdir())
