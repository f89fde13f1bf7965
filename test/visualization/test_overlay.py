"""Overlays: what is drawn where, read back from the pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hand_pose_ros.skeleton import JOINT_NAMES, Side
from hand_pose_ros.types import Frame, HandEstimate, Intrinsics, ObjectEstimate, Scene
from hand_pose_ros.visualization.depth import colorize_depth, depth_range, shade_depth
from hand_pose_ros.visualization.mesh import draw_mesh
from hand_pose_ros.visualization.overlay import OverlayStyle, background, draw_scene
from hand_pose_ros.visualization.palette import FINGER_COLORS, INVALID_COLOR, SIDE_COLORS
from hand_pose_ros.visualization.panel import compose

MakeHand = Callable[..., HandEstimate]
BARE = OverlayStyle(labels=False)


def grey(camera: Intrinsics) -> np.ndarray:
    return np.full((camera.height, camera.width, 3), 90, dtype=np.uint8)


def pixel_of(joint: np.ndarray, camera: Intrinsics) -> tuple[int, int]:
    """Row and column where a joint must appear, by the pinhole equation written out."""
    u = camera.cx + camera.fx * joint[0] / joint[2]
    v = camera.cy + camera.fy * joint[1] / joint[2]
    return round(float(v)), round(float(u))


@pytest.mark.parametrize("name", ["thumb_tip", "index_pip", "middle_mcp", "ring_dip", "little_tip"])
def test_a_joint_has_its_fingers_colour_where_it_projects(camera: Intrinsics, make_hand: MakeHand, name: str) -> None:
    hand = make_hand()
    picture = draw_scene(grey(camera), Scene(0, "camera", (hand,)), camera, style=BARE)
    row, column = pixel_of(hand.joints[JOINT_NAMES.index(name)], camera)
    assert tuple(picture[row, column]) == FINGER_COLORS[name.split("_")[0]]


def test_the_input_is_left_as_it_was(camera: Intrinsics, make_hand: MakeHand) -> None:
    image = grey(camera)
    picture = draw_scene(image, Scene(0, "camera", (make_hand(),)), camera)
    assert (image == 90).all()
    assert picture.shape == image.shape
    assert (picture != image).any()


def test_invalid_joints_are_grey(camera: Intrinsics, make_hand: MakeHand) -> None:
    valid = np.ones(21, dtype=np.bool_)
    valid[8] = False
    hand = make_hand(joint_valid=valid)
    picture = draw_scene(grey(camera), Scene(0, "camera", (hand,)), camera, style=BARE)
    assert tuple(picture[pixel_of(hand.joints[8], camera)]) == INVALID_COLOR


def test_one_standard_deviation_is_the_circles_radius(camera: Intrinsics, make_hand: MakeHand) -> None:
    std = np.full(21, 0.001, dtype=np.float32)
    std[4] = 0.02  # 0.02 m at 0.5 m with f = 500 is 20 pixels
    hand = make_hand(joint_std=std)
    scene = Scene(0, "camera", (hand,))
    picture = draw_scene(grey(camera), scene, camera, style=BARE)
    without = draw_scene(grey(camera), scene, camera, style=OverlayStyle(labels=False, uncertainty=False))
    row, column = pixel_of(hand.joints[4], camera)
    changed = np.argwhere((picture != without).any(axis=2)) - (row, column)
    radii = np.linalg.norm(changed, axis=1)
    assert len(radii) > 50
    assert radii.min() > 18
    assert radii.max() < 22


def test_a_hand_behind_the_camera_or_far_outside_is_no_trouble(camera: Intrinsics, make_hand: MakeHand) -> None:
    hands = (make_hand((0.0, 0.0, -0.5)), make_hand((1e6, 0.0, 0.5)))
    picture = draw_scene(grey(camera), Scene(0, "camera", hands), camera, style=BARE)
    assert (picture == 90).all()


def test_labels_stay_inside_small_pictures(camera: Intrinsics, make_hand: MakeHand) -> None:
    hand = make_hand((-0.15, -0.10, 0.5))
    picture = draw_scene(grey(camera), Scene(0, "camera", (hand,)), camera)
    color = np.array(SIDE_COLORS[Side.RIGHT])
    close = (np.abs(picture.astype(int) - color) < 25).all(axis=2)
    assert close[:40, :200].sum() > 15


SQUARE = np.array([[-0.02, -0.02, 0.5], [0.02, -0.02, 0.5], [0.02, 0.02, 0.5], [-0.02, 0.02, 0.5]], dtype=np.float32)
# Counter-clockwise seen from the camera, whose y axis points down.
TOWARDS = np.array([[0, 2, 1], [0, 3, 2]])


def test_a_surface_covers_its_pixels(camera: Intrinsics) -> None:
    image = grey(camera)
    draw_mesh(image, SQUARE, TOWARDS, camera, (255, 0, 0), opacity=1.0)
    rows, columns = np.nonzero((image != 90).any(axis=2))
    # 0.04 m at 0.5 m with f = 500: 40 pixels around the principal point.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (100, 140, 140, 180)
    assert len(rows) == 41 * 41


def test_back_faces_are_not_drawn(camera: Intrinsics) -> None:
    image = grey(camera)
    draw_mesh(image, SQUARE, TOWARDS[:, ::-1], camera, (255, 0, 0), opacity=1.0)
    assert (image == 90).all()


def test_the_nearer_triangle_covers_the_farther(camera: Intrinsics) -> None:
    near = SQUARE * np.float32(0.8)
    # The near square is tilted, so that its shade differs from the far one's.
    near[:2, 2] -= 0.03
    near_first, far_first = grey(camera), grey(camera)
    draw_mesh(near_first, np.vstack([near, SQUARE]), np.vstack([TOWARDS, TOWARDS + 4]), camera, (200, 200, 200), 1.0)
    draw_mesh(far_first, np.vstack([SQUARE, near]), np.vstack([TOWARDS, TOWARDS + 4]), camera, (200, 200, 200), 1.0)
    only_near = grey(camera)
    draw_mesh(only_near, near, TOWARDS, camera, (200, 200, 200), 1.0)
    np.testing.assert_array_equal(near_first, far_first)
    assert tuple(near_first[120, 160]) == tuple(only_near[120, 160])


def test_opacity_mixes(camera: Intrinsics) -> None:
    image = grey(camera)
    draw_mesh(image, SQUARE, TOWARDS, camera, (190, 190, 190), opacity=0.5)
    # Lit straight on at the middle: 0.5 * 190 + 0.5 * 90.
    assert abs(int(image[120, 160, 0]) - 140) <= 1


def test_an_objects_axes_point_along_its_rotation(camera: Intrinsics) -> None:
    turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)  # its x axis points down in the picture
    item = ObjectEstimate(
        "box", turned, np.array([0, 0, 0.5], dtype=np.float32), np.full(3, 0.1, dtype=np.float32), 1.0
    )
    picture = draw_scene(grey(camera), Scene(0, "camera", (), (item,)), camera)
    # The lines are antialiased, so the colours are nearly those.
    np.testing.assert_allclose(picture[120 + 25, 160], (230, 60, 60), atol=25)
    np.testing.assert_allclose(picture[120, 160 - 25], (60, 200, 60), atol=25)


def test_depth_colours_are_ordered_and_black_without_reading() -> None:
    depth = np.array([[0.0, 0.2, 0.5, 0.8, 5.0]], dtype=np.float32)
    picture = colorize_depth(depth, 0.5, 0.8)
    assert tuple(picture[0, 0]) == (0, 0, 0)
    assert tuple(picture[0, 1]) == tuple(picture[0, 2])
    assert tuple(picture[0, 3]) == tuple(picture[0, 4])
    red, blue = picture[0, 2].astype(int), picture[0, 3].astype(int)
    assert red[0] - red[2] > blue[0] - blue[2]


def test_slopes_are_darker_and_nothing_is_black(camera: Intrinsics) -> None:
    columns = np.arange(320, dtype=np.float32)
    depth = np.broadcast_to(0.5 + np.where(columns > 160, (columns - 160) * 0.002, 0), (240, 320)).astype(np.float32)
    depth[:20] = 0.0
    picture = shade_depth(depth, camera).astype(int)
    assert (picture[:20] == 0).all()
    # The right half recedes by 2 mm per pixel of 1 mm: it faces the camera with a cosine of about 0.45.
    flat, slope = picture[120, 80, 1], picture[120, 180, 1]
    assert 0.3 < slope / flat < 0.75


def test_depth_range_ignores_missing_readings() -> None:
    depth = np.zeros((40, 40), dtype=np.float32)
    assert depth_range(depth) == (0.0, 1.0)
    depth[:20] = 0.4
    depth[20:] = 0.6
    assert depth_range(depth) == pytest.approx((0.4, 0.6))


@pytest.mark.parametrize("with_color", [True, False])
def test_the_panel_stands_beside_the_picture(camera: Intrinsics, make_hand: MakeHand, with_color: bool) -> None:
    color = grey(camera) if with_color else None
    frame = Frame(0, "camera", camera, color, np.full((240, 320), 0.45, dtype=np.float32))
    hand = make_hand()
    picture = compose(frame, Scene(0, "camera", (hand,)))
    assert picture.shape == (240, 480, 3)
    np.testing.assert_array_equal(picture[:, :320], draw_scene(background(frame), Scene(0, "", (hand,)), camera))
    # Seen from the side the flat wall of depth is one upright line of dots 5 cm before the hand in the panel's middle.
    dots = (picture[120 + 24 :, 320:] == (110, 110, 120)).all(axis=2)
    assert set(np.nonzero(dots.any(axis=0))[0]) <= set(range(50, 65))
    assert dots.sum() > 40


def test_colour_alone_has_no_panel(camera: Intrinsics) -> None:
    frame = Frame(0, "camera", camera, grey(camera))
    assert compose(frame, Scene(0, "camera")).shape == (240, 320, 3)
