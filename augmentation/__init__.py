"""Random changes of geometry and colour for training, after FlowNet (Dosovitskiy et al., 2015).

The random numbers are drawn on the host, from (seed, step, sample) and nothing else, so that a run
repeats whatever devices, workers or micro-batches it has; they are applied on the device.
`Augmentation` is the front door.
"""

from maskflownet import runtime  # noqa: F401  (before anything imports MXNet)

# isort: split
from maskflownet.augmentation.batch import Augmentation, Draws
from maskflownet.augmentation.color import ColorAugmentation
from maskflownet.augmentation.geometry import GeometricAugmentation

__all__ = ["Augmentation", "ColorAugmentation", "Draws", "GeometricAugmentation"]
