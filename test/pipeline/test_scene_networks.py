from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_scene_network import BlankEngine
from handformer2t_toys import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from hand_pose_ros.config import PipelineConfig  # noqa: E402
from hand_pose_ros.engines.base import EngineError, TensorSpec  # noqa: E402
from hand_pose_ros.geometry.scene_crop import Window  # noqa: E402
from hand_pose_ros.hand_model.model import HandModel  # noqa: E402
from hand_pose_ros.networks.handformer2t import Handformer2T  # noqa: E402
from hand_pose_ros.networks.handformer2t.export import export_onnx as export_handformer  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.config import KeypointTransformerConfig, PeakSettings  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.export import export_onnx as export_transformer  # noqa: E402
from hand_pose_ros.options import replace  # noqa: E402
from hand_pose_ros.pipeline.estimator import KeypointFusionEstimator  # noqa: E402
from hand_pose_ros.pipeline.handformer2t import Handformer2TNetwork  # noqa: E402
from hand_pose_ros.pipeline.keypoint_transformer import KeypointTransformerNetwork  # noqa: E402
from hand_pose_ros.pipeline.models import open_pose_model  # noqa: E402
from hand_pose_ros.pipeline.pipeline import Pipeline  # noqa: E402
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator  # noqa: E402
from hand_pose_ros.pipeline.timing import StageTimer  # noqa: E402
from hand_pose_ros.skeleton import NUM_JOINTS, Side  # noqa: E402
from hand_pose_ros.types import Frame, Intrinsics  # noqa: E402

CAMERA = Intrinsics(600.0, 600.0, 319.5, 239.5, 640, 480)
WINDOW = Window(300.0, 200.0, 128.0)
FLOAT = np.dtype(np.float32)
COLOR = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)


class SpecifiedEngine(BlankEngine):
    """An engine with these outputs, all float32."""

    def __init__(self, outputs: Mapping[str, tuple[int, ...]], size: int = 256, **metadata: str) -> None:
        super().__init__()
        self.inputs = (TensorSpec("rgb", (1, size, size, 3), np.dtype(np.uint8)),)
        self.outputs = tuple(TensorSpec(name, shape, FLOAT) for name, shape in outputs.items())
        self.metadata = metadata


HANDFORMER = {
    "uv": (1, 2, 21, 2),
    "depth": (1, 2, 21),
    "uv_std": (1, 2, 21),
    "depth_std": (1, 2, 21),
    "presence": (1, 2),
    "wrist_depth": (1,),
}
COMMON = {
    "hand_translation": (1, 3),
    "presence": (1, 2),
    "keypoint_uv": (1, 5, 2),
    "keypoint_score": (1, 5),
    "identity": (1, 5, 44),
    "attention": (1, 43, 5),
}
PLACES = {"uv": (1, 2, 21, 2), "depth": (1, 2, 21)}
ANGLES = {"pose": (1, 2, 16, 3), "shape": (1, 10), "camera": (1, 3)}
OBJECT = {"object_rotation": (1, 3, 3), "object_translation": (1, 3), "object_presence": (1,)}


def _values(outputs: Mapping[str, tuple[int, ...]], **given: Any) -> dict[str, Any]:
    values = {name: np.zeros(shape, dtype=np.float32) for name, shape in outputs.items()}
    for name, value in given.items():
        values[name] = np.asarray(value, dtype=np.float32).reshape(outputs[name])
    return values


def test_handformer_in_pixels_of_the_image() -> None:
    network = Handformer2TNetwork(SpecifiedEngine(HANDFORMER, wrist_depth_std="0.02"))
    uv = np.full((1, 2, 21, 2), 127.5)
    uv[0, 1] = -0.5
    given = {"uv": uv, "uv_std": np.full(42, 4.0), "depth_std": np.full(42, 0.01), "presence": [0.9, 0.8]}
    seen = network.read(_values(HANDFORMER, wrist_depth=[0.1], **given), WINDOW)
    right, left = seen.hands
    assert (right.side, left.side, right.presence, left.presence) == (Side.RIGHT, Side.LEFT, *np.float32([0.9, 0.8]))
    np.testing.assert_allclose(right.uv, np.tile([300.0, 200.0], (21, 1)))
    np.testing.assert_allclose(left.uv, np.tile([236.0, 136.0], (21, 1)))
    np.testing.assert_allclose(right.uv_std, 2.0)
    np.testing.assert_allclose(seen.offset[2], 0.1, atol=1e-7)
    assert list(seen.offset_std) == [np.inf, np.inf, 0.02] and seen.held is None and right.shape is None


