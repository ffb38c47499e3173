"""The golden lists of the ablations' parameters, tests/data/ablation/NAME.txt.

Each line is an array in creation order: its structured name, its legacy name, its shape. The lists
say what checkpoints hold, so they are written with the present code only to add a variant:
`PYTHONPATH=. python tests/ablation_lists.py`; then look at what has changed.
"""

import sys
from pathlib import Path

from maskflownet import runtime  # noqa: F401  (before anything imports MXNet)

# isort: split
from maskflownet.config import load_config
from maskflownet.config.files import CONFIG_DIR, names_in_config
from maskflownet.network.pipeline import NETWORKS


def array_list(network):
    """Return the lines of a network's list."""
    structured = {
        parameter.name: name for name, parameter in network._collect_params_with_prefix().items()
    }
    return [
        f"{structured[name]} {name[len(network.prefix) :]} {'x'.join(map(str, parameter.shape))}"
        for name, parameter in network.collect_params().items()
    ]


def main():
    """Write a list for each network config in config/ablation/."""
    folder = Path(__file__).parent / "data" / "ablation"
    folder.mkdir(exist_ok=True)
    for name in names_in_config("network"):
        if not name.startswith("ablation/"):
            continue
        config = load_config(CONFIG_DIR / f"{name}.yaml").network
        lines = array_list(NETWORKS[config.class_name](config))
        (folder / f"{Path(name).name}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
