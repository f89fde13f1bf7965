from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from exact_hands import CAMERA, exact_hand, painted_depth
from fake_scene_network import TruthfulFinder, TruthfulNetwork

from hand_pose_ros.config import PipelineConfig
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.options import ConfigError, replace
from hand_pose_ros.pipeline.estimator import NetworkHand
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.pipeline.scene_estimator import SceneEstimator
from hand_pose_ros.pipeline.trust import Trust
from hand_pose_ros.skeleton import Side
from hand_pose_ros.types import DoubleArray, Frame, TrackingState

RIGHT = exact_hand(Side.RIGHT, (0.09, 0.08, 0.6), 1)
LEFT = exact_hand(Side.LEFT, (-0.09, 0.08, 0.63), 2)
FAR_LEFT = exact_hand(Side.LEFT, (-0.27, 0.08, 0.63), 2)
COLOR = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)


class Stage:
    """A pipeline with a network that knows the truth."""

    def __init__(self, hands: dict[Side, DoubleArray], network: dict[str, Any], options: dict[str, Any]) -> None:
        self.config = replace(
            PipelineConfig(), {"mesh": False, "depth_fit": False, "lifting.hand_length": 0.1853, **options}
        )
        self.network = TruthfulNetwork(CAMERA, hands, **network)
        self.finder = TruthfulFinder(self.network, self.config)
        self.pipeline = Pipeline(self.config, self.finder, SceneEstimator(self.network, self.config))
        self.stamp = 0

    def distrust(self, trust: Trust) -> None:
        """Ask this before a hand is followed."""
        estimator = SceneEstimator(self.network, self.config)
        self.pipeline = Pipeline(self.config, self.finder, estimator, trust)

    def frame(self, depth: bool = True, color: bool = True) -> Any:
        """The scene of the next frame, 33 ms later."""
        self.stamp += 33_000_000
        image = painted_depth(*self.network.hands.values()) if depth else None
        return self.pipeline.process(Frame(self.stamp, "camera", CAMERA, COLOR if color else None, image))


@pytest.fixture
def stage() -> Callable[..., Stage]:
    def make(*hands: tuple[Side, DoubleArray], network: dict[str, Any] | None = None, **options: Any) -> Stage:
        named = {name.replace("__", "."): value for name, value in options.items()}
        return Stage(dict(hands), network or {}, named)

    return make


BOTH = ((Side.RIGHT, RIGHT), (Side.LEFT, LEFT))
MakeStage = Callable[..., Stage]


@pytest.mark.parametrize("shaped", [False, True])
def test_both_hands_in_metres(stage: MakeStage, shaped: bool) -> None:
    scene = stage(*BOTH, network={"shaped": shaped}).frame()
    found = {hand.side: hand for hand in scene.hands}
    for side, joints in BOTH:
        np.testing.assert_allclose(found[side].joints, joints, atol=3e-3)
        assert found[side].state is TrackingState.DETECTED and found[side].score > 0.9
        assert (found[side].joint_std < 0.01).all() and found[side].joint_valid.all()
        np.testing.assert_array_equal(found[side].wrist.position, found[side].joints[0])


@pytest.mark.parametrize("shaped", [False, True])
def test_without_depth_the_hands_size_tells_the_distance(stage: MakeStage, shaped: bool) -> None:
    scene = stage(*BOTH, network={"shaped": shaped}).frame(depth=False)
    assert len(scene.hands) == 2 and scene.dropped == {}
    for hand in scene.hands:
        truth = dict(BOTH)[hand.side]
        # The hand is the mean hand but for the palm's bend: a few percent of the distance.
        assert hand.joints[0, 2] == pytest.approx(truth[0, 2], rel=0.04)
        assert abs(hand.joints[0, 2] - truth[0, 2]) < 3 * hand.joint_std[0]
        shape, wanted = hand.joints - hand.joints[0], truth - truth[0]
        np.testing.assert_allclose(shape, wanted, atol=0.01)


