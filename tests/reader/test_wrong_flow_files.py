"""Flow files that are wrong, names that say no format, and arrays that are no flow."""

import io
import pickle
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from flow_helpers import FLOW, VALID
from refusals import refusal

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.reader.flow_files import FLOW_SUFFIXES, read_flow, write_flow

# --- wrong names ----------------------------------------------------------------------------------


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


def png_with_colour_type(number):
    """Return a 16-bit PNG whose header says so, with its checksum."""
    data = bytearray(png(np.zeros((2, 3, 3), np.uint16)))
    data[25] = number
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


WRONG = {
    "empty.flo": (b"", "a file with content, got an empty one"),
    "half a header.flo": (flo(3, 2, 0)[:9], "a .flo file"),
    "magic.flo": (flo(3, 2, 12, magic=202021.5), "a .flo file"),
    "byte order.flo": (struct.pack(">fii2f", 202021.25, 1, 1, 0, 0), "a .flo file"),
    "cut.flo": (flo(3, 2, 12)[:-1], "expected 60 bytes for a size of 3x2, got 59; it was cut"),
    "trailing.flo": (flo(3, 2, 12) + b"\0", "got 61; it has more than its header says"),
    "absurd.flo": (flo(2**31 - 1, 2**31 - 1, 12), "for a size of 2147483647x2147483647"),
    "overflow.flo": (flo(2**16, 2**16, 0), "got 12"),
    "negative.flo": (flo(-3, -2, 12), "got -3x-2"),
    "zero.flo": (flo(0, 2, 0), "got 0x2"),
    "empty.pfm": (b"", "a file with content, got an empty one"),
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
    "empty.npy": (b"", "a file with content, got an empty one"),
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
    "alpha.png": (
        png(np.zeros((2, 3, 4), np.uint16)),
        "got 16-bit RGB with alpha; write it without the alpha channel",
    ),
    "colour.png": (png_with_colour_type(5), "got 16-bit of colour type 5"),
    "text.png": (b"a text file\n", "expected a PNG file, got one that begins with b'a text f'"),
    "empty.png": (b"", "a file with content, got an empty one"),
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
