"""Following hands from frame to frame: where to crop next, when a hand is lost, and which hands are one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from hand_pose_ros.config import TrackingConfig
from hand_pose_ros.hand_model.fit import HandFitter
from hand_pose_ros.hand_model.surface_fit import HandShape
from hand_pose_ros.pipeline.estimator import DroppedHand, NetworkHand
from hand_pose_ros.pipeline.smoothing import OneEuroFilter
from hand_pose_ros.skeleton import MCPS, WRIST, Side
from hand_pose_ros.types import FloatArray, TrackingState

# The prediction may move a crop by at most this part of `max_center_jump`: a hand that brakes must stay in the cube.
MAX_PREDICTION: Final = 0.5
# Weight of the newest displacement in the velocity; one frame's error must not throw the next crop off.
VELOCITY_GAIN: Final = 0.5
# Two hands of one side are farther apart than a right and a left one may be: by this factor.
SAME_SIDE: Final = 2.0
# Credibility that a followed hand has ahead of a newly found one at the same place.
FOLLOWED_BONUS: Final = 0.2
_PALM: Final = (WRIST, *MCPS)


@dataclass
class Track:
    """One followed hand.

    Attributes:
        track_id: its number, stays while it is followed.
        hand: the newest network result.
        stamp_ns: of `hand`.
        state: DETECTED in the frame of its detection, then TRACKED.
        velocity: (3,) metres per second of the centre.
        age: frames since its detection.
        side_evidence: gathered for the side: log-odds, or votes where a network sees both hands at once.
        alone: frames since a whole network of two hands looked at it.
        smoother: the hand's own filter, if smoothing is on.
        fitter: what is known of the hand's shape, if meshes are asked for.
        shape: the same, if it is laid onto the depth image.
    """

    track_id: int
    hand: NetworkHand
    stamp_ns: int
    state: TrackingState = TrackingState.DETECTED
    velocity: FloatArray = field(default_factory=lambda: np.zeros(3, dtype=np.float32))
    age: int = 0
    side_evidence: float = 0.0
    alone: int = 0
    smoother: OneEuroFilter | None = None
    fitter: HandFitter | None = None
    shape: HandShape | None = None


class Tracker:
    """The followed hands and the rules by which they come, stay and go. It looks at no image."""

    def __init__(self, config: TrackingConfig) -> None:
        self.config = config
        self.tracks: list[Track] = []
        self._lost: list[Track] = []
        self._next_id = 0

    def reset(self) -> None:
        """Forget every hand; numbers are not given again."""
        self.tracks.clear()
        self._lost.clear()

    def predict(self, track: Track, stamp_ns: int) -> FloatArray:
        """Where (3,) metres the hand's centre is expected: constant velocity, limited.

        Raises:
            DroppedHand: too long ago ("gap").
        """
        dt = (stamp_ns - track.stamp_ns) * 1e-9
        if dt > self.config.max_gap:
            raise DroppedHand("gap")
        step = track.velocity * np.float32(dt)
        length = float(np.linalg.norm(step))
        limit = MAX_PREDICTION * self.config.max_center_jump
        predicted: FloatArray = track.hand.center + (step if length <= limit else step * np.float32(limit / length))
        return predicted

    def update(self, track: Track, hand: NetworkHand, stamp_ns: int, slack: float = 0.0) -> None:
        """Take the new result of a followed hand; it may jump `slack` metres more than usual.

        Raises:
            DroppedHand: it is not to be followed any more ("low_score", "center_jump"); see `lose`.
        """
        if hand.score < self.config.min_score:
            raise DroppedHand("low_score")
        moved = hand.center - track.hand.center
        if float(np.linalg.norm(moved)) > self.config.max_center_jump + slack:
            raise DroppedHand("center_jump")
        dt = (stamp_ns - track.stamp_ns) * 1e-9
        if dt > 0:
            track.velocity = track.velocity + np.float32(VELOCITY_GAIN) * (moved / np.float32(dt) - track.velocity)
        if hand.side is not track.hand.side:
            track.smoother = None
        track.age += 1
        track.hand, track.stamp_ns, track.state = hand, stamp_ns, TrackingState.TRACKED

    def add(self, hand: NetworkHand, stamp_ns: int, side_evidence: float = 0.0) -> Track:
        """Follow a newly detected hand; one lost shortly before at this place gets its number back.

        Raises:
            DroppedHand: the network does not take it for a hand ("low_score").
        """
        if hand.score < self.config.min_score:
            raise DroppedHand("low_score")
        track = Track(self._number(hand, stamp_ns), hand, stamp_ns, side_evidence=side_evidence)
        self.tracks.append(track)
        return track

    def lose(self, track: Track) -> None:
        """Stop following a hand."""
        self.tracks.remove(track)
        self._lost.append(track)

    def suppress_duplicates(self, strictness: float = 1.0) -> int:
        """Of hands whose palm centres are closer than `min_separation` keep the most credible; how many went.

        A hand that is followed for longer has a bonus, so that its number stays. `strictness` multiplies the limit.
        """
        kept: list[Track] = []
        for track in sorted(self.tracks, key=_standing, reverse=True):
            center = palm_center(track.hand.joints)
            if not any(self._same_place(track, center, other, strictness) for other in kept):
                kept.append(track)
        gone = len(self.tracks) - len(kept)
        self.tracks = [track for track in self.tracks if track in kept]
        return gone

    def _same_place(self, track: Track, center: FloatArray, other: Track, strictness: float) -> bool:
        limit = strictness * self.config.min_separation * (SAME_SIDE if track.hand.side is other.hand.side else 1.0)
        return float(np.linalg.norm(center - palm_center(other.hand.joints))) < limit

    def keep(self, sides: tuple[Side, ...], max_hands: int) -> None:
        """Stop following hands of other sides and the least credible ones beyond `max_hands`."""
        wanted = [track for track in self.tracks if track.hand.side in sides]
        self.tracks = sorted(wanted, key=_standing, reverse=True)[:max_hands]

    def _number(self, hand: NetworkHand, stamp_ns: int) -> int:
        horizon = stamp_ns - int(self.config.max_gap * 1e9)
        self._lost = [track for track in self._lost if track.stamp_ns >= horizon]
        for track in self._lost:
            moved = float(np.linalg.norm(track.hand.center - hand.center))
            if track.hand.side is hand.side and moved <= self.config.max_center_jump:
                self._lost.remove(track)
                return track.track_id
        self._next_id += 1
        return self._next_id


def palm_center(joints: FloatArray) -> FloatArray:
    """Mean (3,) of the wrist and the four finger bases of joints (21, 3)."""
    center: FloatArray = joints[list(_PALM)].mean(axis=0)
    return center


def _standing(track: Track) -> float:
    return track.hand.score + (FOLLOWED_BONUS if track.state is TrackingState.TRACKED else 0.0)
