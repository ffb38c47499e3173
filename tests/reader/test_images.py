import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from refusals import refusal

from config.errors import InputError, MissingDataError
from reader.images import read_image, read_pair, write_image


@pytest.fixture
def picture():
    """A smooth uint8 (24, 32, 3) picture, so that JPEG and PNG compress it as they do photos."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


def encoded(suffix, image, *params):
    return cv2.imencode(suffix, image, params)[1].tobytes()


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width, height, bit_depth=8, colour_type=2, rows=b""):
    """A PNG with right checksums around whatever it claims."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".ppm", ".bmp", ".tiff"])
def test_lossless_formats_return_the_pixels_in_bgr(tmp_path, picture, suffix):
    path = tmp_path / f"image{suffix}"
    path.write_bytes(encoded(suffix, picture))
    image = read_image(path)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, picture)


def test_jpeg_is_what_opencv_reads(tmp_path, picture):
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(".jpg", picture))
    np.testing.assert_array_equal(read_image(str(path)), cv2.imread(str(path)))


def test_first_channel_is_blue(tmp_path):
    path = tmp_path / "red.ppm"
    path.write_bytes(b"P6\n1 1\n255\n" + bytes([250, 20, 3]))
    assert read_image(path).tolist() == [[[3, 20, 250]]]


def test_ppm_header_with_spaces_before_line_ends(tmp_path, picture):
    path = tmp_path / "chair.ppm"
    path.write_bytes(b"P6 \n32 24 \n255\n" + picture[..., ::-1].tobytes())
    np.testing.assert_array_equal(read_image(path), picture)


def test_grey_is_repeated_and_alpha_dropped(tmp_path, picture):
    grey, alpha = tmp_path / "grey.png", tmp_path / "alpha.png"
    grey.write_bytes(encoded(".png", picture[..., 0]))
    alpha.write_bytes(encoded(".png", np.dstack([picture, 255 - picture[..., :1]])))
    np.testing.assert_array_equal(read_image(grey), np.repeat(picture[..., :1], 3, axis=2))
    np.testing.assert_array_equal(read_image(alpha), picture)


@pytest.mark.parametrize("suffix", [".png", ".ppm"])
def test_16_bits_are_divided_by_257_and_rounded(tmp_path, suffix):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = tmp_path / f"deep{suffix}"
    path.write_bytes(encoded(suffix, np.dstack([levels, levels, levels])))
    expected = np.rint(levels / 257.0)
    np.testing.assert_array_equal(read_image(path), np.dstack([expected] * 3))
    assert (expected != levels >> 8).any()  # OpenCV's own conversion differs


def test_16_bits_with_alpha(tmp_path, picture):
    path = tmp_path / "deep_alpha.png"
    deep = np.dstack([picture, picture[..., :1]]).astype(np.uint16) * 257
    path.write_bytes(encoded(".png", deep))
    np.testing.assert_array_equal(read_image(path), picture)


def test_exif_rotation_is_honoured(tmp_path, picture):
    plain = encoded(".jpg", picture)
    # One TIFF entry: tag 0x0112 (orientation), type 3 (short), one of them, 6: turn clockwise.
    tiff = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\0\0" + tiff
    path = tmp_path / "turned.jpg"
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    upright = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read_image(path), cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE))


def test_content_decides_not_the_suffix(tmp_path, picture):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encoded(".png", picture))
    np.testing.assert_array_equal(read_image(path), picture)


def test_paths_with_spaces_and_other_alphabets(tmp_path, picture):
    path = tmp_path / "мои кадры" / "frame é 画像 1.png"
    write_image(path, picture)
    np.testing.assert_array_equal(read_image(path), picture)


# --- what is refused ------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    with pytest.raises(MissingDataError, match=r"none\.png: expected a file, got nothing there"):
        read_image(tmp_path / "none.png")


def test_folder(tmp_path):
    assert "got a folder" in refusal(read_image, tmp_path)


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


def test_beyond_opencvs_own_limit(tmp_path):
    path = tmp_path / "bomb.bmp"
    bmp = encoded(".bmp", np.zeros((4, 4, 3), np.uint8))
    path.write_bytes(bmp[:18] + struct.pack("<ii", 40000, 40000) + bmp[26:])
    assert "CV_IO_MAX_IMAGE_PIXELS" in refusal(read_image, path)


def test_float_image(tmp_path, picture):
    path = tmp_path / "float.tiff"
    path.write_bytes(encoded(".tiff", picture.astype(np.float32)))
    assert "expected an image of 8 or 16 bits per channel, got float32" in refusal(read_image, path)


# --- pairs ----------------------------------------------------------------------------------------


def test_pair(tmp_path, picture):
    write_image(tmp_path / "1.png", picture)
    write_image(tmp_path / "2.png", 255 - picture)
    image1, image2 = read_pair(tmp_path / "1.png", tmp_path / "2.png")
    np.testing.assert_array_equal(image1, picture)
    np.testing.assert_array_equal(image2, 255 - picture)


def test_pair_of_two_sizes(tmp_path, picture):
    write_image(tmp_path / "1.png", picture)
    write_image(tmp_path / "2.png", picture[:-1])
    with pytest.raises(InputError) as caught:
        read_pair(tmp_path / "1.png", tmp_path / "2.png")
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(tmp_path / "1.png"), str(tmp_path / "2.png"), "32x24", "32x23"):
        assert part in message


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".ppm"])
def test_written_colour_comes_back(tmp_path, picture, suffix):
    path = tmp_path / "new" / f"image{suffix}"
    write_image(path, picture)
    np.testing.assert_array_equal(read_image(path), picture)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_written_grey_comes_back(tmp_path, picture):
    write_image(tmp_path / "mask.png", picture[..., 0])
    stored = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, picture[..., 0])


@pytest.mark.parametrize("name", ["image", "image.xyz", "image.pgm"])
def test_suffix_that_cannot_be_written(tmp_path, picture, name):
    with pytest.raises(InputError, match="expected a suffix that OpenCV can write"):
        write_image(tmp_path / name, picture)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_array_that_is_no_image(tmp_path, wrong):
    path = tmp_path / "image.png"
    path.write_bytes(b"the old one")
    with pytest.raises(InputError, match="expected a uint8 image"):
        write_image(path, wrong)
    assert path.read_bytes() == b"the old one"


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.bmp", b"BM"), ("a.hdr", b"#?RADIANCE\n"), ("a.pgm", None)],
)
def test_opencv_adds_nothing_to_the_error(tmp_path, name, start):
    path = tmp_path / name
    if start:
        path.write_bytes(start + bytes(60))
    action = "read_image(path)" if start else "write_image(path, np.zeros((4, 4, 3), np.uint8))"
    program = (
        "import sys, cv2, numpy as np\nfrom reader.images import read_image, write_image\n"
        f"path = sys.argv[1]\ntry:\n    {action}\nexcept ValueError as error:\n"
        "    print(error, file=sys.stderr)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(path)]
    errors = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stderr
    assert errors.startswith(f"{path}: expected ")
    assert errors.count("\n") == 1
