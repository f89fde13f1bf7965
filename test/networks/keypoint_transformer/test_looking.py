"""Hands are looked at once more by depth: what is seen takes the place of what was said, and sides may be exchanged."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hand_pose_ros.networks.handformer2t.depth_look import HandsByDepth  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.decode import Decoded  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.looking import look_again  # noqa: E402

CROP, CLASSES = 64, 44
GIVEN = {"image": torch.zeros(1, 3, CROP, CROP), "relief": torch.zeros(1, 2, CROP, CROP), "view": torch.ones(1, 2)}


class Output:
    """What the network says of sides before it is decoded."""

    def __init__(self, side: float) -> None:
        self.side_logits = torch.tensor([side])


class Look:
    """Says that the first hand is a right one by `side`, and where the wrists are; every joint where it was, moved by
    as many pixels as the number of the way it was seen."""

    def __init__(self, side: float, known: bool = True) -> None:
        self.side, self.known = side, known

    def __call__(self, image: Any, view: Any, poses: Any, scales: Any) -> HandsByDepth:
        moved = poses.clone()
        for way in range(4):
            moved[:, way // 2, way % 2, :, 0] += (way + 1) / CROP
        wrists = torch.tensor([[[0.1, 0.2], [0.5, 0.8]]])
        sides = torch.tensor([[self.side, -self.side]])
        known = torch.tensor([[self.known, self.known]])
        return HandsByDepth(moved, torch.full(poses.shape[:-1], 1e-6), wrists, sides, known)


def decoded() -> Decoded:
    generator = torch.Generator().manual_seed(0)
    fields: dict[str, Any] = dict.fromkeys(Decoded._fields)
    fields |= {
        "joints": torch.zeros(1, 2, 21, 3),
        "uv": 40 * torch.rand(1, 2, 21, 2, generator=generator),
        "depth": 0.1 * torch.rand(1, 2, 21, generator=generator),
        "presence": torch.tensor([[0.9, 0.8]]),
        "identity": torch.rand(1, 5, CLASSES, generator=generator),
        "hand_translation": torch.tensor([[0.1, 0.02, 0.03]]),
        "object_translation": torch.tensor([[0.04, 0.05, 0.06]]),
    }
    return Decoded(**fields)


def looked(side: float, look: Look) -> Decoded:
    return look_again(look, Output(side), decoded(), **GIVEN)  # type: ignore[arg-type]


def test_agreed_hands_stay_and_are_where_they_are_seen() -> None:
    before, after = decoded(), looked(2.0, Look(3.0))
    assert after.joints is None and after.uv is not None and before.uv is not None
    # The right hand as a right one (the first way), the left one as a left one (the fourth).
    torch.testing.assert_close(after.uv[0, :, :, 0] - before.uv[0, :, :, 0], torch.tensor([[1.0], [4.0]]).expand(2, 21))
    torch.testing.assert_close(after.depth, before.depth)
    torch.testing.assert_close(after.wrist_depth, torch.tensor([0.4 * (0.8 - 0.1)]))
    for name in ("presence", "identity", "hand_translation", "object_translation"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name))


def test_hands_of_the_wrong_sides_are_exchanged_with_all_that_hangs_on_it() -> None:
    before, after = decoded(), looked(2.0, Look(-3.0))
    assert after.uv is not None and before.uv is not None
    # What was the left hand, seen as a right one (the third way), and the other way round (the second).
    moved = after.uv[0, :, :, 0] - before.uv[0, [1, 0], :, 0]
    torch.testing.assert_close(moved, torch.tensor([[3.0], [2.0]]).expand(2, 21))
    torch.testing.assert_close(after.wrist_depth, torch.tensor([0.4 * (0.2 - 0.5)]))
    torch.testing.assert_close(after.presence, torch.tensor([[0.8, 0.9]]))
    torch.testing.assert_close(after.hand_translation, -before.hand_translation)
    torch.testing.assert_close(after.object_translation, torch.tensor([[-0.06, 0.03, 0.03]]))
    torch.testing.assert_close(after.identity[..., 1:22], before.identity[..., 22:43])
    torch.testing.assert_close(after.identity[..., [0, 43]], before.identity[..., [0, 43]])


def test_a_sure_network_is_not_overruled_by_an_unsure_look() -> None:
    torch.testing.assert_close(looked(-9.0, Look(-3.0)).presence, decoded().presence)


def test_without_depth_it_says_what_it_said() -> None:
    before, after = decoded(), looked(2.0, Look(-30.0, known=False))
    torch.testing.assert_close(after.uv, before.uv)
    torch.testing.assert_close(after.depth, before.depth)
    torch.testing.assert_close(after.wrist_depth, before.hand_translation[:, 2])
