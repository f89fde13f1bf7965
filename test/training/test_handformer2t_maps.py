from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.handformer2t.maps import STRIDE, JointMaps  # noqa: E402
from hand_pose_ros.training.handformer2t_maps import gaussians, map_loss, seen_at  # noqa: E402

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


def test_shares_stand_about_their_places() -> None:
    places = torch.rand(50, 2) * 0.6 - 0.3
    shares = gaussians(places, CELLS)
    middle = (torch.arange(CELLS) + 0.5) / CELLS - 0.5
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(50))
    found = shares @ torch.stack((x.flatten(), y.flatten()), dim=1)
    assert (found - places).abs().max() < 0.1 / CELLS


def test_what_maps_say_is_read_where_the_joint_is() -> None:
    maps = torch.zeros(1, 2, 21, CELLS, CELLS)
    maps[..., 2, :] = 3.0  # one row
    places = torch.full((1, 2, 21, 2), 2.5 / CELLS - 0.5)
    here = seen_at(maps.flatten(3), places)
    assert here.shape == (1, 2, 21) and here.min() > 1.4
    away = seen_at(maps.flatten(3), places + torch.tensor([0.0, 0.5]))
    assert away.max() < 1e-3


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
