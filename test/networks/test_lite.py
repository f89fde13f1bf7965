"""The lite network: shapes, robustness to what is missing, no parameter without use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion import KeypointFusion, KeypointFusionConfig  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.points import front_surface  # noqa: E402

MakeInputs = Callable[[int, int], dict[str, Any]]


@pytest.fixture(scope="module")
def network() -> KeypointFusion:
    torch.manual_seed(0)
    return KeypointFusion(KeypointFusionConfig())


def test_lite_is_small(network: KeypointFusion) -> None:
    assert sum(p.numel() for p in network.parameters()) <= 6_000_000


@pytest.mark.parametrize("missing", ["nothing", "rgb", "depth", "both"])
def test_outputs_are_finite_and_shaped(network: KeypointFusion, make_inputs: MakeInputs, missing: str) -> None:
    inputs = make_inputs(2, 1)
    if missing in ("rgb", "both"):
        inputs["rgb"] = torch.zeros_like(inputs["rgb"])
    if missing in ("depth", "both"):
        inputs["depth"] = torch.ones_like(inputs["depth"])
    output = network.eval()(**inputs)
    shapes = {
        "joints": (2, 21, 3),
        "initial_uvd": (2, 21, 3),
        "depth_map": (2, 105, 32, 32),
        "rgb_map": (2, 105, 32, 32),
        "depth_small": (2, 1, 32, 32),
        "spread": (2, 21),
        "presence_logit": (2,),
        "side_logit": (2,),
    }
    for name, shape in shapes.items():
        value = getattr(output, name)
        assert tuple(value.shape) == shape, name
        assert torch.isfinite(value).all(), name
    assert len(output.refined) == len(output.final) == len(output.spatial_weights) == 2
    assert (output.spread >= 0).all()
    assert output.has_rgb.tolist() == [0.0 if missing in ("rgb", "both") else 1.0] * 2


def test_no_depth_starts_at_the_centre(network: KeypointFusion, make_inputs: MakeInputs) -> None:
    inputs = make_inputs(1, 2)
    inputs["depth"] = torch.ones_like(inputs["depth"])
    assert network.eval()(**inputs).initial_uvd.abs().max() < 1e-3


def test_every_parameter_gets_a_gradient(network: KeypointFusion, make_inputs: MakeInputs) -> None:
    network.train().zero_grad()
    output = network(**make_inputs(2, 3))
    supervised = (output.depth_map, output.rgb_map, output.initial_uvd, *output.refined, *output.final)
    loss = sum(value.square().sum() for value in (*supervised, *output.spatial_weights))
    (loss + output.presence_logit.square().sum() + output.side_logit.square().sum()).backward()
    dead = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert dead == []


def test_in_plane_rotation_only_turns_the_frame(network: KeypointFusion, make_inputs: MakeInputs) -> None:
    """A camera rolled about its axis sees the same crop; the pose must be the same, rolled."""
    inputs = make_inputs(1, 4)
    upright = network.eval()(**inputs).joints
    angle = torch.tensor(0.7)
    c, s = angle.cos(), angle.sin()
    roll = torch.stack((c, -s, s, c)).reshape(2, 2)
    turned = dict(inputs)
    rotation = torch.eye(3)
    rotation[:2, :2] = roll
    turned["center"] = inputs["center"] @ rotation.T
    fx, fy, cx, cy = inputs["intrinsics"][0]
    assert fx == fy
    principal = torch.tensor([[1.0, 0.0, cx], [0.0, 1.0, cy], [0.0, 0.0, 1.0]])
    image_roll = principal @ rotation @ torch.linalg.inv(principal)
    turned["crop_matrix"] = inputs["crop_matrix"] @ torch.linalg.inv(image_roll)
    rolled = network(**turned).joints
    assert torch.allclose(upright @ rotation.T, rolled, atol=2e-4)


def test_front_surface_table() -> None:
    depth = torch.ones(1, 1, 128, 128)
    depth[0, 0, 0, :4] = -0.2  # a finger's edge: four readings
    depth[0, 0, 1:4, :4] = 0.6  # and what lies behind
    depth[0, 0, 0, 4] = 0.1  # a lone speckle
    depth[0, 0, 4:8, :4] = torch.linspace(-0.02, 0.02, 16).reshape(4, 4)  # noise averages
    small = front_surface(depth)[0, 0]
    assert small[0, 0] == pytest.approx(-0.2, abs=1e-6)
    assert small[0, 1] == 1
    assert small[1, 0] == pytest.approx(0.0, abs=1e-6)
    assert (small[2:] == 1).all()
