"""Generated scenes: image pairs with exact flow and occlusion, made on the fly.

A textured background and textured shapes before it, each with its own motion. Pair i of seed s is
always the same. `SceneConfig` says what scenes look like, `generate` makes one.
"""

from maskflownet.reader.synthetic.config import SceneConfig
from maskflownet.reader.synthetic.scene import check_size, generate

__all__ = ["SceneConfig", "check_size", "generate"]
