"""Images in the bytes of their formats, whole and with headers that claim what is not there."""

import struct
import zlib

import cv2
import numpy as np


def smooth_picture():
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


def tiff_of(image, extra=None, orientation=None, size=None, photometric=None):
    """An uncompressed TIFF of 8 or 16 bits, big-endian; the last channel's meaning is `extra`."""
    height, width, channels = image.shape
    width_said, height_said = size or (width, height)
    depth = 8 * image.itemsize
    pixels = image.astype(image.dtype.newbyteorder(">")).tobytes()
    if photometric is None:
        photometric = 2 if channels > 2 else 1
    tags = {256: (4, width_said), 257: (4, height_said), 258: (3, depth), 259: (3, 1)}
    tags |= {262: (3, photometric), 273: (4, 8), 277: (3, channels), 278: (4, height_said)}
    tags[279] = (4, len(pixels))
    if orientation:
        tags[274] = (3, orientation)
    if extra is not None:
        tags[338] = (3, extra)
    directory = struct.pack(">H", len(tags))
    for tag, (kind, value) in sorted(tags.items()):
        if tag == 258 and channels > 2:  # the bits of every channel stand behind the directory
            place = 8 + len(pixels) + 2 + 12 * len(tags) + 4
            directory += struct.pack(">HHII", tag, 3, channels, place)
        else:
            number = struct.pack(">I", value) if kind == 4 else struct.pack(">HH", value, 0)
            directory += struct.pack(">HHI", tag, kind, 1) + number
    bits = struct.pack(f">{channels}H", *[depth] * channels)
    return b"MM\0*" + struct.pack(">I", 8 + len(pixels)) + pixels + directory + bytes(4) + bits


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
