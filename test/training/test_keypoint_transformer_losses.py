"""The paper's losses: the published values on golden runs, and what they must do."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from keypoint_transformer_golden import golden_network  # noqa: E402

from hand_pose_ros.networks.keypoint_transformer import (  # noqa: E402
    Keypoints,
    KeypointTransformer,
    KeypointTransformerConfig,
    PeakSettings,
)
from hand_pose_ros.networks.keypoint_transformer.peaks import HAND, OBJECT, greedy_keypoints  # noqa: E402
from hand_pose_ros.skeleton import HO3D_TO_CANONICAL, OPENGL_TO_OPTICAL  # noqa: E402
from hand_pose_ros.training.keypoint_transformer_losses import (  # noqa: E402
    PUBLISHED_LOSSES,
    KeypointTransformerLossConfig,
    keypoint_transformer_loss,
    raw_terms,
)
from hand_pose_ros.training.keypoint_transformer_targets import (  # noqa: E402
    KeypointTransformerTargets,
    fitted_camera,
    heat_map,
    identities,
    true_keypoints,
)

VARIANT = "h2o3d_3d_r50_small_d1"
# The two samples of the golden run: sequence, frame, object known, the object's symmetry.
SAMPLES = (("MC1", "0010", 1.0, np.diag([-1.0, -1.0, 1.0])), ("ND3", "0012", 0.0, np.eye(3)))
THEIRS = {
    "joint_vectors": "joint_vec",
    "joints": "joints_loss",
    "places": "joints2d_loss",
    "heat_map": "joint_heatmap",
    "segmentation": "obj_seg",
    "identity": "cls",
    "hand_translation": "rel_trans",
    "camera_scale": "cam_scale",
    "camera_place": "cam_trans",
    "object_corners": "obj_corners",
    "object_translation": "obj_trans",
}


def _sample(folder: Path, crop_to_image: np.ndarray, row: int) -> dict[str, Any]:
    """The published targets of a training sample of the little H2O-3D tree, without augmentation."""
    sequence, frame, known, symmetry = SAMPLES[row]
    place = folder / "mini" / "h2o3d" / "train" / sequence
    meta = pickle.loads((place / "meta" / f"{frame}.pkl").read_bytes())  # noqa: S301 (the project's own fixture)
    hands = np.stack([meta["rightHandJoints3D"], meta["leftHandJoints3D"]])[:, HO3D_TO_CANONICAL] * OPENGL_TO_OPTICAL
    seen = hands @ np.asarray(meta["camMat"]).T
    pixels = np.concatenate([seen[..., :2] / seen[..., 2:], np.ones((2, 21, 1))], axis=2)
    image_to_crop = np.linalg.inv(np.vstack([crop_to_image, [0, 0, 1]]))
    mask = cv2.imread(str(place / "segr" / f"{frame}.png"))[:, :, 1]
    mask = cv2.resize(mask, (640, 480), interpolation=cv2.INTER_NEAREST)
    crop = cv2.warpAffine(mask, crop_to_image, (256, 256), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    rotation = cv2.Rodrigues(np.asarray(meta["objRot"], dtype=np.float64))[0]
    return {
        "places": (pixels @ image_to_crop.T)[..., :2] / 2,
        "joints": hands - hands[:, :1],
        "joint_valid": np.stack([meta["jointValidRight"], meta["jointValidLeft"]])[:, HO3D_TO_CANONICAL],
        "hand_translation": hands[1, 0] - hands[0, 0],
        "translation_valid": 1.0,
        "maps_valid": 1.0,
        "segmentation": 255 * (crop[::2, ::2] > 200),
        "object_rotation": OPENGL_TO_OPTICAL[:, None] * rotation,
        "object_translation": np.asarray(meta["objTrans"]).reshape(3) * OPENGL_TO_OPTICAL - hands[0, 0],
        "object_box": meta["objCorners3DRest"],
        "object_symmetries": np.stack([np.eye(3), symmetry]),
        "object_weight": known,
    }


def _stack(samples: list[dict[str, Any]]) -> KeypointTransformerTargets:
    fields = {
        name: torch.tensor(np.stack([np.asarray(sample[name], dtype=np.float32) for sample in samples]))
        for name in samples[0]
    }
    return KeypointTransformerTargets(**fields)


@pytest.fixture(scope="module")
def golden_run(shared_dir: Path) -> tuple[KeypointTransformer, dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    folder = shared_dir / "golden" / "keypoint_transformer"
    names = ("A.inputs.img", "A.meta.inv_trans", "B.fixed_decoder_out")
    with np.load(folder / f"{VARIANT}.npz") as stored:
        arrays = {name: torch.from_numpy(stored[name]) for name in names}
    samples = [_sample(folder, arrays["A.meta.inv_trans"][row].numpy(), row) for row in range(2)]
    values = json.loads((folder / "losses" / f"loss_{VARIANT}.json").read_text())
    return golden_network(folder, VARIANT), arrays, samples, values


@pytest.mark.parametrize("case", ["own_heatmap", "gt_keypoints", "fixed_heatmap"])
def test_published_values(golden_run: Any, case: str) -> None:
    network, arrays, samples, values = golden_run
    targets = _stack(samples)
    image, keypoints = arrays["A.inputs.img"], None
    if case == "gt_keypoints":
        keypoints = true_keypoints(targets, 50, 50, greedy_keypoints)
    if case == "fixed_heatmap":
        # The samples twice; the second has no keypoint, which takes its joints and its object out.
        targets = _stack(samples + samples)
        keep = torch.tensor([1.0, 0.0, 1.0, 1.0])
        targets = targets._replace(
            joint_valid=targets.joint_valid * keep[:, None, None], object_weight=targets.object_weight * keep
        )
        image = image.repeat(2, 1, 1, 1)
        keypoints = greedy_keypoints(arrays["B.fixed_decoder_out"], 50, 50, PeakSettings())
    with torch.no_grad():
        output = network(image, keypoints)
        if case == "fixed_heatmap":
            output = output._replace(maps=arrays["B.fixed_decoder_out"])
        terms = raw_terms(output, targets, PUBLISHED_LOSSES)
        total = keypoint_transformer_loss(output, targets, PUBLISHED_LOSSES)["total"]
    assert set(terms) == set(THEIRS)
    for ours, theirs in THEIRS.items():
        assert terms[ours].item() == pytest.approx(values[case]["raw_mean"][theirs], rel=1e-5), ours
    assert total.item() == pytest.approx(values[case]["total_weighted"], rel=1e-5)


def _targets(seed: int = 0, batch: int = 2) -> KeypointTransformerTargets:
    """Two random hands and a box."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> Any:
        return torch.rand(shape, generator=generator)

    joints = 0.1 * rand(batch, 2, 21, 3) - 0.05
    segmentation = torch.zeros(batch, 128, 128)
    segmentation[:, 40:70, 50:90] = 255
    return KeypointTransformerTargets(
        places=10 + 100 * rand(batch, 2, 21, 2),
        joints=joints - joints[:, :, :1],
        joint_valid=torch.ones(batch, 2, 21),
        hand_translation=0.2 * rand(batch, 3) - 0.1,
        translation_valid=torch.ones(batch),
        maps_valid=torch.ones(batch),
        pose=rand(batch, 2, 16, 3),
        shape=rand(batch, 10),
        pose_valid=torch.ones(batch, 2),
        segmentation=segmentation,
        object_rotation=torch.linalg.qr(rand(batch, 3, 3))[0],
        object_translation=rand(batch, 3),
        object_box=0.1 * rand(batch, 8, 3),
        object_symmetries=torch.eye(3).expand(batch, 1, 3, 3),
        object_weight=torch.ones(batch),
    )