def test_hands_near_each_other_share_a_window_and_one_run(stage: MakeStage) -> None:
    part = stage(*BOTH)
    part.frame()
    runs = part.network.engine.runs
    scene = part.frame()
    assert part.network.engine.runs == runs + 1 and len(scene.hands) == 2
    assert {hand.state for hand in scene.hands} == {TrackingState.TRACKED}
    assert part.network.windows[-1].share_inside(np.array([[320.0, 240.0]])) == 1.0


def test_hands_far_from_each_other_have_a_window_each(stage: MakeStage) -> None:
    part = stage((Side.RIGHT, RIGHT), (Side.LEFT, FAR_LEFT))
    part.frame()
    runs = part.network.engine.runs
    scene = part.frame()
    assert part.network.engine.runs == runs + 2 and len(scene.hands) == 2


def test_the_window_is_cut_out_of_the_colour_image(stage: MakeStage) -> None:
    part = stage((Side.RIGHT, RIGHT))
    part.frame()
    window, crop = part.network.windows[-1], part.network.engine.seen[-1][0]
    expected = np.zeros((64, 64, 3), dtype=np.uint8)
    window.cut(COLOR, expected)
    np.testing.assert_array_equal(crop, expected)
    assert crop.any()


def test_hands_keep_their_numbers_while_they_move_and_lose_depth(stage: MakeStage) -> None:
    part = stage(*BOTH)
    numbers: dict[Side, set[int]] = {side: set() for side in Side}
    for k in range(12):
        part.network.hands = {side: joints + np.array([0.004, -0.002, 0.003]) * k for side, joints in BOTH}
        scene = part.frame(depth=k % 3 != 2)
        for hand in scene.hands:
            numbers[hand.side].add(hand.track_id)
    assert all(len(ids) == 1 for ids in numbers.values()) and numbers[Side.LEFT] != numbers[Side.RIGHT]
    assert part.finder.calls == 1


def test_the_finder_is_asked_only_while_hands_are_missing(stage: MakeStage) -> None:
    part = stage((Side.RIGHT, RIGHT), finder__period=4)
    seen = []
    for _ in range(5):
        part.frame()
        seen.append(part.finder.calls)
    assert seen == [1, 1, 1, 1, 2]
    part.network.hands = {Side.RIGHT: RIGHT, Side.LEFT: FAR_LEFT}
    assert [len(part.frame().hands) for _ in range(4)] == [1, 1, 1, 2]


def test_a_hand_that_joins_in_the_window_needs_no_finder(stage: MakeStage) -> None:
    # A long way to the next search; the newcomer stands in the window of the hand that is followed.
    part = stage((Side.RIGHT, RIGHT), finder__period=1000)
    part.frame()
    part.network.hands = {Side.RIGHT: RIGHT, Side.LEFT: exact_hand(Side.LEFT, (0.06, 0.09, 0.66), 2)}
    scene = part.frame()
    assert {hand.side for hand in scene.hands} == set(Side) and part.finder.calls == 1


def test_a_hand_that_leaves_is_absent_at_once_and_looked_for(stage: MakeStage) -> None:
    part = stage(*BOTH)
    part.frame()
    part.network.hands = {Side.LEFT: LEFT}
    scene = part.frame()
    assert [hand.side for hand in scene.hands] == [Side.LEFT] and scene.dropped == {"low_score": 1}
    assert part.finder.calls == 2


def test_a_hand_whose_side_changes_keeps_its_number(stage: MakeStage) -> None:
    part = stage((Side.RIGHT, RIGHT))
    (first,) = part.frame().hands
    part.network.hands = {Side.LEFT: RIGHT}
    (hand,) = part.frame().hands
    assert (hand.side, hand.track_id) == (Side.LEFT, first.track_id)


