"""The first thing to run: everything from a checkpoint to pictures, on generated pairs.

`make demo` makes, in the folder demo/, a checkpoint in the form of the released ones (legacy
names, random weights), a few generated pairs laid out as FlyingChairs, evaluates the one on the
other, and writes flow files and pictures. With random weights the flow means nothing; it shows
that all parts work.
"""

import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

from reader.flow_files import write_flo
from reader.images import write_image
from reader.synthetic import generate
from tasks.command_line import ROOT, run_program

logger = logging.getLogger(__name__)

PAIRS = 3
SIZE_HW = (192, 256)
SEED = 0
CONFIG = "MaskFlownet_S"
RUN = "000Jan01-0000"


def write_checkpoint(path: Path) -> None:
    """Write random weights under the legacy names that the released checkpoints have."""
    import mxnet as mx
    from gluoncv.utils import random

    from config import load_config
    from network import get_pipeline
    from reader.whole_file import whole_file

    random.seed(SEED)
    network = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config(CONFIG)).network
    with whole_file(path) as part:
        network.collect_params().save(str(part), strip_prefix=network.prefix)


def write_pairs(root: Path) -> None:
    """Write generated pairs and a split file, as FlyingChairs has them, all for validation."""
    for index in range(PAIRS):
        sample = generate(SEED, index, SIZE_HW)
        start = f"{root}/data/{index + 1:05d}"
        # FlyingChairs is read as RGB, new images as BGR: the files are the same.
        write_image(f"{start}_img1.ppm", sample.image1)
        write_image(f"{start}_img2.ppm", sample.image2)
        write_flo(f"{start}_flow.flo", sample.flow)
    (root / "FlyingChairs_train_val.txt").write_text("2\n" * PAIRS)


def run(command: list[str], environment: dict[str, str]) -> None:
    """Run one of the project's programs as a person would, showing the command."""
    shown = [f"{name}={value}" for name, value in environment.items()]
    logger.info("$ %s python %s", " ".join(shown), shlex.join(command))
    subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, check=True
    )


def demo(folder: Path) -> None:
    """Do it all in `folder`."""
    write_checkpoint(folder / "weights" / f"{RUN}_1.params")
    write_pairs(folder / "FlyingChairs")
    common = [CONFIG, "-c", RUN, "--root", str(folder)]
    run(["main.py", *common, "--valid"], {"MASKFLOWNET_CHAIRS": str(folder / "FlyingChairs")})
    for index in range(1, PAIRS + 1):
        start = f"{folder}/FlyingChairs/data/{index:05d}_img"
        images = ["--image_1", f"{start}1.ppm", "--image_2", f"{start}2.ppm"]
        run(["predict_new_data.py", str(folder / "flow"), *common, *images], {})
    logger.info("flow and pictures are in %s", folder / "flow")


def main() -> int:
    """Run the demo in the repository's folder demo/ and return the exit code."""
    return run_program("demo", lambda: demo(ROOT / "demo"))


if __name__ == "__main__":
    sys.exit(main())
