"""The flow, RLE and MMD against the fact sheet (section 14, points 4 to 6)."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from hand_pose_ros.networks.handformer2t import Handformer2TOutput  # noqa: E402
from hand_pose_ros.training.handformer2t_flow import RealNVP  # noqa: E402
from hand_pose_ros.training.handformer2t_losses import (  # noqa: E402
    Handformer2TLoss,
    Handformer2TLossConfig,
    Handformer2TTargets,
    bone_error,
    mmd,
    mmd_share,
    rle,
    true_facing,
)


def _flow(spread: float) -> RealNVP:
    torch.manual_seed(1)
    flow = RealNVP()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(0).add_(spread * torch.randn_like(parameter))
    return flow


def _random(heads: bool = True) -> tuple[Handformer2TOutput, Handformer2TTargets]:
    torch.manual_seed(2)
    stages, batch = 2, 4
    output = Handformer2TOutput(
        poses=(0.3 * torch.randn(stages, batch, 2, 21, 3)).requires_grad_(),
        scales=(0.05 + 0.5 * torch.rand(stages, batch, 2, 21)).requires_grad_(),
        presence_logits=torch.randn(batch, 2).requires_grad_() if heads else None,
        relative_depth=torch.randn(batch).requires_grad_() if heads else None,
    )
    valid = torch.ones(batch, 2, 21)
    valid[0, 1] = 0
    valid[1, 0, 5] = 0
    presence = valid.amax(dim=2)
    targets = Handformer2TTargets(
        0.3 * torch.randn(batch, 2, 21, 3), valid, presence, torch.randn(batch), presence.prod(dim=1)
    )
    return output, targets


def test_flow_has_the_public_size() -> None:
    assert sum(parameter.numel() for parameter in RealNVP().parameters()) == 55_332


def test_flow_inverts() -> None:
    flow = _flow(0.1)
    errors = 3 * torch.randn(200, 3)
    normal, log_determinant = flow.to_normal(errors)
    assert (normal - errors).abs().max() > 0.1
    torch.testing.assert_close(flow.from_normal(normal), errors, atol=1e-4, rtol=1e-4)
    point = errors[0].requires_grad_()
    rows = [torch.autograd.grad(flow.to_normal(point)[0][axis], point)[0] for axis in range(3)]
    jacobian = torch.stack(rows)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, log_determinant[0], atol=1e-4, rtol=1e-4)


def test_density_of_the_flow_integrates_to_one() -> None:
    flow = _flow(0.1)
    torch.manual_seed(0)
    # Importance sampling from a normal that is wide enough.
    wide = 2.5
    points = wide * torch.randn(20_000, 3)
    log_proposal = -0.5 * (points / wide).square().sum(dim=1) - 1.5 * math.log(2 * math.pi) - 3 * math.log(wide)
    with torch.no_grad():
        log_density = flow(points)
        assert (log_density - _flow(0.0)(points)).abs().mean() > 0.2
    ratios = torch.exp(log_density - log_proposal)
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / math.sqrt(len(points)) < 0.1


def test_flow_without_weights_is_the_normal() -> None:
    errors = torch.randn(50, 3)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(errors).sum(dim=1)
    torch.testing.assert_close(_flow(0.0)(errors), expected)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.02, 0.9), min_size=3, max_size=3))
def test_density_form_is_stationary_where_the_product_of_densities_is(error: list[float]) -> None:
    """Laplace times normal: d/du = 0 where sum |x| + sum x^2 = 3, x = error / u."""
    away = torch.tensor(error, dtype=torch.float64)
    first, second = float(away.sum()), float(away.square().sum())
    best = (first + math.sqrt(first**2 + 12 * second)) / 6
    flow = _flow(0.0).double()
    for factor, sign in ((1.0, 0), (0.9, -1), (1.1, 1)):
        scale = torch.tensor(best * factor, dtype=torch.float64, requires_grad=True)
        rle(away, scale, torch.zeros_like(away), torch.ones(()), flow, "density").backward()
        assert scale.grad is not None
        slope = float(scale.grad) * best
        assert abs(slope) < 1e-9 if sign == 0 else slope * sign > 0.1


def test_forms_differ_as_the_sheet_says() -> None:
    flow = _flow(0.2)
    error, scale = torch.tensor([0.2, -0.1, 0.05]), torch.tensor(0.3)
    known, zero = torch.ones(()), torch.zeros(3)
    log_flow = flow(-error / scale)
    distance = float((error / scale).abs().sum())
    values = {form: rle(error, scale, zero, known, flow, form) for form in ("density", "literal", "public")}
    log_scale = math.log(0.3)
    torch.testing.assert_close(values["density"], distance + 3 * math.log(2) - log_flow + 3 * log_scale)
    torch.testing.assert_close(values["literal"], values["density"] - 2 * log_scale)
    amplitude = 1 / math.sqrt(2 * math.pi)
    of_flow = 3 * (log_scale - log_flow)
    of_laplace = 3 * (log_scale - math.log(amplitude)) + distance / math.sqrt(2)
    torch.testing.assert_close(values["public"], of_flow + of_laplace)


@pytest.mark.parametrize("form", ["density", "literal", "public"])
def test_a_large_error_at_the_smallest_scale_is_finite(form: Any) -> None:
    pose = torch.ones(1, 1, 2, 21, 3, requires_grad=True)
    scale = torch.full((1, 1, 2, 21), 1e-3, requires_grad=True)
    nothing = torch.zeros(1)
    truth = Handformer2TTargets(0 * pose.detach()[0], torch.ones(1, 2, 21), torch.ones(1, 2), nothing, nothing)
    loss = Handformer2TLoss(1, Handformer2TLossConfig(rle_form=form))
    total = loss(Handformer2TOutput(pose, scale, None, None), truth)["total"]
    total.backward()
    gradients = [pose.grad, scale.grad, *(parameter.grad for parameter in loss.parameters())]
    assert torch.isfinite(total) and all(torch.isfinite(g).all() for g in gradients if g is not None)
    assert sum(g is not None for g in gradients) == len(gradients)


def test_losses_are_float32_under_autocast() -> None:
    output, targets = _random()
    loss = Handformer2TLoss(2)
    expected = loss(output, targets)
    half = Handformer2TOutput(*(None if value is None else value.detach().bfloat16() for value in output))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        same = loss(output, targets)
        rounded = loss(half, targets)
    assert all(value.dtype == torch.float32 for value in (*same.values(), *rounded.values()))
    for name, value in same.items():
        torch.testing.assert_close(value, expected[name], atol=0, rtol=0)


def test_what_is_not_valid_teaches_nothing() -> None:
    output, targets = _random()
    unknown = torch.where(targets.joint_valid[..., None] > 0, targets.poses, float("nan"))
    depth = torch.where(targets.relative_valid > 0, targets.relative_depth, float("nan"))
    loss = Handformer2TLoss(2, Handformer2TLossConfig(bones=1.0))
    terms = loss(output, targets._replace(poses=unknown, relative_depth=depth))
    assert set(terms) == {"rle_1", "rle_2", "mmd", "bones", "presence", "relative_depth", "total"}
    for name, value in loss(output, targets).items():
        torch.testing.assert_close(terms[name], value)
    terms["total"].backward()
    missing = targets.joint_valid == 0
    for tensor in (output.poses, output.scales):
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all()
        assert (tensor.grad[:, missing] == 0).all() and (tensor.grad[:, ~missing] != 0).any()
    assert output.relative_depth is not None and output.relative_depth.grad is not None
    assert float(output.relative_depth.grad[0]) == 0 and float(output.relative_depth.grad[1]) != 0


def test_a_batch_without_hands_has_no_pose_loss() -> None:
    output, targets = _random(heads=False)
    terms = Handformer2TLoss(2)(output, targets._replace(joint_valid=torch.zeros(4, 2, 21)))
    assert all(abs(value.item()) < 1e-6 for value in terms.values())


def test_each_stage_has_its_own_flow() -> None:
    output, targets = _random()
    loss = Handformer2TLoss(2, Handformer2TLossConfig(mmd=0.0))
    loss(output, targets)["rle_1"].backward()
    assert all(parameter.grad is not None for parameter in loss.flows[0].parameters())
    assert all(parameter.grad is None for parameter in loss.flows[1].parameters())
    with pytest.raises(ValueError, match="expected 2 stages"):
        loss(Handformer2TOutput(output.poses[:1], output.scales[:1], None, None), targets)


def test_mmd_is_a_distance_of_batches() -> None:
    torch.manual_seed(3)
    one, other, known = torch.randn(6, 2, 21, 3), torch.randn(6, 2, 21, 3) + 0.5, torch.ones(6, 2, 21)
    assert abs(float(mmd(one, one, known))) < 1e-6
    value = mmd(one, other, known)
    assert float(value) > 0.1
    torch.testing.assert_close(mmd(other, one, known), value)
    order = torch.randperm(6)
    torch.testing.assert_close(mmd(one[order], other, known), value)
    assert float(mmd(one[:1], other[:1], known[:1])) == 0
    for _ in range(20):
        assert float(mmd(torch.randn(3, 2, 21, 3), torch.randn(3, 2, 21, 3), known[:3])) >= -1e-6


def test_mmd_is_the_printed_sum() -> None:
    torch.manual_seed(4)
    one, other, known = torch.randn(3, 2, 21, 3), torch.randn(3, 2, 21, 3), torch.ones(3, 2, 21)
    both = [*one.flatten(1), *other.flatten(1)]
    distances = [float((a - b).square().sum()) for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    # torch's median is the lower one of two.
    width = sorted(distances)[(len(distances) - 1) // 2]

    def kernel(left: Any, right: Any) -> float:
        pairs = [math.exp(-float((a - b).square().sum()) / width) for a in left for b in right]
        return sum(pairs) / len(pairs)

    expected = kernel(one, one) + kernel(other, other) - 2 * kernel(one, other)
    assert float(mmd(one, other, known)) == pytest.approx(expected, abs=1e-5)


def test_mmd_teaches_the_coarse_pose_only_and_fades() -> None:
    output, targets = _random()
    loss = Handformer2TLoss(2, Handformer2TLossConfig(mmd_until=0.5))
    terms = loss(output, targets, progress=0.25)
    torch.testing.assert_close(terms["mmd"], 5 * mmd(output.poses[0], targets.poses, targets.joint_valid))
    terms["mmd"].backward()
    assert output.poses.grad is not None
    assert output.poses.grad[0].abs().sum() > 0 and output.poses.grad[1].abs().sum() == 0
    assert output.scales.grad is None
    assert "mmd" not in loss(output, targets, progress=0.5)
    assert [mmd_share(0.9, None), mmd_share(0.0, 0.3), mmd_share(0.9, 0.3)] == [1.0, 1.0, 0.0]


def test_bone_error_is_that_of_lengths() -> None:
    poses, known = torch.randn(1, 2, 2, 21, 3), torch.ones(2, 2, 21)
    assert float(bone_error(poses, poses[0] + 0.3, known)) < 1e-6
    grown = bone_error(poses, 2 * poses[0], known)
    fingers = [poses[0, :, :, 4 * f + 1 : 4 * f + 5] for f in range(5)]
    chains = [torch.cat((poses[0, :, :, :1], finger), dim=2).diff(dim=2) for finger in fingers]
    torch.testing.assert_close(grown, torch.cat(chains, dim=2).norm(dim=3).mean())


@pytest.mark.parametrize("changes", [{"rle_form": "other"}, {"mmd_until": 0.0}])
def test_impossible_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        Handformer2TLossConfig(**changes)


def test_without_a_flow_the_best_scale_is_the_errors_own() -> None:
    """A Laplace density per coordinate: u is the mean absolute error."""
    error = torch.distributions.Laplace(0.0, 0.05).sample((4000, 3))
    valid = torch.ones(4000)
    scales = torch.tensor([0.03, 0.05, 0.08])
    values = [
        rle(torch.zeros(4000, 3), scale.expand(4000), error, valid, None, "laplace").mean().item() for scale in scales
    ]
    assert min(values) == values[1]
    density = torch.distributions.Laplace(0.0, 0.05).log_prob(error).sum(dim=-1)
    assert values[1] == pytest.approx(-float(density.mean()), rel=1e-4)
    assert not Handformer2TLoss(3, Handformer2TLossConfig(rle_form="laplace")).flows


def test_maps_of_depths_and_palms_are_asked_where_the_joints_are() -> None:
    _, targets = _random()
    loss = Handformer2TLoss(2, Handformer2TLossConfig(rle_form="laplace", map_depths=2.0, facing=3.0))
    sides = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    facing, known = true_facing(targets, sides)
    depths = targets.poses[..., 2:].expand(4, 2, 21, 64)
    palms = facing[:, 0, None, None].expand(4, 21, 64)
    terms = loss.map_terms(depths, palms, targets, sides)
    assert float(terms["map_depths"]) == pytest.approx(0.0, abs=1e-6)
    # Palms are right for the first hand, for the second they say what the first one's turn is.
    counted = targets.joint_valid.sum(dim=2) * known
    seen = counted[:, 1] * (facing[:, 0] - facing[:, 1]).square()
    assert float(terms["palms"]) == pytest.approx(3.0 * float(seen.sum() / counted.sum()), rel=1e-4)
    terms = loss.map_terms(depths + 0.1, palms, targets, sides)
    assert float(terms["map_depths"]) == pytest.approx(0.2, rel=1e-4)
