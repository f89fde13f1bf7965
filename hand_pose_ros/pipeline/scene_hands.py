"""Both hands in one crop: windows about the hands of the last frame, or about places the finder names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from typing import Final, NamedTuple

import numpy as np

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.geometry.lifting import Root
from hand_pose_ros.geometry.scene_crop import Window
from hand_pose_ros.pipeline.estimator import DroppedHand, NetworkHand
from hand_pose_ros.pipeline.following import Finder, Observation, sides_of
from hand_pose_ros.pipeline.held_objects import HeldObjects
from hand_pose_ros.pipeline.missed_hands import OTHER_SIDE, MissedHands
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator, SceneLook
from hand_pose_ros.pipeline.scene_windows import group, hand_pixels, place_pixels
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.pipeline.tracking import Track, Tracker
from hand_pose_ros.pipeline.trust import Trust, believe, log_odds
from hand_pose_ros.skeleton import WRIST
from hand_pose_ros.types import FloatArray, Frame, HandDetection

# Both hands of one look are two hands, however near: the limit for duplicates, as a part of the usual one.
TOUCHING: Final = 0.5
# Two deviations along a ray, of isotropic ones that are averaged over the axes.
SLACK: Final = 2.0 * 3.0**0.5
# What of the votes for a side is left at the next look: seven looks in a row outvote any number before.
MEMORY: Final = 0.9
# How far a hand's distance strays from a steady motion (m/s, one deviation).
SWERVE: Final = 0.5
# A hand that shows up in another hand's window is taken where so much of it lies inside.
INSIDE: Final = 0.7
# Of the trust that is asked for: with less than this part of it at the first look a place is not looked at again.
HOPELESS: Final = 0.2
# Votes for a hand's side, and the score, from which on it may be followed by its looks alone.
SETTLED: Final = 4.0
SURE: Final = 0.9


class _Followed(NamedTuple):
    """A followed hand of a window, where its joints (21, 3) are expected, and how far its wrist."""

    track: Track
    joints: FloatArray
    root: Root


class SceneHands:
    """See `hand_pose_ros.pipeline.following.Following`.

    Args:
        finder: finds hands in whole frames.
        estimator: both hands of a window.
        tracker: keeps the followed hands.
        trust: tells hands from other things that the finder and this estimator take for hands, where there is depth.
    """

    def __init__(self, finder: Finder, estimator: SceneEstimator, tracker: Tracker, trust: Trust = believe) -> None:
        self._finder = finder
        self._estimator = estimator
        self._tracker = tracker
        self._trust = trust
        self._config = estimator.config
        self._objects = HeldObjects(estimator.config, estimator.network.has_object)
        self._since_search = 0
        self._together = False
        self._missed = MissedHands()

    def reset(self) -> None:
        """See `Following.reset`."""
        self._tracker.reset()
        self._estimator.reset()
        self._objects.reset()
        self._since_search = 0
        self._together = False
        self._missed.clear()

    def reconfigure(self, config: PipelineConfig) -> None:
        """See `Following.reconfigure`."""
        self._config = config
        self._finder.config = config
        self._estimator.config = config
        self._objects.config = config.object

    def observe(self, frame: Frame, timer: StageTimer, dropped: Counter[str]) -> Observation:
        """See `Following.observe`. Without colour nothing is seen ("no_color"); depth is not needed."""
        if frame.color is None:
            dropped["no_color"] += 1
            return Observation(())
        if not self._config.tracking.enabled:
            self._tracker.reset()
        looks = self._follow(frame, timer, dropped) + self._search(frame, timer, dropped)
        with timer.stage("track"):
            dropped["duplicate"] += self._tracker.suppress_duplicates(TOUCHING)
            self._tell_apart(dropped)
        return Observation(tuple(self._tracker.tracks), self._objects.seen(looks, frame, dropped))

    def _follow(self, frame: Frame, timer: StageTimer, dropped: Counter[str]) -> list[SceneLook]:
        tracks, places = self._predicted(frame, dropped)
        missing = self._missed.waited(self._config.max_hands - len(tracks) if tracks else 0)
        windows = self._windows([*places, *(missed.joints for missed in missing)], frame)
        self._together = any(len(members) > 1 for _, members in windows)
        looks: list[SceneLook] = []
        for window, held in windows:
            members = [k for k in held if k < len(tracks)]
            if not members:
                continue
            own = [_Followed(tracks[k], places[k], _expected(tracks[k], places[k], frame.stamp_ns)) for k in members]
            lost = any(not missing[k - len(tracks)].doubted for k in held if k >= len(tracks))
            if not lost and self._follow_alone(own, frame, timer, dropped, not looks):
                continue
            roots = {hand.track.hand.side: hand.root for hand in own}
            look = self._estimator.look(frame, window, timer, dropped, roots)
            looks.append(look)
            with timer.stage("track"):
                self._update([hand.track for hand in own], look, window, frame, dropped)
        return looks

    def _follow_alone(
        self, hands: Sequence[_Followed], frame: Frame, timer: StageTimer, dropped: Counter[str], spare: bool
    ) -> bool:
        """Whether the hands of a window were seen by their looks alone: not while their sides are not settled, nor
        where one is not seen clearly, nor in every `whole_look_period`-th frame: what else is there is seen then.

        spare: no other window is looked at whole in this frame; else what is due waits a while.
        """
        period = self._config.tracking.whole_look_period
        age = max(hand.track.alone for hand in hands) + 1
        due = age >= period and (spare or age >= 2 * period or period == 1)
        settled = all(hand.track.side_evidence >= SETTLED and hand.track.hand.score >= SURE for hand in hands)
        if self._estimator.followed is None or frame.depth is None or due or not settled:
            return False
        found = []
        for track, joints, root in hands:
            seen = self._estimator.follow(frame, track.hand, joints, timer, root) if (joints[:, 2] > 0).all() else None
            if seen is None:
                return False
            found.append(seen)
        with timer.stage("track"):
            for (track, _, _), seen in zip(hands, found, strict=True):
                track.alone += 1
                self._take(track, seen, frame, dropped)
        return True

    def _tell_apart(self, dropped: Counter[str]) -> None:
        """One person has one hand of each side: of two on one side the one with fewer votes for it is the other."""
        tracks = self._tracker.tracks
        if not self._config.one_person or len(tracks) < 2 or len({track.hand.side for track in tracks}) == len(tracks):
            return
        weaker = min(tracks, key=lambda track: track.side_evidence)
        other = weaker.hand.side.other
        if other not in sides_of(self._config):
            self._lose(weaker, DroppedHand("side_not_wanted"), dropped)
            return
        weaker.hand, weaker.smoother = replace(weaker.hand, side=other), None

    def _predicted(self, frame: Frame, dropped: Counter[str]) -> tuple[list[Track], list[FloatArray]]:
        """The followed hands and where their joints (21, 3) are expected."""
        tracks, places = [], []
        for track in list(self._tracker.tracks):
            try:
                center = self._tracker.predict(track, frame.stamp_ns)
            except DroppedHand as drop:
                self._lose(track, drop, dropped)
                continue
            tracks.append(track)
            places.append(track.hand.joints + (center - track.hand.center))
        return tracks, places

    def _windows(self, places: Sequence[FloatArray], frame: Frame) -> list[tuple[Window, list[int]]]:
        pixels = [hand_pixels(joints, frame.intrinsics) for joints in places]
        held = self._objects.pixels(frame.intrinsics) if self._estimator.network.around_object else None
        if held is not None and pixels:
            # The object goes with the hand beside it.
            nearest = int(np.argmin([np.linalg.norm(own.mean(axis=0) - held.mean(axis=0)) for own in pixels]))
            pixels[nearest] = np.concatenate([pixels[nearest], held])
        return group(pixels, self._estimator.network.margin, self._together)

    def _update(
        self, tracks: Sequence[Track], look: SceneLook, window: Window, frame: Frame, dropped: Counter[str]
    ) -> None:
        """Give each followed hand of a window its new result; a hand nobody followed is a new one."""
        found, free = _matched(tracks, look.hands)
        found = _steady(tracks, found)
        for track, hand in zip(tracks, found, strict=True):
            track.alone = 0
            self._take(track, hand, frame, dropped)
        for hand in free:
            inside = window.share_inside(hand_pixels(hand.joints, frame.intrinsics))
            if inside >= INSIDE and hand.score >= self._config.tracking.min_score:
                self._add(hand, None, frame, dropped)

    def _take(self, track: Track, hand: NetworkHand | None, frame: Frame, dropped: Counter[str]) -> None:
        """The new result of a followed hand, if there is one."""
        try:
            if hand is None:
                raise DroppedHand("low_score")
            # A hand whose distance was a guess may turn out to be elsewhere along its ray.
            unsure = max(float(hand.joint_std.mean()), float(track.hand.joint_std.mean()))
            self._tracker.update(track, hand, frame.stamp_ns, SLACK * unsure)
        except DroppedHand as drop:
            self._lose(track, drop, dropped)

    def _search(self, frame: Frame, timer: StageTimer, dropped: Counter[str]) -> list[SceneLook]:
        tracks = self._tracker.tracks
        self._since_search += 1
        if len(tracks) >= self._config.max_hands or (tracks and self._since_search < self._config.finder.period):
            return []
        self._since_search = 0
        with timer.stage("find"):
            known = [HandDetection(track.hand.side, track.hand.center, track.hand.score) for track in tracks]
            found = self._finder.find(frame, known, dropped)
        looks = []
        for window, score in self._places(found, frame):
            if len(self._tracker.tracks) >= self._config.max_hands:
                break
            look = self._examine(frame, window, score, timer, dropped)
            if look is not None:
                looks.append(look)
                with timer.stage("track"):
                    for hand in look.hands:
                        self._add(hand, score, frame, dropped)
        return looks

    def _places(self, found: Sequence[HandDetection], frame: Frame) -> list[tuple[Window, float]]:
        """Windows about detections, each with the followed or found hand beside it where one is near, and the finder's
        best score in it."""
        camera = frame.intrinsics
        before = [detection for detection in found if detection.center[2] > 0]
        pixels = [place_pixels(detection.center, camera) for detection in before]
        followed = [hand_pixels(track.hand.joints, camera) for track in self._tracker.tracks]
        windows = group([*pixels, *followed], self._estimator.network.margin)
        own = [(window, [before[k].score for k in members if k < len(before)]) for window, members in windows]
        return [(window, max(scores)) for window, scores in own if scores]

    def _examine(
        self, frame: Frame, window: Window, found: float, timer: StageTimer, dropped: Counter[str]
    ) -> SceneLook | None:
        """Look at a place the finder named, and again with the hands that are there in the middle, if it is likely that
        they are some."""
        first = self._estimator.look(frame, window, timer, dropped)
        if not first.hands:
            dropped["low_score"] += 1
            return None
        likely = HOPELESS * self._config.tracking.min_trust
        if frame.depth is not None and all(self._believed(found, hand) < likely for hand in first.hands):
            return first
        pixels = np.concatenate([hand_pixels(hand.joints, frame.intrinsics) for hand in first.hands])
        better = group([pixels], self._estimator.network.margin)[0][0]
        return self._estimator.look(frame, better, timer, dropped)

    def _believed(self, found: float | None, hand: NetworkHand) -> float:
        """Probability that this is a hand; `found`: see `_add`."""
        return self._trust(found, hand, log_odds(hand.side_score))

    def _add(self, hand: NetworkHand, found: float | None, frame: Frame, dropped: Counter[str]) -> None:
        """Follow a new hand, unless it is followed already, not wanted, or hardly one.

        found: the finder's score of its place; None where it showed up in a followed hand's window.
        """
        tracks = self._tracker.tracks
        if len(tracks) >= self._config.max_hands or any(self._taken(hand, track.hand) for track in tracks):
            return
        try:
            if hand.side not in sides_of(self._config):
                raise DroppedHand("side_not_wanted")
            # Without depth every hand is unsure.
            measured = frame.depth is not None
            if measured and self._believed(found, hand) < self._config.tracking.min_trust:
                self._missed.doubt(hand.joints)
                raise DroppedHand("doubtful")
            self._tracker.add(hand, frame.stamp_ns, side_evidence=1.0)
        except DroppedHand as drop:
            dropped[drop.reason] += 1

    def _taken(self, hand: NetworkHand, other: NetworkHand) -> bool:
        """Whether a followed hand stands for this one already, or is the person's only one of that side."""
        near = float(np.linalg.norm(hand.center - other.center)) < OTHER_SIDE
        return hand.side is other.side and (near or self._config.one_person)

    def _lose(self, track: Track, drop: DroppedHand, dropped: Counter[str]) -> None:
        dropped[drop.reason] += 1
        self._tracker.lose(track)
        self._missed.lose(track.hand.joints)
        self._since_search = self._config.finder.period


