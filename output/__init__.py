"""Pictures of flow: arrays in, arrays out. NumPy and OpenCV only; images are BGR by default."""

from maskflownet.output.arrows import draw_arrows
from maskflownet.output.consistency import consistency_mask
from maskflownet.output.error_map import error_map
from maskflownet.output.flow_color import flow_to_color, largest_length
from maskflownet.output.legend import color_legend

__all__ = [
    "color_legend",
    "consistency_mask",
    "draw_arrows",
    "error_map",
    "flow_to_color",
    "largest_length",
]
