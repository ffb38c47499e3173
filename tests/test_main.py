"""`python main.py` as a person runs it: evaluation, and one line for whatever is wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np
import pytest
from golden import golden_parameters, recipe_weight
from main_runs import error_of
from shared_libraries import stand_in_driver

from maskflownet.config import load_config
from maskflownet.config.paths import ROOT_VARIABLES
from maskflownet.main import main
from maskflownet.reader.flow_files import write_flo, write_kitti_png
from maskflownet.reader.images import write_image
from maskflownet.reader.synthetic import generate

REPOSITORY = Path(__file__).parents[1]
RUN = "abcJan01-0000"
S_RUN, CASCADE_RUN = f"{RUN}-s", f"{RUN}-c"
LEGACY = {"MaskFlownet_S": f"{S_RUN}_142.params", "MaskFlownet": f"{CASCADE_RUN}_270.params"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Checkpoints with legacy names, and small trees of FlyingChairs and KITTI."""
    folder = tmp_path_factory.mktemp("root")
    (folder / "weights").mkdir()
    for network, name in LEGACY.items():
        arrays = {
            entry["legacy"]: mx.nd.array(recipe_weight(entry["structured"], entry["shape"]))
            for entry in golden_parameters(network)
        }
        mx.nd.save(str(folder / "weights" / name), arrays)
    samples = [generate(0, index, (64, 96)) for index in range(4)]
    for index, sample in enumerate(samples, start=1):
        start = folder / "chairs" / "data" / f"{index:05d}"
        write_image(f"{start}_img1.ppm", sample.image1)
        write_image(f"{start}_img2.ppm", sample.image2)
        write_flo(f"{start}_flow.flo", sample.flow)
    (folder / "chairs" / "FlyingChairs_train_val.txt").write_text("1\n2\n2\n2\n")
    for index, (height, width) in enumerate([(60, 90), (64, 80)]):
        sample = generate(1, index, (height, width))
        training = folder / "kitti" / "2015" / "training"
        write_image(training / "image_2" / f"{index:06d}_10.png", sample.image1)
        write_image(training / "image_2" / f"{index:06d}_11.png", sample.image2)
        valid = sample.valid.copy()
        valid[: height // (index + 2)] = 0
        write_kitti_png(training / "flow_occ" / f"{index:06d}_10.png", sample.flow, valid)
    return folder


@pytest.fixture
def datasets(root, monkeypatch):
    """Set the roots of FlyingChairs and KITTI, and of nothing else."""
    for variable in ROOT_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MASKFLOWNET_CHAIRS", str(root / "chairs"))
    monkeypatch.setenv("MASKFLOWNET_KITTI", str(root / "kitti"))


def arguments(root, *more, config="MaskFlownet_S", run=S_RUN):
    return [config, "-c", run, "--root", str(root), "--valid", *more]


def rows_of(output):
    """Return the table's rows, "chairs.validation  3 of 640", without lines of how far it is."""
    return [line for line in output.splitlines() if re.match(r"\S+[^:\s] +\d+ of \d", line)]


def test_evaluation_from_another_folder_prints_a_table_and_appends_the_log(root, tmp_path):
    environment = {key: value for key, value in os.environ.items() if "MASKFLOWNET" not in key}
    environment["MASKFLOWNET_CHAIRS"] = str(root / "chairs")
    environment["MASKFLOWNET_KITTI"] = str(root / "kitti")
    command = [sys.executable, str(REPOSITORY / "main.py"), *arguments(root, "--batch", "2")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "left out: sintel.training.clean" in done.stdout
    assert "MASKFLOWNET_SINTEL" in done.stdout
    rows = {row.split()[0]: row.split() for row in rows_of(done.stdout)}
    assert rows["chairs.validation"][1:4] == ["3", "of", "640"]
    assert rows["kitti.2015"][1:4] == ["2", "of", "200"]
    lines = (root / "logs" / "val" / f"{S_RUN}.val.log").read_text().splitlines()
    epe = float(rows["chairs.validation"][4])
    stamp, text = lines[0][:21], lines[0][22:]
    assert stamp[0] == "[" and stamp[-1] == "]" and stamp.count("/") == 2
    prefix, value = text.rsplit("=", 1)
    assert prefix == "steps=142, chairs.validation:epe"
    assert float(value) == pytest.approx(epe, abs=1e-3)
    assert "steps=142, kitti.2015:kitti=" in lines[1]
    assert list(tmp_path.iterdir()) == []


def test_scores_do_not_depend_on_the_batch(root, datasets, capsys):
    tables = []
    for batch in ("1", "3"):
        assert main(arguments(root, "--batch", batch, "--debug")) == 0
        tables.append(rows_of(capsys.readouterr().out))
    assert tables[0] == tables[1]
    assert len(tables[0]) == 2


def test_debug_takes_two_pairs_and_logs_nothing(root, datasets, capsys):
    log = root / "logs" / "val" / f"{S_RUN}.val.log"
    before = log.read_text() if log.exists() else None
    assert main(arguments(root, "--debug")) == 0
    assert "2 of 640" in capsys.readouterr().out
    assert (log.read_text() if log.exists() else None) == before


def test_shard_takes_one_pair_in_n(root, datasets, capsys):
    assert (
        main(arguments(root, "--shard", "2", "--dataset_cfg", "chairs", "--resize", "64,64")) == 0
    )
    assert "chairs.validation  2 of 640" in capsys.readouterr().out


def test_the_cascade_is_evaluated_too(root, datasets, capsys):
    argv = arguments(root, "--debug", config="MaskFlownet_kitti", run=CASCADE_RUN)
    assert main(argv) == 0
    assert "kitti.2015" in capsys.readouterr().out


def test_nobody_reading_on_does_not_stop_it(root, datasets):
    command = [sys.executable, str(REPOSITORY / "main.py"), *arguments(root, "--debug")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_no_dataset_says_where_to_set_one(root, datasets, monkeypatch, capsys):
    monkeypatch.delenv("MASKFLOWNET_CHAIRS")
    monkeypatch.delenv("MASKFLOWNET_KITTI")
    line = error_of(capsys, arguments(root))
    assert "MASKFLOWNET_CHAIRS" in line and "config/paths.yaml" in line
    assert "--dataset_cfg synthetic" in line


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["MaskFlownet_S", "--valid"], "-c is missing"),
        (["NoSuchConfig", "-c", RUN, "--valid"], "NoSuchConfig: there is no such network config"),
        (["chairs", "-c", RUN, "--valid"], "--dataset_cfg"),
        (["MaskFlownet_S", "-c", RUN, "--valid"], f"{CASCADE_RUN}, {S_RUN}"),
        (["MaskFlownet_S", "-c", "zzz", "--valid"], "zzz"),
        (["MaskFlownet_S", "-c", "dbbSep30", "--valid"], "--fetch dbbSep30"),
        (["MaskFlownet", "-c", S_RUN, "--valid"], "such as MaskFlownet_S.yaml"),
        (["MaskFlownet_S", "-c", CASCADE_RUN, "--valid"], "such as MaskFlownet.yaml"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "-g", "7"], "-g 7"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "-g", "x"], "list of GPU ids"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "--resize", "100,128"], "multiples of 64"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "--resize", "128"], "H,W"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "--batch", "0"], "whole number from 1 to 10000"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "--batch", "1" + "0" * 18], "from 1 to 10000"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "--threads", "1000000"], "from 1 to 1024"),
        (["MaskFlownet_S", "--seed", "1" + "0" * 30], "from 0 to 9223372036854775807"),
        (["MaskFlownet_S", "-c", "", "--valid"], "-c '': expected a run's id or a parameter file"),
        (["MaskFlownet_S", "-c", "/no/such/folder/a_1", "--valid"], "a_1: there is no such file;"),
        (["MaskFlownet_", "-c", S_RUN, "--valid"], "did you mean MaskFlownet_S or MaskFlownet"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "-n", "PWCNet"], "MaskFlownet"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "--dataset_cfg", "nope"], "nope"),
        (["--fetch", "nope"], "dbbSep30"),
        (["MaskFlownet_S", "-c", f"{S_RUN}:²", "--valid"], "whole number"),
        (["MaskFlownet_S", "-c", S_RUN, "--valid", "--workers", "3"], "--workers has no effect"),
        (["MaskFlownet_S", "-c", S_RUN, "--predict", "--shard", "7"], "--shard has no effect"),
        (["MaskFlownet_S", "-c", S_RUN, "--predict", "--valid"], "expected one of them"),
        (["MaskFlownet_S", "--resize", "64,64"], "--resize has no effect"),
        (["--no-such-flag"], "unrecognized arguments: --no-such-flag (see main.py --help)"),
        (["MaskFlownet_S", "--vaild"], "--vaild; did you mean --valid? (see main.py --help)"),
        (["--data_cfg=chairs", "--seeed", "3"], "did you mean --dataset_cfg and --seed? (see"),
        (["maskflownet_s", "-c", S_RUN, "--valid"], "did you mean MaskFlownet_S"),
    ],
)
def test_bad_arguments_end_in_one_line(root, datasets, capsys, argv, said):
    assert said in error_of(capsys, [*argv, "--root", str(root)])


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        ([("NVIDIA H200", 9, 0)], "-g 0 (NVIDIA H200): MXNet 1.9.1 cannot run on it"),
        pytest.param(
            [("NVIDIA A10", 8, 6)],
            "-g 0 (NVIDIA A10): the installed MXNet was built for CPUs",
            marks=pytest.mark.long,
        ),
        pytest.param([], "-g 0: NVIDIA's driver finds no GPU", marks=pytest.mark.long),
    ],
)
def test_a_gpu_that_mxnet_cannot_run_on_ends_in_one_line(root, tmp_path, gpus, said):
    stand_in_driver(tmp_path, gpus)
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "main.py"), *arguments(root, "-g", "0")],
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"main.py: error: {said}")
    assert done.stderr.count("\n") == 1 and "leave -g out" in done.stderr


