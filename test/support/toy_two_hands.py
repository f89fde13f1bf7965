"""Tiny trees of data sets of two hands in their official layouts, with arrays that the tests know."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from toy_datasets import CAMERA, native_ho3d, toy_color, toy_depth, toy_hand

from hand_pose_ros.datasets.ho3d import DEPTH_STEP
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix
from hand_pose_ros.skeleton import CANONICAL_TO_INTERHAND, CANONICAL_TO_RHD, OPENGL_TO_OPTICAL, Side

OBJECT = "006_mustard_bottle"
BOX = np.array([[x, y, z] for x in (-0.04, 0.04) for y in (-0.03, 0.03) for z in (-0.09, 0.09)])
HAND_TYPES = ("right", "left", "interacting")
FOCAL = (1100.0, 1098.0)


def toy_hands(seed: int) -> np.ndarray:
    """Both hands (2, 21, 3) float32 metres in the camera frame: right, left."""
    return np.stack([toy_hand(seed), toy_hand(seed + 1) + np.float32([0.12, 0, 0])])


@dataclass
class InterHandTree:
    """An InterHand2.6M folder: `truth[key]` are joints (2, 21, 3) metres in the picture's camera frame, our order."""

    root: Path
    truth: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    valid: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    annotations: int = 0


def write_interhand(
    root: Path, parts: tuple[str, ...] = ("train", "test"), old: bool = False, mano: dict[Side, HandModel] | None = None
) -> InterHandTree:
    """Two captures, two cameras, three frames (right, left, interacting); every odd annotation is a human's.

    The left wrist of capture 1's two-hand frame is not annotated. `old` writes the v0.0 layout, all three of its
    folders. With `mano` the joints are those of MANO fits, without there is no fit of frame 9.
    """
    tree = InterHandTree(root)
    for part in parts:
        documents = _interhand_part(tree, part, mano)
        folders = {"all": None, "human_annot": 1, "machine_annot": 0} if old else {part: None}
        for folder, odd in folders.items():
            for kind, content in documents.items():
                chosen = content
                if kind == "data" and odd is not None:
                    chosen = {**content, "annotations": [a for a in content["annotations"] if a["id"] % 2 == odd]}
                name = "MANO" if kind == "mano" and old else {"mano": "MANO_NeuralAnnot"}.get(kind, kind)
                path = root / "annotations" / folder / f"InterHand2.6M_{part}_{name}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(chosen))
        if not old:
            human = [str(a["id"]) for a in documents["data"]["annotations"] if a["id"] % 2]
            (root / "annotations" / f"aid_human_annot_{part}.txt").write_text("\n".join(human))
    return tree


def _interhand_part(tree: InterHandTree, part: str, mano: dict[Side, HandModel] | None) -> dict[str, Any]:
    data: dict[str, Any] = {"info": {"version": "toy"}, "images": [], "annotations": []}
    cameras: dict[str, Any] = {}
    joints: dict[str, Any] = {}
    fits: dict[str, Any] = {}
    for capture in range(2):
        rig = _rig(capture)
        names = ("campos", "camrot", "focal", "princpt")
        cameras[str(capture)] = {n: {name: camera[n] for name, camera in rig.items()} for n in names}
        joints[str(capture)], fits[str(capture)] = {}, {}
        for number, hand_type in enumerate(HAND_TYPES):
            frame = 3 * (number + 1)
            world, fit = _world(100 * capture + 10 * number, mano)
            annotated = np.repeat([hand_type != "left", hand_type != "right"], 21)
            if capture == 1 and hand_type == "interacting":
                annotated[41] = False
            joints[str(capture)][str(frame)] = {
                "world_coord": (world * 1000).tolist(),
                "joint_valid": annotated[:, None].astype(int).tolist(),
                "hand_type": hand_type,
                "hand_type_valid": True,
            }
            if mano is not None or frame != 9:
                fits[str(capture)][str(frame)] = fit
            for name, camera in rig.items():
                _interhand_picture(tree, data, part, (capture, name, frame), camera, world, annotated)
    # Annotations need not be in the images' order.
    data["images"].reverse()
    return {"data": data, "camera": cameras, "joint_3d": joints, "mano": fits}


