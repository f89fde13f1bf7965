"""A look by depth alone: cubes of true size about hands, mirrored for left ones; nothing where there is no depth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from handformer2t_toys import TINY_WIDTHS, tiny  # noqa: E402

from hand_pose_ros.networks.handformer2t import Handformer2T, Handformer2TConfig  # noqa: E402
from hand_pose_ros.networks.handformer2t.depth_look import CUBE, SKIN, DepthLook, cube_depths, depth_windows  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformerConfig  # noqa: E402

SIZE = 64
FOCAL, ZERO = 1.1, 0.5
VIEW = torch.tensor([[FOCAL, ZERO]])


def hands(seed: int = 0) -> torch.Tensor:
    """Two hands side by side, (1, 2, 21, 3)."""
    generator = torch.Generator().manual_seed(seed)
    poses = torch.cat(
        (0.06 * torch.randn(1, 2, 21, 2, generator=generator), 0.05 * torch.randn(1, 2, 21, 1, generator=generator)), -1
    )
    poses[:, 0, :, 0] -= 0.2
    poses[:, 1, :, 0] += 0.2
    return poses


def wall(metres: float) -> torch.Tensor:
    """A picture (1, 5, 64, 64) of a wall so far behind the relief's zero."""
    image = torch.zeros(1, 5, SIZE, SIZE)
    image[:, 3] = metres / 0.15
    image[:, 4] = 1.0
    return image


def test_there_and_back() -> None:
    cubes = depth_windows(wall(0.05), VIEW, hands(), torch.tensor([[1.0, -1.0]]))
    assert cubes.known.all()
    poses = hands(1)
    poses[..., 2] -= poses[:, :, :1, 2].clone()
    votes = cubes.votes_of(poses, torch.tensor([[0.03, 0.07]]))
    torch.testing.assert_close(cubes.pose_of(votes), poses)
    # The wrist's own depth, from the cube's middle, in halves of its edge.
    torch.testing.assert_close(votes[:, :, 0, 2], (torch.tensor([[0.03, 0.07]]) - cubes.middle) / (CUBE / 2))


@pytest.mark.parametrize("metres", [0.0, 0.1])
def test_cubes_are_as_large_as_they_are_there(metres: float) -> None:
    poses = hands()
    poses[..., 2] = 0.0
    cubes = depth_windows(wall(metres), VIEW, poses, torch.ones(1, 2))
    torch.testing.assert_close(cubes.middle, torch.full((1, 2), metres + SKIN), atol=1e-5, rtol=0)
    expected = CUBE * FOCAL / (ZERO + metres + SKIN)
    torch.testing.assert_close(cubes.windows.side, torch.full((1, 2), expected), atol=1e-5, rtol=1e-4)


def test_what_is_not_in_the_cube_is_not_shown() -> None:
    """In the middle a hand's skin; a strip before the cube, one behind it, one without a reading."""
    poses, image = hands(), wall(0.0)
    poses[..., :2] = 0.02 * torch.randn(1, 2, 21, 2, generator=torch.Generator().manual_seed(0))
    poses[..., 2] = 0.0
    image[:, 3, :8], image[:, 3, 8:16], image[:, 4, 16:24] = -0.2 / 0.15, 0.2 / 0.15, 0.0
    image[:, 3, 16:24] = 0.0
    cubes = depth_windows(image, VIEW, poses, torch.ones(1, 2))
    shown = cube_depths(image, cubes, 128)
    places = cubes.windows.to_crop(
        (torch.stack(torch.meshgrid(*(torch.arange(128.0),) * 2, indexing="xy"), -1) + 0.5).reshape(1, 1, -1, 2) / 128
        - 0.5
    )
    rows = torch.floor((places[..., 1] + 0.5) * SIZE).reshape(2, 128, 128)
    seen = shown[:, 0]
    assert ((rows >= 0) & (rows < 24)).any() and (seen[(rows < 24)] == 1).all()
    columns = torch.floor((places[..., 0] + 0.5) * SIZE).reshape(2, 128, 128)
    inside = (rows >= 24) & (rows < SIZE) & (columns >= 0) & (columns < SIZE)
    assert inside.any()
    torch.testing.assert_close(seen[inside], torch.full_like(seen[inside], -SKIN / (CUBE / 2)), atol=1e-4, rtol=0)
    assert (seen[~inside] == 1).all()


def look_at(image: torch.Tensor, view: torch.Tensor, poses: torch.Tensor) -> object:
    torch.manual_seed(3)
    look = DepthLook().eval()
    with torch.no_grad():
        return look(image, view, torch.stack((poses, poses), dim=2), torch.full((1, 2, 2, 21), 0.05))


def test_a_left_hand_looks_like_the_right_one_in_the_mirror() -> None:
    image = wall(0.0)
    image[:, 3] += 0.1 * torch.randn(1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    poses = hands()
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    there = look_at(image, VIEW, poses)
    here = look_at(image.flip(3), VIEW, poses * mirror)
    assert there.known.all() and here.known.all()
    torch.testing.assert_close(here.poses.flip(2) * mirror, there.poses, atol=5e-3, rtol=0)
    torch.testing.assert_close(here.sides, -there.sides, atol=0.05, rtol=0)
    torch.testing.assert_close(here.wrists.flip(2), there.wrists, atol=5e-3, rtol=0)


def test_without_depth_nothing_is_said() -> None:
    for image, view in ((wall(0.0), torch.zeros(1, 2)), (torch.zeros(1, 5, SIZE, SIZE), VIEW)):
        found = look_at(image, view, hands())
        assert not found.known.any()
        assert all(bool(torch.isfinite(value).all()) for value in found)


def config(**changes: object) -> Handformer2TConfig:
    ours = {"maps": True, "order": "place", "delta": True, "presence": True, "relative_depth": True, "depth": True}
    widths = dataclasses.replace(TINY_WIDTHS, decoder=(16, 16, 16))
    return tiny(**{**ours, "widths": widths, "depth_look": True, **changes})


@pytest.mark.parametrize("closer", [False, True])
def test_it_has_the_last_word_where_there_is_depth(closer: bool) -> None:
    torch.manual_seed(0)
    network = Handformer2T(config(closer=closer)).eval()
    side = network.config.picture
    image = torch.rand(2, 3, side, side)
    relief = torch.stack((0.2 * torch.randn(2, side, side), torch.ones(2, side, side)), dim=1)
    with torch.no_grad():
        whole = network(image, relief, VIEW.expand(2, 2))
        without = network(image, relief)
    stages = network.config.stages
    assert whole.poses.shape[0] == without.poses.shape[0] == stages + 1
    torch.testing.assert_close(whole.poses[:-1], without.poses[:-1])
    assert not torch.allclose(whole.poses[-1], without.poses[-1])
    assert not torch.allclose(whole.relative_depth, without.relative_depth)
    if not closer:
        torch.testing.assert_close(without.poses[-1], without.poses[-2])


def test_it_needs_depth_and_places() -> None:
    for changes in ({"depth": False}, {"order": "side"}):
        with pytest.raises(ValueError, match="depth_look"):
            config(**changes)
    with pytest.raises(ValueError, match="depth_look"):
        KeypointTransformerConfig(depth_look=True)


def test_its_branch_is_keypoint_fusions() -> None:
    names = {name for name in DepthLook().state_dict() if name.startswith("branch.")}
    assert len(names) > 50 and np.isclose(sum(p.numel() for p in DepthLook().parameters()) / 1e6, 0.97, atol=0.02)
