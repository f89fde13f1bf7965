"""Object errors that know of symmetries: properties, hand-made cases, and the published evaluation's own output."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hand_pose_ros.datasets.ycb import NAMES, model_number, symmetry_of
from hand_pose_ros.evaluation.two_hands_objects import Poses, corner_errors, mssd, object_scores
from hand_pose_ros.evaluation.two_hands_report import object_table
from hand_pose_ros.geometry.symmetry import Symmetry
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix

Z = (0.0, 0.0, 1.0)
HALF = Symmetry(((Z, 2),)).rotations()
ROUND = Symmetry(continuous=Z).rotations()
NONE = Symmetry().rotations()
BOX = np.array([[x, y, z] for x in (-0.05, 0.05) for y in (-0.02, 0.02) for z in (-0.1, 0.1)])


def poses(count: int, seed: int) -> Poses:
    rng = np.random.default_rng(seed)
    return Poses(axis_angle_to_matrix(rng.normal(0, 1, (count, 3))), rng.normal(0, 0.1, (count, 3)))


def turned(truth: Poses, degrees: float) -> Poses:
    """The truth turned about the object's own z."""
    turn = axis_angle_to_matrix(np.array([0, 0, np.radians(degrees)]))
    return Poses(truth.rotation @ turn, truth.translation)


@given(seed=st.integers(0, 1000), shift=st.tuples(*[st.floats(-0.1, 0.1)] * 3))
@settings(max_examples=25, deadline=None)
def test_a_shift_is_its_length(seed: int, shift: tuple[float, float, float]) -> None:
    truth = poses(2, seed)
    predicted = Poses(truth.rotation, truth.translation + np.array(shift))
    for measure in (mssd, corner_errors):
        np.testing.assert_allclose(measure(predicted, truth, BOX, NONE), np.linalg.norm(shift), atol=1e-12)


@given(seed=st.integers(0, 1000), other=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_symmetries_never_make_it_worse_and_frames_do_not_matter(seed: int, other: int) -> None:
    truth, predicted, frame = poses(2, seed), poses(2, other + 5000), poses(1, seed + other)
    plain, symmetric = (mssd(predicted, truth, BOX, group) for group in (NONE, HALF))
    assert (symmetric <= plain + 1e-12).all()
    # The farthest vertex of a box is a corner, so that the mean corner is no farther.
    assert (corner_errors(predicted, truth, BOX, HALF) <= symmetric + 1e-12).all()
    seen = [
        Poses(frame.rotation @ pose.rotation, pose.translation @ frame.rotation[0].T + frame.translation)
        for pose in (predicted, truth)
    ]
    np.testing.assert_allclose(mssd(*seen, BOX, HALF), symmetric, atol=1e-12)


@pytest.mark.parametrize(
    ("group", "degrees", "alike"),
    [(NONE, 180, False), (HALF, 180, True), (HALF, 90, False), (ROUND, 35, True), (ROUND, 180, True), (NONE, 0, True)],
)
def test_what_looks_alike_is_no_error(group: np.ndarray, degrees: float, alike: bool) -> None:
    truth = poses(3, 1)
    errors = mssd(turned(truth, degrees), truth, BOX, group)
    assert (errors < 1e-9).all() if alike else (errors > 0.02).all()
    assert ((corner_errors(turned(truth, degrees), truth, BOX, group) < 1e-9) == alike).all()


def test_between_two_steps_of_a_continuous_symmetry() -> None:
    truth = poses(1, 2)
    error = mssd(turned(truth, 2.5), truth, BOX, ROUND)
    # The corner at 54 mm from the axis moves by a chord of 2.5 degrees at most.
    assert 0 < error[0] <= 2 * np.hypot(0.05, 0.02) * np.sin(np.radians(1.25)) + 1e-12


def test_means_over_samples_and_models() -> None:
    truth = poses(3, 4)
    predicted = Poses(truth.rotation, truth.translation + np.array([[0.01, 0, 0], [0, 0.02, 0], [0, 0, 0.06]]))
    scores = object_scores(["a", "b", "a"], predicted, truth, {"a": BOX, "b": BOX}, {"a": NONE, "b": HALF})
    assert scores.mean == pytest.approx(0.03)
    assert scores.models == {"a": (pytest.approx(0.035), 2), "b": (pytest.approx(0.02), 1)}
    assert object_table(scores).rows[-1] == ("all samples", 3, pytest.approx(30.0))
    nothing = object_scores([], Poses(np.zeros((0, 3, 3)), np.zeros((0, 3))), poses(0, 1), {}, {})
    assert np.isnan(nothing.mean) and not nothing.models


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: mssd(poses(2, 1), poses(3, 1), BOX, NONE), r"predicted poses: expected rotations \(3, 3, 3\)"),
        (lambda: mssd(poses(2, 1), poses(2, 1), BOX[None], NONE), r"points \(V, 3\)"),
        (lambda: mssd(poses(2, 1), poses(2, 1), BOX, np.zeros((0, 3, 3))), "the identity among them"),
        (lambda: object_scores(["a"], poses(1, 1), poses(1, 1), {"a": BOX}, {}), "none of a"),
    ],
)
def test_wrong_shapes_are_refused(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("dataset", ["ho3d", "h2o3d"])
def test_equals_the_published_evaluation(shared_dir: Path, dataset: str) -> None:
    folder = shared_dir / "golden" / "keypoint_transformer"
    stored = np.load(folder / "eval" / f"eval_in_{dataset}_3D.npz")
    printed = (folder / "eval" / f"eval_out_{dataset}_3D.txt").read_text()
    numbered = {model_number(name): name for name in NAMES}
    predicted, truth = (
        Poses(axis_angle_to_matrix(stored[f"{who}.obj_rot"]), stored[f"{who}.obj_trans"]) for who in ("pred", "gt")
    )
    scores = object_scores(
        [numbered[int(number)] for number in stored["gt.obj_id"]],
        predicted,
        truth,
        {name: np.load(folder / "mini" / "ycb" / name / "textured_simple_2000.obj.npy") for name in NAMES},
        {name: symmetry_of(name, dataset).rotations() for name in NAMES},
    )
    for name, (value, _) in scores.models.items():
        figure = re.search(rf"Obj MSSD {name}(?: \(.*\))? = ([0-9.]+)", printed)
        assert figure is not None and value == pytest.approx(float(figure[1]), abs=1e-6)
    mean = re.search(r"Mean (?:obj )?MSSD = ([0-9.]+)", printed)
    assert mean is not None and scores.mean == pytest.approx(float(mean[1]), abs=1e-6)
