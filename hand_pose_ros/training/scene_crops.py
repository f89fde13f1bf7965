"""From pictures of two hands (and an object) to crops of the scene, varied as the papers on two hands vary them.

One square crop holds both hands and the object. Rolling the camera about its optical axis stands in for the papers'
turn of the picture: it is exact, joints and cameras stay what a camera would see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from hand_pose_ros.datasets.synthetic.shards import unpack_depth
from hand_pose_ros.datasets.synthetic.spec import Label, Shape
from hand_pose_ros.geometry.camera import project
from hand_pose_ros.geometry.relief import RELIEF_MAPS, relief, view_of
from hand_pose_ros.geometry.scene_crop import Window
from hand_pose_ros.geometry.surface import UNIT_BOX
from hand_pose_ros.hand_model.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from hand_pose_ros.training.shards import Batch
from hand_pose_ros.types import BoolArray, DoubleArray, Intrinsics

CROP_SIZE: Final = 256
MAP_STRIDE: Final = 2  # of the networks' maps
# A camera's mirror image negates x; a rotation vector keeps its x and turns the other way about y and z.
_MIRROR: Final = np.array([-1.0, 1.0, 1.0])
_MASK_LEVEL: Final = 127
_NEAREST: Final = 0.05  # metres; what is nearer, or behind the camera, is not projected
_HALF_TURNS: Final = np.array([np.diag(d) for d in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))], dtype=float)
# Of every shape: which half turns leave it alike (of the four above), and along which axes its training box has a
# width: a body of revolution's has none across its axis, as in the published loader, so that no turn about it counts.
_ALIKE: Final = {
    Shape.BOX: ((0, 1, 2, 3), (1.0, 1.0, 1.0)),
    Shape.SPHERE: ((0, 0, 0, 0), (0.0, 0.0, 0.0)),
    Shape.CYLINDER: ((0, 1, 1, 1), (0.0, 0.0, 1.0)),
    Shape.CAPSULE: ((0, 1, 1, 1), (0.0, 0.0, 1.0)),
    Shape.CUP: ((0, 0, 0, 0), (0.0, 0.0, 1.0)),
}


@dataclass(frozen=True)
class SceneAugmentation:
    """How crops of scenes are varied; the defaults are the published values (Keypoint Transformer's loader).

    Attributes:
        margin: the crop's side over the longer side of the box that holds the joints.
        around_object: the box holds the object's corners too (published; a robot does not know them beforehand).
        shift: the crop is moved by up to this part of the box.
        scale: the side varies by this factor's excess times a normal number cut at one.
        roll_part, roll_std: this part of the crops is rolled, by a normal angle (radians) cut at two deviations.
        mirror: probability of the mirror image (hands change sides).
        color_gain: each channel is multiplied by a factor within 1 +- this.
        color_noise: largest deviation of pixel noise, of 1.
        no_depth: this part of the crops has no depth, so that a network does without it too.
        reference_std: deviation of the depth (metres) that the relief starts from.
    """

    margin: float = 1.25
    around_object: bool = False
    shift: float = 0.15
    scale: float = 0.25
    roll_part: float = 0.6
    roll_std: float = 0.7854
    mirror: float = 0.5
    color_gain: float = 0.2
    color_noise: float = 0.0
    no_depth: float = 0.2
    reference_std: float = 0.02


VALIDATION: Final = SceneAugmentation(
    shift=0.0, scale=0.0, roll_part=0.0, mirror=0.0, color_gain=0.0, no_depth=0.0, reference_std=0.0
)


class SceneBatch(NamedTuple):
    """B crops; hands are (right, left), joints in canonical order, lengths in metres, axes of the (varied) camera.

    Attributes:
        rgb: (B, 3, size, size) RGB in 0..1; 256 unless asked for otherwise.
        uv: (B, 2, 21, 2) pixels of the crop, whole numbers at the middles of pixels.
        joints: (B, 2, 21, 3) in the camera's frame; 0 where not valid.
        valid: (B, 2, 21) bool.
        present: (B, 2) bool.
        intrinsics: (B, 4) fx, fy, cx, cy of the crop.
        pose: (B, 2, 16, 3) axis-angle in MANO order, shape: (B, 2, 10); None where the data have none.
        relief: (B, 2, size, size) of the depth image (`geometry.relief`); None where the data have none.
        view: (B, 2) how large things are in it (`geometry.relief.view_of`); None where the data have none.
        object_mask: (B, size / 2, size / 2) 0 or 255.
        object_rotation: (B, 3, 3). object_translation: (B, 3) in the camera's frame. object_box: (B, 8, 3).
        object_symmetries: (B, S, 3, 3). object_weight: (B,) 0 where there is no object, or its pose is not known.
    """

    rgb: Tensor
    uv: Tensor
    joints: Tensor
    valid: Tensor
    present: Tensor
    intrinsics: Tensor
    pose: Tensor | None = None
    shape: Tensor | None = None
    relief: Tensor | None = None
    view: Tensor | None = None
    object_mask: Tensor | None = None
    object_rotation: Tensor | None = None
    object_translation: Tensor | None = None
    object_box: Tensor | None = None
    object_symmetries: Tensor | None = None
    object_weight: Tensor | None = None


class _View(NamedTuple):
    """How one sample is seen: rolled by `turn` (3, 3) after mirroring; `warp` (3, 3) stored pixel -> crop pixel."""

    turn: DoubleArray
    mirrored: bool
    warp: DoubleArray
    intrinsics: DoubleArray


def scene_crops(
    batch: Batch, rng: np.random.Generator, augmentation: SceneAugmentation, size: int = CROP_SIZE
) -> SceneBatch:
    """Cut the scenes out of stored pictures.

    Args:
        batch: of shards of scenes (`datasets.synthetic.shards`): color (B, H, W, 3) uint8, intrinsics (B, 4), joints
            (B, 2, 21, 3), present (B, 2); optional depth (B, H, W) uint16 in 0.1 mm, valid (B, 2, 21), mano (B, 2, 58),
            and of an object all of mask (B, H, W), object_present (B,), object_rotation, object_translation, and either
            object_shape and object_extent, or object_box (B, 8, 3), object_symmetries (B, S, 3, 3) and object_weight
        rng: of all randomness.
        augmentation: how crops are varied.
        size: of the crops in pixels.
    """
    count = len(batch["color"])
    views = [_view(batch, n, rng, augmentation, size) for n in range(count)]
    rgb = np.empty((count, size, size, 3), dtype=np.uint8)
    for n, view in enumerate(views):
        rgb[n] = cv2.warpAffine(np.ascontiguousarray(batch["color"][n]), view.warp[:2], (size, size))
    present, valid = _hands(batch)
    joints = np.array(batch["joints"], dtype=np.float64)
    for n, view in enumerate(views):
        joints[n] = _seen(joints[n], view)
        if view.mirrored:
            joints[n], present[n], valid[n] = joints[n, ::-1].copy(), present[n, ::-1].copy(), valid[n, ::-1].copy()
    joints[~valid] = 0
    cameras = np.stack([view.intrinsics for view in views])
    deep = np.maximum(joints[..., 2:], _NEAREST)
    uv = joints[..., :2] / deep * cameras[:, None, None, :2] + cameras[:, None, None, 2:]
    arrays = {"uv": uv, "joints": joints, "intrinsics": cameras, **_poses(batch, views), **_objects(batch, views, size)}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)) for name, value in arrays.items()}
    flags = {"valid": torch.from_numpy(valid), "present": torch.from_numpy(present)}
    colors = _colors(rgb, rng, augmentation)
    if "depth" not in batch:
        return SceneBatch(rgb=colors, **flags, **tensors)
    depths, shown = _reliefs(batch["depth"], views, rng, augmentation, size)
    return SceneBatch(rgb=colors, relief=depths, view=shown, **flags, **tensors)


def _hands(batch: Batch) -> tuple[BoolArray, BoolArray]:
    """present (B, 2) and valid (B, 2, 21), copies."""
    present = np.array(batch["present"], dtype=bool)
    joints = np.asarray(batch["joints"], dtype=np.float32)
    given = np.array(batch["valid"], dtype=bool) if "valid" in batch else np.ones(joints.shape[:3], dtype=bool)
    return present, given & present[:, :, None] & (joints[..., 2] > _NEAREST)


def _view(batch: Batch, n: int, rng: np.random.Generator, augmentation: SceneAugmentation, pixels: int) -> _View:
    """What chance decides for sample `n`. The same numbers are drawn whatever they are used for."""
    rolled, angle, mirrored = rng.random(), rng.standard_normal(), rng.random()
    size, shift = np.clip(rng.standard_normal(), -1, 1), rng.uniform(-1, 1, 2)
    roll = float(np.clip(angle, -2, 2)) * augmentation.roll_std if rolled < augmentation.roll_part else 0.0
    flip = bool(mirrored < augmentation.mirror)
    cos, sin = np.cos(roll), np.sin(roll)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    fx, fy, cx, cy = (float(value) for value in batch["intrinsics"][n])
    width = batch["color"].shape[2]
    camera = np.array([[fx, 0.0, width - 1 - cx if flip else cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    flipped = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) if flip else np.eye(3)
    low, high = _box(batch, n, turn, flip, camera, augmentation.around_object)
    extent = float(max((high - low).max(), 1.0))
    side = augmentation.margin * extent * (1 + augmentation.scale * float(size))
    middle = (low + high) / 2 + augmentation.shift * extent * shift
    cropped = Window(middle[0], middle[1], side).matrix(pixels) @ camera
    intrinsics = np.array([cropped[0, 0], cropped[1, 1], cropped[0, 2], cropped[1, 2]])
    return _View(turn, flip, cropped @ turn @ np.linalg.inv(camera) @ flipped, intrinsics)


def _box(
    batch: Batch, n: int, turn: DoubleArray, flip: bool, camera: DoubleArray, around_object: bool
) -> tuple[DoubleArray, DoubleArray]:
    """Corners (2,) and (2,) of the box in the rolled picture that holds the joints and the object."""
    one: Batch = {name: batch[name][n : n + 1] for name in ("present", "joints", "valid") if name in batch}
    _, valid = _hands(one)
    points = [np.asarray(batch["joints"][n], dtype=np.float64)[valid[0]]]
    if around_object and "object_present" in batch and batch["object_present"][n]:
        corners = batch["object_box"][n] if "object_box" in batch else UNIT_BOX * batch["object_extent"][n]
        points.append(corners @ batch["object_rotation"][n].T + batch["object_translation"][n])
    every = np.concatenate(points)
    every = every[every[:, 2] > _NEAREST]
    if not len(every):  # nothing to cut out: the picture itself
        height, width = batch["color"].shape[1:3]
        return np.zeros(2), np.array([width - 1.0, height - 1.0])
    seen = (every * _MIRROR if flip else every) @ turn.T
    intrinsics = Intrinsics(camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2], *batch["color"].shape[2:0:-1])
    pixels = project(seen, intrinsics)
    return pixels.min(axis=0), pixels.max(axis=0)


def _seen(points: DoubleArray, view: _View) -> DoubleArray:
    """Points (..., 3) of the camera's frame in the varied camera's."""
    return (points * _MIRROR if view.mirrored else points) @ view.turn.T


def _poses(batch: Batch, views: list[_View]) -> dict[str, np.ndarray]:
    """Hand model parameters as the varied camera sees them."""
    if "mano" not in batch:
        return {}
    mano = np.array(batch["mano"], dtype=np.float64)
    pose, shape = mano[:, :, :48].reshape(-1, 2, 16, 3), mano[:, :, 48:]
    for n, view in enumerate(views):
        if view.mirrored:
            pose[n], shape[n] = (pose[n] * -_MIRROR)[::-1].copy(), shape[n, ::-1].copy()
        pose[n, :, 0] = matrix_to_axis_angle(view.turn @ axis_angle_to_matrix(pose[n, :, 0]))
    return {"pose": pose, "shape": shape}


class _Models(NamedTuple):
    """Of each sample's object: box (B, 8, 3), symmetries (B, S, 3, 3), weight (B,); whether its mirror image is such an
    object too."""

    box: np.ndarray
    symmetries: np.ndarray
    weight: np.ndarray
    mirrors: bool


def _models(batch: Batch) -> _Models:
    there = np.array(batch["object_present"], dtype=bool)
    if "object_box" in batch:
        return _Models(
            np.asarray(batch["object_box"]),
            np.asarray(batch["object_symmetries"]),
            there * batch["object_weight"],
            False,
        )
    kinds = [Shape(int(kind)) if here else Shape.BOX for kind, here in zip(batch["object_shape"], there, strict=True)]
    widths = np.array([_ALIKE[kind][1] for kind in kinds])
    symmetries = np.stack([_HALF_TURNS[list(_ALIKE[kind][0])] for kind in kinds])
    return _Models(UNIT_BOX * (widths * batch["object_extent"])[:, None], symmetries, there.astype(float), True)


def _objects(batch: Batch, views: list[_View], size: int) -> dict[str, np.ndarray]:
    """The object as the varied camera sees it; in a mirror image its pose is unknown, unless it mirrors itself."""
    if "object_present" not in batch:
        return {}
    models = _models(batch)
    weight = np.array(models.weight, dtype=np.float64)
    rotation = np.array(batch["object_rotation"], dtype=np.float64)
    translation = np.array(batch["object_translation"], dtype=np.float64)
    side = size // MAP_STRIDE
    masks = np.zeros((len(views), side, side))
    # Outer edge on outer edge: map pixel h is pixel 2 h + 0.5 of the crop.
    part = 1 / MAP_STRIDE
    to_map = np.array([[part, 0.0, (part - 1) / 2], [0.0, part, (part - 1) / 2], [0.0, 0.0, 1.0]])
    for n, view in enumerate(views):
        if view.mirrored:
            rotation[n] *= _MIRROR[:, None] * _MIRROR
            weight[n] *= models.mirrors
        rotation[n] = view.turn @ rotation[n]
        translation[n] = _seen(translation[n], view)
        mask = np.where(np.asarray(batch["mask"][n]) == Label.OBJECT, np.uint8(255), np.uint8(0))
        warped = cv2.warpAffine(mask, (to_map @ view.warp)[:2], (side, side))
        masks[n] = 255.0 * (warped > _MASK_LEVEL)
    there = np.array(batch["object_present"], dtype=bool)
    return {
        "object_rotation": rotation,
        "object_translation": translation,
        "object_box": models.box,
        "object_symmetries": models.symmetries,
        "object_weight": weight,
        "object_mask": masks * there[:, None, None],
    }


def _reliefs(
    depth: np.ndarray, views: list[_View], rng: np.random.Generator, augmentation: SceneAugmentation, size: int
) -> tuple[Tensor, Tensor]:
    hidden = rng.random(len(views)) < augmentation.no_depth
    behind = augmentation.reference_std * rng.standard_normal(len(views))
    reliefs = np.zeros((len(views), RELIEF_MAPS, size, size), dtype=np.float32)
    shown = np.zeros((len(views), 2), dtype=np.float32)
    for n in np.flatnonzero(~hidden):
        stored = np.ascontiguousarray(depth[n])
        steps = cv2.warpAffine(stored, views[n].warp[:2], (size, size), flags=cv2.INTER_NEAREST)
        zero = relief(unpack_depth(np.asarray(steps)), reliefs[n], behind[n])
        shown[n] = view_of(views[n].intrinsics[0] / size, zero)
    return torch.from_numpy(reliefs), torch.from_numpy(shown)


def _colors(rgb: np.ndarray, rng: np.random.Generator, augmentation: SceneAugmentation) -> Tensor:
    color = torch.from_numpy(rgb).permute(0, 3, 1, 2).to(torch.float32) / 255
    gain = rng.uniform(1 - augmentation.color_gain, 1 + augmentation.color_gain, (len(rgb), 3)).astype(np.float32)
    color *= torch.from_numpy(gain)[:, :, None, None]
    if augmentation.color_noise > 0:
        grain = np.random.default_rng(int(rng.integers(2**32))).standard_normal(color.shape, dtype=np.float32)
        color += augmentation.color_noise * float(rng.random()) * torch.from_numpy(grain)
    return color.clamp_(0.0, 1.0)