def _expected(track: Track, joints: FloatArray, stamp_ns: int) -> Root:
    """How far the wrist of a followed hand, whose joints (21, 3) are expected here, should be."""
    # The wrist's isotropic deviation is nearly all along its ray.
    last = 3.0**0.5 * float(track.hand.joint_std[WRIST])
    std = float(np.hypot(last, SWERVE * (stamp_ns - track.stamp_ns) * 1e-9))
    return Root(float(joints[WRIST, 2]), std, 0.0)


def _matched(
    tracks: Sequence[Track], hands: Sequence[NetworkHand]
) -> tuple[list[NetworkHand | None], list[NetworkHand]]:
    """For each track the hand that goes on from it, with the smallest total distance; and the hands left over."""
    slots: list[int | None] = [*range(len(hands)), *([None] * len(tracks))]
    best = min(permutations(slots, len(tracks)), key=lambda chosen: _cost(tracks, hands, chosen))
    taken = [None if k is None else hands[k] for k in best]
    return taken, [hand for k, hand in enumerate(hands) if k not in best]


def _steady(tracks: Sequence[Track], found: Sequence[NetworkHand | None]) -> list[NetworkHand | None]:
    """The found hands on the sides that most looks have seen them on. Two hands of one look change sides together."""
    steady = list(found)
    seen = [(k, tracks[k], hand) for k, hand in enumerate(found) if hand is not None]
    pair = len(seen) == 2 and len({track.hand.side for _, track, _ in seen}) == len({h.side for *_, h in seen}) == 2
    for looked in [seen] if pair else [[one] for one in seen]:
        same = all(hand.side is track.hand.side for _, track, hand in looked)
        before = sum(track.side_evidence for _, track, _ in looked) / len(looked)
        votes = MEMORY * before + (1.0 if same else -1.0)
        for k, track, hand in looked:
            track.side_evidence = abs(votes)
            if votes >= 0:
                steady[k] = replace(hand, side=track.hand.side)
    return steady


def _cost(tracks: Sequence[Track], hands: Sequence[NetworkHand], chosen: Sequence[int | None]) -> float:
    total = 0.0
    for track, k in zip(tracks, chosen, strict=True):
        if k is None:
            total += 1.0
            continue
        total += float(np.linalg.norm(hands[k].center - track.hand.center))
        total += 0.0 if hands[k].side is track.hand.side else OTHER_SIDE
    return total
