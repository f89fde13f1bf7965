"""Followed hands by the looks of a network alone: when, what comes of it, and which files serve."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from exact_hands import CAMERA, exact_hand, painted_depth
from fake_scene_network import BlankEngine, TruthfulFinder, TruthfulNetwork

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.engines.base import Array, Engine, EngineError
from hand_pose_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from hand_pose_ros.engines.zoo import find_model, known_models, sha256
from hand_pose_ros.evaluation.metrics import mean_error, pose_errors
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.options import replace
from hand_pose_ros.pipeline.followed_looks import FollowedLook, followed_path, open_followed
from hand_pose_ros.pipeline.models import open_pose_model
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator
from hand_pose_ros.pipeline.scene_network import SeenHand
from hand_pose_ros.pipeline.timing import StageTimer
from hand_pose_ros.skeleton import Side
from hand_pose_ros.sources.bag import BagReader
from hand_pose_ros.types import DoubleArray, FloatArray, Frame, Scene

MODEL = "handformer2t_lite"
SAMPLE = Path(__file__).parents[2] / "sample" / "hand_sample.mcap"
RIGHT = exact_hand(Side.RIGHT, (0.09, 0.08, 0.6), 1)
LEFT = exact_hand(Side.LEFT, (-0.09, 0.08, 0.63), 2)
FAR_LEFT = exact_hand(Side.LEFT, (-0.27, 0.08, 0.63), 2)
COLOR = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
# Looks until sides are settled, the first of a found hand among them.
YOUNG = 9


class TruthfulLooks:
    """Sees the true hand of a side, when it is asked; what it says besides can be spoilt."""

    def __init__(self, hands: Mapping[Side, DoubleArray]) -> None:
        self.hands = hands
        self.asked: list[Side] = []
        self.expected: FloatArray | None = None
        self.side, self.known, self.std = 5.0, True, 1.0

    def look(self, frame: Frame, side: Side, joints: FloatArray, presence: float, timer: StageTimer) -> FollowedLook:
        self.asked.append(side)
        self.expected = joints
        true = self.hands[side]
        hand = SeenHand(
            side,
            presence,
            project(true, CAMERA),
            np.full(21, self.std),
            true[:, 2] - true[0, 2],
            np.full(21, 0.004 * self.std),
        )
        return FollowedLook(hand, self.side, self.known)


class Stage:
    """A pipeline whose whole network and looks know the truth."""

    def __init__(self, *sides: tuple[Side, DoubleArray], period: int = 1000, **options: float) -> None:
        usual = {"mesh": False, "depth_fit": False, "lifting.hand_length": 0.1853}
        config = replace(PipelineConfig(), {**usual, "tracking.whole_look_period": period, **options})
        self.network, self.looks = TruthfulNetwork(CAMERA, dict(sides)), TruthfulLooks(dict(sides))
        estimator = SceneEstimator(self.network, config, self.looks)
        self.pipeline = Pipeline(config, TruthfulFinder(self.network, config), estimator)
        self.stamp = 0

    def frame(self, depth: bool = True) -> tuple[Scene, int, int]:
        """The next frame's scene, and how often the whole network and the looks were asked for it."""
        self.stamp += 33_000_000
        whole, alone = self.network.engine.runs, len(self.looks.asked)
        image = painted_depth(*self.network.hands.values()) if depth else None
        scene = self.pipeline.process(Frame(self.stamp, "camera", CAMERA, COLOR, image))
        return scene, self.network.engine.runs - whole, len(self.looks.asked) - alone

    def settle(self) -> Stage:
        """Until the hands are followed by looks alone."""
        for _ in range(YOUNG):
            if self.frame()[1] == 0:
                return self
        raise AssertionError("the whole network still looks at every frame")


BOTH = ((Side.RIGHT, RIGHT), (Side.LEFT, LEFT))


def test_settled_hands_are_followed_by_looks_alone() -> None:
    stage = Stage(*BOTH)
    scene, whole, alone = stage.frame()
    assert (whole, alone) != (0, 2) and len(scene.hands) == 2  # sides are not settled yet
    numbers = {hand.side: hand.track_id for hand in scene.hands}
    stage.settle()
    for _ in range(20):
        scene, whole, alone = stage.frame()
        assert (whole, alone) == (0, 2)
    for hand in scene.hands:
        np.testing.assert_allclose(hand.joints, dict(BOTH)[hand.side], atol=3e-3)
        assert hand.track_id == numbers[hand.side] and hand.score > 0.9
    assert scene.dropped == {}


