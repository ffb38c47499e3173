import ctypes
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from refusals import refusal

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.reader.formats.complaints import caught_complaints
from maskflownet.reader.images import read_image, read_mask, read_pair, write_image


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


# Orientation to how OpenCV makes the upright picture of the stored one.
TURNS = {
    1: lambda image: image,
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.rotate(cv2.transpose(image), cv2.ROTATE_180),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def webp_of(image, orientation, mark=b""):
    """A lossless WebP whose EXIF says how it is turned."""
    picture = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()[12:]
    tiff = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    exif = mark + tiff
    height, width = image.shape[:2]
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<IB3x", 10, 8) + sizes + picture
    body += b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("orientation", TURNS)
def test_a_webp_is_turned_as_its_exif_says(tmp_path, picture, orientation):
    path = tmp_path / "turned.webp"
    for mark in (b"", b"Exif\0\0"):
        path.write_bytes(webp_of(picture, orientation, mark))
        np.testing.assert_array_equal(read_image(path), TURNS[orientation](picture))


def tiff_of(image, extra=None, orientation=None, size=None):
    """An uncompressed 8-bit TIFF, big-endian; the last channel's meaning is `extra`."""
    height, width, channels = image.shape
    width_said, height_said = size or (width, height)
    pixels = image.tobytes()
    photometric = 2 if channels > 2 else 1
    tags = {256: (4, width_said), 257: (4, height_said), 258: (3, 8), 259: (3, 1)}
    tags |= {262: (3, photometric), 273: (4, 8), 277: (3, channels), 278: (4, height_said)}
    tags[279] = (4, len(pixels))
    if orientation:
        tags[274] = (3, orientation)
    if extra is not None:
        tags[338] = (3, extra)
    directory = struct.pack(">H", len(tags))
    for tag, (kind, value) in sorted(tags.items()):
        if tag == 258:  # the bits of every channel stand behind the directory
            place = 8 + len(pixels) + 2 + 12 * len(tags) + 4
            directory += struct.pack(">HHII", tag, 3, channels, place)
        else:
            number = struct.pack(">I", value) if kind == 4 else struct.pack(">HH", value, 0)
            directory += struct.pack(">HHI", tag, kind, 1) + number
    bits = struct.pack(f">{channels}H", *[8] * channels)
    return b"MM\0*" + struct.pack(">I", 8 + len(pixels)) + pixels + directory + bytes(4) + bits


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_colours_of_a_tiff_are_not_multiplied_by_its_alpha(tmp_path, picture, extra):
    path = tmp_path / "alpha.tif"
    rgba = np.dstack([picture[..., ::-1], np.full(picture.shape[:2], 100, np.uint8)])
    path.write_bytes(tiff_of(rgba, extra))
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("orientation", TURNS)
def test_a_tiff_is_turned_as_it_says(tmp_path, picture, orientation):
    path = tmp_path / "turned.tif"
    path.write_bytes(tiff_of(np.ascontiguousarray(picture[..., ::-1]), orientation=orientation))
    np.testing.assert_array_equal(read_image(path), TURNS[orientation](picture))


def test_12_bits_in_16_are_said_to_be_dark_once_a_folder(tmp_path, picture, caplog):
    for name, scale in (("a", 16), ("b", 16), ("whole", 257)):
        deep = encoded(".png", picture.astype(np.uint16) * scale)
        (tmp_path / f"{name}.png").write_bytes(deep)
    assert read_image(tmp_path / "whole.png").max() == 255
    assert not caplog.records
    assert [read_image(tmp_path / f"{name}.png").max() for name in "ab"] == [16, 16]
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}: ") and "nearly black" in message


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_mask_is_what_is_not_zero(tmp_path, suffix, kind):
    stored = np.zeros((5, 7, 3), kind)
    stored[1:3, 2:6] = 1
    stored[4, 0, 2] = 1  # in one channel alone
    path = tmp_path / f"mask{suffix}"
    path.write_bytes(encoded(suffix, stored))
    mask = read_mask(path)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, stored.any(axis=2))


def test_a_mask_of_one_bit(tmp_path):
    bits = np.array([[1, 0, 0, 1, 1, 0, 1, 0]], bool)
    path = tmp_path / "bits.png"
    path.write_bytes(
        png_of(8, 1, bit_depth=1, colour_type=0, rows=b"\0" + np.packbits(bits).tobytes())
    )
    np.testing.assert_array_equal(read_mask(path), bits)


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


def jpeg_claiming(width, height):
    whole = encoded(".jpg", np.zeros((16, 16, 3), np.uint8))
    place = whole.index(b"\xff\xc0") + 5
    return whole[:place] + struct.pack(">HH", height, width) + whole[place + 4 :]


def bmp_claiming(width, height):
    bmp = encoded(".bmp", np.zeros((4, 4, 3), np.uint8))
    return bmp[:18] + struct.pack("<ii", width, height) + bmp[26:]


def jp2_claiming(width, height):
    jp2 = encoded(".jp2", np.zeros((64, 64, 3), np.uint8))
    place = jp2.index(b"ihdr") + 4
    return jp2[:place] + struct.pack(">II", height, width) + jp2[place + 8 :]


def webp_claiming(width, height):
    whole = webp_of(np.zeros((4, 4, 3), np.uint8), 1)
    return (
        whole[:24]
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
        + whole[30:]
    )


def tiff_claiming(width, height):
    return tiff_of(np.zeros((4, 4, 3), np.uint8), size=(width, height))


CLAIMS = {
    ".jpg": jpeg_claiming,
    ".bmp": bmp_claiming,
    ".jp2": jp2_claiming,
    ".webp": webp_claiming,
    ".tif": tiff_claiming,
    ".sr": lambda width, height: (
        b"\x59\xa6\x6a\x95" + struct.pack(">7I", width, height, 24, 0, 1, 0, 0)
    ),
    ".pam": lambda width, height: (
        b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 3\nMAXVAL 255\nENDHDR\n" % (width, height)
    ),
    ".pbm": lambda width, height: b"P4\n%d %d\n" % (width, height),
}


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


def test_a_cut_webp(tmp_path, picture):
    whole = webp_of(picture, 6)
    path = tmp_path / "cut.webp"
    for length in range(12, len(whole), 9):
        path.write_bytes(whole[:length])
        refusal(read_image, path)


@pytest.mark.parametrize("start", [b"#?RADIANCE\n", b"PF\n2 2\n-1\n", b"\x76\x2f\x31\x01"])
def test_pictures_of_floats_are_not_even_decoded(tmp_path, start):
    path = tmp_path / "float"
    path.write_bytes(start + bytes(99))
    assert "expected an image of 8 or 16 bits per channel, got one of floats" in refusal(
        read_image, path
    )


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
        "import sys, cv2, numpy as np\n"
        "from maskflownet.reader.images import read_image, write_image\n"
        f"path = sys.argv[1]\ntry:\n    {action}\nexcept ValueError as error:\n"
        "    print(error, file=sys.stderr)\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(path)]
    errors = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stderr
    assert errors.startswith(f"{path}: expected ")
    assert errors.count("\n") == 1