IMAGE = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))


def _output(representation: Any, targets: KeypointTransformerTargets) -> Any:
    torch.manual_seed(0)
    network = KeypointTransformer(
        KeypointTransformerConfig(representation=representation, objects=True, left_object=True, cross_layers=2)
    )
    keypoints = true_keypoints(targets, 48, 20)
    return network, network(IMAGE, keypoints)


@pytest.mark.parametrize("representation", ["3d", "2p5d", "angles"])
def test_what_is_not_valid_does_not_matter(representation: Any) -> None:
    targets = _targets()
    _, output = _output(representation, targets)
    valid = torch.ones(2, 2, 21)
    valid[0, 1], valid[1, 0, 5:9] = 0, 0
    hidden = targets._replace(
        joint_valid=valid,
        translation_valid=torch.tensor([0.0, 1.0]),
        maps_valid=torch.tensor([1.0, 1.0]),
        pose_valid=torch.tensor([[1.0, 0.0], [1.0, 1.0]]),
        object_weight=torch.tensor([0.0, 1.0]),
    )
    other = _targets(seed=1)
    gone = valid[..., None] == 0
    changed = hidden._replace(
        places=torch.where(gone, other.places, targets.places),
        joints=torch.where(gone, other.joints, targets.joints),
        hand_translation=torch.stack((other.hand_translation[0], targets.hand_translation[1])),
        pose=torch.cat((torch.cat((targets.pose[:1, :1], other.pose[:1, 1:]), dim=1), targets.pose[1:])),
        object_rotation=torch.stack((other.object_rotation[0], targets.object_rotation[1])),
        object_translation=torch.stack((other.object_translation[0], targets.object_translation[1])),
    )
    first, second = keypoint_transformer_loss(output, hidden), keypoint_transformer_loss(output, changed)
    assert set(first) == set(second) and len(first) > 7
    for name, value in first.items():
        assert torch.isfinite(value) and value.item() == pytest.approx(second[name].item(), rel=1e-6), name
    assert keypoint_transformer_loss(output, targets)["total"].item() != pytest.approx(first["total"].item(), rel=1e-3)


