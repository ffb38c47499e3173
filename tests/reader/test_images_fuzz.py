"""Thousands of damaged images: each is read or refused in one line, and nothing crashes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MUTANTS = 500  # of each format

# In a process of its own: a decoder that crashed would take the tests with it.
PROGRAM = """
import collections, json, os, random, sys
from pathlib import Path
import cv2, numpy as np
from maskflownet.config.errors import InputError
from maskflownet.reader.images import read_image, read_mask

suffix, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
rng = np.random.default_rng(0)
smooth = cv2.GaussianBlur(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8), (0, 0), 2)
deep = smooth.astype(np.uint16) * 257
originals = [cv2.imencode(suffix, image)[1].tobytes() for image in (smooth, smooth[:7, :9])]
if suffix in (".png", ".tif", ".ppm"):
    originals.append(cv2.imencode(suffix, deep)[1].tobytes())
random = random.Random(0)

def mutant():
    data = bytearray(random.choice(originals))
    kind = random.randrange(5)
    if kind == 0:
        del data[random.randrange(len(data)):]
    elif kind == 1:
        start = random.randrange(len(data))
        del data[start : start + random.randrange(1, 64)]
    elif kind == 2:
        start = random.randrange(len(data))
        data[start:] = bytes(len(data) - start)
    else:
        # Headers are where sizes stand: every second change is there.
        span = min(len(data), 64) if kind == 3 else len(data)
        for _ in range(random.randrange(1, 6)):
            value = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
            data[random.randrange(span)] = value
    return bytes(data)

outcomes = collections.Counter()
path = folder / f"mutant{suffix}"
for number in range(count):
    path.unlink(missing_ok=True)
    path.write_bytes(mutant())
    read = read_mask if number % 4 == 0 else read_image
    try:
        image = read(path)
        assert image.dtype in (np.uint8, bool) and image.size
        outcomes["read"] += 1
    except InputError as error:
        text = str(error)
        assert text.startswith(f"{path}: expected ") and chr(10) not in text, text
        outcomes["refused"] += 1
print(json.dumps(outcomes))
"""


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".ppm", ".bmp", ".tif", ".webp"])
def test_mutants_are_read_or_refused_in_one_line(tmp_path, suffix):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, suffix, str(MUTANTS), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = json.loads(done.stdout)
    assert outcomes["read"] + outcomes["refused"] == MUTANTS
    assert outcomes["refused"] > MUTANTS / 10
    if suffix != ".jpg":  # libjpeg tells of damage that it can live with
        assert done.stderr == ""