def test_one_look_does_not_outvote_many(stage: MakeStage) -> None:
    """Both hands seen the other way round for a frame stay on their sides, for good they change them, and together."""
    part = stage(*BOTH)
    numbers = {hand.side: hand.track_id for hand in [part.frame() for _ in range(10)][-1].hands}
    part.network.hands = {Side.RIGHT: LEFT, Side.LEFT: RIGHT}
    changed = []
    for _ in range(12):
        hands = part.frame().hands
        now = {hand.side: hand.track_id for hand in hands}
        assert len(now) == 2 and set(now.values()) == set(numbers.values())
        changed.append(now != numbers)
    assert changed == sorted(changed) and not changed[0] and changed[-1], "once, not at once"


def test_broken_numbers_drop_that_hand_and_count_it(stage: MakeStage) -> None:
    part = stage(*BOTH, network={"spoil": {Side.LEFT: float("nan")}})
    scene = part.frame()
    assert [hand.side for hand in scene.hands] == [Side.RIGHT] and scene.dropped["non_finite"] >= 1
    assert part.pipeline.counts["non_finite"] >= 1


def test_without_colour_nothing_is_seen_and_hands_come_back(stage: MakeStage) -> None:
    part = stage((Side.RIGHT, RIGHT))
    (first,) = part.frame().hands
    blind = part.frame(color=False)
    assert blind.hands == () and blind.dropped == {"no_color": 1}
    assert part.frame().hands[0].track_id == first.track_id


@pytest.mark.parametrize(
    ("options", "sides"),
    [
        ({"sides": "right"}, {Side.RIGHT}),
        ({"sides": "left"}, {Side.LEFT}),
        ({"max_hands": 1}, {Side.RIGHT}),
        ({"tracking__min_score": 0.99}, set()),
    ],
)
def test_limits(stage: MakeStage, options: dict[str, Any], sides: set[Side]) -> None:
    part = stage(*BOTH, **options)
    for _ in range(3):
        assert {hand.side for hand in part.frame().hands} == sides


def test_options_change_while_running(stage: MakeStage) -> None:
    part = stage(*BOTH)
    assert len(part.frame().hands) == 2
    part.pipeline.reconfigure(replace(part.pipeline.config, {"sides": "left", "lifting.skin_depth": 0.0}))
    (hand,) = part.frame().hands
    assert hand.side is Side.LEFT and hand.joints[0, 2] == pytest.approx(LEFT[0, 2] - 0.01, abs=3e-3)


def test_without_tracking_every_frame_is_a_detection(stage: MakeStage) -> None:
    part = stage(*BOTH, tracking__enabled=False)
    for _ in range(2):
        assert {hand.state for hand in part.frame().hands} == {TrackingState.DETECTED}


def test_meshes_fit_these_hands_too(stage: MakeStage) -> None:
    for hand in stage(*BOTH, mesh=True).frame().hands:
        assert hand.vertices is not None and hand.mano is not None
        assert np.linalg.norm(hand.vertices.mean(axis=0) - hand.joints.mean(axis=0)) < 0.03


BOX = {"object__name": "box", "object__size_x": 0.05, "object__size_y": 0.06, "object__size_z": 0.2}
TURN = np.diag([-1.0, -1.0, 1.0])
PLACE = np.array([0.0, 0.02, 0.62])


@pytest.mark.parametrize("hands", [BOTH, BOTH[:1], BOTH[1:]])
def test_an_object_hangs_on_the_hand_that_is_seen(stage: MakeStage, hands: tuple[Any, ...]) -> None:
    part = stage(*hands, network={"held": (np.eye(3), PLACE)}, **BOX)
    scene = part.frame()
    (thing,) = scene.objects
    assert thing.name == "box" and thing.score == pytest.approx(0.9)
    np.testing.assert_allclose(thing.translation, PLACE, atol=4e-3)
    np.testing.assert_allclose(thing.extent, [0.05, 0.06, 0.2])


def test_a_window_holds_the_object_where_training_did(stage: MakeStage) -> None:
    above = np.array([0.09, -0.3, 0.6])
    sides = []
    for around in (False, True):
        part = stage(*BOTH[:1], network={"held": (np.eye(3), above), "around_object": around}, **BOX)
        part.frame()
        part.frame()
        sides.append(part.network.windows[-1].share_inside(project(above[None], CAMERA)))
    assert sides == [0.0, 1.0]


