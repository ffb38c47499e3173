#!/bin/sh
# FFmpeg's AVI reader (through PyAV): the times of frames do not rise where H.264 has B-frames, though
# the frames come in the right order. AVI has no times of frames; the reader gives each packet its
# place in decoding order as the time at which its frame is shown. Who sorts frames by their time,
# or takes steps from one time to the next, gets them wrong. Seen on 2026-11-27 with PyAV 18.1.0
# (FFmpeg 8.1.2), Python 3.11, Linux x86-64. Output then, for grey pictures that grow brighter:
#
#   brightness: 0 12 24 36 48 60 72 84 96 108 120 132
#   times:      1 4 3 5 2 8 7 9 6 11 12 10
#
# (the very order of the times depends on the encoder; that they fall does not). Exits with 1 if the
# times rise from frame to frame.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q av==18.1.0 "numpy==1.23.5; python_version < '3.12'" \
    "numpy==2.2.6; python_version >= '3.12'"
"$folder/env/bin/python" - "$folder/a.avi" <<'EOF'
import itertools
import sys

import av
import numpy as np

with av.open(sys.argv[1], "w") as file:
    stream = file.add_stream("libx264", rate=25, options={"bf": "3", "b-adapt": "0"})
    stream.width = stream.height = 64
    for number in range(12):
        image = np.full((64, 64, 3), 12 * number, np.uint8)
        file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
    file.mux(stream.encode(None))
with av.open(sys.argv[1]) as file:
    frames = list(file.decode(video=0))
brightness = [round(frame.to_ndarray(format="bgr24").mean() / 12) * 12 for frame in frames]
times = [frame.pts for frame in frames]
print("brightness:", *brightness)
print("times:     ", *times)
in_order = brightness == sorted(brightness)
falling = any(after <= before for before, after in itertools.pairwise(times))
sys.exit(not (in_order and falling))
EOF
