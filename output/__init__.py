"""Pictures of flow, from arrays to arrays; `video` and `submissions` write files.

Images are BGR by default. NumPy, OpenCV and, for videos, PyAV.
"""

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
