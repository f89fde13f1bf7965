from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.training.handformer2t_losses import Handformer2TTargets  # noqa: E402
from hand_pose_ros.training.handformer2t_order import by_place  # noqa: E402


def hands(right: tuple[float, float] | None, left: tuple[float, float] | None) -> Handformer2TTargets:
    """Each hand in one point of the picture, None where it is not there (and its numbers are none)."""
    poses = torch.full((1, 2, 21, 3), float("nan"))
    there = torch.zeros(1, 2)
    for k, place in enumerate((right, left)):
        if place is not None:
            poses[0, k, :, :2], poses[0, k, :, 2], there[0, k] = torch.tensor(place), 0.0, 1.0
    return Handformer2TTargets(
        poses=poses,
        joint_valid=there[..., None].expand(1, 2, 21).clone(),
        presence=there,
        relative_depth=torch.tensor([0.5]),
        relative_valid=there.prod(dim=1),
    )


@pytest.mark.parametrize(
    ("right", "left", "swapped"),
    [
        ((-0.3, 0.0), (0.2, 0.4), False),
        ((0.2, 0.4), (-0.3, 0.0), True),
        ((0.1, 0.1), None, False),
        (None, (0.1, 0.1), True),
        (None, None, False),
        # One above the other: as they are found, whatever lies farther left.
        ((0.02, -0.3), (0.0, 0.3), False),
        ((0.0, 0.3), (0.02, -0.3), True),
    ],
)
def test_hands_are_ordered_by_place(
    right: tuple[float, float] | None, left: tuple[float, float] | None, swapped: bool
) -> None:
    targets = hands(right, left)
    found = torch.zeros(1, 2, 21, 3)
    found[0, 0, :, 1], found[0, 1, :, 1] = -0.2, 0.2
    ordered = by_place(targets, 64 * targets.poses[..., :2], found)
    assert bool(ordered.swapped) == swapped
    assert ordered.sides.tolist() == [[0.0, 1.0]] if swapped else [[1.0, 0.0]]
    assert float(ordered.targets.relative_depth) == (-0.5 if swapped else 0.5)
    first = left if swapped else right
    if first is not None:
        assert ordered.targets.poses[0, 0, 3, :2].tolist() == pytest.approx(first)
        assert ordered.uv[0, 0, 3].tolist() == pytest.approx([64 * value for value in first])
    assert bool(ordered.targets.presence[0, 0]) == (first is not None)