def test_looks_are_told_where_a_hand_that_moves_is_expected() -> None:
    stage = Stage((Side.RIGHT, RIGHT)).settle()
    step = np.array([0.004, 0.0, 0.0])
    for k in range(8):
        moved = {Side.RIGHT: RIGHT + (k + 1) * step}
        stage.network.hands = stage.looks.hands = moved
        scene, whole, _ = stage.frame()
        assert whole == 0
        np.testing.assert_allclose(scene.hands[0].joints, moved[Side.RIGHT], atol=4e-3)
    assert stage.looks.expected is not None
    np.testing.assert_allclose(stage.looks.expected, RIGHT + 8 * step, atol=4e-3)


def test_now_and_then_the_whole_network_looks() -> None:
    stage = Stage(*BOTH, period=4)
    for _ in range(YOUNG):
        stage.frame()
    runs = [stage.frame()[1] for _ in range(12)]
    assert sorted(runs) == [0] * 9 + [1] * 3
    assert len({k % 4 for k, count in enumerate(runs) if count}) == 1


def test_with_a_period_of_one_the_whole_network_looks_at_every_frame() -> None:
    stage = Stage(*BOTH, period=1)
    for _ in range(2 * YOUNG):
        stage.frame()
    assert stage.looks.asked == [] and stage.frame()[1] == 1


@pytest.mark.parametrize("spoilt", [{"side": 1.0}, {"known": False}, {"std": 60.0}, {"std": np.nan}])
def test_where_looks_do_not_see_clearly_the_whole_network_looks(spoilt: dict[str, float]) -> None:
    stage = Stage(*BOTH).settle()
    for name, value in spoilt.items():
        setattr(stage.looks, name, value)
    scene, whole, alone = stage.frame()
    assert (whole, alone) == (1, 1) and len(scene.hands) == 2 and scene.dropped == {}


def test_without_depth_the_whole_network_looks() -> None:
    stage = Stage(*BOTH).settle()
    scene, whole, alone = stage.frame(depth=False)
    assert (whole, alone) == (1, 0) and len(scene.hands) == 2


def test_a_hand_that_jumps_is_lost_and_waited_for() -> None:
    stage = Stage((Side.RIGHT, RIGHT), **{"tracking.max_center_jump": 0.02}).settle()
    stage.network.hands = stage.looks.hands = {Side.RIGHT: RIGHT + np.array([0.15, 0.0, 0.0])}
    scene, _, alone = stage.frame()
    assert alone == 1 and scene.dropped.get("center_jump") == 1
    assert stage.frame()[1] >= 1


def test_where_looks_see_a_hand_that_is_not_measured_the_whole_network_looks() -> None:
    stage = Stage((Side.RIGHT, RIGHT)).settle()
    stage.looks.hands = {Side.RIGHT: RIGHT + np.array([0.15, 0.0, 0.0])}
    scene, whole, alone = stage.frame()
    assert (whole, alone) == (1, 1)
    np.testing.assert_allclose(scene.hands[0].joints, RIGHT, atol=3e-3)


def test_hands_in_windows_of_their_own_are_looked_at_whole_in_turns() -> None:
    stage = Stage((Side.RIGHT, RIGHT), (Side.LEFT, FAR_LEFT), period=4)
    for _ in range(YOUNG):
        stage.frame()
    frames = [stage.frame() for _ in range(12)]
    assert max(whole for _, whole, _ in frames) == 1 and sum(whole for _, whole, _ in frames) >= 5
    assert all(whole + alone == 2 for _, whole, alone in frames)


def test_a_window_that_is_due_does_not_wait_for_ever() -> None:
    """Another window is looked at whole in every frame."""
    stage = Stage((Side.RIGHT, RIGHT), (Side.LEFT, FAR_LEFT), period=4)
    for _ in range(YOUNG):
        stage.frame()
    runs = []
    for _ in range(20):
        stage.pipeline._tracker.tracks[0].side_evidence = 1.0
        runs.append(stage.frame()[1])
    assert set(runs) == {1, 2} and runs.count(2) >= 2


def test_a_hand_that_is_not_settled_is_looked_at_whole_and_the_other_by_its_looks_alone() -> None:
    stage = Stage((Side.RIGHT, RIGHT), (Side.LEFT, FAR_LEFT)).settle()
    stage.pipeline._tracker.tracks[0].side_evidence = 1.0
    _, whole, alone = stage.frame()
    assert (whole, alone) == (1, 1)


def test_hands_are_forgotten_with_what_was_settled() -> None:
    stage = Stage(*BOTH).settle()
    stage.pipeline.reset()
    _, whole, alone = stage.frame()
    assert whole >= 1 and alone == 0


def shipped(folder: Path) -> Path:
    """A copy of the shipped model and its looks."""
    model = find_model(MODEL)
    for path in (model, followed_path(model)):
        shutil.copy(path, folder)
    return folder / model.name