@pytest.mark.parametrize(("level", "presence", "score"), [("0.5", 0.3, 0.3), ("0.25", 0.25, 0.5), ("0.25", 1.0, 1.0)])
def test_a_score_of_one_half_is_where_the_file_says(level: str, presence: float, score: float) -> None:
    network = Handformer2TNetwork(SpecifiedEngine(HANDFORMER, presence_level=level))
    seen = network.read(_values(HANDFORMER, presence=[presence, 0.0]), WINDOW)
    assert [hand.presence for hand in seen.hands] == pytest.approx([score, 0.0])


@pytest.mark.parametrize(
    ("presence", "told", "side_scores"),
    [
        ((0.9, 0.8), (0.9, 0.8), (1.0, 1.0)),
        ((0.45, 0.43), (0.88, 0.43), (0.45 / 0.88, 1.0)),
        ((0.2, 0.7), (0.2, 0.9), (1.0, 0.7 / 0.9)),
        ((0.9, 0.3), (1.0, 0.3), (0.75, 1.0)),
        ((0.1, 0.05), (0.15, 0.05), (2 / 3, 1.0)),
        ((0.0, 0.0), (0.0, 0.0), (1.0, 1.0)),
    ],
)
def test_a_single_hand_has_all_the_presence_that_is_told_of_it(
    presence: tuple[float, float], told: tuple[float, float], side_scores: tuple[float, float]
) -> None:
    """Of a hand that may be a right or a left one both halves say that it is there."""
    network = Handformer2TNetwork(SpecifiedEngine(HANDFORMER))
    hands = network.read(_values(HANDFORMER, presence=list(presence)), WINDOW).hands
    assert [hand.presence for hand in hands] == pytest.approx(told)
    assert [hand.side_score for hand in hands] == pytest.approx(side_scores)


@pytest.mark.parametrize("presence", [(np.nan, 0.9), (0.9, np.nan), (np.nan, 0.3), (0.3, np.nan), (np.inf, 0.3)])
def test_a_presence_that_is_no_number_stays_none(presence: tuple[float, float]) -> None:
    network = Handformer2TNetwork(SpecifiedEngine(HANDFORMER))
    hands = network.read(_values(HANDFORMER, presence=list(presence)), WINDOW).hands
    assert [hand.finite for hand in hands] == [np.isfinite(value) for value in presence]
    np.testing.assert_allclose([hand.presence for hand in hands], presence, rtol=1e-6)


def test_handformer_without_relative_depth_says_nothing_of_it() -> None:
    outputs = {name: shape for name, shape in HANDFORMER.items() if name != "wrist_depth"}
    seen = Handformer2TNetwork(SpecifiedEngine(outputs)).read(_values(outputs), WINDOW)
    assert np.isinf(seen.offset_std).all()


@pytest.mark.parametrize(
    ("network", "outputs", "missing"),
    [
        (Handformer2TNetwork, HANDFORMER, "presence"),
        (Handformer2TNetwork, HANDFORMER, "depth_std"),
        (KeypointTransformerNetwork, {**COMMON, **PLACES}, "uv"),
        (KeypointTransformerNetwork, {**COMMON, **PLACES}, "hand_translation"),
        (KeypointTransformerNetwork, {**COMMON, **ANGLES}, "camera"),
        (KeypointTransformerNetwork, {**COMMON, **PLACES, **OBJECT}, "object_presence"),
    ],
)
def test_a_network_without_what_is_needed_is_refused(network: Any, outputs: Any, missing: str) -> None:
    network(SpecifiedEngine(outputs))
    engine = SpecifiedEngine({name: shape for name, shape in outputs.items() if name != missing})
    with pytest.raises(EngineError, match=f"expected output {missing} .*export it anew"):
        network(engine)