def _rig(capture: int) -> dict[str, Any]:
    """Two cameras a metre from the origin; their pictures are upright and lying."""
    rig = {}
    for number, (name, size) in enumerate((("400262", (334, 512)), ("410001", (512, 334)))):
        rotation = axis_angle_to_matrix(np.array([0.2, 0.5 - number, 0.1 * capture]))
        position = -rotation.T @ np.array([0.02, 0.0, 1.0])
        rig[name] = {
            "campos": (position * 1000).tolist(),
            "camrot": rotation.tolist(),
            "focal": list(FOCAL),
            "princpt": [size[0] / 2, size[1] / 2],
            "size": size,
        }
    return rig


def _world(seed: int, mano: dict[Side, HandModel] | None) -> tuple[np.ndarray, dict[str, Any]]:
    """Joints (42, 3) metres in the data set's order about the world's origin, and MANO fits of both hands."""
    rng = np.random.default_rng(seed)
    hands, fit = toy_hands(seed) - np.float32([0, 0, 0.65]), {}
    for hand, side in enumerate((Side.RIGHT, Side.LEFT)):
        pose, shape = rng.normal(0, 0.3, 48), rng.normal(0, 0.5, 10)
        trans = rng.uniform(-0.1, 0.1, 3)
        fit[side.value] = {"pose": pose.tolist(), "shape": shape.tolist(), "trans": trans.tolist()}
        if mano is not None:
            full = pose[3:] + mano[side].hand_mean
            arguments = (np.asarray(value, np.float32) for value in (pose[:3], full, shape, trans))
            hands[hand] = mano[side].forward(*arguments).joints
    return hands[:, CANONICAL_TO_INTERHAND].reshape(42, 3).astype(np.float64), fit


def _interhand_picture(
    tree: InterHandTree,
    data: dict[str, Any],
    part: str,
    place: tuple[int, str, int],
    camera: dict[str, Any],
    world: np.ndarray,
    annotated: np.ndarray,
) -> None:
    capture, name, frame = place
    folder = f"Capture{capture}/ROM01/cam{name}"
    width, height = camera["size"]
    number = len(data["annotations"])
    path = tree.root / "images" / part / folder / f"image{frame}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), (10 * number, 90, 200), dtype=np.uint8))
    data["images"].append(
        {"id": 1000 + number, "file_name": f"{folder}/image{frame}.jpg", "width": width, "height": height}
        | {"capture": capture, "subject": 0, "seq_name": "ROM01", "camera": name, "frame_idx": frame}
    )
    types = {(True, False): "right", (False, True): "left", (True, True): "interacting"}
    data["annotations"].append(
        {
            "id": number,
            "image_id": 1000 + number,
            "bbox": [10.5, 20.0, 100.0 + number, 80.0],
            "joint_valid": annotated[:, None].astype(int).tolist(),
            "hand_type": types[bool(annotated[:21].any()), bool(annotated[21:].any())],
            "hand_type_valid": number != 0,
        }
    )
    points = (world - np.array(camera["campos"]) / 1000) @ np.array(camera["camrot"]).T
    inverse = np.argsort(CANONICAL_TO_INTERHAND)
    tree.truth[f"{part}/{folder}", f"image{frame}"] = points.reshape(2, 21, 3)[:, inverse]
    tree.valid[f"{part}/{folder}", f"image{frame}"] = annotated.reshape(2, 21)[:, inverse]
    tree.annotations += 1


@dataclass
class SceneTree:
    """A folder of H2O-3D or RHD: `truth[key]` are joints (2, 21, 3) metres, our order and axes."""

    root: Path
    truth: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


def write_h2o3d(
    root: Path, train: tuple[str, ...] = ("MBC10", "MBC11", "SS1"), evaluation: tuple[str, ...] = ("AB1",)
) -> SceneTree:
    """H2O-3D's layout, one frame per sequence; the object's segmentation is half the image's size."""
    tree = SceneTree(root)
    for part, sequences in (("train", train), ("evaluation", evaluation)):
        for number, sequence in enumerate(sequences):
            hands = toy_hands(10 * number + (5 if part == "train" else 50))
            tree.truth[sequence, "0003"] = hands
            _h2o3d_frame(root / part / sequence, "0003", hands, part == "train", number)
        (root / f"{part}.txt").write_text("\n".join(f"{sequence}/0003" for sequence in sequences) + "\n")
    return tree


