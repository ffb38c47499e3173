"""Into what parts a batch is split for the memory that is free."""

import logging

import pytest

from maskflownet.config.errors import InputError
from maskflownet.network import memory
from maskflownet.network.memory import (
    STEP_BESIDES,
    STEP_BYTES_PER_PIXEL,
    STEP_SHARE,
    micro_batch,
    shortage,
)

GB = 10**9


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("samples", "batch", "devices", "wanted"),
    [(8, 8, 1, 8), (7.99, 8, 1, 4), (3.9, 8, 1, 2), (1, 8, 1, 1), (4, 8, 2, 4), (5, 6, 2, 2)],
)
def test_the_most_that_fits_and_divides(monkeypatch, caplog, samples, batch, devices, wanted, fast):
    pixels = 320 * 448
    free = (
        STEP_BESIDES + samples * STEP_BYTES_PER_PIXEL["MaskFlownet_S", fast] * pixels + 1
    ) / STEP_SHARE
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    assert micro_batch(batch, "MaskFlownet_S", fast, (320, 448), devices) == wanted
    assert caplog.messages == []


def test_where_not_even_one_pair_fits_for_sure_there_is_a_warning(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(memory, "free_bytes", lambda: 12.5 * GB)
    assert micro_batch(8, "MaskFlownet", False, (384, 768), 2) == 2
    (message,) = caplog.messages
    assert (
        "micro-batches of 2 at 768x384 pixels need about 14.2 GB" in message
        and "12.5 GB" in message
    )


def test_a_training_that_cannot_fit_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 12 * GB)
    with pytest.raises(
        InputError, match=r"need about 14\.2 GB .* 12\.0 GB are free: use a smaller"
    ):
        micro_batch(8, "MaskFlownet", False, (384, 768), 2)


def test_a_trained_first_stage_needs_its_own_share(monkeypatch):
    per_pixel = sum(STEP_BYTES_PER_PIXEL[name, True] for name in ("MaskFlownet", "MaskFlownet_S"))
    free = (STEP_BESIDES + 4 * per_pixel * 320 * 448 + 1) / STEP_SHARE
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    assert micro_batch(8, "MaskFlownet", True, (320, 448), 1, first_stage=True) == 4
    monkeypatch.setattr(memory, "free_bytes", lambda: free - 1e6)
    assert micro_batch(8, "MaskFlownet", True, (320, 448), 1, first_stage=True) == 2


def test_what_is_not_known_does_not_split_a_batch(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: None)
    assert micro_batch(8, "MaskFlownet_S", False, (320, 448), 1) == 8


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):\n  File x\nMXNetError: Failed to allocate CPU Memory\n",
        "MXNetError: could not create a primitive",
        "MXNetError: Check failed: e == cudaSuccess: CUDA: out of memory",
    ],
)
def test_a_step_that_lacks_memory_says_what_to_do_in_one_line(text):
    message = str(shortage(RuntimeError(text), 4))
    assert message.startswith("a step with 4 pairs at a time needs more memory")
    assert "--micro_batch" in message and "\n" not in message


@pytest.mark.parametrize("text", ["", "Check failed: shapes differ"])
def test_other_errors_are_left_alone(text):
    assert shortage(RuntimeError(text), 4) is None
