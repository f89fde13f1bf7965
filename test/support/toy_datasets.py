"""Tiny trees in the official layouts of the data sets, with arrays that the tests know."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from hand_pose_ros.datasets.dexycb import SERIALS, SUBJECTS
from hand_pose_ros.datasets.ho3d import DEPTH_STEP
from hand_pose_ros.hand_model.model import HandModel
from hand_pose_ros.skeleton import CANONICAL_TO_HO3D, OPENGL_TO_OPTICAL, Side
from hand_pose_ros.types import Intrinsics

CAMERA = Intrinsics(610.0, 612.0, 315.0, 245.0, 640, 480)
COLOR = (200, 120, 40)


def toy_hand(seed: int) -> np.ndarray:
    """21 joints (21, 3) float32 metres of a hand some 0.6 m away, in our order."""
    joints = np.zeros((21, 3))
    joints[0] = (0.0, 0.06, 0.0)
    for finger in range(5):
        for phalanx in range(4):
            joints[1 + 4 * finger + phalanx] = (0.02 * (finger - 2), -0.02 * phalanx, 0.005 * phalanx)
    shift = np.random.default_rng(seed).uniform([-0.1, -0.1, 0.5], [0.1, 0.1, 0.8])
    return (joints + shift).astype(np.float32)


def toy_color(index: int = 0) -> np.ndarray:
    """(480, 640, 3) uint8 RGB: one colour, a mark on the left."""
    image = np.empty((480, 640, 3), dtype=np.uint8)
    image[:] = COLOR
    image[:, :64] = (0, 0, 250 - index)
    return image


def toy_depth(joints: np.ndarray) -> np.ndarray:
    """(480, 640) metres: a patch at the hand's distance over a far wall, no reading in the top rows."""
    depth = np.full((480, 640), 1.5)
    u, v = (joints.mean(axis=0)[:2] / joints[:, 2].mean() * (CAMERA.fx, CAMERA.fy) + (CAMERA.cx, CAMERA.cy)).astype(int)
    depth[max(v - 60, 0) : v + 60, max(u - 60, 0) : u + 60] = joints[:, 2].mean()
    depth[:8] = 0.0
    return depth


@dataclass
class DexYcbTree:
    """A DexYCB folder: `truth[(subject, sequence, serial, frame)]` are joints in metres."""

    root: Path
    truth: dict[tuple[str, str, str, int], np.ndarray]


def write_dexycb(
    root: Path, subjects: int = 1, sequences: int = 5, serials: int = 2, frames: int = 3, unseen: tuple[int, ...] = (0,)
) -> DexYcbTree:
    """DexYCB's own layout. Odd sequences hold left hands; frames in `unseen` show no hand."""
    tree = DexYcbTree(root, {})
    for serial in SERIALS[:serials]:
        _yaml(
            root / "calibration" / "intrinsics" / f"{serial}_640x480.yml",
            {
                "color": {"fx": CAMERA.fx, "fy": CAMERA.fy, "ppx": CAMERA.cx, "ppy": CAMERA.cy},
                "depth": {"fx": 1.0, "fy": 1.0, "ppx": 0.0, "ppy": 0.0},
            },
        )
    for number, subject in enumerate(SUBJECTS[:subjects]):
        _yaml(root / "calibration" / f"mano_{subject}" / "mano.yml", {"betas": [0.1 * k for k in range(10)]})
        for sequence in range(sequences):
            _dexycb_sequence(
                tree, subject, f"20200709_{140000 + sequence}", (number, sequence), serials, frames, unseen
            )
    return tree


def _dexycb_sequence(
    tree: DexYcbTree,
    subject: str,
    name: str,
    seed: tuple[int, int],
    serials: int,
    frames: int,
    unseen: tuple[int, ...],
) -> None:
    folder = tree.root / subject / name
    meta = {
        "serials": list(SERIALS[:serials]),
        "num_frames": frames,
        "extrinsics": "20200702_151821",
        "ycb_ids": [1, 2],
        "ycb_grasp_ind": 0,
        "mano_sides": ["left" if seed[1] % 2 else "right"],
        "mano_calib": [subject],
    }
    _yaml(folder / "meta.yml", meta)
    pose = np.random.default_rng(seed).normal(0, 0.3, (frames, 1, 51)).astype(np.float32)
    pose[list(unseen)] = 0
    np.savez(folder / "pose.npz", pose_y=np.zeros((frames, 2, 7), np.float32), pose_m=pose)
    for camera, serial in enumerate(SERIALS[:serials]):
        (folder / serial).mkdir(parents=True)
        for frame in range(frames):
            joints = toy_hand(1000 * seed[0] + 100 * seed[1] + 10 * camera + frame)
            tree.truth[subject, name, serial, frame] = joints
            label = np.full_like(joints, -1) if frame in unseen else joints
            np.savez(
                folder / serial / f"labels_{frame:06d}.npz",
                seg=np.zeros((480, 640), np.uint8),
                pose_y=np.zeros((2, 3, 4), np.float32),
                pose_m=pose[frame],
                joint_3d=label[None],
                joint_2d=np.zeros((1, 21, 2), np.float32),
            )
            _write(folder / serial / f"color_{frame:06d}.jpg", toy_color(frame))
            depth = np.rint(toy_depth(joints) * 1000).astype(np.uint16)
            cv2.imwrite(str(folder / serial / f"aligned_depth_to_color_{frame:06d}.png"), depth)


@dataclass
class Ho3dTree:
    """An HO-3D folder: `truth[("ABF10", 0)]` are joints in metres, our order and axes."""

    root: Path
    truth: dict[tuple[str, int], np.ndarray]