def test_joints_lie_where_their_keypoints_are() -> None:
    outputs = {**COMMON, **PLACES, "joints": (1, 2, 21, 3)}
    network = KeypointTransformerNetwork(SpecifiedEngine(outputs))
    uv = np.full((1, 2, 21, 2), 100.0)
    identity = np.zeros((5, 44))
    keypoints = np.array([[104.0, 97.0], [90.0, 100.0], [200.0, 200.0], [101.0, 101.0], [99.0, 99.0]])
    identity[0, 1 + 8], identity[1, 1 + 8] = 0.9, 0.6  # two peaks for the right index tip: the surer one
    identity[2, 1 + 12] = 0.9  # far away
    identity[3, 1 + 16] = 0.4  # unsure
    identity[4, 1 + 21 + 4] = 0.9  # an unused slot
    values = _values(outputs, uv=uv, identity=identity, keypoint_uv=keypoints, keypoint_score=[1.0, 0.5, 0.8, 0.9, 0.0])
    right, left = network.read(values, Window(127.5, 127.5, 256.0)).hands
    np.testing.assert_allclose(right.uv[8], [104.0, 97.0])
    np.testing.assert_allclose(np.delete(right.uv, 8, axis=0), 100.0)
    np.testing.assert_allclose(left.uv, 100.0)
    assert right.uv_std[8] < right.uv_std[7] and right.shape is not None


def test_read_off_places_are_left_alone() -> None:
    outputs = {**COMMON, **PLACES}
    engine = SpecifiedEngine(
        outputs,
        uv_std="3.0",
        crop_around_object="true",
        depth_std="0.02",
        hand_translation_std="0.05",
        crop_margin="1.4",
    )
    network = KeypointTransformerNetwork(engine)
    seen = network.read(_values(outputs, uv=np.full(84, 127.5), hand_translation=[-0.2, 0, 0.1]), WINDOW)
    np.testing.assert_allclose(seen.hands[1].uv, np.tile([300.0, 200.0], (21, 1)))
    np.testing.assert_allclose(seen.hands[1].uv_std, 1.5)
    np.testing.assert_allclose(seen.hands[1].depth_std, 0.02)
    np.testing.assert_allclose(seen.offset, [-0.2, 0, 0.1], atol=1e-6)
    np.testing.assert_allclose(seen.offset_std, 0.05)
    assert network.margin == 1.4


@given(st.integers(0, 100))
@settings(max_examples=15)
def test_angles_become_joints_of_the_hand_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs = {**COMMON, **ANGLES}
    network = KeypointTransformerNetwork(SpecifiedEngine(outputs))
    pose, shape = rng.normal(0, 0.3, (2, 16, 3)).astype(np.float32), rng.normal(0, 1, 10).astype(np.float32)
    values = _values(outputs, pose=pose, shape=shape, camera=[500.0, 120.0, 130.0], hand_translation=[-0.1, 0.02, 0.05])
    hands = network.read(values, Window(127.5, 127.5, 256.0)).hands
    for hand, own, shift in zip(hands, pose, ([0.0, 0.0], [-0.1, 0.02]), strict=True):
        model = HandModel.bundled(hand.side)
        joints = model.forward(own[0], own[1:].reshape(45), shape, np.zeros(3, np.float32)).joints
        assert hand.shape is not None
        np.testing.assert_allclose(hand.shape, joints - joints[0], atol=1e-6)
        np.testing.assert_allclose(hand.depth, hand.shape[:, 2])
        np.testing.assert_allclose(hand.uv, (hand.shape[:, :2] + shift) * 500 + [120, 130], atol=1e-3)
    assert not network.read({**values, "pose": np.full((1, 2, 16, 3), np.nan, np.float32)}, WINDOW).hands[0].finite


