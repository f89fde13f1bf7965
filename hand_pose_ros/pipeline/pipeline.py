"""The pipeline: a frame in, a scene out; the same object live, on bags and on data sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from hand_pose_ros import __version__
from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Engine
from hand_pose_ros.engines.blas import single_threaded_blas
from hand_pose_ros.engines.zoo import find_model
from hand_pose_ros.hand_model.surface_fit import FittedHand
from hand_pose_ros.options import ConfigError, flatten, options
from hand_pose_ros.pipeline.assembly import joint_pixels, region_of_interest, valid_joints, wrist_of
from hand_pose_ros.pipeline.estimator import DroppedHand, Estimator
from hand_pose_ros.pipeline.finders import finder_file, open_finder
from hand_pose_ros.pipeline.following import Finder, sides_of
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.hand_surface import HandSurfaces
from hand_pose_ros.pipeline.inside import InsideView, inside_of
from hand_pose_ros.pipeline.meshes import Meshes
from hand_pose_ros.pipeline.models import following_of, open_pose_model
from hand_pose_ros.pipeline.outside import HandBox, OutsideFinder
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator
from hand_pose_ros.pipeline.scene_hands import SceneHands
from hand_pose_ros.pipeline.sides import SideJudge, open_judge, side_evidence
from hand_pose_ros.pipeline.single_hands import SingleHands
from hand_pose_ros.pipeline.smoothing import OneEuroFilter
from hand_pose_ros.pipeline.stream import Instant
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.pipeline.tracking import Track, Tracker
from hand_pose_ros.pipeline.trust import HandTrust, Trust, believe, open_trust
from hand_pose_ros.types import FloatArray, Frame, HandEstimate, Scene

__all__ = ["Finder", "Pipeline"]

# Metadata that says how to feed the network; `require_contract` has checked it, diagnostics need not repeat it.
_CONTRACT_KEYS: Final = ("input.", "output.", "joint_order")


class Pipeline:
    """Finds, follows and measures the hands of a stream of frames.

    Args:
        config: models, engine and limits.
        finder: finds hands in whole frames; default: the network that `config` names.
        estimator: joints from one hand's place, or both hands from a window of the image; default: the network that
            `config` names, of the kind that its file states.
        trust: in the hands of an estimator that is given; the default estimator's lies beside its file.

    Attributes:
        counts: since the start, frames, hands, resets and dropped hands by reason.

    Raises:
        EngineError: a model or an engine cannot be loaded.
    """

    def __init__(
        self,
        config: PipelineConfig,
        finder: Finder | None = None,
        estimator: Estimator | SceneEstimator | None = None,
        trust: Trust = believe,
    ) -> None:
        self._config = config
        self._finder = finder or open_finder(config)
        self._estimator = estimator or open_pose_model(config)
        self._tracker = Tracker(config.tracking)
        # What a judge has learnt belongs to one network: an estimator from elsewhere is judged by its deviations.
        self._judge = side_evidence if estimator is not None else open_judge(find_model(config.model))
        self._trust = trust
        if estimator is None:
            self._trust = open_trust(find_model(config.model), finder_file(config) if finder is None else None)
        self._following = following_of(self._finder, self._estimator, self._tracker, self._judge, self._trust)
        self._meshes: Meshes | None = None
        self._surfaces: HandSurfaces | None = None
        self._load_hand_models(config)
        self.counts: Counter[str] = Counter()
        self._last: Instant | None = None

    @property
    def config(self) -> PipelineConfig:
        """The configuration in force."""
        return self._config

    @property
    def needs_depth(self) -> bool:
        """Whether the model sees nothing without a depth image."""
        return isinstance(self._following, SingleHands)

    @property
    def needs_color(self) -> bool:
        """Whether the model sees nothing without a colour image."""
        return isinstance(self._following, SceneHands)

    @property
    def inside(self) -> InsideView | None:
        """The way to look into the network, with the frames' own thread; None where it has nothing to show."""
        return inside_of(self._estimator)

    def process(self, frame: Frame) -> Scene:
        """The hands of one frame. Frames come in the order of their stamps; a jump of time forgets the hands."""
        with single_threaded_blas():
            return self._process(frame)

    def _process(self, frame: Frame) -> Scene:
        timer = StageTimer()
        dropped: Counter[str] = Counter()
        with timer.stage("track"):
            self._watch_stream(frame)
        seen = self._following.observe(frame, timer, dropped)
        hands = self._assemble(seen.tracks, frame, timer, dropped)
        dropped += Counter()  # leaves out the zeros
        self._count(hands, dropped)
        return Scene(frame.stamp_ns, frame.frame_id, hands, seen.objects, timer.finish(), dict(dropped))

    def suggest(self, boxes: Sequence[HandBox], stamp_ns: int) -> None:
        """Boxes (pixels) of hands that another detector saw in the image of this stamp; from any thread.

        Raises:
            ConfigError: this pipeline was given a finder that takes no boxes.
        """
        if not isinstance(self._finder, OutsideFinder):
            raise ConfigError(f"boxes: expected an OutsideFinder to take them, got {type(self._finder).__name__}")
        self._finder.suggest(boxes, stamp_ns)

    def reset(self) -> None:
        """Forget the followed hands; the counts stay."""
        self._following.reset()
        if self._surfaces is not None:
            self._surfaces.reset()
        self._last = None

    def reconfigure(self, config: PipelineConfig) -> None:
        """Change options while running.

        Raises:
            ConfigError: an option that is not dynamic differs; a new Pipeline is needed for that.
        """
        old, new = flatten(self._config), flatten(config)
        fixed = [item.name for item in options(PipelineConfig) if not item.dynamic and old[item.name] != new[item.name]]
        if fixed:
            raise ConfigError(f"cannot be changed while running: {', '.join(fixed)}; restart with the new values")
        self._load_hand_models(config)
        self._config = config
        self._following.reconfigure(config)
        self._tracker.config = config.tracking
        self._tracker.keep(sides_of(config), config.max_hands)

    def _load_hand_models(self, config: PipelineConfig) -> None:
        """For what is asked for and not there yet."""
        meshes, surfaces = config.mesh and self._meshes is None, config.depth_fit and self._surfaces is None
        models = load_hand_models(config) if meshes or surfaces else {}
        if meshes:
            self._meshes = Meshes(models)
        if surfaces:
            self._surfaces = HandSurfaces(models)

    def describe(self) -> dict[str, str]:
        """What runs here, for logs and diagnostics."""
        description = {"hand_pose_ros": __version__, "model": self._config.model, "finder": self._config.finder.model}
        for role, engine in self.engines().items():
            description[f"{role}_engine"] = engine.description
            facts = {key: value for key, value in engine.metadata.items() if not key.startswith(_CONTRACT_KEYS)}
            description.update({f"{role}.{key}": value for key, value in facts.items()})
        if isinstance(self._estimator, SceneEstimator):
            alone = self._estimator.followed is not None
            description["followed"] = "by looks alone, with depth" if alone else "by the whole network"
        if isinstance(self._following, SingleHands):
            description["sides"] = "learnt" if isinstance(self._judge, SideJudge) else "by the deviations alone"
            description["trust"] = "learnt" if isinstance(self._trust, HandTrust) else "by the score alone"
        return description

    def engines(self) -> dict[str, Engine]:
        """What runs the networks, by their roles "model", "followed" and "finder"; the last two need not have one."""
        followed = getattr(self._estimator, "followed", None)
        parts = {"model": self._estimator, "followed": followed, "finder": self._finder}
        found = {role: getattr(part, "engine", None) for role, part in parts.items()}
        return {role: engine for role, engine in found.items() if engine is not None}

    def _watch_stream(self, frame: Frame) -> None:
        last, now = self._last, Instant(frame.stamp_ns, frame.frame_id, frame.intrinsics)
        reason = last and now.break_after(last, self._config.tracking.max_gap)
        if reason:
            self.counts[reason] += 1
            self.reset()
        self._last = now

    def _assemble(
        self, tracks: Sequence[Track], frame: Frame, timer: StageTimer, dropped: Counter[str]
    ) -> tuple[HandEstimate, ...]:
        hands = []
        with timer.stage("fit"):
            fitted = self._fitted(tracks, frame)
        for track in tracks:
            try:
                hands.append(self._estimate_of(track, fitted.get(track.track_id), frame, timer))
            except DroppedHand as drop:
                dropped[drop.reason] += 1
                self._tracker.lose(track)
        return tuple(hands)

    def _fitted(self, tracks: Sequence[Track], frame: Frame) -> dict[int, FittedHand]:
        """The followed hands that depth shows, by their numbers."""
        config = self._config
        if self._surfaces is None or not config.depth_fit:
            return {}
        return self._surfaces.fit(tracks, frame, (config.min_depth, config.max_depth), config.one_person)

    def _estimate_of(self, track: Track, fitted: FittedHand | None, frame: Frame, timer: StageTimer) -> HandEstimate:
        hand, camera = track.hand, frame.intrinsics
        given = hand if fitted is None else fitted
        with timer.stage("track"):
            joints = self._smooth(track, given.joints)
        with timer.stage("lift"):
            pixels = joint_pixels(joints, camera)
            valid = valid_joints(pixels, given.joint_std, camera, self._config.tracking.max_joint_std)
            roi, wrist = region_of_interest(pixels, camera), wrist_of(joints, hand.side)
        mano, vertices = None, None
        if self._config.mesh and self._meshes is not None:
            with timer.stage("mesh"):
                if fitted is not None and not self._config.smoothing.enabled:
                    mano, vertices = fitted.parameters, fitted.vertices
                else:
                    mano, vertices = self._meshes.fit(track, joints)
        return HandEstimate(
            side=hand.side,
            joints=joints,
            joint_std=given.joint_std,
            joint_valid=valid,
            score=hand.score,
            track_id=track.track_id,
            state=track.state,
            roi=roi,
            wrist=wrist,
            mano=mano,
            vertices=vertices,
        )

    def _smooth(self, track: Track, joints: FloatArray) -> FloatArray:
        config = self._config.smoothing
        if not config.enabled:
            track.smoother = None
            return joints
        if track.smoother is None:
            track.smoother = OneEuroFilter(config)
        track.smoother.config = config
        return track.smoother(joints, track.stamp_ns)

    def _count(self, hands: tuple[HandEstimate, ...], dropped: Counter[str]) -> None:
        self.counts["frames"] += 1
        self.counts["hands"] += len(hands)
        self.counts.update(dropped)
