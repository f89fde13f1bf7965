"""The flow of residual log-likelihood estimation (Li et al., ICCV 2021), for errors of three coordinates.

Training only: it is part of the loss, not of the network, so that neither graph nor parameter count holds it.
"""

from __future__ import annotations

import itertools
import math
from typing import Final

import torch
from torch import Tensor, nn

DIMENSIONS: Final = 3
# As in the public code, with a third coordinate: six couplings of alternating masks, 64 hidden channels.
_MASKS: Final = ((0.0, 0.0, 1.0), (1.0, 1.0, 0.0)) * 3
_HIDDEN: Final = 64
_LOG_NORMAL: Final = 0.5 * DIMENSIONS * math.log(2 * math.pi)


class RealNVP(nn.Module):
    """Six affine couplings between errors (..., 3) and a standard normal (Dinh et al. 2017)."""

    masks: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("masks", torch.tensor(_MASKS))
        # A bounded scale keeps the density from running away.
        self.scales = nn.ModuleList(nn.Sequential(*_layers(), nn.Tanh()) for _ in _MASKS)
        self.shifts = nn.ModuleList(nn.Sequential(*_layers()) for _ in _MASKS)

    def forward(self, errors: Tensor) -> Tensor:
        """Log density (...) of errors (..., 3)."""
        normal, log_determinant = self.to_normal(errors)
        return log_determinant - 0.5 * normal.square().sum(dim=-1) - _LOG_NORMAL

    def to_normal(self, errors: Tensor) -> tuple[Tensor, Tensor]:
        """Errors (..., 3) -> normal (..., 3), and the log determinant (...) of that map."""
        log_determinant = torch.zeros_like(errors[..., 0])
        current = errors
        for index in reversed(range(len(_MASKS))):
            kept, scale, shift, free = self._coupling(index, current)
            current = kept + free * (current - shift) * torch.exp(-scale)
            log_determinant = log_determinant - scale.sum(dim=-1)
        return current, log_determinant

    def from_normal(self, normal: Tensor) -> Tensor:
        """The inverse of `to_normal`: samples of errors (..., 3)."""
        current = normal
        for index in range(len(_MASKS)):
            kept, scale, shift, free = self._coupling(index, current)
            current = kept + free * (current * torch.exp(scale) + shift)
        return current

    def _coupling(self, index: int, current: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        free = 1 - self.masks[index]
        kept = current * self.masks[index]
        return kept, free * self.scales[index](kept), free * self.shifts[index](kept), free


def _layers() -> list[nn.Module]:
    sizes = (DIMENSIONS, _HIDDEN, _HIDDEN, DIMENSIONS)
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        linear = nn.Linear(inputs, outputs)
        # Close to the identity at first, as in the public code.
        nn.init.xavier_uniform_(linear.weight, gain=0.01)
        layers += [linear, nn.LeakyReLU()]
    return layers[:-1]
