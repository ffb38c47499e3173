"""The four checkpoints that were released with the paper."""

from typing import NamedTuple


class Released(NamedTuple):
    """One released checkpoint.

    Attributes
    ----------
    file : str
        Its name in the original repository's folder weights/: RUN_STEPS.params.
    blob_id : str
        Git's id of its content: the sha1 of `blob SIZE` + a zero byte + the content.
    config : str
        The network config in config/ that fits it, without ".yaml".
    trained_on : str
        What it learned from, in a few words.
    """

    file: str
    blob_id: str
    config: str
    trained_on: str

    @property
    def run(self) -> str:
        """The run that it comes from, such as "dbbSep30-1206"."""
        return self.file.rpartition("_")[0]


RELEASED = (
    Released(
        "abbSep15-1037_500000.params",
        "771c1b9a68630f6d53f0c6056f0fb85dbe434839",
        "MaskFlownet_S_ft",
        "FlyingChairs, FlyingThings3D",
    ),
    Released(
        "dbbSep30-1206_1000000.params",
        "3c6a62d21d1853ff88d0447e3ead8a943dab229f",
        "MaskFlownet_S_sintel",
        "Sintel",
    ),
    Released(
        "5adNov03-0005_1000000.params",
        "384bceb4a19b3f3ef99da26c0f8620f4bf6eadbe",
        "MaskFlownet_sintel",
        "Sintel",
    ),
    Released(
        "8caNov12-1532_300000.params",
        "e26389a27182eb637f1fc338aa0b17a0d3f4ccd7",
        "MaskFlownet_kitti",
        "KITTI",
    ),
)


def find_released(name: str) -> Released | None:
    """Return the released checkpoint whose run or file name begins with `name`, or None.

    Parameters
    ----------
    name : str
        A run id or a beginning of it: "dbbSep30", "dbbSep30-1206", or the whole file name.
    """
    if not name:
        return None
    return next((entry for entry in RELEASED if entry.file.startswith(name)), None)
