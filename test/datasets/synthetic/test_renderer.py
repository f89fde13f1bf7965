from __future__ import annotations

import cv2
import numpy as np
import pytest

from hand_pose_ros.datasets.synthetic.materials import sample_lighting
from hand_pose_ros.datasets.synthetic.packing import projection_matrix
from hand_pose_ros.datasets.synthetic.photometry import degrade_color
from hand_pose_ros.datasets.synthetic.placement import affine, random_rotation
from hand_pose_ros.datasets.synthetic.renderer import Renderer
from hand_pose_ros.datasets.synthetic.scene import sample_scene
from hand_pose_ros.datasets.synthetic.spec import (
    Label,
    Lighting,
    Material,
    Photometry,
    Primitive,
    SceneSpec,
    Shape,
    SyntheticConfig,
)
from hand_pose_ros.geometry.camera import back_project, project
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Intrinsics

CAMERAS = {
    "centred": Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480),
    "not square": Intrinsics(420.0, 433.0, 310.2, 251.7, 640, 480),
    "off axis": Intrinsics(400.0, 400.0, -60.0, 200.0, 160, 160),
}
GREY = Material((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), noise=0.0)
DARK = np.zeros((3, 3), dtype=np.float32)
LIGHTING = Lighting(DARK, DARK, np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.float32))


def scene_of(*primitives: Primitive) -> SceneSpec:
    return SceneSpec(CAMERAS["centred"], (), primitives, (), LIGHTING, Photometry())


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_a_plane_has_its_exact_depth_at_every_pixel(renderer: Renderer, camera: Intrinsics) -> None:
    rotation = random_rotation(np.random.default_rng(1))
    middle = back_project(np.array([camera.width / 2, camera.height / 2]), np.asarray(0.9), camera)
    if abs(rotation[2, 2]) < 0.5:
        rotation = rotation[:, [1, 2, 0]]
    plane = Primitive(Shape.PLANE, affine(rotation, np.array([0.2, 0.3, 1.0]), middle), GREY, Label.OBJECT)
    picture = renderer.render(scene_of(plane), camera)
    v, u = np.nonzero(picture.depth > 0)
    assert len(u) > 500
    assert (picture.mask[v, u] == Label.OBJECT).all()
    points = back_project(np.stack([u, v], axis=-1).astype(float), picture.depth[v, u], camera)
    distance = (points - middle) @ rotation[:, 2]
    assert np.abs(distance).max() < 2e-5
    inside = (points - middle) @ rotation[:, :2]
    assert (np.abs(inside) <= np.array([0.2, 0.3]) + 2e-5).all()


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_small_balls_appear_where_they_are_projected(renderer: Renderer, camera: Intrinsics) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.uniform(20, [camera.width - 20, camera.height - 20], (12, 2))
    for pixel in pixels:
        centre = back_project(pixel, np.asarray(rng.uniform(0.4, 1.5)), camera)
        radius = 5.0 / camera.fx * centre[2]
        ball = Primitive(Shape.SPHERE, affine(np.eye(3), np.full(3, radius), centre), GREY, Label.OTHER)
        picture = renderer.render(scene_of(ball), camera)
        v, u = np.nonzero(picture.mask == Label.OTHER)
        # A ball seen off the axis looks like an ellipse whose middle is a little outward of its centre.
        assert np.abs(np.array([u.mean(), v.mean()]) - project(centre, camera)).max() < 0.3
        assert picture.depth[v, u].min() == pytest.approx(centre[2] - radius, rel=0.005)


def test_pixel_centres_are_integers(renderer: Renderer) -> None:
    """A square over exactly columns 10..19 and rows 30..34 (edges at half-integers) fills these pixels, no others."""
    camera = CAMERAS["centred"]
    low = back_project(np.array([9.5, 29.5]), np.asarray(1.0), camera)
    high = back_project(np.array([19.5, 34.5]), np.asarray(1.0), camera)
    half = (high - low) / 2
    square = Primitive(
        Shape.PLANE, affine(np.eye(3), np.array([half[0], half[1], 1.0]), (low + high) / 2), GREY, Label.OTHER
    )
    v, u = np.nonzero(renderer.render(scene_of(square), camera).mask)
    assert (u.min(), u.max(), v.min(), v.max()) == (10, 19, 30, 34)
    assert len(u) == 50


def test_the_hand_in_the_depth_image_is_the_hand_of_the_truth(renderer: Renderer) -> None:
    """Every visible vertex lies on the depth image to sub-pixel accuracy."""
    config = SyntheticConfig(second_hand=0.0, held_object=0.0, occluder=0.0, max_clutter=0, body=0.0, background=0.0)
    for seed in range(5):
        spec = sample_scene(np.random.default_rng(seed), config, Side.RIGHT)
        hand = spec.hands[0]
        picture = renderer.render(spec, spec.camera)
        pixels = np.rint(project(hand.surface, spec.camera)).astype(int)
        inside = (pixels >= 0).all(axis=1) & (pixels < (spec.camera.width, spec.camera.height)).all(axis=1)
        u, v = pixels[inside].T
        own = picture.mask[v, u] == Label.RIGHT_HAND
        drawn = np.where(picture.depth > 0, picture.depth, np.inf).astype(np.float32)
        nearest = cv2.erode(drawn, np.ones((3, 3), dtype=np.uint8))
        vertices = hand.surface[inside, 2]
        assert own.sum() > 100
        # Nothing of the hand is in front of what is drawn within a pixel, and what faces the camera is drawn.
        assert (vertices - nearest[v, u])[own].min() > -0.002
        assert (np.abs(vertices - drawn[v, u])[own] < 0.002).mean() > 0.2


def test_equal_specs_give_equal_pictures_and_empty_space_has_no_depth(renderer: Renderer) -> None:
    config = SyntheticConfig(background=0.0)
    first, second = (sample_scene(np.random.default_rng(7), config) for _ in range(2))
    a, other, b = (
        renderer.render(first, first.camera),
        renderer.render(sample_scene(np.random.default_rng(8), config), first.camera),
        renderer.render(second, second.camera),
    )
    assert np.array_equal(a.color, b.color)
    assert np.array_equal(a.depth, b.depth)
    assert np.array_equal(a.mask, b.mask)
    assert not np.array_equal(a.depth, other.depth)
    assert ((a.depth == 0) <= (a.mask == Label.BACKGROUND)).all()
    assert (a.depth[a.mask == Label.BACKGROUND] == 0).all()


def test_too_large_a_picture_is_refused(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="max_size"):
        renderer.render(scene_of(), Intrinsics(900.0, 900.0, 639.5, 359.5, 1280, 720))


def test_projection_matrix_agrees_with_the_pinhole() -> None:
    camera = CAMERAS["not square"]
    point = np.array([0.1, -0.2, 0.8])
    clip = projection_matrix(camera) @ np.append(point, 1.0)
    window = (clip[:2] / clip[3] + 1) / 2 * (camera.width, camera.height)
    assert window - 0.5 == pytest.approx(project(point, camera), abs=1e-3)


def test_lights_are_unit_vectors() -> None:
    light = sample_lighting(np.random.default_rng(0))
    assert np.linalg.norm(light.directions, axis=1) == pytest.approx(1.0, abs=1e-6)


def test_camera_noise_is_in_all_channels() -> None:
    """Once it was in red alone."""
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    noisy = degrade_color(grey, Photometry(noise=5.0, seed=1))
    assert noisy.std(axis=(0, 1)) == pytest.approx(5.0, rel=0.1)
