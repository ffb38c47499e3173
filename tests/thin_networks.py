"""Networks with a tenth of the parameters, for tests of what any network does.

What a training adds up, keeps, writes and goes on with does not depend on how many channels a layer
has. A step of these networks takes less than a third of the time, and S's checkpoints have 3.6 MB.
"""

import sys

from maskflownet.config import layout

WHOLE = {
    name: getattr(layout, name) for name in ("PYRAMID_CHANNELS", "DENSE_CHANNELS", "CONTEXT_LAYERS")
}
THIN = {
    "PYRAMID_CHANNELS": {1: 16, 2: 16, 3: 16, 4: 24, 5: 32, 6: 36},
    "DENSE_CHANNELS": (16,) * len(layout.DENSE_CHANNELS),
    "CONTEXT_LAYERS": tuple((16, dilation) for _, dilation in layout.CONTEXT_LAYERS),
}


def set_widths(patch, widths):
    """Have networks that are made from here on be of these widths, until `patch` is undone.

    What is imported after that has them for good: import the networks before.
    """
    for name, value in widths.items():
        for module in list(sys.modules.values()):
            if any(vars(module).get(name) is one[name] for one in (WHOLE, THIN)):
                patch.setattr(module, name, value)
