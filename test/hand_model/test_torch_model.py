"""The torch hand equals the numpy hand, and its gradients are sound."""

from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import Side

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("side", list(Side))
def test_equals_numpy(side: Side) -> None:
    from hand_pose_ros.hand_model.torch_model import TorchHandModel

    model = HandModel.bundled(side)
    rng = np.random.default_rng(3)
    arguments = [rng.normal(0, 0.6, (4, size)).astype(np.float32) for size in (3, 45, 10, 3)]
    arguments[1][0] = 0.0
    expected = model.forward_batch(*arguments)
    vertices, joints = TorchHandModel(model)(*map(torch.from_numpy, arguments))
    np.testing.assert_allclose(vertices.numpy(), expected.vertices, atol=1e-5)
    np.testing.assert_allclose(joints.numpy(), expected.joints, atol=1e-5)


def test_gradients_are_finite_at_the_flat_hand_and_right_elsewhere() -> None:
    from hand_pose_ros.hand_model.torch_model import TorchHandModel

    hand = TorchHandModel(HandModel.bundled(Side.RIGHT)).double()
    zeros = [torch.zeros(1, size, dtype=torch.float64, requires_grad=True) for size in (3, 45, 10, 3)]
    hand(*zeros)[1].square().sum().backward()
    assert all(torch.isfinite(argument.grad).all() for argument in zeros)
    pose = (torch.randn(1, 45, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.3).requires_grad_()

    def tip_height(value: torch.Tensor) -> torch.Tensor:
        return hand(torch.zeros(1, 3).double(), value, torch.zeros(1, 10).double(), torch.zeros(1, 3).double())[1][
            0, 8, 1
        ]

    (slope,) = torch.autograd.grad(tip_height(pose), pose)
    step = torch.zeros_like(pose)
    step[0, 2] = 1e-5
    numeric = (tip_height(pose + step) - tip_height(pose - step)) / 2e-5
    assert float(slope[0, 2].detach()) == pytest.approx(float(numeric.detach()), rel=1e-4)


def test_the_model_stays_out_of_checkpoints() -> None:
    from hand_pose_ros.hand_model.torch_model import TorchHandModel

    assert not TorchHandModel(HandModel.bundled(Side.RIGHT)).state_dict()