def test_the_object_is_read() -> None:
    outputs = {**COMMON, **PLACES, **OBJECT}
    network = KeypointTransformerNetwork(SpecifiedEngine(outputs))
    values = _values(outputs, object_rotation=np.eye(3), object_translation=[0.1, 0, 0.05], object_presence=[0.75])
    held = network.read(values, WINDOW).held
    assert network.has_object and held is not None and held.finite and held.presence == 0.75
    np.testing.assert_allclose(held.translation, [0.1, 0, 0.05], atol=1e-7)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small untrained networks of both kinds as files."""
    folder = tmp_path_factory.mktemp("scene_networks")
    torch.manual_seed(0)
    export_handformer(Handformer2T(tiny(presence=True, relative_depth=True)), folder / "handformer2t.onnx", {})
    config = KeypointTransformerConfig(self_layers=1, objects=True, crop=64, peaks=PeakSettings(rounds=1))
    export_transformer(KeypointTransformer(config), folder / "keypoint_transformer.onnx", {})
    return folder


@pytest.mark.parametrize("name", ["handformer2t", "keypoint_transformer"])
def test_a_models_file_says_how_it_is_run(exported: Path, name: str) -> None:
    values = {"model": str(exported / f"{name}.onnx"), "tracking.min_score": 0.0, "threads": 1}
    estimator = open_pose_model(replace(PipelineConfig(), values))
    assert isinstance(estimator, SceneEstimator) and estimator.network.margin == 1.25
    assert estimator.network.has_object is (name == "keypoint_transformer")
    dropped: Counter[str] = Counter()
    look = estimator.look(Frame(0, "camera", CAMERA, COLOR), WINDOW, StageTimer(), dropped)
    # Untrained: whatever it says is a hand, or is counted.
    assert len(look.hands) + dropped.total() == 2
    for hand in look.hands:
        assert hand.joints.shape == (NUM_JOINTS, 3) and (hand.joint_std > 0).all()


@pytest.mark.parametrize("name", ["handformer2t", "keypoint_transformer"])
def test_the_same_frame_gives_the_same_scene(exported: Path, name: str) -> None:
    values = {"model": str(exported / f"{name}.onnx"), "tracking.min_score": 0.0, "threads": 1, "mesh": False}
    scenes = []
    for _ in range(2):
        pipeline = Pipeline(replace(PipelineConfig(), values))
        scenes.append([pipeline.process(Frame(k * 33_000_000, "camera", CAMERA, COLOR)) for k in range(3)])
        assert pipeline.describe()["model.model"] == name
    for a, b in zip(*scenes, strict=True):
        assert a.dropped == b.dropped and len(a.hands) == len(b.hands)
        for one, other in zip(a.hands, b.hands, strict=True):
            np.testing.assert_array_equal(one.joints, other.joints)


def test_other_models_are_one_hands(toy_folder: Path) -> None:
    config = replace(PipelineConfig(), {"model": str(toy_folder / "hand.onnx")})
    assert isinstance(open_pose_model(config), KeypointFusionEstimator)


@pytest.mark.parametrize("depth", [True, False])
def test_a_network_that_reads_depth_is_shown_it(tmp_path: Path, depth: bool) -> None:
    """In the pipeline as it is exported; a camera of colour alone gives an empty relief."""
    torch.manual_seed(0)
    network = Handformer2T(tiny(presence=True, relative_depth=True, depth=True)).eval()
    path = export_handformer(network, tmp_path / "hands.onnx", {})
    opened = open_pose_model(replace(PipelineConfig(), {"model": str(path)}))
    assert isinstance(opened, SceneEstimator)
    shown: list[np.ndarray] = []
    run = opened.engine.run

    def watched(inputs: Mapping[str, Any]) -> dict[str, Any]:
        shown.append(inputs["relief"].copy())
        return run(inputs)

    opened.engine.run = watched  # type: ignore[method-assign]
    metres = np.random.default_rng(1).uniform(0.4, 0.9, (480, 640)).astype(np.float32) if depth else None
    opened.look(Frame(0, "camera", CAMERA, COLOR, metres), WINDOW, StageTimer(), Counter())
    assert len(shown) == 1 and bool(shown[0].any()) is depth
