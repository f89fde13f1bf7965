"""A window of the image to hands in camera metres: crop, network of two hands, lift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.geometry.lifting import (
    SIZE_SPREAD,
    Root,
    agree,
    blend,
    joint_std,
    place_joints,
    place_shape,
    rays,
    read_depth,
    root_from_bones,
    root_from_depth,
    root_from_shape,
    strut_lengths,
)
from hand_pose_ros.geometry.scene_crop import SceneCutter, Window
from hand_pose_ros.hand_model.model import NUM_BETAS, HandModel
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.followed_looks import HandLooks
from hand_pose_ros.pipeline.hand_size import HandSize
from hand_pose_ros.pipeline.scene_network import SceneNetwork, SeenHand, SeenObject, SeenScene, taken_by
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import WRIST, Side
from hand_pose_ros.types import DoubleArray, FloatArray, Frame, Intrinsics

_NOTHING: Final[Mapping[Side, Root]] = {}
# Log-odds that a followed hand is of its side, below which the whole network looks.
LIKE_ITS_SIDE: Final = 2.0
# Wrist to the tip of the middle finger, in canonical joints.
_LENGTH_CHAIN: Final = ((0, 9), (9, 10), (10, 11), (11, 12))


@dataclass(frozen=True)
class SceneLook:
    """One look at a window, in the camera frame.

    Attributes:
        hands: those that are there and usable.
        wrist: (3,) metres of the right wrist, told by the left one where the right hand is not there; None without any.
        held: the object the network sees.
    """

    hands: tuple[NetworkHand, ...]
    wrist: DoubleArray | None
    held: SeenObject | None


class SceneEstimator:
    """Runs a network of two hands on windows of a frame.

    Args:
        network: the network and how it is read.
        config: depth limits, hand size, the score from which a hand is there.
        followed: its looks alone, for hands that are followed; None: the whole network runs on every frame.
    """

    def __init__(self, network: SceneNetwork, config: PipelineConfig, followed: HandLooks | None = None) -> None:
        self.network = network
        self.engine = network.engine
        self.config = config
        self.followed = followed
        self._cutter = SceneCutter(network.size, taken_by(network.engine))
        self._mean_lengths, self._mean_length = mean_hand()
        self._sizes = {side: HandSize() for side in Side}

    def reset(self) -> None:
        """Forget how large the hands are: other people may come."""
        self._sizes = {side: HandSize() for side in Side}

    def look(
        self,
        frame: Frame,
        window: Window,
        timer: StageTimer,
        dropped: Counter[str],
        expected: Mapping[Side, Root] = _NOTHING,
    ) -> SceneLook:
        """The hands of a window; those with unusable numbers are counted in `dropped`.

        Args:
            frame: with colour; with depth the hands' distance is measured, without it is told by their size. A network
                that reads depth gets it.
            expected: how far the wrists of followed hands should be.
        """
        assert frame.color is not None
        with timer.stage("crop"):
            given = self._cutter.cut(window, frame.color, frame.depth, frame.intrinsics.fx)
        with timer.stage("infer"):
            outputs = self.engine.run(given)
        with timer.stage("lift"):
            return self.lift(self.network.read(outputs, window), frame, dropped, expected)

    def follow(
        self, frame: Frame, before: NetworkHand, joints: FloatArray, timer: StageTimer, expected: Root
    ) -> NetworkHand | None:
        """A followed hand by its looks alone; None where they do not see it clearly, or there are none.

        Args:
            frame: with colour and depth.
            before: the hand in the last frame.
            joints: (21, 3) metres where it is expected.
            expected: how far its wrist should be.
        """
        if self.followed is None:
            return None
        look = self.followed.look(frame, before.side, joints, before.score, timer)
        if not (look.known and look.side > LIKE_ITS_SIDE and look.hand.finite):
            return None
        with timer.stage("lift"):
            root = self._measured(look.hand, frame, expected)
            if root is None:
                return None
            hand = replace(self._place(look.hand, root, frame.intrinsics), side_score=before.side_score)
            clear = float(hand.joint_std.mean()) <= self.config.tracking.max_joint_std
            return hand if clear and self._within_reach(hand, Counter()) else None

    def lift(
        self,
        seen: SeenScene,
        frame: Frame,
        dropped: Counter[str],
        expected: Mapping[Side, Root] = _NOTHING,
    ) -> SceneLook:
        """What a network saw in a frame, in metres; see `look`."""
        camera = frame.intrinsics
        hands = [hand for hand in seen.hands if self._usable(hand, dropped)]
        roots = [self._root(hand, frame, expected.get(hand.side)) for hand in hands]
        if len(hands) == 2:
            wrists = np.stack([rays(hand.uv[WRIST], camera) for hand in hands])
            roots = list(agree(roots[0], roots[1], wrists, seen.offset, seen.offset_std))
        placed = [self._place(hand, root, camera) for hand, root in zip(hands, roots, strict=True)]
        kept = [hand for hand in placed if self._within_reach(hand, dropped)]
        held = seen.held
        if held is not None and not held.finite:
            dropped["non_finite"] += 1
            held = None
        return SceneLook(tuple(kept), _right_wrist(kept, seen), held)

    def _usable(self, hand: SeenHand, dropped: Counter[str]) -> bool:
        if not hand.finite:
            dropped["non_finite"] += 1
            return False
        return hand.presence >= self.config.tracking.min_score

    def _within_reach(self, hand: NetworkHand, dropped: Counter[str]) -> bool:
        if not (hand.joints[:, 2] > 0).all():
            dropped["behind_camera"] += 1
            return False
        # The limits hold for measured distances; those told by the hand's size are coarser.
        slack = 3.0 * SIZE_SPREAD
        near, far = self.config.min_depth * (1.0 - slack), self.config.max_depth * (1.0 + slack)
        if not near <= hand.joints[WRIST, 2] <= far:
            dropped["out_of_range"] += 1
            return False
        return True

    def _root(self, hand: SeenHand, frame: Frame, expected: Root | None) -> Root:
        """How far the hand's wrist is: as the depth image says, or else as its size and the last frame say."""
        camera = frame.intrinsics
        if hand.shape is not None:
            # The network's own size is the mean of its training's hands.
            told = root_from_shape(hand.uv, hand.shape * self._size(), camera, hand.uv_std)
        else:
            told = root_from_bones(hand.uv, hand.depth, self._mean_lengths * self._size(), camera, hand.depth_std)
        own = self._sizes[hand.side]
        likely = own.corrected(told)
        if expected is not None:
            likely = blend(likely, expected)
        measured = self._measured(hand, frame, likely)
        if measured is None:
            return likely
        own.learn(told, measured)
        return measured

    def _measured(self, hand: SeenHand, frame: Frame, likely: Root) -> Root | None:
        """How far the wrist is as the depth image says; None where there is none, or it does not say."""
        if frame.depth is None:
            return None
        readings = read_depth(frame.depth, hand.uv, (self.config.min_depth, self.config.max_depth))
        return root_from_depth(readings, hand.depth, hand.depth_std, likely, self.config.lifting.skin_depth)

    def _size(self) -> float:
        """Of the hands that are asked about, over the mean hand's."""
        return self.config.lifting.hand_length / self._mean_length

    def _place(self, hand: SeenHand, root: Root, camera: Intrinsics) -> NetworkHand:
        if hand.shape is None:
            joints = place_joints(hand.uv, hand.depth, root.z, camera)
        else:
            shape = hand.shape * (self._size() * self._sizes[hand.side].ratio)
            joints = place_shape(hand.uv, shape, root.z, camera, hand.uv_std)
        std = joint_std(joints, hand.uv_std, hand.depth_std, root, camera.fx)
        return NetworkHand(hand.side, joints.astype(np.float32), std.astype(np.float32), hand.presence, hand.side_score)


def mean_hand() -> tuple[DoubleArray, float]:
    """Lengths (12,) of the mean hand's struts, and its length from the wrist to the middle finger's tip, metres."""
    zero: FloatArray = np.zeros(NUM_BETAS, dtype=np.float32)
    angles, place = np.zeros(45, dtype=np.float32), np.zeros(3, dtype=np.float32)
    joints = HandModel.bundled(Side.RIGHT).forward(place, angles, zero, place).joints.astype(np.float64)
    reach = sum(float(np.linalg.norm(joints[child] - joints[parent])) for parent, child in _LENGTH_CHAIN)
    return strut_lengths(joints), reach


def _right_wrist(hands: list[NetworkHand], seen: SeenScene) -> DoubleArray | None:
    by_side = {hand.side: hand.joints[WRIST].astype(np.float64) for hand in hands}
    if Side.RIGHT in by_side:
        return np.asarray(by_side[Side.RIGHT])
    if Side.LEFT in by_side and np.isfinite(seen.offset_std).all():
        return np.asarray(by_side[Side.LEFT] - seen.offset)
    return None
