"""The object that a network of two hands sees: its pose in the camera frame, named and sized by the configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from hand_pose_ros.config import ObjectConfig, PipelineConfig
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.mesh_file import MeshFileError, read_mesh
from hand_pose_ros.geometry.surface import UNIT_BOX, Surface, box_surface, mesh_surface
from hand_pose_ros.geometry.symmetry import Axis, Symmetry
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.object_fit import ObjectFit
from hand_pose_ros.pipeline.scene_estimator import SceneLook
from hand_pose_ros.types import DoubleArray, Frame, Intrinsics, InvalidData, ObjectEstimate

_AXES: Final[dict[str, Axis]] = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


class HeldObjects:
    """Keeps the object's last pose, so that one of several poses that look alike is kept to.

    Args:
        config: names the object; without a name there is none.
        known: whether the network gives an object's pose.

    Raises:
        ConfigError: an object is named and the network knows none, its mesh cannot be read or has no faces to lay onto
            the depth image, or it has no size.
    """

    def __init__(self, config: PipelineConfig, known: bool) -> None:
        self.config = config.object
        if self.config.name and not known:
            raise ConfigError(
                f"object.name: the model {config.model} gives no object's pose; leave the name empty, or use a "
                "Keypoint Transformer that was trained with objects"
            )
        self._extent: DoubleArray = np.zeros(3)
        self._fit: ObjectFit | None = None
        if self.config.name:
            self._extent, surface = _shape(self.config)
            self._fit = None if surface is None else ObjectFit(surface)
        self._symmetries = parse_symmetry(self.config.symmetry).rotations()
        self._last: ObjectEstimate | None = None

    def reset(self) -> None:
        """Forget the last pose."""
        self._last = None
        self._forget_fit()

    def _forget_fit(self) -> None:
        if self._fit is not None:
            self._fit.reset()

    def seen(self, looks: Sequence[SceneLook], frame: Frame, dropped: Counter[str]) -> tuple[ObjectEstimate, ...]:
        """The object of a frame's looks: that of the surest one with a hand to hang it on.

        Left out and counted are those whose pose is not finite, as a message holds it ("object_non_finite"), and with
        depth those of whose surface too little was measured ("object_not_measured").
        """
        self._last, last = None, self._last
        if not self.config.name:
            return ()
        usable = [look for look in looks if look.held is not None and look.wrist is not None]
        best = max(usable, key=lambda look: look.held.presence if look.held else 0.0, default=None)
        if best is None or best.held is None or best.wrist is None or best.held.presence < self.config.min_score:
            self._forget_fit()
            return ()
        rotation, place = best.held.rotation, best.wrist + best.held.translation
        if self._fit is not None and frame.depth is not None and best.held.places is not None:
            hands = [hand.joints for look in looks for hand in look.hands]
            found = self._fit.find(frame.depth, frame.intrinsics, best.held.places, hands)
            if found is None:
                dropped["object_not_measured"] += 1
                return ()
            rotation, place = found
        if not place[2] > 0:
            return ()
        with np.errstate(over="ignore"):  # too large for float32 is infinite, and told below
            translation = place.astype(np.float32)
        if not (np.isfinite(translation).all() and np.isfinite(rotation).all()):
            dropped["object_non_finite"] += 1
            return ()
        self._last = ObjectEstimate(
            self.config.name,
            self._familiar(rotation, last).astype(np.float32),
            translation,
            self._extent.astype(np.float32),
            min(1.0, best.held.presence),
        )
        return (self._last,)

    def pixels(self, camera: Intrinsics) -> DoubleArray | None:
        """Where the last box's corners (8, 2) are seen; None without one before the camera."""
        if self._last is None:
            return None
        corners = (UNIT_BOX * self._extent) @ self._last.rotation.T + self._last.translation
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


def _shape(config: ObjectConfig) -> tuple[DoubleArray, Surface | None]:
    """Its extent (3,), and its surface where it is to be laid onto the depth image."""
    if config.mesh:
        try:
            mesh = read_mesh(config.mesh)
            surface = mesh_surface(mesh.vertices, mesh.faces) if config.fit else None
        except MeshFileError as error:
            raise ConfigError(f"object.mesh: {error}") from error
        except InvalidData as error:
            raise ConfigError(
                f"object.mesh: {config.mesh}: {error}; or set object.fit false, for the pose that the network gives"
            ) from error
        # The box about the mesh's own origin, which is where the pose is.
        return np.asarray(2.0 * np.abs(mesh.vertices).max(axis=0), dtype=np.float64), surface
    extent = np.array([config.size_x, config.size_y, config.size_z])
    if not (extent > 0).all():
        raise ConfigError(
            f"object: expected a mesh or size_x, size_y and size_z above 0 for {config.name}, got {extent.tolist()}"
        )
    return extent, box_surface(extent) if config.fit else None
