"""predict_new_data.py as a person runs it, with a real network of random weights."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np
import pytest
from processes import assert_all_ended, children

from maskflownet import predict_new_data
from maskflownet.config import load_config
from maskflownet.network import get_pipeline
from maskflownet.output.video import write_video
from maskflownet.reader.flow_files import read_flo, read_kitti_png, read_npy
from maskflownet.reader.images import read_image
from maskflownet.reader.synthetic import generate
from maskflownet.reader.videos import Video

ROOT = Path(__file__).resolve().parents[1]
SIZE_HW = (66, 98)
CONFIG = "MaskFlownet_S"
RUN = "abcJan01-0000"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a folder with weights/, frames/, video.mp4 and truth.flo."""
    root = tmp_path_factory.mktemp("root")
    mx.random.seed(0)
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config(CONFIG))
    (root / "weights").mkdir()
    pipe.save(root / "weights" / f"{RUN}_1")
    sample = generate(0, 0, SIZE_HW)
    (root / "frames").mkdir()
    for number in range(8, 13):
        image = np.roll(sample.image1, 2 * number, axis=1)
        cv2.imwrite(str(root / "frames" / f"f{number}.png"), image)
    frames = (np.roll(sample.image1[:63, :95], 3 * number, axis=1) for number in range(5))
    write_video(root / "video.mp4", frames, 12.5)
    return root


def command_line(root, output, flags):
    return [str(output), CONFIG, "-c", RUN, "--root", str(root), *map(str, flags)]


def start(root, output, *flags, python_path=""):
    """Start the program in a process of its own."""
    command = [sys.executable, "predict_new_data.py", *command_line(root, output, flags)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(python_path)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=-1, stderr=-1, start_new_session=True
    )


@pytest.fixture
def program(root, capsys):
    """Return what runs the program here and returns exit code, output and errors."""

    def run(output, *flags):
        try:
            code = predict_new_data.main(command_line(root, output, flags))
        except SystemExit as end:  # argparse
            code = end.code
        return code, *capsys.readouterr()

    return run


def one_line(error):
    assert re.fullmatch(r"predict_new_data\.py: error: [^\n]+\n", error), error
    return error


# --- what it makes --------------------------------------------------------------------------------


