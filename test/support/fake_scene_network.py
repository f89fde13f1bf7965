"""A network of two hands that knows the truth, and a finder that does: what is left is the pipeline's own doing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Array, TensorSpec
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.scene_crop import Window
from hand_pose_ros.pipeline.scene_network import HANDS, SeenHand, SeenObject, SeenScene
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, Frame, HandDetection, Intrinsics

Hands = Mapping[Side, DoubleArray]


class BlankEngine:
    """Runs nothing; counts how often."""

    name = "blank"
    description = "blank"
    inputs = (TensorSpec("rgb", (1, 64, 64, 3), np.dtype(np.uint8)),)
    outputs: tuple[TensorSpec, ...] = ()
    metadata: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.runs = 0
        self.seen: list[Array] = []

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.runs += 1
        self.seen.append(inputs["rgb"].copy())
        return {}


@dataclass
class TruthfulNetwork:
    """See `SceneNetwork`: the hands of `hands` of which most joints lie in the window.

    Attributes:
        hands: joints (21, 3) by side; change them between frames.
        spoil: added to the depths of a side (NaN for a broken network).
        shaped: give shapes as Keypoint Transformer does, `larger` times as large as they are.
        held: rotation (3, 3) and place (3,) in the camera frame of an object.
    """

    camera: Intrinsics
    hands: Hands = field(default_factory=dict)
    spoil: Mapping[Side, float] = field(default_factory=dict)
    shaped: bool = False
    larger: float = 1.0
    held: tuple[DoubleArray, DoubleArray] | None = None
    offset_std: float = 0.01
    windows: list[Window] = field(default_factory=list)
    size: int = 64
    margin: float = 1.25
    engine: Any = field(default_factory=BlankEngine)

    around_object: bool = False

    @property
    def has_object(self) -> bool:
        return self.held is not None

    def read(self, outputs: Mapping[str, Array], window: Window) -> SeenScene:
        self.windows.append(window)
        right, left = (self._hand(side, window) for side in HANDS)
        both = len(self.hands) == 2
        offset = self.hands[Side.LEFT][0] - self.hands[Side.RIGHT][0] if both else np.zeros(3)
        std = np.full(3, self.offset_std if both or self.held is not None else np.inf)
        held = None
        if self.held is not None:
            wrist = self.hands[Side.RIGHT][0] if Side.RIGHT in self.hands else self.hands[Side.LEFT][0] - offset
            held = SeenObject(self.held[0], self.held[1] - wrist, 0.9)
        return SeenScene((right, left), offset, std, held)

    def _hand(self, side: Side, window: Window) -> SeenHand:
        joints = self.hands.get(side)
        if joints is None or window.share_inside(project(joints, self.camera)) < 0.6:
            nothing = np.zeros(21)
            return SeenHand(side, 0.02, np.full((21, 2), 9.0), nothing + 1, nothing, nothing + 0.01)
        relative = joints[:, 2] - joints[0, 2] + self.spoil.get(side, 0.0)
        shape = (joints - joints[0]) * self.larger if self.shaped else None
        uv = project(joints, self.camera)
        return SeenHand(side, 0.97, uv, np.full(21, 1.0), relative, np.full(21, 0.004), shape)


class TruthfulFinder:
    """Names the centres of a network's true hands that are not known yet."""

    def __init__(self, network: TruthfulNetwork, config: PipelineConfig) -> None:
        self.network = network
        self.config = config
        self.calls = 0

    def find(self, frame: Frame, known: Sequence[HandDetection], dropped: Counter[str]) -> list[HandDetection]:
        self.calls += 1
        places = [(side, joints.mean(axis=0).astype(np.float32)) for side, joints in self.network.hands.items()]
        new = [(side, place) for side, place in places if all(np.linalg.norm(place - k.center) > 0.05 for k in known)]
        # The side is anybody's guess: the pose network decides.
        return [HandDetection(Side.RIGHT, place, 0.9, 0.5) for _, place in new]
