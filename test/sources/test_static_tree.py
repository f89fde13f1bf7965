"""The tree of /tf_static: any two frames of random trees, and what is no transform."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.geometry.wrist import matrix_to_quaternion, quaternion_to_matrix
from hand_pose_ros.sources.message_types import make
from hand_pose_ros.sources.static_tree import NoTransform, StaticTree


def transform(parent: str, child: str, quaternion: np.ndarray, place: np.ndarray) -> object:
    x, y, z, w = quaternion.tolist()
    pose = make(
        "geometry_msgs/msg/Transform",
        translation=make("geometry_msgs/msg/Vector3", **dict(zip("xyz", place.tolist(), strict=True))),
        rotation=make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w),
    )
    header = make("std_msgs/msg/Header", frame_id=parent)
    return make("geometry_msgs/msg/TransformStamped", header=header, child_frame_id=child, transform=pose)


@given(st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_any_two_frames_of_a_tree(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    poses = [np.eye(4)]  # of each frame in the first one
    tree = StaticTree()
    for child in range(1, count):
        parent = int(random.integers(child))
        quaternion, place = random.normal(size=4), random.normal(size=3)
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = quaternion_to_matrix(quaternion / np.linalg.norm(quaternion)), place
        poses.append(poses[parent] @ matrix)
        tree.add([transform(f"/f{parent}", f"f{child}", quaternion, place)])  # quaternions need not be of length 1
    source, target = (int(index) for index in random.integers(count, size=2))
    found = tree.between(f"f{source}", f"/f{target}")
    expected = np.linalg.inv(poses[target]) @ poses[source]
    np.testing.assert_allclose(found.rotation, expected[:3, :3], atol=1e-9)
    np.testing.assert_allclose(found.translation, expected[:3, 3], atol=1e-9)
    assert tree.between(f"f{source}", f"/f{target}") is found, "kept while it holds"


def test_what_is_no_transform_is_left_out_and_a_new_one_takes_effect() -> None:
    tree = StaticTree()
    nothing, here = np.zeros(4), matrix_to_quaternion(np.eye(3))
    tree.add([transform("a", "b", nothing, np.zeros(3)), transform("a", "c", here, np.array([np.nan, 0, 0]))])
    for frame in ("b", "c", "unknown"):
        with pytest.raises(NoTransform, match=f"no transform from 'a' to '{frame}' on /tf_static"):
            tree.between("a", frame)
    for x in (0.1, 0.2):
        tree.add([transform("a", "b", here, np.array([x, 0.0, 0.0]))])
        assert tree.between("b", "a").translation.tolist() == [x, 0.0, 0.0]


def test_a_circle_does_not_hang() -> None:
    here = matrix_to_quaternion(np.eye(3))
    tree = StaticTree()
    tree.add([transform("a", "b", here, np.ones(3)), transform("b", "a", here, np.ones(3))])
    with pytest.raises(NoTransform):
        tree.between("a", "elsewhere")
    assert tree.between("a", "a").translation.tolist() == [0.0, 0.0, 0.0]
