#!/bin/sh
# A whole TIFF that OpenCV reads from its file and refuses from memory: uncompressed, in tiles of
# 16x16 RGB, each of 768 bytes, as the file says. cv2.imdecode returns None and logs "Invalid tile
# byte count for tile 0. Expected 768, got 1024", though no number of the file is 1024; cv2.imread
# returns the picture. With tiles of 32x32, whose 3072 bytes are a multiple of 1024, or with
# compressed ones, both read it.
#
# Seen on 2026-11-28 with opencv-python-headless 5.0.0.93 and tifffile 2026.3.3, Python 3.11, Linux
# x86-64. Output then:
#
#   tiles of 16x16, byte count 768: imread reads it, imdecode refuses it
#   tiles of 32x32, byte count 3072: imread reads it, imdecode reads it
#   tiles of 16x16, compressed: imread reads it, imdecode reads it
#
# Exits with 1 if that changes.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q opencv-python-headless==5.0.0.93 tifffile==2026.3.3
"$folder/env/bin/python" - "$folder/image.tif" <<'EOF' 2>/dev/null
import sys

import cv2
import numpy as np
import tifffile

path = sys.argv[1]
picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
as_seen = True
for side, how, wanted in ((16, {}, False), (32, {}, True), (16, {"compression": "zlib"}, True)):
    tifffile.imwrite(path, picture, photometric="rgb", tile=(side, side), **how)
    with tifffile.TiffFile(path) as file:
        count = file.pages[0].tags["TileByteCounts"].value[0]
    with open(path, "rb") as file:
        data = np.frombuffer(file.read(), np.uint8)
    words, read = [], (cv2.imread(path), cv2.imdecode(data, cv2.IMREAD_COLOR))
    for image in read:
        same = image is not None and np.array_equal(image[..., ::-1], picture)
        words.append("reads" if same else "refuses" if image is None else "changes")
    size = "compressed" if how else f"byte count {count}"
    print(f"tiles of {side}x{side}, {size}: imread {words[0]} it, imdecode {words[1]} it")
    as_seen &= words == ["reads", "reads" if wanted else "refuses"]
    as_seen &= bool(how) or count == side * side * 3
sys.exit(not as_seen)
EOF
