"""From images to flow and back: predicting, validating and training with one of the networks."""

import copy
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import gluon

from maskflownet import metrics
from maskflownet.config import Config
from maskflownet.config.errors import InputError
from maskflownet.config.layout import LEVELS
from maskflownet.kernels import check_precision, use_fast
from maskflownet.network.fast_operators import FastSteps
from maskflownet.network.files.moments import Loaded, load_trainer_states, save_trainer_states
from maskflownet.network.files.parameters import load_parameters, save_parameters
from maskflownet.network.fused_adam import FusedAdam
from maskflownet.network.images import in_step, pair_up
from maskflownet.network.loss import LOSSES
from maskflownet.network.maskflownet import MaskFlownet
from maskflownet.network.maskflownet_s import MaskFlownet_S
from maskflownet.network.memory import Room
from maskflownet.network.prediction import WANTED, PairPredictor, Prediction
from maskflownet.network.training_step import TrainingStep
from maskflownet.network.worker_group import Peers

NETWORKS = {"MaskFlownet": MaskFlownet, "MaskFlownet_S": MaskFlownet_S}


def freeze_unused(network: Any) -> None:
    """Freeze the parameters that the outputs of a network of plain steps do not depend on."""
    outputs = itertools.chain(*network(mx.sym.var("image1"), mx.sym.var("image2")))
    used = set(mx.sym.Group(list(outputs)).list_arguments())
    for name, parameter in network.collect_params().items():
        if name not in used:
            parameter.grad_req = "null"


