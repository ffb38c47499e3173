"""The weights that a run begins with: fresh ones, scaled ones, or a checkpoint's."""

import logging
import random
from importlib.util import find_spec

import numpy as np

from maskflownet.config import InputError
from maskflownet.network import Peers, Pipeline, get_pipeline, held_network, starts
from maskflownet.tasks.training.data import TrainingData, good_samples
from maskflownet.tasks.training.origin import Origin
from maskflownet.tasks.training.plan import RunPlan

logger = logging.getLogger(__name__)

START_PAIRS = 16  # that tell how to scale a start, where the dataset config wants that


def make_pipeline(plan: RunPlan, peers: Peers | None = None) -> Pipeline:
    """Return a pipeline with fresh weights drawn from the seed.

    A first stage is frozen unless the config says otherwise.
    """
    seed_generators(plan.record.seed % 2**32)  # NumPy refuses what is larger
    pipe = get_pipeline(
        plan.network, list(plan.contexts), plan.config, peers, plan.kernels, plan.precision
    )
    network, optimizer = plan.config.network, plan.config.optimizer
    if network.is_cascade and not optimizer.train_first_stage:
        pipe.fix_head()
    return pipe


def seed_generators(seed: int) -> None:
    """Seed the random numbers of Python, NumPy and MXNet, with gluoncv's helper where it serves."""
    # It refuses to load beside PyTorch 2, after it has loaded that.
    if find_spec("gluoncv") and not find_spec("torch"):
        from gluoncv.utils import random as generators  # here, for it is slow

        generators.seed(seed)
    else:
        import mxnet as mx

        random.seed(seed)
        np.random.seed(seed)
        mx.random.seed(seed)


def give_weights(pipe: Pipeline, origin: Origin, data: TrainingData, seed: int) -> None:
    """Give a fresh pipeline the weights that a run begins or goes on with.

    Those that come from nothing are as `optimizer.start` of the dataset config says, which may also
    say what becomes of a checkpoint's in a run that begins with them.

    Parameters
    ----------
    pipe : network.Pipeline
        As `make_pipeline` returns it.
    origin : Origin
    data : tasks.training.data.TrainingData
    seed : int
        Of what is random in a changed start.

    Raises
    ------
    InputError
        The checkpoint does not fit the network, or the start does not fit the run.
    """
    start = data.config.optimizer.start
    from_nothing = load_weights(pipe, origin)
    if start == "lifted" and from_nothing:
        raise InputError(
            f"{data.config.path}: optimizer.start: lifted: expected a checkpoint to begin with, "
            "whose level 3 has learned to match: name one with -c, or begin with start: scaled"
        )
    if start == "lifted" and origin.run is None:
        starts.lift(pipe, *first_pairs(data), seed)
        logger.info("levels 6 to 4 begin as copies of level 3")
    elif start == "scaled" and from_nothing:
        starts.scale(pipe, *first_pairs(data))
        logger.info("the random weights are scaled by what they make of the first pairs")
    elif start == "uniform" and from_nothing:
        starts.draw_uniform(pipe)
    elif start == "copied" and from_nothing:
        starts.copy_first_stage(pipe, *first_pairs(data))
        logger.info("the second stage begins as a copy of the first")
    elif start == "copied" and origin.run is None and origin.checkpoint is not None:
        logger.info("start: copied: the second stage of %s stays as it is", origin.checkpoint.path)


def load_weights(pipe: Pipeline, origin: Origin) -> bool:
    """Load a checkpoint: to continue it with its moments, or as the start of a new run.

    A new run of a cascade may start from a MaskFlownet_S, which becomes its first stage.

    Returns
    -------
    bool
        Whether the network, or a cascade's second stage, starts from nothing.
    """
    checkpoint = origin.checkpoint
    if checkpoint is None:
        return not pipe.config.network.is_cascade  # which --debug tries without a first stage
    if pipe.config.network.is_cascade and held_network(checkpoint.path) == "MaskFlownet_S":
        pipe.load_head(checkpoint.path)
        logger.info("%s is the first stage", checkpoint.path)
        return True
    pipe.load(checkpoint.path)
    if origin.run is None:
        return False
    if checkpoint.states.is_file():
        loaded = pipe.load_states(checkpoint.states)
        if not loaded.are_tied and loaded.updates != checkpoint.steps:
            logger.warning(
                "%s holds the moments of %d updates, and its run has made %d steps: see whether it "
                "is the file that was written with %s",
                *(checkpoint.states, loaded.updates, checkpoint.steps, checkpoint.path.name),
            )
    else:
        logger.warning(
            "%s is not there: training continues with fresh moments of Adam", checkpoint.states
        )
    return False


def first_pairs(data: TrainingData) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return images 1 and images 2 of the first good training pairs, by which a start is scaled."""
    samples = good_samples(data.training_set, range(len(data.training_set)), START_PAIRS)
    height, width = data.config.orig_shape
    images1, images2 = (
        [getattr(sample, name)[:height, :width] for sample in samples]
        for name in ("image1", "image2")
    )
    return images1, images2
