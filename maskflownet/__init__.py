"""MaskFlownet on MXNet: optical flow with an occlusion mask that is learned without supervision.

This package is the one name under which the project is imported. In a clone its rooms (network/,
reader/, ...) lie beside this folder and are found there; in an installed package they lie in it.
Importing it is light: what is named below is loaded when it is first used.
"""

import importlib
from pathlib import Path

__version__ = "1.0.0"

# The public names, and the module that each comes from.
_FACE = {
    "InputError": "maskflownet.config",
    "Pipeline": "maskflownet.network",
    "estimate_both_ways": "maskflownet.tasks.prediction.estimate",
    "estimate_flow": "maskflownet.tasks.prediction.estimate",
    "estimate_sequence": "maskflownet.tasks.prediction.estimate",
    "export": "maskflownet.exporting",
    "flow_to_color": "maskflownet.output",
    "get_pipeline": "maskflownet.network",
    "load": "maskflownet.tasks.open_pipeline",
    "load_config": "maskflownet.config",
    "load_dataset_config": "maskflownet.config",
}

__all__ = ["__version__", *_FACE]

_ROOT = Path(__file__).resolve().parent.parent
IN_CLONE = not (Path(__file__).parent / "network").is_dir()
if IN_CLONE:
    __path__.append(str(_ROOT))


def __getattr__(name):
    """Load a public name."""
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_FACE[name]), name)


def __dir__():
    """List the public names too."""
    return sorted({*globals(), *_FACE})
