"""What the network config has a say in, of the arguments of predict_new_data.py."""

from types import SimpleNamespace

import pytest

from maskflownet.config import InputError, load_config
from maskflownet.tasks.prediction.arguments import job_of


def test_no_mask_is_saved_of_a_network_without_one():
    files = SimpleNamespace(kinds=frozenset({"flo", "mask"}))
    with pytest.raises(InputError, match=r"^mask: fmm has network\.matching fmm, which"):
        job_of(None, None, files, None, load_config("ablation/fmm"))
