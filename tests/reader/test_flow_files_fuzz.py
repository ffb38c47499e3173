"""Ten thousand damaged files: each is refused, or read as exactly what its own header says.

"Exactly" is decided by small readers written here, apart from the product's.
"""

import io
import itertools
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest

from maskflownet.config.errors import InputError
from maskflownet.reader.flow_files import read_flo, read_flow, read_kitti_png, read_npy, read_pfm

FILES_PER_FORMAT = 2500
SIZES_HW = [(1, 1), (1, 9), (9, 1), (4, 3), (5, 8)]
PEAK_BYTES = 500_000  # the files are below 2 kB; Python's own parsing of an .npy header counts too
NUMBERS = [0, 1, 2, 3, 7, -1, -8, 255, 256, 65536, 2**27, 2**30, 2**31 - 1, -(2**31)]


# --- whole files ----------------------------------------------------------------------------------


def random_flow(rng, size_hw):
    return rng.normal(0, 40, (*size_hw, 2)).astype(np.float32)


def make_flo(rng, size_hw):
    flow = random_flow(rng, size_hw)
    return struct.pack("<fii", 202021.25, size_hw[1], size_hw[0]) + flow.tobytes()


def make_pfm(rng, size_hw):
    order, scale = [("<f4", "-1.0"), (">f4", "1")][rng.integers(2)]
    pixels = np.dstack([random_flow(rng, size_hw)[::-1], np.zeros(size_hw)]).astype(order)
    return f"PF\n{size_hw[1]} {size_hw[0]}\n{scale}\n".encode() + pixels.tobytes()


def make_npy(rng, size_hw):
    dtype, order = rng.choice(["<f4", "<f8", ">f4", "<f2"]), rng.choice(["C", "F"])
    file = io.BytesIO()
    np.save(file, np.asarray(random_flow(rng, size_hw), dtype, order=order))
    return file.getvalue()


def make_png(rng, size_hw):
    pixels = rng.integers(0, 65536, (*size_hw, 3), dtype=np.uint16)
    pixels[..., 0] %= 2
    return cv2.imencode(".png", pixels)[1].tobytes()


# --- damage ---------------------------------------------------------------------------------------


def cut(data, rng):
    return data[: rng.integers(len(data))]


def lengthen(data, rng):
    return data + rng.bytes(rng.integers(1, 40))


def alter_bytes(data, rng):
    altered = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        altered[rng.integers(len(data))] = rng.integers(256)
    return bytes(altered)


def alter_header(data, rng):
    altered = bytearray(data)
    altered[rng.integers(min(len(data), 90))] = rng.integers(256)
    return bytes(altered)


def drop_part(data, rng):
    start, end = sorted(rng.integers(len(data), size=2))
    return data[:start] + data[end:]


def insert_part(data, rng):
    position = rng.integers(len(data))
    return data[:position] + rng.bytes(rng.integers(1, 20)) + data[position:]


def repeat_part(data, rng):
    start, end = sorted(rng.integers(len(data), size=2))
    return data[:end] + data[start:]


def only_noise(data, rng):
    return rng.bytes(rng.integers(200))


def state_other_size(data, rng):
    """Put other numbers where the format keeps its size; a PNG's checksum is made to fit."""
    width, height = (int(number) for number in rng.choice(NUMBERS, 2))
    if data.startswith(b"PIEH"):
        return data[:4] + struct.pack("<ii", width, height) + data[12:]
    if data.startswith(b"PF"):
        return b"\n".join([b"PF", b"%d %d" % (width, height), *data.split(b"\n", 2)[2:]])
    if data.startswith(b"\x93NUMPY"):
        header = data[10:127].replace(b" ", b"")
        start, end = header.index(b"(") + 1, header.index(b")")
        header = header[:start] + b"%d,%d,2" % (height, width) + header[end:]
        return data[:10] + header.ljust(117) + data[127:]
    body = struct.pack(">II", width % 2**32, height % 2**32) + data[24:29]
    return data[:16] + body + struct.pack(">I", zlib.crc32(b"IHDR" + body)) + data[33:]


DAMAGES = [
    cut,
    lengthen,
    alter_bytes,
    alter_header,
    drop_part,
    insert_part,
    repeat_part,
    only_noise,
    state_other_size,
]


# --- what a file says, read another way -----------------------------------------------------------


def flo_says(data):
    _, width, height = struct.unpack("<fii", data[:12])
    assert len(data) == 12 + 8 * width * height
    return np.array(struct.unpack(f"<{2 * width * height}f", data[12:])).reshape(height, width, 2)


