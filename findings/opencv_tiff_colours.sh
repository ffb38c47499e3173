#!/bin/sh
# OpenCV and the colours of two kinds of whole TIFFs
# (https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf):
#
# - Grey whose white is stored as 0 (PhotometricInterpretation 0), as scanners write it: with 8 bits
#   OpenCV returns white as 255, with 16 bits it returns the numbers as they are stored, so that the
#   picture is a negative, and says nothing.
# - CIELAB (PhotometricInterpretation 8): the colours that come out are libtiff's for a display of
#   its own. A green whose red is 30 has 71 there; LittleCMS, by Pillow, gives 29 back.
#
# Seen on 2026-11-28 with opencv-python-headless 5.0.0.93, tifffile 2026.3.3 and Pillow 12.3.0,
# Python 3.11, Linux x86-64. Output then:
#
#   grey 114, white is 0: 8 bits [114], 16 bits [141] of 255
#   CIELAB of (30, 180, 60): OpenCV (71, 181, 42), LittleCMS (29, 180, 60)
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
sys.exit((grey, opencv, cms) != ({np.uint8: [114], np.uint16: [141]}, (71, 181, 42), (29, 180, 60)))
EOF
