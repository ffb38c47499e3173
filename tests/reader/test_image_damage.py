"""Images that are cut, altered or claim what is not there, and whole ones that look like it."""

import ctypes
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tifffile
from image_bytes import CLAIMS, encoded, png_of, smooth_picture, webp_of
from refusals import refusal

from maskflownet.config.errors import InputError
from maskflownet.reader.formats.complaints import caught_complaints
from maskflownet.reader.images import read_image


@pytest.fixture
def picture():
    return smooth_picture()


@pytest.mark.parametrize(
    "content", [b"", b"not an image at all\n", b"P6 is a text too", b"\xff\xd8"]
)
def test_no_image(tmp_path, content, capfd):
    path = tmp_path / "text.png"
    path.write_bytes(content)
    refusal(read_image, path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".ppm"])
def test_cut_short_at_any_length(tmp_path, picture, suffix, capfd):
    whole = encoded(suffix, picture)
    path = tmp_path / f"cut{suffix}"
    for length in [*range(0, len(whole) - 20, 7), *range(len(whole) - 20, len(whole))]:
        path.unlink(missing_ok=True)  # some file systems make overwriting wait for the disk
        path.write_bytes(whole[:length])
        refusal(read_image, path)
    assert capfd.readouterr().err == ""  # the one line is all that a person sees


def test_cut_progressive_jpeg(tmp_path, picture):
    whole = encoded(".jpg", picture, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    path = tmp_path / "cut.jpg"
    for length in range(100, len(whole), 11):
        path.unlink(missing_ok=True)
        path.write_bytes(whole[:length])
        refusal(read_image, path)


@pytest.mark.parametrize("progressive", [0, 1])
def test_jpeg_filled_up_with_zeros(tmp_path, picture, progressive, capfd):
    picture = np.tile(picture, (5, 5, 1))
    whole = encoded(".jpg", picture, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    path = tmp_path / "filled.jpg"
    for length in range(2, len(whole) - 1, 97):
        path.unlink(missing_ok=True)
        path.write_bytes(whole[:length] + bytes(len(whole) - length))
        refusal(read_image, path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("progressive", [0, 1])
def test_jpeg_that_lacks_its_middle(tmp_path, picture, progressive, capfd):
    whole = encoded(".jpg", np.tile(picture, (5, 5, 1)), cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    path = tmp_path / "hole.jpg"
    path.write_bytes(whole[: len(whole) // 2] + whole[len(whole) * 3 // 4 :])
    assert "expected a whole JPEG, got one of which libjpeg says" in refusal(read_image, path)
    assert capfd.readouterr().err == ""


def test_whole_jpeg_with_more_bytes_than_it_needs(tmp_path, picture, caplog, capfd):
    whole = encoded(".jpg", picture)
    paths = [tmp_path / "image.jpg", tmp_path / "other.jpg"]
    for path in paths:
        path.write_bytes(whole[:-2] + bytes(40) + whole[-2:])
        wanted = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(read_image(path), wanted)
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path}: a JPEG or more has bytes that were not needed")
    assert capfd.readouterr().err == ""


def test_what_python_and_children_write_is_not_caught(capfd):
    libc = ctypes.CDLL(None)
    with caught_complaints() as lines:
        libc.perror(b"C code")
        print("Python", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-c", "import os; os.write(2, b'child')"], check=True)
        assert lines == []
    assert len(lines) == 1 and lines[0].startswith("C code: ")
    libc.perror(b"afterwards")
    said = capfd.readouterr().err
    assert said.startswith("Python\nchildafterwards: ")


def test_two_threads_know_their_own_jpegs(tmp_path, picture):
    whole = encoded(".jpg", np.tile(picture, (5, 5, 1)))
    broken = whole[: len(whole) // 2] + whole[len(whole) * 3 // 4 :]
    paths = [tmp_path / f"{number}.jpg" for number in range(40)]
    for number, path in enumerate(paths):
        path.write_bytes(broken if number % 3 == 0 else whole)

    def is_whole(path):
        try:
            return read_image(path) is not None
        except InputError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(is_whole, paths)) == [n % 3 != 0 for n in range(40)]


def test_end_mark_of_a_thumbnail_does_not_count(tmp_path, picture):
    whole = encoded(".jpg", picture)
    thumbnail = encoded(".jpg", picture[:8, :8])
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    path = tmp_path / "thumbnail.jpg"
    path.write_bytes(whole[:2] + b"\xff\xff" + segment + whole[2:])
    assert read_image(path).shape == picture.shape
    path.write_bytes(whole[:2] + segment + whole[2:-40] + bytes(40))
    assert "expected a complete JPEG" in refusal(read_image, path)


def test_no_altered_byte_of_a_png_goes_unseen(tmp_path, picture, capfd):
    whole = encoded(".png", picture[:8, :8])
    path = tmp_path / "altered.png"
    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 1 + position % 255
        path.unlink(missing_ok=True)
        path.write_bytes(altered)
        refusal(read_image, path)
    assert "libpng" not in capfd.readouterr().err


def test_png_message_names_the_fault(tmp_path, picture):
    whole = encoded(".png", picture)
    path = tmp_path / "broken.png"
    path.write_bytes(whole[:-30])
    assert "it was cut short" in refusal(read_image, path)
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    assert "wrong checksum" in refusal(read_image, path)


def test_bytes_behind_the_end_of_a_png_are_ignored(tmp_path, picture):
    path = tmp_path / "longer.png"
    path.write_bytes(encoded(".png", picture) + b"left by a camera")
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("rest", [b"\n", b"P6\n1 1\n255\n123", bytes(4000)])
def test_what_follows_the_picture_of_a_ppm_is_ignored(tmp_path, picture, rest):
    path = tmp_path / "longer.ppm"
    picture[0, 0] = 255
    path.write_bytes(encoded(".ppm", picture) + rest)
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("end", ["", "\n"])
@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("P3\n2 1\n255\n1 2 3 4 5 60", [[3, 2, 1], [60, 5, 4]]),
        ("P2\n2 1\n255\n7 80", [[7] * 3, [80] * 3]),
        ("P1\n2 1\n1 0", [[0] * 3, [255] * 3]),
    ],
)
def test_pnm_of_text_whose_last_line_is_not_ended(tmp_path, text, pixels, end):
    path = tmp_path / "text.ppm"
    path.write_text(text + end)
    assert read_image(path).tolist() == [pixels]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"P6\n2 2\n255 \n" + bytes(12), "got 24"),  # two white-space bytes: OpenCV would shift
        (b"P6\n2 2\n1023\n" + bytes(24), "got 1023"),
        (b"P6\n0 2\n255\n", "got 0x2"),
        (b"P6\n99999 99999\n255\n" + bytes(12), "got 31"),
        (b"P6\n-2 2\n255\n" + bytes(12), "a PPM header"),
        (b"P5\n4 4\n65535\n" + bytes(16), "expected 45 bytes"),
    ],
)
def test_ppm_header_that_does_not_fit(tmp_path, content, fault, capfd):
    path = tmp_path / "wrong.ppm"
    path.write_bytes(content)
    assert fault in refusal(read_image, path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (png_of(20000, 20000), "got a size of 20000x20000"),
        (png_of(2**31 - 1, 2**31 - 1, 16), "got a size of"),
        (png_of(0, 5), "got a size of 0x5"),
        (png_of(5000, 5000, 16, rows=bytes(31)), "bytes of pixels for 5000x5000"),
    ],
)
def test_absurd_png_is_refused_before_memory_is_taken(tmp_path, monkeypatch, content, fault):
    path = tmp_path / "bomb.png"
    path.write_bytes(content)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert fault in refusal(read_image, path)


