"""The optimiser computes what AdamW says, in whatever memory layout weights and gradients lie."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from hand_pose_ros.training.average import blend  # noqa: E402
from hand_pose_ros.training.optimisation import AveragedModule, Measured, Schedule  # noqa: E402


class Toy(AveragedModule):
    """A convolution (channels last) and a linear layer on its mean."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2)), schedule
        )

    def loss(self, batch: Tensor) -> dict[str, Tensor]:
        return {"total": self.network(batch).square().sum()}

    def evaluate(self, batch: Tensor) -> dict[str, Measured]:
        return {}


@pytest.mark.parametrize("decay_all", [False, True])
def test_optimizer_is_adamw(decay_all: bool) -> None:
    rate, decay, steps = 1e-2, 0.1, 4
    torch.manual_seed(0)
    module = Toy(Schedule(steps=steps, learning_rate=rate, weight_decay=decay, decay_all=decay_all))
    optimizer = module.optimizer()
    parameters = list(module.network.parameters())
    expected = [(p.detach().clone(), torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    for step in range(1, steps + 1):
        module(torch.randn(5, 3, 8, 8))["total"].backward()
        for parameter, (value, first, second) in zip(parameters, expected, strict=True):
            gradient = parameter.grad
            if parameter.ndim > 1 or decay_all:
                value.mul_(1 - rate * decay)
            first.mul_(0.9).add_(gradient, alpha=0.1)
            second.mul_(0.999).add_(gradient.square(), alpha=0.001)
            value.sub_(rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8))
        optimizer.step()
        optimizer.zero_grad()
        for parameter, (value, _, _) in zip(parameters, expected, strict=True):
            torch.testing.assert_close(parameter.detach(), value, rtol=1e-4, atol=1e-5)


def test_a_blend_lies_between_two_networks() -> None:
    torch.manual_seed(0)
    first, second = (torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)) for _ in range(2))
    start = {name: value.clone() for name, value in first.state_dict().items()}
    blend(first, second.state_dict(), 0.25)
    for name, value in first.state_dict().items():
        expected = 0.75 * start[name] + 0.25 * second.state_dict()[name]
        torch.testing.assert_close(value.double(), expected.double(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="same network"):
        blend(first, {"0.weight": start["0.weight"]}, 0.5)
    with pytest.raises(ValueError, match="0 to 1"):
        blend(first, start, 1.5)
