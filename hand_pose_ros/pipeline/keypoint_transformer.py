"""Keypoint Transformer in the pipeline: the graph of `networks.keypoint_transformer.export`, all three representations.

"2p5d" reads joints off as places and depths. "3d" gives joints in space and a weak-perspective camera, and so does
"angles", where the hand model makes joints of the angles (in the graph if it was exported with a hand model, else
here). Weak perspective is coarse: where a keypoint was taken for a joint, the joint is where the keypoint is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from hand_pose_ros.engines.base import Array, Engine, TensorSpec, require_contract
from hand_pose_ros.geometry.scene_crop import WINDOW_MARGIN, Window
from hand_pose_ros.hand_model.model import NUM_BETAS, NUM_MODEL_JOINTS, HandModel
from hand_pose_ros.pipeline.scene_network import (
    HANDS,
    SeenHand,
    SeenObject,
    SeenPlaces,
    SeenScene,
    crop_size,
    levelled,
    scene_inputs,
    stated,
    with_sides,
)
from hand_pose_ros.skeleton import NUM_JOINTS, WRIST, Side
from hand_pose_ros.types import DoubleArray

MODEL: Final = "keypoint_transformer"
# One deviation of what the network says, where the model file does not state it ("uv_std" in pixels of the crop,
# "depth_std" and "hand_translation_std" in metres): read-off places, places through the camera, keypoints. As parts of
# the crop's side: 4, 8 and 2 of 256 pixels.
UV_STD: Final = 4.0 / 256
CAMERA_STD: Final = 8.0 / 256
KEYPOINT_STD: Final = 2.0 / 256
DEPTH_STD: Final = 0.012
TRANSLATION_STD: Final = 0.03
# A keypoint is a joint's where the network is surer than this, and it lies within this part of the crop's side.
SURE: Final = 0.5
NEAR: Final = 0.125

_FLOAT: Final = np.dtype(np.float32)
_COMMON: Final = (
    TensorSpec("hand_translation", (1, 3), _FLOAT),
    TensorSpec("presence", (1, 2), _FLOAT),
    TensorSpec("keypoint_uv", (1, None, 2), _FLOAT),
    TensorSpec("keypoint_score", (1, None), _FLOAT),
    TensorSpec("identity", (1, None, None), _FLOAT),
)
_PLACES: Final = (TensorSpec("uv", (1, 2, NUM_JOINTS, 2), _FLOAT), TensorSpec("depth", (1, 2, NUM_JOINTS), _FLOAT))
_JOINTS: Final = (TensorSpec("joints", (1, 2, NUM_JOINTS, 3), _FLOAT),)
_ANGLES: Final = (
    TensorSpec("pose", (1, 2, NUM_MODEL_JOINTS, 3), _FLOAT),
    TensorSpec("shape", (1, NUM_BETAS), _FLOAT),
    TensorSpec("camera", (1, 3), _FLOAT),
)
_OBJECT: Final = (
    TensorSpec("object_rotation", (1, 3, 3), _FLOAT),
    TensorSpec("object_translation", (1, 3), _FLOAT),
    TensorSpec("object_presence", (1,), _FLOAT),
)


class KeypointTransformerNetwork:
    """See `SceneNetwork`.

    Args:
        engine: runs the network.
        models: of both hands, for graphs that give angles without joints.

    Raises:
        EngineError: the network does not have the outputs of one of the three representations.
    """

    def __init__(self, engine: Engine, models: Mapping[Side, HandModel] | None = None) -> None:
        names = {spec.name for spec in engine.outputs}
        self.size = crop_size(engine)
        self.margin = stated(engine, "crop_margin", WINDOW_MARGIN)
        self.has_object = "object_rotation" in names
        # The authors' crops hold the object; a file of ours says so.
        told = engine.metadata.get("crop_around_object", str(engine.metadata.get("variant") == "authors"))
        self.around_object = self.has_object and told.lower() == "true"
        self._angles = "pose" in names and "joints" not in names
        self._shaped = self._angles or "joints" in names
        pose = _ANGLES if self._angles else (_JOINTS if self._shaped else ()) + _PLACES
        wanted = (*_COMMON, *pose, *(_OBJECT if self.has_object else ()))
        require_contract(engine, "Keypoint Transformer", scene_inputs(engine, self.size), wanted)
        self.engine = engine
        given = {} if models is None else models
        self._models = {side: given.get(side) or HandModel.bundled(side) for side in HANDS} if self._angles else {}
        self._uv_std = stated(engine, "uv_std", self.size * (CAMERA_STD if self._shaped else UV_STD))
        self._depth_std = np.full(NUM_JOINTS, stated(engine, "depth_std", DEPTH_STD))
        self._level = min(stated(engine, "presence_level", 0.5), 0.99)
        self._object_level = min(stated(engine, "object_level", 0.5), 0.99)
        self._wrist_depth_std = stated(engine, "wrist_depth_std", TRANSLATION_STD)
        self._offset_std = np.full(3, stated(engine, "hand_translation_std", TRANSLATION_STD))

    def read(self, outputs: Mapping[str, Array], window: Window) -> SeenScene:
        """See `SceneNetwork.read`."""
        offset, offset_std = self._offset(outputs)
        shapes, places, depths = self._joints(outputs, offset)
        hands = []
        for k, side in enumerate(HANDS):
            uv, std = self._sharpened(outputs, k, places[k])
            uv, std = window.to_image(uv, self.size), std * (window.side / self.size)
            shape = None if shapes is None else shapes[k]
            presence = levelled(float(outputs["presence"][0, k]), self._level)
            hands.append(SeenHand(side, presence, uv, std, depths[k], self._depth_std, shape))
        return SeenScene(with_sides(hands[0], hands[1]), offset, offset_std, self._object(outputs, window))

    def _offset(self, outputs: Mapping[str, Array]) -> tuple[DoubleArray, DoubleArray]:
        """Translation (3,) from right to left wrist, and its deviations. Where both hands are there and depth was
        looked at, that says how one is behind the other, and where they are seen says the rest."""
        offset = outputs["hand_translation"][0].astype(np.float64)
        if "wrist_depth" in outputs and (outputs["presence"][0] >= self._level).all():
            offset = np.array([0.0, 0.0, float(outputs["wrist_depth"][0])])
            std = np.array([np.inf, np.inf, self._wrist_depth_std])
        else:
            std = self._offset_std
        return (offset, std) if np.isfinite(offset).all() else (np.zeros(3), np.full(3, np.inf))

    def _joints(
        self, outputs: Mapping[str, Array], offset: DoubleArray
    ) -> tuple[DoubleArray | None, DoubleArray, DoubleArray]:
        """Shapes (2, 21, 3) metres from the wrists, places (2, 21, 2) pixels of the crop, depths (2, 21) metres."""
        if self._angles:
            shapes = self._posed(outputs)
            scale, shift = float(outputs["camera"][0, 0]), outputs["camera"][0, 1:].astype(np.float64)
            # Weak perspective is about the right wrist (fact sheet section 2.9).
            from_right = shapes[..., :2] + np.stack([np.zeros(2), offset[:2]])[:, None]
            return shapes, scale * from_right + shift, shapes[..., 2]
        places, depths = outputs["uv"][0].astype(np.float64), outputs["depth"][0].astype(np.float64)
        return (outputs["joints"][0].astype(np.float64) if self._shaped else None), places, depths

    def _posed(self, outputs: Mapping[str, Array]) -> DoubleArray:
        """Joints (2, 21, 3) from the wrists of the hand model with the network's angles; NaN of angles that are NaN."""
        pose, shape = outputs["pose"][0], outputs["shape"][0]
        joints = np.full((2, NUM_JOINTS, 3), np.nan)
        for k, side in enumerate(HANDS):
            if np.isfinite(pose[k]).all() and np.isfinite(shape).all():
                hand = self._models[side].forward(pose[k, 0], pose[k, 1:].reshape(45), shape, np.zeros(3, np.float32))
                joints[k] = hand.joints - hand.joints[WRIST]
        return joints

    def _sharpened(self, outputs: Mapping[str, Array], k: int, places: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Places (21, 2) in the crop, at the joints' keypoints where there are some, and their deviations (21,)."""
        std = np.full(NUM_JOINTS, self._uv_std)
        if not self._shaped:
            return places, std
        first = 1 + NUM_JOINTS * k
        sure = outputs["identity"][0, :, first : first + NUM_JOINTS] * (outputs["keypoint_score"][0] > 0)[:, None]
        best = sure.argmax(axis=0)
        found = outputs["keypoint_uv"][0].astype(np.float64)[best]
        gap = np.linalg.norm(found - places, axis=1)
        taken = (np.take_along_axis(sure, best[None], axis=0)[0] > SURE) & (gap < NEAR * self.size)
        return np.where(taken[:, None], found, places), np.where(taken, KEYPOINT_STD * self.size, std)

    def _object(self, outputs: Mapping[str, Array], window: Window) -> SeenObject | None:
        if not self.has_object:
            return None
        rotation, translation = outputs["object_rotation"][0], outputs["object_translation"][0]
        presence = levelled(float(outputs["object_presence"][0]), self._object_level)
        used = outputs["keypoint_score"][0] > 0
        pixels = window.to_image(outputs["keypoint_uv"][0][used].astype(np.float64), self.size)
        # The object's is the last of the identities.
        places = SeenPlaces(pixels, outputs["identity"][0, used, -1].astype(np.float64))
        return SeenObject(rotation.astype(np.float64), translation.astype(np.float64), presence, places)
