"""Scenes as messages of rclpy's classes, with every field checked as Humble does."""

from __future__ import annotations

import array

import numpy as np
import pytest
from needs import needs_ros

needs_ros()

import toy_recordings
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from hand_pose_ros.geometry.wrist import wrist_rotation
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.msg import Hand, HandArray
from hand_pose_ros.ros.images import color_from_message
from hand_pose_ros.ros.message_classes import make
from hand_pose_ros.ros.target_frame import move_scene
from hand_pose_ros.skeleton import JOINT_NAMES, NUM_JOINTS, Side
from hand_pose_ros.sources import image_messages, scene_markers, scene_messages
from hand_pose_ros.sources.errors import DecodeError
from hand_pose_ros.types import Scene, TrackingState

SIZE = (64, 48)


def test_constants_are_those_of_the_code() -> None:
    assert tuple(Hand.JOINT_NAMES.split()) == JOINT_NAMES
    assert Hand.NUM_JOINTS == NUM_JOINTS
    for index, name in enumerate(JOINT_NAMES):
        assert getattr(Hand, name.upper()) == index
    assert {Side.LEFT: Hand.SIDE_LEFT, Side.RIGHT: Hand.SIDE_RIGHT} == scene_messages.SIDE_CODES
    for state in TrackingState:
        assert getattr(Hand, f"STATE_{state.name}") == state
    # An empty message is no hand by mistake.
    empty = Hand()
    assert empty.side not in scene_messages.SIDE_CODES.values() and empty.tracking_state not in set(TrackingState)


@pytest.mark.parametrize("index", range(6))
def test_scene_survives_serialisation(index: int) -> None:
    scene = toy_recordings.scenes(6)[index]
    built = (
        scene_messages.hand_array(make, scene, SIZE),
        scene_messages.mesh_array(make, scene),
        scene_messages.object_array(make, scene),
    )
    back = scene_messages.scene_from_messages(
        *(deserialize_message(serialize_message(message), type(message)) for message in built)
    )
    assert (back.stamp_ns, back.frame_id, len(back.hands)) == (scene.stamp_ns, scene.frame_id, len(scene.hands))
    for one, other in zip(back.hands, scene.hands, strict=True):
        assert (one.side, one.track_id, one.state, one.score) == (other.side, other.track_id, other.state, other.score)
        np.testing.assert_array_equal(one.joints, other.joints)
        np.testing.assert_array_equal(one.joint_std, other.joint_std)
        np.testing.assert_array_equal(one.joint_valid, other.joint_valid)
        assert (one.mano is None) == (other.mano is None)
        if one.vertices is not None and other.vertices is not None:
            np.testing.assert_array_equal(one.vertices, other.vertices)
    for item, thing in zip(back.objects, scene.objects, strict=True):
        assert item.name == thing.name
        np.testing.assert_allclose(item.rotation, thing.rotation, atol=1e-6)


def test_arrays_take_the_fast_forms() -> None:
    message = make("hand_pose_ros/msg/HandMesh", vertices=np.arange(6, dtype=np.float32))
    assert isinstance(message.vertices, array.array) and message.vertices.typecode == "f"
    info = image_messages.camera_info(make, Header(), toy_recordings.camera())
    assert isinstance(info.k, np.ndarray) and isinstance(info.d, array.array)
    assert make("hand_pose_ros/msg/Hand", joint_valid=np.ones(21, dtype=bool)).joint_valid == [True] * 21


def test_markers_and_transforms_are_valid_messages() -> None:
    faces = {side: HandModel.bundled(side).faces % 12 for side in Side}
    for scene in toy_recordings.scenes(6):
        for message in (
            scene_markers.marker_array(make, scene),
            scene_markers.mesh_markers(make, scene, faces),
            scene_markers.transforms(make, scene, "robot/", joints=True),
        ):
            once = deserialize_message(serialize_message(message), type(message))
            assert deserialize_message(serialize_message(once), type(message)) == once
        meshes = scene_markers.mesh_markers(make, scene, faces).markers[1:]
        assert [m.ns for m in meshes] == [f"{h.side.value}_mesh" for h in scene.hands if h.vertices is not None]


def test_images_go_there_and_back() -> None:
    frame = toy_recordings.frames(1)[0]
    header = Header(frame_id="c")
    image = image_messages.color_image(make, header, frame.color)
    np.testing.assert_array_equal(color_from_message(image), frame.color)
    assert np.shares_memory(color_from_message(image), np.frombuffer(image.data, dtype=np.uint8)), "no copy for rgb8"
    depth = image_messages.depth_of(image_messages.depth_image(make, header, frame.depth))
    np.testing.assert_allclose(depth, frame.depth, atol=1e-6)
    packed = image_messages.compressed_color(make, header, frame.color, lossless=True)
    np.testing.assert_array_equal(color_from_message(packed), frame.color)


def test_exotic_encoding_without_cv_bridge_names_the_remedy() -> None:
    image = make("sensor_msgs/msg/Image", encoding="nv21", width=2, height=2, step=2)
    with pytest.raises(DecodeError, match=r"nv21.*cv_bridge"):
        color_from_message(image)


def test_scene_in_another_frame() -> None:
    """A quarter turn about z and a shift, worked out by hand."""
    scene = toy_recordings.scenes(2)[1]
    turn = Transform(
        translation=Vector3(x=1.0, y=2.0, z=3.0), rotation=Quaternion(z=float(np.sqrt(0.5)), w=float(np.sqrt(0.5)))
    )
    moved = move_scene(scene, TransformStamped(header=Header(frame_id="base_link"), transform=turn))
    assert moved.frame_id == "base_link" and moved.stamp_ns == scene.stamp_ns
    for before, after in zip(scene.hands, moved.hands, strict=True):
        x, y, z = before.joints.T
        np.testing.assert_allclose(after.joints, np.stack([1 - y, 2 + x, 3 + z], axis=1), atol=1e-6)
        np.testing.assert_allclose(after.wrist.position, after.joints[0], atol=1e-6)
        quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
        turned = wrist_rotation(after.joints, after.side)
        np.testing.assert_allclose(turned, quarter @ wrist_rotation(before.joints, before.side), atol=1e-5)
        assert after.mano is None
    for one, other in zip(scene.objects, moved.objects, strict=True):
        np.testing.assert_allclose(other.translation[2], one.translation[2] + 3, atol=1e-6)


def test_an_empty_scene_is_an_empty_array() -> None:
    message = scene_messages.hand_array(make, Scene(5_000_000_007, "c"), SIZE)
    assert isinstance(message, HandArray) and message.hands == []
    assert (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id) == (5, 7, "c")
