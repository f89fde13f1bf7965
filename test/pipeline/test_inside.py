"""A look inside Keypoint Transformer: rows of the attention, used keypoints, the picture of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hand_pose_ros.engines.base import TensorSpec
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.inside import InsideView, joint_query, parse_joint
from hand_pose_ros.skeleton import JOINT_NAMES, WRIST, Side
from hand_pose_ros.types import Frame, Intrinsics, InvalidData
from hand_pose_ros.visualization.inside import PANEL, Inside, draw_inside, identity_style
from hand_pose_ros.visualization.palette import JOINT_COLORS, SIDE_COLORS

INDEX_TIP = JOINT_NAMES.index("index_tip")


@pytest.mark.parametrize(
    ("representation", "side", "joint", "row"),
    [
        # InterHand's order: the thumb from its tip, then the index finger.
        ("3d", Side.RIGHT, "thumb_tip", 0),
        ("3d", Side.RIGHT, "index_tip", 4),
        ("3d", Side.LEFT, "index_mcp", 27),
        ("2p5d", Side.LEFT, "wrist", 41),
        # MANO's: wrist, index, middle, little, ring, thumb.
        ("angles", Side.RIGHT, "wrist", 0),
        ("angles", Side.LEFT, "thumb_cmc", 29),
    ],
)
def test_rows_of_the_queries(representation: str, side: Side, joint: str, row: int) -> None:
    assert joint_query(representation, side, JOINT_NAMES.index(joint)) == row


@pytest.mark.parametrize(
    ("representation", "joint"), [("3d", "wrist"), ("angles", "index_tip"), ("pixels", "index_tip")]
)
def test_joints_without_a_query(representation: str, joint: str) -> None:
    with pytest.raises(ConfigError, match=r"no query of its own|expected one of 3d, 2p5d, angles"):
        joint_query(representation, Side.RIGHT, JOINT_NAMES.index(joint))


def test_joints_by_name() -> None:
    assert parse_joint("left_index_tip") == (Side.LEFT, INDEX_TIP)
    for text in ("index_tip", "right_index", "both_wrist", ""):
        with pytest.raises(ConfigError, match="expected right_ or left_"):
            parse_joint(text)


class _Engine:
    """Three slots: a right index tip that is looked at, an object's point, one that is not used."""

    metadata: Mapping[str, str] = {"representation": "3d"}
    outputs = (TensorSpec("attention", (1, 41, 3), np.dtype(np.float32)),)
    inputs = (TensorSpec("rgb", (1, 96, 96, 3), np.dtype(np.uint8)),)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        self.seen = inputs["rgb"].copy()
        identity = np.full((1, 3, 44), 0.01, dtype=np.float32)
        identity[0, 0, 1 + INDEX_TIP], identity[0, 1, 43], identity[0, 2, 0] = 0.8, 0.6, 0.9
        attention = np.zeros((1, 41, 3), dtype=np.float32)
        attention[0, 4] = (0.6, 0.2, 0.2)
        return {
            "keypoint_score": np.float32([[0.9, 0.5, 0.0]]),
            "keypoint_uv": np.float32([[[40, 50], [80, 20], [0, 0]]]),
            "identity": identity,
            "attention": attention,
            "uv": np.full((1, 2, 21, 2), 42.0, dtype=np.float32),
        }


class _Network:
    size, margin = 96, 1.25

    def __init__(self) -> None:
        self.engine = _Engine()


def _frame() -> Frame:
    color = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return Frame(0, "camera", Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48), color, None)


def test_a_look_takes_the_used_keypoints() -> None:
    network: Any = _Network()
    inside = InsideView(network).look(_frame(), (), Side.RIGHT, INDEX_TIP)
    np.testing.assert_allclose(inside.keypoints, [[40, 50], [80, 20]])
    assert inside.identities.tolist() == [1 + INDEX_TIP, 43]
    np.testing.assert_allclose(inside.attention, [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(inside.place, [42, 42])
    # Without hands the whole picture is looked at, black above and below.
    assert (network.engine.seen[0, :8] == 0).all() and network.engine.seen[0, 48].any()
    picture = draw_inside(inside)
    assert picture.shape == (PANEL, 2 * PANEL, 3)
    at = tuple(round((value + 0.5) * PANEL / 96) for value in (50, 40))
    np.testing.assert_allclose(picture[at], JOINT_COLORS[INDEX_TIP], atol=3)
    # At the right the joint that is looked at is brighter than the object's point.
    right = picture[:, PANEL:]
    strong, weak = (
        right[int((y + 0.5) * PANEL / 96), int((x + 0.5) * PANEL / 96)].sum() for x, y in ((40, 50), (80, 20))
    )
    assert strong > weak


def test_what_cannot_be_looked_into() -> None:
    network: Any = _Network()
    frame = Frame(0, "camera", _frame().intrinsics, None, np.ones((48, 64), dtype=np.float32))
    with pytest.raises(ConfigError, match="with colour"):
        InsideView(network).look(frame, (), Side.RIGHT, INDEX_TIP)
    network.engine.outputs = ()
    with pytest.raises(ConfigError, match="export the network anew"):
        InsideView(network)


def test_no_keypoint_at_all() -> None:
    nothing = np.zeros(0)
    inside = Inside(
        np.zeros((32, 32, 3), dtype=np.uint8),
        np.zeros((0, 2)),
        nothing.astype(np.int64),
        nothing,
        Side.LEFT,
        WRIST,
        nothing,
        np.array([3.0, 4.0]),
    )
    assert draw_inside(inside).any()


def test_styles_of_identities() -> None:
    assert identity_style(1 + INDEX_TIP) == (JOINT_COLORS[INDEX_TIP], SIDE_COLORS[Side.RIGHT])
    assert identity_style(22 + INDEX_TIP) == (JOINT_COLORS[INDEX_TIP], SIDE_COLORS[Side.LEFT])
    assert identity_style(0)[1] is None and identity_style(43)[1] is None


def test_numbers_are_checked() -> None:
    one = np.ones(1)
    with pytest.raises(InvalidData, match="attention"):
        Inside(
            np.zeros((8, 8, 3), dtype=np.uint8),
            np.zeros((1, 2)),
            one.astype(np.int64),
            one,
            Side.LEFT,
            1,
            one * np.nan,
            np.zeros(2),
        )
