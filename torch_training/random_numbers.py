"""Random tensors of one generator, on one device."""

import torch
from torch import Tensor


class Random:
    """Draws numbers; the same for the same seed on the same kind of device.

    Parameters
    ----------
    device : torch.device
    seed : int
    """

    def __init__(self, device: torch.device, seed: int):
        self.device = device
        self._generator = torch.Generator(device).manual_seed(seed)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return numbers from low to high."""
        numbers = torch.rand(shape, generator=self._generator, device=self.device)
        return numbers * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        """Return numbers of mean 0 and standard deviation 1."""
        return torch.randn(shape, generator=self._generator, device=self.device)

    def angle(self, *shape: int) -> Tensor:
        """Return angles in radians."""
        return self.uniform(*shape, high=2 * torch.pi)

    def index(self, count: int, total: int) -> Tensor:
        """Return `count` numbers from 0 to total - 1."""
        return torch.randint(total, (count,), generator=self._generator, device=self.device)

    def chance(self, probability: float, *shape: int) -> Tensor:
        """Return True with that probability, else False."""
        return self.uniform(*shape) < probability
