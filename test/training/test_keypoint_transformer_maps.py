"""Keypoint Transformer's auxiliary maps, and keypoints that are made worse."""

from __future__ import annotations

import pytest
import torch

from hand_pose_ros.networks.keypoint_transformer.peaks import HAND, OBJECT, PAD, Keypoints
from hand_pose_ros.training.keypoint_transformer_maps import LEVELS, JointMaps, _truth, joint_map_loss
from hand_pose_ros.training.keypoint_transformer_targets import Disturbance, KeypointTransformerTargets, disturbed

SIZE = 32


def targets(places: torch.Tensor, valid: torch.Tensor) -> KeypointTransformerTargets:
    batch = len(places)
    nothing = torch.zeros(batch)
    joints = torch.zeros(batch, 2, 21, 3)
    return KeypointTransformerTargets(places, joints, valid, torch.zeros(batch, 3), nothing, nothing, map_size=SIZE)


def some(batch: int = 3) -> KeypointTransformerTargets:
    generator = torch.Generator().manual_seed(1)
    valid = torch.ones(batch, 2, 21)
    valid[0, 1] = 0
    return targets(4 + 24 * torch.rand(batch, 2, 21, 2, generator=generator), valid)


def perfect(truth: KeypointTransformerTargets) -> list[torch.Tensor]:
    """Logits whose softmax is the truth."""
    cells = [SIZE // stride for _, stride in LEVELS]
    maps = [_truth(truth, stride) for _, stride in LEVELS]
    return [(m + 1e-12).log().reshape(len(m), 23, n, n) for m, n in zip(maps, cells, strict=True)]


def test_the_truth_costs_nothing_and_other_places_do() -> None:
    truth = some()
    logits = perfect(truth)
    assert joint_map_loss(logits, truth).item() == pytest.approx(0.0, abs=1e-4)
    assert joint_map_loss([torch.zeros_like(level) for level in logits], truth).item() > 1.5
    # Another joint's map in place of the thumb's tip.
    wrong = [level.clone() for level in logits]
    for level in wrong:
        level[:, 4] = level[:, 20]
    assert joint_map_loss(wrong, truth).item() > 0.1


def test_a_kind_is_told_whichever_hand_it_is_of_and_a_hand_whichever_joint() -> None:
    """Hands that change sides leave the kinds' maps alone and exchange the hands'."""
    truth = some()
    other = truth._replace(places=truth.places.flip(1), joint_valid=truth.joint_valid.flip(1))
    as_is, swapped = _truth(truth, 4), _truth(other, 4)
    assert torch.allclose(as_is[:, :21], swapped[:, :21])
    assert torch.allclose(as_is[:, 21:], swapped[:, 21:].flip(1))
    assert as_is[0, 22].sum() == 0 and as_is[1, 22].sum() > 10


def test_what_is_not_there_does_not_count() -> None:
    truth = some()
    nothing = truth._replace(joint_valid=torch.zeros_like(truth.joint_valid))
    logits = [torch.randn_like(level, requires_grad=True) for level in perfect(truth)]
    loss = joint_map_loss(logits, nothing)
    loss.backward()
    assert loss.item() == 0 and all(float(level.grad.abs().max()) == 0 for level in logits if level.grad is not None)
    outside = truth._replace(places=truth.places - 100)
    assert joint_map_loss(logits, outside).item() == 0


def test_maps_learn_from_the_decoders_features() -> None:
    """One linear layer on features that hold the truth finds it."""
    truth = some()
    features = [torch.zeros(3, 23, 1, 1)] * 5
    for (level, stride), n in zip(LEVELS, (16, 8), strict=True):
        features[level] = _truth(truth, stride).reshape(3, 23, n, n)
    maps = JointMaps((23, 23))
    optimizer = torch.optim.Adam(maps.parameters(), lr=0.5)
    losses = []
    for _ in range(40):
        loss = joint_map_loss(maps(features), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


HANDS, OBJECTS = 12, 3


def keypoints() -> Keypoints:
    """Six hand keypoints and six empty slots, then two object points and an empty slot."""
    kind = torch.tensor([[HAND] * 6 + [PAD] * 6 + [OBJECT] * 2 + [PAD]]).repeat(400, 1)
    valid = kind != PAD
    xy = torch.tensor([10.0, 20.0]) * valid[..., None]
    return Keypoints(xy, valid, kind, 255.0 * valid)


def test_undisturbed_keypoints_stay() -> None:
    torch.manual_seed(0)
    before, after = keypoints(), disturbed(keypoints(), Disturbance(), HANDS, SIZE)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_missed_and_false_keypoints_are_as_many_as_asked_for() -> None:
    torch.manual_seed(0)
    worse = disturbed(keypoints(), Disturbance(shift=0.0, missed=0.25, false=0.5), HANDS, SIZE)
    assert worse.valid[:, :6].float().mean().item() == pytest.approx(0.75, abs=0.04)
    assert worse.valid[:, 6:HANDS].float().sum(dim=1).mean().item() == pytest.approx(3.0, abs=0.2)
    assert torch.equal(worse.kind != PAD, worse.valid) and ((worse.score > 0) == worse.valid).all()
    assert (worse.xy[~worse.valid] == 0).all()
    assert ((worse.xy >= 0) & (worse.xy <= SIZE - 1)).all()
    before = keypoints()
    assert all(torch.equal(a[:, HANDS:], b[:, HANDS:]) for a, b in zip(worse, before, strict=True))


def test_shifts_are_pixels_of_the_large_map() -> None:
    torch.manual_seed(0)
    worse = disturbed(keypoints(), Disturbance(shift=2.0), HANDS, SIZE)
    moved = (worse.xy - keypoints().xy)[:, :6]
    assert moved.std().item() == pytest.approx(2.0 * SIZE / 128, rel=0.1)
