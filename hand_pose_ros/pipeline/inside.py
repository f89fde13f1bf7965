"""A look inside Keypoint Transformer: which keypoints it found, what it took them for, what a joint attends to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Array
from hand_pose_ros.geometry.scene_crop import SceneCutter, Window, window_around
from hand_pose_ros.options import ConfigError
from hand_pose_ros.pipeline.estimator import Estimator
from hand_pose_ros.pipeline.keypoint_transformer import KeypointTransformerNetwork
from hand_pose_ros.pipeline.models import open_pose_model
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator
from hand_pose_ros.pipeline.scene_network import HANDS, taken_by
from hand_pose_ros.pipeline.scene_windows import hand_pixels
from hand_pose_ros.skeleton import INTERHAND_TO_CANONICAL, JOINT_NAMES, MANO_TO_CANONICAL, Side
from hand_pose_ros.types import Frame, HandEstimate
from hand_pose_ros.visualization.inside import Inside

# Queries of one hand: every joint but the wrist, every joint, MANO's joints.
_PER_HAND: Final = {"3d": 20, "2p5d": 21, "angles": 16}


def joint_query(representation: str, side: Side, joint: int) -> int:
    """The query (row of `attention`) of a joint, canonical order (fact sheet section 2.7).

    Raises:
        ConfigError: the network has no query of its own for this joint.
    """
    if representation not in _PER_HAND:
        raise ConfigError(f"representation: expected one of {', '.join(_PER_HAND)}, got {representation!r}")
    per_hand = _PER_HAND[representation]
    order = MANO_TO_CANONICAL if representation == "angles" else INTERHAND_TO_CANONICAL
    row = int(order[joint])
    if row >= per_hand:
        raise ConfigError(
            f"inside: {JOINT_NAMES[joint]} has no query of its own where hands are given as {representation}; ask for "
            "another joint"
        )
    return HANDS.index(side) * per_hand + row


def parse_joint(text: str) -> tuple[Side, int]:
    """`right_index_tip` as side and joint.

    Raises:
        ConfigError: no such joint; the text lists them.
    """
    side, _, name = text.partition("_")
    if side not in [s.value for s in Side] or name not in JOINT_NAMES:
        raise ConfigError(f"inside: expected right_ or left_ and a joint of {', '.join(JOINT_NAMES)}, got {text!r}")
    return Side(side), JOINT_NAMES.index(name)


class InsideView:
    """Runs the network once more on the window of the hands that were found.

    Args:
        network: a Keypoint Transformer.

    Raises:
        ConfigError: its graph has no attention.
    """

    def __init__(self, network: KeypointTransformerNetwork) -> None:
        if not _tells_attention(network):
            raise ConfigError("inside: expected a graph with the output attention; export the network anew")
        self._network = network
        self._representation = network.engine.metadata.get("representation", "")

    def look(self, frame: Frame, hands: Sequence[HandEstimate], side: Side, joint: int) -> Inside:
        """The window around these hands, or the whole picture without any.

        Raises:
            ConfigError: the joint has no query, or the frame no colour.
        """
        query = joint_query(self._representation, side, joint)
        if frame.color is None:
            raise ConfigError("inside: expected a frame with colour")
        cutter = SceneCutter(self._network.size, taken_by(self._network.engine))
        given = cutter.cut(self._window(frame, hands), frame.color, frame.depth, frame.intrinsics.fx)
        return read_inside(self._network.engine.run(given), given["rgb"][0], query, side, joint)

    def _window(self, frame: Frame, hands: Sequence[HandEstimate]) -> Window:
        if not hands:
            width, height = frame.intrinsics.width, frame.intrinsics.height
            return Window((width - 1) / 2, (height - 1) / 2, float(max(width, height)))
        pixels = np.concatenate([hand_pixels(hand.joints, frame.intrinsics) for hand in hands])
        return window_around(pixels, self._network.margin)


def open_inside(config: PipelineConfig) -> InsideView:
    """For the model that the configuration names.

    Raises:
        ConfigError: it is no Keypoint Transformer.
        EngineError: it cannot be loaded.
    """
    network = _network_of(open_pose_model(config))
    if network is None:
        raise ConfigError(f"inside: expected a Keypoint Transformer, {config.model} is another network")
    return InsideView(network)


def inside_of(model: Estimator | SceneEstimator) -> InsideView | None:
    """Of a network that runs already; None where there is nothing to look into."""
    network = _network_of(model)
    return None if network is None or not _tells_attention(network) else InsideView(network)


def _network_of(model: Estimator | SceneEstimator) -> KeypointTransformerNetwork | None:
    network = model.network if isinstance(model, SceneEstimator) else None
    return network if isinstance(network, KeypointTransformerNetwork) else None


def _tells_attention(network: KeypointTransformerNetwork) -> bool:
    return "attention" in {spec.name for spec in network.engine.outputs}


def read_inside(outputs: Mapping[str, Array], crop: Array, query: int, side: Side, joint: int) -> Inside:
    """The used keypoints of a graph's outputs, with one query's attention."""
    used = outputs["keypoint_score"][0] > 0
    identity = outputs["identity"][0][used].astype(np.float64)
    attention = outputs["attention"][0, query][used].astype(np.float64)
    hand = HANDS.index(side)
    # Graphs of angles without a hand model know no places: the middle stands for it.
    middle = np.full(2, (crop.shape[0] - 1) / 2)
    place = outputs["uv"][0, hand, joint].astype(np.float64) if "uv" in outputs else middle
    return Inside(
        crop=crop,
        keypoints=outputs["keypoint_uv"][0][used].astype(np.float64),
        identities=identity.argmax(axis=1).astype(np.int64),
        certainty=identity.max(axis=1) if len(identity) else np.zeros(0),
        side=side,
        joint=joint,
        attention=attention / max(float(attention.sum()), 1e-9),
        place=np.where(np.isfinite(place), place, middle),
    )
