"""Training steps that outlive a bad batch."""

import math

import torch

from maskflownet.torch_training.loss import centred, flow_loss, level_errors, mask_loss
from maskflownet.torch_training.networks import PyramidNetwork
from maskflownet.torch_training.scenes import Pairs

FARTHEST = 400  # pixels; a larger motion counts as unknown
LARGEST_STEP = 4  # times the usual length of the gradient; a longer one is scaled down to it
MEMORY = 0.99  # of the usual length, from step to step
LOST = 2.0  # times the lowest loss, relative to the motion: then the training has gone astray


class Steps:
    """Takes steps of Adam, and goes back to the last good weights when the loss is lost.

    Parameters
    ----------
    network : torch.nn.Module
        Of `torch_training.networks`.
    weights : sequence of float
        Of the losses of levels 6 to 2.
    mask_weight : float
        Of what the masks learn from the scenes' own occlusions; 0 is the paper's training.
    rounds : bool
        Whether convolutions are rounded to bfloat16.
    """

    def __init__(self, network: PyramidNetwork, weights, mask_weight: float, rounds: bool):
        self._network = network
        self._weights, self._mask_weight = weights, mask_weight
        self._rounds = rounds
        self._trained = [one for one in network.parameters() if one.requires_grad]
        self._device = self._trained[0].device
        self.optimizer = torch.optim.Adam(self._trained, fused=self._device.type == "cuda")
        self._usual = torch.tensor(math.inf, device=self._device)  # length of the gradient
        self._lowest = math.inf
        self._good = self._copy()
        self.rate_factor = 1.0

    def rounded(self) -> torch.autocast:
        """Return the context in which the network runs."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._rounds)

    def take(self, pairs: Pairs, rate: float) -> torch.Tensor:
        """Take a step; return (loss, EPE, mean motion), the latter two in pixels, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.rate_factor
        known = (pairs.flow.norm(dim=1) < FARTHEST).float()
        with self.rounded():
            flows, masks = self._network.estimate(*centred(pairs.image1, pairs.image2))
        errors = level_errors(flows, pairs.flow, known)
        total = loss = flow_loss(errors, self._weights)
        if self._mask_weight:
            total = total + self._mask_weight * mask_loss(masks, pairs.occluded)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._shorten()
        self.optimizer.step()
        motion = (pairs.flow.norm(dim=1) * known).sum() / known.sum().clamp(min=1)
        return torch.stack((loss, errors[-1], motion)).detach()

    def _shorten(self):
        """Scale a gradient down that is much longer than usual; nothing here waits for a GPU."""
        gradients = [one.grad for one in self._trained if one.grad is not None]
        length = torch.nn.utils.get_total_norm(gradients, foreach=True)
        most = LARGEST_STEP * self._usual
        factor = (most / length.clamp(min=1e-12)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factor)
        mean = MEMORY * self._usual + (1 - MEMORY) * torch.minimum(length, most)
        self._usual = torch.where(self._usual.isinf(), length, mean)

    def _copy(self):
        return {name: one.clone() for name, one in self._network.state_dict().items()}

    def weights(self, loss: float, motion: float) -> dict[str, torch.Tensor]:
        """Return the weights as they are if all goes well, else those kept last.

        Parameters
        ----------
        loss, motion : float
            Their means over the steps since `look_back`, be they few.
        """
        return self._network.state_dict() if self._goes_well(loss, motion) else self._good

    def _goes_well(self, loss, motion):
        relative = loss / max(motion, 1e-6)
        return math.isfinite(relative) and relative < LOST * self._lowest

    def look_back(self, loss: float, motion: float) -> bool:
        """Keep the weights if all went well over the last steps, else go back to those kept.

        Parameters
        ----------
        loss, motion : float
            Their means over the last steps.

        Returns
        -------
        bool
            Whether all went well. Else the rate is halved from here on.
        """
        if self._goes_well(loss, motion):
            self._lowest = min(self._lowest, loss / max(motion, 1e-6))
            self._good = self._copy()
            return True
        self._network.load_state_dict(self._good)
        self.optimizer.state.clear()
        self._usual.fill_(math.inf)
        self.rate_factor /= 2
        return False