def test_of_poses_that_look_alike_the_last_one_is_kept_to(stage: MakeStage) -> None:
    part = stage(*BOTH, network={"held": (np.eye(3), PLACE)}, object__symmetry="z2", **BOX)
    part.frame()
    part.network.held = (TURN, PLACE)
    np.testing.assert_allclose(part.frame().objects[0].rotation, np.eye(3), atol=1e-6)
    plain = stage(*BOTH, network={"held": (np.eye(3), PLACE)}, **BOX)
    plain.frame()
    plain.network.held = (TURN, PLACE)
    np.testing.assert_allclose(plain.frame().objects[0].rotation, TURN, atol=1e-6)


def test_no_object_without_a_name_or_a_hand(stage: MakeStage) -> None:
    assert stage(*BOTH, network={"held": (np.eye(3), PLACE)}).frame().objects == ()
    part = stage(*BOTH, network={"held": (np.eye(3), PLACE)}, **BOX)
    part.frame()
    part.network.hands = {Side.RIGHT: RIGHT - (5.0, 0, 0)}
    assert part.frame().objects == ()


def test_an_object_that_cannot_be_is_refused_at_start(stage: MakeStage) -> None:
    with pytest.raises(ConfigError, match="gives no object's pose"):
        stage(*BOTH, **BOX)
    with pytest.raises(ConfigError, match="size_x, size_y and size_z above 0"):
        stage(*BOTH, network={"held": (np.eye(3), PLACE)}, object__name="box")


@pytest.mark.parametrize("shaped", [False, True])
def test_a_hands_own_size_is_learnt_while_there_is_depth(stage: MakeStage, shaped: bool) -> None:
    # A child's hand: nine tenths of the assumed length.
    small = [(side, (joints - joints[0]) * 0.9 + joints[0]) for side, joints in BOTH]
    part = stage(*small, network={"shaped": shaped, "larger": 1 / 0.9})
    blind = {hand.side: hand for hand in part.frame(depth=False).hands}
    assert all(blind[side].joints[0, 2] > joints[0, 2] * 1.06 for side, joints in small)
    part.pipeline.reset()
    for _ in range(5):
        part.frame()
    told = {hand.side: hand for hand in part.frame(depth=False).hands}
    for side, joints in small:
        assert told[side].joints[0, 2] == pytest.approx(joints[0, 2], rel=0.01)
        assert told[side].joint_std[0] < blind[side].joint_std[0]
        np.testing.assert_allclose(told[side].joints, joints, atol=0.008)
    part.pipeline.reset()
    assert all(hand.joints[0, 2] > 1.06 * dict(small)[hand.side][0, 2] for hand in part.frame(depth=False).hands)


def test_hands_beyond_the_limits_are_not_given(stage: MakeStage) -> None:
    far = stage((Side.RIGHT, RIGHT + np.array([0, 0, 3.0]))).frame(depth=False)
    assert far.hands == () and far.dropped["out_of_range"] == 1


def test_a_hand_that_turns_out_to_be_nearer_keeps_its_number(stage: MakeStage) -> None:
    small = (RIGHT - RIGHT[0]) * 0.8 + RIGHT[0] + np.array([0.0, 0.0, 0.4])
    part = stage((Side.RIGHT, small))
    (first,) = part.frame(depth=False).hands
    (then,) = part.frame().hands
    assert first.joints[0, 2] - then.joints[0, 2] > 0.15 and first.track_id == then.track_id