def object_pose(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The toy object's axis-angle and place in OpenGL's axes, as the labels have them."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.8, (3, 1)), rng.uniform([-0.05, -0.05, -0.7], [0.05, 0.05, -0.6])


def _h2o3d_frame(folder: Path, frame: str, hands: np.ndarray, labelled: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation, place = object_pose(seed)
    meta: dict[str, Any] = {
        "camMat": CAMERA.matrix,
        "objName": OBJECT,
        "objRot": rotation,
        "objTrans": place,
        "objCorners3DRest": BOX,
    }
    for side, hand in zip(("right", "left"), hands, strict=True):
        native = native_ho3d(hand)
        meta[f"{side}HandJoints3D"] = native if labelled else native[0]
        if labelled:
            meta[f"{side}HandPose"], meta[f"{side}HandTrans"] = rng.normal(0, 0.4, 48), native[0] - [0.09, 0.006, 0.006]
            meta["handBeta"] = rng.normal(0, 1, 10)
        else:
            meta[f"{side}HandBoundingBox"] = [200, 150, 400, 380]
    if labelled:
        # In the data set's order: the thumb's tip of the left hand is not to be used.
        meta["jointValidLeft"] = np.array([1.0] * 16 + [0.0] + [1.0] * 4)
        meta["jointValidRight"] = np.ones(21)
    for name in ("rgb", "depth", "meta", "segr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "meta" / f"{frame}.pkl").write_bytes(pickle.dumps(meta, protocol=2))
    cv2.imwrite(str(folder / "rgb" / f"{frame}.jpg"), np.ascontiguousarray(toy_color()[:, :, ::-1]))
    steps = np.rint(toy_depth(hands[0]) / DEPTH_STEP).astype(np.int64)
    packed = np.stack([np.zeros_like(steps), steps // 256, steps % 256], axis=-1).astype(np.uint8)
    cv2.imwrite(str(folder / "depth" / f"{frame}.png"), packed)
    picture = np.zeros((240, 320, 3), dtype=np.uint8)
    picture[100:140, 60:80, 1] = 255
    picture[10:20, 10:20, 0] = 255
    cv2.imwrite(str(folder / "segr" / f"{frame}.png"), picture)


def optical_object(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`object_pose` as rotation matrix and place in the optical frame."""
    rotation, place = object_pose(seed)
    return np.diag(OPENGL_TO_OPTICAL) @ axis_angle_to_matrix(rotation[:, 0]), place * OPENGL_TO_OPTICAL


def write_rhd(root: Path, samples: int = 3) -> SceneTree:
    """RHD's layout, both parts: sample 0 shows both hands, 1 the right one, 2 the left one, and so on."""
    tree = SceneTree(root)
    for part in ("training", "evaluation"):
        labels = {}
        for number in range(samples):
            hands = toy_hands(number)
            tree.truth[part, f"{number:05d}"] = hands
            native = hands[::-1][:, CANONICAL_TO_RHD].reshape(42, 3)
            visible = np.repeat([number % 3 != 1, number % 3 != 2], 21).astype(float)
            if number == 0:
                visible[4] = 0  # The left thumb's base; the thumb's tip comes first on disk.
            uv = native[:, :2] / native[:, 2:] * 280 + 160
            labels[number] = {
                "xyz": native,
                "uv_vis": np.column_stack([uv, visible]),
                "K": np.array([[280.0, 0, 160], [0, 280, 160], [0, 0, 1]]),
            }
            _rhd_pictures(root / part, number)
        (root / part / f"anno_{part}.pickle").write_bytes(pickle.dumps(labels, protocol=2))
    return tree


def _rhd_pictures(folder: Path, number: int) -> None:
    mask = np.zeros((320, 320), dtype=np.uint8)
    mask[:100], mask[100:110], mask[110:130], mask[200:205] = 1, 2, 17, 18
    mask[205:215] = 33
    depth = np.zeros((320, 320, 3), dtype=np.uint8)
    # Blue, green (low byte), red (high byte).
    depth[..., 1], depth[..., 2] = 7, 50
    color = np.full((320, 320, 3), (10, 20, 30 + number), dtype=np.uint8)
    for name, image in (("mask", mask), ("depth", depth), ("color", color)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name / f"{number:05d}.png"), image)
