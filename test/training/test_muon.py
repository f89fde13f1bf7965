"""Muon makes steps orthogonal, leaves the rest to AdamW, and resumes."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from hand_pose_ros.training.muon import Muon, hidden_convolutions, orthogonal  # noqa: E402

RATE, DECAY = 1e-2, 0.1


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (6, 6), (1, 5)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1, shape[1]))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(matrix).float()
    values = torch.linalg.svdvals(found)
    assert found.shape == shape and values.min() > 0.6 and values.max() < 1.3
    # It points the same way as the true factor.
    assert (found * (left @ right)).sum() > 0.65 * min(shape)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def muon(net: nn.Module) -> Muon:
    hidden = hidden_convolutions([net])
    taken = {id(weight) for weight in hidden}
    rest = [weight for weight in net.parameters() if id(weight) not in taken]
    return Muon(
        [{"params": hidden, "weight_decay": DECAY, "momentum": 0.9}, {"params": rest, "weight_decay": 0.0}], RATE
    )


def descend(net: nn.Module, optimizer: torch.optim.Optimizer, pictures: Tensor) -> None:
    net(pictures).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_only_hidden_convolutions_are_for_muon() -> None:
    net = network()
    assert [weight is net[1].weight for weight in hidden_convolutions([net])] == [True]


def test_steps_are_orthogonal_and_the_rest_is_adamws() -> None:
    net, pictures = network(), torch.rand(5, 3, 8, 8)
    plain = copy.deepcopy(net)
    weight = net[1].weight.detach().clone()
    net(pictures).square().sum().backward()
    first = net[1].weight.grad.clone()
    momentum, optimizer = first, muon(net)
    optimizer.step()
    size = RATE * 0.2 * 54**0.5
    change = orthogonal((first + 0.9 * momentum).flatten(1)).float().reshape(weight.shape)
    torch.testing.assert_close(net[1].weight.detach(), weight * (1 - RATE * DECAY) - size * change)
    descend(plain, torch.optim.AdamW(plain.parameters(), RATE, weight_decay=0.0), pictures)
    for name in ("0.weight", "0.bias", "1.bias", "2.weight", "4.weight"):
        torch.testing.assert_close(net.state_dict()[name], plain.state_dict()[name])


def test_momentum_is_kept_and_read_back() -> None:
    pictures = torch.rand(4, 5, 3, 8, 8)
    whole, first = network(), network()
    optimizer, before = muon(whole), muon(first)
    for batch in pictures:
        descend(whole, optimizer, batch)
    for batch in pictures[:2]:
        descend(first, before, batch)
    resumed = copy.deepcopy(first)
    after = muon(resumed)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    for batch in pictures[2:]:
        descend(resumed, after, batch)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
