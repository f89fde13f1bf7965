from __future__ import annotations

import numpy as np
import pytest

from hand_pose_ros import skeleton
from hand_pose_ros.skeleton import BONES, FINGERS, JOINT_NAMES, MCPS, PARENTS, TIPS, Side, invert

ORDERS = ("INTERHAND", "HO3D", "MANO", "KPT_FUSION", "RHD")


@pytest.mark.parametrize("order", ORDERS)
def test_permutations_are_inverses(order: str) -> None:
    there = getattr(skeleton, f"CANONICAL_TO_{order}")
    back = getattr(skeleton, f"{order}_TO_CANONICAL")
    joints = np.arange(21)
    np.testing.assert_array_equal(joints[there][back], joints)
    np.testing.assert_array_equal(joints[back][there], joints)
    np.testing.assert_array_equal(invert(there), back)
    assert not there.flags.writeable and not back.flags.writeable


# Facts of each order that anyone can look up: index there -> joint of ours.
@pytest.mark.parametrize(
    ("order", "facts"),
    [
        ("INTERHAND", {0: "thumb_tip", 3: "thumb_cmc", 4: "index_tip", 16: "little_tip", 20: "wrist"}),
        ("MANO", {0: "wrist", 1: "index_mcp", 4: "middle_mcp", 7: "little_mcp", 10: "ring_mcp", 13: "thumb_cmc"}),
        ("HO3D", {15: "thumb_ip", 16: "thumb_tip", 17: "index_tip", 18: "middle_tip", 19: "ring_tip"}),
        ("KPT_FUSION", {0: "wrist", 7: "little_mcp", 16: "index_tip", 18: "little_tip", 19: "ring_tip"}),
        ("KPT_FUSION", {13: "thumb_cmc", 20: "thumb_tip"}),
        ("RHD", {0: "wrist", 1: "thumb_tip", 4: "thumb_cmc", 17: "little_tip", 20: "little_mcp"}),
    ],
)
def test_known_places(order: str, facts: dict[int, str]) -> None:
    theirs = np.array(JOINT_NAMES)[getattr(skeleton, f"CANONICAL_TO_{order}")]
    assert {index: theirs[index] for index in facts} == facts


def test_names_and_tree() -> None:
    assert len(set(JOINT_NAMES)) == 21
    for finger, name in enumerate(FINGERS):
        chain = range(1 + 4 * finger, 5 + 4 * finger)
        assert all(JOINT_NAMES[joint].startswith(name) for joint in chain)
        assert [PARENTS[joint] for joint in chain] == [0, *chain[:-1]]
    assert {JOINT_NAMES[joint].split("_")[1] for joint in TIPS} == {"tip"}
    assert {JOINT_NAMES[joint].split("_")[1] for joint in MCPS} == {"mcp"}
    assert len(BONES) == 20 and all(parent < child for parent, child in BONES)


def test_sides() -> None:
    assert Side("left") is Side.LEFT and Side.LEFT.other is Side.RIGHT and Side.RIGHT.other is Side.LEFT


def test_what_is_no_permutation_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a permutation of 0\.\.20"):
        skeleton._permutation(*([0] * 21))
