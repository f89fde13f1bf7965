"""MediaPipe Hands (Zhang et al. 2020) as the hand finder: `finder.model: mediapipe`, colour needed, depth used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.geometry.camera import back_project
from hand_pose_ros.pipeline.finder import SPARE_CANDIDATES, suppress
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, FloatArray, Frame, HandDetection

# Name of `finder.model`.
MEDIAPIPE: Final = "mediapipe"
# MediaPipe names the hand of a mirrored (selfie) picture; ours are not mirrored.
_SIDES: Final = {"Left": Side.RIGHT, "Right": Side.LEFT}
_SKIN_DEPTH: Final = 0.01  # m from the surface to the joints


class MediaPipeFinder:
    """Finds hands with MediaPipe's palm detector and landmarks.

    Args:
        config: `finder.threshold` is MediaPipe's least detection confidence (0.5 is its own default).
        hands: what `mediapipe.solutions.hands.Hands` gives; made here where none is given.

    Raises:
        EngineError: mediapipe is not installed.
    """

    def __init__(self, config: PipelineConfig, hands: Any = None) -> None:
        self.config = config
        self._hands = hands or _open(config)

    def find(
        self, frame: Frame, known: Sequence[HandDetection] = (), dropped: Counter[str] | None = None
    ) -> list[HandDetection]:
        """See `hand_pose_ros.pipeline.finder.HandFinder.find`; without colour, "no_color" is counted."""
        if frame.color is None:
            if dropped is not None:
                dropped["no_color"] += 1
            return []
        answer = self._hands.process(np.ascontiguousarray(frame.color))
        seen = zip(
            answer.multi_hand_landmarks or (),
            answer.multi_hand_world_landmarks or (),
            answer.multi_handedness or (),
            strict=True,
        )
        found = [self._detection(*hand, frame) for hand in seen]
        hands = suppress(sorted(found, key=lambda hand: -hand.score), self.config.tracking.min_separation, known)
        return hands[: self.config.max_hands + SPARE_CANDIDATES]

    def _detection(self, landmarks: Any, world: Any, handedness: Any, frame: Frame) -> HandDetection:
        camera = frame.intrinsics
        relative = np.array([(point.x, point.y) for point in landmarks.landmark], dtype=np.float64)
        # From edge to edge of the image; integer pixels are pixel centres.
        pixels = relative * (camera.width, camera.height) - 0.5
        metres = np.array([(point.x, point.y) for point in world.landmark], dtype=np.float64)
        z = self._surface(frame.depth, pixels) or _distance(pixels, metres, camera.fx)
        center = back_project(pixels.mean(axis=0), np.asarray(z), camera).astype(np.float32)
        label = handedness.classification[0]
        side_score = min(1.0, max(0.5, float(label.score)))
        # What MediaPipe gives as a score is the side's.
        return HandDetection(_SIDES[label.label], center, side_score, side_score)

    def _surface(self, depth: FloatArray | None, pixels: DoubleArray) -> float:
        """Distance (m) of the joints as most landmarks' readings say; 0 without readings."""
        if depth is None:
            return 0.0
        columns, rows = np.rint(pixels).astype(int).T
        inside = (columns >= 0) & (columns < depth.shape[1]) & (rows >= 0) & (rows < depth.shape[0])
        readings = depth[rows[inside], columns[inside]]
        readings = readings[(readings > self.config.min_depth) & (readings < self.config.max_depth)]
        return float(np.median(readings)) + _SKIN_DEPTH if readings.size else 0.0


def _distance(pixels: DoubleArray, metres: DoubleArray, focal: float) -> float:
    """How far (m) a hand is whose landmarks spread over so many pixels and, in its own metric shape, metres."""
    spread = np.sqrt(pixels.var(axis=0).sum())
    return float(focal * np.sqrt(metres.var(axis=0).sum()) / max(float(spread), 1e-6))


def _open(config: PipelineConfig) -> Any:
    try:
        from mediapipe.python.solutions.hands import Hands
    except ImportError as error:
        raise EngineError(
            f"finder.model: expected MediaPipe Hands to be installed, got: {error}; pip install "
            "hand_pose_ros[mediapipe], or choose finder.model: hand_finder"
        ) from error
    # Single pictures: the pipeline itself follows hands from frame to frame.
    return Hands(
        static_image_mode=True,
        max_num_hands=config.max_hands,
        min_detection_confidence=config.finder.threshold,
    )