class Pipeline:
    """A network on its devices, with what it takes to use and to train it.

    Parameters
    ----------
    ctx : list of mxnet.Context
        The devices; a batch is split over them.
    config : config.Config
        From `config.load_config`.
    peers : network.worker_group.Peers, optional
        The workers that train together; by default this process is the only one.
    kernels : {"auto", "builtin"}, optional
        Whose operators run on a CPU; see `kernels.use_fast`.
    precision : {"float32", "bf16"}, optional
        What convolutions multiply; see `kernels.check_precision`.

    Attributes
    ----------
    network : HybridBlock
        `MaskFlownet_S` or `MaskFlownet`, with fresh random weights until something is loaded.
    predictor : HybridBlock
        What predicts: the same network, or where fast operators run the same parameters in a graph
        that keeps nothing for gradients.
    trainer : mxnet.gluon.Trainer
        Adam over the network's parameters in the order of their creation.
    fast : bool
        Whether the fast operators run.
    """

    def __init__(
        self,
        ctx: Sequence[Any],
        config: Config,
        peers: Peers | None = None,
        kernels: str | None = None,
        precision: str = "float32",
    ):
        self.ctx = list(ctx)
        self.config = config
        self.peers = peers or Peers()
        self.fast = fast = use_fast(kernels, self.ctx)
        rounded = check_precision(precision, fast)
        self.network = self._make_network(FastSteps(True, rounded) if fast else None)
        self.network.initialize(mx.init.MSRAPrelu(slope=0.1), ctx=self.ctx)
        predictor = self._make_network(FastSteps(False, rounded)) if fast else self.network
        self._predict_with(predictor, fast)
        learner = self.network
        if config.optimizer.finest_level > LEVELS[-1] or config.optimizer.mask_weight:
            # The fast operators take more than they need: the plain graph tells what is used.
            freeze_unused(self._make_learner(None))
            learner = self._make_learner(FastSteps(True, rounded) if fast else None)
        # A list: given a dict, the Trainer sorts by name and would number the parameters otherwise
        # than the `.states` files of MXNet 1.5.
        parameters = list(self.network.collect_params().values())
        # Not on the key-value store: it would drop Adam's moments whenever weights are loaded, and
        # over several machines they could not be saved nor the learning rate be changed.
        adam = FusedAdam if fast else mx.optimizer.Adam
        optimizer = adam(learning_rate=1e-4, wd=config.optimizer.weight_decay)
        self.trainer = gluon.Trainer(
            parameters, optimizer, kvstore=self.peers.store or "device", update_on_kvstore=False
        )
        self.set_learning_rate(1)
        loss = LOSSES[config.optimizer.loss](config.network.mw, config.optimizer.q, fast=fast)
        self._step = TrainingStep(
            *(learner, loss, self.trainer, self.ctx, self.peers),
            clip_norm=config.optimizer.clip_norm,
            mask_weight=config.optimizer.mask_weight,
        )

    def _make_network(self, steps):
        """Return the network, hybridized; another one shares the first one's parameters."""
        shared = {}
        if first := getattr(self, "network", None):
            shared = {"prefix": first.prefix, "params": first.collect_params()}
        network = NETWORKS[self.config.network.class_name](
            self.config.network, steps=steps, **shared
        )
        network.hybridize()
        return network

    def _make_learner(self, steps):
        """Return a network with the outputs that the training's loss takes."""
        learner = self._make_network(steps)
        learner.finest_level = self.config.optimizer.finest_level
        learner.tells_masks = bool(self.config.optimizer.mask_weight)
        return learner

    def _predict_with(self, predictor, fast):
        on_cpu = all(context.device_type == "cpu" for context in self.ctx)
        room = Room(self.config.network.class_name, fast) if on_cpu else None
        self.predictor = predictor
        self._pair_predictor = PairPredictor(predictor, self.ctx, room)

    def plain_network(self) -> Any:
        """Return the network on MXNet's own operators, which shares this one's parameters."""
        return self._make_network(steps=None)

    def on_builtin(self) -> "Pipeline":
        """Return a pipeline of the same parameters that predicts with MXNet's own operators."""
        other = copy.copy(self)
        other._predict_with(self.plain_network(), fast=False)
        return other

    # Weights.

    def load(self, path: str | os.PathLike) -> None:
        """Load a parameter file; see `network.files.parameters.load_parameters` for its forms."""
        load_parameters(self.network, path)

    def save(self, prefix: str | os.PathLike) -> None:
        """Write `prefix`.states (Adam's moments), then `prefix`.params, each whole.

        Where the weights cannot be written, the moments do not stay behind without them.
        """
        states, weights = (Path(f"{prefix}{suffix}") for suffix in (".states", ".params"))
        save_trainer_states(self.trainer, states)
        try:
            self.save_weights(weights)
        except OSError:
            if not weights.exists():
                states.unlink(missing_ok=True)
            raise

    def save_weights(self, path: str | os.PathLike) -> None:
        """Write the weights alone, whole."""
        save_parameters(self.network, path)

    def load_states(self, path: str | os.PathLike) -> Loaded:
        """Load Adam's moments, which must belong to the weights that were loaded before.

        See `network.files.moments.load_trainer_states`.
        """
        return load_trainer_states(self.trainer, self.network, path, check_weights=True)

    def load_head(self, path: str | os.PathLike) -> None:
        """Load a MaskFlownet_S parameter file into the first stage of the cascade."""
        load_parameters(self._first_stage(), path)

    def fix_head(self) -> None:
        """Freeze the first stage of the cascade: it keeps its weights while the rest is trained."""
        self._first_stage().collect_params().setattr("grad_req", "null")

    def _first_stage(self):
        if not isinstance(self.network, MaskFlownet):
            raise InputError(
                f"{self.config.name}: expected a network of class MaskFlownet, which has a first "
                f"stage (a head), got {type(self.network).__name__}"
            )
        return self.network.MaskFlownet_S

    # Prediction.

    @property
    def color_order(self) -> str | None:
        """How the channels of all images must be ordered ("BGR"), or None: as in each dataset."""
        return self.network.dialect.color_order

    def predict(
        self,
        images1: Iterable[Any],
        images2: Iterable[Any],
        batch_size: int = 1,
        resize: tuple[int, int] | None = None,
        color_order: str | None = "bgr",
    ) -> Iterator[Prediction]:
        """Estimate flow, occlusion mask and warped image for pairs of images, one by one.

        Pairs are taken from the iterables a batch at a time, so they may be endless. Consecutive
        pairs that the network sees at one size share a batch.

        Parameters
        ----------
        images1, images2 : iterable of numpy.ndarray
            uint8 (H, W, 3), BGR as OpenCV reads them unless `color_order` says otherwise. (A
            dataset's own order, where that is another, is given as if it were BGR: the network
            was trained so.) Also what else `reader.arrays.as_image` takes, such as floats in
            [0, 1], Pillow's images and paths. Both of a pair have one size; pairs may differ.
        batch_size : int
            Pairs per step, over all devices together.
        resize : tuple of int, optional
            (height, width) that the network shall see, multiples of 64. By default the images are
            stretched to the next multiples of 64.
        color_order : {"bgr", "rgb"}
            Of the arrays that are given, and of `warped`. Most libraries but OpenCV read RGB, and
            nothing in an array tells: in the wrong order its flow is wrong by parts of a pixel.

        Yields
        ------
        Prediction
            flow, mask, warped.

        Raises
        ------
        InputError
            There are more of `images1` or `images2`, or one is a single image; the images of a pair
            differ in size or are no images; `resize` is no multiple of 64; a
            batch would not fit into the memory that is free (on a CPU).
        """
        pairs = pair_up(images1, images2)
        return self.predict_pairs(pairs, batch_size, resize, color_order=color_order)

    def predict_pairs(
        self,
        pairs: Iterable[Any],
        batch_size: int = 1,
        resize: tuple[int, int] | None = None,
        wanted: Collection[str] = WANTED,
        color_order: str | None = "bgr",
    ) -> Iterator[Prediction]:
        """Do what `predict` does for an iterable of (image1, image2).

        Only what is `wanted` ("flow", "mask", "warped") is made.
        """
        return self._pair_predictor.pairs(pairs, batch_size, resize, wanted, color_order)

    def predict_levels(self, pairs: Iterable[Any]) -> Iterator[list[np.ndarray]]:
        """Estimate flow as each pyramid level has it, pair by pair: what shows where flow is lost.

        Parameters
        ----------
        pairs : iterable of (image1, image2)
            As for `predict`, BGR.

        Yields
        ------
        list of numpy.ndarray
            Of levels 6 to 2: float32 (H, W, 2), (u, v) = (x, y) in pixels of the images.
        """
        return self._pair_predictor.levels(pairs)

    def validate(
        self,
        images1: Iterable[Any],
        images2: Iterable[Any],
        flows: Iterable[np.ndarray],
        masks: Iterable[np.ndarray] | None = None,
        batch_size: int = 1,
        resize: tuple[int, int] | None = None,
        return_type: str = "epe",
        color_order: str | None = "bgr",
    ) -> float:
        """Return the mean over pairs of each pair's error.

        Parameters
        ----------
        images1, images2 : iterable of numpy.ndarray
            As for `predict`.
        flows : iterable of numpy.ndarray
            float (H, W, 2), the true flow, (u, v) in pixels.
        masks : iterable of numpy.ndarray, optional
            uint8 (H, W, 1) or (H, W), non-zero where the true flow is known; by default everywhere.
        batch_size, resize, color_order
            As for `predict`.
        return_type : {"epe", "kitti"}
            Endpoint error in pixels, or KITTI's Fl as a share (0..1).

        Returns
        -------
        float
            Pairs without a valid pixel are left out; NaN if none is left.
        """
        figures = {"epe": "epe", "kitti": "fl"}
        if return_type not in figures:
            raise InputError(f"return_type: expected one of {list(figures)}, got {return_type!r}")
        images = pair_up(images1, images2)
        predictions = self.predict_pairs(images, batch_size, resize, ("flow",), color_order)
        truths: Iterator[tuple[Any, ...]]
        if masks is None:
            truths = ((flow, np.ones(np.shape(flow)[:2])) for flow in flows)
        else:
            truths = in_step(flows=flows, masks=masks)
        scores = []
        for prediction, (flow, mask) in in_step(images1=predictions, flows=truths):
            flow, known = np.asarray(flow), np.asarray(mask) > 0
            known = known[..., 0] if known.ndim == 3 else known
            for name, own in (("flows", flow[..., 0]), ("masks", known)):
                if own.shape != prediction.flow.shape[:2]:
                    height, width = prediction.flow.shape[:2]
                    raise InputError(
                        f"{name}: expected one of {height}x{width} pixels, as its images are, got "
                        f"one of shape {own.shape}"
                    )
            scores.append(metrics.score_image(prediction.flow, flow, known))
        return metrics.summarize(scores)[figures[return_type]]

    # Training.

    def set_learning_rate(self, step: int) -> bool:
        """Set the schedule's rate for a step; return False when the schedule has ended."""
        for last_step, rate in self.config.optimizer.learning_rate:
            if step <= last_step:
                self.trainer.set_learning_rate(rate)
                return True
        return False

    def train_batch(
        self,
        img1: np.ndarray,
        img2: np.ndarray,
        label: np.ndarray,
        geo_aug: Callable[..., Any],
        color_aug: Callable[..., Any],
        mask: np.ndarray | None = None,
        micro_batch: int | None = None,
        occluded: np.ndarray | None = None,
        knows_occluded: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Take one optimisation step.

        Parameters
        ----------
        img1, img2 : numpy.ndarray
            (N, 3, H, W) in 0..255.
        label : numpy.ndarray
            (N, 2, H, W), the true flow, (u, v) in pixels.
        geo_aug : callable
            (image1, image2, flow, valid) -> the four, NDArrays; images and valid in [0, 1].
        color_aug : callable
            (image1, image2) -> the two.
        mask : numpy.ndarray, optional
            (N, 1, H, W) in 0..255, where the flow is known; by default everywhere.
        micro_batch : int, optional
            Samples that all devices together hold at a time; the gradients of a batch's parts add
            up to those of the whole. By default the whole batch at once.
        occluded : numpy.ndarray, optional
            bool (N, 1, H, W), which pixels of image 1 image 2 does not show. It counts where the
            config has a `mask_weight`.
        knows_occluded : numpy.ndarray, optional
            bool (N,), of which samples that is known; by default of all where it is given.

        Returns
        -------
        dict
            `epe`: the mean endpoint error in pixels at full size over the samples with a valid
            pixel, NaN without one, and `loss`: the mean loss; both before the update and over the
            samples of all workers. `updated`: whether there was one; there is none where the loss
            or its gradient is not finite, be it on another worker.

        Raises
        ------
        InputError
            The batch or its parts cannot be shared out evenly over the devices.
        network.worker_group.PeersLostError
            Another worker has died; the weights are those of before the step.
        """
        if mask is None:
            mask = np.full((len(img1), 1, *img1.shape[2:]), 255, np.uint8)
        if knows_occluded is None:
            knows_occluded = np.full(len(img1), occluded is not None)
        if occluded is None:
            occluded = np.zeros((len(img1), 1, *img1.shape[2:]), bool)
        arrays = (img1, img2, label, mask, occluded, knows_occluded)
        return self._step.run(arrays, geo_aug, color_aug, micro_batch or len(img1))
