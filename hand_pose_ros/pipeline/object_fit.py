"""The object's known surface laid onto the depth image, where the network sees the object.

Networks of two hands are trained on things of all kinds and know none of them; the user names one and tells its shape.
So the network says where the object is seen and what the hands are, and the depth image how it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from hand_pose_ros.geometry.camera import back_project, project
from hand_pose_ros.geometry.pose_search import DepthPatch, Poses, PoseScore, PoseSearch, even_rotations
from hand_pose_ros.geometry.surface import Surface
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.pipeline.scene_network import SeenPlaces
from hand_pose_ros.skeleton import BONES, MCPS, WRIST
from hand_pose_ros.types import BoolArray, DoubleArray, FloatArray, Intrinsics

# Side of the patch in pixels, at most; the depth image is thinned out for it.
_SIDE: Final = 112
# How near a place that the network took for the object's a pixel is believed to be so (of the object's size), and what
# is believed of all others.
_NEARBY: Final = 0.2
_ELSEWHERE: Final = 0.15
# Joints lie inside the hand: what is measured so near to their bones (m) is hardly believed to be the object.
_HAND: Final = 0.02
_ON_HAND: Final = 0.15
_NEAREST: Final = 0.05
# A pixel this much farther or nearer than the object is large is something else.
_BEHIND: Final = 0.05
# Poses tried without a pose to follow, and beside one.
_FIRST: Final = 512
_FRESH: Final = 64
# After a search in vain so many frames are searched no more thoroughly than beside a pose to follow.
_PATIENCE: Final = 5
# A pose is taken where so much of the surface was measured in its place, and so much more than was seen through.
_MEASURED: Final = 0.25
_CONTRADICTED: Final = 0.5

_SIDES: Final = np.concatenate(
    [np.eye(3)[None], *(axis_angle_to_matrix(np.eye(3) * (np.pi / 2 * quarters)) for quarters in (1, 2, 3))]
).astype(np.float32)
_STARTS, _ENDS = np.array([*BONES, *((WRIST, knuckle) for knuckle in MCPS)]).T
_ALONG: Final = np.array([0.0, 0.33, 0.67])[:, None, None, None]


class ObjectFit:
    """Finds the object's pose and follows it from frame to frame.

    Args:
        surface: the object's.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._radius = float(np.linalg.norm(surface.points, axis=1).max())
        self._half = np.maximum(np.abs(surface.points).max(axis=0).astype(np.float64), 1e-3)
        self._rotations = even_rotations(_FIRST).astype(np.float32)
        self._anew = PoseSearch(families=96, children=2, apart=6, together=3, turn=0.3, shift=0.02)
        self._on = PoseSearch(families=16, children=2, apart=4, together=3, turn=0.15, shift=0.012)
        self._last: Poses | None = None
        self._frames = self._waiting = 0

    def reset(self) -> None:
        """Forget the last pose."""
        self._last = None
        self._waiting = 0

    def find(
        self, depth: FloatArray, camera: Intrinsics, places: SeenPlaces, hands: Sequence[FloatArray]
    ) -> tuple[DoubleArray, DoubleArray] | None:
        """The object's rotation (3, 3) and translation (3,) in the camera frame; None where the depth image shows no
        such thing there.

        Args:
            depth: (H, W) metres, 0 without a reading.
            camera: of the depth image.
            places: where the network sees the object.
            hands: joints (21, 3) of each hand in metres.
        """
        patch, sure = self._patch(depth, camera, places, hands)
        if patch is None:
            self._last = None
            return None
        last, self._last = self._last, None
        anew = last is None and self._waiting == 0
        search, count = (self._anew, _FIRST) if anew else (self._on, _FRESH)
        pose, explained = search(PoseScore(patch, self._surface), self._first(patch, sure, last, count))
        if explained.measured[0] < _MEASURED or explained.contradicted[0] > _CONTRADICTED * explained.measured[0]:
            self._waiting = _PATIENCE if anew else max(self._waiting - 1, 0)
            return None
        self._last, self._waiting = pose, 0
        return pose.rotation[0].astype(np.float64), pose.translation[0].astype(np.float64)

    def _patch(
        self, depth: FloatArray, camera: Intrinsics, places: SeenPlaces, hands: Sequence[FloatArray]
    ) -> tuple[DepthPatch | None, BoolArray]:
        """The depth image about the object, and which of its pixels show it most likely."""
        nothing: BoolArray = np.zeros((0, 0), dtype=np.bool_)
        likely = places.chances > 0.5 * places.chances.max(initial=0.0)
        likely &= np.isfinite(places.pixels).all(axis=1)
        at = places.pixels[likely]
        column, row = np.rint(at).astype(int).T if len(at) else np.zeros((2, 0), dtype=int)
        inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
        readings = depth[row[inside], column[inside]]
        if not (readings > 0).any():
            return None, nothing
        middle, distance = np.median(at[inside][readings > 0], axis=0), float(np.median(readings[readings > 0]))
        # All of the object wherever one of its ends is seen.
        reach = 2.2 * self._radius * camera.fx / distance
        step = max(1, round(2 * reach / _SIDE))
        low = np.maximum(np.floor(middle - reach), 0).astype(int)
        high = np.minimum(np.ceil(middle + reach), (camera.width - 1, camera.height - 1)).astype(int) + 1
        seen = np.ascontiguousarray(depth[low[1] : high[1] : step, low[0] : high[0] : step])
        if not seen.size:
            return None, nothing
        left, top = low.tolist()
        own = Intrinsics(
            *(camera.fx / step, camera.fy / step, (camera.cx - left) / step, (camera.cy - top) / step),
            *reversed(seen.shape),
        )
        belief = self._belief((at - low) / step, places.chances[likely], seen.shape, own.fx / distance)
        belief[np.abs(seen - distance) > 2 * self._radius + _BEHIND] = 0.0
        belief[np.abs(seen - _drawn(hands, own)) < 1.5 * _HAND] *= _ON_HAND
        sure = (seen > 0) & (belief > 0.5 * belief.max())
        return (DepthPatch(seen, belief, own), sure) if sure.any() else (None, nothing)

    def _belief(self, at: DoubleArray, chances: DoubleArray, shape: tuple[int, ...], scale: float) -> FloatArray:
        """scale: pixels of the patch per metre."""
        spread = max(1.0, _NEARBY * self._radius * scale)
        y, x = (np.arange(size, dtype=np.float32) for size in shape)
        across = np.exp(-0.5 * ((x - at[:, :1]) / spread) ** 2).astype(np.float32)
        down = np.exp(-0.5 * ((y - at[:, 1:]) / spread) ** 2).astype(np.float32)
        weight = (chances / chances.max()).astype(np.float32)
        near = (weight[:, None, None] * down[:, :, None] * across[:, None, :]).max(axis=0)
        return np.asarray(_ELSEWHERE + (1.0 - _ELSEWHERE) * near, dtype=np.float32)

    def _first(self, patch: DepthPatch, sure: BoolArray, last: Poses | None, count: int) -> Poses:
        """Poses to begin with: `count` turned in all ways, each with its surface at a place that shows the object; and
        about the last one."""
        row, column = np.nonzero(sure)
        places = back_project(np.column_stack((column, row)).astype(np.float64), patch.depth[sure], patch.camera)
        self._frames += 1
        # Other places and turns in each frame.
        own = places[((np.arange(count) * 0.6180339887 + 0.37 * self._frames) % 1.0 * len(places)).astype(int)]
        turned = self._rotations[(np.arange(count) * 5 + 17 * self._frames) % _FIRST]
        rays = own / np.linalg.norm(own, axis=1, keepdims=True)
        # From its surface to its middle along the ray, as if it were an ellipsoid.
        depth = 1.0 / np.linalg.norm(np.einsum("hji,hj->hi", turned, rays) / self._half, axis=1)
        poses = Poses(turned, (own + rays * depth[:, None]).astype(np.float32))
        if last is None:
            return poses
        # The last one on all its sides, too: what looks alike from where it is may be told apart now.
        beside = Poses(last.rotation @ _SIDES, np.repeat(last.translation, len(_SIDES), axis=0))
        return Poses(*(np.concatenate(pair) for pair in zip(beside, poses, strict=True)))


def _drawn(hands: Sequence[FloatArray], camera: Intrinsics) -> FloatArray:
    """How far (H, W) the hands' bones are, drawn as thick as fingers; -1 elsewhere."""
    picture = np.full((camera.height, camera.width), -1.0, dtype=np.float32)
    if not hands:
        return picture
    joints = np.stack(hands).astype(np.float64)
    points = (joints[:, _STARTS] + _ALONG * (joints[:, _ENDS] - joints[:, _STARTS])).reshape(-1, 3)
    points = points[points[:, 2] > _NEAREST]
    points = points[np.argsort(-points[:, 2])]
    z = points[:, 2]
    places = np.rint(np.column_stack((project(points, camera), _HAND * camera.fx / z)))
    near = np.abs(places).max(axis=1) < 4 * _SIDE
    for (x, y, radius), depth in zip(places[near].astype(int).tolist(), z[near].tolist(), strict=True):
        cv2.circle(picture, (x, y), max(1, radius), depth, -1)
    return picture
