"""Pictures of flow: arrays in, arrays out. NumPy and OpenCV only; images are BGR everywhere."""

from output.arrows import draw_arrows
from output.consistency import consistency_mask
from output.error_map import error_map
from output.flow_color import flow_to_color, largest_length
from output.legend import color_legend

__all__ = [
    "color_legend",
    "consistency_mask",
    "draw_arrows",
    "error_map",
    "flow_to_color",
    "largest_length",
]