def write_ho3d(
    root: Path,
    version: int = 2,
    train: tuple[str, ...] = ("ABF10", "ABF11", "MC1"),
    evaluation: tuple[str, ...] = ("SM1",),
    frames: int = 2,
    released: bool = True,
) -> Ho3dTree:
    """HO-3D's own layout; `released` writes the evaluation's truth files beside it."""
    tree = Ho3dTree(root, {})
    for part, sequences in (("train", train), ("evaluation", evaluation)):
        lines = []
        for number, sequence in enumerate(sequences):
            for frame in range(frames):
                joints = toy_hand(100 * number + frame + (7 if part == "train" else 77))
                tree.truth[sequence, frame] = joints
                _ho3d_frame(root / part / sequence, frame, joints, part == "train", ".png" if version == 2 else ".jpg")
                lines.append(f"{sequence}/{frame:04d}")
        (root / f"{part}.txt").write_text("\n".join(lines) + "\n")
    if released:
        native = [native_ho3d(tree.truth[s, f]) for s in evaluation for f in range(frames)]
        (root / "evaluation_xyz.json").write_text(json.dumps([x.tolist() for x in native]))
        verts = [np.repeat(x, 38, axis=0)[:778].tolist() for x in native]
        (root / "evaluation_verts.json").write_text(json.dumps(verts))
    return tree


def native_ho3d(joints: np.ndarray) -> np.ndarray:
    """Our joints in HO-3D's order and OpenGL axes, float64."""
    return joints[CANONICAL_TO_HO3D].astype(np.float64) * OPENGL_TO_OPTICAL


def _ho3d_frame(folder: Path, frame: int, joints: np.ndarray, labelled: bool, suffix: str) -> None:
    native = native_ho3d(joints)
    rng = np.random.default_rng(frame)
    meta = {
        "camMat": CAMERA.matrix,
        "objName": "006_mustard_bottle",
        "objLabel": 5,
        "objRot": np.zeros((3, 1)),
        "objTrans": np.zeros(3),
        "objCorners3D": np.zeros((8, 3)),
        "objCorners3DRest": np.zeros((8, 3)),
    }
    if labelled:
        meta.update(
            handJoints3D=native,
            handPose=rng.normal(0, 0.4, 48),
            handBeta=rng.normal(0, 1, 10),
            handTrans=native[0] - [0.09, 0.006, 0.006],
        )
    else:
        meta.update(handJoints3D=native[0], handBoundingBox=[200, 150, 400, 380])
    for name in ("rgb", "depth", "meta"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with (folder / "meta" / f"{frame:04d}.pkl").open("wb") as stream:
        pickle.dump(meta, stream, protocol=2)
    _write(folder / "rgb" / f"{frame:04d}{suffix}", toy_color(frame))
    steps = np.rint(toy_depth(joints) / DEPTH_STEP).astype(np.int64)
    # Low byte in red, high byte in green; OpenCV writes blue, green, red.
    packed = np.stack([np.zeros_like(steps), steps // 256, steps % 256], axis=-1).astype(np.uint8)
    cv2.imwrite(str(folder / "depth" / f"{frame:04d}.png"), packed)


def write_coco_dexycb(tree: DexYcbTree, split: str = "s0_test") -> Path:
    """The authors' re-packed annotation of all labelled frames of a DexYCB tree; returns the file."""
    images, annotations = [], []
    for number, ((subject, sequence, serial, frame), joints) in enumerate(tree.truth.items()):
        path = f"{subject}/{sequence}/{serial}/color_{frame:06d}.jpg"
        images.append({"id": number, "width": 640, "height": 480, "file_name": path, "color_file_name": path})
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "hand_type": "left" if int(sequence[-1]) % 2 else "right",
                "joints_coord_cam": (joints.astype(np.float64) * 1000).tolist(),
                "cam_param": {"focal": [CAMERA.fx, CAMERA.fy], "princpt": [CAMERA.cx, CAMERA.cy]},
                "mano_param": {"pose": [0.0] * 48, "shape": [0.0] * 10, "trans": [0.0] * 3},
            }
        )
    path = tree.root / "annotations" / f"DEX_YCB_{split}_data.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def write_toy_mano(folder: Path) -> Path:
    """MANO_RIGHT.npz and MANO_LEFT.npz with 778 of the bundled hand's vertices: MANO's layout without MANO's data."""
    folder.mkdir(parents=True, exist_ok=True)
    for side in Side:
        model = HandModel.bundled(side)
        kept = np.unique(np.concatenate([model.tips, np.linspace(0, model.num_vertices - 1, 900).astype(int)]))
        kept = np.concatenate([model.tips, np.setdiff1d(kept, model.tips)])[:778]
        # A regressor of the same joints from the vertices that are left: the least weights that do it.
        points = np.concatenate([model.v_template[kept], np.ones((778, 1))], axis=1)
        joints = np.concatenate([model.joint_template, np.ones((16, 1))], axis=1)
        np.savez(
            folder / f"MANO_{side.value.upper()}.npz",
            v_template=model.v_template[kept],
            faces=np.array([[0, 1, 2]]),
            shapedirs=model.shapedirs[kept],
            posedirs=model.posedirs[kept],
            J_regressor=joints @ np.linalg.pinv(points),
            weights=model.weights[kept],
            parents=model.parents,
            hand_mean=model.hand_mean,
            tips=np.arange(5),
        )
    return folder


def _yaml(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))


def _write(path: Path, rgb: np.ndarray) -> None:
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[:, :, ::-1]))
