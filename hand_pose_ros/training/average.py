"""An exponential moving average of a network's weights, which is what is evaluated and exported."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class WeightAverage(nn.Module):
    """Holds `network`, averaged over training: average = decay * average + (1 - decay) * weights per step."""

    def __init__(self, network: nn.Module, decay: float = 0.999) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    def train(self, mode: bool = True) -> WeightAverage:
        """The average is never in training mode."""
        return super().train(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after optimiser step `step` (from 0); early steps average over less."""
        rate = 1.0 - min(self.decay, (1 + step) / (10 + step))
        averages: list[torch.Tensor] = []
        currents: list[torch.Tensor] = []
        for average, current in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if average.dtype.is_floating_point:
                averages.append(average)
                currents.append(current)
            else:
                average.copy_(current)
        torch._foreach_lerp_(averages, currents, rate)


@torch.no_grad()
def blend(network: nn.Module, other: Mapping[str, Tensor], share: float) -> None:
    """Move a network's weights by `share` (0..1) of the way to others, in place (Wortsman et al. 2022, WiSE-FT).

    For a network that went on from `other` to new data: between the two, what was learnt anew is mostly kept and what
    was known before mostly not lost.

    Raises:
        ValueError: other names or shapes, or no share.
    """
    state = network.state_dict()
    different = state.keys() ^ other.keys()
    different |= {name for name in state.keys() & other.keys() if state[name].shape != other[name].shape}
    if different:
        raise ValueError(
            f"weights: expected those of the same network, these differ: {', '.join(sorted(different)[:5])}"
        )
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected 0 to 1, got {share}")
    for name, value in state.items():
        if value.dtype.is_floating_point:
            value.lerp_(other[name].to(value), share)
