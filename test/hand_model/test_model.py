"""The hand model's arithmetic, and the bundled hand as a body: closed, in proportion, jointed where hands are."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from hand_pose_ros.hand_model.anatomy import pose_from_angles
from hand_pose_ros.hand_model.model import MIRROR_AXIS_ANGLE, HandModel
from hand_pose_ros.hand_model.pose_prior import KEY_POSES, mirror_pose, sample_betas, sample_pose
from hand_pose_ros.skeleton import CANONICAL_TO_MANO, MCPS, TIPS, Side
from hand_pose_ros.types import InvalidData

ZERO3 = np.zeros(3, dtype=np.float32)
FLAT = np.zeros(45, dtype=np.float32)
MEAN = np.zeros(10, dtype=np.float32)


@pytest.fixture(params=list(Side), ids=lambda side: side.value)
def model(request: pytest.FixtureRequest) -> HandModel:
    return HandModel.bundled(request.param)


def random_arguments(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    orient = rng.normal(0, 1.0, 3).astype(np.float32)
    return orient, sample_pose(rng), sample_betas(rng), rng.normal(0, 0.3, 3).astype(np.float32)


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6


def winding_number(point: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> float:
    """1 inside, 0 outside (van Oosterom & Strackee 1983)."""
    a, b, c = (vertices[faces[:, k]].astype(np.float64) - point for k in range(3))
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    top = np.einsum("ij,ij->i", a, np.cross(b, c))
    bottom = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
    return float(2 * np.arctan2(top, bottom).sum() / (4 * np.pi))


def test_surface_is_closed_and_faces_outwards(model: HandModel) -> None:
    pairs = np.concatenate([model.faces[:, [0, 1]], model.faces[:, [1, 2]], model.faces[:, [2, 0]]])
    # A closed oriented surface uses each directed edge once, and its reverse once.
    directed = {tuple(edge) for edge in pairs.tolist()}
    assert len(directed) == len(pairs)
    assert all((b, a) in directed for a, b in directed)
    edges = len(pairs) // 2
    assert model.num_vertices - edges + len(model.faces) == 2
    assert set(model.faces.ravel().tolist()) == set(range(model.num_vertices))
    assert 2.5e-4 < volume(model.v_template, model.faces) < 5e-4  # a hand is 0.25 to 0.5 litres


def test_the_file_is_small_and_holds_plain_arrays_only() -> None:
    file = resources.files("hand_pose_ros.hand_model") / "data" / "hand_model.npz"
    assert len(file.read_bytes()) < 1_500_000
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
        assert all(stored[name].dtype.kind in "fiu" for name in stored.files)


def test_joints_lie_inside_the_hand_at_anatomical_depth(model: HandModel) -> None:
    for index, joint in enumerate(model.joint_template):
        assert winding_number(joint, model.v_template, model.faces) == pytest.approx(1.0, abs=0.01)
        depth = np.linalg.norm(model.v_template - joint, axis=1).min()
        assert 0.005 < depth < (0.021 if index == 0 else 0.016 if index == 13 else 0.013), index


def test_proportions_are_those_of_adults(model: HandModel) -> None:
    joints = model.forward(ZERO3, FLAT, MEAN, ZERO3).joints
    assert 0.175 < np.linalg.norm(joints[12] - joints[0]) < 0.195  # wrist to middle fingertip
    near = [model.v_template[np.linalg.norm(model.v_template - joints[mcp], axis=1) < 0.016] for mcp in (5, 17)]
    across = near[0][:, 2].max() - near[1][:, 2].min()
    assert 0.078 < across < 0.092  # breadth at the knuckles
    lengths = {tip: np.linalg.norm(joints[tip] - joints[mcp]) for tip, mcp in zip(TIPS[1:], MCPS, strict=True)}
    assert lengths[12] > lengths[16] > lengths[8] > lengths[20]  # middle, ring, index, little


def test_skin_follows_its_own_finger(model: HandModel) -> None:
    assert (model.weights >= 0).all()
    np.testing.assert_allclose(model.weights.sum(axis=1), 1.0, atol=1e-5)
    assert ((model.weights > 0).sum(axis=1) <= 4).all()
    # No vertex moves with the outer joints of two fingers.
    outer = np.stack([model.weights[:, [j + 1, j + 2]].sum(axis=1) for j in (1, 4, 7, 10, 13)], axis=1)
    assert ((outer > 0.08).sum(axis=1) <= 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_regressor_follows_the_shape(model: HandModel, seed: int) -> None:
    betas = sample_betas(np.random.default_rng(seed))
    vertices, joints = model.shaped(betas)
    np.testing.assert_allclose(model.J_regressor @ vertices, joints, atol=1e-6)
    np.testing.assert_allclose(model.J_regressor.sum(axis=1), 1.0, atol=1e-4)
    # The wrist stays the origin, and joints stay inside whatever the shape.
    np.testing.assert_allclose(joints[0], 0.0, atol=5e-4)
    assert all(winding_number(joint, vertices, model.faces) > 0.99 for joint in joints)


def test_shape_directions_are_interpretable() -> None:
    model = HandModel.bundled(Side.RIGHT)
    rest = model.forward(ZERO3, FLAT, MEAN, ZERO3).joints

    def grown(beta: int) -> np.ndarray:
        betas = MEAN.copy()
        betas[beta] = 1.0
        joints = model.forward(ZERO3, FLAT, betas, ZERO3).joints
        lengths = [np.linalg.norm(j[12] - j[9]) for j in (rest, joints)]
        thumb = [np.linalg.norm(j[4] - j[1]) for j in (rest, joints)]
        return np.array([lengths[1] / lengths[0], thumb[1] / thumb[0]])

    np.testing.assert_allclose(grown(0), [1.055, 1.055], atol=0.01)  # overall size
    np.testing.assert_allclose(grown(1), [1.04, 1.0], atol=0.01)  # long fingers
    np.testing.assert_allclose(grown(5), [1.0, 1.05], atol=0.01)  # thumb


def test_zero_pose_is_the_template(model: HandModel) -> None:
    geometry = model.forward(ZERO3, FLAT, MEAN, ZERO3)
    np.testing.assert_allclose(geometry.vertices, model.v_template, atol=1e-7)
    np.testing.assert_allclose(geometry.joints[CANONICAL_TO_MANO][:16], model.joint_template, atol=1e-7)
    np.testing.assert_array_equal(geometry.joints[list(TIPS)], geometry.vertices[model.tips])


@pytest.mark.parametrize("seed", range(4))
def test_left_mirrors_right_exactly(seed: int) -> None:
    orient, pose, betas, transl = random_arguments(seed)
    right = HandModel.bundled(Side.RIGHT).forward(orient, pose, betas, transl)
    flip = np.array([-1, 1, 1], dtype=np.float32)
    left = HandModel.bundled(Side.LEFT).forward(orient * MIRROR_AXIS_ANGLE, mirror_pose(pose), betas, transl * flip)
    np.testing.assert_allclose(left.vertices, right.vertices * flip, atol=1e-7)
    np.testing.assert_allclose(left.joints, right.joints * flip, atol=1e-7)


@pytest.mark.parametrize("seed", range(4))
def test_bones_are_rigid_and_the_wrist_is_the_pivot(model: HandModel, seed: int) -> None:
    orient, pose, betas, transl = random_arguments(seed)
    joints = model.forward(orient, pose, betas, transl).joints[CANONICAL_TO_MANO][:16]
    _, rest = model.shaped(betas)
    for joint in range(1, 16):
        parent = model.parents[joint]
        before = np.linalg.norm(rest[joint] - rest[parent])
        assert np.linalg.norm(joints[joint] - joints[parent]) == pytest.approx(before, abs=1e-6)
    np.testing.assert_allclose(joints[0], rest[0] + transl, atol=1e-6)


def test_batch_equals_one_by_one(model: HandModel) -> None:
    arguments = [random_arguments(seed) for seed in range(3)]
    batch = model.forward_batch(*(np.stack(column) for column in zip(*arguments, strict=True)))
    for index, one in enumerate(arguments):
        single = model.forward(*one)
        np.testing.assert_allclose(batch.vertices[index], single.vertices, atol=1e-6)
        np.testing.assert_allclose(batch.joints[index], single.joints, atol=1e-6)


def test_a_new_shape_replaces_the_kept_one(model: HandModel) -> None:
    first, second = sample_betas(np.random.default_rng(0)), sample_betas(np.random.default_rng(1))
    expected = model.forward(ZERO3, FLAT, second, ZERO3).vertices
    model.forward(ZERO3, FLAT, first, ZERO3)
    np.testing.assert_array_equal(model.forward(ZERO3, FLAT, second, ZERO3).vertices, expected)


@pytest.mark.parametrize("name", ["fist", "point", "claw", "hook", "cylinder_50", "pinch_index"])
def test_flexed_hands_keep_their_volume(name: str) -> None:
    model = HandModel.bundled(Side.RIGHT)
    rest = volume(model.v_template, model.faces)
    posed = model.forward(ZERO3, pose_from_angles(KEY_POSES[name]), MEAN, ZERO3).vertices
    # Folded skin overlaps in a fist; elsewhere flesh is neither lost nor made.
    assert volume(posed, model.faces) == pytest.approx(rest, rel=0.1 if name in ("fist", "point") else 0.06)


@pytest.mark.parametrize(
    ("argument", "value", "says"),
    [
        (0, np.zeros(4, dtype=np.float32), "expected shape"),
        (1, np.zeros(45, dtype=np.float64), "float32"),
        (2, np.full(10, np.nan, dtype=np.float32), "NaN"),
    ],
)
def test_bad_arguments_are_refused_by_name(argument: int, value: np.ndarray, says: str) -> None:
    arguments = [ZERO3, FLAT, MEAN, ZERO3]
    arguments[argument] = value
    with pytest.raises(InvalidData, match=says):
        HandModel.bundled(Side.RIGHT).forward(*arguments)