@pytest.mark.parametrize("suffix", CLAIMS)
def test_one_limit_of_pixels_for_all_formats(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(CLAIMS[suffix](16000, 16000))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert "expected an image of 1 to 134217728 pixels, got a size of 16000x16000" in refusal(
        read_image, path
    )


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".tif", ".pam", ".pbm"])
def test_a_size_that_the_bytes_cannot_hold(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"empty{suffix}"
    path.write_bytes(CLAIMS[suffix](10000, 9000))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert "bytes of pixels for 10000x9000" in refusal(read_image, path)


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize(
    ("suffix", "params"),
    [
        (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 1]),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, 1]),
        (".jpg", [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x411111]),
        (".png", [cv2.IMWRITE_PNG_COMPRESSION, 9]),
        (".tif", [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
        (".tif", [cv2.IMWRITE_TIFF_COMPRESSION, 32946]),
        (".tif", [cv2.IMWRITE_TIFF_COMPRESSION, 32773]),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
        (".jp2", [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1]),
    ],
)
def test_a_picture_of_one_colour_is_small_and_whole(tmp_path, suffix, params, value):
    flat = np.full((3000, 4000), value, np.uint8)
    path = tmp_path / f"flat{suffix}"
    path.write_bytes(encoded(suffix, flat, *params))
    assert read_image(path).shape == (3000, 4000, 3)


def test_small_tiles_of_a_tiff_are_read_and_cut_ones_are_not(tmp_path, capfd):
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    path = tmp_path / "tiles.tif"
    for scale, kind in ((1, np.uint8), (257, np.uint16)):
        tifffile.imwrite(path, picture.astype(kind) * scale, photometric="rgb", tile=(16, 16))
        np.testing.assert_array_equal(read_image(path), picture[..., ::-1])
        whole = path.read_bytes()
        for length in range(len(whole) - 1, 300, -397):
            path.write_bytes(whole[:length])
            refusal(read_image, path)
    assert capfd.readouterr().err == ""


def test_a_cut_webp(tmp_path, picture):
    whole = webp_of(picture, 6)
    path = tmp_path / "cut.webp"
    for length in range(12, len(whole), 9):
        path.write_bytes(whole[:length])
        refusal(read_image, path)