def pfm_says(data):
    _, size, scale, pixels = data.split(b"\n", 3)
    width, height = (int(number) for number in size.split())
    assert len(pixels) == 12 * width * height
    order = "<" if float(scale) < 0 else ">"
    numbers = np.array(struct.unpack(f"{order}{3 * width * height}f", pixels))
    return numbers.reshape(height, width, 3)[::-1, :, :2]


def npy_says(data):
    file = io.BytesIO(data)
    array = np.load(file, allow_pickle=False)
    assert not file.read()
    return array.astype(np.float32)


def png_says(data):
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    assert (bits, colour) == (16, 2)
    packed, start, kind = b"", 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", data[start : start + 8])
        packed += data[start + 8 : start + 8 + length] * (kind == b"IDAT")
        start += 12 + length
    rows = zlib.decompressobj().decompress(packed)
    stored = np.array(unfiltered(rows, height, 6 * width), np.uint8).view(">u2")
    flow = (stored.reshape(height, width, 3).astype(np.float64) - 32768) / 64
    return np.where(flow[..., 2:] != -512, flow[..., :2], 0)


def unfiltered(rows, height, row_bytes):
    """Undo PNG's filters for pixels of six bytes (section 9 of the PNG specification)."""
    done = [[0] * (row_bytes + 6)]  # with six zeros to the left
    for start in range(0, height * (row_bytes + 1), row_bytes + 1):
        kind, above, row = rows[start], done[-1], [0] * 6
        for i, byte in enumerate(rows[start + 1 : start + 1 + row_bytes]):
            left, up, corner = row[i], above[i + 6], above[i]
            nearest = min((left, up, corner), key=lambda near: abs(left + up - corner - near))
            row.append((byte + [0, left, up, (left + up) // 2, nearest][kind]) % 256)
        done.append(row)
    return [row[6:] for row in done[1:]]


FORMATS = {
    ".flo": (make_flo, read_flo, flo_says),
    ".pfm": (make_pfm, read_pfm, pfm_says),
    ".npy": (make_npy, read_npy, npy_says),
    ".png": (make_png, lambda path: read_kitti_png(path)[0], png_says),
}


# --- the test -------------------------------------------------------------------------------------


@pytest.fixture
def decoded_pixels(monkeypatch):
    """Numbers of pixels that OpenCV, whose memory Python cannot trace, is asked to decode."""
    pixels, decode = [], cv2.imdecode

    def recorded(buffer, flags):
        pixels.append(int.from_bytes(buffer[16:20], "big") * int.from_bytes(buffer[20:24], "big"))
        return decode(buffer, flags)

    monkeypatch.setattr(cv2, "imdecode", recorded)
    return pixels


@pytest.fixture
def traced_memory():
    tracemalloc.start()
    yield
    tracemalloc.stop()


def outcome(path):
    """What `read_flow` returns, or None if it refuses the file in one line that names it."""
    try:
        return read_flow(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: expected ") and "\n" not in str(error)
        return None


def assert_flow_and_mask(flow, valid, says):
    known = (np.abs(says) <= 1e9).all(axis=2)
    assert flow.dtype == np.float32 and valid.dtype == np.uint8
    assert valid.shape == (*says.shape[:2], 1) and set(np.unique(valid)) <= {0, 255}
    np.testing.assert_array_equal(flow, np.where(known[..., None], says, 0))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # in the readers above
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # likewise
def test_damaged_files(tmp_path, suffix, traced_memory, decoded_pixels):
    make, read, says = FORMATS[suffix]
    rng = np.random.default_rng(list(suffix.encode()))
    path = tmp_path / f"damaged{suffix}"
    counts = {"read": 0, "refused": 0}
    cases = itertools.islice(
        itertools.cycle(itertools.product(SIZES_HW, DAMAGES)), FILES_PER_FORMAT
    )
    for size_hw, damage in cases:
        whole = make(rng, size_hw)
        data = damage(whole, rng)
        path.unlink(missing_ok=True)  # some file systems make overwriting wait for the disk
        path.write_bytes(data)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        flow_and_mask = outcome(path)
        assert tracemalloc.get_traced_memory()[1] - before < PEAK_BYTES, (damage, data)
        counts["refused" if flow_and_mask is None else "read"] += 1
        if flow_and_mask is not None:
            expected = says(data).astype(np.float32)
            np.testing.assert_array_equal(read(path), expected)
            assert_flow_and_mask(*flow_and_mask, expected)
    assert counts["refused"] > FILES_PER_FORMAT / 2
    assert counts["read"] > FILES_PER_FORMAT / 50
    assert max(decoded_pixels, default=0) < 200_000
