"""The object that a network of two hands sees: its pose in the camera frame, named and sized by the configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np

from hand_pose_ros.config import ObjectConfig, PipelineConfig
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.mesh_file import MeshFileError, read_mesh_vertices
from hand_pose_ros.geometry.symmetry import Axis, Symmetry
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.scene_estimator import SceneLook
from hand_pose_ros.types import DoubleArray, Frame, Intrinsics, InvalidData, ObjectEstimate

_AXES: Final[dict[str, Axis]] = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
_CORNERS: Final = np.array(list(product((-0.5, 0.5), repeat=3)))


class HeldObjects:
    """Keeps the object's last pose, so that one of several poses that look alike is kept to.

    Args:
        config: names the object; without a name there is none.
        known: whether the network gives an object's pose.

    Raises:
        ConfigError: an object is named and the network knows none, its mesh cannot be read, or it has no size.
    """

    def __init__(self, config: PipelineConfig, known: bool) -> None:
        self.config = config.object
        if self.config.name and not known:
            raise ConfigError(
                f"object.name: the model {config.model} gives no object's pose; leave the name empty, or use a "
                "Keypoint Transformer that was trained with objects"
            )
        self._extent = _extent(self.config) if self.config.name else np.zeros(3)
        self._symmetries = parse_symmetry(self.config.symmetry).rotations()
        self._last: ObjectEstimate | None = None

    def reset(self) -> None:
        """Forget the last pose."""
        self._last = None

    def seen(self, looks: Sequence[SceneLook], frame: Frame, dropped: Counter[str]) -> tuple[ObjectEstimate, ...]:
        """The object of a frame's looks: that of the surest one with a hand to hang it on.

        One whose pose is not finite, as a message holds it, is left out and counted ("object_non_finite").
        """
        self._last, last = None, self._last
        if not self.config.name:
            return ()
        usable = [look for look in looks if look.held is not None and look.wrist is not None]
        best = max(usable, key=lambda look: look.held.presence if look.held else 0.0, default=None)
        if best is None or best.held is None or best.wrist is None or best.held.presence < self.config.min_score:
            return ()
        place = best.wrist + best.held.translation
        if not place[2] > 0:
            return ()
        with np.errstate(over="ignore"):  # too large for float32 is infinite, and told below
            translation = place.astype(np.float32)
        if not (np.isfinite(translation).all() and np.isfinite(best.held.rotation).all()):
            dropped["object_non_finite"] += 1
            return ()
        rotation = self._familiar(best.held.rotation, last)
        self._last = ObjectEstimate(
            self.config.name,
            rotation.astype(np.float32),
            translation,
            self._extent.astype(np.float32),
            min(1.0, best.held.presence),
        )
        return (self._last,)

    def pixels(self, camera: Intrinsics) -> DoubleArray | None:
        """Where the last box's corners (8, 2) are seen; None without one before the camera."""
        if self._last is None:
            return None
        corners = (_CORNERS * self._extent) @ self._last.rotation.T + self._last.translation
        return project(corners, camera) if (corners[:, 2] > 0.05).all() else None

    def _familiar(self, rotation: DoubleArray, last: ObjectEstimate | None) -> DoubleArray:
        """Of the rotations that look alike the one nearest to the last frame's."""
        if last is None:
            return rotation
        alike = rotation @ self._symmetries
        # The trace of R_last^T R grows as the angle between them shrinks.
        return np.asarray(alike[int(np.einsum("ij,sij->s", last.rotation, alike).argmax())])


def parse_symmetry(text: str) -> Symmetry:
    """A symmetry written as "z2" (alike after half a turn about z), "z2 x2" (a box), "z*" (round about z).

    Raises:
        ConfigError: another notation.
    """
    discrete, continuous = [], None
    for word in text.replace(",", " ").split():
        axis, parts = word[:1].lower(), word[1:]
        if axis not in _AXES or not (parts == "*" or parts.isdigit()) or (parts == "*" and continuous is not None):
            raise ConfigError(
                f'object.symmetry: expected words such as z2 (half a turn about z) or one z* (round), got "{text}"'
            )
        if parts == "*":
            continuous = _AXES[axis]
        else:
            discrete.append((_AXES[axis], int(parts)))
    try:
        return Symmetry(tuple(discrete), continuous)
    except InvalidData as error:
        raise ConfigError(f'object.symmetry: "{text}": {error}') from error


def _extent(config: ObjectConfig) -> DoubleArray:
    if config.mesh:
        try:
            vertices = read_mesh_vertices(config.mesh)
        except MeshFileError as error:
            raise ConfigError(f"object.mesh: {error}") from error
        # The box about the mesh's own origin, which is where the pose is.
        return np.asarray(2.0 * np.abs(vertices).max(axis=0), dtype=np.float64)
    extent = np.array([config.size_x, config.size_y, config.size_z])
    if not (extent > 0).all():
        raise ConfigError(
            f"object: expected a mesh or size_x, size_y and size_z above 0 for {config.name}, got {extent.tolist()}"
        )
    return np.asarray(extent)
