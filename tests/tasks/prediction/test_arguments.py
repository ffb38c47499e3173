"""What the network config has a say in, of the arguments of predict_new_data.py."""

from types import SimpleNamespace

import pytest

from maskflownet import predict_new_data
from maskflownet.config import InputError, load_config
from maskflownet.tasks.prediction.arguments import job_of


def test_no_mask_is_saved_of_a_network_without_one():
    files = SimpleNamespace(kinds=frozenset({"flo", "mask"}))
    with pytest.raises(InputError, match=r"^mask: fmm has network\.matching fmm, which"):
        job_of(None, None, files, None, load_config("ablation/fmm"))


@pytest.mark.parametrize(
    "words",
    [
        "out NET --folder f -c r",
        "out --folder f NET -c r",
        "--folder f out -c r NET",
        "-c r out NET",
    ],
)
def test_output_and_config_may_stand_anywhere(words):
    arguments = predict_new_data.make_parser().parse_intermixed_args(words.split())
    assert (arguments.output, arguments.config, arguments.checkpoint) == ("out", "NET", "r")
