from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.handformer2t.maps import STRIDE, JointMaps  # noqa: E402
from hand_pose_ros.training.handformer2t_maps import map_loss  # noqa: E402

CROP, CELLS = 64, 64 // STRIDE


def perfect(uv: torch.Tensor) -> torch.Tensor:
    """Logits of the target itself."""
    y, x = torch.meshgrid(torch.arange(CELLS), torch.arange(CELLS), indexing="ij")
    cells = torch.stack((x, y), dim=-1).reshape(-1, 2)
    squared = ((uv[..., None, :] + 0.5) / STRIDE - 0.5 - cells).square().sum(dim=-1)
    return -squared / (2 * 0.75**2)


def test_the_right_maps_are_best() -> None:
    uv = torch.rand(3, 2, 21, 2) * (CROP - 1)
    valid = torch.ones(3, 2, 21, dtype=torch.bool)
    best = map_loss(perfect(uv), uv, valid, CROP)
    assert best < map_loss(perfect(uv.flip(-1)), uv, valid, CROP)
    assert best < map_loss(perfect(uv) + 0.5 * torch.randn(3, 2, 21, CELLS**2), uv, valid, CROP)
    assert map_loss(torch.zeros(3, 2, 21, CELLS**2), uv, valid, CROP) == pytest.approx(math.log(CELLS**2))


def test_what_is_not_known_or_not_in_the_crop_does_not_count() -> None:
    uv = torch.rand(2, 2, 21, 2) * (CROP - 1)
    valid = torch.ones(2, 2, 21, dtype=torch.bool)
    valid[0, 1] = False
    uv[1, 0] = -20.0
    logits = torch.randn(2, 2, 21, CELLS**2)
    changed = logits.clone()
    changed[0, 1], changed[1, 0] = 5.0, -5.0
    assert map_loss(changed, uv, valid, CROP) == map_loss(logits, uv, valid, CROP)
    assert map_loss(logits, uv, torch.zeros_like(valid), CROP) == 0


def test_maps_are_as_large_as_the_second_group() -> None:
    levels = [torch.rand(2, 6, 8, 8), torch.rand(2, 7, 4, 4), torch.rand(2, 9, 2, 2)]
    assert JointMaps((6, 7, 9))(levels).shape == (2, 42, 64)
