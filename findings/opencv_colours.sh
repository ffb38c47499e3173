#!/bin/sh
# OpenCV and the colours of three kinds of whole images, about which it says nothing:
#
# - A TIFF (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf) of grey whose white is
#   stored as 0 (PhotometricInterpretation 0), as scanners write it: with 8 bits white comes out as
#   255, with 16 bits the numbers come out as they are stored, so that the picture is a negative.
# - A TIFF in CIELAB (PhotometricInterpretation 8): the colours that come out are libtiff's for a
#   display of its own. A green whose red is 30 has 71 there; LittleCMS, by Pillow, gives 29 back.
# - A JPEG 2000 in YCbCr (enumerated colour space 18, sYCC): it is converted by another rule. A red
#   of 200 becomes 177; Pillow gives 198.
#
# Seen on 2026-11-28 with opencv-python-headless 5.0.0.93, tifffile 2026.3.3 and Pillow 12.3.0,
# Python 3.11, Linux x86-64. Output then:
#
#   grey 114, white is 0: 8 bits [114], 16 bits [141] of 255
#   CIELAB of (30, 180, 60): OpenCV (71, 181, 42), LittleCMS (29, 180, 60)
#   sYCC of (200, 40, 30): OpenCV (177, 52, 21), Pillow (198, 39, 29)
#
# Exits with 1 if that changes.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q opencv-python-headless==5.0.0.93 tifffile==2026.3.3 pillow==12.3.0
"$folder/env/bin/python" - "$folder" <<'EOF' 2>/dev/null
import sys

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms

path = sys.argv[1] + "/image.tif"
grey = {}
for kind, scale in ((np.uint8, 1), (np.uint16, 257)):
    stored = np.full((8, 8), (255 - 114) * scale, kind)
    tifffile.imwrite(path, stored, photometric="miniswhite")
    grey[kind] = np.unique(cv2.imread(path, cv2.IMREAD_UNCHANGED) // scale).tolist()
print(f"grey 114, white is 0: 8 bits {grey[np.uint8]}, 16 bits {grey[np.uint16]} of 255")

srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
green = Image.new("RGB", (8, 8), (30, 180, 60))
ImageCms.profileToProfile(green, srgb, lab, outputMode="LAB").save(path)
opencv = tuple(cv2.imread(path)[0, 0, ::-1].tolist())
back = ImageCms.profileToProfile(Image.open(path), lab, srgb, outputMode="RGB")
cms = back.getpixel((0, 0))
print(f"CIELAB of (30, 180, 60): OpenCV {opencv}, LittleCMS {cms}")
as_seen = grey == {np.uint8: [114], np.uint16: [141]}
as_seen &= (opencv, cms) == ((71, 181, 42), (29, 180, 60))

path = sys.argv[1] + "/image.jp2"
Image.new("RGB", (64, 64), (200, 40, 30)).convert("YCbCr").save(path)
opencv = tuple(cv2.imread(path)[0, 0, ::-1].tolist())
pillow = Image.open(path).convert("RGB").getpixel((0, 0))
print(f"sYCC of (200, 40, 30): OpenCV {opencv}, Pillow {pillow}")
as_seen &= (opencv, pillow) == ((177, 52, 21), (198, 39, 29))
sys.exit(not as_seen)
EOF
