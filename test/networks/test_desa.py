"""DESA computes each neighbour once in training, and gives, learns and keeps what the published padded form does."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_fusion.aggregation import FAR_AWAY  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.desa import RADII, SAMPLES, LocalAggregation, ball_query  # noqa: E402
from hand_pose_ros.networks.keypoint_fusion.neighbours import neighbours, squared_distances  # noqa: E402

CHANNELS, BATCH, JOINTS, POINTS = 6, 2, 5, 300
# Spread of points and joints: usual; all in one place, so that balls overflow; nothing seen.
SPREADS = {"usual": (0.4, 0.3), "crowded": (0.05, 0.02), "empty": (FAR_AWAY, 0.3)}


def _given(case: str) -> dict[str, torch.Tensor]:
    points, joints = SPREADS[case]
    torch.manual_seed(0)
    return {
        "features": torch.randn(BATCH, POINTS, CHANNELS, dtype=torch.float64),
        "query": torch.randn(BATCH, JOINTS, CHANNELS, dtype=torch.float64),
        "points": torch.randn(BATCH, POINTS, 3, dtype=torch.float64) * points,
        "joints": torch.randn(BATCH, JOINTS, 3, dtype=torch.float64) * joints,
    }


def _learnt(module: LocalAggregation, case: str) -> dict[str, torch.Tensor]:
    """What a step gives, its gradients, and the norms' statistics after it."""
    given = _given(case)
    given["features"].requires_grad_()
    given["query"].requires_grad_()
    result = module(**given)
    (result * torch.randn(result.shape, dtype=torch.float64)).sum().backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    inputs = {f"input {name}": given[name].grad for name in ("features", "query")}
    return {"result": result, **gradients, **inputs, **dict(module.named_buffers())}


@pytest.mark.parametrize("case", SPREADS)
def test_once_is_padded(case: str) -> None:
    torch.manual_seed(1)
    once = LocalAggregation(CHANNELS).double()
    for norm in (*once.position_norm, *once.feature_norm, *once.mix_norm):
        torch.nn.init.normal_(norm.weight)  # of either sign
        torch.nn.init.normal_(norm.bias)
    padded = copy.deepcopy(once)
    padded.once = padded.padded
    expected = _learnt(padded, case)
    for name, value in _learnt(once, case).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("case", SPREADS)
@pytest.mark.parametrize("radius", RADII)
def test_neighbours_are_the_ball_query_without_its_copies(case: str, radius: float) -> None:
    given = _given(case)
    places = torch.cat((given["points"], given["joints"]), dim=1)
    found = neighbours(squared_distances(places, given["joints"]), radius, SAMPLES)
    expected = ball_query(places, given["joints"], radius, SAMPLES).flatten(0, 1)
    expected += torch.arange(BATCH).repeat_interleave(JOINTS)[:, None] * places.shape[1]
    assert found.weight.sum() == expected.numel()
    for ball, candidates in enumerate(found.candidate.split(found.found.tolist())):
        assert candidates.tolist() == list(dict.fromkeys(expected[ball].tolist()))
    assert found.ball.tolist() == torch.arange(BATCH * JOINTS).repeat_interleave(found.found).tolist()
