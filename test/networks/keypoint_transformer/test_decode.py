"""From the paper's order and units to ours."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.keypoint_transformer.decode import (  # noqa: E402
    canonical,
    canonical_identities,
    crop_camera,
    joints_from_vectors,
    presence,
    project,
    read_bins,
    to_crop,
    to_map,
)
from hand_pose_ros.networks.keypoint_transformer.peaks import HAND, Keypoints  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.rotation import published_matrix, rotation_matrix  # noqa: E402
from hand_pose_ros.skeleton import BONES, CANONICAL_TO_INTERHAND, PARENTS  # noqa: E402


def _joints(seed: int) -> torch.Tensor:
    joints = torch.randn(2, 2, 21, 3, generator=torch.Generator().manual_seed(seed))
    return joints - joints[:, :, :1]


def test_vectors_become_joints() -> None:
    """Vectors between canonical joints, put in the paper's order, give the joints back."""
    joints = _joints(0)
    vectors = torch.zeros_like(joints)
    for parent, child in BONES:
        vectors[:, :, child] = joints[:, :, child] - joints[:, :, parent]
    theirs = vectors[:, :, torch.from_numpy(CANONICAL_TO_INTERHAND.copy())][:, :, :20]
    assert torch.allclose(canonical(joints_from_vectors(theirs)), joints, atol=1e-6)


def test_identities_follow_the_joints() -> None:
    logits = torch.arange(44.0)[None, None]
    ours = canonical_identities(logits)[0, 0]
    assert ours[0] == 0 and ours[43] == 43
    assert ours[1] == 1 + 20 and ours[22] == 22 + 20  # wrists
    assert ours[1 + 8] == 1 + 4 and ours[22 + 4] == 22 + 0  # index tip, thumb tip
    assert canonical_identities(logits[..., :43]).shape[-1] == 43


@pytest.mark.parametrize("sub_bin", [False, True])
def test_bins_are_read(sub_bin: bool) -> None:
    """Gaussians at known places of a hand with known depths; the published read-out is to a bin."""
    generator = np.random.default_rng(0)
    places = generator.uniform(10, 110, (2, 2, 21, 2))
    joints = torch.from_numpy(generator.uniform(-0.05, 0.05, (2, 2, 21)))
    relative = torch.zeros(2, 2, 21, dtype=torch.float64)
    for child in range(1, 21):
        parent = PARENTS[child]
        relative[:, :, child] = joints[:, :, child] - joints[:, :, parent]
    order = torch.from_numpy(CANONICAL_TO_INTERHAND.copy())
    centre_depth = (relative[:, :, order] / 0.15 + 1) / 2 * 128
    centres = torch.cat((torch.from_numpy(places), centre_depth[..., None]), dim=3).permute(0, 3, 1, 2)
    axis = torch.arange(128.0, dtype=torch.float64)
    bins = torch.exp(-(((axis - centres[..., None]) / 1.25) ** 2) / 2).to(torch.float32)
    xy, depth = read_bins(bins, sub_bin)
    expected = joints - joints[:, :, :1]
    place_tolerance, depth_tolerance = (0.05, 3e-4) if sub_bin else (0.5, 4 * 0.15 / 128)
    assert (xy - torch.from_numpy(places)).abs().max() <= place_tolerance
    assert (canonical(depth[..., None])[..., 0] - expected).abs().max() <= depth_tolerance


@pytest.mark.parametrize("authors", [False, True])
def test_crop_and_map(authors: bool) -> None:
    xy = torch.tensor([[0.0, 127.0], [63.5, 10.25]])
    assert torch.allclose(to_map(to_crop(xy, authors), authors), xy)
    # Centres of the two grids coincide, but for the published half pixel.
    assert torch.allclose(to_crop(torch.tensor([63.5]), authors), torch.tensor([127.0 if authors else 127.5]))


@pytest.mark.parametrize("authors", [False, True])
def test_camera(authors: bool) -> None:
    """Projecting into the map and going to the crop is projecting into the crop."""
    joints, translation = _joints(1), torch.tensor([[0.1, 0.02, 0.0]] * 2)
    camera = torch.tensor([[300.0, 40.0, 60.0], [280.0, 70.0, 50.0]])
    through_map = to_crop(project(joints, translation, camera), authors)
    assert torch.allclose(project(joints, translation, crop_camera(camera, authors)), through_map, atol=1e-3)


def test_rotations() -> None:
    six = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    rotation, published = rotation_matrix(six), published_matrix(six)
    identity = torch.eye(3).expand(40, 3, 3)
    assert torch.allclose(rotation.transpose(1, 2) @ rotation, identity, atol=1e-5)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(40), atol=1e-5)
    # The published one is no rotation; the nearest rotation to it is ours.
    assert (published.transpose(1, 2) @ published - identity).abs().amax(dim=(1, 2)).median() > 0.1
    u, _, v = torch.linalg.svd(published.double())
    assert torch.allclose((u @ v).to(torch.float32), rotation, atol=1e-4)
    square = torch.tensor([[2.0, 0, 0, 0, 3.0, 0]])
    assert torch.allclose(rotation_matrix(square), published_matrix(square))
    assert torch.allclose(rotation_matrix(square)[0], torch.eye(3))


def test_presence() -> None:
    """Half of the right hand's joints found, none of the left's; unused slots do not count."""
    identity = torch.zeros(1, 30, 43)
    identity[..., 0] = 1
    for slot in range(10):
        identity[0, slot, 0], identity[0, slot, 1 + slot] = 0.0, 1.0
    identity[0, 20, 30] = 1.0
    valid = torch.arange(30)[None] < 15
    keypoints = Keypoints(torch.zeros(1, 30, 2), valid, valid.long() * HAND, valid.float())
    found = presence(identity, keypoints)
    assert found[0, 0] == pytest.approx(10 / 21) and found[0, 1] == 0