def ask_after(program, argv, question):
    """Run a program in a process of its own and return what a question then prints."""
    code = (
        f"import ctypes, sys, {program}\n"
        f"try: {program}.main({[str(argument) for argument in argv]})\n"
        f"except SystemExit: pass\n"
        f"print({question})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("program", ["main", "predict_new_data"])
def test_help_imports_nothing_heavy(program):
    question = "[name for name in ('mxnet', 'cv2', 'numpy', 'scipy') if name in sys.modules]"
    assert ask_after(program, ["--help"], question) == "[]"


@pytest.mark.parametrize(
    "task",
    [
        pytest.param("--valid", marks=pytest.mark.long),
        pytest.param("--clear_steps", marks=pytest.mark.long),
        "new data",
    ],
)
def test_threads_are_set_before_mxnet_is_imported(root, tmp_path, task):
    """OpenMP keeps what it finds when MXNet is imported. No GPU has this id, so nothing runs."""
    argv = ["MaskFlownet_S", "-c", S_RUN, "--root", root, "-g", "99", "--threads", "3"]
    program = "main"
    if task == "new data":
        program = "predict_new_data"
        images = [f"--image_{n}={root}/chairs/data/00001_img{n}.ppm" for n in (1, 2)]
        argv = [tmp_path / "new", *argv, *images]
    else:
        argv = [task, *argv]
    question = "'mxnet' in sys.modules, ctypes.CDLL('libgomp.so.1').omp_get_max_threads()"
    assert ask_after(program, argv, question) == "True 3"


def test_an_unknown_key_is_named_with_the_valid_ones(root, datasets, tmp_path, capsys):
    text = (REPOSITORY / "config" / "MaskFlownet_S.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text + "\nlearning: 3\n")
    line = error_of(capsys, arguments(root, config=str(path)))
    assert "mine.yaml" in line and "learning" in line and "network" in line
    path.write_text(text)
    assert load_config(path).network == load_config("MaskFlownet_S").network


def broken_chairs(root, folder, damage):
    """Copy the validation pairs of FlyingChairs and damage the second."""
    for path in (root / "chairs").rglob("*.*"):
        copy = folder / path.relative_to(root / "chairs")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    damage(folder / "data")


def cut_flow(data):
    path = data / "00003_flow.flo"
    path.write_bytes(path.read_bytes()[:-5])


def wrong_magic(data):
    path = data / "00003_flow.flo"
    path.write_bytes(b"RIFF" + path.read_bytes()[4:])


def absurd_size(data):
    path = data / "00003_flow.flo"
    content = path.read_bytes()
    path.write_bytes(content[:4] + (2**31 - 1).to_bytes(4, "little") * 2 + content[12:])


def text_image(data):
    (data / "00003_img1.ppm").write_text("this is no image\n")


def other_size(data):
    write_image(data / "00003_img2.ppm", np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (cut_flow, "00003_flow.flo"),
        (wrong_magic, "00003_flow.flo"),
        (absurd_size, "00003_flow.flo"),
        (text_image, "00003_img1.ppm"),
        (other_size, "00003_img2.ppm"),
    ],
)
def test_a_damaged_pair_is_named_and_nothing_is_logged(
    root, datasets, monkeypatch, tmp_path, capsys, damage, named
):
    broken_chairs(root, tmp_path / "chairs", damage)
    monkeypatch.setenv("MASKFLOWNET_CHAIRS", str(tmp_path / "chairs"))
    (tmp_path / "weights").symlink_to(root / "weights")
    line = error_of(capsys, arguments(tmp_path))
    assert named in line and "expected" in line
    assert not list(tmp_path.glob("logs/val/*"))


def test_a_kitti_png_of_8_bits_is_named(root, datasets, monkeypatch, tmp_path, capsys):
    training = tmp_path / "kitti" / "2015" / "training"
    for name in ("image_2/000000_10.png", "image_2/000000_11.png"):
        source = root / "kitti" / "2015" / "training" / name
        (training / name).parent.mkdir(parents=True, exist_ok=True)
        (training / name).write_bytes(source.read_bytes())
    (training / "flow_occ").mkdir()
    cv2.imwrite(str(training / "flow_occ" / "000000_10.png"), np.zeros((60, 90, 3), np.uint8))
    monkeypatch.setenv("MASKFLOWNET_KITTI", str(tmp_path / "kitti"))
    line = error_of(capsys, arguments(root))
    assert "000000_10.png" in line and "16" in line
