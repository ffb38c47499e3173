"""What `benchmark.network` measures: cases, and how each is made ready and run."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from maskflownet import runtime  # noqa: F401  (before MXNet)

# isort: split
import mxnet as mx
import numpy as np

from maskflownet.benchmark.quiet import warnings_alone
from maskflownet.config import load_config
from maskflownet.network import get_pipeline
from maskflownet.reader.images import write_image
from maskflownet.reader.synthetic import generate

NETWORKS = {"S": "MaskFlownet_S", "cascade": "MaskFlownet"}
PAIRS = 10  # of the folder

Runner = Callable[[], object]


class Case(NamedTuple):
    """Something to be measured.

    Attributes
    ----------
    network : {"S", "cascade"}
    what : {"forward", "predict", "train", "folder", "exported"}
        The network alone; from images to flow and back; a training step without augmentation (of
        the cascade over a frozen first stage); a folder of frames by predict_new_data.py; what an
        exported network does, for `benchmark.peers`.
    size_hw : tuple of int
    batch : int
    """

    network: str
    what: str
    size_hw: tuple[int, int]
    batch: int = 1

    @property
    def name(self) -> str:
        """Return what the case is called, such as "S train 2x128x192"."""
        batch = f"{self.batch}x" if self.what == "train" else ""
        return f"{self.network} {self.what} {batch}{self.size_hw[0]}x{self.size_hw[1]}"


MEASURED = (
    ("forward", (448, 1024)),
    ("predict", (448, 1024)),
    ("forward", (1088, 1920)),
    ("predict", (1088, 1920)),
    ("train", (128, 192), 2),
    ("train", (320, 448), 1),
    ("train", (192, 256), 4),
)
CASES = (
    *(Case(network, *measured) for network in NETWORKS for measured in MEASURED),
    Case("S", "folder", (448, 1024)),
)


def make_pipeline(network: str, kernels: str):
    """Return a pipeline with random weights, the same for all kernels.

    `kernels` are those of `get_pipeline`, or "bf16" for the fast ones in that precision.
    """
    mx.random.seed(0)
    config = load_config(NETWORKS[network])
    settings = ("auto", "bf16") if kernels == "bf16" else (kernels, "float32")
    return get_pipeline("MaskFlownet", [mx.cpu()], config, None, *settings)


OWN = ("auto", "builtin", "bf16")  # sides that are the project's


def runner(case: Case, side: str) -> Runner:
    """Return what runs a case once; the last of its work is done when it returns.

    Of a prediction it returns the flow, float32 (H, W, 2), of a training step its loss.
    """
    pipe = make_pipeline(case.network, side if side in OWN else "builtin")
    if case.what == "exported":
        from maskflownet.benchmark.exported_case import exported_runner

        return exported_runner(pipe, case, side)
    if side == "torch":
        from maskflownet.benchmark import torch_case

        return torch_case.training_runner(pipe, training_arrays(case))
    makers = {"forward": _forward, "predict": _predict, "train": _train}
    return makers[case.what](pipe, case)


def _forward(pipe, case):
    images = [
        mx.nd.random.uniform(-0.5, 0.5, (case.batch, 3, *case.size_hw), ctx=pipe.ctx[0])
        for _ in "12"
    ]

    def run():
        pipe.predictor(*images)
        mx.nd.waitall()

    return run


def _predict(pipe, case):
    sample = generate(0, 0, case.size_hw)
    return lambda: _flows(pipe, [(sample.image1, sample.image2)])[0]


def _flows(pipe, pairs):
    return [prediction.flow for prediction in pipe.predict_pairs(pairs, wanted=("flow",))]


def training_arrays(case: Case) -> list[np.ndarray]:
    """Return what a case trains on: image1, image2 and flow, float32 (N, C, H, W)."""
    samples = [generate(0, number, case.size_hw) for number in range(case.batch)]
    return [
        np.stack([getattr(sample, part) for sample in samples])
        .transpose(0, 3, 1, 2)
        .astype(np.float32, order="C")
        for part in ("image1", "image2", "flow")
    ]


def _train(pipe, case):
    if case.network == "cascade":
        pipe.fix_head()
    arrays = training_arrays(case)

    def run():
        step = pipe.train_batch(*arrays, geo_aug=lambda *same: same, color_aug=lambda *same: same)
        mx.nd.waitall()
        if not step["updated"]:
            raise ArithmeticError(f"{case.name}: a training step was not finite")
        return step["loss"]

    return run


@contextmanager
def folder_runners(case: Case) -> Iterator[tuple[Runner, Runner]]:
    """Give what predicts frames in memory, and what does so from folder to folder.

    Both run the fast path and make flow alone; the folder's writes `.flo` files and their colours.
    """
    from maskflownet.tasks.prediction import Job, run
    from maskflownet.tasks.prediction.files import place_results
    from maskflownet.tasks.prediction.inputs import folder_frames

    pipe = make_pipeline(case.network, "auto")
    frames = [generate(0, number, case.size_hw).image1 for number in range(PAIRS + 1)]
    with tempfile.TemporaryDirectory() as name:
        for number, frame in enumerate(frames):
            write_image(Path(name) / f"{number}.png", frame)
        inputs = folder_frames(Path(name), stride=1)
        files = place_results(Path(name) / "flows", save=None)

        def from_folder():
            if run(pipe, Job(inputs, files, overwrite=True)):
                raise OSError(f"{name}: the generated frames cannot be read")

        with warnings_alone(run.__module__):  # it would tell of each run
            yield lambda: _flows(pipe, pairwise(frames)), from_folder
