#!/bin/sh
# PyAV: two things about colours that one would not guess. Seen on 2026-11-27 with PyAV 18.1.0 (its
# FFmpeg 8.1.2), NumPy 1.23.5, Python 3.11, Linux x86-64.
#
# 1. `av.video.reformatter.Colorspace` has the numbers of FFmpeg's scaler, where SMPTE 170M is the
#    same as BT.601, 5. Files and frames have the numbers of the standard (ITU-T H.273), where SMPTE
#    170M is 6 and 5 is BT.470BG. So `codec_context.colorspace = Colorspace.SMPTE170M` writes another
#    tag than it says, and of a file that is tagged SMPTE 170M `frame.colorspace ==
#    Colorspace.SMPTE170M` is false. (The matrices of 5 and 6 are equal: only the tag is off.)
# 2. Converting between BGR and YUV with the default flags (BILINEAR, as BICUBIC) makes greys darker
#    by 2.8 levels of 255 on average and 5 at most, there and back; with ACCURATE_RND both ways and
#    FULL_CHR_H_INT back to BGR there is no such shift, and the error is 1 at most.
#
# Output then:
#   tag written for Colorspace.SMPTE170M: 5, for 6: 6; read back equals SMPTE170M: True, False
#   greys, default flags: mean -2.79, most 5
#   greys, accurate flags: mean 0.01, most 1
#
# Exits with 1 if this changes.
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install -q av==18.1.0 "numpy==1.23.5; python_version < '3.12'" \
    "numpy==2.2.6; python_version >= '3.12'"
"$folder/env/bin/python" - "$folder/a.mp4" <<'EOF'
import sys

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter


def tag(number):
    with av.open(sys.argv[1], "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.codec_context.colorspace = number
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open(sys.argv[1]) as file:
        return next(file.decode(video=0)).colorspace


def errors(there, back):
    greys = np.ascontiguousarray(np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (64, 256, 3)))
    frame = av.VideoFrame.from_ndarray(greys, format="bgr24")
    yuv = VideoReformatter().reformat(
        frame, format="yuv420p", src_color_range=2, dst_color_range=1, interpolation=there
    )
    bgr = VideoReformatter().reformat(
        yuv, format="bgr24", src_color_range=1, dst_color_range=2, interpolation=back
    )
    error = bgr.to_ndarray().astype(int) - greys
    return round(error.mean(), 2), abs(error).max()


names = tag(Colorspace.SMPTE170M), tag(6)
equal = [number == Colorspace.SMPTE170M for number in names]
print(f"tag written for Colorspace.SMPTE170M: {names[0]}, for 6: {names[1]};", end=" ")
print(f"read back equals SMPTE170M: {equal[0]}, {equal[1]}")
exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND
default = errors(None, None)
accurate = errors(exact, exact | Interpolation.FULL_CHR_H_INT)
for name, (mean, most) in (("default", default), ("accurate", accurate)):
    print(f"greys, {name} flags: mean {mean}, most {most}")
sys.exit(not (names == (5, 6) and default[1] >= 4 and accurate[1] <= 1))
EOF
