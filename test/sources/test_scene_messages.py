"""Scenes as messages: regions clipped, markers and frames that RViz takes, and nothing invented on the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import toy_recordings as toy
from hypothesis import given
from hypothesis import strategies as st

from hand_pose_ros.geometry.wrist import quaternion_to_matrix
from hand_pose_ros.skeleton import BONES, JOINT_NAMES, Side
from hand_pose_ros.sources.image_messages import camera_info, intrinsics_of, is_rectified
from hand_pose_ros.sources.message_types import make, message_folder, serialize, typestore
from hand_pose_ros.sources.scene_markers import marker_array, object_frame, transforms
from hand_pose_ros.sources.scene_messages import (
    SIDE_CODES,
    hand_array,
    header_of,
    mesh_array,
    scene_from_messages,
    stamp_of,
)
from hand_pose_ros.types import BoundingBox, Intrinsics, InvalidData, Scene

SCENE = toy.scenes(2)[1]
TWO = toy.scenes(1)[0]


def test_our_messages_are_known_and_their_constants_agree() -> None:
    names = {f"hand_pose_ros/msg/{path.stem}" for path in message_folder().glob("*.msg")}
    assert names <= set(typestore().types)
    hand: Any = typestore().types["hand_pose_ros/msg/Hand"]
    assert tuple(hand.JOINT_NAMES.split()) == JOINT_NAMES
    assert [getattr(hand, name.upper()) for name in JOINT_NAMES] == list(range(21))
    assert {Side.LEFT: hand.SIDE_LEFT, Side.RIGHT: hand.SIDE_RIGHT} == SIDE_CODES


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps(stamp_ns: int) -> None:
    assert stamp_of(header_of(make, stamp_ns, "f")) == stamp_ns


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (BoundingBox(1.4, 2.6, 10.0, 5.0), (1, 3, 10, 5)),
        (BoundingBox(-5.0, -5.0, 10.0, 10.0), (0, 0, 5, 5)),
        (BoundingBox(60.0, 40.0, 100.0, 100.0), (60, 40, 4, 8)),
        (BoundingBox(200.0, 200.0, 10.0, 10.0), (64, 48, 0, 0)),
    ],
)
def test_regions_lie_inside_the_image(box: BoundingBox, expected: tuple[int, int, int, int]) -> None:
    scene = replace(SCENE, hands=(replace(SCENE.hands[0], roi=box),))
    roi = hand_array(make, scene, (64, 48)).hands[0].roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == expected


def test_a_scene_comes_back() -> None:
    for side in Side:
        scene = Scene(5, "f", (toy.hand(side), toy.hand(side, track_id=9, full=False)))
        back = scene_from_messages(hand_array(make, scene, (64, 48)), mesh_array(make, scene))
        assert [hand.track_id for hand in back.hands] == [7, 9]
        assert back.hands[1].vertices is None
        assert back.hands[1].mano is None
        np.testing.assert_array_equal(back.hands[0].vertices, scene.hands[0].vertices)
        np.testing.assert_array_equal(back.hands[0].mano.betas, scene.hands[0].mano.betas)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda hand: setattr(hand, "side", 0), r"Hand\.side: expected \[1, 2\], got 0"),
        (lambda hand: setattr(hand, "tracking_state", 9), r"Hand\.tracking_state: expected one of \[1, 2\], got 9"),
        (lambda hand: setattr(hand.joints[4], "x", float("nan")), r"hand\.joints: holds NaN"),
    ],
)
def test_wrong_messages(spoil: Callable[[Any], None], message: str) -> None:
    array = hand_array(make, SCENE, (64, 48))
    spoil(array.hands[0])
    with pytest.raises(InvalidData, match=message):
        scene_from_messages(array)


def test_markers() -> None:
    faces = {side: np.array([[0, 1, 2], [2, 1, 3]]) for side in Side}
    array = marker_array(make, TWO, faces)
    assert array.markers[0].action == 3
    shown = {marker.ns: marker for marker in array.markers[1:]}
    assert list(shown) == [
        "left_bones",
        "left_joints",
        "left_label",
        "left_std",
        "left_mesh",
        "right_bones",
        "right_joints",
        "right_label",
        "right_std",
    ]
    bones = shown["left_bones"]
    assert len(bones.points) == len(bones.colors) == 2 * len(BONES)
    first = TWO.hands[0].joints[list(BONES[3])]
    np.testing.assert_allclose([[p.x, p.y, p.z] for p in bones.points[6:8]], first)
    assert len(shown["left_mesh"].points) == 6
    # Joint 5 is not to be relied on: grey and half transparent.
    assert shown["left_joints"].colors[5].a < 0.5 < shown["left_joints"].colors[6].a
    assert {marker.header.frame_id for marker in array.markers} == {toy.FRAME_ID}
    assert all(marker.pose.orientation.w == 1.0 for marker in array.markers[1:])
    assert len({(marker.ns, marker.id) for marker in array.markers}) == len(array.markers)
    serialize(array)


@given(st.lists(st.floats(0.0, 0.2), min_size=21, max_size=21))
def test_every_known_uncertainty_is_a_sphere_of_about_its_size(std: list[float]) -> None:
    hand = replace(TWO.hands[0], joint_std=np.array(std, dtype=np.float32))
    array = marker_array(make, replace(TWO, hands=(hand,)))
    spheres = [marker for marker in array.markers if marker.ns == "left_std"]
    drawn = {(p.x, p.y, p.z): marker.scale.x / 2 for marker in spheres for p in marker.points}
    expected = {tuple(map(float, hand.joints[j])): hand.joint_std[j] for j in range(21) if hand.joint_std[j] > 0}
    assert drawn.keys() == expected.keys()
    for place, radius in drawn.items():
        assert radius == pytest.approx(float(expected[place]), rel=0.12)
    assert all(marker.scale.x == marker.scale.y == marker.scale.z for marker in spheres)
    assert all(len(marker.points) == len(marker.colors) for marker in spheres)
    assert len({marker.id for marker in spheres}) == len(spheres)
    assert "left_std" not in {m.ns for m in marker_array(make, TWO, uncertainty=False).markers}


def test_an_object_is_a_box_with_axes_and_its_name() -> None:
    (item,) = SCENE.objects
    shown = {marker.ns: marker for marker in marker_array(make, SCENE).markers if marker.ns.startswith("object")}
    box, axes, label = shown["objects"], shown["object_axes"], shown["object_labels"]
    np.testing.assert_allclose([box.scale.x, box.scale.y, box.scale.z], item.extent)
    turn = box.pose.orientation
    rotation = quaternion_to_matrix(np.array([turn.x, turn.y, turn.z, turn.w]))
    np.testing.assert_allclose(rotation, item.rotation, atol=1e-6)
    assert axes.pose == box.pose
    ends = np.array([[p.x, p.y, p.z] for p in axes.points[1::2]])
    np.testing.assert_allclose(ends, np.diag(item.extent) / 2, atol=1e-7)
    assert label.text == "box/1 0.50"
    assert label.pose.position.y < item.translation[1] - item.extent.max() / 2, "above the box: y points down"


def test_of_two_objects_of_one_name_tf_has_the_surer() -> None:
    (item,) = SCENE.objects
    other = replace(item, score=0.9, translation=np.array([0.3, 0, 0.5], dtype=np.float32))
    for objects in ((item, other), (other, item)):
        (frame,) = transforms(make, Scene(1, "f", (), objects)).transforms
        assert frame.transform.translation.x == pytest.approx(0.3)


def test_transforms_take_joints_back_to_the_camera() -> None:
    message = transforms(make, TWO, "p_", joints=True)
    frames = {item.child_frame_id: item for item in message.transforms}
    assert len(frames) == len(message.transforms) == 2 * 21
    for hand in TWO.hands:
        wrist = frames[f"p_{hand.side.value}_wrist"]
        assert wrist.header.frame_id == toy.FRAME_ID
        turn = wrist.transform.rotation
        rotation = quaternion_to_matrix(np.array([turn.x, turn.y, turn.z, turn.w]))
        tip = frames[f"p_{hand.side.value}_index_tip"]
        assert tip.header.frame_id == wrist.child_frame_id
        inside = np.array([tip.transform.translation.x, tip.transform.translation.y, tip.transform.translation.z])
        np.testing.assert_allclose(rotation @ inside + hand.joints[0], hand.joints[8], atol=1e-5)


def test_of_two_hands_of_one_side_tf_has_the_surer() -> None:
    sure, unsure = replace(toy.hand(seed=1), score=0.9), replace(toy.hand(seed=2), score=0.4)
    message = transforms(make, Scene(1, "f", (unsure, sure)))
    (frame,) = message.transforms
    assert frame.transform.translation.x == pytest.approx(float(sure.joints[0, 0]))


def test_object_frames_have_plain_names() -> None:
    assert object_frame("box/1 red") == "object_box_1_red"
    assert [item.child_frame_id for item in transforms(make, SCENE).transforms][-1] == "object_box_1"


@pytest.mark.parametrize("distortion", [(), (0.1, -0.2, 0.001, 0.002, 0.05), (0.1, 0.2, 0.0, 0.0, 0.3, 0.4, 0.5, 0.6)])
def test_camera_info(distortion: tuple[float, ...]) -> None:
    camera = Intrinsics(600.0, 601.0, 320.5, 240.25, 640, 480, distortion)
    message = camera_info(make, header_of(make, 1, "f"), camera)
    assert intrinsics_of(message) == replace(camera, distortion_model=message.distortion_model if distortion else "")
    assert message.distortion_model == ("rational_polynomial" if len(distortion) == 8 else "plumb_bob")
    serialize(message)
    message.distortion_model = "mei"
    if distortion:
        with pytest.raises(InvalidData, match="got 'mei'"):
            intrinsics_of(message)
    assert intrinsics_of(message, rectified=True) == replace(camera, distortion=())
    message.k[:] = 0
    with pytest.raises(InvalidData, match=r"camera_info|calibrated"):
        intrinsics_of(message)


def test_camera_info_of_a_part_and_of_binned_images() -> None:
    """image_pipeline's rule: K is of the full resolution; the region is cut out first, then pixels are put together."""
    camera = Intrinsics(600.0, 601.0, 320.5, 240.25, 640, 480)
    message = camera_info(make, header_of(make, 1, "f"), camera)
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 100, 40, 400, 320
    assert intrinsics_of(message) == replace(camera, cx=220.5, cy=200.25, width=400, height=320)
    message.binning_x = message.binning_y = 2
    binned = intrinsics_of(message)
    assert (binned.width, binned.height, binned.fx) == (200, 160, 300.0)
    assert binned.cx == pytest.approx((220.5 + 0.5) / 2 - 0.5)


@pytest.mark.parametrize(
    ("topic", "is_so"),
    [
        ("/camera/color/image_raw", False),
        ("/camera/image_rect_color", True),
        ("/camera/camera/depth/image_rect_raw", True),
        ("image_rect", True),
        ("/direct/image", False),
    ],
)
def test_rectified_images_are_known_by_their_topic(topic: str, is_so: bool) -> None:
    assert is_rectified(topic) is is_so


def test_rectified_images_have_the_projection_matrix() -> None:
    camera = Intrinsics(600.0, 601.0, 320.5, 240.25, 640, 480, (0.1, -0.2, 0.001, 0.002, 0.05), "plumb_bob")
    message = camera_info(make, header_of(make, 1, "f"), camera)
    message.p[0], message.p[2], message.p[5], message.p[6] = 550.0, 310.0, 551.0, 230.0
    assert intrinsics_of(message, rectified=True) == Intrinsics(550.0, 551.0, 310.0, 230.0, 640, 480)
    assert intrinsics_of(message) == camera


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(TypeError):
        make("geometry_msgs/msg/Point", w=1.0)