def changed(path: Path, **metadata: str) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(path), load_external_data=False)
    told = {item.key: item.value for item in model.metadata_props}
    onnx.helper.set_model_props(model, {**told, **metadata})
    path.write_bytes(model.SerializeToString())


def test_the_shipped_looks_belong_to_the_shipped_model() -> None:
    model = find_model(MODEL)
    engine = OnnxRuntimeEngine(model, 1)
    looks = open_followed(model, engine)
    assert looks is not None and looks.engine.metadata["made_for"] == sha256(model)
    assert followed_path(model).stat().st_size < 1e5
    assert MODEL in known_models() and not any("followed" in name for name in known_models())


def test_a_model_without_looks_and_another_engine_have_none(tmp_path: Path) -> None:
    model = shipped(tmp_path)
    assert open_followed(model, BlankEngine()) is None
    followed_path(model).unlink()
    assert open_followed(model, OnnxRuntimeEngine(model, 1)) is None


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"made_for": "0" * 64}, "weights learnt on handformer2t_lite.onnx as it is"),
        ({"followed_version": "9"}, "version 1, got 9"),
        ({"followed_version": "new"}, "expected a number"),
        ({"weights_in": "other.onnx"}, "expected other.onnx in its folder"),
    ],
)
def test_looks_of_another_model_or_version_are_refused(metadata: dict[str, str], says: str, tmp_path: Path) -> None:
    model = shipped(tmp_path)
    changed(followed_path(model), **metadata)
    with pytest.raises(EngineError, match=says):
        open_followed(model, OnnxRuntimeEngine(model, 1))


def test_looks_of_a_model_of_another_name_or_folder_are_refused(tmp_path: Path) -> None:
    model = shipped(tmp_path)
    named = model.rename(tmp_path / "mine.onnx")
    followed_path(model).rename(followed_path(named))
    with pytest.raises(EngineError, match="under their own names"):
        open_followed(named, OnnxRuntimeEngine(named, 1))
    (tmp_path / "linked").mkdir()
    linked = tmp_path / "linked" / model.name
    linked.symlink_to(named)
    shutil.copy(followed_path(named), followed_path(linked))
    with pytest.raises(EngineError, match="into one folder"):
        open_followed(linked, OnnxRuntimeEngine(linked, 1))


def test_both_files_may_be_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    model = shipped(tmp_path / "real")
    for path in (model, followed_path(model)):
        (tmp_path / path.name).symlink_to(path)
    linked = tmp_path / model.name
    assert open_followed(linked, OnnxRuntimeEngine(linked, 1)) is not None


def test_looks_that_are_no_model_are_refused(tmp_path: Path) -> None:
    model = shipped(tmp_path)
    followed_path(model).write_bytes(b"nothing")
    with pytest.raises(EngineError, match="no ONNX file"):
        open_followed(model, OnnxRuntimeEngine(model, 1))


def test_looks_that_differ_from_their_card_are_refused(tmp_path: Path) -> None:
    model = shipped(tmp_path)
    followed_path(model).with_suffix(".md").write_text("- sha256: " + "0" * 64)
    with pytest.raises(EngineError, match="sha256"):
        open_followed(model, OnnxRuntimeEngine(model, 1))


class Counting:
    """An engine that counts its runs."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.runs = engine, 0

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        self.runs += 1
        return self.engine.run(inputs)


def test_a_recording_with_and_without_looks_alone() -> None:
    """The shipped model on the sample: the same hands as near the truth, and the whole network looks seldom."""
    found, errors, runs = [], [], []
    for period in (1, 8):
        config = replace(PipelineConfig(), {"model": MODEL, "threads": 1, "tracking.whole_look_period": period})
        estimator = open_pose_model(config)
        assert isinstance(estimator, SceneEstimator)
        whole = Counting(estimator.engine)
        estimator.engine = whole  # type: ignore[assignment]
        pipeline, pairs = Pipeline(config, estimator=estimator), []
        with BagReader(SAMPLE) as bag:
            truths = bag.truths
            for frame in bag:
                hands = {hand.side: hand.joints for hand in pipeline.process(frame).hands}
                true = {hand.side: hand.joints for hand in truths[frame.stamp_ns].hands}
                pairs += [(hands[side].astype(np.float64), true[side]) for side in hands.keys() & true.keys()]
        found.append(len(pairs))
        errors.append(mean_error(pose_errors(*map(np.array, zip(*pairs, strict=True))).absolute))
        runs.append(whole.runs)
    assert found[1] >= found[0] - 3 and found[0] > 120
    assert errors[1] < 1.1 * errors[0]
    assert runs[1] < 0.6 * runs[0]
