#!/bin/sh
# OpenCV and two kinds of whole Netpbm files (https://netpbm.sourceforge.net/doc/pgm.html):
#
# - A largest value other than 255 or 65535, which scientific cameras write for 10 or 12 bits: OpenCV
#   returns the numbers as they stand, and as 8-bit colours without their lower byte, so that white
#   of 1023 comes out as 3 of 255. Pillow scales by the largest value.
# - A file of text whose last number ends with the file, without white space behind it: OpenCV
#   returns None and says "Unexpected end of input stream". With a line end behind it it is read. Of
#   one bit per pixel (P1), it is read either way.
#
# Seen on 2026-11-28 with opencv-python-headless 5.0.0.93 and Pillow 12.3.0, Python 3.11, Linux
# x86-64. Output then:
#
#   white of 1023, as stored: 1023 uint16, as 8-bit colour: 3; Pillow: 65535
#   white of 100, as 8-bit colour: 100; Pillow: 255
#   text with a line end: [[7, 80]]; without: None; bits without: [[0, 255]]
#
# Exits with 1 if that changes.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q opencv-python-headless==5.0.0.93 pillow==12.3.0
"$folder/env/bin/python" - <<'EOF' 2>/dev/null
import io
import sys

import cv2
import numpy as np
from PIL import Image


def by_opencv(data, flags):
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return image if image is None else np.atleast_3d(image)[..., 0]


def by_pillow(data):
    return int(np.asarray(Image.open(io.BytesIO(data)))[0, 0])


white = b"P5\n1 1\n1023\n\x03\xff"
stored = by_opencv(white, cv2.IMREAD_UNCHANGED)
colour = by_opencv(white, cv2.IMREAD_COLOR)
one = stored[0, 0], stored.dtype, colour[0, 0], by_pillow(white)
print("white of 1023, as stored: {} {}, as 8-bit colour: {}; Pillow: {}".format(*one))
white = b"P5\n1 1\n100\n\x64"
two = by_opencv(white, cv2.IMREAD_COLOR)[0, 0], by_pillow(white)
print("white of 100, as 8-bit colour: {}; Pillow: {}".format(*two))
text, bits = b"P2\n2 1\n255\n7 80", b"P1\n2 1\n1 0"
ended, open_end = (by_opencv(data, cv2.IMREAD_COLOR) for data in (text + b"\n", text))
three = ended.tolist(), open_end, by_opencv(bits, cv2.IMREAD_COLOR).tolist()
print("text with a line end: {}; without: {}; bits without: {}".format(*three))
as_seen = (
    tuple(map(str, one)) == ("1023", "uint16", "3", "65535")
    and tuple(map(int, two)) == (100, 255)
    and three == ([[7, 80]], None, [[0, 255]])
)
sys.exit(not as_seen)
EOF
