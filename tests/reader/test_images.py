"""What images become when they are read, what is no image, and writing them."""

import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_bytes import encoded, png_of, smooth_picture, tiff_of, webp_of
from refusals import refusal

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.reader.images import read_image, read_mask, read_pair, write_image


@pytest.fixture
def picture():
    return smooth_picture()


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


@pytest.mark.parametrize("orientation", TURNS)
def test_a_webp_is_turned_as_its_exif_says(tmp_path, picture, orientation):
    path = tmp_path / "turned.webp"
    for mark in (b"", b"Exif\0\0"):
        path.write_bytes(webp_of(picture, orientation, mark))
        np.testing.assert_array_equal(read_image(path), TURNS[orientation](picture))


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


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_white_of_a_grey_tiff_is_white(tmp_path, picture, kind, white_is_zero):
    grey = picture[..., :1].astype(kind) * (257 if kind == np.uint16 else 1)
    path = tmp_path / "grey.tif"
    stored = np.iinfo(kind).max - grey if white_is_zero else grey
    path.write_bytes(tiff_of(stored, photometric=0 if white_is_zero else 1))
    np.testing.assert_array_equal(read_image(path), np.repeat(picture[..., :1], 3, axis=2))


def jp2_in_ycc(image):
    whole = encoded(".jp2", image)
    place = whole.index(b"colr") + 7
    return whole[:place] + struct.pack(">I", 18) + whole[place + 4 :]


@pytest.mark.parametrize(
    ("kind", "of"),
    [
        ("a TIFF in CIELAB", lambda image: tiff_of(image, photometric=8)),
        ("a JPEG 2000 in YCbCr", jp2_in_ycc),
    ],
)
def test_colours_that_opencv_converts_in_its_way_are_warned_of(tmp_path, picture, caplog, kind, of):
    large = np.tile(picture, (3, 2, 1))  # OpenCV writes no smaller JPEG 2000
    for name in "ab":
        (tmp_path / name).write_bytes(of(large))
        assert read_image(tmp_path / name).shape == large.shape
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}: {kind} or more")


@pytest.mark.parametrize("of", [tiff_of, lambda image: encoded(".jp2", image)])
def test_of_others_nothing_is_said(tmp_path, picture, caplog, of):
    (tmp_path / "a").write_bytes(of(np.tile(picture, (3, 2, 1))))
    read_image(tmp_path / "a")
    assert not caplog.messages


def test_12_bits_in_16_are_said_to_be_dark_once_a_folder(tmp_path, picture, caplog):
    for name, scale in (("a", 16), ("b", 16), ("whole", 257)):
        deep = encoded(".png", picture.astype(np.uint16) * scale)
        (tmp_path / f"{name}.png").write_bytes(deep)
    assert read_image(tmp_path / "whole.png").max() == 255
    assert not caplog.records
    assert [read_image(tmp_path / f"{name}.png").max() for name in "ab"] == [16, 16]
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}: ") and "nearly black" in message


def test_12_bits_in_16_whose_white_is_0_are_said_to_be_white(tmp_path, picture, caplog):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of(picture[..., :1].astype(np.uint16) * 16, photometric=0))
    assert read_image(path).min() > 255 - 20
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path}: ") and "white, where white is 0" in message


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
