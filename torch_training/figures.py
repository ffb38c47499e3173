"""How good a network is on held-out scenes."""

from collections.abc import Sequence

import torch

from maskflownet.config.layout import FINEST_STRIDE, FLOW_UNIT, STRIDES
from maskflownet.torch_training.loss import centred
from maskflownet.torch_training.networks import PyramidNetwork, upsample
from maskflownet.torch_training.scenes import Pairs

STEPS = 1000  # into which scores of the mask are sorted
RANGES = {"<2": (0, 2), "2-10": (2, 10), "10-40": (10, 40), ">40": (40, float("inf"))}


@torch.no_grad()
def figures(network: PyramidNetwork, held_out: Sequence[Pairs]) -> dict[str, float]:
    """Return mean EPE in pixels, also by true motion, and the occlusion mask's average precision.

    Keys: `epe`, `no_motion` (of a flow of zeros), `level_6` to `level_2` (of each level's flow,
    enlarged), one for each range of motion in pixels, `visible` and `occluded` (EPE there),
    `mask_ap`, and `occluded_share`, what `mask_ap` is by chance.
    """
    sums: dict[str, list] = {}
    hits, total = torch.zeros(STEPS + 1), torch.zeros(STEPS + 1)
    for pairs in held_out:
        flows, masks = network.estimate(*centred(pairs.image1, pairs.image2))
        motion, error = pairs.flow.norm(dim=1), pairs.flow[:, 0]
        for level, stride in STRIDES.items():  # the last one's counts
            flow = upsample(flows[level] * FLOW_UNIT, stride).flip(1)
            error = (flow - pairs.flow).norm(dim=1)
            _add(sums, f"level_{level}", error)
        hidden = pairs.occluded[:, 0] > 0
        chosen = {"epe": motion >= 0, "visible": ~hidden, "occluded": hidden}
        for name, (low, high) in RANGES.items():
            chosen[name] = (motion >= low) & (motion < high)
        _add(sums, "no_motion", motion)
        for name, where in chosen.items():
            _add(sums, name, error[where])
        score = 1 - upsample(torch.sigmoid(masks[2]), FINEST_STRIDE)
        step = (score * STEPS).round().long().flatten().cpu()
        hits += torch.bincount(step, hidden.flatten().cpu().float(), STEPS + 1)
        total += torch.bincount(step, minlength=STEPS + 1)
    means = {name: float(value / max(count, 1)) for name, (value, count) in sums.items()}
    found, seen = hits.flip(0).cumsum(0), total.flip(0).cumsum(0).clamp(min=1)
    precision = (found / seen * hits.flip(0)).sum() / found[-1].clamp(min=1)
    share = (found[-1] / seen[-1]).item()
    return {**means, "mask_ap": precision.item(), "occluded_share": share}


def _add(sums, name, values):
    value, count = sums.get(name, (0.0, 0))
    sums[name] = [value + values.double().sum().item(), count + values.numel()]
