"""Whatever a network says, a scene that keeps the conventions goes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from fake_scene_network import BlankEngine
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Array
from hand_pose_ros.geometry.scene_crop import Window
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator
from hand_pose_ros.pipeline.scene_network import HANDS, SeenHand, SeenObject, SeenPlaces, SeenScene
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import Frame, HandDetection, Intrinsics


class WildNetwork:
    """Says anything: numbers of every size, NaN, hands on one spot or far outside."""

    size = 16
    margin = 1.25
    has_object = around_object = True

    def __init__(self, seed: int, scale: float, broken: float, shaped: bool) -> None:
        self.engine: Any = BlankEngine()
        self.rng, self.apart = np.random.default_rng(seed), np.random.default_rng(seed + 1)
        self.scale, self.broken, self.shaped = scale, broken, shaped

    def read(self, outputs: Mapping[str, Array], window: Window) -> SeenScene:
        right, left = (self._hand(side, window) for side in HANDS)
        held = SeenObject(np.eye(3), self._numbers((3,), 0.2), float(self.rng.uniform()), self._places(window))
        return SeenScene((right, left), self._numbers((3,), 0.2), np.full(3, 0.03), held)

    def _places(self, window: Window) -> SeenPlaces:
        """Of the object, drawn apart from the rest."""
        count = int(self.apart.integers(0, 5))
        pixels = self.apart.normal(0.0, window.side, (count, 2)) + np.array([window.x, window.y])
        pixels[self.apart.uniform(size=(count, 2)) < self.broken] = self.apart.choice([np.nan, np.inf, 1e30])
        return SeenPlaces(pixels, self.apart.uniform(size=count))

    def _hand(self, side: Side, window: Window) -> SeenHand:
        uv = self._numbers((21, 2), window.side) + np.array([window.x, window.y])
        shape = self._numbers((21, 3), 0.1) if self.shaped else None
        presence = float(self.rng.uniform(0.0, 1.0))
        spread = np.abs(self._numbers((21,), 1.0)) + 1e-3
        depth = self._numbers((21,), 0.1)
        return SeenHand(side, presence, uv, spread, depth, 0.01 * spread, shape)

    def _numbers(self, shape: tuple[int, ...], size: float) -> Any:
        kind = self.rng.uniform()
        if kind < self.broken:
            return np.full(shape, self.rng.choice([np.nan, np.inf, -np.inf]))
        if kind < 2 * self.broken:
            return np.full(shape, 0.0)
        return self.rng.normal(0.0, self.scale * size, shape)


class WildFinder:
    """Names places anywhere in front of the camera."""

    def __init__(self, seed: int, config: PipelineConfig) -> None:
        self.config = config
        self.rng = np.random.default_rng(seed)

    def find(self, frame: Frame, known: Sequence[HandDetection], dropped: Counter[str]) -> list[HandDetection]:
        places = self.rng.uniform((-0.4, -0.4, 0.05), (0.4, 0.4, 3.0), (int(self.rng.integers(0, 5)), 3))
        return [HandDetection(Side.LEFT, place.astype(np.float32), 0.5) for place in places]


@pytest.mark.parametrize("shaped", [False, True])
@given(
    st.integers(0, 10_000),
    st.sampled_from([0.02, 0.3, 3.0, 1e4]),
    st.sampled_from([0.0, 0.1]),
    st.tuples(st.integers(1, 90), st.integers(1, 70)),
    st.booleans(),
)
@example(107, 0.3, 0.1, (45, 1), False)  # an object at infinity
@settings(max_examples=20)
def test_whatever_comes_a_scene_goes_out(
    shaped: bool, seed: int, scale: float, broken: float, size: tuple[int, int], mesh: bool
) -> None:
    width, height = size
    camera = Intrinsics(float(width), float(width), width / 2, height / 2, width, height)
    options = {
        "tracking.min_score": 0.2,
        "object.name": "thing",
        "object.size_x": 0.1,
        "object.size_y": 0.1,
        "object.size_z": 0.1,
        "object.symmetry": "z2",
        "smoothing.enabled": True,
        "mesh": mesh,
        "one_person": bool(seed % 2),
    }
    config = replace(PipelineConfig(), options)
    estimator = SceneEstimator(WildNetwork(seed, scale, broken, shaped), config)
    pipeline = Pipeline(config, WildFinder(seed, config), estimator)
    rng = np.random.default_rng(seed)
    for k in range(4):
        color = rng.integers(0, 255, (height, width, 3), dtype=np.uint8) if rng.uniform() < 0.9 else None
        depth = rng.uniform(0, 2, (height, width)).astype(np.float32) if color is None or rng.uniform() < 0.5 else None
        scene = pipeline.process(Frame(k * 33_000_000, "camera", camera, color, depth))
        assert len(scene.hands) <= 2 and len(scene.objects) <= 1
        for hand in scene.hands:  # HandEstimate has checked that all is finite
            assert (hand.joints[:, 2] > 0).all() and (hand.joint_std > 0).all()
            assert hand.roi.x >= 0 and hand.roi.x + hand.roi.width <= width - 1
