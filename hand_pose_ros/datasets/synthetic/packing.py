"""Scenes as the numbers the shaders read: one row per scene, primitive or hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from hand_pose_ros.datasets.synthetic.shaders import SCENE_VECTORS
from hand_pose_ros.datasets.synthetic.spec import HandTruth, Primitive, SceneSpec, Shape
from hand_pose_ros.types import FloatArray, Intrinsics

NEAR: Final = 0.03
FAR: Final = 30.0
# Of the projection's third row.
DEPTH_RANGE: Final = ((FAR + NEAR) / (FAR - NEAR), -2.0 * FAR * NEAR / (FAR - NEAR))
INSTANCE_FLOATS: Final = 28
HAND_FLOATS: Final = 16


def projection(camera: Intrinsics) -> tuple[float, float, float, float]:
    """x scale, x shift, y scale, y shift of an optical-frame camera: clip x = scale * x + shift * z, clip w = z.

    Image row 0 comes out as OpenGL's first row. u + 0.5 runs over 0..width where clip x / w runs over -1..1: pixel
    centres are at half-integers of OpenGL's window.
    """
    return (
        2.0 * camera.fx / camera.width,
        2.0 * (camera.cx + 0.5) / camera.width - 1.0,
        2.0 * camera.fy / camera.height,
        2.0 * (camera.cy + 0.5) / camera.height - 1.0,
    )


def projection_matrix(camera: Intrinsics) -> FloatArray:
    """(4, 4) clip = P @ (x, y, z, 1) of an optical-frame camera, as the shaders compute it."""
    (xx, xz, yy, yz), (zz, zw) = projection(camera), DEPTH_RANGE
    return np.array([[xx, 0, xz, 0], [0, yy, yz, 0], [0, 0, zz, zw], [0, 0, 1, 0]], dtype=np.float32)


def pack_scenes(views: Sequence[tuple[SceneSpec, Intrinsics]]) -> FloatArray:
    """(N, 10, 4): camera, exposure, ambient light, background, three lights' directions and colours."""
    packed = np.zeros((len(views), SCENE_VECTORS, 4), dtype=np.float32)
    for row, (spec, camera) in zip(packed, views, strict=True):
        light, photometry = spec.lighting, spec.photometry
        row[0] = projection(camera)
        row[1] = (*photometry.gain, 1.0 / photometry.gamma)
        row[2, :3] = light.ambient
        row[3, :3] = np.clip(light.background * photometry.gain, 0.0, 1.0) ** (1.0 / photometry.gamma)
        row[4:7, :3] = light.directions
        row[7:10, :3] = light.colors
    return packed


def pack_primitives(scenes: Sequence[Sequence[Primitive]]) -> Iterator[tuple[Shape, FloatArray]]:
    """(shape, (N, 28)) for each shape that occurs, in the order of the instance attributes in `shaders.py`.

    Planes are last in `Shape`: what stands before them is then already in the depth buffer.
    """
    by_shape: dict[Shape, list[tuple[int, Primitive]]] = {}
    for scene, primitives in enumerate(scenes):
        for primitive in primitives:
            by_shape.setdefault(primitive.shape, []).append((scene, primitive))
    for shape in sorted(by_shape):
        chosen = by_shape[shape]
        packed = np.empty((len(chosen), INSTANCE_FLOATS), dtype=np.float32)
        packed[:, :12] = np.array([primitive.transform for _, primitive in chosen]).reshape(-1, 12)
        packed[:, 12:] = [_surface_row(scene, primitive) for scene, primitive in chosen]
        yield shape, packed


def _surface_row(scene: int, primitive: Primitive) -> tuple[float, ...]:
    material = primitive.material
    return (
        *(primitive.taper, primitive.bulge, primitive.cap, primitive.label + 0.5 * min(material.loss, 0.99)),
        *(*material.base, material.pattern),
        *(*material.second, material.scale),
        *(material.noise, material.specular, material.offset, scene),
    )


def pack_hands(hands: Sequence[tuple[int, HandTruth]]) -> FloatArray:
    """(N, 16) for pairs of scene and hand, in the order of the hands' instance attributes."""
    rows = []
    for scene, hand in hands:
        skin = hand.skin
        rows.append(
            (
                *(*skin.back, skin.knuckles),
                *(*skin.palm, skin.creases),
                *(*skin.nail, scene),
                *(skin.noise, skin.specular, skin.offset, 0.0),
            )
        )
    return np.array(rows, dtype=np.float32)
