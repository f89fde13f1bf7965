"""Muon for the convolutions of a network, AdamW for the rest.

Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (kellerjordan.github.io/posts);
size of the steps: Liu et al. 2025, "Muon is scalable for LLM training", section 2.2. `torch.optim.Muon` (from 2.9 on)
takes matrices only, and the weights of convolutions have four axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn

# Newton-Schulz iteration of the source: singular values come to lie between 0.7 and 1.2 within five steps.
_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
_STEPS: Final = 5
# Root mean square of AdamW's steps, which those of Muon are given (Liu et al., equation 4).
_STEP_SIZE: Final = 0.2
_SMALLEST: Final = 1e-7
MOMENTUM: Final = 0.95
_PICTURE: Final = 5  # channels


class Muon(torch.optim.AdamW):
    """AdamW, but in groups with `momentum` above 0 the gradients' momentum (Nesterov) is made orthogonal: a step then
    changes the weights alike in all directions, also in those of small gradients. One rate fits both kinds of groups.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__([{"momentum": 0.0, **group} for group in groups], lr=lr, foreach=True)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step. Gradients of the weights with momentum are used up."""
        for group in self.param_groups:
            if group["momentum"] > 0:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._descend(weight, weight.grad, group)
                        # AdamW leaves alone what has no gradient.
                        weight.grad = None
        return super().step(closure)

    def _descend(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        # AdamW expects a count in every state that it reads back.
        state = self.state[weight]
        if not state:
            state["step"], state["momentum"] = torch.zeros(()), torch.zeros_like(weight)
        momentum: Tensor = state["momentum"]
        momentum.mul_(group["momentum"]).add_(gradient)
        matrix = (gradient + group["momentum"] * momentum).flatten(1)
        change = orthogonal(matrix).to(weight.dtype).reshape(weight.shape)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.sub_(change, alpha=group["lr"] * _STEP_SIZE * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Nearly the orthogonal factor of a matrix (m, n): singular values become about 1. bfloat16, which is enough."""
    a, b, c = _COEFFICIENTS
    upright = matrix.shape[0] > matrix.shape[1]
    value: Tensor = (matrix.T if upright else matrix).bfloat16()
    value = value / (value.norm() + _SMALLEST)
    for _ in range(_STEPS):
        square = value @ value.T
        value = a * value + (b * square + c * (square @ square)) @ value
    return value.T if upright else value


def hidden_apart(
    network: nn.Module, modules: Iterable[nn.Module]
) -> tuple[list[Tensor], list[tuple[str, nn.Parameter]]]:
    """`hidden_convolutions` of these modules of a network, and all its other parameters by name."""
    hidden = hidden_convolutions(modules)
    taken = {id(weight) for weight in hidden}
    return hidden, [(name, weight) for name, weight in network.named_parameters() if id(weight) not in taken]


def hidden_convolutions(modules: Iterable[nn.Module]) -> list[Tensor]:
    """Weights of the convolutions in these modules but for those that read a picture, colour with depth at most: for
    Muon."""
    found = [m for part in modules for m in part.modules() if isinstance(m, nn.Conv2d) and m.in_channels > _PICTURE]
    return [convolution.weight for convolution in found]