def test_a_hand_that_is_hardly_one_is_not_taken_where_there_is_depth(stage: MakeStage) -> None:
    """What the trust says of each new hand decides; without depth every hand is unsure, and none is asked about."""
    part = stage(*BOTH)
    asked: list[tuple[float | None, Side, float]] = []

    def trust(found: float | None, hand: NetworkHand, evidence: float) -> float:
        asked.append((found, hand.side, evidence))
        return 0.9 if hand.side is Side.RIGHT else 0.1

    part.distrust(trust)
    scene = part.frame()
    assert [hand.side for hand in scene.hands] == [Side.RIGHT] and scene.dropped == {"doubtful": 1}
    assert {side for _, side, _ in asked} == set(Side)
    assert all(found == 0.9 and evidence > 6 for found, _, evidence in asked)
    assert len(part.frame(depth=False).hands) == 2


def test_the_window_keeps_the_place_of_a_doubted_hand(stage: MakeStage) -> None:
    """It is looked at with the followed hand, at no further cost, and taken as soon as it is believed."""
    part = stage(*BOTH)
    doubted = 2

    def trust(found: float | None, hand: NetworkHand, evidence: float) -> float:
        return 0.9 if hand.side is Side.RIGHT or doubted <= 0 else 0.1

    part.distrust(trust)
    part.frame()
    calls = part.finder.calls
    for _ in range(2):
        doubted -= 1
        runs = part.network.engine.runs
        scene = part.frame()
        assert part.network.engine.runs == runs + 1
        assert part.network.windows[-1].share_inside(project(LEFT, CAMERA)) == 1.0
    assert len(scene.hands) == 2 and part.finder.calls == calls


def test_a_missed_place_is_forgotten_after_some_frames(stage: MakeStage) -> None:
    part = stage(*BOTH, finder__period=1000)
    part.distrust(lambda found, hand, evidence: 0.9)
    assert len(part.frame().hands) == 2
    part.network.hands = {Side.RIGHT: RIGHT}
    part.frame()
    inside = []
    for _ in range(8):
        part.frame()
        inside.append(part.network.windows[-1].share_inside(project(LEFT, CAMERA)) == 1.0)
    assert inside[0] and not inside[-1] and inside == sorted(inside, reverse=True)
    part.pipeline.reset()
    part.frame()
    assert part.network.windows[-1].share_inside(project(LEFT, CAMERA)) < 1.0


def test_what_is_doubted_for_ever_does_not_keep_the_window_wide(stage: MakeStage) -> None:
    """A box beside the hand: it is waited for once, not again each time that it is doubted."""
    part = stage(*BOTH, finder__period=1000)
    part.distrust(lambda found, hand, evidence: 0.9 if hand.side is Side.RIGHT else 0.1)
    wide = []
    for _ in range(25):
        scene = part.frame()
        assert [hand.side for hand in scene.hands] == [Side.RIGHT]
        wide.append(part.network.windows[-1].share_inside(project(LEFT, CAMERA)) == 1.0)
    assert sum(wide[1:]) == 5 and all(wide[1:6])


@pytest.mark.parametrize("sides", ["both", "right"])
def test_one_person_never_has_two_hands_of_one_side(stage: MakeStage, sides: str) -> None:
    """Votes are each track's own: where both end on one side, the weaker is the other hand, or none that is wanted."""
    part = stage((Side.RIGHT, RIGHT), (Side.LEFT, FAR_LEFT))
    part.frame()
    by_side = {track.hand.side: track for track in part.pipeline._tracker.tracks}
    by_side[Side.RIGHT].side_evidence = 9.0
    by_side[Side.LEFT].side_evidence = 3.0
    by_side[Side.LEFT].hand = dataclasses.replace(by_side[Side.LEFT].hand, side=Side.RIGHT)
    part.pipeline.reconfigure(replace(part.config, {"sides": sides, "max_hands": 2}))
    scene = part.frame()
    wanted = [Side.RIGHT, Side.LEFT] if sides == "both" else [Side.RIGHT]
    assert sorted((hand.side for hand in scene.hands), key=wanted.index) == wanted
    place = next(hand for hand in scene.hands if hand.side is Side.RIGHT).joints[0]
    np.testing.assert_allclose(place, RIGHT[0], atol=0.01)
