"""Handformer2T in the pipeline: the graph of `networks.handformer2t.export`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from hand_pose_ros.engines.base import Array, Engine, TensorSpec, require_contract
from hand_pose_ros.geometry.scene_crop import WINDOW_MARGIN, Window
from hand_pose_ros.pipeline.scene_network import (
    HANDS,
    SeenHand,
    SeenScene,
    crop_size,
    levelled,
    scene_inputs,
    stated,
    with_sides,
)
from hand_pose_ros.skeleton import NUM_JOINTS

MODEL: Final = "handformer2t"
# Metres; the relative depth of the wrists where the model file does not state how good it is ("wrist_depth_std").
WRIST_DEPTH_STD: Final = 0.04

_FLOAT: Final = np.dtype(np.float32)


OUTPUTS: Final = (
    TensorSpec("uv", (1, 2, NUM_JOINTS, 2), _FLOAT),
    TensorSpec("depth", (1, 2, NUM_JOINTS), _FLOAT),
    TensorSpec("uv_std", (1, 2, NUM_JOINTS), _FLOAT),
    TensorSpec("depth_std", (1, 2, NUM_JOINTS), _FLOAT),
    TensorSpec("presence", (1, 2), _FLOAT),
)


class Handformer2TNetwork:
    """See `SceneNetwork`.

    Args:
        engine: runs the network.

    Raises:
        EngineError: the network lacks one of the outputs above; the presence head is needed here.
    """

    def __init__(self, engine: Engine) -> None:
        self.size = crop_size(engine)
        require_contract(engine, "Handformer2T", scene_inputs(engine, self.size), OUTPUTS)
        self.engine = engine
        self.margin = stated(engine, "crop_margin", WINDOW_MARGIN)
        self.has_object = self.around_object = False
        self._level = min(stated(engine, "presence_level", 0.5), 0.99)
        self._offset_std = np.array([np.inf, np.inf, stated(engine, "wrist_depth_std", WRIST_DEPTH_STD)])

    def read(self, outputs: Mapping[str, Array], window: Window) -> SeenScene:
        """See `SceneNetwork.read`. The translation between the wrists is known in depth only."""
        scale = window.side / self.size
        uv = window.to_image(outputs["uv"][0].astype(np.float64), self.size)
        depth, presence = outputs["depth"][0].astype(np.float64), outputs["presence"][0]
        uv_std, depth_std = scale * outputs["uv_std"][0].astype(np.float64), outputs["depth_std"][0].astype(np.float64)
        right, left = (
            SeenHand(side, levelled(float(presence[k]), self._level), uv[k], uv_std[k], depth[k], depth_std[k])
            for k, side in enumerate(HANDS)
        )
        offset, offset_std = np.zeros(3), np.full(3, np.inf)
        if "wrist_depth" in outputs and np.isfinite(outputs["wrist_depth"][0]):
            offset[2], offset_std = float(outputs["wrist_depth"][0]), self._offset_std
        return SeenScene(with_sides(right, left), offset, offset_std)
