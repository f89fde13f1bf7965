"""Hands whose every number is known: posed by the bundled model, seen by a camera, with a depth image that fits."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.lifting import SKIN_DEPTH, SKIN_PROFILE
from hand_pose_ros.hand_model.model import HandGeometry, HandModel
from hand_pose_ros.hand_model.pose_prior import mirror_pose, sample_betas, sample_pose
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray, Intrinsics

CAMERA = Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480)


@lru_cache(maxsize=256)
def _shape(side: Side, seed: int) -> DoubleArray:
    rng = np.random.default_rng(seed)
    bend = rng.uniform(0.0, 0.4, (15, 1)) * np.array([[0.0, 0.0, 1.0]])
    zero = np.zeros(3, dtype=np.float32)
    model = HandModel.bundled(side)
    joints = model.forward(zero, bend.astype(np.float32).reshape(45), np.zeros(10, np.float32), zero).joints
    return np.asarray(joints - joints[0], dtype=np.float64)


def exact_hand(side: Side, wrist: tuple[float, float, float], seed: int = 0) -> DoubleArray:
    """Joints (21, 3) metres of a bent hand of mean size, its palm about square to the camera, the fingers up."""
    rng = np.random.default_rng(seed + 1000)
    shape = _shape(side, seed)
    along, across = shape[9], shape[5] - shape[17]
    up = -along / np.linalg.norm(along)
    normal = np.cross(across, up)
    normal /= np.linalg.norm(normal)
    upright = np.stack([np.cross(up, normal), up, normal])
    tilt = axis_angle_to_matrix(rng.normal(0.0, 0.35, 3))
    return np.asarray(shape @ upright.T @ tilt.T + np.array(wrist))


def painted_depth(*hands: DoubleArray, camera: Intrinsics = CAMERA, width: int = 4) -> FloatArray:
    """A depth image (H, W): about each joint a square, the skin's depth in front of it, the nearest on top."""
    depth = np.zeros((camera.height, camera.width), dtype=np.float32)
    joints = np.concatenate(hands) if hands else np.zeros((0, 3))
    surface = joints[:, 2] - SKIN_DEPTH * np.tile(SKIN_PROFILE, len(hands))
    for joint, z in sorted(zip(joints, surface, strict=True), key=lambda pair: -pair[1]):
        u, v = np.rint(project(joint, camera)).astype(int)
        if 0 <= u < camera.width and 0 <= v < camera.height:
            depth[max(v - width, 0) : v + width + 1, max(u - width, 0) : u + width + 1] = z
    return depth


def hand_at(side: Side, place: tuple[float, float, float], seed: int) -> HandGeometry:
    """Somebody's hand in a natural pose, turned in some way."""
    rng = np.random.default_rng(seed)
    pose = sample_pose(rng)
    pose = mirror_pose(pose) if side is Side.LEFT else pose
    orient = rng.normal(0, 0.8, 3).astype(np.float32)
    return HandModel.bundled(side).forward(orient, pose, sample_betas(rng), np.array(place, dtype=np.float32))


def drawn(*hands: HandGeometry, camera: Intrinsics = CAMERA) -> FloatArray:
    """Depth (H, W) of hands before nothing: triangles from far to near."""
    depth = np.zeros((camera.height, camera.width), dtype=np.float32)
    faces = HandModel.bundled(Side.RIGHT).faces
    for hand in sorted(hands, key=lambda hand: -float(hand.joints[:, 2].mean())):
        corners = np.rint(project(hand.vertices, camera)).astype(np.int32)[faces]
        z = hand.vertices[faces][..., 2].mean(axis=1)
        for k in np.argsort(-z):
            cv2.fillConvexPoly(depth, corners[k], float(z[k]))
    return depth
