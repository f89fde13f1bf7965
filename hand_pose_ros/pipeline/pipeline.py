"""The pipeline: a frame in, a scene out; the same object live, on bags and on data sets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

import cv2

from hand_pose_ros import __version__
from hand_pose_ros.config import ConfigError, PipelineConfig, flatten, options
from hand_pose_ros.engines.base import Engine, warm_up
from hand_pose_ros.engines.blas import single_threaded_blas
from hand_pose_ros.engines.factory import create_engine
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.pipeline.assembly import joint_pixels, region_of_interest, valid_joints, wrist_of
from hand_pose_ros.pipeline.estimator import DroppedHand, Estimator, KeypointFusionEstimator, NetworkHand
from hand_pose_ros.pipeline.finder import HandFinder
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.meshes import Meshes
from hand_pose_ros.pipeline.sides import DOUBT, MAX_EVIDENCE, PRIOR, bounded, finder_evidence, look_due, side_evidence
from hand_pose_ros.pipeline.smoothing import OneEuroFilter
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.pipeline.tracking import Track, Tracker
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import FloatArray, Frame, HandDetection, HandEstimate, Intrinsics, Scene

# Metadata that says how to feed the network; `require_contract` has checked it, diagnostics need not repeat it.
_CONTRACT_KEYS: Final = ("input.", "output.", "joint_order")


class Finder(Protocol):
    """Finds hands in a whole frame; see `hand_pose_ros.pipeline.finder.HandFinder`."""

    config: PipelineConfig

    def find(self, frame: Frame, known: list[HandDetection], dropped: Counter[str]) -> list[HandDetection]: ...


class Pipeline:
    """Finds, follows and measures the hands of a stream of frames.

    Args:
        config: models, engine and limits.
        finder: finds hands in whole frames; default: the network that `config` names.
        estimator: joints from one hand's place; default: the network that `config` names.

    Attributes:
        counts: since the start, frames, hands, resets and dropped hands by reason.

    Raises:
        EngineError: a model or an engine cannot be loaded.
    """

    def __init__(
        self, config: PipelineConfig, finder: Finder | None = None, estimator: Estimator | None = None
    ) -> None:
        self._config = config
        self._finder = finder or HandFinder(_engine(config, config.finder.model), config)
        self._estimator = estimator or KeypointFusionEstimator(_engine(config, config.model), config)
        self._tracker = Tracker(config.tracking)
        self._meshes = Meshes(load_hand_models(config)) if config.mesh else None
        self.counts: Counter[str] = Counter()
        self._last: _Instant | None = None
        self._since_search = 0

    @property
    def config(self) -> PipelineConfig:
        """The configuration in force."""
        return self._config

    def process(self, frame: Frame) -> Scene:
        """The hands of one frame. Frames come in the order of their stamps; a jump of time forgets the hands."""
        with single_threaded_blas():
            return self._process(frame)

    def _process(self, frame: Frame) -> Scene:
        timer = StageTimer()
        dropped: Counter[str] = Counter()
        with timer.stage("track"):
            self._watch_stream(frame)
        hands: tuple[HandEstimate, ...] = ()
        if frame.depth is None or not cv2.countNonZero(frame.depth):
            dropped["no_depth"] += 1
        else:
            self._follow(frame, timer, dropped)
            self._search(frame, timer, dropped)
            with timer.stage("track"):
                dropped["duplicate"] += self._tracker.suppress_duplicates()
            hands = self._assemble(frame, timer, dropped)
        dropped += Counter()  # leaves out the zeros
        self._count(hands, dropped)
        return Scene(frame.stamp_ns, frame.frame_id, hands, (), timer.finish(), dict(dropped))

    def reset(self) -> None:
        """Forget the followed hands; the counts stay."""
        self._tracker.reset()
        self._last = None
        self._since_search = 0

    def reconfigure(self, config: PipelineConfig) -> None:
        """Change options while running.

        Raises:
            ConfigError: an option that is not dynamic differs; a new Pipeline is needed for that.
        """
        old, new = flatten(self._config), flatten(config)
        fixed = [item.name for item in options(PipelineConfig) if not item.dynamic and old[item.name] != new[item.name]]
        if fixed:
            raise ConfigError(f"cannot be changed while running: {', '.join(fixed)}; restart with the new values")
        if config.mesh and self._meshes is None:
            self._meshes = Meshes(load_hand_models(config))
        self._config = config
        self._finder.config = config
        self._estimator.config = config
        self._tracker.config = config.tracking
        self._tracker.keep(_sides(config), config.max_hands)

    def describe(self) -> dict[str, str]:
        """What runs here, for logs and diagnostics."""
        description = {"hand_pose_ros": __version__, "model": self._config.model, "finder": self._config.finder.model}
        for role, part in (("model", self._estimator), ("finder", self._finder)):
            engine = getattr(part, "engine", None)
            if engine is not None:
                description[f"{role}_engine"] = engine.description
                facts = {key: value for key, value in engine.metadata.items() if not key.startswith(_CONTRACT_KEYS)}
                description.update({f"{role}.{key}": value for key, value in facts.items()})
        return description

    def _watch_stream(self, frame: Frame) -> None:
        last, now = self._last, _Instant(frame.stamp_ns, frame.frame_id, frame.intrinsics)
        reason = last and now.break_after(last, self._config.tracking.max_gap)
        if reason:
            self.counts[reason] += 1
            self.reset()
        self._last = now

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
        for detection in found:
            if len(tracks) >= self._config.max_hands:
                return
            try:
                hand, evidence = self._examine(frame, detection, timer)
                with timer.stage("track"):
                    self._tracker.add(hand, frame.stamp_ns, evidence)
            except DroppedHand as drop:
                dropped[drop.reason] += 1

    def _examine(self, frame: Frame, detection: HandDetection, timer: StageTimer) -> tuple[NetworkHand, float]:
        """The hand at a place the finder named, and the evidence for its side."""
        hand = self._estimator.estimate(frame, detection.center, detection.side, timer)
        if hand.score < self._config.tracking.min_score / 2:
            return hand, 0.0
        # The finder's centre is coarse: look again with the hand in the middle, from both sides.
        hand = self._estimator.estimate(frame, hand.center, hand.side, timer)
        evidence, other = self._compare_sides(frame, hand, hand.center, timer)
        told = finder_evidence(detection)
        evidence = bounded(evidence + (told if hand.side is detection.side else -told))
        # Evidence is for the hand's own side, the prior for the right one.
        if evidence + (self._prior() if hand.side is Side.RIGHT else -self._prior()) < 0:
            hand, evidence = other, -evidence
        if hand.side not in self._sides_wanted():
            raise DroppedHand("side_not_wanted")
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
        if other.side not in _sides(self._config):
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
        return tuple(side for side in _sides(self._config) if side not in taken)

    def _compare_sides(
        self, frame: Frame, hand: NetworkHand, center: FloatArray, timer: StageTimer
    ) -> tuple[float, NetworkHand]:
        """Evidence for the hand's side, and what the same place shows when it is taken for the other one."""
        try:
            other = self._estimator.estimate(frame, center, hand.side.other, timer)
        except DroppedHand:
            return MAX_EVIDENCE, hand
        return side_evidence(hand, other), other

    def _assemble(self, frame: Frame, timer: StageTimer, dropped: Counter[str]) -> tuple[HandEstimate, ...]:
        hands = []
        for track in list(self._tracker.tracks):
            try:
                hands.append(self._estimate_of(track, frame, timer))
            except DroppedHand as drop:
                dropped[drop.reason] += 1
                self._tracker.lose(track)
        return tuple(hands)

    def _estimate_of(self, track: Track, frame: Frame, timer: StageTimer) -> HandEstimate:
        hand, camera = track.hand, frame.intrinsics
        with timer.stage("track"):
            joints = self._smooth(track)
        with timer.stage("lift"):
            pixels = joint_pixels(joints, camera)
            valid = valid_joints(pixels, hand.joint_std, camera, self._config.tracking.max_joint_std)
            roi, wrist = region_of_interest(pixels, camera), wrist_of(joints, hand.side)
        mano, vertices = None, None
        if self._config.mesh and self._meshes is not None:
            with timer.stage("mesh"):
                mano, vertices = self._meshes.fit(track, joints)
        return HandEstimate(
            side=hand.side,
            joints=joints,
            joint_std=hand.joint_std,
            joint_valid=valid,
            score=hand.score,
            track_id=track.track_id,
            state=track.state,
            roi=roi,
            wrist=wrist,
            mano=mano,
            vertices=vertices,
        )

    def _smooth(self, track: Track) -> FloatArray:
        config = self._config.smoothing
        if not config.enabled:
            track.smoother = None
            return track.hand.joints
        if track.smoother is None:
            track.smoother = OneEuroFilter(config)
        track.smoother.config = config
        return track.smoother(track.hand.joints, track.stamp_ns)

    def _count(self, hands: tuple[HandEstimate, ...], dropped: Counter[str]) -> None:
        self.counts["frames"] += 1
        self.counts["hands"] += len(hands)
        self.counts.update(dropped)


@dataclass(frozen=True)
class _Instant:
    """What of the frame before is remembered: not its images."""

    stamp_ns: int
    frame_id: str
    intrinsics: Intrinsics

    def break_after(self, last: _Instant, max_gap: float) -> str | None:
        """Why the stream does not go on from `last` to here, if it does not."""
        if self.stamp_ns < last.stamp_ns:
            return "reset_stamp_jump"
        if (self.stamp_ns - last.stamp_ns) * 1e-9 > max_gap:
            return "reset_gap"
        if (self.frame_id, self.intrinsics) != (last.frame_id, last.intrinsics):
            return "reset_camera"
        return None


def _sides(config: PipelineConfig) -> tuple[Side, ...]:
    return tuple(Side) if config.sides == "both" else (Side(config.sides),)


def _engine(config: PipelineConfig, model: str) -> Engine:
    engine = create_engine(find_model(model), config.engine, config.threads)
    warm_up(engine)
    return engine