@pytest.mark.parametrize("representation", ["3d", "2p5d", "angles"])
def test_downhill(representation: Any) -> None:
    """A small step against the gradient lowers the total."""
    targets = _targets()
    network, output = _output(representation, targets)
    total = keypoint_transformer_loss(output, targets)["total"]
    total.backward()
    with torch.no_grad():
        slopes = [p.grad for p in network.parameters() if p.grad is not None]
        length = torch.stack([slope.norm() for slope in slopes]).norm()
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad / length
        again = keypoint_transformer_loss(network(IMAGE, true_keypoints(targets, 48, 20)), targets)["total"]
    assert again < total


def test_identity_rules() -> None:
    """Two joints near one keypoint: the paper takes the nearer, the published code the one in front."""
    targets = _targets()
    places, joints = torch.full((2, 2, 21, 2), 110.0), targets.joints.clone()
    places[0, 0, 8], places[0, 1, 4] = torch.tensor([30.0, 40.0]), torch.tensor([31.5, 40.0])
    joints[0, 0, 8, 2], joints[0, 1, 4, 2] = 0.1, -0.1
    targets = targets._replace(places=places, joints=joints, hand_translation=torch.zeros(2, 3))
    xy = torch.tensor([[[30.0, 40.0], [33.0, 40.0], [60.0, 50.0], [60.0, 80.0], [10.0, 10.0]]] * 2)
    kind = torch.tensor([[HAND, HAND, OBJECT, OBJECT, HAND]] * 2)
    keypoints = Keypoints(xy, kind > 0, kind, kind.float())
    # Classes in the network's order: index tip is its joint 4, thumb tip its joint 0.
    assert identities(targets, keypoints, "nearest")[0].tolist() == [1 + 4, 22, 43, 0, 0]
    assert identities(targets, keypoints, "front")[0].tolist() == [22, 22, 43, 0, 0]


def test_background_may_count_less() -> None:
    """At weight 0 keypoints of no joint are as good as not there; in between the mean lies in between."""
    targets = _targets()
    _, output = _output("3d", targets)
    far = torch.tensor([2.0, 2.0])  # no joint and no object is there
    xy = output.keypoints.xy.clone()
    xy[:, :12] = far
    keypoints = output.keypoints._replace(xy=xy)
    assert (identities(targets, keypoints, "nearest")[:, :12] == 0).all()
    gone = keypoints._replace(valid=keypoints.valid & (identities(targets, keypoints, "nearest") > 0))

    def identity(found: Keypoints, background: float) -> float:
        terms = raw_terms(
            output._replace(keypoints=found), targets, KeypointTransformerLossConfig(background=background)
        )
        return terms["identity"].item()

    assert identity(keypoints, 0.0) == pytest.approx(identity(gone, 1.0), rel=1e-6)
    low, high = sorted((identity(keypoints, 0.0), identity(keypoints, 1.0)))
    assert low < identity(keypoints, 0.3) < high


def test_true_keypoints() -> None:
    targets = _targets()
    places = targets.places.clone()
    places[0, 0, 3] = torch.tensor([130.0, 20.0])
    valid = targets.joint_valid.clone()
    valid[0, 1, 7] = 0
    found = true_keypoints(targets._replace(places=places, joint_valid=valid), 48, 20)
    assert found.xy.shape == (2, 68, 2)
    assert found.valid[:, :48].sum(dim=1).tolist() == [40, 42]
    assert (found.kind[:, 48:] == OBJECT).all()
    assert torch.allclose(found.xy[1, :42], places[1].flatten(0, 1))
    x, y = found.xy[0, 48:].unbind(dim=1)
    assert (x >= 50).all() and (x < 90).all() and (y >= 40).all() and (y < 70).all()
    labels = identities(targets, true_keypoints(targets, 48, 20), "nearest")
    assert (labels[1, 48:] == 43).all()
    assert sorted(set(labels[1, :42].tolist()) - {0})[0] == 1


def test_fitted_camera_and_heat_map() -> None:
    targets = _targets()
    plane = targets.from_right[..., :2]
    places = plane * torch.tensor([200.0, 260.0])[:, None, None, None] + torch.tensor([60.0, 70.0])
    targets = targets._replace(places=places)
    expected = torch.tensor([[200.0, 60.0, 70.0], [260.0, 60.0, 70.0]])
    assert torch.allclose(fitted_camera(targets), expected, rtol=2e-3)
    maps = heat_map(targets._replace(places=torch.full((2, 2, 21, 2), 20.0)))
    assert maps.amax() == pytest.approx(42 * 255) and (maps[0] == maps[0].amax()).nonzero().tolist() == [[20, 20]]


def test_unknown_weight() -> None:
    with pytest.raises(ValueError, match=r"unknown terms \['hand_type'\]"):
        KeypointTransformerLossConfig(weights={"hand_type": 1.0})


def test_missing_truth() -> None:
    targets = _targets()
    _, output = _output("3d", targets)
    with pytest.raises(ValueError, match="the targets need object_weight"):
        keypoint_transformer_loss(output, targets._replace(object_weight=None))
