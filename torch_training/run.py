"""A training on generated scenes, from its first step to the end of its time."""

import json
import logging
import math
import time
from argparse import Namespace

import numpy as np
import torch

from maskflownet.config.errors import InputError
from maskflownet.config.network_size import MULTIPLE
from maskflownet.torch_training import networks
from maskflownet.torch_training.figures import figures
from maskflownet.torch_training.params_file import read_params, write_params
from maskflownet.torch_training.scenes import Pairs, Scenes
from maskflownet.torch_training.start import initialise, waken
from maskflownet.torch_training.steps import Steps

logger = logging.getLogger(__name__)

LOG_EVERY = 100  # steps
HELD_OUT_SEED = 10**6


def train(arguments: Namespace) -> None:
    """Train as the command line says.

    Raises
    ------
    InputError
        The arguments make no sense, or a batch does not fit into the GPU's memory.
    OSError
        A file cannot be read or written; the latter is found at the beginning.
    """
    _check(arguments)
    try:
        _train(arguments)
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"--batch {arguments.batch}: does not fit into the GPU's memory; a smaller --batch or "
            "--size does"
        ) from error


def _train(arguments):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(arguments.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = not arguments.float32
    network = _network(arguments).to(device, memory_format=torch.channels_last)
    held_out = _held_out(arguments, device)
    scenes = _scenes(arguments, device, arguments.seed)
    if arguments.start is None:
        waken(network, scenes.batch(arguments.batch, arguments.first_motion))
    rounds = not arguments.float32
    steps = Steps(network, arguments.mw, arguments.mask_weight, rounds)
    _Run(arguments, network, steps, scenes, held_out).to_the_end()


def _check(arguments):
    """Raise InputError unless the arguments make sense."""
    for name in ("batch", "textures", "minutes", "rate", "every"):
        if not 0 < getattr(arguments, name) < math.inf:
            raise InputError(f"--{name}: expected more than 0, got {getattr(arguments, name)}")
    for name in ("warm_up", "first_motion", "mask_weight"):
        if not 0 <= getattr(arguments, name) < math.inf:
            raise InputError(f"--{name}: expected 0 or more, got {getattr(arguments, name)}")
    if arguments.out.exists() and arguments.out != arguments.start:
        raise InputError(
            f"{arguments.out}: is there already: name another file, or go on from it with --start"
        )
    if any(side % MULTIPLE for side in arguments.size):
        raise InputError(f"--size: expected multiples of {MULTIPLE}, such as 320,448")
    if arguments.network == "MaskFlownet" and not (arguments.start or arguments.first_stage):
        raise InputError("--network MaskFlownet: name a trained first stage with --first_stage")
    if arguments.network == "MaskFlownet" and arguments.mask_weight:
        raise InputError("--mask_weight: the mask is of the first stage, which is frozen")


def _network(arguments):
    network = initialise(getattr(networks, arguments.network)())
    if arguments.start:
        _fill(network, arguments.start)
    elif arguments.first_stage:
        _fill(network.MaskFlownet_S, arguments.first_stage)
    for module in network.modules():
        if isinstance(module, networks.DeformableConv):
            module.exact = arguments.exact
    return network


def _fill(network, path):
    arrays = {name: torch.tensor(array) for name, array in read_params(path).items()}
    try:
        network.load_state_dict(arrays)
    except RuntimeError as error:
        name = type(network).__name__
        raise InputError(f"{path}: expected the parameters of a {name}, all of them") from error


def _scenes(arguments, device, seed, most=1 << 30):
    count = min(arguments.textures, most)
    return Scenes(device, arguments.size, count, 4 * count, arguments.photographs, seed)


def _held_out(arguments, device):
    """Return four batches of other scenes, of fewer textures."""
    scenes = _scenes(arguments, device, HELD_OUT_SEED, most=128)
    return [scenes.batch(arguments.batch) for _ in range(4)]


class _Run:
    """A training from its first step to the end of its time."""

    def __init__(self, arguments, network, steps, scenes, held_out):
        self._arguments = arguments
        self._network = network
        self._steps = steps
        self._scenes = scenes
        self._held_out = held_out
        self._begun = time.monotonic()
        self._count = 0
        self._sums = torch.zeros(3, device=held_out[0].flow.device)  # since the last look back
        self._ready = []

    def to_the_end(self) -> None:
        """Train until the time is up; write the weights now and then, at the end and at a stop."""
        try:
            self._train()
            self._judge()
        finally:
            self._save()
            if self._share_done() < 1:
                self._say(f"to go on from here: --start {self._arguments.out}")

    def _train(self):
        arguments = self._arguments
        self._say("ready")
        self._save()  # where it cannot be written, that shall be known before the training
        logged_at, written_at = time.monotonic(), time.monotonic()
        while (done := self._share_done()) < 1:
            self._sums += self._steps.take(self._next_batch(done), self._rate(done))
            self._count += 1
            if self._count % LOG_EVERY == 0:
                loss, error, motion = (self._sums / LOG_EVERY).tolist()
                rate = LOG_EVERY * arguments.batch / (time.monotonic() - logged_at)
                self._say(
                    f"step {self._count}: loss {loss:.4f}, EPE {error:.3f}, motion {motion:.2f}, "
                    f"rate {self._rate(done):.1e}, {rate:.0f} pairs per second"
                )
                if not self._steps.look_back(loss, motion):
                    self._say("the loss was lost: back to the last good weights, at half the rate")
                self._sums.zero_()
                logged_at = time.monotonic()
            if time.monotonic() - written_at > 60 * arguments.every:
                self._save()
                self._judge()
                written_at = logged_at = time.monotonic()

    def _share_done(self):
        return (time.monotonic() - self._begun) / (60 * self._arguments.minutes)

    def _rate(self, done):
        warm = min(1, (self._count + 1) / max(self._arguments.warm_up, 1))
        return self._arguments.rate * warm * 0.5 * (1 + math.cos(math.pi * min(done, 1)))

    def _next_batch(self, done):
        """Return a batch in the order of memory that convolutions like."""
        if not self._ready:  # rendering is bound by launches: several batches at once
            first, batch = self._arguments.first_motion, self._arguments.batch
            motion = first + (1 - first) * min(1, 5 * done)
            together = self._scenes.batch(3 * batch, motion)
            parts = (one.split(batch) for one in together)
            self._ready = [Pairs(*batch) for batch in zip(*parts, strict=True)]
        pairs = self._ready.pop()
        images = [one.contiguous(memory_format=torch.channels_last) for one in pairs[:2]]
        return Pairs(*images, *pairs[2:])

    def _save(self):
        """Write the weights, those of before if the loss is lost since.

        The file stays as it was where its type, float16, cannot hold them.
        """
        loss, _, motion = (self._sums / max(self._count % LOG_EVERY, 1)).tolist()
        weights = self._steps.weights(loss, motion)
        arrays = {name: one.half().cpu().numpy() for name, one in weights.items()}
        if all(np.isfinite(array).all() for array in arrays.values()):
            write_params(self._arguments.out, arrays)

    def _judge(self):
        """Say how good the network is on held-out scenes."""
        with self._steps.rounded():
            found = figures(self._network, self._held_out)
        self._say("held-out " + json.dumps({name: round(one, 3) for name, one in found.items()}))

    def _say(self, text):
        logger.info("%4.0f s  %s", time.monotonic() - self._begun, text)