def test_everything_for_a_pair(root, tmp_path, program):
    images = ["--image_1", root / "frames/f8.png", "--image_2", root / "frames/f9.png"]
    out = tmp_path / "out"
    first = program(out, *images, "--save", ",".join(predict_new_data.KINDS), "--backward")
    assert first == (0, f"flow of 1 of 1 pairs: {out}\n", "")
    flow = read_flo(out / "f8.flo")
    assert flow.shape == (*SIZE_HW, 2) and np.abs(flow).max() > 0
    np.testing.assert_array_equal(read_npy(out / "f8.npy"), flow)
    stored, _ = read_kitti_png(out / "f8_kitti.png")
    np.testing.assert_allclose(stored, flow, atol=1 / 128)
    assert read_flo(out / "f8_backward.flo").shape == flow.shape
    for ending in ("color", "arrows", "mask", "warped", "consistent"):
        assert read_image(out / f"f8_{ending}.png").shape == (*SIZE_HW, 3)
    # The same flow as ground truth, in other files: no error at all. The size is that of the images
    # also when the network sees another.
    flags = ["--flow", out / "f8.flo", "--resize", "128,64"]
    code, text, error = program(tmp_path / "again.flo", *images, "--flow", out / "f8.flo")
    assert (code, error) == (0, "")
    assert text.startswith("EPE 0.000 px, Fl 0.00 %, over 6468 pixels")
    assert (read_image(tmp_path / "again_error.png") == (149, 54, 49)).all()
    code, _, _ = program(tmp_path / "resized.flo", *images, *flags)
    resized = read_flo(tmp_path / "resized.flo")
    assert code == 0 and resized.shape == flow.shape and np.abs(resized - flow).max() > 0.01
    names = ["again.flo", "again_error.png", "out", "resized.flo", "resized_error.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_the_originals_command_for_videos(root, tmp_path):
    out = tmp_path / "flow.mp4"
    process = start(root, out, "--video_filepath", root / "video.mp4", "-g", "")
    text, error = process.communicate()
    assert (process.returncode, text, error) == (0, f"flow of 4 of 4 pairs: {out}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["flow.mp4"]
    result = Video(out)
    assert (result.rate, result.expected) == (12.5, 4)
    assert [frame.image.shape for frame in result.frames()] == [(64, 96, 3)] * 4


def test_batches_do_not_change_the_flow(root, tmp_path, program):
    folder = ["--folder", root / "frames", "--save", "flo"]
    assert program(tmp_path / "one", *folder)[0] == 0
    assert program(tmp_path / "three", *folder, "--batch", 3)[0] == 0
    for number in (8, 9, 10, 11):
        one, three = (read_flo(tmp_path / name / f"f{number}.flo") for name in ("one", "three"))
        np.testing.assert_allclose(one, three, atol=1e-3)


def test_killed_and_started_again(root, tmp_path, program):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(40):
        image = np.roll(read_image(root / "frames/f8.png"), number, axis=1)
        cv2.imwrite(str(frames / f"{number}.png"), image)
    out = tmp_path / "out"
    process = start(root, out, "--folder", frames, "--save", "flo")
    while not list(out.glob("*.flo")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.flo")}
    assert 0 < len(kept) < 39
    code, text, error = program(out, "--folder", frames, "--save", "flo")
    assert (code, error) == (0, "")
    assert f"{len(kept)} of 39 pairs are finished already" in text
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {read_flo(out / f"{number}.flo").shape for number in range(39)} == {(*SIZE_HW, 2)}


def test_interrupted(root, tmp_path, program):
    process = start(root, tmp_path / "flow.mp4", "--video_filepath", root / "video.mp4")
    while not list(tmp_path.glob("*/*.flo")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    # So short a video may have been finished before.
    if process.returncode != 0:
        assert (process.returncode, error) == (130, "predict_new_data.py: interrupted\n")
        assert not list(tmp_path.rglob("*.part"))
        assert program(tmp_path / "flow.mp4", "--video_filepath", root / "video.mp4")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["flow.mp4"]


# In place of PyAV: the decoder's process hangs and heeds no SIGTERM, others get the real one.
HANGING_PYAV = """
import signal, sys, time
if "decoder" in sys.argv[0]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.01)
sys.path[:] = [folder for folder in sys.path if folder != {folder!r}]
del sys.modules["av"]
import av
"""


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_a_decoder_hangs(root, tmp_path, sign):
    (tmp_path / "av").mkdir()
    (tmp_path / "av/__init__.py").write_text(HANGING_PYAV.format(folder=str(tmp_path)))
    process = start(
        root, tmp_path / "out", "--video_filepath", root / "video.mp4", python_path=tmp_path
    )
    while not (decoders := children(process.pid)):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sign)
    _, error = process.communicate(timeout=60)
    if sign == signal.SIGINT:
        assert (process.returncode, error) == (130, "predict_new_data.py: interrupted\n")
    else:
        assert process.returncode == (143 if sign == signal.SIGTERM else -sign)
    for decoder in decoders:  # each leads a group of its own
        assert_all_ended(decoder, patience_s=60)
    assert [path.name for path in tmp_path.iterdir()] == ["av"]


# --- what goes wrong ------------------------------------------------------------------------------


def test_unreadable_frames(root, tmp_path, program):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(8, 12):
        (frames / f"f{number}.png").write_bytes((root / f"frames/f{number}.png").read_bytes())
    (frames / "f9.png").write_text("no picture")
    out = tmp_path / "out"
    code, text, error = program(out, "--folder", frames)
    assert (code, error) == (1, "")
    assert f"left out: {frames / 'f9.png'}: expected" in text
    assert sorted(path.name for path in out.glob("*.flo")) == ["f10.flo"]
    code, _, error = program(tmp_path / "strict", "--folder", frames, "--strict")
    assert code == 2
    assert "f9.png" in one_line(error)


BAD = {
    "no input": ([], "expected one of --image_1 with --image_2, --folder, --pairs"),
    "half a pair": (["--image_1", "{f8}"], "--image_2 is missing: --image_1 is one image of a"),
    "another half": (["--image_2", "{f8}"], "--image_1 is missing: --image_2 is one image of a"),
    "misspelled flag": (["--fodler", "{frames}"], "frames; did you mean --folder?"),
    "misspelled kind": (
        ["--folder", "{frames}", "--save", "mask,arows"],
        "'arows' in 'mask,arows': expected kinds of flo,kitti,npy,color,arrows,mask,warped; did "
        "you mean arrows?",
    ),
    "two inputs": (["--folder", "{frames}", "--video_filepath", "{video}"], "expected one of"),
    "missing image": (["--image_1", "{frames}/f1.png", "--image_2", "{f9}"], "frames/f1.png"),
    "text as image": (["--image_1", "{text}", "--image_2", "{f9}"], "text.png: expected"),
    "sizes": (["--image_1", "{f8}", "--image_2", "{small}"], "expected two images of one size"),
    "missing folder": (["--folder", "{frames}/no"], "there is no such folder"),
    "missing video": (["--video_filepath", "{frames}/no.mp4"], "no.mp4: expected a file"),
    "text as video": (["--video_filepath", "{text}"], "expected a video that FFmpeg can open"),
    "missing list": (["--pairs", "{frames}/no.txt"], "this list of pairs is missing"),
    "flow of a folder": (["--folder", "{frames}", "--flow", "{text}"], "--flow is for --image_1"),
    "bad flow": (["--image_1", "{f8}", "--image_2", "{f9}", "--flow", "{text}"], "text.png"),
    "a camera": (["--video_filepath", "0"], "0: expected a video file, got what looks like a cam"),
    "an address": (
        ["--video_filepath", "rtsp://10.0.0.1/live"],
        "rtsp://10.0.0.1/live: expected a",
    ),
    "section of a folder": (["--folder", "{frames}", "--start", "1"], "--start and --duration are"),
    "behind the end": (["--video_filepath", "{video}", "--start", "0:09"], "begins at 9 s"),
    "no time": (
        ["--video_filepath", "{video}", "--start", "soon"],
        "time (such as 90, 1.5 or 1:30",
    ),
    "endless": (["--video_filepath", "{video}", "--start", "1e400"], "--start: expected a time"),
    "no section": (
        ["--video_filepath", "{video}", "--duration", "0"],
        "--duration: expected a time that is not 0",
    ),
    "too slow": (
        ["--folder", "{frames}", "--video_out", "a.mp4", "--fps", "0.0004"],
        "--fps: expected a number from 0.001 to 1000",
    ),
    "too fast": (
        ["--folder", "{frames}", "--video_out", "a.mp4", "--fps", "1e300"],
        "--fps: expected a number from 0.001 to 1000",
    ),
    "unknown flow": (
        ["--folder", "{frames}", "--max_flow", "1e300"],
        "--max_flow: expected a number above zero, up to 1e+09",
    ),
    "too short": (["--video_filepath", "{video}", "--duration", "0.01"], "2 frames or more, got 1"),
    "two sizes": (
        ["--folder", "{frames}", "--resize", "64,64", "--max_side", "64"],
        "expected one",
    ),
    "a small side": (
        ["--folder", "{frames}", "--max_side", "63"],
        "--max_side: expected a number of 64",
    ),
    "threshold": (["--folder", "{frames}", "--mask_threshold", "0.5"], "add mask to --save"),
    "video of": (["--folder", "{frames}", "--video_of", "mask"], "--video_of is for a video"),
    "video format": (["--folder", "{frames}", "--video_out", "a.wmv"], "name ending in .mp4, .mov"),
    "stride of a pair": (["--image_1", "{f8}", "--image_2", "{f9}", "--stride", "2"], "--stride"),
    "too far": (["--folder", "{frames}", "--stride", "5"], "expected 6 images or more, got 5"),
    "side by side": (["--folder", "{frames}", "--side_by_side"], "--side_by_side is for a video"),
    "fps": (["--folder", "{frames}", "--fps", "5"], "--fps is for a video"),
    "scale": (["--folder", "{frames}", "--save", "flo", "--max_flow", "5"], "--max_flow is for"),
    "kinds": (["--folder", "{frames}", "--save", "flo,exr"], "flo,kitti,npy,color,arrows"),
    "no scale": (
        ["--folder", "{frames}", "--max_flow", "0"],
        "--max_flow: expected a number above",
    ),
    "resize": (["--folder", "{frames}", "--resize", "60,90"], "64"),
    "pair to video": (
        ["--image_1", "{f8}", "--image_2", "{f9}", "--video_out", "a.mp4"],
        "a video is made of --folder or --video_filepath only",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_nothing_is_written(root, tmp_path, program, case):
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "text.png").write_text("no picture")
    cv2.imwrite(str(sources / "small.png"), np.zeros((40, 50, 3), np.uint8))
    names = {
        "frames": root / "frames",
        "f8": root / "frames/f8.png",
        "f9": root / "frames/f9.png",
        "video": root / "video.mp4",
        "text": sources / "text.png",
        "small": sources / "small.png",
    }
    flags, message = BAD[case]
    code, text, error = program(tmp_path / "out", *(flag.format(**names) for flag in flags))
    assert (code, text) == (2, "")
    assert message in one_line(error)
    assert [path.name for path in tmp_path.iterdir()] == ["sources"]


@pytest.mark.parametrize("name", ["one.flo", "one.png"])
def test_one_file_is_for_one_pair(root, tmp_path, program, name):
    code, _, error = program(tmp_path / name, "--folder", root / "frames")
    assert code == 2
    assert f"{name} is for one pair: name a folder" in one_line(error)


def test_results_among_the_frames(root, program):
    code, _, error = program(root / "frames", "--folder", root / "frames")
    assert code == 2
    assert "is the folder of frames" in one_line(error)
    assert len(list((root / "frames").iterdir())) == 5


@pytest.mark.parametrize("name", ["flow.m4v", "flow.npz", "flow.flo5", "flow.xyz", "flow.tif"])
def test_a_suffix_that_nothing_writes(root, tmp_path, program, name):
    pair = ["--image_1", root / "frames/f8.png", "--image_2", root / "frames/f9.png"]
    code, _, error = program(tmp_path / name, *pair)
    assert code == 2
    assert f"{name}: expected a folder or a name ending in .flo, .png" in one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_a_slash_makes_it_a_folder_after_all(root, tmp_path, program):
    pair = ["--image_1", root / "frames/f8.png", "--image_2", root / "frames/f9.png"]
    assert program(f"{tmp_path}/flow.xyz/", *pair)[0] == 0
    assert (tmp_path / "flow.xyz/f8.flo").exists()


def test_no_output_is_no_folder(root, program):
    code, _, error = program("", "--folder", root / "frames")
    assert code == 2
    assert "OUTPUT: expected a name, got ''" in one_line(error)


def test_resize_is_checked_before_mxnet_is_loaded(root, tmp_path):
    code = (
        "import sys, predict_new_data as p; sys.modules['mxnet'] = None;"
        f"sys.exit(p.main([{str(tmp_path / 'out')!r}, {CONFIG!r}, '-c', {RUN!r}, '--root', "
        f"{str(root)!r}, '--folder', {str(root / 'frames')!r}, '--resize', '60,90']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "resize 60,90: expected multiples of 64" in one_line(done.stderr)


# --- help -----------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy():
    script = (
        "import sys, predict_new_data as p; p.make_parser().print_help();"
        "print(*{'mxnet', 'cv2', 'numpy', 'av'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == ""
    for flag in ("--folder", "--pairs", "--video_filepath", "--save", "--video_out", "--stride"):
        assert flag in done.stdout


def test_the_kinds_of_the_help_are_those_that_there_are():
    from maskflownet.reader.formats import common
    from maskflownet.tasks.prediction.files import ENDINGS

    assert predict_new_data.UNKNOWN == common._UNKNOWN_ABOVE
    assert list(ENDINGS) == list(predict_new_data.KINDS)
