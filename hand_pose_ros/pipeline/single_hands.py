"""One hand per crop: the pose network looks at a cube about each hand, whose side is worked out by looking twice.

A newly found place is followed when everything that was seen of it together makes a hand (`pipeline.trust`).
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import cv2

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.pipeline.estimator import DroppedHand, Estimator, NetworkHand
from hand_pose_ros.pipeline.following import Finder, Observation, sides_of
from hand_pose_ros.pipeline.sides import (
    DOUBT,
    MAX_EVIDENCE,
    PRIOR,
    Judge,
    bounded,
    finder_evidence,
    look_due,
    side_evidence,
)
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.pipeline.tracking import Track, Tracker
from hand_pose_ros.pipeline.trust import Trust, believe
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame, HandDetection


class _Look(NamedTuple):
    """A place taken for a hand of either side, the evidence (log-odds) for the side of `hand`, the finder's score."""

    hand: NetworkHand
    other: NetworkHand
    evidence: float
    found: float

    @property
    def spread(self) -> float:
        """Mean standard deviation (m) of the joints: how unsure the network is of this place."""
        return float(self.hand.joint_std.mean())


class SingleHands:
    """See `hand_pose_ros.pipeline.following.Following`.

    Args:
        finder: finds hands in whole frames.
        estimator: joints from one hand's place.
        tracker: keeps the followed hands.
        judge: tells the side from two looks of this estimator.
        trust: tells hands from other things that the finder and this estimator take for hands.
    """

    def __init__(
        self,
        finder: Finder,
        estimator: Estimator,
        tracker: Tracker,
        judge: Judge = side_evidence,
        trust: Trust = believe,
    ) -> None:
        self._finder = finder
        self._estimator = estimator
        self._tracker = tracker
        self._judge = judge
        self._trust = trust
        self._config = estimator.config
        self._since_search = 0

    def reset(self) -> None:
        """See `Following.reset`."""
        self._tracker.reset()
        self._since_search = 0

    def reconfigure(self, config: PipelineConfig) -> None:
        """See `Following.reconfigure`."""
        self._config = config
        self._finder.config = config
        self._estimator.config = config

    def observe(self, frame: Frame, timer: StageTimer, dropped: Counter[str]) -> Observation:
        """See `Following.observe`. Without depth nothing is seen ("no_depth"), nothing is forgotten either."""
        if frame.depth is None or not cv2.countNonZero(frame.depth):
            dropped["no_depth"] += 1
            return Observation(())
        self._follow(frame, timer, dropped)
        self._search(frame, timer, dropped)
        with timer.stage("track"):
            dropped["duplicate"] += self._tracker.suppress_duplicates()
        return Observation(tuple(self._tracker.tracks))

    def _follow(self, frame: Frame, timer: StageTimer, dropped: Counter[str]) -> None:
        if not self._config.tracking.enabled:
            self._tracker.reset()
        for track in list(self._tracker.tracks):
            try:
                center = self._tracker.predict(track, frame.stamp_ns)
                hand = self._estimator.estimate(frame, center, track.hand.side, timer)
                if look_due(track.age + 1):
                    hand = self._watch_side(frame, track, hand, center, timer)
                with timer.stage("track"):
                    self._tracker.update(track, hand, frame.stamp_ns)
            except DroppedHand as drop:
                dropped[drop.reason] += 1
                self._tracker.lose(track)
                self._since_search = self._config.finder.period

    def _search(self, frame: Frame, timer: StageTimer, dropped: Counter[str]) -> None:
        tracks = self._tracker.tracks
        self._since_search += 1
        if len(tracks) >= self._config.max_hands or (tracks and self._since_search < self._config.finder.period):
            return
        self._since_search = 0
        with timer.stage("find"):
            known = [HandDetection(track.hand.side, track.hand.center, track.hand.score) for track in tracks]
            found = self._finder.find(frame, known, dropped)
        looks = [look for detection in found if (look := self._examine(frame, detection, timer, dropped))]
        # The surest first: of two places for one hand the finder's favourite may be a face.
        for look in sorted(looks, key=lambda look: look.spread):
            if len(tracks) >= self._config.max_hands:
                return
            try:
                hand, evidence = self._decide(look)
                with timer.stage("track"):
                    self._tracker.add(hand, frame.stamp_ns, evidence)
            except DroppedHand as drop:
                dropped[drop.reason] += 1

    def _examine(
        self, frame: Frame, detection: HandDetection, timer: StageTimer, dropped: Counter[str]
    ) -> _Look | None:
        """What is at a place the finder named; None, and counted, where nothing can be a hand."""
        try:
            hand = self._estimator.estimate(frame, detection.center, detection.side, timer)
            if hand.score < self._config.tracking.min_score / 2:
                raise DroppedHand("low_score")
            # The finder's centre is coarse: look again with the hand in the middle, from both sides.
            hand = self._estimator.estimate(frame, hand.center, hand.side, timer)
            evidence, other = self._compare_sides(frame, hand, hand.center, timer)
        except DroppedHand as drop:
            dropped[drop.reason] += 1
            return None
        told = finder_evidence(detection)
        evidence = bounded(evidence + (told if hand.side is detection.side else -told))
        return _Look(hand, other, evidence, detection.score)

    def _decide(self, look: _Look) -> tuple[NetworkHand, float]:
        """The hand of a look and the evidence for its side, with what is known beforehand.

        Raises:
            DroppedHand: no hand of this side is wanted any more, or this is hardly one ("doubtful").
        """
        hand, evidence = look.hand, look.evidence
        # Evidence is for the hand's own side, the prior for the right one.
        if evidence + (self._prior() if hand.side is Side.RIGHT else -self._prior()) < 0:
            hand, evidence = look.other, -evidence
        if hand.side not in self._sides_wanted():
            raise DroppedHand("side_not_wanted")
        if self._trust(look.found, hand, evidence) < self._config.tracking.min_trust:
            raise DroppedHand("doubtful")
        return hand, evidence

    def _watch_side(
        self, frame: Frame, track: Track, hand: NetworkHand, center: FloatArray, timer: StageTimer
    ) -> NetworkHand:
        """The followed hand, of the other side where the evidence has turned against its own."""
        evidence, other = self._compare_sides(frame, hand, center, timer)
        track.side_evidence = bounded(track.side_evidence + evidence)
        if track.side_evidence > DOUBT:
            return hand
        taken = any(t is not track and t.hand.side is other.side for t in self._tracker.tracks)
        if self._config.one_person and taken:
            return hand
        if other.side not in sides_of(self._config):
            if track.side_evidence > -PRIOR:
                return hand
            raise DroppedHand("side_not_wanted")
        track.side_evidence *= -1
        return other

    def _prior(self) -> float:
        """Log-odds known beforehand that a new hand is a right one."""
        sides = [Side(self._config.sides)] if self._config.sides != "both" else []
        if self._config.one_person:
            sides += [track.hand.side.other for track in self._tracker.tracks]
        return PRIOR * sum(1.0 if side is Side.RIGHT else -1.0 for side in sides)

    def _sides_wanted(self) -> tuple[Side, ...]:
        """Sides a new hand may have; with one person, sides that are not followed yet."""
        taken = [track.hand.side for track in self._tracker.tracks] if self._config.one_person else []
        return tuple(side for side in sides_of(self._config) if side not in taken)

    def _compare_sides(
        self, frame: Frame, hand: NetworkHand, center: FloatArray, timer: StageTimer
    ) -> tuple[float, NetworkHand]:
        """Evidence for the hand's side, and what the same place shows when it is taken for the other one."""
        try:
            other = self._estimator.estimate(frame, center, hand.side.other, timer)
        except DroppedHand:
            return MAX_EVIDENCE, hand
        return self._judge(hand, other), other
