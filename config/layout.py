"""The layers that both networks are made of, as numbers."""

PYRAMID_CHANNELS = {1: 16, 2: 32, 3: 64, 4: 96, 5: 128, 6: 196}
LEVELS = (6, 5, 4, 3, 2)  # of the decoder, coarse to fine
STRIDES = {level: 2**level for level in LEVELS}
FINEST_STRIDE = STRIDES[LEVELS[-1]]
DENSE_CHANNELS = (128, 128, 96, 64, 32)
CONTEXT_LAYERS = ((128, 1), (128, 2), (128, 4), (96, 8), (64, 16), (32, 1))  # channels, dilation
LEAKY_SLOPE = 0.1
FLOW_UNIT = 20  # the networks' flow is in units of this many pixels
EPSILON = 1e-8  # under the loss's square root


def dense_width(in_channels: dict[int, int]) -> dict[int, int]:
    """Return {level: channels after the dense block}, given {level: channels before it}."""
    return {level: width + sum(DENSE_CHANNELS) for level, width in in_channels.items()}
